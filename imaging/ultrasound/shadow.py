"""The shadow of a focus: what lies behind it compared with what lies beside it, at equal depth.

No single measure holds on every image (peers.md 3.4), so several are given. All are relative to the black of the image
itself, and those based on ranks do not depend on how brightness was mapped to grey. A depth at which there is nothing
beside the focus either says nothing, and is left out; where nothing is left the shadow is missing, not absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .echo import FLANK_MM, Lines
from .params import UltrasoundParams

CLASSES = ("absent", "weak", "present", "strong")
BLOCK_MM = 1.0
"""Depth over which ranks are compared."""
LOCAL_AUC = 0.70
"""A depth shows the shadow above this."""
ONSET_MM = 6.0
"""Behind the focus; a shadow that begins deeper is that of something else."""
LEAST_ONSET = 0.5
GAP_MM, REACH_MM, REACH_SHARE = 0.6, 6.0, 0.8
"""Beside the echo: what is left out, and how far away tissue may lie, at least and as a share of the width."""
LEAST_SIDE = 0.75
"""Rank contrast against the less clear of the two sides: a border between dark and bright tissue is no shadow."""
LEAST_MM = 2.0
"""Informative depth below which nothing is measured."""
TRIM_SHARE = 0.15
"""Of the width of a focus that is left out behind it on both sides: the penumbra."""
CLEAN = 0.15
"""Share of the brightness beside, up to which a sample in the shadow is clean."""
ENHANCED_AUC = 0.30
OPEN_MM, OPEN_BLACK, OPEN_SHARE, OPEN_AUC, OPEN_ASPECT, OPEN_ROOM_MM = (1.5, 6.0), 0.08, 0.8, 0.70, 5.0, 15.0
"""For shadows as wide as the view: from where and over which distance behind and in front; share of the grey range
that is black; share of the samples behind that are; rank contrast of the tissue in front; width over thickness of the
echo; and how much of the image must follow."""
WIDTH_AT_MM = (5.0, 10.0, 15.0)
FOROUGHI_SIGMA_MM = 5.0


@dataclass(frozen=True)
class Shadow:
    """Measures of one focus; NaN where they cannot be measured.

    Parameters
    ----------
    auc, auc_side : float
        Probability that tissue beside is brighter than a sample behind at equal depth, ties counting half: both sides,
        and the less clear of them (missing where there is tissue on one side only).
    ratio, contrast, cnr : float
        Mean behind over mean beside, both above black; their difference, grey levels; that over the root of the sum
        of variances.
    persistence, onset : float
        Share of the informative depths with a local rank contrast above 0.7: of all, of the first 6 mm.
    length : float
        Informative depth, in units of the image.
    clean : float
        Share of the samples behind that are next to black.
    slope : float
        Change of the contrast with depth, grey levels per unit.
    foroughi : float
        Gaussian-weighted mean behind, above black, over the brightness of the focus above black (Foroughi 2007).
    widths : tuple of float
        Of the dark band 5, 10 and 15 mm behind, in units of the image.
    reaches_end : bool
        Whether the shadow is there in the last informative depths.
    name : str or None
        One of `CLASSES`; None where nothing can be measured.
    open : bool
        Whether the class comes from the tissue in front, because there is none beside.
    """

    auc: float
    auc_side: float
    ratio: float
    contrast: float
    cnr: float
    persistence: float
    onset: float
    length: float
    clean: float
    slope: float
    foroughi: float
    widths: tuple[float, float, float]
    reaches_end: bool
    name: str | None
    open: bool = False

    @property
    def width(self) -> float:
        """Width 10 mm behind, else at the next best place."""
        for value in (self.widths[1], self.widths[0], self.widths[2]):
            if np.isfinite(value):
                return value
        return np.nan


def measure_shadow(
    lines: Lines,
    box: NDArray[np.int64],
    mask: NDArray[np.bool_],
    others: NDArray[np.bool_],
    focus_grey: float,
    params: UltrasoundParams,
    until: int | None = None,
) -> Shadow:
    """The shadow behind a focus.

    Parameters
    ----------
    lines : Lines
    box : (4,) ndarray
        Of the focus on the scan lines, half-open: depths, lines.
    mask : ndarray of bool
        The focus in its box: behind it, each line begins at its own lower edge.
    others : (depths, lines) ndarray of bool
        Other foci, left out of the tissue beside.
    focus_grey : float
        Brightness of the focus.
    until : int, optional
        Depth at which to stop.
    """
    beam, unit = lines.beam, lines.beam.unit
    foroughi = _foroughi(lines, box, focus_grey)
    edge = _lower_edge(mask) + int(box[0]) + round(params.shadow_from_mm * unit / beam.depth_step)
    d0 = int(edge.min())
    d1 = min(int(box[1]) + round(params.shadow_to_mm * unit / beam.depth_step), lines.deepest, until or len(beam.depth))
    if d1 - d0 < LEAST_MM * unit / beam.depth_step:
        return _nothing(foroughi)
    trim = int(TRIM_SHARE * len(edge))
    b0, b1 = int(box[2]) + trim, int(box[3]) - trim
    edge = edge[trim : len(edge) - trim]
    rows = slice(d0, d1)
    below = np.arange(d0, d1)[:, None] >= edge[None, :]
    usable = lines.valid[rows] & ~others[rows]
    (l0, l1), (r0, r1) = _beside(lines, rows, (b0, b1))
    behind = (lines.grey[rows, b0:b1], lines.valid[rows, b0:b1] & below)
    left = (lines.grey[rows, l0:l1], usable[:, l0:l1])
    right = (lines.grey[rows, r0:r1], usable[:, r0:r1])
    size = max(1, round(BLOCK_MM * unit / beam.depth_step))
    n = -(-(d1 - d0) // size)
    counts = [_histograms(values, known, size, n) for values, known in (behind, left, right)]
    both = counts[1] + counts[2]
    grey = np.arange(256.0)
    beside_n, behind_n = both.sum(axis=1), counts[0].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        beside = both @ grey / beside_n
        inside = counts[0] @ grey / behind_n
    margin = max(6.0, 0.06 * (lines.white - lines.black))
    telling = (beside_n >= 8) & (behind_n >= 4) & (np.maximum(beside, inside) > lines.black + margin)
    length = telling.sum() * size * beam.depth_step
    if length < LEAST_MM * unit:
        return _nothing(foroughi)
    local = _auc(both, counts[0])
    sides = [_auc(c, counts[0])[telling & (c.sum(axis=1) >= 4)] for c in counts[1:]]
    known = [float(s.mean()) for s in sides if len(s) >= 0.5 * telling.sum()]
    auc, auc_side = float(local[telling].mean()), (min(known) if len(known) == 2 else np.nan)
    above = np.maximum(beside[telling] - lines.black, 1.0)
    dark = np.maximum(inside[telling] - lines.black, 0.0)
    spread = _variance(both[telling], grey) + _variance(counts[0][telling], grey)
    depth = (np.arange(n) * size * beam.depth_step)[telling]
    shown = local[telling] > LOCAL_AUC
    first = depth < ONSET_MM * unit
    contrast = float((beside - inside)[telling].mean())
    onset = float(shown[first].mean()) if first.any() else np.nan
    limit = lines.black + CLEAN * above
    clean = float(np.mean([c[: int(v) + 1].sum() / c.sum() for c, v in zip(counts[0][telling], limit, strict=True)]))
    slope = float(np.polyfit(depth, (beside - inside)[telling], 1)[0]) if len(depth) > 2 else np.nan
    middle = (b0 + b1) / 2
    levels = (float(inside[telling].mean()), float(beside[telling].mean()))
    widths = tuple(_width(lines, box, middle, at * unit, levels) for at in WIDTH_AT_MM)
    values = {
        "auc": auc, "auc_side": auc_side, "ratio": float(dark.sum() / above.sum()), "contrast": contrast,
        "cnr": contrast / float(np.sqrt(max(spread, 1.0))), "persistence": float(shown.mean()), "onset": onset,
        "length": float(length), "clean": clean, "slope": slope, "foroughi": foroughi,
    }  # fmt: skip
    name = classify(values, unit, params)
    ends = bool(shown[-max(1, len(shown) // 5) :].mean() > 0.5)
    return Shadow(
        auc, auc_side, values["ratio"], contrast, values["cnr"], values["persistence"], onset, values["length"], clean,
        slope, foroughi, (widths[0], widths[1], widths[2]), ends, name,
    )  # fmt: skip


def classify(values: dict[str, float], unit: float, params: UltrasoundParams) -> str:
    """absent, weak, present or strong.

    Present and strong ask for rank contrast, darkness, length and for a shadow that begins at the focus and is darker
    than both sides; what has the rank contrast and misses one of these is weak.
    """
    auc, ratio = values["auc"], values["ratio"]
    if auc < params.weak_auc:
        return "absent"
    side = values["auc_side"]
    whole = (
        values["length"] >= params.shadow_length_mm * unit and not values["onset"] < LEAST_ONSET and side >= LEAST_SIDE
    )
    if whole and auc >= params.strong_auc and ratio <= params.strong_ratio:
        return "strong"
    if whole and auc >= params.present_auc and ratio <= params.present_ratio:
        return "present"
    return "weak"


def _lower_edge(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the last row of each column of a mask, interpolated over empty columns."""
    last = mask.shape[0] - 1 - np.argmax(mask[::-1], axis=0)
    known = np.flatnonzero(mask.any(axis=0))
    return np.asarray(np.rint(np.interp(np.arange(mask.shape[1]), known, last[known])), dtype=np.int64)


