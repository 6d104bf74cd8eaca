"""One grey for every kind of ultrasound frame, and where colour stands instead of an echo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..clip import Image

CHROMA = 20
"""Grey levels by which a pixel differs from the tint of the display to be coloured: above the noise of JPEG."""
TINT = 48
"""A display tint (blue, sepia) changes no channel by more."""
ENOUGH = 100
SMOOTH = 31
GROWN = 2
"""Pixels: the rim of coloured areas is a mixture."""


@dataclass(frozen=True, eq=False)
class Grey:
    """A frame as grey.

    Parameters
    ----------
    values : (rows, columns) ndarray of uint8
        Luma (ITU-R BT.601).
    coloured : (rows, columns) ndarray of bool, or None
        Where colour stands instead of an echo (Doppler, text), grown by two pixels; None where nowhere.
    hue : (rows, columns) ndarray of float32, or None
        Angle of the colour, radians, NaN where there is none; None where nowhere.
    """

    values: NDArray[np.uint8]
    coloured: NDArray[np.bool_] | None = None
    hue: NDArray[np.float32] | None = None


def to_grey(frame: Image) -> Grey:
    """A frame as grey.

    Many displays are tinted: grey levels are shown bluish or sepia. The tint is measured for each level as the median
    of the channel differences, and only what differs from it is a colour.
    """
    if frame.ndim == 2:
        return Grey(frame)
    red, green, blue = (frame[..., k].astype(np.int32) for k in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return Grey(np.ascontiguousarray(frame[..., 1]))
    luma = ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)
    first, second = (np.abs(c - _tint(luma, c)[luma]) for c in (red - green, blue - green))
    coloured = np.maximum(first, second) > CHROMA
    if not coloured.any():
        return Grey(luma)
    alpha, beta = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
    hue = np.where(coloured, np.arctan2(beta, alpha), np.nan).astype(np.float32)
    grown = ndimage.binary_dilation(coloured, np.ones((3, 3), bool), GROWN)
    return Grey(luma, grown, hue)


def _tint(luma: NDArray[np.uint8], difference: NDArray[Any]) -> NDArray[np.int32]:
    """Median channel difference at each level; levels with few pixels take that of their neighbours."""
    mild = np.abs(difference) <= TINT
    width = 2 * TINT + 1
    code = luma[mild].astype(np.int64) * width + difference[mild] + TINT
    counts = np.bincount(code, minlength=256 * width).reshape(256, width)
    total = counts.sum(axis=1)
    median = np.argmax(2 * counts.cumsum(axis=1) >= total[:, None], axis=1) - TINT
    known = np.flatnonzero(total >= ENOUGH)
    if not len(known):
        return np.zeros(256, np.int32)
    curve = np.interp(np.arange(256), known, median[known])
    # Text of one colour has one level of its own, and is in the majority there; a tint changes slowly.
    return np.asarray(np.rint(ndimage.median_filter(curve, SMOOTH, mode="nearest")), dtype=np.int32)
