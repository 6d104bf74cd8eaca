"""Echogenic foci on scan lines: brighter than what lies around them at equal depth, at every scale.

Brightness is first freed from attenuation and gain: each sample is compared with the median of its surroundings at
about its depth, in robust standard deviations (z). Areas above rising levels of z are nested candidates, from a whole
bright organ to the brightest spot in it; the one that casts the clearest shadow (or, without any, stands out most)
stands for all that overlap it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .beam import Beam
from .params import UltrasoundParams

Array = NDArray[np.float32]
LEVELS = (1.3, 1.8, 2.5, 3.25, 4.25, 5.5, 7.0)
"""Rising levels of z."""
SMOOTH_MM = (0.20, 0.35)
"""Standard deviation of the smoothing along and across the beam: speckle is no focus."""
SURROUNDINGS_MM = (9.0, 21.0)
"""Along and across the beam: what a focus is compared with."""
FILL_PIXELS = 2.0
"""Reach of the filling of what is drawn over the image."""
DRAWN_SHARE = 0.5
"""A candidate with a larger share of drawn samples is text."""
LEAST_SPREAD = 7.0
"""Grey levels; less is no tissue but black."""
MOST_NODES = 800
BLACK_PERCENTILE, WHITE_PERCENTILE = 2.0, 99.5
FLANK_MM = (2.0, 8.0)
"""Width of the tissue beside a shadow that it is compared with: that of the focus, within these limits."""
SCREEN_MM, SCREEN_GAPS_MM = 15.0, (0.8, 3.0)
"""Depth behind candidates and distances beside them at which shadows are first looked for."""


@dataclass(frozen=True, eq=False)
class Lines:
    """A frame on its scan lines.

    Parameters
    ----------
    beam : Beam
    grey : (depths, lines) ndarray of float32
        What is no echo is filled with its surroundings.
    valid : (depths, lines) ndarray of bool
        Inside the image, nothing drawn, no colour.
    smooth, surroundings, z : (depths, lines) ndarray of float32
        Smoothed grey, median around at about equal depth, and how far the first exceeds the second.
    black, white : float
        Grey of the darkest and the brightest of the image.
    deepest : int
        Index of the depth beyond which there is only noise.
    ranks : (depths, lines) ndarray of float32
        Rank of each sample among those of its depth, 0 to 1.
    """

    beam: Beam
    grey: Array
    valid: NDArray[np.bool_]
    smooth: Array
    surroundings: Array
    z: Array
    black: float
    white: float
    deepest: int
    ranks: Array


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nested candidates, one entry each: box on the scan lines (half-open), brightest z, level and label there."""

    box: NDArray[np.int64]
    peak: NDArray[np.float64]
    level: NDArray[np.int64]
    label: NDArray[np.int64]

    def take(self, which: NDArray[np.generic]) -> Nodes:
        """Some of them."""
        return Nodes(self.box[which], self.peak[which], self.level[which], self.label[which])

    def plus(self, more: Nodes) -> Nodes:
        """Both."""
        pairs = ((getattr(self, f.name), getattr(more, f.name)) for f in fields(self))
        return Nodes(*(np.concatenate(pair) for pair in pairs))

    def __len__(self) -> int:
        return len(self.peak)


