"""Stored values -> Hounsfield units: rescale, padding, and whether the result can be HU at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ValuesError

PADDING_HU = -1500
"""At or below this nothing is tissue or air: -2000 and -3024 are what scanners write outside their field of
view.
"""
NEVER_TISSUE_HU = -900
"""A padding value at or below this is believed wherever it stands."""
AIR = (-1050, -950)
"""Where the air peak of a CT in HU lies."""


class Accumulator:
    """A volume in HU that is filled slice by slice: int16 as long as all values allow it, float32 from there
    on.

    Parameters
    ----------
    shape : (slices, rows, columns)
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.array: NDArray[Any] = np.empty(shape, np.int16)
        self.valid: NDArray[np.bool_] | None = None
        self._lowest = np.inf
        self._highest = -np.inf

    def put(self, index: int, values: NDArray[Any], padding: NDArray[np.bool_] | None = None) -> None:
        """Set slice `index` to `values` in HU; `padding` marks what is no measurement, as do values <= -1500
        HU.
        """
        low = ~(values > PADDING_HU)  # also where not a number
        if padding is not None:
            low |= padding
        if low.any():
            if self.valid is None:
                self.valid = np.ones(self.array.shape, bool)
            self.valid[index] = ~low
            values = np.where(low, np.array(0, values.dtype), values)
            real = values[~low]
        else:
            real = values
        if real.size:
            self._lowest = min(self._lowest, float(real.min()))
            self._highest = max(self._highest, float(real.max()))
        if self.array.dtype == np.int16 and not _fits(values):
            self.array = self.array.astype(np.float32)
        self.array[index] = values

    def finish(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The array, its padding set to the lowest valid value, and the mask of what is valid.

        Raises
        ------
        ValuesError
            Nothing but padding.
        """
        if not np.isfinite(self._lowest):
            raise ValuesError("not_hu", "the image holds nothing but padding")
        if self.valid is not None:
            self.array[~self.valid] = self._lowest
        return self.array, self.valid

    def flags(self) -> tuple[str, ...]:
        """``padded``, and ``hu_unreliable`` where there is no air or no tissue at all."""
        doubtful = self._lowest > -200 or self._highest < -200
        return (("padded",) if self.valid is not None else ()) + (("hu_unreliable",) if doubtful else ())

    def looks_like_hu(self) -> bool:
        """Whether the histogram is that of a CT in HU: values down to air, and a peak of air near -1000."""
        if not self._lowest <= -900:
            return False
        step = max(1, self.array.size // 4_000_000)
        sample = self.array.reshape(-1)[::step]
        if self.valid is not None:
            sample = sample[self.valid.reshape(-1)[::step]]
        counts, edges = np.histogram(sample, bins=np.arange(-1200, -399, 10))
        peak = edges[int(np.argmax(counts))] + 5
        return bool(AIR[0] <= peak <= AIR[1] and counts.sum() >= 0.01 * sample.size)


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``slope * stored + intercept``: int32 where both are whole numbers, else float32 (computed in
    float64).
    """
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 1 << 10 and abs(intercept) < 1 << 20:
        if stored.dtype.itemsize <= 2:
            return np.asarray(stored.astype(np.int32) * int(slope) + int(intercept))
        return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))
    return (stored * float(slope) + float(intercept)).astype(np.float32)


def padding_mask(
    stored: NDArray[Any], low: float, high: float, slope: float, intercept: float
) -> NDArray[np.bool_] | None:
    """Where one slice holds padding by PixelPaddingValue; None if nowhere.

    Parameters
    ----------
    stored : (rows, columns) ndarray
        Stored values.
    low, high : float
        Padding value, and padding range limit (the same value where absent), in stored values.
    slope, intercept : float
        Of this slice.

    Notes
    -----
    A header may name a padding value that tissue has as well, 0 most of all. Such a value is believed only
    where it fills a corner of the image and only in the areas that reach a corner: what the scanner fills in
    surrounds the round field of view.
    """
    mask = stored == low if low == high else (stored >= low) & (stored <= high)
    if not mask.any():
        return None
    if max(slope * low + intercept, slope * high + intercept) <= NEVER_TISSUE_HU:
        return np.asarray(mask)
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    corners = {int(labels[r, c]) for r in (0, -1) for c in (0, -1)} - {0}
    return np.isin(labels, sorted(corners)) if corners else None


def _fits(values: NDArray[Any]) -> bool:
    if values.size == 0 or values.dtype == np.int16:
        return True
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            return np.array_equal(values.astype(np.int16), values)
    return int(values.min()) >= -32768 and int(values.max()) <= 32767
