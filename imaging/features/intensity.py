"""How dense a finding is, and how sharp its edge. Intensity on the detection mask, HU for CT."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature

SHARP_STEPS = 3.0
"""Voxel steps (geometric mean) up to which an edge is sharp; a step reads 2 to 2.5."""
SHARP_MM = 2.5
"""And up to this many mm: the width of an edge that only the point spread of a soft kernel blurs."""


@feature("intensity_mean", unit="HU", source="IBSI Q4LE")
def intensity_mean(f: Foci) -> Array:
    """Mean of the detection mask."""
    return f.mask.mean_and_sd(f.values)[0]


@feature("intensity_sd", unit="HU", source="square root of IBSI ECT3 (population variance)")
def intensity_sd(f: Foci) -> Array:
    """Population standard deviation of the detection mask."""
    return f.mask.mean_and_sd(f.values)[1]


@feature("intensity_min", unit="HU", source="IBSI 1GSF")
def intensity_min(f: Foci) -> Array:
    """Smallest value of the detection mask."""
    return f.mask.minimum(f.values).astype(float)


@feature("intensity_median", unit="HU", source="IBSI Y12H")
def intensity_median(f: Foci) -> Array:
    """Median of the detection mask."""
    return f.mask.quantile(f.values, 0.5)


@feature("intensity_p95", unit="HU", source="95th percentile, linear interpolation")
def intensity_p95(f: Foci) -> Array:
    """95th percentile of the detection mask."""
    return f.mask.quantile(f.values, 0.95)


@feature("intensity_max", unit="HU", source="IBSI 84IY")
def intensity_max(f: Foci) -> Array:
    """Largest value of the detection mask."""
    return f.mask.maximum(f.values).astype(float)


@feature("intensity_unit", unit="", dtype="string", source="unit of the volume")
def intensity_unit(f: Foci) -> Array:
    """Unit of the intensity columns: HU for CT."""
    return np.full(len(f), f.volume.unit, dtype=object)


@feature("edge_gradient_per_mm", unit="HU/mm", source="median of |gradient| over surface voxels")
def edge_gradient(f: Foci) -> Array:
    """Median steepness at the surface of the half-maximum mask, central differences in mm."""
    return f.edge_gradient


@feature("edge_width_mm", unit="mm", source="(P95 - background) / edge gradient")
def edge_width(f: Foci) -> Array:
    """Distance over which HU would fall from P95 to the background at the edge gradient."""
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (intensity_p95(f) - f.background[0]) / f.edge_gradient
    return np.where(f.edge_gradient > 0, width, np.nan)


@feature("margin", unit="", dtype="string", source="edge_width_mm against the sampling and the point spread of CT")
def margin(f: Foci) -> Array:
    """Sharp where the edge is at most as wide as 3 voxel steps (geometric mean) or 2.5 mm; else blurred."""
    limit = max(SHARP_STEPS * np.cbrt(f.voxel_mm3), SHARP_MM)
    width = edge_width(f)
    names = np.where(width <= limit, "sharp", "blurred").astype(object)
    names[np.isnan(width)] = None
    return names


@feature("background_mean", unit="HU", source="median of tissue at 3 to 8 mm that belongs to no candidate")
def background_mean(f: Foci) -> Array:
    """Level of the surroundings; the soft tissue of the scan where they hold too little tissue."""
    return f.background[0]


@feature("background_sd", unit="HU", source="1.4826 MAD of the same voxels")
def background_sd(f: Foci) -> Array:
    """Spread of the surroundings."""
    return f.background[1]


@feature("threshold_hu", unit="HU", source="DetectionParams")
def threshold_used(f: Foci) -> Array:
    """Threshold that the detection mask was taken at; missing for a given segmentation."""
    return f.detection.found.level


@feature("hu_drop", unit="1", source="(P95 - P75 of the 3 mm outside) / (P95 - background)")
def hu_drop(f: Foci) -> Array:
    """How far HU falls within 3 mm of the detection mask: 1 for an isolated focus, near 0 inside a bright structure."""
    return f.surroundings.drop
