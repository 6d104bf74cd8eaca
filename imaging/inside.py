"""HU inside findings by depth: core, profile, plateau, and the volume that the integral of HU tells.

A mask counts a voxel or not; the integral of HU above the background does not care where partial volume put it:
``sum (HU - background) v / (reference - background)`` is unbiased from about 4 mm on (clinical.md section 3.2), if the
HU of the material is known. It is where HU has reached a plateau inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .distance import squared_distance
from .mesh import Packed
from .volume import Volume

Floats = NDArray[np.float64]

N_SHELLS = 5
DEEP, FLAT = (0.6, 0.8), 0.07
"""A plateau: means from 0.6 to 0.8 and beyond 0.8 of the largest depth differ by at most 7 % of the contrast, and the
standard error of their difference is no larger."""
REACH_MM, STEP_MM = 2.0, 1.4
"""Partial volume is gathered up to 2 mm outside; steps of the grid count as 1.4 mm at most, so that the next slice and
its neighbours always belong."""


@dataclass(frozen=True, eq=False)
class Inside:
    """Per finding; NaN where a shell holds no voxel, or no voxel lies inside the surface.

    Parameters
    ----------
    n_core : (n,) ndarray
        Voxels of the mask none of whose six neighbours lies outside.
    core : (n,) ndarray
        Their mean, HU.
    profile : (n, 5) ndarray
        Mean HU in five equal shells of depth (distance to the nearest voxel outside), from the least to the largest.
    plateau : (n,) ndarray
        HU of the material: mean of the core beyond 0.6 of the largest depth, where it is flat.
    """

    n_core: NDArray[np.int64]
    core: Floats
    profile: Floats
    plateau: Floats


def look_inside(volume: Volume, packed: Packed, background: tuple[Floats, Floats]) -> Inside:
    """Core, profile by depth and plateau of components.

    Parameters
    ----------
    background : tuple of (n,) ndarray
        Mean and standard deviation round each component, HU.
    """
    parts, n = packed.components, len(packed.components)
    values, owner = parts.values(volume.array).astype(float), parts.component
    inner = ~packed.open_sides().any(axis=1)
    n_core = np.bincount(owner[inner], minlength=n)
    depth = _depth(packed, np.flatnonzero(n_core), volume.spacing)
    least, most = (np.repeat(a, parts.n_voxels) for a in (parts.minimum(depth), parts.maximum(depth)))
    share = (depth - least) / np.maximum(most - least, 1e-9)  # 0 at the surface, however few layers there are
    shell = np.minimum((share * N_SHELLS + 1e-6).astype(np.int64), N_SHELLS - 1)
    shown = n_core[owner] > 0
    _, profile = _means(values[shown], (owner * N_SHELLS + shell)[shown], n * N_SHELLS)
    deep = depth / most  # from the border of the mask: a layer of surface voxels is no part of a plateau
    ring = inner & (deep > DEEP[0])
    counts, levels = (a.reshape(n, 2) for a in _means(values[ring], (owner * 2 + (deep > DEEP[1]))[ring], 2 * n))
    with np.errstate(divide="ignore", invalid="ignore"):
        level = (counts * np.nan_to_num(levels)).sum(axis=1) / counts.sum(axis=1)
        slack = FLAT * (level - background[0])
        error = background[1] * np.sqrt((1 / counts).sum(axis=1))
        flat = (np.abs(levels[:, 1] - levels[:, 0]) <= slack) & (np.nan_to_num(error) <= slack)
    return Inside(
        n_core, _means(values[inner], owner[inner], n)[1], profile.reshape(n, N_SHELLS), np.where(flat, level, np.nan)
    )


def integrated_volume(
    volume: Volume, parts: Components, masks: Components, ceiling: float, background: Floats, plateau: Floats
) -> Floats:
    """Volume of material that the HU in and round each component amount to, mm3; NaN without a plateau.

    Parameters
    ----------
    parts, masks : Components
        Half-maximum and detection mask of each finding; what is in the detection mask of another is left out.
    ceiling : float
        HU above which a voxel outside of both belongs to something else: another candidate, bone, contrast.
    background, plateau : (n,) ndarray
        HU of the surroundings and of the material.
    """
    out = np.full(len(parts), np.nan)
    step = np.minimum(volume.spacing, STEP_MM)
    margin = (REACH_MM / step).astype(np.int64)
    for k in np.flatnonzero(np.isfinite(plateau) & np.isfinite(background)).tolist():  # on crops: each has its own rim
        box = parts.box[k]
        low, high = np.maximum(box[:, 0] - margin, 0), np.minimum(box[:, 1] + margin, volume.shape)
        crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        square = squared_distance(parts.crop(k), box[:, 0] - low, high - box[:, 1], tuple(step))
        values = volume.array[crop]
        here = (square <= REACH_MM**2) & ((values <= ceiling) | (square == 0))
        near = np.flatnonzero(((masks.box[:, :, 0] < high) & (masks.box[:, :, 1] > low)).all(axis=1))
        for other in (k, *near[near != k]):
            at = masks.coordinates[slice(*masks.voxel_offsets[other : other + 2])]
            at = at[((at >= low) & (at < high)).all(axis=1)] - low
            at = at[square[tuple(at.T)] <= REACH_MM**2]
            here[tuple(at.T)] = other == k
        if volume.valid is not None:
            here &= volume.valid[crop]
        inside = values.ravel().take(np.flatnonzero(here))
        excess = inside.sum(dtype=float) - len(inside) * background[k]
        out[k] = excess * volume.voxel_volume_mm3 / (plateau[k] - background[k])
    return out


def _depth(packed: Packed, which: NDArray[np.int64], spacing: tuple[float, float, float]) -> Floats:
    """Distance (mm) to the nearest voxel centre outside of every voxel of the components `which`; 1 in the others."""
    from scipy import ndimage

    parts = packed.components
    depth = np.ones(len(parts.voxels))
    for k in which:
        own = slice(*parts.voxel_offsets[k : k + 2])
        sides = np.diff(parts.box[k], axis=1)[:, 0] + 2
        first = packed.base[k]
        alone = packed.mask[first : packed.base[k + 1]].reshape(sides)
        depth[own] = ndimage.distance_transform_edt(alone, sampling=spacing).ravel()[packed.place[own] - first]
    return depth


def _means(values: Floats, group: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], Floats]:
    """Count and mean of each of `n` groups; NaN where one is empty."""
    counts = np.bincount(group, minlength=n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return counts, np.bincount(group, values, n) / counts
