"""Coarse grids: block means of a volume and masks on them, looked up voxel by voxel.

Whatever describes tissue at the scale of millimetres (body, noise, enhancement) is decided on blocks of about 3 to 8
mm; a mask of the full size is never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components, Indices, Shape
from .volume import Volume


@dataclass(frozen=True, eq=False)
class CoarseMask:
    """A mask on blocks of voxels.

    Parameters
    ----------
    mask : (slices, rows, columns) ndarray of bool
        One value per block.
    factors : (3,) tuple of int
        Voxels per block along slice, row and column; blocks at the end may be cut.
    shape : (slices, rows, columns)
        The full grid.
    """

    mask: NDArray[np.bool_]
    factors: tuple[int, int, int]
    shape: Shape

    def at(self, voxels: Indices) -> NDArray[np.bool_]:
        """The mask at flat indices of the full grid."""
        rest, column = np.divmod(voxels, self.shape[2])
        plane, row = np.divmod(rest, self.shape[1])
        fz, fy, fx = self.factors
        return np.asarray(self.mask[plane // fz, row // fy, column // fx])

    def covers(self, parts: Components) -> NDArray[np.bool_]:
        """Whether each component lies wholly inside, (n,); decided on runs, not voxels."""
        fz, fy, fx = self.factors
        plane, row = np.divmod(parts.row, self.shape[1])
        outside = np.zeros((*self.mask.shape[:2], self.mask.shape[2] + 1), np.int32)
        np.cumsum(~self.mask, axis=2, out=outside[:, :, 1:])
        first, last = parts.start // fx, (parts.start + parts.length - 1) // fx
        place = plane // fz, row // fy
        left = outside[(*place, last + 1)] - outside[(*place, first)]
        return np.asarray(np.add.reduceat(left, parts.offsets[:-1]) == 0) if len(parts) else np.zeros(0, bool)

    def full(self) -> NDArray[np.bool_]:
        """The mask of the full size, for pictures."""
        wide = self.mask
        for axis, factor in enumerate(self.factors):
            wide = np.repeat(wide, factor, axis=axis)
        return wide[: self.shape[0], : self.shape[1], : self.shape[2]]


def block_factors(volume: Volume, size_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels per block so that blocks measure about `size_mm` (slice, row, column), at least 1 and at most all."""
    sizes = zip(size_mm, volume.spacing, volume.shape, strict=True)
    fz, fy, fx = (int(np.clip(round(size / step), 1, n)) for size, step, n in sizes)
    return fz, fy, fx


def block_mean(array: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Mean of every block, (blocks along slice, row, column) float32; blocks cut by the border count what they hold."""
    fz, fy, fx = factors
    kind: type = np.int32 if array.dtype == np.int16 else np.float32
    rows = np.arange(0, array.shape[1], fy)
    columns = np.arange(0, array.shape[2], fx)
    planes = range(0, array.shape[0], fz)  # slabs, so that only one of them exists as int32
    out = np.empty((len(planes), len(rows), len(columns)), np.float32)
    for k, first in enumerate(planes):
        flat = array[first : first + fz].sum(axis=0, dtype=kind)
        out[k] = np.add.reduceat(np.add.reduceat(flat, rows, axis=0), columns, axis=1)
    counts = [np.diff(np.append(np.arange(0, n, f), n)) for n, f in zip(array.shape, factors, strict=True)]
    out /= counts[0][:, None, None] * counts[1][:, None] * counts[2]
    return out
