"""What lies around a component: its background, and how far HU falls next to it.

The only per-candidate loop of the detection: it runs over those that passed size and noise, each on its own crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .distance import squared_distance
from .volume import Volume

NEAR_MM = 3.0
"""HU fall is looked for within this distance."""
ROUNDING = 1e-5
"""Spacings are known to rounding: a voxel exactly at a limit must not depend on how the grid is turned."""
SHELL_MM = (3.0, 8.0)
"""The background lies between these distances from the component."""
BACKGROUND_HU = (-150.0, 300.0)
"""Tissue that counts as background: neither air nor bone."""
FEWEST_VOXELS = 20


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Per component, (n,) each; NaN where the surroundings hold too few voxels.

    Parameters
    ----------
    background_mean, background_sd : ndarray
        Median and 1.4826 x MAD, HU, of tissue at 3 to 8 mm that belongs to no candidate.
    p95 : ndarray
        95th percentile of the component, HU.
    drop : ndarray
        How far HU falls within 3 mm: (P95 of the component - P75 of voxels up to 3 mm outside) / (P95 - background),
        1 for an isolated object, near 0 inside a larger bright structure.
    near300 : ndarray
        Share of the voxels up to 3 mm outside that exceed 300 HU.
    """

    background_mean: NDArray[np.float64]
    background_sd: NDArray[np.float64]
    p95: NDArray[np.float64]
    drop: NDArray[np.float64]
    near300: NDArray[np.float64]


def look_around(volume: Volume, components: Components, ceiling: float) -> Surroundings:
    """Measure the surroundings of every component.

    Parameters
    ----------
    components : Components
        On the grid of `volume`.
    ceiling : float
        HU above which a voxel belongs to some candidate and is no background.
    """
    out = np.full((4, len(components)), np.nan)
    margin = np.array([int(SHELL_MM[1] / step * (1 + ROUNDING)) for step in volume.spacing])
    inner = 0.6 * min(volume.spacing[1:])
    p95 = components.quantile(components.values(volume.array), 0.95)
    for k, box in enumerate(components.box):
        before = np.minimum(margin, box[:, 0])
        after = np.minimum(margin, volume.shape - box[:, 1])
        crop = tuple(slice(a, b) for a, b in zip(box[:, 0] - before, box[:, 1] + after, strict=True))
        square = squared_distance(components.crop(k), before, after, volume.spacing)
        around = (square > 0) & (square <= SHELL_MM[1] ** 2 * (1 + ROUNDING))
        if volume.valid is not None:
            around &= volume.valid[crop]
        here = np.flatnonzero(around)  # taking by number is several times faster than by a mask of three axes
        values, square = volume.array[crop].ravel().take(here), square.ravel().take(here)
        near = values.take(np.flatnonzero((square >= inner**2) & (square <= NEAR_MM**2 * (1 + ROUNDING))))
        tissue = (values > BACKGROUND_HU[0]) & (values < min(BACKGROUND_HU[1], ceiling))
        tissue &= square >= SHELL_MM[0] ** 2 * (1 - ROUNDING)
        shell = values.take(np.flatnonzero(tissue))
        if len(shell) < FEWEST_VOXELS or len(near) == 0:
            continue
        background = _quantile(shell, 0.5)
        # A median of whole numbers is a whole or half number: twice the deviation is whole again, and is counted.
        twice = (
            2 * shell.astype(np.int32) - int(2 * background) if shell.dtype.kind == "i" else 2 * (shell - background)
        )
        spread = 1.4826 * _quantile(np.abs(twice), 0.5) / 2
        fall = (p95[k] - _quantile(near, 0.75)) / max(p95[k] - background, 20.0)
        out[:, k] = background, spread, fall, (near > 300).mean()
    return Surroundings(out[0], out[1], p95, out[2], out[3])


def _quantile(values: NDArray[Any], q: float) -> float:
    """Quantile with linear interpolation, as numpy's; whole HU are counted, which takes a fifth of the time."""
    if values.dtype.kind != "i":
        return float(np.quantile(values.astype(np.float64), q))
    low = int(values.min())
    up_to = np.cumsum(np.bincount(values.astype(np.int64) - low))
    place = (len(values) - 1) * q
    below, above = np.searchsorted(up_to, (np.floor(place), np.ceil(place)), side="right") + low
    return float(below + (above - below) * (place - np.floor(place)))


SMOOTH_MM = (0.8, 1.2, 1.2)
"""Standard deviation of the matched filter (slice, row, column): about the size of the smallest focus worth finding."""
RING_MM = (4.0, 20.0)
RING_HU = 120.0
"""The ring in the slice whose smoothed noise a focus is compared with, and how far from the background it may lie."""


def matched_snr(volume: Volume, components: Components, background: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each component stands out of its ring after smoothing, in robust standard deviations, (n,).

    Smoothing gathers the voxels of a real focus and averages noise away, so that extent counts and not the peak alone:
    five standard deviations of a voxel occur by chance tens of times in a scan.
    """
    from scipy import ndimage

    out = np.full(len(components), np.nan)
    sigma = np.divide(SMOOTH_MM, volume.spacing)
    margin = np.array([np.ceil(3 * sigma[0]), *(np.ceil(RING_MM[1] / s) for s in volume.spacing[1:])]).astype(int)
    offsets = components.voxel_offsets
    for k, box in enumerate(components.box):
        low = np.maximum(box[:, 0] - margin, 0)
        high = np.minimum(box[:, 1] + margin, volume.shape)
        crop = volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
        smooth = ndimage.gaussian_filter(crop, sigma, truncate=3)
        own = components.coordinates[offsets[k] : offsets[k + 1]] - low
        peak = own[np.argmax(smooth[tuple(own.T)])]
        plane = smooth[peak[0]]
        y, x = np.ogrid[: plane.shape[0], : plane.shape[1]]
        away = np.hypot((y - peak[1]) * volume.spacing[1], (x - peak[2]) * volume.spacing[2])
        ring = plane[(away > RING_MM[0]) & (away < RING_MM[1]) & (np.abs(plane - background[k]) < RING_HU)]
        if len(ring) >= FEWEST_VOXELS:
            middle = np.median(ring)
            out[k] = (plane[peak[1], peak[2]] - middle) / max(1.4826 * np.median(np.abs(ring - middle)), 0.1)
    return out
