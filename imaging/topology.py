"""Skeleton, stroke, lobes and tunnels of findings, on crops resampled to isotropic spacing.

The HU are resampled, not the mask (clinical.md section 1.3): a binary mask in thick slices has steps that a skeleton
takes for branches. Expensive, so only findings that are neither dots nor compact bodies come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh import Packed
from .volume import Volume

STEP_MM = 0.5
"""Isotropic spacing of the crops: the smallest of the grid, but not below this, mm."""
MOST_SAMPLES = 1_500_000
"""Samples of one crop; the step of larger findings grows to keep to it."""
SPUR = 1.25
"""A side branch that ends within this many times the half stroke at its root is roughness of the surface."""
NECK = 0.92
"""Two depths are two lobes if the way between them is at most this share as deep as the shallower one,"""
LEAST_LOBE = 0.5
"""and both are at least this share as deep as the deepest."""
ROUGHNESS_MM = 0.5
"""Sigma of the Gaussian that takes noise of the surface out of the depth."""
DEEP_MM = 1.25
"""A body less deep than this has no lobes to count: it is a line or a plate."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Topology:
    """Per finding, (n,) each; NaN where not measured.

    Parameters
    ----------
    stroke : ndarray
        2 x median distance to the surface along the skeleton, mm.
    length : ndarray
        Length of all branches of the skeleton, mm.
    ends, junctions : ndarray
        Free ends, and places where three or more branches meet, after pruning spurs.
    tortuosity : ndarray
        Longest of the shortest ways within the skeleton, over the distance between its ends.
    curvature_radius : ndarray
        Radius of the circle fitted to the skeleton in its principal plane, mm.
    lobes : ndarray
        Maxima of the depth below the surface that are separated by necks.
    euler : ndarray
        Euler number of the body: pieces - tunnels + cavities.
    """

    stroke: Floats
    length: Floats
    ends: Floats
    junctions: Floats
    tortuosity: Floats
    curvature_radius: Floats
    lobes: Floats
    euler: Floats


@dataclass(frozen=True, eq=False)
class _Skeleton:
    """Points (m, 3) of a skeleton in steps, its half stroke at each, and its 26-neighbour graph."""

    points: Floats
    half: Floats
    graph: Any

    @property
    def degree(self) -> NDArray[np.int64]:
        return np.diff(self.graph.indptr).astype(np.int64)

    def part(self, keep: NDArray[np.bool_]) -> _Skeleton:
        return _Skeleton(self.points[keep], self.half[keep], self.graph[keep][:, keep])


def measure_topology(
    packed: Packed, volume: Volume, level: Floats, lines: NDArray[np.bool_], bodies: NDArray[np.bool_]
) -> Topology:
    """Topology of the findings that are asked for.

    Parameters
    ----------
    packed : Packed
        Half-maximum masks.
    volume : Volume
    level : (n,) ndarray
        HU of each mask; NaN where the mask stands for itself (given by somebody, or no level could be found).
    lines, bodies : (n,) ndarray of bool
        Whose skeleton, and whose lobes are wanted.
    """
    from scipy import ndimage
    from skimage.measure import euler_number
    from skimage.morphology import skeletonize

    values = np.full((8, len(packed.components)), np.nan)
    for k in np.flatnonzero(lines | bodies):  # survivors of the gates only, each on its own crop
        solid, step = _resampled(packed, volume, int(k), float(level[k]))
        if not solid.any():
            continue
        # Between voxel centres; the surface lies half a step nearer.
        depth = np.maximum(ndimage.distance_transform_edt(solid) - 0.5, 0)
        if bodies[k] and depth.max() * step >= DEEP_MM:
            values[6, k] = count_lobes(depth, solid, ROUGHNESS_MM / step)
        if lines[k]:
            values[7, k] = euler_number(solid, connectivity=3)
            values[:6, k] = _of_skeleton(_graph(skeletonize(solid), depth), step)
    return Topology(*values)


