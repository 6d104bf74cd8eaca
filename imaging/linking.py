"""Which findings lie near each other: surface distances of all near pairs, and sets linked by them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .detection import Detection
from .mesh import Packed

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Links:
    """Neighbours among `n` findings.

    Parameters
    ----------
    n : int
    nearest : (n,) ndarray
        Distance to the nearest other finding, surface voxel to surface voxel, mm; NaN for a single one.
    first, second : (m,) ndarray of int
        Pairs within the limit, ``first < second``.
    distance : (m,) ndarray
        Of each pair, mm.
    """

    n: int
    nearest: NDArray[np.float64]
    first: Ints
    second: Ints
    distance: NDArray[np.float64]

    def sets(self, joined: NDArray[np.bool_]) -> Ints:
        """Number of the set of every finding, from 0 in order of their first members; pairs where `joined` connect."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        edges = (self.first[joined], self.second[joined])
        graph = coo_array((np.ones(int(joined.sum()), np.int8), edges), shape=(self.n, self.n))
        label = connected_components(graph.tocsr(), directed=False)[1]
        start = np.unique(label, return_index=True)[1]
        rank = np.empty(len(start), np.int64)
        rank[np.argsort(start)] = np.arange(len(start))
        return np.asarray(rank[label]) if self.n else np.zeros(0, np.int64)


def find_links(detection: Detection, limit: float) -> Links:
    """Distances between findings: of all pairs within `limit` mm, and to the nearest neighbour whatever its distance.

    Boxes in patient space tell which pairs can be that near; only those are measured, on their surface voxels.
    """
    from scipy.spatial import cKDTree

    parts = detection.components
    n = len(parts)
    nearest = np.full(n, np.nan)
    if n < 2:
        return Links(n, nearest, *(np.zeros(0, np.int64),) * 2, np.zeros(0))
    surface = Packed(parts).open_sides().any(axis=1)
    points = detection.volume.to_world(parts.coordinates[surface])
    ends = np.concatenate(([0], np.cumsum(np.bincount(parts.component[surface], minlength=n))))
    own = [points[a:b] for a, b in pairwise(ends)]
    low, high = np.minimum.reduceat(points, ends[:-1]), np.maximum.reduceat(points, ends[:-1])
    trees = [cKDTree(p) for p in own]
    known: dict[tuple[int, int], float] = {}

    def between(i: int, j: int) -> float:
        """Shortest distance of two findings, mm; each pair is measured once."""
        pair = (min(i, j), max(i, j))
        if pair not in known:
            few, many = sorted(pair, key=lambda k: len(own[k]))
            known[pair] = float(trees[many].query(own[few])[0].min())
        return known[pair]

    for k in range(n):  # findings only, and of them only near pairs
        gap = np.linalg.norm(np.maximum(np.maximum(low[k] - high, low - high[k]), 0), axis=1)
        gap[k] = np.inf
        best = between(k, int(gap.argmin()))
        near = [between(k, int(j)) for j in np.flatnonzero(gap <= max(limit, best))]
        nearest[k] = min([best, *near])
    pairs = np.array([(i, j) for (i, j), d in known.items() if d <= limit], np.int64).reshape(-1, 2)
    distance = np.array([known[i, j] for i, j in pairs.tolist()])
    return Links(n, nearest, pairs[:, 0], pairs[:, 1], distance)
