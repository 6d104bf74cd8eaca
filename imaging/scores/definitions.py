"""Named definitions of the Agatston score: what a program or paper does, in numbers, and where that is written.

To add one, add one `ScoreDefinition` to `SCORES` here; the configuration key, the listing and the text on each row
follow. A parameter that nobody published is left out: a score at a tube voltage without published limits is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._registry import Registry

Limits = tuple[float, float, float, float]
"""HU from which a slice-lesion's peak gives weight 1, 2, 3 and 4; the first is the threshold of the score."""

STANDARD_INCREMENT_MM = 3.0
"""The slices of Agatston et al. 1990 were 3 mm, contiguous: every sum is multiplied by increment / 3 mm."""
KVP_TOLERANCE = 0.5
ROUNDING = 1e-9
"""Relative; forgives the rounding of pixel spacings where an area stands exactly at its minimum."""

AT_120: Limits = (130.0, 200.0, 300.0, 400.0)
AT_100: Limits = (147.0, 200.0, 300.0, 400.0)
"""At 100 kV FQM_Analysis raises the threshold to 147 HU and keeps the limits of the weights."""
FQM_ANALYSIS = "FQM_Analysis 1.0 (van Praagh et al. 2021, doi:10.1002/mp.14912)"
VENDOR_NOTE = "restated from the phantom study's program, not from the vendor"


@dataclass(frozen=True)
class ScoreDefinition:
    """One way to compute an Agatston score.

    Parameters
    ----------
    name : str
        Value of ``scores.definition``.
    definition : str
        What it is, one sentence.
    source : str
        Where its parameters are written.
    limits_hu : mapping of float to Limits
        By tube voltage, kV.
    connectivity : 4 or 8
        Neighbours of a pixel in a slice.
    min_area_mm2 : float
        A slice-lesion counts from this area on.
    exceeds : bool
        True: only above that area, not at it.
    min_pixels : int
        And from this number of pixels on.
    volume_hu : mapping of float to float
        By tube voltage: threshold of volume and mass where it is not that of the score. With an entry at one voltage,
        volume and mass are missing at voltages without.
    """

    name: str
    definition: str
    source: str
    limits_hu: Mapping[float, Limits]
    connectivity: Literal[4, 8]
    min_area_mm2: float = 0.0
    exceeds: bool = False
    min_pixels: int = 1
    volume_hu: Mapping[float, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits_hu", MappingProxyType(dict(self.limits_hu)))
        object.__setattr__(self, "volume_hu", MappingProxyType(dict(self.volume_hu)))
        for limits in self.limits_hu.values():
            if list(limits) != sorted(limits):
                raise ValueError(f"limits of score {self.name!r} must ascend")

    def limits_at(self, kvp: float) -> Limits | None:
        """Limits at a tube voltage; None where none are published."""
        return next((v for k, v in self.limits_hu.items() if abs(k - kvp) <= KVP_TOLERANCE), None)

    def volume_threshold(self, kvp: float, limits: Limits) -> float | None:
        """HU from which voxels count for volume and mass; None where it is not published at this voltage."""
        if not self.volume_hu:
            return limits[0]
        return next((v for k, v in self.volume_hu.items() if abs(k - kvp) <= KVP_TOLERANCE), None)

    def counts(self, n_pixels: NDArray[Any], pixel_mm2: float) -> NDArray[np.bool_]:
        """Which slice-lesions are large enough, (n,) bool."""
        area = n_pixels * pixel_mm2
        slack = 1 + ROUNDING if self.exceeds else 1 - ROUNDING
        large = area > self.min_area_mm2 * slack if self.exceeds else area >= self.min_area_mm2 * slack
        return np.asarray(large & (n_pixels >= self.min_pixels))

    @property
    def size_rule(self) -> str:
        """The minimum size in words."""
        if self.min_area_mm2:
            return f"area {'>' if self.exceeds else '>='} {self.min_area_mm2:g} mm2"
        return f"at least {self.min_pixels} pixels" if self.min_pixels > 1 else "no minimum area"

    def describe(self, limits: Limits, voltage: str) -> str:
        """The definition with the parameters in use, as it stands on each row."""
        weights = "/".join(f"{v:g}" for v in limits)
        return (
            f"{self.name}: >= {limits[0]:g} HU, weights 1/2/3/4 from {weights} HU ({voltage}), "
            f"{self.connectivity}-connected in the slice, {self.size_rule}, x increment / {STANDARD_INCREMENT_MM:g} mm"
        )


SCORES: Registry[ScoreDefinition] = Registry("score definition")

for _entry in (
    ScoreDefinition(
        "literature",
        "The score as published: slice-lesions of at least 1 mm2, weight by their peak.",
        f"Agatston et al. 1990 (threshold, weights, 3 mm slices); connectivity, 1 mm2 rule and 147 HU at 100 kV from "
        f"{FQM_ANALYSIS}, method literatureCAC",
        {120: AT_120, 100: AT_100},
        connectivity=4,
        min_area_mm2=1.0,
    ),
    ScoreDefinition(
        "ge",
        "As GE workstations are reported to score: the rules of the literature.",
        f"{FQM_ANALYSIS}, method GE; {VENDOR_NOTE}",
        {120: AT_120, 100: AT_100},
        connectivity=4,
        min_area_mm2=1.0,
    ),
    ScoreDefinition(
        "fqm",
        "The Python version of the Fully Automated Quantification Method: 8-connected, more than 1 mm2.",
        "van Praagh et al. 2021 (doi:10.1002/mp.14912), Python program; its published rows for the QRM phantom are "
        "reproduced to 3 decimals, which 4-connectivity does not; 147 HU at 100 kV from the same program",
        {120: AT_120, 100: AT_100},
        connectivity=8,
        min_area_mm2=1.0,
        exceeds=True,
    ),
    ScoreDefinition(
        "siemens",
        "As Siemens workstations are reported to score: no minimum area.",
        f"{FQM_ANALYSIS}, method Siemens; weights in the Somatom Sensation manual, p. 186; {VENDOR_NOTE}",
        {120: AT_120, 100: AT_100},
        connectivity=4,
    ),
    ScoreDefinition(
        "philips",
        "As Philips workstations are reported to score: from 0.5 mm2; volume and mass from 112.5 HU (100 mg/cm3).",
        f"{FQM_ANALYSIS}, method Philips; the threshold of volume and mass is known at 120 kV only; {VENDOR_NOTE}",
        {120: AT_120, 100: AT_100},
        connectivity=4,
        min_area_mm2=0.5,
        volume_hu={120: 112.5},
    ),
    ScoreDefinition(
        "canon",
        "As Canon workstations are reported to score: from 3 pixels, whatever their size.",
        f"{FQM_ANALYSIS}, method Canon; {VENDOR_NOTE}",
        {120: AT_120, 100: AT_100},
        connectivity=4,
        min_pixels=3,
    ),
    ScoreDefinition(
        "kv_adapted",
        "Threshold and weights that move with the tube voltage; otherwise as the literature.",
        "limits of CalciumScoring.jl (MIT) at 70, 80, 100 and 135 kV, taken as inclusive; none was found "
        f"for 90, 110, 130 or 140 kV, so none is given; connectivity and 1 mm2 rule from {FQM_ANALYSIS}",
        {
            70: (207.0, 318.0, 477.0, 636.0),
            80: (177.0, 271.0, 408.0, 544.0),
            100: (145.0, 222.0, 334.0, 446.0),
            120: AT_120,
            135: (119.0, 183.0, 274.0, 364.0),
        },
        connectivity=4,
        min_area_mm2=1.0,
    ),
):
    SCORES.add(_entry.name, _entry)
