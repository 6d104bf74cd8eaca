"""Label images of boxes of a scan, from runs: what a crop needs, without painting the whole scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging import Components

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and one past the last index along slice, row and column."""


class Painter:
    """Paints components into boxes; their runs are sorted by place once.

    Parameters
    ----------
    components : Components
    numbers : (n,) ndarray of int
        What each component is painted with.
    """

    def __init__(self, components: Components, numbers: NDArray[np.int64]) -> None:
        owner = np.repeat(np.arange(len(components)), np.diff(components.offsets))
        order = np.argsort(components.row, kind="stable")
        self._rows = components.shape[1]
        self._row = components.row[order]
        self._start = components.start[order].astype(np.int64)
        self._stop = self._start + components.length[order]
        self._number = np.asarray(numbers)[owner[order]]

    def paint(self, box: Box) -> NDArray[np.int32]:
        """The label image of a box, 0 where no component lies."""
        (z0, z1), (y0, y1), (x0, x1) = box
        image = np.zeros((z1 - z0, y1 - y0, x1 - x0), np.int32)
        low, high = np.searchsorted(self._row, (z0 * self._rows, z1 * self._rows))
        here = np.arange(low, high)
        y = self._row[here] % self._rows
        here = here[(y >= y0) & (y < y1) & (self._start[here] < x1) & (self._stop[here] > x0)]
        z, y = np.divmod(self._row[here], self._rows)
        first = np.maximum(self._start[here], x0)
        length = np.minimum(self._stop[here], x1) - first
        corner = ((z - z0) * (y1 - y0) + (y - y0)) * (x1 - x0) + first - x0
        flat = np.repeat(corner - (np.cumsum(length) - length), length) + np.arange(length.sum())
        image.reshape(-1)[flat] = np.repeat(self._number[here], length)
        return image
