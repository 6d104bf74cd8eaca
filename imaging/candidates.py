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

EVEN_SD, BRIGHT_SD, BRIGHT_SHARE, LEAST_NOISE_HU = 1.8, 4.0, 0.15, 10.0
"""A structure is homogeneous if its spread is at most 1.8 times the noise (taken as at least 10 HU) and at most 15 %
of it lies more than 4 SD above its median."""
LUMEN_LEVEL_HU, LUMEN_SD = 150, 2.0
"""Level from which lumens are looked for in an enhanced scan, and noise SD above a lumen at which plaque begins."""
SAMPLED = 20_000
"""Voxels of a structure that its spread is taken from; more are strided over."""
CLEAR_SPREAD = 1.0
"""Times the spread by which the lower quartile of a lumen lies above the threshold it was cut out at."""
LUMEN_MOST_HU = 500.0
"""Contrast agent in vessels and organs stays below; denser structures without texture are bone or a large stone."""


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
    lumen_hu : (n,) ndarray
        Median HU of that structure where it is homogeneous, so contrast agent in a vessel or an organ; else NaN.
    parent : (n,) ndarray of int
        Number in `large` of the structure the candidate was split off from, -1 for those apart at the floor.
    large : Components
        What is too large at the floor, whole.
    """

    small: Components
    level: NDArray[np.float64]
    parent_mm3: NDArray[np.float64]
    lumen_hu: NDArray[np.float64]
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
    noise_sd: float,
    enhanced: bool = False,
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
    noise_sd : float
        HU; tells contrast agent (noise only) from bone (texture).
    enhanced : bool
        In an enhanced scan lumens are looked for from 150 HU on, else from 180 HU.
    """
    array, voxel_mm3 = volume.array, volume.voxel_volume_mm3

    def is_small(parts: Components) -> NDArray[np.bool_]:
        extent = np.linalg.norm(np.diff(parts.box, axis=2)[:, :, 0] * volume.spacing, axis=1)
        return np.asarray((parts.n_voxels * voxel_mm3 <= max_volume_mm3) & (extent <= max_extent_mm))

    fits = is_small(floor)
    large = floor.take(~fits)
    found = [floor.take(fits)]
    level = [np.full(len(found[0]), floor_hu)]
    unknown = (0.0, np.nan)
    inherited = [np.tile(unknown, (len(found[0]), 1))]
    parent: list[NDArray[Any]] = [np.full(len(found[0]), -1)]

    pending, ancestor = large, np.arange(len(large), dtype=np.int64)
    facts = np.tile(unknown, (len(large), 1))  # volume at the bone level, mm3, and HU of a lumen, of what is pending
    lumen_from = LUMEN_LEVEL_HU if enhanced else BONE_LEVEL_HU
    if floor_hu >= lumen_from:
        facts = _facts(volume, large, facts, floor_hu, noise_sd)
    for threshold in (float(v) for v in LEVELS_HU if v > floor_hu):
        if not len(pending):
            break
        inside = pending.values(array) > threshold
        order = np.argsort(pending.voxels[inside])
        voxels = pending.voxels[inside][order]
        parts = Components.from_voxels(voxels, volume.shape, connectivity)
        origin = _owner(parts, voxels, pending.component[inside][order])
        fits = is_small(parts)
        here = facts[origin]
        # What is left of a lumen is cut off at the noise of the lumen, as candidates are at the noise of soft tissue.
        blood = fits & (threshold < here[:, 1] + LUMEN_SD * noise_sd)
        fits &= ~blood
        peak = parts.maximum(parts.values(array))
        good = fits & (parts.n_voxels >= min_voxels) & (peak - threshold >= min_persistence_hu)
        found.append(parts.take(good))
        level.append(np.full(int(good.sum()), threshold))
        inherited.append(here[good])
        parent.append(ancestor[origin][good])
        left = ~fits & (~blood | (parts.n_voxels >= min_voxels))
        pending, ancestor, facts = parts.take(left), ancestor[origin][left], here[left]
        if threshold >= lumen_from:
            facts = _facts(volume, pending, facts, threshold, noise_sd)
    told = np.concatenate(inherited)
    return Tree(
        small=Components.concatenate(found, volume.shape),
        level=np.concatenate(level),
        parent_mm3=told[:, 0],
        lumen_hu=told[:, 1],
        parent=np.concatenate(parent).astype(np.int64),
        large=large,
    )


def _facts(
    volume: Volume, pending: Components, facts: NDArray[np.float64], threshold: float, noise_sd: float
) -> NDArray[np.float64]:
    """What is known of pending structures at the bone level and above, (n, 2): volume there, and HU of a lumen.

    A vessel may part from the spine only at a higher level, so what is no lumen yet is looked at again at each.
    """
    out = facts.copy()
    first = (out[:, 0] == 0) & (threshold >= BONE_LEVEL_HU)
    out[first, 0] = (pending.n_voxels * volume.voxel_volume_mm3)[first]
    asked = np.flatnonzero(np.isnan(out[:, 1]))
    uncut = len(pending) > 0 and bool(first.all())
    out[asked, 1] = homogeneous_level(volume, pending.take(asked), noise_sd, None if uncut else threshold)
    return out


def homogeneous_level(
    volume: Volume, parts: Components, noise_sd: float, threshold: float | None = None
) -> NDArray[np.float64]:
    """Median HU of components that hold noise but no texture, NaN for the others.

    Contrast agent fills a lumen evenly: the spread of its voxels is the noise, and few are much brighter (plaque on the
    wall). Bone has cortex and trabeculae. Where the components were cut out at a high `threshold`, the spread of what
    is left of bone is narrow too; a lumen lies clear of the threshold, bone piles up on it.
    """
    out = np.full(len(parts), np.nan)
    array = volume.array.reshape(-1)
    noise = max(noise_sd, LEAST_NOISE_HU)
    for k, n in enumerate(parts.n_voxels):  # large structures only: few
        own = parts.voxels[parts.voxel_offsets[k] : parts.voxel_offsets[k + 1]]
        values = array[own[:: n // SAMPLED + 1]].astype(float)
        low, middle = np.quantile(values, (0.25, 0.5))
        spread = 1.4826 * np.median(np.abs(values - middle))
        brighter = (values > middle + BRIGHT_SD * noise_sd).mean()
        clear = threshold is None or low - threshold >= CLEAR_SPREAD * spread
        if clear and spread <= EVEN_SD * noise and brighter <= BRIGHT_SHARE and middle <= LUMEN_MOST_HU:
            out[k] = middle
    return out


def _owner(parts: Components, voxels: Indices, owner: NDArray[np.int32]) -> NDArray[np.int32]:
    """For every part the entry of `owner` (given for the sorted `voxels`) at its first voxel."""
    first = parts.row[parts.offsets[:-1]] * parts.shape[2] + parts.start[parts.offsets[:-1]]
    return owner[np.searchsorted(voxels, first)]
