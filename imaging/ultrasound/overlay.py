"""Burned-in text, calipers and dotted lines: thin across the beam, with edges of one pixel, all of one brightness.

The beam is wider across than along: an echo is never two pixels wide with sharp sides, a letter's stroke always is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

STROKE = 5
"""Pixels; a stroke of a letter is narrower."""
STEP = 55
"""Grey levels that a stroke stands out by on both sides."""
ALIKE = 14
"""Grey levels within which the strokes of a word lie."""
SHARE = 0.5
"""Of the strokes of a word that must be alike."""
JOIN = 7
"""Pixels between letters of a word."""
FEWEST = 4
"""Stroke pixels of a mark."""
DARKEST, DARK = 100, 12
ARM = 8
"""Pixels by which the level arm of a caliper reaches beyond its upright one."""
LARGEST_MARK, RING = 24, 3
"""Pixels of the larger side of a mark, and round it that have to be dark."""
TICK_HEIGHT, TICKS, REGULAR, COMPLETE, APART = 8, 4, 0.08, 0.6, 8.0
"""A scale: lines of at most so many pixels, at least four, their distances whole multiples of the smallest within so
much of it, no more of them left out, at least so many pixels apart."""
BESIDE, BESIDE_DARK, GROWN = 36, 40, 2
"""Pixels beside a scale in which its numbers and arrows stand, grey round them, and the rim that compression blurs."""


def overlay(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where something is drawn over the image, grown to the boxes of words; (rows, columns) bool."""
    scales = ndimage.binary_dilation(_scales(grey) | _scales(grey.T).T, np.ones((3, 3), bool), GROWN)
    return np.asarray(scales | _words(grey, _strokes(grey) | _marks(grey)))


