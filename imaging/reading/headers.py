"""One DICOM header -> what finding and reading need of it, and the facts that may be reported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ..errors import ReadError
from ..series import Instance
from . import vocabulary
from .dicomfile import get, number, numbers, open_dataset, quiet

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted enhanced CT
    }
)
ENHANCED_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
US_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6",  # retired
        "1.2.840.10008.5.1.4.1.1.3",  # retired
        "1.2.840.10008.5.1.4.1.1.6.2",  # enhanced US volume
    }
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DIRECTORY = "1.2.840.10008.1.3.10"
_SEGMENTATIONS = frozenset(
    {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.5", "1.2.840.10008.5.1.4.1.1.66.7"}
)
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."
_PROJECTIONS = frozenset({"MIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION IMAGE", "MAX_IP", "MIN_IP", "MAXIP"})

SPLIT_KEYS = ("acquisition", "kernel", "kvp", "temporal", "image_type")
"""What tells two acquisitions of one series apart, in the order in which it is tried."""

_KEYWORDS = (
    "ImageType SOPClassUID SOPInstanceUID Modality Manufacturer SeriesDescription PatientID PatientAge "
    "ContrastBolusAgent BodyPartExamined SliceThickness KVP SpacingBetweenSlices ConvolutionKernel "
    "PatientPosition StudyInstanceUID SeriesInstanceUID AcquisitionNumber ImagePositionPatient "
    "ImageOrientationPatient FrameOfReferenceUID TemporalPositionIdentifier TemporalPositionIndex "
    "ConcatenationUID SamplesPerPixel NumberOfFrames Rows Columns PixelSpacing RescaleIntercept RescaleSlope "
    "RescaleType SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
)
TAGS: list[int] = [tag for k in _KEYWORDS.split() if (tag := tag_for_keyword(k)) is not None]


@dataclass(frozen=True)
class Image:
    """One slice: an `Instance` and what may tell it from another slice at its place.

    Parameters
    ----------
    instance : Instance
        File, frame, geometry, rescale.
    split : tuple of str
        Values of `SPLIT_KEYS`, empty where absent.
    rescale_type : str
        RescaleType, empty where absent.
    """

    instance: Instance
    split: tuple[str, ...]
    rescale_type: str


@dataclass(frozen=True)
class Header:
    """What one DICOM file says of itself.

    Parameters
    ----------
    images : tuple of Image
        One for each frame of an enhanced CT, else one.
    modality, sop_class, patient, study, series, frame_of_reference, description : str
        As in the file, empty where absent. Identifies; stays inside the process.
    single : str
        What keeps a multi-frame file apart from others of its series; empty for single-frame files.
    aside : str
        Empty, or the reason why this is no image of ours.
    colour : bool
        More than one sample per pixel.
    slice_thickness_mm, single_step_mm : float, optional
        Slice thickness, and what a single slice counts for: the spacing between slices or else the thickness.
    facts : mapping
        See `imaging.series.FACTS`.
    preamble : bool
        Whether the file has one.
    """

    images: tuple[Image, ...]
    modality: str
    sop_class: str
    patient: str = ""
    study: str = ""
    series: str = ""
    frame_of_reference: str = ""
    description: str = ""
    single: str = ""
    aside: str = ""
    colour: bool = False
    slice_thickness_mm: float | None = None
    single_step_mm: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    preamble: bool = True


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a DICOM file, without its pixels.

    Raises
    ------
    ReadError
        ``unreadable``: damaged; ``not_dicom``: parseable, and yet not an object with a class or a modality.
    LimitError
        Inflates beyond the bounds.
    """
    with quiet():
        return _header(Path(path))


