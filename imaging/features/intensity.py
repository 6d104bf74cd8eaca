"""How dense a finding is, and how sharp its edge. Intensity on the detection mask, HU for CT."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature


@feature("intensity_mean", unit="HU", source="IBSI Q4LE")
def intensity_mean(f: Foci) -> Array:
    """Mean of the detection mask."""
    return f.mask.mean_and_sd(f.values)[0]


@feature("intensity_sd", unit="HU", source="square root of IBSI ECT3 (population variance)")
def intensity_sd(f: Foci) -> Array:
    """Population standard deviation of the detection mask; missing for one voxel."""
    return np.where(f.mask.n_voxels > 1, f.mask.mean_and_sd(f.values)[1], np.nan)


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


@feature("integrated_intensity", unit="HU mm3", source="IBSI 99N0, half-maximum mask")
def integrated_intensity(f: Foci) -> Array:
    """Mean HU times mesh volume; missing below 4 voxels."""
    mean = f.shape.mean_and_sd(f.shape.values(f.volume.array))[0]
    return np.where(f.formed, mean * f.surfaces[0], np.nan)


@feature("fraction_above_400", unit="1", source="share of voxels, detection mask")
def fraction_above_400(f: Foci) -> Array:
    """Share of the detection mask above 400 HU, the densest class of the Agatston weights."""
    return f.mask.total(f.values > 400) / f.mask.n_voxels


@feature("fraction_above_1000", unit="1", source="share of voxels, detection mask")
def fraction_above_1000(f: Foci) -> Array:
    """Share of the detection mask above 1000 HU: dense stone, cortical bone."""
    return f.mask.total(f.values > 1000) / f.mask.n_voxels


@feature("core_voxels", unit="", dtype="Int64", source="erosion by the six neighbours, half-maximum mask")
def core_voxels(f: Foci) -> Array:
    """Voxels of the half-maximum mask none of whose six neighbours lies outside."""
    return f.inside.n_core


@feature("core_mean", unit="HU", source="mean of the eroded half-maximum mask")
def core_mean(f: Foci) -> Array:
    """Mean of the core, the least affected by partial volume; missing where every voxel lies at the surface."""
    return f.inside.core


def _depth_hu(number: int, where: str) -> None:
    """Register the mean HU of one shell of depth."""

    def mean(f: Foci) -> Array:
        return f.inside.profile[:, number - 1]

    mean.__doc__ = (
        f"Mean HU in shell {number} of 5 of the half-maximum mask, {where}: equal steps of depth (distance to the "
        "nearest voxel outside) from the surface voxels to the deepest; missing where the shell, or the core, is empty."
    )
    feature(f"depth_hu_{number}", unit="HU", source="Euclidean distance map, 5 equal shells of normalised depth")(mean)


for _number, _where in enumerate(("outermost", "second", "middle", "fourth", "innermost"), 1):
    _depth_hu(_number, _where)


@feature("plateau_hu", unit="HU", source="core beyond 0.6 of the largest depth")
def plateau(f: Foci) -> Array:
    """HU of the material: mean of the core beyond 0.6 of the largest depth; missing where its inner and outer part
    differ by more than 7 % of the contrast, or hold too few voxels for the noise to tell.
    """
    return f.inside.plateau


@feature("edge_gradient_per_mm", unit="HU/mm", source="median of |gradient| over the faces of the mask")
def edge_gradient(f: Foci) -> Array:
    """Median steepness at the faces of the half-maximum mask: across the face the difference of its two voxels, along
    it central differences; missing below 4 voxels.
    """
    return f.edges.gradient


@feature("edge_width_mm", unit="mm", source="(P95 - background) / edge gradient")
def edge_width(f: Foci) -> Array:
    """Distance over which HU would fall from P95 to the background at the edge gradient."""
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (intensity_p95(f) - f.background[0]) / f.edges.gradient
    return np.where((f.edges.gradient > 0) & (width > 0), width, np.nan)


@feature("edge_blur", unit="1", source="edge width against sampling and the point spread of CT, median over faces")
def edge_blur(f: Foci) -> Array:
    """Width of the edge over what a sharp edge may have there: sqrt((2.25 mm)^2 + (1.8 steps)^2), the step of the grid
    taken in the direction of the gradient. Up to 1 the scan alone explains it.
    """
    blur = f.edges.blur
    return np.where(blur > 0, blur, np.nan)


@feature("margin", unit="", dtype="string", source="edge_blur")
def margin(f: Foci) -> Array:
    """Sharp where `edge_blur` is at most 1: no wider than sampling and point spread explain; else blurred."""
    blur = edge_blur(f)
    names = np.where(blur <= 1, "sharp", "blurred").astype(object)
    names[np.isnan(blur)] = None
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
