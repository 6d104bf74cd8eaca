"""What a DICOM object is, by class, modality and image type: an image of ours, or why it is none."""

from __future__ import annotations

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted enhanced CT
    }
)
ENHANCED_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
ENHANCED_US = "1.2.840.10008.5.1.4.1.1.6.2"
US_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6",  # retired
        "1.2.840.10008.5.1.4.1.1.3",  # retired
        ENHANCED_US,
    }
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY = "1.2.840.10008.1.3.10"
_SEGMENTATIONS = frozenset(
    {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.5", "1.2.840.10008.5.1.4.1.1.66.7"}
)
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."
_PROJECTIONS = frozenset({"MIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION IMAGE", "MAX_IP", "MIN_IP", "MAXIP"})


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
    if sop_class == DIRECTORY:
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