def _header(path: Path) -> Header:
    dataset = open_dataset(path, TAGS)
    meta = getattr(dataset, "file_meta", None) or Dataset()
    sop_class = text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID")
    modality = text(dataset, "Modality").upper()
    if len(dataset) == 0 and sop_class != _DIRECTORY:
        raise ReadError("unreadable", "the file ends within its header; copy it again from its source", path)
    if not sop_class and not modality:
        raise ReadError("not_dicom", "no DICOM object: neither a class nor a modality", path)
    image_type = tuple(part.strip().upper() for part in multi(dataset, "ImageType"))
    aside = set_aside_reason(modality, sop_class, image_type, has_rows=get(dataset, "Rows") is not None)
    # A CT without SOP class is a CT image: old converters drop it.
    frames = _integer(dataset, "NumberOfFrames") or 1
    enhanced = not aside and sop_class in ENHANCED_CLASSES
    thickness = _positive(dataset, "SliceThickness")
    images = _frames(path, dataset, frames) if enhanced else (_image(path, dataset, frames, image_type),)
    spacing = _positive(dataset, "SpacingBetweenSlices")
    if enhanced:
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        groups = [_first(dataset, "PerFrameFunctionalGroupsSequence"), shared]
        thickness = _positive(_macro(groups, "PixelMeasuresSequence"), "SliceThickness")
        image_type = image_type or tuple(multi(_macro(groups, "CTImageFrameTypeSequence"), "FrameType"))
    single = ""
    if enhanced:
        single = text(dataset, "ConcatenationUID") or text(dataset, "SOPInstanceUID") or "file"
    return Header(
        images=images,
        modality="CT" if sop_class in CT_CLASSES else "US" if sop_class in US_CLASSES else modality,
        sop_class=sop_class,
        patient=text(dataset, "PatientID"),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        description=text(dataset, "SeriesDescription"),
        single=single,
        aside=aside,
        colour=(_integer(dataset, "SamplesPerPixel") or 1) > 1,
        slice_thickness_mm=thickness,
        single_step_mm=spacing or thickness,
        facts=_facts(dataset, meta, thickness, image_type),
        preamble=getattr(dataset, "preamble", None) is not None,
    )


def set_aside_reason(modality: str, sop_class: str, image_type: tuple[str, ...], *, has_rows: bool) -> str:
    """Why an object is no image of ours: a code of `imaging.errors.REASONS`, empty if it is one."""
    by_class = _aside_by_class(modality, sop_class)
    if by_class:
        return by_class
    if sop_class in US_CLASSES or (not sop_class and modality == "US"):
        return ""
    if sop_class in CT_CLASSES or (not sop_class and modality == "CT"):
        if "LOCALIZER" in image_type:
            return "localizer"
        words = {w for part in image_type for w in (part, *part.replace("_", " ").split())}
        # Siemens writes "CT_SOM5 MIP", others "MAX_IP": the value and its words are compared.
        return "mip" if words & _PROJECTIONS else ""
    return "other_modality" if has_rows else "not_image"


def _aside_by_class(modality: str, sop_class: str) -> str:
    if sop_class == _DIRECTORY:
        return "dicomdir"
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(_SECONDARY_CAPTURE + "."):
        return "secondary_capture"
    if sop_class in _SEGMENTATIONS or (not sop_class and modality == "SEG"):
        return "seg"
    if sop_class.startswith(_REPORTS) or (not sop_class and modality == "SR"):
        return "sr"
    if sop_class == _RTSTRUCT or (not sop_class and modality == "RTSTRUCT"):
        return "rtstruct"
    if sop_class.startswith(_DOCUMENTS) or (not sop_class and modality == "DOC"):
        return "pdf"
    return ""


def text(dataset: Dataset, keyword: str) -> str:
    """An element as text without padding; multiple values joined by a backslash; empty where absent."""
    return "\\".join(multi(dataset, keyword)).strip("\0 ")


def multi(dataset: Dataset, keyword: str) -> list[str]:
    """The values of an element as texts."""
    value = get(dataset, keyword)
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, (list, tuple)) or _is_multivalue(value) else [str(value)]