def _beside(lines: Lines, rows: slice, core: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lines of tissue left and right of a shadow, which may be wider or narrower than the echo.

    On each side it is where the mean rank is highest within reach: the shoulder of the dark band.
    """
    beam, unit = lines.beam, lines.beam.unit
    step = float(beam.line_step[min((rows.start + rows.stop) // 2, len(beam.depth) - 1)])
    width = (core[1] - core[0]) * step
    flank = max(2, round(float(np.clip(width, FLANK_MM[0] * unit, FLANK_MM[1] * unit)) / step))
    gap = max(1, round(GAP_MM * unit / step))
    reach = max(flank, round(max(REACH_MM * unit, REACH_SHARE * width) / step))
    profile = lines.ranks[rows].mean(axis=0)
    total = np.concatenate([[0.0], profile.cumsum()])
    m = len(profile)

    def shoulder(low: int, high: int) -> tuple[int, int]:
        low, high = max(low, 0), min(high, m)
        if high - low <= flank:
            return low, max(high, low)
        starts = np.arange(low, high - flank + 1)
        best = int(starts[np.argmax(total[starts + flank] - total[starts])])
        return best, best + flank

    left = shoulder(core[0] - gap - reach, core[0] - gap)
    right = shoulder(core[1] + gap, core[1] + gap + reach)
    least = max(2, flank // 3)
    return (left if left[1] - left[0] >= least else (0, 0)), (right if right[1] - right[0] >= least else (0, 0))


def open_shadow(lines: Lines, box: NDArray[np.int64], mask: NDArray[np.bool_]) -> bool:
    """Whether everything behind a wide focus is black at once, to the end of the image, and in front of it is tissue.

    For a shadow as wide as the view, as of a bone: nothing lies beside that it could be compared with. A drop from
    tissue to black over the thickness of the echo is no attenuation.
    """
    beam, unit = lines.beam, lines.beam.unit
    trim = mask.shape[1] // 5
    columns = np.arange(trim, mask.shape[1] - trim)
    thickness = np.median(mask.sum(axis=0)[columns]) * beam.depth_step if len(columns) else np.inf
    width = mask.shape[1] * float(beam.line_step[int(box[0])])
    room = (len(beam.depth) - int(box[1])) * beam.depth_step
    if width < OPEN_ASPECT * thickness or room < OPEN_ROOM_MM * unit:
        return False
    span, skip = round(OPEN_MM[1] * unit / beam.depth_step), round(OPEN_MM[0] * unit / beam.depth_step)
    below = _lower_edge(mask)[columns] + int(box[0]) + skip
    above = int(box[0]) + np.argmax(mask, axis=0)[columns] - skip
    line = columns + int(box[2])
    n = len(beam.depth)
    steps = np.arange(span)
    deep = np.clip(below[:, None] + steps, 0, n - 1)
    front = np.clip(above[:, None] - steps, 0, n - 1)
    behind, before = lines.smooth[deep, line[:, None]].ravel(), lines.smooth[front, line[:, None]].ravel()
    limit = lines.black + OPEN_BLACK * (lines.white - lines.black)
    rest = lines.smooth[int(box[1]) + skip :, line[0] : line[-1] + 1]
    black = (behind <= limit).mean() >= OPEN_SHARE and (not rest.size or (rest <= limit).mean() >= OPEN_SHARE)
    counts = [
        np.bincount(np.clip(np.rint(v), 0, 255).astype(int), minlength=256)[None].astype(float)
        for v in (before, behind)
    ]
    return bool(black and _auc(counts[0], counts[1])[0] >= OPEN_AUC)


def _nothing(foroughi: float) -> Shadow:
    nan = np.nan
    return Shadow(nan, nan, nan, nan, nan, nan, nan, 0.0, nan, nan, foroughi, (nan, nan, nan), False, None)


def _histograms(values: NDArray[np.float32], known: NDArray[np.bool_], size: int, n: int) -> NDArray[np.float64]:
    """Counts of grey levels in blocks of depths, (n, 256)."""
    block = np.broadcast_to((np.arange(len(values)) // size)[:, None], values.shape)[known]
    level = np.clip(np.rint(values[known]), 0, 255).astype(np.int64)
    return np.bincount(block * 256 + level, minlength=n * 256).reshape(n, 256).astype(float)


def _auc(bright: NDArray[np.float64], dark: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(bright > dark) + P(equal) / 2 for pairs of histograms, (n,): Mann-Whitney."""
    above = bright[:, ::-1].cumsum(axis=1)[:, ::-1] - bright
    pairs = (dark * (above + bright / 2)).sum(axis=1)
    total = bright.sum(axis=1) * dark.sum(axis=1)
    return np.where(total > 0, pairs / np.maximum(total, 1), np.nan)


def _variance(counts: NDArray[np.float64], grey: NDArray[np.float64]) -> float:
    """Mean variance within the blocks."""
    n = np.maximum(counts.sum(axis=1), 1)
    mean = counts @ grey / n
    return float((counts @ grey**2 / n - mean**2).mean())


def _foroughi(lines: Lines, box: NDArray[np.int64], focus_grey: float) -> float:
    """Weighted mean behind over the focus, above black; weights rise from the focus to 5 mm and stay."""
    below = lines.grey[box[1] : lines.deepest, box[2] : box[3]]
    if not below.size or focus_grey <= lines.black + 1:
        return np.nan
    depth = np.arange(len(below)) * lines.beam.depth_step / lines.beam.unit
    weight = 1 - np.exp(-0.5 * (depth / FOROUGHI_SIGMA_MM) ** 2)
    if weight.sum() <= 0:
        return np.nan
    mean = float((below.mean(axis=1) * weight).sum() / weight.sum())
    return max(mean - lines.black, 0.0) / (focus_grey - lines.black)


def _width(lines: Lines, box: NDArray[np.int64], middle: float, behind: float, levels: tuple[float, float]) -> float:
    """Width of the dark band at a distance behind the focus, at half between the levels inside and beside."""
    beam = lines.beam
    at = int(box[1] + behind / beam.depth_step)
    half = max(1, round(1.5 * beam.unit / beam.depth_step))
    if at + half > lines.deepest or levels[1] - levels[0] < 4:
        return np.nan
    profile = lines.grey[max(at - half, 0) : at + half].mean(axis=0)
    step = float(beam.line_step[at])
    profile = ndimage.gaussian_filter1d(profile, max(0.3 * beam.unit / step, 0.5), mode="nearest")
    level = (levels[0] + levels[1]) / 2
    centre = int(np.clip(middle, 0, len(profile) - 1))
    reach = max(2, (int(box[3]) - int(box[2])) // 4)
    near = slice(max(centre - reach, 0), centre + reach + 1)
    centre = near.start + int(np.argmin(profile[near]))
    if profile[centre] >= level:
        return np.nan
    bright = profile >= level
    left = np.flatnonzero(bright[:centre])
    right = np.flatnonzero(bright[centre:])
    if not len(left) or not len(right):
        return np.nan
    a, b = int(left[-1]), centre + int(right[0])
    low = a + (profile[a] - level) / max(profile[a] - profile[a + 1], 1e-6)
    high = b - (profile[b] - level) / max(profile[b] - profile[b - 1], 1e-6)
    return float((high - low) * step)
