"""One DICOM header -> what finding and reading need of it, and the facts that may be reported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydicom import config
from pydicom.uid import UID

from ..errors import ReadError
from ..series import Instance
from . import functional, pixels, ultrasound, vocabulary
from .dicomfile import DicomFile, open_dicom
from .elements import Elements, tags
from .kinds import CT_CLASSES, DIRECTORY, ENHANCED_CLASSES, US_CLASSES, set_aside_reason
from .params import DEFAULTS, ReadParams
from .source import Source

SPLIT_KEYS = ("acquisition", "kernel", "kvp", "temporal", "image_type")
"""What tells two acquisitions of one series apart, in the order in which it is tried."""

TAGS = (
    tags(
        "SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality Manufacturer SeriesDescription "
        "PatientID ManufacturerModelName PatientAge ContrastBolusAgent BodyPartExamined SliceThickness KVP "
        "SpacingBetweenSlices ConvolutionKernel PatientPosition StudyInstanceUID SeriesInstanceUID "
        "AcquisitionNumber ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID "
        "AcquisitionDate SeriesDate StudyDate "
        "TemporalPositionIdentifier ConcatenationUID InConcatenationTotalNumber SamplesPerPixel "
        "PhotometricInterpretation NumberOfFrames "
        "Rows Columns PixelSpacing RescaleIntercept RescaleSlope RescaleType"
    )
    | functional.TAGS
    | pixels.TAGS
    | ultrasound.TAGS
)
_GREY = frozenset({"", "MONOCHROME1", "MONOCHROME2"})
"""MONOCHROME1 only says how to show the values: HU stay HU."""


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
        RescaleType by `vocabulary.rescale_type`, empty where absent.
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
        More than one sample per pixel, or a palette.
    slice_thickness_mm, single_step_mm : float, optional
        Slice thickness, and what a single slice counts for: the spacing between slices or else the thickness.
    facts : mapping
        See `imaging.series.FACTS`.
    preamble : bool
        Whether the file has one.
    flags : tuple of str
        Codes of `imaging.flags.FLAGS`.
    parts : int
        Files of a concatenation; 1 for others.
    acquired : date, optional
        Day of the acquisition, or else of the series or the study. Identifies; stays inside the process.
    content : str
        Hash of the whole file where it names neither its series nor itself; empty otherwise.
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
    flags: tuple[str, ...] = ()
    parts: int = 1
    acquired: date | None = None
    content: str = ""

    @property
    def place(self) -> Path:
        """The file, or the archive and the member in it."""
        return self.images[0].instance.place


@dataclass(frozen=True)
class Place:
    """Where a file is: its path, or an archive with the name and the position of a member."""

    path: Path
    member: str = ""
    entry: int = -1

    @property
    def shown(self) -> Path:
        """As in `imaging.series.Instance.place`."""
        return self.path / self.member if self.member else self.path


@dataclass(frozen=True)
class Lost:
    """A file that cannot be read, and what is left of its header says which series misses it.

    Parameters
    ----------
    place : Path
    reason : str
    study, series : str
        Empty where the damage comes before them.
    """

    place: Path
    reason: str
    study: str = ""
    series: str = ""


def read_header(source: Source, place: Place, params: ReadParams = DEFAULTS) -> Header | Lost:
    """The header of a DICOM file, without its pixels.

    Raises
    ------
    ReadError
        ``unreadable``: damaged; ``not_dicom``: parseable, and yet not an object with a class or a modality.
    LimitError
        Larger than the limits.
    """
    file = open_dicom(source, TAGS, params)
    elements = file.elements
    if file.problem is not None and file.pixels is None:
        if not elements:
            raise file.problem
        return Lost(
            place.shown, file.problem.reason, elements.text("StudyInstanceUID"), elements.text("SeriesInstanceUID")
        )
    sop_class = elements.text("SOPClassUID") or file.media_class
    if not elements and sop_class != DIRECTORY:
        raise ReadError("unreadable", "the file ends within its header; copy it again from its source")
    if not sop_class and not elements.text("Modality"):
        raise ReadError("not_dicom", "no DICOM object: neither a class nor a modality")
    return _header(file, source, place, sop_class)


def _header(file: DicomFile, source: Source, place: Place, sop_class: str) -> Header:
    elements = file.elements
    modality = elements.text("Modality").upper()
    image_type = tuple(part.upper() for part in elements.texts("ImageType"))
    aside = set_aside_reason(modality, sop_class, image_type, has_rows=elements.number("Rows") is not None)
    frames = _count(elements, "NumberOfFrames") or 1
    enhanced = not aside and sop_class in ENHANCED_CLASSES
    spacing, thickness = _positive(elements, "SpacingBetweenSlices"), _positive(elements, "SliceThickness")
    kvp, kernel = elements.text("KVP"), elements.text("ConvolutionKernel")
    basis: dict[str, Any] = {
        "path": place.path,
        "member": place.member,
        "entry": place.entry,
        "rows": _count(elements, "Rows") or 0,
        "columns": _count(elements, "Columns") or 0,
        "frames": frames,
        "sop_instance_uid": elements.text("SOPInstanceUID"),
        "pixels": pixels.locate(file, source.size, source.modified_ns),
    }
    flags: tuple[str, ...] = ()
    if enhanced:
        images = tuple(_frame(f, k, basis) for k, f in enumerate(functional.frames(elements, frames)))
        first = next(functional.frames(elements, frames))
        measures = first.macro("PixelMeasuresSequence")
        thickness = _positive(measures, "SliceThickness") or thickness
        kvp = first.fact("CTXRayDetailsSequence", "KVP")
        kernel = first.fact("CTReconstructionSequence", "ConvolutionKernel")
        frame_type = first.macro("CTImageFrameTypeSequence").texts("FrameType")
        image_type = image_type or tuple(part.upper() for part in frame_type)
    else:
        found: tuple[Any, ...] = ()
        if sop_class in US_CLASSES or modality == "US":
            found, flags = ultrasound.regions(elements, basis["rows"], basis["columns"])
        images = (_image(elements, image_type, basis | {"regions": found}),)
    if sop_class in CT_CLASSES and not aside:
        model = elements.text("Manufacturer"), elements.text("ManufacturerModelName")
        flags = ("hu_unreliable",) if vocabulary.is_cone_beam(*model, image_type) else ()
    single = (elements.text("ConcatenationUID") or basis["sop_instance_uid"] or "file") if enhanced else ""
    facts = _facts(elements, image_type) | {
        "kvp": _number(kvp),
        "slice_thickness_mm": thickness,
        "convolution_kernel": vocabulary.kernel(kernel),
        "transfer_syntax": _syntax_name(file.syntax),
    }
    return Header(
        images=images,
        modality="CT" if sop_class in CT_CLASSES else "US" if sop_class in US_CLASSES else modality,
        sop_class=sop_class,
        patient=elements.text("PatientID"),
        study=elements.text("StudyInstanceUID"),
        series=elements.text("SeriesInstanceUID"),
        frame_of_reference=elements.text("FrameOfReferenceUID"),
        description=elements.text("SeriesDescription"),
        single=single,
        aside=aside,
        colour=(_count(elements, "SamplesPerPixel") or 1) > 1
        or elements.text("PhotometricInterpretation").upper() not in _GREY,
        slice_thickness_mm=thickness,
        single_step_mm=spacing or thickness,
        facts={key: value for key, value in facts.items() if value is not None},
        preamble=file.preamble,
        flags=flags,
        parts=_count(elements, "InConcatenationTotalNumber") or 1,
        acquired=_day(elements),
        content="" if elements.text("SeriesInstanceUID") or basis["sop_instance_uid"] else _digest(source),
    )


def _day(elements: Elements) -> date | None:
    """The day of the scan, for intervals; None where no header date is one."""
    for keyword in ("AcquisitionDate", "SeriesDate", "StudyDate"):
        try:
            return datetime.strptime(elements.text(keyword).strip(), "%Y%m%d").date()
        except ValueError:
            continue
    return None


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for place in range(0, source.size, 1 << 20):
        digest.update(source.read(place, 1 << 20))
    return digest.hexdigest()


def _image(elements: Elements, image_type: tuple[str, ...], basis: dict[str, Any]) -> Image:
    instance = Instance(
        position=_place(elements),
        orientation=_cosines(elements),
        pixel_spacing=_spacing(elements),
        slope=elements.number("RescaleSlope"),
        intercept=elements.number("RescaleIntercept"),
        **basis,
    )
    split = (
        elements.text("AcquisitionNumber"),
        elements.text("ConvolutionKernel"),
        elements.text("KVP"),
        elements.text("TemporalPositionIdentifier"),
        "\\".join(image_type),
    )
    return Image(instance, split, vocabulary.rescale_type(elements.text("RescaleType")))


def _frame(frame: functional.Frame, index: int, basis: dict[str, Any]) -> Image:
    """One frame of an enhanced CT."""
    content = frame.macro("FrameContentSequence")
    values = frame.macro("PixelValueTransformationSequence")
    instance = Instance(
        position=_place(frame.macro("PlanePositionSequence")),
        orientation=_cosines(frame.macro("PlaneOrientationSequence")),
        pixel_spacing=_spacing(frame.macro("PixelMeasuresSequence")),
        slope=values.number("RescaleSlope"),
        intercept=values.number("RescaleIntercept"),
        frame=index,
        **basis,
    )
    split = (
        frame.fact("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
        frame.fact("CTReconstructionSequence", "ConvolutionKernel"),
        frame.fact("CTXRayDetailsSequence", "KVP"),
        content.text("TemporalPositionIndex") or content.text("StackID"),
        frame.fact("CTImageFrameTypeSequence", "FrameType", "ImageType"),
    )
    return Image(instance, split, vocabulary.rescale_type(values.text("RescaleType")))


def _place(elements: Elements) -> tuple[float, float, float] | None:
    values = elements.numbers("ImagePositionPatient", 3)
    return None if values is None else (values[0], values[1], values[2])


def _cosines(elements: Elements) -> tuple[float, float, float, float, float, float] | None:
    v = elements.numbers("ImageOrientationPatient", 6)
    return None if v is None else (v[0], v[1], v[2], v[3], v[4], v[5])


def _spacing(elements: Elements) -> tuple[float, float] | None:
    values = elements.numbers("PixelSpacing", 2)
    return None if values is None or min(values) <= 0 else (values[0], values[1])


def _count(elements: Elements, keyword: str) -> int | None:
    value = elements.number(keyword)
    return int(value) if value is not None and 0 < value < 2**31 else None


def _positive(elements: Elements, keyword: str) -> float | None:
    value = elements.number(keyword)
    return value if value is not None and value > 0 else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1e300 else None


def _facts(elements: Elements, image_type: tuple[str, ...]) -> dict[str, Any]:
    """Those of the allow-list `imaging.series.FACTS` that stand in the file itself, None where absent."""
    agent = elements.text("ContrastBolusAgent") or elements.first("SharedFunctionalGroupsSequence").first(
        "UnassignedSharedConvertedAttributesSequence"
    ).text("ContrastBolusAgent")
    listed = elements.items("ContrastBolusAgentSequence")
    return {
        "contrast_agent": agent.strip().upper() not in ("NONE", "NO") if agent else True if listed else None,
        "manufacturer": vocabulary.manufacturer(elements.text("Manufacturer")),
        "body_part": vocabulary.body_part(elements.text("BodyPartExamined")),
        "patient_position": vocabulary.patient_position(elements.text("PatientPosition")),
        "patient_age_band": vocabulary.age_band(elements.text("PatientAge")),
        "derived": image_type[0] == "DERIVED" if image_type else None,
    }


def _syntax_name(uid: str) -> str | None:
    # UID.name returns the UID itself where it is not in the standard: a private UID may name a site.
    name = UID(uid, config.IGNORE).name if uid else ""  # no warning that shows it
    return name if name and name != uid else None
