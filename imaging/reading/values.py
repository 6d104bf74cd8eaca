"""Stored values -> Hounsfield units: rescale, padding, and whether the result can be HU at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ValuesError

PADDING_HU = -1500
"""At or below this nothing is tissue or air: -2000 and -3024 are what scanners write outside their field of
view.
"""
NEVER_TISSUE_HU = -900
"""A padding value at or below this is believed wherever it stands."""
LARGEST_HU = 32767
"""Above this, and without air, the sign was lost: the extended scale of CT ends at 30710 HU."""
NO_AIR_HU = -200
"""A volume above this holds no air and no fat: nothing tells HU from other values."""
SHIFTED_TISSUE_HU = (990, 1150)
SHIFTED_SHARE = 0.15
"""Soft tissue with 1024 added, and the share of the voxels there from which it is that and not bone."""
AIR = (-1050, -950)
"""Where the air peak of a CT in HU lies."""


class Accumulator:
    """A volume in HU that is filled slice by slice, in any order.

    Parameters
    ----------
    shape : (slices, rows, columns)
    dtype : int16 or float32
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike = np.int16) -> None:
        self.array: NDArray[Any] = np.empty(shape, dtype)
        self.valid: NDArray[np.bool_] | None = None
        self._lowest = np.inf
        self._highest = -np.inf

    def note(self, index: int, lowest: float, highest: float, valid: NDArray[np.bool_] | None) -> None:
        """Slice `index` was written into `array`: its range, and where it is valid (None: everywhere)."""
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        if valid is not None:
            if self.valid is None:
                self.valid = np.ones(self.array.shape, bool)
            self.valid[index] = valid

    def put(self, index: int, values: NDArray[Any], padding: NDArray[np.bool_] | None = None) -> None:
        """Set slice `index` to `values` in HU; `padding` marks what is no measurement, as do values <= -1500
        HU. The volume becomes float32 when a value is not whole or too large.
        """
        values, lowest, highest, valid = masked(values, padding)
        if self.array.dtype == np.int16 and not fits(values):
            self.array = self.array.astype(np.float32)
        self.array[index] = values
        self.note(index, lowest, highest, valid)

    def fill(self, missing: tuple[int, ...]) -> None:
        """Interpolate missing slices linearly between their neighbours; valid where both are."""
        there = np.setdiff1d(np.arange(len(self.array)), missing)
        for index in missing:
            after = int(np.searchsorted(there, index))
            low, high = int(there[after - 1]), int(there[after])
            share = (index - low) / (high - low)
            between = (1 - share) * self.array[low] + share * self.array[high]
            self.array[index] = np.rint(between) if self.array.dtype == np.int16 else between
            if self.valid is not None:
                self.valid[index] = self.valid[low] & self.valid[high]

    def finish(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The array, its padding set to the lowest valid value, and the mask of what is valid.

        Raises
        ------
        ValuesError
            Nothing but padding, or values that no scanner gives.
        """
        if not np.isfinite(self._lowest):
            raise ValuesError("not_hu", "the image holds nothing but padding")
        if self._highest > LARGEST_HU and self._lowest > NO_AIR_HU:
            text = f"values up to {self._highest:.0f} and no air: signed pixels that are called unsigned"
            raise ValuesError("not_hu", f"{text}; export the series again")
        if self.valid is not None:
            self.array[~self.valid] = self._lowest
        return self.array, self.valid

    def flags(self) -> tuple[str, ...]:
        """``padded``, and ``hu_unreliable`` where there is no air or no tissue at all."""
        doubtful = self._lowest > NO_AIR_HU or self._highest < -200
        return (("padded",) if self.valid is not None else ()) + (("hu_unreliable",) if doubtful else ())

    def looks_like_hu(self) -> bool:
        """Whether the histogram is that of a CT in HU: values down to air, and a peak of air near -1000."""
        if not self._lowest <= -900:
            return False
        sample = self._sample()
        counts, edges = np.histogram(sample, bins=np.arange(-1200, -399, 10))
        peak = edges[int(np.argmax(counts))] + 5
        return bool(AIR[0] <= peak <= AIR[1] and counts.sum() >= 0.01 * sample.size)

    def looks_shifted(self) -> bool:
        """Whether the values are those of HU + 1024: no air, and much where soft tissue would then lie."""
        if not self._lowest > NO_AIR_HU:
            return False
        sample = self._sample()
        low, high = SHIFTED_TISSUE_HU
        return bool(((sample >= low) & (sample <= high)).mean() >= SHIFTED_SHARE) if sample.size else False

    def _sample(self) -> NDArray[Any]:
        """At most four million of the valid values, evenly over the volume."""
        step = max(1, self.array.size // 4_000_000)
        sample = self.array.reshape(-1)[::step]
        return sample if self.valid is None else sample[self.valid.reshape(-1)[::step]]


def masked(
    values: NDArray[Any], padding: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], float, float, NDArray[np.bool_] | None]:
    """Values of a slice with what is no measurement set to 0, the range of the others, and where they are."""
    low = ~(values > PADDING_HU)  # also where not a number
    if padding is not None:
        low |= padding
    if not low.any():
        return values, float(values.min()), float(values.max()), None
    real = values[~low]
    lowest, highest = (float(real.min()), float(real.max())) if real.size else (np.inf, -np.inf)
    return np.where(low, np.array(0, values.dtype), values), lowest, highest, ~low


def is_integral(slope: float, intercept: float) -> bool:
    """Whether whole stored values become whole HU, in numbers of moderate size."""
    return slope.is_integer() and intercept.is_integer() and abs(slope) < 1 << 10 and abs(intercept) < 1 << 20


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``slope * stored + intercept``: int32 where both are whole numbers, else float32 (computed in
    float64).
    """
    if is_integral(slope, intercept):
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


def fits(values: NDArray[Any]) -> bool:
    """Whether int16 holds the values exactly."""
    if values.size == 0 or values.dtype == np.int16:
        return True
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            return np.array_equal(values.astype(np.int16), values)
    return int(values.min()) >= -32768 and int(values.max()) <= 32767
