"""What our columns and words are called in DICOM: standard codes, and the scheme 99CALC where there is none.

A word of ours that a standard term means exactly is sent as that term. Where the standard has a near term only, both
are sent, the near one first. Terms of mammography name shapes here and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

Triple = tuple[str, str, str]
"""Code value, coding scheme, meaning."""

LOCAL = "99CALC"

CALCIFICATION: Triple = ("18115005", "SCT", "Pathologic calcification, calcified structure")
ABNORMAL: Triple = ("49755003", "SCT", "Morphologically Abnormal Structure")
SEGMENTATION: Triple = ("113076", "DCM", "Segmentation")
SEGMENTED_FROM: Triple = ("121322", "DCM", "Source image for image processing operation")
REPORT: Triple = ("126000", "DCM", "Imaging Measurement Report")
CT_STUDY: Triple = ("25045-6", "LN", "CT unspecified body region")
US_STUDY: Triple = ("16310003", "SCT", "Diagnostic ultrasonography")
DEVICE: Triple = ("121007", "DCM", "Device")
DESCRIPTOR: Triple = ("112030", "DCM", "Calcification Descriptor")
DISTRIBUTION: Triple = ("111008", "DCM", "Calcification Distribution")
POSTERIOR: Triple = ("111366", "DCM", "Posterior acoustic features")
COUNT: Triple = ("111038", "DCM", "Number of calcifications")
COMMENT: Triple = ("121106", "DCM", "Comment")
VOLUME: Triple = ("YEKZ", "IBSI", "Volume from Voxel Summation")
ALGORITHM: Triple = ("123101", "DCM", "Neighborhood Analysis")
BASELINE: Triple = ("C1442488", "UMLS", "Baseline")
BASELINE_EVENT: Triple = ("121079", "DCM", "Baseline")
DAYS: Triple = ("d", "UCUM", "day")
CHANGE: Triple = ("111021", "DCM", "Description of Change")
SHADOWING: Triple = ("111369", "DCM", "Posterior shadowing")

PATTERNS: dict[str, tuple[Triple | None, bool]] = {
    "punctate": (("129755006", "SCT", "Punctate calcification"), True),
    "eggshell": (("129751002", "SCT", "Eggshell calcification"), True),
    "laminated": (("88446008", "SCT", "Laminated"), True),
    "popcorn": (("129749001", "SCT", "Coarse (popcorn-like) calcification"), True),
    "amorphous": (("129760005", "SCT", "Amorphous calcification"), True),
    "coarse": (("129749001", "SCT", "Coarse (popcorn-like) calcification"), False),
    "rim": (("129751002", "SCT", "Eggshell calcification"), False),
    "ring": (("129754005", "SCT", "Lucent-centered calcification"), False),
    "linear": (("129752009", "SCT", "Large rod-like calcification"), False),
    "tram_track": (("129759000", "SCT", "Vascular calcification"), False),
    "solid": (("255288007", "SCT", "Nodular"), False),
}
"""Pattern -> standard term of CID 6010 or 6132, and whether it means the same. Others have none."""
DISTRIBUTIONS: dict[str, Triple] = {
    "solitary": ("129770007", "SCT", "Individual Calcification"),
    "grouped": ("129766004", "SCT", "Grouped calcification distribution"),
    "linear": ("129765000", "SCT", "Linear calcification distribution"),
    "regional": ("129767008", "SCT", "Regional calcification distribution"),
    "diffuse": ("129764001", "SCT", "Diffuse calcification distribution"),
}
"""Distribution -> CID 6012."""
SHADOWS: dict[str, Triple] = {
    "absent": ("111367", "DCM", "No posterior acoustic features"),
    "weak": SHADOWING,
    "present": SHADOWING,
    "strong": SHADOWING,
}
"""Shadow class -> CID 6155, posterior acoustic features."""
GRADES = ("weak", "strong")
"""Shadow classes that the standard term does not tell from each other."""
CHANGES: dict[str, Triple] = {
    "stable": ("129723006", "SCT", "No significant changes in the finding"),
    "increased": ("15454001", "SCT", "Increase in size"),
    "decreased": ("19776001", "SCT", "Decrease in size"),
    "new": ("129721008", "SCT", "New finding"),
}
"""State of a finding in follow-up -> CID 6002 and 6134; others (resolved, split, not seen, ...) have none there."""
SIDES: dict[str, Triple] = {"left": ("7771000", "SCT", "Left"), "right": ("24028007", "SCT", "Right")}
SITES: dict[str, Triple] = {
    "adrenal": ("23451007", "SCT", "Adrenal gland"),
    "aorta": ("15825003", "SCT", "Aorta"),
    "bladder": ("89837001", "SCT", "Urinary bladder"),
    "brain": ("12738006", "SCT", "Brain"),
    "breast": ("76752008", "SCT", "Breast"),
    "colon": ("71854001", "SCT", "Colon"),
    "coronary": ("41801008", "SCT", "Coronary artery"),
    "gallbladder": ("28231008", "SCT", "Gallbladder"),
    "heart": ("80891009", "SCT", "Heart"),
    "kidney": ("64033007", "SCT", "Kidney"),
    "liver": ("10200004", "SCT", "Liver"),
    "lung": ("39607008", "SCT", "Lung"),
    "pancreas": ("15776009", "SCT", "Pancreas"),
    "prostate": ("41216001", "SCT", "Prostate"),
    "spleen": ("78961009", "SCT", "Spleen"),
    "stomach": ("69695003", "SCT", "Stomach"),
    "thyroid": ("69748006", "SCT", "Thyroid"),
}
"""Word in the name of an organ mask -> finding site; an organ that is not here has none."""
VESSELS_AND_PARTS = frozenset("artery vein cyst tumor tumour lesion node wall stone vessel vessels".split())
"""Words that make of an organ's name something else: the renal artery is no kidney."""

