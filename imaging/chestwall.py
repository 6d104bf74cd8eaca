"""The chest wall: what lies just outside the convex hull of the lungs.

Heart, aorta and nodes lie inside that hull, ribs, sternum and cartilage within a few millimetres outside it. Decided on
blocks of about 3 mm, slice by slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .coarse import CoarseMask
from .components import Components

LUNG_HU = (-980.0, -400.0)
"""Block means of lung; gas in bowel is emptier."""
LUNG_MM3 = 1e5
"""A lung has at least this volume in a slab of 15 mm or more."""
WALL_MM = 25.0
"""The chest wall reaches this far outside the hull."""
N_DIRECTIONS = 72
REACH = 3
"""A direction shows lung where one of its neighbours up to this many (of 5 degrees) does."""


@dataclass(frozen=True, eq=False)
class ChestWall:
    """Convex hulls of lungs and body centre, one in each slice of blocks.

    Parameters
    ----------
    centre : (slices, 2) ndarray
        Centre of the body, blocks (row, column).
    support : (slices, N_DIRECTIONS) ndarray
        How far the lungs reach from the centre along each direction, mm, at least 0.
    seen : (slices, N_DIRECTIONS) ndarray of bool
        Whether there is lung in about this direction from the centre.
    step : (2,) ndarray
        Size of a block (row, column), mm.
    """

    centre: NDArray[np.float64]
    support: NDArray[np.float64]
    seen: NDArray[np.bool_]
    step: NDArray[np.float64]

    def holds(self, place: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether places, (n, 3) in blocks (slice, row, column), lie in the chest wall."""
        plane = place[:, 0].astype(np.int64)
        away = (place[:, 1:] - self.centre[plane]) * self.step
        beyond = (away @ _directions().T - self.support[plane]).max(axis=1)
        return np.asarray((beyond > 0) & (beyond <= WALL_MM) & self.seen[plane, _bin(away)])


def find_chest_wall(
    body: CoarseMask, mean: NDArray[np.float32], centre: NDArray[np.float64], step: NDArray[np.float64], thin: float
) -> ChestWall:
    """The chest wall of a scan.

    Parameters
    ----------
    body : CoarseMask
    mean : ndarray
        Mean HU of every block.
    centre : (slices, 2) ndarray
        Centre of the body in each slice, blocks.
    step : (3,) ndarray
        Size of a block, mm.
    thin : float
        Share of a bone or lung that a thin slab holds, 1 for 15 mm or more.
    """
    air = body.mask & (mean > LUNG_HU[0]) & (mean < LUNG_HU[1])
    parts = Components.from_mask(np.ascontiguousarray(air), 6)
    lungs = parts.take(parts.n_voxels * step.prod() >= LUNG_MM3 * thin)
    plane, away = lungs.coordinates[:, 0], (lungs.coordinates[:, 1:] - centre[lungs.coordinates[:, 0]]) * step[1:]
    shape = (len(centre), N_DIRECTIONS)
    support, seen = np.zeros(shape), np.zeros(shape, bool)
    for k, direction in enumerate(_directions()):
        np.maximum.at(support[:, k], plane, away @ direction)
    seen[plane, _bin(away)] = True
    near = [np.roll(seen, shift, axis=1) for shift in range(-REACH, REACH + 1)]
    return ChestWall(centre, support, np.any(near, axis=0), step[1:])


def _directions() -> NDArray[np.float64]:
    """Unit vectors (row, column), (N_DIRECTIONS, 2)."""
    angle = np.arange(N_DIRECTIONS) * 2 * np.pi / N_DIRECTIONS
    return np.stack((np.sin(angle), np.cos(angle)), axis=1)


def _bin(away: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the direction nearest to each offset (row, column)."""
    turn = np.arctan2(away[:, 0], away[:, 1]) * N_DIRECTIONS / (2 * np.pi)
    return np.asarray(np.rint(turn).astype(np.int64) % N_DIRECTIONS)