def _resampled(packed: Packed, volume: Volume, k: int, level: float) -> tuple[NDArray[np.bool_], float]:
    """The body of finding k on an isotropic grid with a margin, and the step of that grid, mm."""
    from scipy import ndimage

    box = packed.components.box[k]
    side = box[:, 1] - box[:, 0] + 2
    inside = packed.mask[packed.base[k] : packed.base[k + 1]].reshape(side)
    above = np.where(inside, 0.5, -0.5)
    if not np.isnan(level):
        low = box[:, 0] - 1
        index = np.ix_(*(np.clip(np.arange(a, a + n), 0, m - 1) for a, n, m in zip(low, side, volume.shape, strict=True)))
        # Other findings and what lies beyond the reach of growth are outside whatever their HU.
        height = volume.array[index] - level
        above = np.where(inside, np.maximum(height, 1e-3), np.minimum(height, -1e-3))
        above = np.clip(above, -2 * abs(level), 2 * abs(level))
    # An orthonormal frame in which the grid is (nearly) upright: holds on sheared grids too.
    frame, upper = np.linalg.qr(volume.affine[:3, :3])
    upper = np.sign(np.diag(upper))[:, None] * upper
    extent = upper @ (side - 1.0)
    step = max(STEP_MM, min(volume.spacing), float(np.cbrt(np.prod(extent) / MOST_SAMPLES)))
    back = np.linalg.inv(upper) * step
    diagonal = np.allclose(upper, np.diag(np.diag(upper)), atol=1e-6 * abs(upper).max())
    shape = tuple(np.ceil(extent / step).astype(int) + 1)
    finer = ndimage.affine_transform(
        above, np.diag(back) if diagonal else back, output_shape=shape, order=1, mode="constant", cval=-1.0
    )
    return np.pad(finer > 0, 1), step


def count_lobes(depth: Floats, solid: NDArray[np.bool_], sigma: float) -> int:
    """Maxima of `depth` that necks separate: between two of them the way is at most 0.92 times as deep as the lower.

    A geodesic reconstruction of log depth, lowered by the log of the neck, under log depth (h-maxima, Soille 2003).
    """
    from scipy import ndimage
    from skimage.morphology import reconstruction

    even = ndimage.gaussian_filter(depth, sigma)
    deep = np.log(np.where(solid, np.maximum(even, 0.1), 0.1))
    lowered = np.maximum(deep + np.log(NECK), deep.min())
    filled = reconstruction(lowered, deep, footprint=np.ones((3, 3, 3)))
    peaks = solid & (deep - filled >= -np.log(NECK) - 1e-9) & (even >= LEAST_LOBE * even.max())
    return int(ndimage.label(peaks, np.ones((3, 3, 3)))[1])


def _graph(skeleton: NDArray[np.bool_], depth: Floats) -> _Skeleton:
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    points = np.argwhere(skeleton).astype(float)
    pairs = cKDTree(points).query_pairs(1.75, output_type="ndarray")
    i, j = np.concatenate((pairs, pairs[:, ::-1])).T
    length = np.linalg.norm(points[i] - points[j], axis=1)
    graph = coo_array((length, (i, j)), shape=(len(points),) * 2).tocsr()
    return _Skeleton(points, depth[skeleton], graph)