def _words(grey: NDArray[np.uint8], strokes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The boxes of words: strokes next to each other, most of them of one brightness."""
    if not strokes.any():
        return strokes
    joined = ndimage.binary_dilation(strokes, np.ones((3, JOIN), bool))
    labels, _ = ndimage.label(joined, np.ones((3, 3), bool))
    out = np.zeros(grey.shape, bool)
    at = labels[strokes]
    values = grey[strokes].astype(np.int64)
    n = int(labels.max()) + 1
    count = np.bincount(at, minlength=n)
    brightest = np.zeros(n, np.int64)
    np.maximum.at(brightest, at, values)
    alike = np.bincount(at, values >= brightest[at] - ALIKE, n)
    text = (count >= FEWEST) & (alike >= SHARE * np.maximum(count, 1))
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        if text[k] and box is not None:
            out[box] = True
    return np.asarray(ndimage.binary_dilation(out | _arms(grey, out), np.ones((3, 3), bool)))


def _arms(grey: NDArray[np.uint8], words: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Level strokes that touch what is drawn and end near it: the other arm of a plus sign."""
    if not words.any():
        return words
    wide = grey.astype(np.int16)
    flat = (grey >= DARKEST) & (wide - ndimage.grey_opening(grey, (3, 1)) > STEP)
    flat &= ndimage.binary_dilation(words, np.ones((1, 3), bool), ARM)
    return np.asarray(ndimage.binary_propagation(words & flat, np.ones((3, 3), bool), flat))


def _marks(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Small bright things of one level in the dark, with sharp ends above and below: ticks of scales, dots."""
    return _small(grey, _low(grey), DARK, 4 * ALIKE)


def _low(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Bright pixels of what is lower than a letter's strokes are apart."""
    opened = ndimage.grey_opening(grey, (STROKE + 2, 1))
    return np.asarray((grey >= DARKEST) & (grey.astype(np.int16) - opened > STEP))


def _small(grey: NDArray[np.uint8], bright: NDArray[np.bool_], dark: int, spread: int) -> NDArray[np.bool_]:
    """The connected parts that are small, of levels within `spread`, and have nothing but darkness around."""
    if not bright.any():
        return bright
    label, n = ndimage.label(bright, np.ones((3, 3), bool))
    boxes = ndimage.find_objects(label)
    size = np.array([(b[0].stop - b[0].start, b[1].stop - b[1].start) for b in boxes])
    low, high = np.full(n + 1, 255), np.zeros(n + 1, np.int64)
    own, values = label[bright], grey[bright].astype(np.int64)
    np.minimum.at(low, own, values)
    np.maximum.at(high, own, values)
    out = np.zeros(n + 1, bool)
    out[1:] = (size.max(axis=1) <= LARGEST_MARK) & (size.prod(axis=1) >= 2)
    out &= (high - low <= spread) & _dark_around(grey, label, n, dark)
    # Where two rings overlap the later part has both; the other way round it is the earlier one.
    out[1:] &= _dark_around(grey, np.where(bright, n + 1 - label, 0), n, dark)[:0:-1]
    return np.asarray(out[label])


def _dark_around(grey: NDArray[np.uint8], label: NDArray[np.int32], n: int, dark: int) -> NDArray[np.bool_]:
    """For every label whether the ring round it is dark, (n + 1,)."""
    owner = ndimage.maximum_filter(label, 2 * RING + 1)
    ring = (owner > 0) & (owner != label)
    around, owner = grey[ring], owner[ring]
    count = np.maximum(np.bincount(owner, minlength=n + 1), 1)
    black, lit = (np.bincount(owner, where, n + 1) / count for where in (around <= dark, around >= DARKEST / 2))
    return np.asarray((black >= 0.5) & (lit <= 0.1))


def _scales(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Ticks of upright scales, which may lie over tissue, with their numbers and arrows.

    No tissue has short level lines that begin (or end) at the same pixel and lie at equal distances.
    """
    out = np.zeros(grey.shape, bool)
    low = _low(grey)
    label, _ = ndimage.label(low, np.ones((3, 3), bool))
    boxes = [
        (b[0].start, b[0].stop, b[1].start, b[1].stop)
        for b in ndimage.find_objects(label)
        if b[0].stop - b[0].start <= TICK_HEIGHT and 2 <= b[1].stop - b[1].start <= LARGEST_MARK
    ]
    if len(boxes) < TICKS:
        return out
    box = np.array(boxes)
    for side in (2, 3):
        for edge in np.unique(box[:, side]):
            aligned = box[np.abs(box[:, side] - edge) <= 1]
            if not _regular((aligned[:, 0] + aligned[:, 1]) / 2):
                continue
            for r0, r1, c0, c1 in aligned:
                out[r0:r1, c0:c1] |= low[r0:r1, c0:c1]
            part = (
                slice(max(aligned[:, 0].min() - BESIDE, 0), aligned[:, 1].max() + BESIDE),
                slice(max(aligned[:, 2].min() - BESIDE, 0), aligned[:, 3].max() + BESIDE),
            )
            out[part] |= _small(grey[part], grey[part] >= DARKEST, BESIDE_DARK, 255)
    return out


def _regular(place: NDArray[np.float64]) -> bool:
    """Whether most of a row of equally distant places is there, and nothing between."""
    if len(place) < TICKS:
        return False
    gap = np.diff(np.sort(place))
    step = float(np.median(gap))
    if step < APART:
        return False
    count = gap / step
    whole = np.abs(count - np.rint(count)).max() <= REGULAR and np.rint(count).min() >= 1
    return bool(whole and len(place) >= COMPLETE * (np.rint(count).sum() + 1))


def _strokes(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of structures narrower than `STROKE` across the image, with sharp sides."""
    opened = ndimage.grey_opening(grey, (1, STROKE))
    thin = (grey >= DARKEST) & (grey.astype(np.int16) - opened > STEP)
    if not thin.any():
        return np.asarray(thin)
    # Sharp: within one pixel beside a run of thin pixels the brightness falls by the step on both sides.
    wide = grey.astype(np.int16)
    left = np.pad(wide, ((0, 0), (2, 0)), mode="edge")[:, :-2]
    right = np.pad(wide, ((0, 0), (0, 2)), mode="edge")[:, 2:]
    sharp = np.maximum(wide - left, wide - right) > STEP
    return np.asarray(thin & sharp)
