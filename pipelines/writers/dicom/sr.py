"""DICOM SR: measurements by TID 1500 in a Comprehensive 3D SR, a group of them for each of the largest findings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imaging import NOTICE

from ... import provenance
from ...results import ClipResult, ScanResult
from .. import Origin
from . import codes
from .regions import ellipsoids, outline
from .seg import SEG, SegmentReference
from .source import NAME, Source, uid

if TYPE_CHECKING:
    from highdicom import sr
    from pydicom.dataset import Dataset

COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"
SERIES_NUMBER = 9102


def write_sr(result: ScanResult | ClipResult, folder: Path, origin: Origin) -> None:
    """``sr.dcm``: what was measured on the largest findings. Carries the identity of the source.

    Findings of CT refer to their segments where a binary ``seg.dcm`` lies in the folder, else to the ellipsoid of equal
    moments; those of ultrasound to the outline of the echo in its key frame.

    Raises
    ------
    RefusedError
        ``no_dicom_source``.
    """
    source = Source.of(origin, result)
    kept = largest(result.findings, origin.config.dicom.sr_max_findings)
    segments = None
    groups: list[Any]
    if isinstance(result, ScanResult):
        reference = SegmentReference.of(result, source)
        if reference.sop_class == SEG and (folder / "seg.dcm").exists():
            segments = reference
        groups = _volumes(result, source, segments, kept)
    else:
        groups = _planes(result, source, kept)
    lines = statements(len(result.findings), len(kept), source)
    clip = isinstance(result, ClipResult)
    document(
        source,
        [summary(source, len(result.findings), result.record.get("total_volume_mm3"), parameters(result)), *groups],
        lines,
        procedure=codes.US_STUDY if clip else codes.CT_STUDY,
        segments=segments,
        refer_to_images=clip,
    ).save_as(folder / "sr.dcm")


def largest(findings: pd.DataFrame, most: int) -> list[int]:
    """Rows of the `most` largest findings, in the order of the table: by volume, on ultrasound by pixels."""
    size = "volume_mm3" if findings["volume_mm3"].notna().any() else "n_voxels"
    order = np.argsort(-findings[size].to_numpy(dtype=float, na_value=0), kind="stable")
    return sorted(order[:most].tolist())


def document(
    source: Source,
    groups: list[Any],
    lines: list[str],
    *,
    procedure: codes.Triple = codes.CT_STUDY,
    segments: SegmentReference | None = None,
    refer_to_images: bool = False,
    description: str = "measurements",
) -> sr.Comprehensive3DSR:
    """The report of one scan.

    Parameters
    ----------
    source : Source
        The scan.
    groups : list
        Of measurements (TID 1411, 1410, 1501).
    lines : list of str
        What it says in words.
    procedure : Triple
    segments : SegmentReference, optional
        What the groups refer to.
    refer_to_images : bool
        Whether each group refers to images: highdicom is given what refers to others, and copies it twice; the rest is
        added after that.
    description : str
    """
    import highdicom as hd

    evidence = [source.image(i) for i in {i.sop_instance_uid: i for i in source.instances}.values()]
    if segments is not None:
        evidence.insert(0, source.header(segments.sop_class, segments.sop_instance, segments.series, "SEG"))
    first = len(groups) if refer_to_images else 2
    date, time = source.when
    made = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=_report(groups[:first], procedure)[0],
        series_instance_uid=source.uid("sr series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=source.uid("sr"),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=provenance.version(),
        device_serial_number="none",
        series_description=f"calcimap {description}, research use only",
        content_date=date,
        content_time=time,
        is_complete=True,
        coding_schemes=[_scheme()],
    )
    measurements = made.ContentSequence[-1]
    for group in groups[first:]:
        measurements.ContentSequence.extend(group)
    made.ContentSequence.extend(comment(text) for text in lines)
    source.finish(made)
    return made


def statements(found: int, kept: int, source: Source) -> list[str]:
    """What the report says in words: what it is, and what it leaves to the table."""
    lines = [NOTICE, f"{found} findings; all of them, and every measure, are in the table of the run (findings.csv)."]
    if kept < found:
        lines.append(f"Described here are the {kept} largest; {found - kept} smaller ones are in the table only.")
    return [*lines, *unlinked(source)]


def unlinked(source: Source) -> list[str]:
    """What a report of images without UIDs says of it."""
    if source.linked:
        return []
    return ["The images lack UIDs: what refers to them was made from their content, and links no viewer to them."]


def _report(groups: list[Any], procedure: codes.Triple) -> sr.MeasurementReport:
    from highdicom import sr

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid("device", provenance.version()), name=NAME, manufacturer_name=NAME, model_name=NAME
    )
    observer = sr.ObserverContext(codes.code(codes.DEVICE), device)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.code(procedure),
        imaging_measurements=groups,
        title=codes.code(codes.REPORT),
    )


def _scheme() -> Dataset:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(
        designator=codes.LOCAL, name="calcimap terms without a standard code", responsible_organization=NAME
    )


# -- groups ------------------------------------------------------------------------------------------------------------


def summary(
    source: Source,
    found: int,
    volume_mm3: float | None,
    told: list[str],
    method: codes.Triple = codes.DETECTION_MASK,
    time: sr.TimePointContext | None = None,
) -> sr.MeasurementsAndQualitativeEvaluations:
    """The whole scan (TID 1501): how many findings, what they amount to, and the settings."""
    from highdicom import sr

    measures = [sr.Measurement(codes.code(codes.COUNT), found, codes.code(codes.ONE))]
    if volume_mm3 is not None:
        name, unit = codes.code(codes.VOLUME), codes.code(codes.MM3)
        measures.append(sr.Measurement(name, float(volume_mm3), unit, method=codes.code(method)))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(source.uid("scan"), "calcimap scan"),
        time_point_context=time,
        finding_type=codes.code(codes.CALCIFICATION),
        finding_category=codes.code(codes.ABNORMAL),
        algorithm_id=sr.AlgorithmIdentification(NAME, provenance.version(), parameters=told),
        measurements=measures,
    )


def parameters(result: ScanResult | ClipResult) -> list[str]:
    """What decided on the findings, as ``name=value``."""
    if isinstance(result, ClipResult):
        return ["ultrasound"]
    if result.detection.given:
        return ["labels=given"]
    names = ("threshold_mode", "threshold_grow_hu", "threshold_peak_hu")
    separate = f"separate={str(result.detection.params.separate).lower()}"
    told = (
        f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n in names if (v := result.record.get(n)) is not None
    )
    return [*told, separate]


def _volumes(
    result: ScanResult, source: Source, segments: SegmentReference | None, kept: list[int]
) -> list[sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    """A group for each finding on CT."""
    from highdicom import sr

    series = sr.SourceSeriesForSegmentation(source.series)
    parts = result.detection.components
    tracking = source.tracking(parts, result.detection.finding_id)
    bodies = None if segments else ellipsoids(parts.take(kept), result.volume.affine)
    groups = []
    for at, k in enumerate(kept):
        place: dict[str, Any]
        if segments:
            number = int(segments.numbers[k])
            reference = sr.ReferencedSegment(
                segments.sop_class, segments.sop_instance, segment_number=number, source_series=series
            )
            place = {"referenced_segment": reference}
        else:
            assert bodies is not None
            body = sr.VolumeSurface("ELLIPSOID", [bodies[at]], source.frame_of_reference, source_series=series)
            place = {"referenced_volume_surface": body}
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **common(result.findings.iloc[k], tracking[k], codes.CT_MEASURES, result.detection.given), **place
        )
        groups.append(_with_hypothesis(group, result.findings.iloc[k]))
    return groups


def _planes(
    result: ClipResult, source: Source, kept: list[int]
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """A group for each finding on ultrasound, with the outline of its echo in the key frame."""
    from highdicom import sr

    image = source.instances[0]
    tracking = source.tracking(result.echoes.components, result.echoes.finding_id)
    groups = []
    for k in kept:
        row = result.findings.iloc[k]
        frame = int(row["frame"])
        shown = sr.SourceImageForRegion(
            source.sop_class, source.sop_instance(image), [frame + 1] if image.frames > 1 else None
        )
        region = sr.ImageRegion("POLYLINE", outline(result.echoes.components, k, frame), shown)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **common(row, tracking[k], codes.US_MEASURES), referenced_region=region
        )
        groups.append(_with_hypothesis(group, row))
    return groups


def common(
    row: pd.Series, tracking: tuple[str, str], measures: Iterable[codes.Measure], given: bool = False
) -> dict[str, Any]:
    """What groups of CT and ultrasound have in common."""
    from highdicom import sr

    name, tracking_uid = tracking
    return {
        "tracking_identifier": sr.TrackingIdentifier(tracking_uid, name),
        "finding_type": codes.code(codes.CALCIFICATION),
        "finding_category": codes.code(codes.ABNORMAL),
        "algorithm_id": sr.AlgorithmIdentification(NAME, provenance.version()),
        "finding_sites": _sites(row),
        "measurements": [measurement(row, m, given) for m in measures if known(row, m.column)],
        "qualitative_evaluations": [_evaluation(concept, value) for concept, value in evaluations(row)],
    }


def evaluations(row: pd.Series) -> list[tuple[codes.Triple, codes.Triple]]:
    """Pattern, distribution and shadow of a finding as coded answers."""
    told = []
    if known(row, "pattern"):
        told += [(codes.DESCRIPTOR, term) for term in codes.descriptors(row["pattern"])]
    if known(row, "distribution"):
        told.append((codes.DISTRIBUTION, codes.DISTRIBUTIONS[row["distribution"]]))
    if known(row, "shadow_class"):
        shadow = row["shadow_class"]
        told.append((codes.POSTERIOR, codes.SHADOWS[shadow]))
        if shadow in codes.GRADES:
            told.append((codes.POSTERIOR, codes.local(f"shadow_{shadow}", f"{shadow.capitalize()} posterior shadow")))
    return told


def known(row: pd.Series, column: str) -> bool:
    """Whether a row has a value in a column."""
    return bool(pd.notna(row[column]))


def measurement(row: pd.Series, measure: codes.Measure, given: bool) -> sr.Measurement:
    """A column of a row as a measurement (TID 300); of a given segmentation the method says so."""
    from highdicom import sr

    method = codes.GIVEN_MASK if given and measure.method else measure.method
    return sr.Measurement(
        codes.code(measure.name),
        float(row[measure.column]) * measure.factor,
        codes.code(measure.unit),
        method=codes.code(method) if method else None,
        derivation=codes.code(measure.derivation) if measure.derivation else None,
    )


def _evaluation(concept: codes.Triple, value: codes.Triple) -> sr.QualitativeEvaluation:
    from highdicom import sr

    return sr.QualitativeEvaluation(codes.code(concept), codes.code(value))


def _sites(row: pd.Series) -> list[sr.FindingSite] | None:
    from highdicom import sr

    place = codes.site(row["organ"]) if known(row, "organ") else None
    if place is None:
        return None
    side = codes.SIDES.get(row["side"]) if known(row, "side") else None
    return [sr.FindingSite(codes.code(place), laterality=codes.code(side) if side else None)]


def _with_hypothesis(group: Any, row: pd.Series) -> Any:
    """The group with its first hypothesis in words: it is no diagnosis, so it is never coded as one."""
    if known(row, "hypothesis"):
        tendency = row["hypothesis_tendency"] if known(row, "hypothesis_tendency") else "not known"
        text = f"Hypothesis, research use only, not a diagnosis: {row['hypothesis']} (tendency: {tendency})"
        group[0].ContentSequence.append(comment(text))
    return group


def comment(text: str) -> sr.TextContentItem:
    """Words in a report or in a group."""
    from highdicom import sr

    return sr.TextContentItem(codes.code(codes.COMMENT), text, relationship_type="CONTAINS")