MM: Triple = ("mm", "UCUM", "millimeter")
MM2: Triple = ("mm2", "UCUM", "square millimeter")
MM3: Triple = ("mm3", "UCUM", "cubic millimeter")
HU: Triple = ("[hnsf'U]", "UCUM", "Hounsfield unit")
ONE: Triple = ("1", "UCUM", "no units")
PERCENT: Triple = ("%", "UCUM", "Percent")
MG: Triple = ("mg", "UCUM", "milligram")
PIXELS: Triple = ("{pixels}", "UCUM", "pixels")
GREY: Triple = ("1", "UCUM", "no units")

DETECTION_MASK: Triple = ("detection_mask", LOCAL, "Mask of voxels above the detection threshold")
GIVEN_MASK: Triple = ("given_mask", LOCAL, "Given segmentation")
HALFMAX_MASK: Triple = ("halfmax_mask", LOCAL, "Mask at half of the maximum above background")


@dataclass(frozen=True)
class Measure:
    """A column of findings as a measurement.

    Parameters
    ----------
    column : str
    name, unit : Triple
    method, derivation : Triple, optional
        Which mask it is measured on, where two measures have one name; what is taken of the values.
    factor : float
        From the unit of the column to that of the measurement.
    """

    column: str
    name: Triple
    unit: Triple
    method: Triple | None = None
    derivation: Triple | None = None
    factor: float = 1.0


def local(value: str, meaning: str) -> Triple:
    """A code of our own scheme."""
    return value, LOCAL, meaning


_ATTENUATION: Triple = ("112031", "DCM", "Attenuation Coefficient")
CT_MEASURES: tuple[Measure, ...] = (
    Measure("volume_mm3", VOLUME, MM3, DETECTION_MASK),
    Measure("volume_halfmax_mm3", VOLUME, MM3, HALFMAX_MASK),
    Measure("max_diameter_mm", ("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"), MM),
    Measure("axial_diameter_mm", ("103339001", "SCT", "Long axis"), MM),
    Measure("axial_perpendicular_mm", ("131189007", "SCT", "Perpendicular Axis"), MM),
    Measure("surface_area_mm2", ("C0JK", "IBSI", "Surface Area of Mesh"), MM2),
    Measure("major_axis_mm", ("TDIC", "IBSI", "Major Axis in 3D Length"), MM),
    Measure("minor_axis_mm", ("P9VJ", "IBSI", "Minor Axis in 3D Length"), MM),
    Measure("least_axis_mm", ("7J51", "IBSI", "Least Axis in 3D Length"), MM),
    Measure("sphericity", ("QCFX", "IBSI", "Sphericity"), ONE),
    Measure("elongation", ("Q3CK", "IBSI", "Elongation"), ONE),
    Measure("flatness", ("N17B", "IBSI", "Flatness"), ONE),
    Measure("solidity", ("R3ER", "IBSI", "Volume Density in Convex Hull"), ONE),
    Measure(
        "shell_coverage", ("112018", "DCM", "Calcification extent as percent of surface"), PERCENT,
        factor=100.0,
    ),
    Measure("shell_thickness_mm", ("122445", "DCM", "Wall Thickness"), MM),
    Measure("intensity_mean", ("112181", "DCM", "Mean Attenuation Coefficient"), HU),
    Measure("intensity_sd", ("112183", "DCM", "Standard Deviation of Attenuation Coefficient"), HU),
    Measure("intensity_min", ("112179", "DCM", "Minimum Attenuation Coefficient"), HU),
    Measure("intensity_median", ("112182", "DCM", "Median Attenuation Coefficient"), HU),
    Measure("intensity_max", ("112180", "DCM", "Maximum Attenuation Coefficient"), HU),
    Measure(
        "intensity_p95", _ATTENUATION, HU, derivation=("371889001", "SCT", "95th Percentile Value of population")
    ),
    Measure("threshold_hu", ("112032", "DCM", "Threshold Attenuation Coefficient"), HU),
    Measure("agatston", ("112058", "DCM", "Calcium score"), ONE),
    Measure("mass_mg", ("122661", "DCM", "Calcium Mass"), MG),
)  # fmt: skip
"""Columns of CT findings in a report; every other one is left to the table. Form is that of the half-maximum mask,
attenuation that of the detection mask."""

