"""Rays from the centre of a fitted shell: how many layers they meet, and how HU rise towards the rim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mesh import Packed
from .sphere import directions, holds
from .volume import Volume

EVERY = 4
"""Every fourth of the 1000 directions."""
ENTRIES = 2
CORE, RIM = 0.3, 0.7
"""Shares of the way from the centre to the surface: the inner and the outer 30 %."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rays:
    """Per finding, (n,) each; NaN where no rays were cast.

    Parameters
    ----------
    layers : ndarray
        Mean number of times that a ray enters the mask, of rays that do.
    layered : ndarray
        Share of all rays that enter it at least twice.
    slope : ndarray
        Median over rays of mean HU of the outer 30 % minus the inner 30 % of the way to the outermost mask voxel.
    fade : ndarray
        Where HU between them lie: 0 at the core's level (a wall with an inner edge), 0.5 half-way (a gradual rise).
    """

    layers: Floats
    layered: Floats
    slope: Floats
    fade: Floats


def cast_rays(packed: Packed, volume: Volume, centre: Floats, wanted: NDArray[np.bool_]) -> Rays:
    """Cast 250 rays from `centre` (voxel index, (n, 3)) of every wanted finding."""
    from scipy import ndimage

    parts = packed.components
    values = np.full((4, len(parts)), np.nan)
    matrix = volume.affine[:3, :3]
    outwards = directions()[::EVERY] @ np.linalg.inv(matrix).T  # index steps per mm
    for m in np.flatnonzero(wanted & ~np.isnan(centre).any(axis=1)):
        low, high = parts.box[m].T
        corners = np.array([[low[0], low[1], low[2]], [high[0], high[1], high[2]]]) - centre[m]
        reach = np.linalg.norm(np.abs(corners).max(axis=0) * volume.spacing)
        radii = np.arange(0, reach, min(volume.spacing) / 2)
        index = centre[m] + outwards[:, None] * radii[:, None]
        inside = holds(packed, m, index)
        entries = inside[:, 0] + (inside[:, 1:] & ~inside[:, :-1]).sum(axis=1)
        met = entries > 0
        if not met.any():
            continue
        values[0, m], values[1, m] = entries[met].mean(), (entries >= ENTRIES).mean()
        last = len(radii) - 1 - inside[met, ::-1].argmax(axis=1)
        box_low = np.maximum(low - 1, 0)
        crop = volume.array[tuple(slice(a, b + 1) for a, b in zip(box_low, high, strict=True))]
        hu = ndimage.map_coordinates(
            crop.astype(np.float32), (index[met] - box_low).reshape(-1, 3).T, order=1, mode="nearest"
        ).reshape(inside[met].shape)
        share = np.arange(len(radii)) / np.maximum(last, 1)[:, None]
        core, rim = _mean(hu, share <= CORE), _mean(hu, (share >= RIM) & (share <= 1))
        middle = _mean(hu, (share > CORE) & (share < RIM))
        values[2, m] = np.nanmedian(rim - core) if not np.isnan(rim - core).all() else np.nan
        rise = float(np.nanmedian(rim) - np.nanmedian(core))
        if rise > 0:
            values[3, m] = (np.nanmedian(middle) - np.nanmedian(core)) / rise
    return Rays(*values)


def _mean(values: NDArray[np.float32], where: NDArray[np.bool_]) -> Floats:
    """Mean of each row where `where`; NaN for rows without."""
    count = where.sum(axis=1)
    total = np.where(where, values, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