def _of_skeleton(skeleton: _Skeleton, step: float) -> Floats:
    """Stroke, length, ends, junctions, tortuosity and curvature radius, lengths in mm."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    out = np.full(6, np.nan)
    if not len(skeleton.points):
        return out
    skeleton = _pruned(skeleton)
    out[0] = 2 * step * float(np.median(skeleton.half))
    groups, sizes = _junctions(skeleton)
    out[2], out[3] = int((skeleton.degree == 1).sum()), sizes
    if len(skeleton.points) < 2:
        out[1] = 0.0
        return out
    smooth = _smoothed(skeleton, groups)
    tree = minimum_spanning_tree(skeleton.graph).tocoo()
    out[1] = step * float(np.linalg.norm(smooth[tree.row] - smooth[tree.col], axis=1).sum())
    out[4] = _tortuosity(skeleton, smooth)
    out[5] = step * _circle_radius(smooth)
    return out


def _junctions(skeleton: _Skeleton) -> tuple[NDArray[np.int64], int]:
    """For every point the number of its junction from 1, or 0, and how many there are."""
    from scipy.sparse.csgraph import connected_components

    dense = skeleton.degree >= 3
    if not dense.any():
        return np.zeros(len(dense), np.int64), 0
    count, label = connected_components(skeleton.graph[dense][:, dense], directed=False)
    group = np.zeros(len(dense), np.int64)
    group[dense] = label + 1
    # A junction is where at least three branches leave; a corner of the staircase leaves two.
    i, j = skeleton.graph.nonzero()
    leaves = np.bincount(group[i][(group[i] > 0) & (group[j] == 0)], minlength=count + 1)
    real = leaves >= 3
    return np.where(real[group] & (group > 0), group, 0), int(real[1:].sum())


def _pruned(skeleton: _Skeleton) -> _Skeleton:
    """Without side branches that do not rise above the roughness of the surface."""
    from scipy.sparse.csgraph import connected_components

    for _ in range(3):
        group, count = _junctions(skeleton)
        if not count:
            break
        free = group == 0
        n_branches, label = connected_components(skeleton.graph[free][:, free], directed=False)
        branch = np.full(len(group), -1)
        branch[free] = label
        ends = np.bincount(label[skeleton.degree[free] == 1], minlength=n_branches)
        i, j = skeleton.graph.nonzero()
        root = (branch[i] >= 0) & (group[j] > 0)
        depth = np.zeros(n_branches)
        np.maximum.at(depth, branch[i][root], skeleton.half[j][root])
        length = np.bincount(label, minlength=n_branches).astype(float)
        spur = (ends > 0) & (depth > 0) & (length <= np.maximum(SPUR * depth, 1) + 1)
        if not spur.any():
            break
        keep = ~np.append(spur, False)[branch]
        skeleton = skeleton.part(keep)
    return skeleton


def _smoothed(skeleton: _Skeleton, group: NDArray[np.int64]) -> Floats:
    """Points averaged with their neighbours, ends and junctions held: takes the staircase out of lengths."""
    link = skeleton.graph.astype(bool).astype(float)
    degree = skeleton.degree[:, None]
    held = ((degree[:, 0] <= 1) | (group > 0))[:, None]
    points = skeleton.points
    for _ in range(3):
        points = np.where(held, points, (points + link @ points) / (1 + degree))
    return np.asarray(points)


def _tortuosity(skeleton: _Skeleton, points: Floats) -> float:
    """Longest shortest way over the distance of its ends, of the largest piece; by two sweeps."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, dijkstra

    i, j = skeleton.graph.nonzero()
    weighted = csr_array((np.linalg.norm(points[i] - points[j], axis=1) + 1e-9, (i, j)), shape=skeleton.graph.shape)
    label = connected_components(weighted, directed=False)[1]
    start = int(np.flatnonzero(label == np.bincount(label).argmax())[0])
    for _ in range(2):
        way = dijkstra(weighted, indices=start)
        way[np.isinf(way)] = -1
        start, before = int(way.argmax()), start
    chord = float(np.linalg.norm(points[start] - points[before]))
    return float(way.max()) / chord if chord > 1 else np.nan


def _circle_radius(points: Floats) -> float:
    """Least-squares circle (Kasa) in the principal plane of the points; NaN below 5 points or on a line."""
    if len(points) < 5:
        return float("nan")
    centred = points - points.mean(axis=0)
    flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    design = np.column_stack((2 * flat, np.ones(len(flat))))
    solution, _, rank, _ = np.linalg.lstsq(design, (flat * flat).sum(axis=1), rcond=1e-9)
    return float(np.sqrt(solution[2] + solution[0] ** 2 + solution[1] ** 2)) if rank == 3 else float("nan")
