"""DICOM SR of a follow-up: one for each scan, the same tracking identifiers in all, each measurement with its time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imaging import NOTICE, Exam, Identity, RefusedError, read_identity

from ... import provenance
from ...config import Config
from ...results import FollowupResult
from .. import Origin
from . import codes
from .regions import ellipsoids
from .source import NAME, Source
from .sr import comment, common, document, known, largest, measurement, summary, unlinked


def write_followup_sr(result: FollowupResult, who: Sequence[Identity], config: Config) -> None:
    """``sr_01.dcm``, ``sr_02.dcm``, ...: each scan's findings as what they are in the timeline. Carry its identity.

    Comprehensive 3D SR by TID 1500, first the scan as a whole. A finding has the tracking identifier of the tables in
    every report, its ellipsoid of equal moments, and a time point context (TID 1502) with days from the first scan
    where dates are known. From the second scan on it says what became of it (CID 6134 where that has the word) and by
    how much; what was lost since the scan before has a group without a place.

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
        changes = result.timeline.comparisons[k - 1].changes if k else result.changes.iloc[:0]
        kept = largest(exam.findings, config.dicom.sr_max_findings)
        groups = [
            _summary(exam, _time(k + 1, result.timeline.days[k]), source),
            *_groups(exam, k + 1, kept, table, changes, source),
        ]
        if k:
            groups += _missing(table[table["time_point"] == k + 1], changes)
        lines = [NOTICE, f"Scan {k + 1} of {len(exams)}, the earliest first; every measure is in the tables."]
        if len(kept) < len(exam):
            lines.append(f"Described here are the {len(kept)} largest of {len(exam)} findings.")
        if (own := exam.own_threshold) is not None:
            lines.append(f"Measured above the threshold of a noisier scan; its own is {own:g} HU.")
        if k and not (comparability := result.timeline.comparisons[k - 1].comparability).comparable:
            lines.append(f"Not comparable with the scan before: {comparability.reason}")
        made = document(source, groups, [*lines, *unlinked(source)], description="follow-up")
        made.save_as(result.out / f"sr_{k + 1:02}.dcm")