def to_lines(beam: Beam, grey: NDArray[np.uint8], drawn: NDArray[np.bool_] | None) -> Lines:
    """A frame on scan lines, compared with its surroundings.

    Parameters
    ----------
    beam : Beam
    grey : (rows, columns) ndarray of uint8
        The whole frame.
    drawn : (rows, columns) ndarray of bool, or None
        Text and colour.
    """
    image, valid = beam.resample(grey), beam.inside
    if drawn is not None:
        valid = valid & ~beam.resample_mask(drawn)
    unit, middle = beam.unit, float(beam.line_step[len(beam.depth) // 2])
    block = (max(1, round(unit / beam.depth_step)), max(1, round(unit / middle)))
    weight = _blocks(valid.astype(np.float32), block)
    size = tuple(max(3, round(mm * unit / (b * s)) | 1) for mm, b, s in zip(
        SURROUNDINGS_MM, block, (beam.depth_step, middle), strict=True
    ))  # fmt: skip
    means = np.asarray(_blocks(np.where(valid, image, 0), block) / np.maximum(weight, 1e-6), np.float32)
    around = _median(means, weight > 0.3, size)
    surroundings = _spread_out(around, block, image.shape)
    filled = _filled(image, valid, surroundings)
    sigma = tuple(
        float(np.clip(mm * unit / s, 0.6, 4.0)) for mm, s in zip(SMOOTH_MM, (beam.depth_step, middle), strict=True)
    )
    smooth = ndimage.gaussian_filter(filled, sigma)
    apart = _blocks(np.where(valid, np.abs(smooth - surroundings), 0), block)
    apart = np.asarray(apart / np.maximum(weight, 1e-6), np.float32)
    spread = 1.25 * _median(apart, weight > 0.3, size)  # mean absolute to standard deviation of a normal distribution
    z = (smooth - surroundings) / np.maximum(_spread_out(spread, block, image.shape), LEAST_SPREAD)
    z[~beam.inside] = 0
    inside = smooth[valid] if valid.any() else smooth.ravel()
    black, white = (
        float(v) for v in np.percentile(inside[:: max(1, inside.size // 50_000)], [BLACK_PERCENTILE, WHITE_PERCENTILE])
    )
    deepest = _deepest(smooth, valid, black, white)
    ranks = rank_rows(filled, valid)
    return Lines(beam, filled, valid, smooth, surroundings, z, black, white, deepest, ranks)


def _filled(image: Array, valid: NDArray[np.bool_], surroundings: Array) -> Array:
    """The image with what is drawn over it replaced by what lies next to it (normalized convolution)."""
    if valid.all():
        return np.asarray(image, np.float32)
    weight = ndimage.gaussian_filter(valid.astype(np.float32), FILL_PIXELS)
    near = ndimage.gaussian_filter(np.where(valid, image, 0).astype(np.float32), FILL_PIXELS)
    guess = np.where(weight > 1e-3, near / np.maximum(weight, 1e-3), surroundings)
    return np.where(valid, image, guess).astype(np.float32)


def _deepest(smooth: Array, valid: NDArray[np.bool_], black: float, white: float) -> int:
    """The last depth at which a tenth of the lines is clearly brighter than black."""
    bright = (smooth > black + max(5.0, 0.06 * (white - black))) & valid
    share = bright.sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    rows = np.flatnonzero(share > 0.10)
    return int(rows[-1]) + 1 if len(rows) else len(share)


def _blocks(image: Array, block: tuple[int, int]) -> Array:
    """Means of blocks; the rest at the ends is repeated."""
    pad = [(0, -n % b) for n, b in zip(image.shape, block, strict=True)]
    whole = np.pad(image, pad, mode="edge")
    n, m = whole.shape
    return np.asarray(whole.reshape(n // block[0], block[0], m // block[1], block[1]).mean(axis=(1, 3)), np.float32)


def _median(values: Array, known: NDArray[np.bool_], size: tuple[int, ...]) -> Array:
    """Median of the surroundings of each block; unknown blocks take the value of the nearest known one first."""
    if not known.any():
        return np.zeros_like(values)
    if not known.all():
        nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]
    return np.asarray(ndimage.median_filter(values, size, mode="nearest"), np.float32)


def _spread_out(blocks: Array, block: tuple[int, int], shape: tuple[int, ...]) -> Array:
    """Block values at every sample, linear between block centres."""
    at = [(np.arange(n) + 0.5) / b - 0.5 for n, b in zip(shape, block, strict=True)]
    along = np.stack([np.interp(at[0], np.arange(blocks.shape[0]), column) for column in blocks.T], axis=1)
    low = np.clip(np.floor(at[1]).astype(int), 0, blocks.shape[1] - 1)
    high = np.minimum(low + 1, blocks.shape[1] - 1)
    share = np.clip(at[1] - low, 0, 1).astype(np.float32)
    along = along.astype(np.float32)
    return np.asarray(along[:, low] * (1 - share) + along[:, high] * share)


def find_nodes(lines: Lines, params: UltrasoundParams) -> tuple[Nodes, list[NDArray[np.int32]], int]:
    """Nested candidates of a frame, the label images of the levels, and how many were too small.

    A candidate is as wide as `UltrasoundParams.min_width_mm` and as high as half of it, and its brightest sample
    reaches `UltrasoundParams.peak_z`.
    """
    beam = lines.beam
    boxes, peaks, levels, names, labels = [], [], [], [], []
    small = 0
    for k, level in enumerate(LEVELS):
        label, n = ndimage.label(lines.z > level, np.ones((3, 3), bool))
        labels.append(label)
        if n == 0:
            continue
        found = np.array([(s[0].start, s[0].stop, s[1].start, s[1].stop) for s in ndimage.find_objects(label)])
        above = label > 0
        peak = np.zeros(n + 1, lines.z.dtype)
        np.maximum.at(peak, label[above], lines.z[above])
        peak = peak[1:]
        drawn = (
            np.bincount(label[above], ~lines.valid[above], n + 1)[1:] / np.bincount(label[above], minlength=n + 1)[1:]
        )
        step = beam.line_step[(found[:, 0] + found[:, 1] - 1) // 2]
        width = (found[:, 3] - found[:, 2]) * step / beam.unit
        height = (found[:, 1] - found[:, 0]) * beam.depth_step / beam.unit
        sized = (width >= params.min_width_mm) & (height >= params.min_width_mm / 2)
        keep = sized & (width <= params.max_width_mm) & (peak >= params.peak_z) & (drawn <= DRAWN_SHARE)
        small += int((~sized & (peak >= params.peak_z)).sum()) if k == 0 else 0
        boxes.append(found[keep])
        peaks.append(peak[keep])
        levels.append(np.full(int(keep.sum()), k))
        names.append(np.flatnonzero(keep) + 1)
    if not boxes:
        none = np.zeros(0, np.int64)
        return Nodes(np.zeros((0, 4), np.int64), np.zeros(0), none, none), labels, small
    nodes = Nodes(*(np.concatenate(part) for part in (boxes, peaks, levels, names)))
    if len(nodes) > MOST_NODES:
        nodes = nodes.take(np.argsort(-nodes.peak, kind="stable")[:MOST_NODES])
    return nodes, labels, small


def rank_rows(grey: Array, valid: NDArray[np.bool_]) -> Array:
    """Rank of each sample among the valid ones of its depth, 0 to 1, ties in the middle: equal depth, any gain."""
    n = len(grey)
    level = np.clip(grey, 0, 255).astype(np.int64)
    code = np.arange(n)[:, None] * 256 + level
    counts = np.bincount(code[valid], minlength=n * 256).reshape(n, 256).astype(np.float32)
    below = counts.cumsum(axis=1) - counts / 2
    share = below / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.where(valid, share.ravel()[code], 0.5).astype(np.float32)


def screen(lines: Lines, nodes: Nodes, params: UltrasoundParams) -> NDArray[np.float64]:
    """How much darker than beside it is behind each candidate: difference of mean ranks less its chance spread.

    The shadow may be wider than what is bright: the tissue beside is looked for at two distances.
    """
    beam, unit, box = lines.beam, lines.beam.unit, nodes.box
    n, m = beam.shape
    total = np.pad(lines.ranks.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    first = np.minimum(box[:, 1] + round(params.shadow_from_mm * unit / beam.depth_step), n)
    last = np.maximum(np.minimum(box[:, 1] + round(SCREEN_MM * unit / beam.depth_step), min(n, lines.deepest)), first)
    step = beam.line_step[np.clip(box[:, 1], 0, n - 1)] / unit
    width = (box[:, 3] - box[:, 2]) * step

    def mean(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        size = (last - first) * (b - a)
        value = total[last, b] - total[first, b] - total[last, a] + total[first, a]
        return value / np.maximum(size, 1), size

    behind, inner = mean(box[:, 2], box[:, 3])
    flank = np.ceil(np.clip(width, *FLANK_MM) / step).astype(np.int64)
    best = np.full(len(nodes), -1.0)
    for gap_mm in SCREEN_GAPS_MM:
        gap = np.ceil((gap_mm + 0.2 * width) / step).astype(np.int64)
        left, right = np.maximum(box[:, 2] - gap, 0), np.minimum(box[:, 3] + gap, m)
        one, n_one = mean(np.maximum(left - flank, 0), left)
        two, n_two = mean(right, np.minimum(right + flank, m))
        both = 0.7 * np.minimum(one, two) + 0.3 * np.maximum(one, two)
        beside = np.where(n_one == 0, two, np.where(n_two == 0, one, both))
        best = np.maximum(best, np.where(n_one + n_two == 0, -1.0, beside - behind))
    cell = unit**2 / (beam.depth_step * beam.line_step[np.clip(first, 0, n - 1)])
    chance = 0.29 * np.sqrt(np.maximum(cell, 1) / np.maximum(inner, 1))
    short = (last - first) * beam.depth_step < 2 * unit
    return np.asarray(np.where((inner == 0) | short, -chance, best - chance))
