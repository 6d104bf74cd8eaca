"""DICOM SR of a follow-up: one for each scan, the same tracking identifiers in all, each measurement with its time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imaging import NOTICE, Comparison, Exam, Identity, RefusedError, read_identity

from ... import provenance
from ...config import Config
from ...results import FollowupResult
from .. import Origin
from . import codes
from .regions import ellipsoids
from .source import NAME, Source
from .sr import comment, common, document, known, largest, measurement, unlinked


def write_followup_sr(result: FollowupResult, who: Sequence[Identity], config: Config) -> None:
    """``sr_01.dcm``, ``sr_02.dcm``, ...: each scan's findings as what they are in the timeline. Carry its identity.

    Comprehensive 3D SR by TID 1500. A finding has the tracking identifier of the tables in every report, its ellipsoid
    of equal moments, and a time point context (TID 1502) with days from the first scan where dates are known. From the
    second scan on it says what became of it (CID 6134 where that has the word) and by how much; what was resolved or is
    not seen has a group without a place.

    Parameters
    ----------
    result : FollowupResult
    who : sequence of Identity
        Of each scan: `identities`.
    config : Config
    """
    exams = result.timeline.exams
    table = result.timeline.table
    for k, (exam, identity) in enumerate(zip(exams, who, strict=True)):
        source = _source(exam, k, identity, result, config)
        comparison = result.timeline.comparisons[k - 1] if k else None
        rows = table[table["time_point"] == k + 1]
        kept = largest(exam.findings, config.dicom.sr_max_findings)
        groups = [*_groups(exam, kept, rows, comparison, source), *_missing(rows)]
        lines = [NOTICE, f"Scan {k + 1} of {len(exams)}, the earliest first; every measure is in the tables."]
        if len(kept) < len(exam):
            lines.append(f"Described here are the {len(kept)} largest of {len(exam)} findings.")
        if comparison is not None and not comparison.comparability.comparable:
            lines.append(f"Not comparable with the scan before: {comparison.comparability.reason}")
        made = document(source, groups, [*lines, *unlinked(source)], description="follow-up")
        made.save_as(result.out / f"sr_{k + 1:02}.dcm")


def identities(exams: Sequence[Exam], config: Config) -> list[Identity]:
    """Patient and study of each scan, before anything is computed.

    Raises
    ------
    RefusedError
        ``no_dicom_source``: a scan that is no DICOM, or of a run whose images were not given.
    """
    found = []
    for k, exam in enumerate(exams, 1):
        if exam.series is None:
            raise RefusedError(
                "no_dicom_source", f"scan {k} has no images to refer to; give the folder that holds them (--images)"
            )
        found.append(read_identity(exam.series, config.reading))
    return found


def _source(exam: Exam, k: int, identity: Identity, result: FollowupResult, config: Config) -> Source:
    assert exam.series is not None  # `identities` has seen to that
    table = result.timeline.table.to_csv(index=False)
    content = hashlib.sha256(repr((provenance.version(), table, k)).encode()).hexdigest()
    return Source(Origin(exam.series, config), identity, content)


def _groups(
    exam: Exam, kept: list[int], rows: pd.DataFrame, comparison: Comparison | None, source: Source
) -> list[Any]:
    """A group for each finding of a scan (TID 1411)."""
    from highdicom import sr

    seen = rows[rows["finding_ids"].notna()]
    tracks = {int(n): row for _, row in seen.iterrows() for n in str(row["finding_ids"]).split(";")}
    changes = {} if comparison is None else _by_finding(comparison.changes)
    bodies = ellipsoids(exam.components.take(np.array(kept, np.int64)), exam.affine)
    series = sr.SourceSeriesForSegmentation(source.series)
    groups = []
    for body, k in zip(bodies, kept, strict=True):
        number = int(exam.ids[k])
        track, finding = tracks[number], exam.findings.iloc[k]
        parts = common(finding, (track["tracking_id"], track["tracking_uid"]), codes.CT_MEASURES)
        change = changes.get(number)
        if change is not None:
            parts["measurements"] += _changes(change)
            parts["qualitative_evaluations"] += _called(change["state"])
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **parts,
            time_point_context=_time(track),
            referenced_volume_surface=sr.VolumeSurface(
                "ELLIPSOID", [body], source.frame_of_reference, source_series=series
            ),
        )
        if change is not None and known(change, "reason"):
            group[0].ContentSequence.append(comment(str(change["reason"])))
        groups.append(group)
    return groups


def _by_finding(changes: pd.DataFrame) -> dict[int, pd.Series]:
    """Rows of changes by the number of the later finding; of a merged one, the first."""
    seen = changes[changes["followup_finding_id"].notna()].drop_duplicates("followup_finding_id")
    return {int(row["followup_finding_id"]): row for _, row in seen.iterrows()}


def _missing(rows: pd.DataFrame) -> list[Any]:
    """A group without a place (TID 1501) for each finding of an earlier scan that this one does not show."""
    from highdicom import sr

    gone = rows[rows["finding_ids"].isna() & rows["state"].notna()]
    return [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(row["tracking_uid"], row["tracking_id"]),
            time_point_context=_time(row),
            finding_type=codes.code(codes.CALCIFICATION),
            finding_category=codes.code(codes.ABNORMAL),
            algorithm_id=sr.AlgorithmIdentification(NAME, provenance.version()),
            qualitative_evaluations=_called(row["state"]),
        )
        for _, row in gone.iterrows()
    ]


def _changes(change: pd.Series) -> list[Any]:
    return [measurement(change, m, given=False) for m in codes.FOLLOWUP_MEASURES if known(change, m.column)]


def _called(state: str) -> list[Any]:
    from highdicom import sr

    return [sr.QualitativeEvaluation(codes.code(codes.CHANGE), codes.code(term)) for term in codes.change(state)]


def _time(row: pd.Series) -> Any:
    """Which scan it is, and how many days after the first."""
    from highdicom import sr

    order = int(row["time_point"])
    offset = None
    if known(row, "days"):
        offset = sr.LongitudinalTemporalOffsetFromEvent(
            float(row["days"]), codes.code(codes.DAYS), codes.code(codes.BASELINE_EVENT)
        )
    return sr.TimePointContext(
        "baseline" if order == 1 else f"follow-up {order - 1}",
        time_point_type=codes.code(codes.BASELINE) if order == 1 else None,
        time_point_order=order,
        temporal_offset_from_event=offset,
    )
