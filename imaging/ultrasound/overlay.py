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
LARGEST_MARK = 24


def overlay(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where something is drawn over the image, grown to the boxes of words; (rows, columns) bool."""
    strokes = _strokes(grey) | _marks(grey)
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
    return np.asarray(ndimage.binary_dilation(out, np.ones((3, 3), bool)))


def _marks(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Small bright things of one level in the dark, with sharp ends above and below: ticks of scales, dots."""
    wide = grey.astype(np.int16)
    tall = (grey >= DARKEST) & (wide - ndimage.grey_opening(grey, (STROKE + 2, 1)) > STEP)
    if not tall.any():
        return np.asarray(tall)
    label, n = ndimage.label(tall, np.ones((3, 3), bool))
    out = np.zeros(n + 1, bool)
    for k, box in enumerate(ndimage.find_objects(label), 1):
        height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
        if max(height, width) > LARGEST_MARK or height * width < 2:
            continue
        own = label[box] == k
        if np.ptp(wide[box][own]) > 4 * ALIKE:
            continue
        around = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
        inside = label[around] == k
        near = grey[around][ndimage.binary_dilation(inside, iterations=3) & ~inside]
        out[k] = np.median(near) <= DARK and np.percentile(near, 90) < DARKEST / 2
    return np.asarray(out[label])


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