_DIAMETER: Triple = ("81827009", "SCT", "Diameter")
_SHADOW_AUC = local("shadow_auc", "Probability that tissue beside is brighter than behind")
_LENGTHS: tuple[tuple[str, Triple], ...] = (
    ("max_diameter", _DIAMETER),
    ("echo_width", ("103355008", "SCT", "Width")),
    ("echo_height", local("echo_height", "Extent of the echo along the beam")),
    ("depth", ("131197000", "SCT", "Depth")),
    ("shadow_width", local("shadow_width", "Width of the shadow 10 mm behind the echo")),
)
US_MEASURES: tuple[Measure, ...] = (
    *(Measure(f"{column}_mm", name, MM) for column, name in _LENGTHS),
    *(Measure(f"{column}_px", name, PIXELS) for column, name in _LENGTHS),
    Measure("intensity_mean", local("grey_mean", "Mean grey level of the echo"), GREY),
    Measure("intensity_max", local("grey_max", "Largest grey level of the echo"), GREY),
    Measure("shadow_auc", _SHADOW_AUC, ONE),
)
"""Columns of ultrasound findings in a report."""


FOLLOWUP_MEASURES: tuple[Measure, ...] = (
    Measure("volume_change_mm3", local("volume_change", "Change of volume since the scan before"), MM3, DETECTION_MASK),
    Measure(
        "volume_change_percent", local("volume_change_relative", "Change of volume as share of the scan before"),
        PERCENT, DETECTION_MASK,
    ),
    Measure("limit_mm3", local("volume_change_limit", "What a change of volume must exceed to be called"), MM3),
    Measure("diameter_change_mm", local("diameter_change", "Change of longest diameter since the scan before"), MM),
    Measure("diameter_limit_mm", local("diameter_change_limit", "What a change of diameter must reach to count"), MM),
)  # fmt: skip
"""Columns of changes in a follow-up report."""


def change(state: str) -> Triple:
    """The term for what became of a finding: a standard one where there is one, else our own."""
    words = {
        "not_seen_before": "Seen, where the scan before may not have shown it",
        "seen_again": "Seen again, not seen in the scan before",
    }
    own = local(state, words.get(state, f"In follow-up: {state.replace('_', ' ')}"))
    return CHANGES.get(state, own)


@cache
def code(triple: Triple) -> CodedConcept:
    """A triple as a coded entry; made once, since a report holds each of them hundreds of times."""
    from highdicom.sr import CodedConcept

    value, scheme, meaning = triple
    return CodedConcept(value, scheme, meaning)


def descriptors(pattern: str) -> list[Triple]:
    """The terms for a pattern: a standard one where there is one, and our own unless that means the same."""
    near, exact = PATTERNS.get(pattern, (None, False))
    own = local(pattern, f"Calcification of {pattern.replace('_', '-')} form")
    return [t for t in (near, None if exact else own) if t is not None]


def site(organ: str) -> Triple | None:
    """The finding site that the name of a mask stands for; None where it is not one of ours."""
    said = re.findall("[a-z]+", organ.lower())
    if VESSELS_AND_PARTS.intersection(said) and "coronary" not in said:
        return None
    return next((SITES[word] for word in said if word in SITES), None)
