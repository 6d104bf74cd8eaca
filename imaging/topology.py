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
class _Skeletons:
    """Skeletons of several findings in one graph: work on them is done for all at once.

    Parameters
    ----------
    points : (m, 3) ndarray
        Index in the crop of each.
    depth, half : (m,) ndarray
        Depth below the surface, and half stroke, in steps.
    owner : (m,) ndarray of int
        Finding, from 0 to n - 1, ascending.
    graph : sparse (m, m)
        26-neighbours, their distances.
    n : int
    """

    points: Floats
    depth: Floats
    half: Floats
    owner: NDArray[np.int64]
    graph: Any
    n: int

    @property
    def degree(self) -> NDArray[np.int64]:
        """Neighbours of every point."""
        return np.asarray(np.diff(self.graph.indptr), np.int64)

    def part(self, keep: NDArray[np.bool_]) -> _Skeletons:
        """The points where `keep`."""
        graph = self.graph[keep][:, keep]
        return _Skeletons(self.points[keep], self.depth[keep], self.half[keep], self.owner[keep], graph, self.n)


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

    values = np.full((8, len(packed.components)), np.nan)
    found: list[tuple[int, float, tuple[Floats, ...]]] = []
    upper = _upright(volume)
    for k in np.flatnonzero(lines | bodies):  # survivors of the gates only, each on its own crop
        solid, step = _resampled(packed, volume, upper, int(k), float(level[k]))
        if not solid.any():
            continue
        # Between voxel centres; the surface lies half a step nearer.
        depth = np.maximum(ndimage.distance_transform_edt(solid) - 0.5, 0)
        if bodies[k] and depth.max() * step >= DEEP_MM:
            values[6, k] = count_lobes(depth, solid, ROUGHNESS_MM / step)
        if lines[k]:
            values[7, k] = euler_number(solid, connectivity=3)
            points, finer = thinned(solid, depth)
            at = tuple((points // finer).T)
            if len(points):
                # A skeleton may run a sample beside the middle; the deepest sample next to it is the half stroke.
                deepest = ndimage.maximum_filter(depth, 3)[at] + 0.5
                found.append((int(k), step / finer, (points.astype(float), depth[at] * finer, deepest * finer)))
    if found:
        skeletons = _joined([piece for *_, piece in found])
        values[:6, [k for k, *_ in found]] = _of_skeletons(skeletons, np.array([step for _, step, _ in found]))
    return Topology(*values)


def _upright(volume: Volume) -> Floats:
    """Index step to mm in an orthonormal frame in which the grid is upright, or nearly so where it is sheared."""
    upper = np.linalg.qr(volume.affine[:3, :3])[1]
    upper = np.sign(np.diag(upper))[:, None] * upper
    return np.where(np.abs(upper) > 1e-9 * np.abs(upper).max(), upper, 0)


def _resampled(packed: Packed, volume: Volume, upper: Floats, k: int, level: float) -> tuple[NDArray[np.bool_], float]:
    """The body of finding k on an isotropic grid with a margin, and the step of that grid, mm."""
    from scipy import ndimage

    box = packed.components.box[k]
    side = box[:, 1] - box[:, 0] + 2
    inside = packed.mask[packed.base[k] : packed.base[k + 1]].reshape(side)
    above = np.where(inside, 0.5, -0.5)
    if not np.isnan(level):
        axes = zip(box[:, 0] - 1, side, volume.shape, strict=True)
        index = np.ix_(*(np.clip(np.arange(a, a + n), 0, most - 1) for a, n, most in axes))
        # Other findings and what lies beyond the reach of growth are outside whatever their HU.
        height = volume.array[index] - level
        above = np.where(inside, np.maximum(height, 1e-3), np.minimum(height, -1e-3))
        above = np.clip(above, -2 * abs(level), 2 * abs(level))
    extent = upper @ (side - 1.0)
    step = max(STEP_MM, min(volume.spacing), float(np.cbrt(np.prod(extent) / MOST_SAMPLES)))
    back = np.linalg.inv(upper) * step
    shape = tuple(np.ceil(extent / step).astype(int) + 1)
    steps = back if np.count_nonzero(back) > 3 else np.diag(back)
    centred = np.linalg.inv(upper) @ (extent - (np.array(shape) - 1) * step) / 2  # a flip flips the samples
    finer = ndimage.affine_transform(above, steps, centred, output_shape=shape, order=1, mode="constant", cval=-1.0)
    return np.pad(finer > 0, 1), step


def thinned(solid: NDArray[np.bool_], depth: Floats) -> tuple[NDArray[np.int64], int]:
    """Skeleton by thinning (Lee et al. 1994): its points, (m, 3), on a grid of this many samples a step (1 or 2).

    `skimage.morphology.skeletonize` thins straight lines of even width away from their ends, down to nothing. Where
    voxels are left far from the skeleton, it is made again on a grid of twice as many samples less one, on which every
    width is odd.
    """
    from scipy import ndimage
    from skimage.morphology import skeletonize

    thin = np.asarray(skeletonize(solid), bool)
    far = ndimage.distance_transform_cdt(~thin, "chessboard") if thin.any() else np.full(solid.shape, np.inf)
    if far[solid].max() <= 2 * depth.max() + 3:
        return np.argwhere(thin), 1
    odd = solid
    for axis in range(3):
        first, last = (np.moveaxis(odd, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        finer = np.zeros((2 * odd.shape[axis] - 1, *first.shape[1:]), bool)
        finer[::2], finer[1::2] = np.moveaxis(odd, axis, 0), first & last
        odd = np.moveaxis(finer, 0, axis)
    return np.argwhere(skeletonize(odd)), 2


def count_lobes(depth: Floats, solid: NDArray[np.bool_], sigma: float) -> int:
    """Maxima of `depth` that necks separate: between two of them the way is at most 0.92 times as deep as the lower.

    The h-maxima of log depth (Soille 2003), h the log of the neck: a maximum counts if what is deeper than 0.92 times
    it and hangs together with it holds no higher one. Most bodies have a single maximum, and nothing more is asked.
    """
    from scipy import ndimage

    even = np.where(solid, ndimage.gaussian_filter(depth, sigma), 0)
    peaks = np.argwhere((even >= LEAST_LOBE * even.max()) & (even == ndimage.maximum_filter(even, 3)))
    height = even[tuple(peaks.T)]
    order = np.argsort(-height)
    lobes = 1
    for k in range(1, len(order)):
        pieces = ndimage.label(even > NECK * height[order[k]], np.ones((3, 3, 3)))[0][tuple(peaks[order[: k + 1]].T)]
        lobes += int(pieces[k] not in pieces[:k])
    return lobes


def _joined(pieces: list[tuple[Floats, ...]]) -> _Skeletons:
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    points, depth, half = (np.concatenate(values) for values in zip(*pieces, strict=True))
    owner = np.repeat(np.arange(len(pieces)), [len(p) for p, *_ in pieces])
    apart = 2 * np.ptp(points[:, 0]) + 10  # so that no two findings are neighbours
    pairs = cKDTree(points + np.outer(owner * apart, (1, 0, 0))).query_pairs(1.75, output_type="ndarray")
    i, j = np.concatenate((pairs, pairs[:, ::-1])).T
    graph = coo_array((np.linalg.norm(points[i] - points[j], axis=1), (i, j)), shape=(len(points),) * 2).tocsr()
    return _Skeletons(points, depth, half, owner, graph, len(pieces))


def _of_skeletons(skeletons: _Skeletons, step: Floats) -> Floats:
    """Stroke, length, ends, junctions, tortuosity and curvature radius, (6, n), lengths in mm."""
    from scipy import ndimage
    from scipy.sparse.csgraph import minimum_spanning_tree

    skeletons = _pruned(skeletons)
    owner, n = skeletons.owner, skeletons.n
    group, junction_owner = _junctions(skeletons)
    smooth = _smoothed(skeletons, group)
    tree = minimum_spanning_tree(skeletons.graph).tocoo()
    edges = np.linalg.norm(smooth[tree.row] - smooth[tree.col], axis=1)
    ends = np.cumsum(np.bincount(owner, minlength=n))
    own = [smooth[a:b] for a, b in zip(np.append(0, ends[:-1]), ends, strict=True)]
    return np.stack((
        2 * step * ndimage.median(skeletons.half, owner, np.arange(n)),
        step * np.bincount(owner[tree.row], edges, n),
        np.bincount(owner[skeletons.degree == 1], minlength=n),
        np.bincount(junction_owner, minlength=n),
        _tortuosity(skeletons, smooth),
        step * np.array([_circle_radius(points) for points in own]),
    ))  # fmt: skip


def _junctions(skeletons: _Skeletons) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every point the number of its junction from 1, or 0; and whose each junction is.

    A junction is where at least three branches leave; a corner of the staircase leaves two.
    """
    from scipy.sparse.csgraph import connected_components

    dense = skeletons.degree >= 3
    group = np.zeros(len(dense), np.int64)
    if not dense.any():
        return group, np.zeros(0, np.int64)
    count, group[dense] = connected_components(skeletons.graph[dense][:, dense], directed=False)
    group[dense] += 1
    i, j = skeletons.graph.nonzero()
    leaving = (group[i] > 0) & (group[j] == 0)
    real = np.bincount(group[i][leaving], minlength=count + 1) >= 3
    real[0] = False
    number = np.cumsum(real) * real
    whose = np.zeros(count + 1, np.int64)
    whose[group] = skeletons.owner
    return np.asarray(number[group], np.int64), whose[real]


def _pruned(skeletons: _Skeletons) -> _Skeletons:
    """Without side branches that do not rise above the roughness of the surface."""
    from scipy.sparse.csgraph import connected_components

    for _ in range(3):
        group, _ = _junctions(skeletons)
        free = group == 0
        if free.all():
            break
        count, label = connected_components(skeletons.graph[free][:, free], directed=False)
        branch = np.full(len(group), -1)
        branch[free] = label
        ends = np.bincount(label[skeletons.degree[free] == 1], minlength=count)
        i, j = skeletons.graph.nonzero()
        root = (branch[i] >= 0) & (group[j] > 0)
        depth = np.zeros(count)
        np.maximum.at(depth, branch[i][root], skeletons.depth[j][root])
        length = np.bincount(label, minlength=count)
        spur = (ends > 0) & (depth > 0) & (length <= np.maximum(SPUR * depth, 1) + 1)
        if not spur.any():
            break
        skeletons = skeletons.part(~np.append(spur, False)[branch])
    return skeletons


def _smoothed(skeletons: _Skeletons, group: NDArray[np.int64]) -> Floats:
    """Points averaged with their neighbours, ends and junctions held: takes the staircase out of lengths."""
    link = skeletons.graph.astype(bool).astype(float)
    degree = skeletons.degree[:, None]
    held = (degree <= 1) | (group > 0)[:, None]
    points = skeletons.points
    for _ in range(3):
        points = np.where(held, points, (points + link @ points) / (1 + degree))
    return np.asarray(points)


def _tortuosity(skeletons: _Skeletons, points: Floats) -> Floats:
    """Longest shortest way over the distance of its ends, of the largest piece of each skeleton; by two sweeps."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, dijkstra

    i, j = skeletons.graph.nonzero()
    length = np.linalg.norm(points[i] - points[j], axis=1) + 1e-9
    graph = csr_array((length, (i, j)), shape=skeletons.graph.shape)
    piece = connected_components(graph, directed=False)[1]
    start = _last_of_each(np.bincount(piece)[piece].astype(float), skeletons)
    for _ in range(2):
        way = dijkstra(graph, indices=start, min_only=True)  # the start of another finding cannot be reached
        start, before = _last_of_each(np.where(np.isinf(way), -1, way), skeletons), start
    chord = np.linalg.norm(points[start] - points[before], axis=1)
    out = np.full(skeletons.n, np.nan)
    some = chord > 1
    out[skeletons.owner[start][some]] = way[start][some] / chord[some]
    return out


def _last_of_each(value: Floats, skeletons: _Skeletons) -> NDArray[np.int64]:
    """For every skeleton the point of largest value."""
    order = np.lexsort((value, skeletons.owner))
    return np.asarray(order[np.append(np.diff(skeletons.owner[order]) != 0, True)], np.int64)


def _circle_radius(points: Floats) -> float:
    """Least-squares circle (Kasa) in the principal plane of the points; NaN below 5 points or on a line."""
    if len(points) < 5:
        return float("nan")
    centred = points - points.mean(axis=0)
    flat = centred @ np.linalg.eigh(centred.T @ centred)[1][:, :0:-1]
    design = np.column_stack((2 * flat, np.ones(len(flat))))
    left, right = design.T @ design, design.T @ (flat * flat).sum(axis=1)
    if np.linalg.cond(left) > 1e12:
        return float("nan")
    u, v, w = np.linalg.solve(left, right)
    return float(np.sqrt(w + u * u + v * v))
