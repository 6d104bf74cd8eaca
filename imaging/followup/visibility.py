"""Whether what one scan shows could be seen in the other: a finding without partner is new or resolved only then."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from .exam import Exam
from .params import FollowupParams

DENSE_SHARE = 0.5
"""Share of a mask that is dense in the other scan, too, from which it is still there."""
SINGLE_SLICE = "single_slice_finding"
VOLUME_FACTOR = 4.0
"""An excluded candidate up to this many times larger or smaller may be the same thing."""


def hidden(finder: Exam, k: int, other: Exam, places: NDArray[np.float64], is_new: bool, params: FollowupParams) -> str:
    """Why finding `k` of one scan may be missing in the other although it is there; empty where nothing explains it.

    Parameters
    ----------
    finder : Exam
        The scan that shows it.
    k : int
        Its place in the table.
    other : Exam
        The scan that does not.
    places : (n, 3) ndarray
        Its voxels, taken to the other scan, LPS mm.
    is_new : bool
        Whether `other` is the earlier scan.
    params : FollowupParams
    """
    within = other.inside(places)
    where = "baseline" if is_new else "follow-up"
    if within.mean() < 0.99:
        return f"outside the field of view of the {where}"
    if not is_new and "touches_border" in str(finder.words("flags")[k]).split(";"):
        return "cut off at the border of the baseline"
    if is_new and "touches_border" in str(finder.words("flags")[k]).split(";") and not other.inside(places, -1.5).all():
        return "at the border of both scans"
    return _still_there(finder, k, other, places, where, params) or _undetectable(
        finder, k, other, is_new, where, params
    )


def _still_there(
    finder: Exam, k: int, other: Exam, places: NDArray[np.float64], where: str, params: FollowupParams
) -> str:
    """Something dense lies there and was left out, for whatever reason."""
    left_out = _excluded_near(finder, k, other, places, params)
    if other.image is None:
        return f"left out in the {where} as {left_out}" if left_out else ""
    index = np.rint(geometry.to_index(other.affine, places)).astype(int)
    values = other.image.array[tuple(np.clip(index, 0, np.array(other.components.shape) - 1).T)]
    level = other.number("threshold_grow_hu")
    level = finder.number("threshold_grow_hu") if math.isnan(level) else level
    share = float((values > level).mean()) if not math.isnan(level) else 0.0
    if share < DENSE_SHARE:
        return ""
    how = f"left out as {left_out}" if left_out else "part of something larger, or below size or noise"
    return f"{share:.0%} of it are dense in the {where}, too: {how}"


def _excluded_near(finder: Exam, k: int, other: Exam, places: NDArray[np.float64], params: FollowupParams) -> str:
    """Reason of the nearest excluded candidate that may be the same thing; empty where there is none."""
    table = other.excluded
    if not len(table):
        return ""
    at = table[[f"centroid_{a}_mm" for a in "xyz"]].to_numpy(dtype=float)
    apart = np.linalg.norm(at - places.mean(axis=0), axis=1)
    ratio = table["volume_mm3"].to_numpy(dtype=float) / max(float(finder.column("volume_mm3")[k]), 1e-9)
    fits = (apart <= params.gate_mm / 2) & (ratio < VOLUME_FACTOR) & (ratio > 1 / VOLUME_FACTOR)
    nearest = np.argmin(np.where(fits, apart, np.inf))
    return str(table["reason"].iloc[int(nearest)]).replace("_", " ") if fits.any() else ""


def _undetectable(finder: Exam, k: int, other: Exam, is_new: bool, where: str, params: FollowupParams) -> str:
    """Too small or too faint for the other scan."""
    volume = float(finder.column("volume_mm3")[k])
    voxels = volume / other.voxel_mm3
    enough = volume > params.certain_new_mm3 or voxels >= params.certain_voxels if is_new else (
        volume >= params.certain_resolved_mm3
    )  # fmt: skip
    if not enough:
        return f"{volume:.1f} mm3 may be missed by the {where}, present or not"
    peak, background = float(finder.column("intensity_max")[k]), float(finder.column("background_mean")[k])
    size = float(finder.column("equivalent_diameter_mm")[k])
    needed = other.number("threshold_peak_hu")
    if any(map(math.isnan, (peak, background, size, needed))):
        return ""
    # A slice thicker than the finding shows it fainter, in either scan; one that lies in a single slice may be cut in
    # two by the slices of the other.
    kept = [min(1.0, size / e.number("slice_spacing_mm")) for e in (other, finder)]
    halved = 0.5 if SINGLE_SLICE in str(finder.words("flags")[k]).split(";") else 1.0
    expected = background + (peak - background) * halved * min(1.0, kept[0] / kept[1])
    noise = params.certain_sd * math.hypot(*(np.nan_to_num(e.number("noise_sd_hu")) for e in (finder, other)))
    if expected - noise < needed:
        return f"its peak could be {expected - noise:.0f} HU in the {where}, which takes {needed:.0f} HU"
    return ""
