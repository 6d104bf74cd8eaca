"""The half-maximum mask: the shape of a finding without the swelling that a fixed low threshold brings.

A threshold at 100 HU makes a dense 3 mm focus twice as large as it is; the level half-way between its background and
its peak does not (clinical.md sections 0.3 and 3.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .volume import Volume

GROW_MM = 2.0
"""How far the mask may reach beyond the detection mask, and at least one voxel in every direction."""
APART_SD = 2.0
"""Standard deviations of noise above the level at which a finding was split off, so that noise of its brighter
neighbour does not hang on to it. Judgement: 3 take up to an eighth more off faint plaque, none makes single ones 4 to 8
mm too long (tests/benchmarks/bench_measure.py)."""
NOISE_SD = 3.0
"""P99 lies at most this many standard deviations of noise above a plateau."""


def halfmax_level(
    components: Components,
    values: NDArray[np.generic],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    plateau: NDArray[np.float64],
    apart_above: NDArray[np.float64],
) -> NDArray[np.float64]:
    """HU of the half-maximum, (n,): max(background + 3 sd, (background + top) / 2).

    The top is P99 of the finding, or the plateau inside where noise explains why P99 lies higher: P99 of a plateau lies
    2.3 sd above it, which makes a 6 mm ball up to 8 % too small. What was split off, as plaque from an enhanced lumen,
    is one with its neighbour up to `apart_above` (`Candidates.apart_above`): half-way to the background, which is that
    of soft tissue, its mask would run into the lumen. Its level lies at least 2 sd above that, or half-way to the top.
    """
    p99 = components.quantile(values, 0.99)
    top = np.where(np.abs(p99 - plateau) <= NOISE_SD * sd, plateau, p99)
    clear = np.minimum(apart_above + APART_SD * sd, (apart_above + top) / 2)
    return np.asarray(np.maximum(np.maximum(mean + 3 * sd, (mean + top) / 2), clear))


def halfmax_mask(
    volume: Volume, components: Components, level: NDArray[np.float64], taken_at: NDArray[np.float64]
) -> tuple[Components, NDArray[np.bool_]]:
    """Half-maximum mask of every finding.

    Where the level lies above the threshold that the finding was taken at, its voxels are simply sifted. Where it lies
    below, the mask grows from the finding into voxels above the level, up to 2 mm, not into other findings.

    Parameters
    ----------
    level : (n,) ndarray
        From `halfmax_level`, HU.
    taken_at : (n,) ndarray
        Threshold of each detection mask, HU.

    Returns
    -------
    masks : Components
        Same order; possibly several pieces each.
    fallback : (n,) ndarray of bool
        True where no voxel exceeds the level and the detection mask stands in.
    """
    n = len(components)
    if not n:
        return components, np.zeros(0, bool)
    owner, voxels = components.component, components.voxels
    above = components.values(volume.array) > level[owner]
    fallback = components.total(above) == 0
    keep = above | fallback[owner]
    index, component = [voxels[keep]], [owner[keep]]
    for k in np.flatnonzero((level < taken_at) & ~fallback):  # few: faint ones
        grown = _grow(volume, components, int(k), float(level[k]))
        index.append(grown)
        component.append(np.full(len(grown), k, np.int32))
    return _without_overlap(np.concatenate(index), np.concatenate(component), components), fallback


def _grow(volume: Volume, components: Components, k: int, level: float) -> NDArray[np.int64]:
    """Flat indices of voxels above `level` that are connected to finding k within the reach of its growth."""
    from scipy import ndimage

    margin = [max(1, int(GROW_MM / step)) for step in volume.spacing]
    low = np.maximum(components.box[k, :, 0] - margin, 0)
    high = np.minimum(components.box[k, :, 1] + margin, volume.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    seed = np.zeros(high - low, bool)
    own = slice(*components.voxel_offsets[k : k + 2])
    seed[tuple((components.coordinates[own] - low).T)] = True
    distance = ndimage.distance_transform_edt(~seed, sampling=volume.spacing)
    near = (distance <= GROW_MM) | ndimage.binary_dilation(seed, np.ones((3, 3, 3)))
    allowed = near & (volume.array[crop] > level)
    if volume.valid is not None:
        allowed &= volume.valid[crop]
    grown = ndimage.binary_propagation(seed & allowed, np.ones((3, 3, 3)), mask=allowed)
    return np.asarray(np.ravel_multi_index(tuple(np.argwhere(grown).T + low[:, None]), volume.shape))


def _without_overlap(index: NDArray[np.int64], component: NDArray[np.int32], detection: Components) -> Components:
    """Each voxel belongs to one finding: the one whose detection mask holds it, else the first that grew to it."""
    order = np.argsort(detection.voxels, kind="stable")
    place = np.searchsorted(detection.voxels[order], index)
    place = np.minimum(place, len(order) - 1)
    taken = detection.voxels[order][place] == index
    right = ~taken | (detection.component[order][place] == component)
    index, component = index[right], component[right]
    _, first = np.unique(index, return_index=True)
    index, component = index[first], component[first]
    by = np.lexsort((index, component))
    return Components.from_sets(index[by], component[by], len(detection), detection.shape)
