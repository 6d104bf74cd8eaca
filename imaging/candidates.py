"""Candidates from a component tree over rising thresholds.

One threshold merges an aortic plaque with the spine and the contrast-filled lumen; a rising threshold frees it. At
every level what has become small is a candidate, what is still large goes on to the next level, re-labelled only
inside itself, on runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components, Indices
from .volume import Volume

LEVELS_HU = (130, 150, 180, 200, 250, 300, 350, 400, 500, 600, 800, 1000)
BONE_LEVEL_HU = 180
"""At this level the size of what a candidate was part of is remembered: bone is more than 5 cm3 there."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Components of a volume above a floor, split where they are large.

    Parameters
    ----------
    small : Components
        Candidates, by level and raster order.
    level : (n,) ndarray
        HU above which each candidate was taken.
    parent_mm3 : (n,) ndarray
        Volume at 180 HU of what the candidate was part of; 0 for candidates that were apart below 180 HU.
    parent : (n,) ndarray of int
        Number in `large` of the structure the candidate was split off from, -1 for those apart at the floor.
    large : Components
        What is too large at the floor, whole.
    """

    small: Components
    level: NDArray[np.float64]
    parent_mm3: NDArray[np.float64]
    parent: Indices
    large: Components


def grow_tree(
    volume: Volume,
    floor: Components,
    floor_hu: float,
    *,
    max_volume_mm3: float,
    max_extent_mm: float,
    min_persistence_hu: float,
    min_voxels: int,
    connectivity: int,
) -> Tree:
    """Split what is large by rising thresholds.

    Parameters
    ----------
    floor : Components
        Components above `floor_hu`, any size.
    max_volume_mm3, max_extent_mm : float
        A component beyond either is split further; extent is the diagonal of its box.
    min_persistence_hu : float
        A piece split off counts only if it rises at least this much above its level: else it is texture of the larger
        structure.
    min_voxels : int
        Smaller pieces are dropped.
    """
    array, voxel_mm3 = volume.array, volume.voxel_volume_mm3

    def is_small(parts: Components) -> NDArray[np.bool_]:
        extent = np.linalg.norm(np.diff(parts.box, axis=2)[:, :, 0] * volume.spacing, axis=1)
        return np.asarray((parts.n_voxels * voxel_mm3 <= max_volume_mm3) & (extent <= max_extent_mm))

    fits = is_small(floor)
    large = floor.take(~fits)
    kept: list[tuple[Components, float, NDArray[Any], NDArray[Any]]] = []
    kept.append((floor.take(fits), floor_hu, np.zeros(fits.sum()), np.full(fits.sum(), -1)))
    pending: Components = large
    at_bone_level: NDArray[Any] = np.zeros(len(large))
    ancestor: NDArray[Any] = np.arange(len(large))
    for level in (float(v) for v in LEVELS_HU if v > floor_hu):
        if not len(pending):
            break
        inside = pending.values(array) > level
        order = np.argsort(pending.voxels[inside])
        voxels = pending.voxels[inside][order]
        parts = Components.from_voxels(voxels, volume.shape, connectivity)
        origin = _owner(parts, voxels, pending.component[inside][order])
        parent_mm3 = at_bone_level[origin] if level > BONE_LEVEL_HU else parts.n_voxels * voxel_mm3
        fits = is_small(parts)
        peak = parts.maximum(parts.values(array))
        good = fits & (parts.n_voxels >= min_voxels) & (peak - level >= min_persistence_hu)
        kept.append((parts.take(good), level, parent_mm3[good], ancestor[origin][good]))
        pending = parts.take(~fits)
        at_bone_level, ancestor = parent_mm3[~fits], ancestor[origin][~fits]
    return Tree(
        small=Components.concatenate([k[0] for k in kept], volume.shape),
        level=np.concatenate([np.full(len(k[0]), k[1]) for k in kept]),
        parent_mm3=np.concatenate([k[2] for k in kept]),
        parent=np.concatenate([k[3] for k in kept]).astype(np.int64),
        large=large,
    )


def _owner(parts: Components, voxels: Indices, owner: NDArray[np.int32]) -> NDArray[np.int32]:
    """For every part the entry of `owner` (given for the sorted `voxels`) at its first voxel."""
    first = parts.row[parts.offsets[:-1]] * parts.shape[2] + parts.start[parts.offsets[:-1]]
    return owner[np.searchsorted(voxels, first)]