def identities(exams: Sequence[Exam], config: Config) -> list[Identity]:
    """Patient and study of each scan, before anything is compared.

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
    """The scan as the report refers to it, with a hash of all that the report is made from."""
    assert exam.series is not None  # `identities` has seen to that
    settings = {name: group for name, group in config.to_dict().items() if name != "privacy"}
    tables = (result.timeline.table, result.changes, *(e.findings for e in result.timeline.exams))
    who = [e.series.identity for e in result.timeline.exams if e.series is not None]
    limits = result.timeline.comparisons[0].limits
    parts = (provenance.version(), who, k, settings, limits, [t.to_csv(index=False) for t in tables])
    return Source(Origin(exam.series, config), identity, hashlib.sha256(repr(parts).encode()).hexdigest())


def _summary(exam: Exam, time: Any, source: Source) -> Any:
    """The scan as a whole, and above what it was measured."""
    if _given(exam):
        told, method = ["labels=given"], codes.GIVEN_MASK
    else:
        names = ("threshold_mode", "threshold_grow_hu", "threshold_peak_hu")
        facts = [*((n, exam.fact(n)) for n in names), ("threshold_own_hu", exam.own_threshold)]
        told = [f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in facts if v is not None]
        method = codes.DETECTION_MASK
    return summary(source, len(exam), float(exam.column("volume_mm3").sum()), told, method, time)


def _given(exam: Exam) -> bool:
    """Whether somebody else segmented the scan: no threshold is known then."""
    return exam.fact("threshold_grow_hu") is None


def _groups(
    exam: Exam, order: int, kept: list[int], table: pd.DataFrame, changes: pd.DataFrame, source: Source
) -> list[Any]:
    """A group for each finding of a scan (TID 1411)."""
    from highdicom import sr

    seen = table[table["finding_ids"].notna()]
    before = set(seen.loc[seen["time_point"] < order, "tracking_id"])
    here = seen[seen["time_point"] == order]
    tracks = {int(n): row for _, row in here.iterrows() for n in str(row["finding_ids"]).split(";")}
    found = changes[changes["followup_finding_id"].notna()].drop_duplicates("followup_finding_id")
    by_number = {int(row["followup_finding_id"]): row for _, row in found.iterrows()}
    bodies = ellipsoids(exam.components.take(np.array(kept, np.int64)), exam.affine)
    series = sr.SourceSeriesForSegmentation(source.series)
    groups = []
    for body, k in zip(bodies, kept, strict=True):
        number = int(exam.ids[k])
        track = tracks[number]
        name = track["tracking_id"], track["tracking_uid"]
        parts = common(exam.findings.iloc[k], name, codes.CT_MEASURES, _given(exam))
        change = by_number.get(number)
        if change is not None:
            parts["measurements"] += _changes(change, _given(exam))
            parts["qualitative_evaluations"] += _called(_state(change, name[0] in before))
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **parts,
            time_point_context=_time(order, track["days"]),
            referenced_volume_surface=sr.VolumeSurface(
                "ELLIPSOID", [body], source.frame_of_reference, source_series=series
            ),
        )
        groups.append(_with_reason(group, change))
    return groups


def _missing(rows: pd.DataFrame, changes: pd.DataFrame) -> list[Any]:
    """A group without a place (TID 1501) for each finding of the scan before that this one does not show."""
    from highdicom import sr

    lost = changes[changes["followup_finding_id"].isna()].drop_duplicates("tracking_id").set_index("tracking_id")
    gone = rows[rows["finding_ids"].isna() & rows["tracking_id"].isin(lost.index)]
    groups = []
    for _, row in gone.iterrows():
        change = lost.loc[row["tracking_id"]]
        group = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(row["tracking_uid"], row["tracking_id"]),
            time_point_context=_time(int(row["time_point"]), row["days"]),
            finding_type=codes.code(codes.CALCIFICATION),
            finding_category=codes.code(codes.ABNORMAL),
            algorithm_id=sr.AlgorithmIdentification(NAME, provenance.version()),
            qualitative_evaluations=_called(str(change["state"])),
        )
        groups.append(_with_reason(group, change))
    return groups


def _with_reason(group: Any, change: pd.Series | None) -> Any:
    if change is not None and known(change, "reason"):
        group[0].ContentSequence.append(comment(str(change["reason"])))
    return group


def _state(change: pd.Series, was_seen: bool) -> str:
    """What became of a finding that this scan shows: what the scan before could not show is not "not seen" here."""
    if change["match"] == "not_seen":
        return "seen_again" if was_seen else "not_seen_before"
    return str(change["state"])


def _changes(change: pd.Series, given: bool) -> list[Any]:
    """Change and limits; of what split or merged they are those of the whole, and stand in the reason."""
    if change["match"] != "matched":
        return []
    return [measurement(change, m, given) for m in codes.FOLLOWUP_MEASURES if known(change, m.column)]


def _called(state: str) -> list[Any]:
    from highdicom import sr

    return [sr.QualitativeEvaluation(codes.code(codes.CHANGE), codes.code(codes.change(state)))]


def _time(order: int, days: Any) -> Any:
    """Which scan it is, and how many days after the first."""
    from highdicom import sr

    offset = None
    if days is not None and pd.notna(days):
        offset = sr.LongitudinalTemporalOffsetFromEvent(
            float(days), codes.code(codes.DAYS), codes.code(codes.BASELINE_EVENT)
        )
    return sr.TimePointContext(
        "baseline" if order == 1 else f"follow-up {order - 1}",
        time_point_type=codes.code(codes.BASELINE) if order == 1 else None,
        time_point_order=order,
        temporal_offset_from_event=offset,
    )