def _is_multivalue(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__iter__") and hasattr(value, "append")


def _image(path: Path, dataset: Dataset, frames: int, image_type: tuple[str, ...]) -> Image:
    instance = Instance(
        path=path,
        rows=_integer(dataset, "Rows") or 0,
        columns=_integer(dataset, "Columns") or 0,
        frames=frames,
        position=_place(dataset),
        orientation=_cosines(dataset),
        pixel_spacing=_spacing(dataset),
        slope=number(get(dataset, "RescaleSlope")),
        intercept=number(get(dataset, "RescaleIntercept")),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
    )
    split = (
        text(dataset, "AcquisitionNumber"),
        text(dataset, "ConvolutionKernel"),
        text(dataset, "KVP"),
        text(dataset, "TemporalPositionIdentifier"),
        "\\".join(image_type),
    )
    return Image(instance, split, text(dataset, "RescaleType").upper())


def _frames(path: Path, dataset: Dataset, frames: int) -> tuple[Image, ...]:
    """The frames of an enhanced CT, each from its own functional groups and, where those are silent, the
    shared ones.
    """
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    own = get(dataset, "PerFrameFunctionalGroupsSequence")
    groups = list(own) if own is not None else []
    rows, columns = _integer(dataset, "Rows") or 0, _integer(dataset, "Columns") or 0
    uid = text(dataset, "SOPInstanceUID")
    images = []
    # As many entries as there are groups: NumberOfFrames is a number in a header, not a promise.
    for index in range(max(1, min(frames, len(groups)))):
        here = [groups[index] if index < len(groups) else Dataset(), shared]
        content = _macro(here, "FrameContentSequence")
        measures = _macro(here, "PixelMeasuresSequence")
        values = _macro(here, "PixelValueTransformationSequence")
        instance = Instance(
            path=path,
            rows=rows,
            columns=columns,
            frames=frames,
            position=_place(_macro(here, "PlanePositionSequence")),
            orientation=_cosines(_macro(here, "PlaneOrientationSequence")),
            pixel_spacing=_spacing(measures),
            slope=number(get(values, "RescaleSlope")),
            intercept=number(get(values, "RescaleIntercept")),
            sop_instance_uid=uid,
            frame=index,
        )
        split = (
            text(content, "FrameAcquisitionNumber"),
            text(_macro(here, "CTReconstructionSequence"), "ConvolutionKernel"),
            text(_macro(here, "CTXRayDetailsSequence"), "KVP"),
            text(content, "TemporalPositionIndex") or text(content, "StackID"),
            text(_macro(here, "CTImageFrameTypeSequence"), "FrameType"),
        )
        images.append(Image(instance, split, text(values, "RescaleType").upper()))
    return tuple(images)


def _first(dataset: Dataset, keyword: str) -> Dataset:
    sequence = get(dataset, keyword)
    return sequence[0] if sequence is not None and len(sequence) > 0 else Dataset()


def _macro(groups: list[Dataset], keyword: str) -> Dataset:
    for group in groups:
        found = _first(group, keyword)
        if len(found) > 0:
            return found
    return Dataset()


def _place(dataset: Dataset) -> tuple[float, float, float] | None:
    values = numbers(get(dataset, "ImagePositionPatient"), 3)
    return None if values is None else (values[0], values[1], values[2])


def _cosines(dataset: Dataset) -> tuple[float, float, float, float, float, float] | None:
    v = numbers(get(dataset, "ImageOrientationPatient"), 6)
    return None if v is None else (v[0], v[1], v[2], v[3], v[4], v[5])


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    values = numbers(get(dataset, "PixelSpacing"), 2)
    return None if values is None or min(values) <= 0 else (values[0], values[1])


def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = number(get(dataset, keyword))
    return int(value) if value is not None and 0 < value < 2**31 else None


def _positive(dataset: Dataset, keyword: str) -> float | None:
    value = number(get(dataset, keyword))
    return value if value is not None and value > 0 else None


def _facts(dataset: Dataset, meta: Dataset, thickness: float | None, image_type: tuple[str, ...]) -> dict[str, Any]:
    """The allow-list `imaging.series.FACTS`, without what is absent."""
    agent = get(dataset, "ContrastBolusAgent")
    facts = {
        "kvp": _positive(dataset, "KVP"),
        "slice_thickness_mm": thickness,
        "convolution_kernel": vocabulary.kernel(text(dataset, "ConvolutionKernel")),
        "contrast_agent": None if agent is None else str(agent).strip().upper() not in ("", "NONE", "NO"),
        "manufacturer": vocabulary.manufacturer(text(dataset, "Manufacturer")),
        "body_part": vocabulary.body_part(text(dataset, "BodyPartExamined")),
        "patient_position": vocabulary.patient_position(text(dataset, "PatientPosition")),
        "patient_age_band": vocabulary.age_band(text(dataset, "PatientAge")),
        "derived": image_type[0] == "DERIVED" if image_type else None,
        "transfer_syntax": _syntax_name(text(meta, "TransferSyntaxUID")),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _syntax_name(uid: str) -> str | None:
    # UID.name returns the UID itself where it is not in the standard: a private UID may name a site.
    name = UID(uid).name if uid else ""
    return name if name and name != uid else None
