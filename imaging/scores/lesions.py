"""Which voxels a score counts, and their 2-D components in each slice: the slice-lesions that get a weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..components import Components
from ..detection import Detection
from ..volume import Volume
from .definitions import STANDARD_INCREMENT_MM, Limits, ScoreDefinition

REACH_MM = 2.0
"""How far a score may reach in the slice beyond a detection mask that was taken above the score's threshold."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The voxels that a score counts.

    Parameters
    ----------
    voxels, finding : (n_voxels,) ndarray of int
        Flat index, and number of the finding from 0; each voxel once.
    cut : (n,) ndarray of bool
        Findings split off a larger structure above the threshold: their score is a lower bound.
    grown : (n,) ndarray of bool
        Other findings whose mask was taken above the threshold: slices that it does not reach are not counted.
    """

    voxels: NDArray[np.int64]
    finding: NDArray[np.int64]
    cut: NDArray[np.bool_]
    grown: NDArray[np.bool_]


def scored_voxels(detection: Detection, threshold: float) -> Scored:
    """Voxels from `threshold` on (HU, inclusive) of every finding, possibly in several pieces.

    A detection mask taken below the threshold is sifted; its pieces are whole, since what is connected above the
    higher level is connected above the lower. One taken above it (adaptive thresholds in a noisy scan) grows in its
    own slices into connected voxels from the threshold on, up to 2 mm, not into other findings. Growth stays in the
    slice so that a score does not depend on how finely the slices are cut. A finding split off a larger structure
    does not grow, for that would add the structure; a given segmentation neither.
    """
    volume, mask, found = detection.volume, detection.components, detection.found
    own = mask.values(volume.array) >= threshold
    index, component = [mask.voxels[own]], [mask.component[own].astype(np.int64)]
    # A mask holds what exceeds its level, a score what reaches its threshold: at equal values the mask lacks some.
    above = np.zeros(len(mask), bool) if detection.given else found.level >= threshold
    for k in np.flatnonzero(above & ~found.split):
        grown = _grow_in_slices(volume, mask, int(k), threshold)
        index.append(grown)
        component.append(np.full(len(grown), k))
    voxels, owner = np.concatenate(index), np.concatenate(component)
    _, first = np.unique(voxels, return_index=True)  # masks come first, so no growth takes another finding's voxel
    return Scored(voxels[first], owner[first], above & found.split, (found.level > threshold) & ~found.split)


def _grow_in_slices(volume: Volume, mask: Components, k: int, threshold: float) -> NDArray[np.int64]:
    """Flat indices of voxels from the threshold on, in the slices of finding k and connected to it there."""
    from scipy import ndimage

    margin = np.array([0, *(max(1, int(REACH_MM / step)) for step in volume.spacing[1:])])
    low = np.maximum(mask.box[k, :, 0] - margin, 0)
    high = np.minimum(mask.box[k, :, 1] + margin, volume.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    seed = np.zeros(high - low, bool)
    seed[tuple((mask.coordinates[slice(*mask.voxel_offsets[k : k + 2])] - low).T)] = True
    apart = 1e6 * REACH_MM  # slices so far from each other that only distances in the slice count
    allowed = ndimage.distance_transform_edt(~seed, sampling=(apart, *volume.spacing[1:])) <= REACH_MM
    allowed &= volume.array[crop] >= threshold
    if volume.valid is not None:
        allowed &= volume.valid[crop]
    grown = ndimage.binary_propagation(seed & allowed, np.ones((1, 3, 3)), mask=allowed)
    return np.asarray(np.ravel_multi_index(tuple(np.argwhere(grown).T + low[:, None]), volume.shape))


@dataclass(frozen=True, eq=False)
class SliceLesions:
    """2-D components of findings in their slices, (n,) each; those too small for the definition are not among them.

    Parameters
    ----------
    finding : ndarray of int
        Number of the finding, from 0.
    n_pixels : ndarray of int
    peak : ndarray
        Largest HU.
    total : ndarray
        Sum of HU.
    """

    finding: NDArray[np.int64]
    n_pixels: NDArray[np.int64]
    peak: NDArray[np.float64]
    total: NDArray[np.float64]


def slice_lesions(volume: Volume, scored: Scored, definition: ScoreDefinition) -> SliceLesions:
    """The slice-lesions of all findings at once.

    Every slice of every finding becomes a plane of its own with an empty one after it, so that the 3-D labelling of
    runs gives 2-D components: 26 neighbours are the 8 of a slice there, 6 are the 4.
    """
    slices, rows, columns = volume.shape
    plane, in_plane = np.divmod(scored.voxels, rows * columns)
    used, number = np.unique(scored.finding * slices + plane, return_inverse=True)
    index = 2 * number * rows * columns + in_plane
    order = np.argsort(index)
    hu = volume.array[np.unravel_index(scored.voxels[order], volume.shape)].astype(float)
    shape = (max(2 * len(used), 1), rows, columns)
    lesions = Components.from_voxels(index[order], shape, 26 if definition.connectivity == 8 else 6)
    values = hu[np.searchsorted(index[order], lesions.voxels)]
    first = lesions.voxels[lesions.voxel_offsets[:-1]]
    finding = used[first // (2 * rows * columns)] // slices if len(used) else first
    kept = definition.counts(lesions.n_voxels, pixel_area_mm2(volume))
    peak, total = lesions.maximum(values), lesions.total(values)
    return SliceLesions(finding[kept], lesions.n_voxels[kept], peak[kept], total[kept])


def pixel_area_mm2(volume: Volume) -> float:
    """Area of a pixel in the slice, mm2."""
    return float(np.linalg.norm(np.cross(volume.affine[:3, 1], volume.affine[:3, 2])))


def weighted_area(
    volume: Volume, lesions: SliceLesions, limits: Limits, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted area and area of every finding, mm2, each times increment / 3 mm, (n,).

    The increment is the distance between slice planes: twice the slices at half the distance give the same sum.
    """
    weight = np.searchsorted(limits, lesions.peak, side="right")
    area = lesions.n_pixels * pixel_area_mm2(volume) * volume.slice_distance / STANDARD_INCREMENT_MM
    sums = [np.bincount(lesions.finding, values, n).astype(float) for values in (area * weight, area)]
    return sums[0], sums[1]
