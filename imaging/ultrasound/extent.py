"""How far an echo reaches: at half of its amplitude, in grey levels that speckle itself calibrates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .echo import Lines

HALF_DB = 6.0
"""Half of the amplitude: where the width of an echo is taken."""
IQR_DB = 6.83
"""Distance of the quartiles of fully developed speckle (20 log10 of a Rayleigh variable): gives grey levels per dB."""
RANGE_DB = (40.0, 100.0)
"""Dynamic ranges that displays have: an estimate beyond is not believed."""
JOIN_MM, REACH_MM = 1.0, (0.8, 5.0)
"""Parts of an echo closer than this along its width are one; how far beyond a candidate it may reach in depth, and to
the sides at least."""


def grey_per_db(lines: Lines) -> float:
    """Grey levels of one decibel, from the spread of speckle; within what displays have."""
    plain = (
        lines.valid & (np.abs(lines.z) < 2) & (lines.surroundings > lines.black + 0.15 * (lines.white - lines.black))
    )
    if plain.sum() < 500:
        return 255.0 / 60.0
    apart = (lines.grey - lines.surroundings)[plain]
    low, high = np.percentile(apart[:: max(1, apart.size // 50_000)], [25, 75])
    return float(np.clip((high - low) / IQR_DB, 255.0 / RANGE_DB[1], 255.0 / RANGE_DB[0]))


def grow(
    lines: Lines, box: NDArray[np.int64], node: NDArray[np.bool_], scale: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], float, float] | None:
    """The echo at half amplitude round a candidate: box, mask in it, grey of the echo, width; None if nothing is left.

    The reference is the upper quartile, over the lines of the echo at half height, of the brightest sample of each: a
    speckled echo falls apart below its maximum, and is one below its plateau. Parts closer than a millimetre on the
    same depths belong together.
    """
    place = (slice(box[0], box[1]), slice(box[2], box[3]))
    around = float(np.median(lines.surroundings[place][node]))
    highest = float(lines.smooth[place][node].max())
    n, m = lines.beam.shape
    unit, step = lines.beam.unit, float(lines.beam.line_step[(box[0] + box[1]) // 2])
    along, across = round(REACH_MM[0] * unit / lines.beam.depth_step) + 3, round(REACH_MM[1] * unit / step)
    reach = (along, max(across, int(box[3] - box[2])))
    d0, d1 = max(int(box[0] - reach[0]), 0), min(int(box[1] + reach[0]), n)
    c0, c1 = max(int(box[2] - reach[1]), 0), min(int(box[3] + reach[1]), m)
    values, valid = lines.smooth[d0:d1, c0:c1], lines.beam.inside[d0:d1, c0:c1]
    seed = np.zeros(values.shape, bool)
    seed[box[0] - d0 : box[1] - d0, box[2] - c0 : box[3] - c0] = node
    body = _touching((values >= (highest + around) / 2) & valid, seed)
    if not body.any():
        return None
    ridge = np.where(body, values, -np.inf).max(axis=0)
    grey = float(np.percentile(ridge[np.isfinite(ridge)], 75))
    level = max(grey - HALF_DB * scale, (grey + around) / 2)
    mask = _touching((values >= level) & valid, body)
    if not mask.any():
        return None
    own = np.asarray((mask & seed if (mask & seed).any() else mask).any(axis=0))
    gap = max(1, round(JOIN_MM * unit / step))
    mask &= _stretch(np.asarray(mask.any(axis=0)), int(np.median(np.flatnonzero(own))), gap)[None, :]
    high = np.asarray(mask.any(axis=1))
    rows, columns = np.flatnonzero(high), np.flatnonzero(mask.any(axis=0))
    r0, r1, k0, k1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    profile = np.where(high[:, None], values, -np.inf).max(axis=0)
    width = (k1 - k0 - 1 + _beyond(profile, k0, -1, level) + _beyond(profile, k1 - 1, 1, level)) * step
    return np.array([d0 + r0, d0 + r1, c0 + k0, c0 + k1], np.int64), mask[r0:r1, k0:k1], grey, float(width)


def ungrown(
    lines: Lines, box: NDArray[np.int64], node: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], float, float]:
    """The same for a part of an echo, which goes on at half amplitude on both sides: the part as it is."""
    values = np.where(node, lines.smooth[box[0] : box[1], box[2] : box[3]], -np.inf).max(axis=0)
    width = node.shape[1] * float(lines.beam.line_step[(box[0] + box[1]) // 2])
    return box, node, float(np.percentile(values[np.isfinite(values)], 75)), width


def _touching(mask: NDArray[np.bool_], seed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of a mask that touch a seed."""
    label, count = ndimage.label(mask, np.ones((3, 3), bool))
    own = np.zeros(count + 1, bool)
    own[label[seed]] = True
    own[0] = False
    return np.asarray(own[label])


def _stretch(there: NDArray[np.bool_], middle: int, gap: int) -> NDArray[np.bool_]:
    """The stretch of a line of booleans, with gaps of at most so many, that is nearest to a place."""
    at = np.flatnonzero(there)
    parts = np.split(at, np.flatnonzero(np.diff(at) > gap) + 1)
    nearest = min(parts, key=lambda part: max(part[0] - middle, middle - part[-1], 0))
    out = np.zeros(len(there), bool)
    out[nearest[0] : nearest[-1] + 1] = True
    return out


def _beyond(profile: NDArray[np.float32], end: int, side: int, level: float) -> float:
    """Part of a step beyond the last sample above a level at which the profile crosses it."""
    following = end + side
    if not 0 <= following < len(profile) or not profile[following] < level < profile[end]:
        return 0.5
    return float((profile[end] - level) / (profile[end] - profile[following]))
