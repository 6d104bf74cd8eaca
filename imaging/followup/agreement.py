"""How well two scans lie upon each other, judged place by place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_HU = (-160.0, 240.0)
"""Soft tissue and fat, with bone and air at the ends: what tells one patient from another."""
RADIUS = 2
"""Voxels on both sides: places of 20 mm at steps of 4 mm."""
STRUCTURE_HU = 25.0
"""Standard deviation within a place from which it shows structure, not noise."""
BODY_HU = -300.0
FEWEST_PLACES = 500


@dataclass(frozen=True)
class Agreement:
    """Local correlation of two scans over the places with structure.

    Parameters
    ----------
    median : float
        Of the local correlations; NaN where there is too little to compare.
    share : float
        Share of places that agree (correlation above `FollowupParams.agreement`).
    n : int
        Places.
    overlap : float
        Share of the smaller scan that both scans hold.
    """

    median: float
    share: float
    n: int
    overlap: float


def agreement(
    fixed: NDArray[np.float32],
    moved: NDArray[np.float32],
    both: NDArray[np.bool_],
    least: float,
    smaller: int,
) -> Agreement:
    """Local correlation of two images on one grid, HU.

    In a window of 5 voxels round every voxel of the body that shows structure in either image. Unlike a correlation
    over the whole image, which any two torsos make large, it asks whether the details are the same ones.

    Parameters
    ----------
    fixed, moved : (z, y, x) ndarray
    both : (z, y, x) ndarray of bool
        Where both scans hold real voxels.
    least : float
        Local correlation from which a place agrees.
    smaller : int
        Voxels of the smaller scan.
    """
    from scipy import ndimage

    def local(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(values, 2 * RADIUS + 1, mode="constant"))

    weight = both.astype(np.float32)
    share = np.maximum(local(weight), 1e-6)
    # About the middle of the window: squares of small numbers keep their digits in float32.
    a, b = ((np.clip(v, *WINDOW_HU) - np.float32(np.mean(WINDOW_HU))) * weight for v in (fixed, moved))
    mean_a, mean_b = local(a) / share, local(b) / share
    var_a, var_b = local(a * a) / share - mean_a**2, local(b * b) / share - mean_b**2
    # Structure in either: where one scan shows an edge and the other one none they do not agree.
    use = both & (share > 0.8) & (np.maximum(var_a, var_b) > STRUCTURE_HU**2)
    use &= np.maximum(ndimage.uniform_filter(fixed, 3), ndimage.uniform_filter(moved, 3)) > BODY_HU
    n = int(use.sum())
    overlap = float(both.sum() / max(smaller, 1))
    if n < FEWEST_PLACES:
        return Agreement(float("nan"), 0.0, n, overlap)
    covariance = local(a * b) / share - mean_a * mean_b
    floor = np.float32(STRUCTURE_HU**2 / 4)
    found = covariance[use] / np.sqrt(np.maximum(var_a[use], floor) * np.maximum(var_b[use], floor))
    return Agreement(float(np.median(found)), float((found > least).mean()), n, overlap)
