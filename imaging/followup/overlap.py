"""How much findings of two scans overlap once one is laid upon the other: on a lattice, for all pairs at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

FINEST_MM = 1.0
MOST_CELLS = 60_000
"""Cells that findings may fill before they are dilated; of larger ones the lattice is coarser."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Overlap of every finding of one scan (rows) with every one of another (columns): shares from 0 to 1.

    Parameters
    ----------
    dilated : (n, m) ndarray
        Intersection over union of the dilated masks.
    before_inside, after_inside : (n, m) ndarray
        Share of the mask of one that lies in the dilated mask of the other.
    core : (n, m) ndarray
        Intersection of the masks themselves, as share of the smaller one.
    """

    dilated: csr_array
    before_inside: csr_array
    after_inside: csr_array
    core: csr_array


@dataclass(frozen=True, eq=False)
class Points:
    """Voxels of the findings of one scan, LPS mm, (k, 3), and which of the `n` findings each belongs to."""

    place: NDArray[np.float64]
    owner: NDArray[np.int64]
    n: int


def overlaps(before: Points, after: Points, dilation_mm: float) -> Overlaps:
    """Overlap of the findings of two scans.

    Parameters
    ----------
    before, after : Points
        In one space: the baseline's already taken to the follow-up.
    dilation_mm : float
        Radius of the ball by which masks are dilated; no less than the distance of voxels, or it leaves gaps.
    """
    step, filled = _filled((before, after))
    reach = int(np.ceil(dilation_mm / step))
    ball = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    ball = ball[(ball**2).sum(axis=1) * step**2 <= dilation_mm**2]
    around = [((c[:, None] + ball).reshape(-1, 3), np.repeat(o, len(ball))) for c, o in filled]
    number = _Numbers(np.concatenate([cells for cells, _ in around]))
    counts = before.n, after.n
    masks, grown = (
        [number.incidence(c, o, n) for (c, o), n in zip(parts, counts, strict=True)] for parts in (filled, around)
    )
    size, wide = ([np.asarray(part.sum(axis=1), dtype=float) for part in parts] for parts in (masks, grown))

    def share(one: csr_array, other: csr_array, of: str) -> csr_array:
        joint = (one @ other.T).tocoo()
        i, j = joint.row, joint.col
        whole = {
            "union": wide[0][i] + wide[1][j] - joint.data,
            "before": size[0][i],
            "after": size[1][j],
            "smaller": np.minimum(size[0][i], size[1][j]),
        }[of]
        return csr_array((joint.data / whole, (i, j)), shape=counts)

    return Overlaps(
        share(grown[0], grown[1], "union"),
        share(masks[0], grown[1], "before"),
        share(grown[0], masks[1], "after"),
        share(masks[0], masks[1], "smaller"),
    )


def _filled(scans: tuple[Points, Points]) -> tuple[float, list[tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Lattice step, mm, and for each scan the cells with a voxel in them and their owners, each once."""
    step = FINEST_MM
    while True:
        found = []
        for scan in scans:
            cells = np.rint(scan.place / step).astype(np.int64)
            unique = np.unique(np.column_stack([scan.owner, cells]), axis=0)
            found.append((unique[:, 1:], unique[:, 0]))
        if sum(len(owner) for _, owner in found) <= MOST_CELLS:
            return step, found
        step *= 1.5


class _Numbers:
    """Cells of the lattice that are used, numbered: the lattice as a whole is never made."""

    def __init__(self, cells: NDArray[np.int64]) -> None:
        self._low = cells.min(axis=0, initial=0)
        self._span = cells.max(axis=0, initial=0) + 1 - self._low
        self._known = np.unique(self._flat(cells))

    def _flat(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        z, y, x = (cells - self._low).T
        return np.asarray((z * self._span[1] + y) * self._span[2] + x)

    def incidence(self, cells: NDArray[np.int64], owner: NDArray[np.int64], n: int) -> csr_array:
        """Which finding fills which cell, (n, cells) of 0 and 1."""
        place = np.searchsorted(self._known, self._flat(cells))
        matrix = csr_array((np.ones(len(place), np.int32), (owner, place)), shape=(n, len(self._known)))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix
