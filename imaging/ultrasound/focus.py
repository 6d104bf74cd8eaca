"""One focus of one frame: how wide, how high, how deep, of what shape, and what lies behind it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .beam import Beam
from .echo import Lines, Nodes, screen
from .extent import grey_per_db, grow, ungrown
from .params import UltrasoundParams
from .segments import shadowing_parts
from .shadow import ENHANCED_AUC, Shadow, measure_shadow, open_shadow

THIN_ASPECT, SMOOTH_SHARE = 5.0, 0.5
"""An interface is at least five times as wide as high, and leaves a parabola by less than half of its thickness."""
WIDE_MM = 6.0
BONE_MM, BONE_RATIO = 15.0, 0.5
"""A shadowing interface of at least 15 mm whose shadow is dark is taken for bone."""
TAIL_MM, TAIL_LAG_MM = 10.0, (0.6, 4.0)
TAIL_REPEAT = 0.45
"""Correlation of the echoes behind with themselves, one repeat deeper, from which they are a reverberation."""
SURFACE_SIDE = 0.79
"""Rank contrast against the less clear side from which a shadow behind a surface is believed."""
SHADOWED = ("present", "strong")
BRIGHT_Z, EVIDENCE, MOST_MEASURED = 4.25, 0.08, 150
"""Brightness above which neighbours are left out of the tissue beside; evidence of a shadow from which candidates are
measured, and how many at most."""
FOCUS_RANK, FOCUS_REACH_MM, THIN = 0.75, 5.0, 3
"""Share of the samples at its depth, or within so many mm of it (every third line), that are darker than an echo whose
shadow alone makes it a focus."""
EDGE_MM, NEAR_SHARE, NEAR_SHARE_CURVED = 1.0, 0.04, 0.09


@dataclass(frozen=True, eq=False)
class Focus:
    """A focus of one frame; lengths in units of the image (mm where calibrated, else pixels).

    Parameters
    ----------
    beam : int
        Number of the region.
    box : (4,) ndarray
        On the scan lines, half-open: depths, lines.
    mask : ndarray of bool
        Echo at half amplitude, in the box.
    peak_z, grey : float
        Brightest sample over the surroundings in robust standard deviations; upper grey level of the echo.
    row, column : float
        Centre in the frame.
    depth, width, height : float
        Of the upper edge from the probe; across and along the beam.
    stats : dict of str to float
        Grey of the echo and of its surroundings, by column of the table.
    shadow : Shadow
    thickness, bend, sagitta : float
        Median extent along the beam; residual of its middle from a parabola; sagitta over width, positive where the
        ends lie deeper.
    flags : tuple of str
    reason : str
        Empty, or why it is no finding.
    extra : dict
        Twinkling, confidence ratio.
    """

    beam: int
    box: NDArray[np.int64]
    mask: NDArray[np.bool_]
    peak_z: float
    grey: float
    row: float
    column: float
    depth: float
    width: float
    height: float
    stats: dict[str, float]
    shadow: Shadow
    thickness: float
    bend: float
    sagitta: float
    flags: tuple[str, ...] = ()
    reason: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def merit(self) -> float:
        """Brightness times shadow: what makes a key frame."""
        auc = self.shadow.auc
        return self.peak_z * (auc if np.isfinite(auc) else 0.5)


def measure_foci(
    lines: Lines, nodes: Nodes, labels: list[NDArray[np.int32]], number: int, params: UltrasoundParams
) -> tuple[list[Focus], int]:
    """The candidates that are foci or have a reason not to be, and how many were texture.

    Candidates that seem to cast a shadow are measured first, the clearest before the others; what casts one stands for
    all that overlap it. Then come those that are bright by themselves. The rest is texture.
    """
    whole_nodes = len(labels)
    scale = grey_per_db(lines)
    parts, image = shadowing_parts(lines, nodes, labels, scale, params)
    nodes, labels = nodes.plus(parts), [*labels, image]
    evidence = screen(lines, nodes, params)
    bright = lines.z > BRIGHT_Z
    found: list[Focus] = []
    taken = np.zeros(lines.beam.shape, bool)
    merit = evidence + np.minimum(nodes.peak, 12) / 80
    hopeful = np.flatnonzero(evidence >= EVIDENCE)
    # What is a focus by itself comes before a part of something longer.
    hopeful = hopeful[np.lexsort((-merit[hopeful], nodes.level[hopeful] == whole_nodes))][:MOST_MEASURED]
    strong = np.flatnonzero(nodes.peak >= params.bright_z)
    strong = strong[np.lexsort((nodes.level[strong], -nodes.peak[strong]))]
    for k, needs_shadow in [*((k, True) for k in hopeful), *((k, False) for k in strong)]:
        # Candidates of one frame only: each has geometry of its own.
        box = nodes.box[k]
        node = labels[nodes.level[k]][box[0] : box[1], box[2] : box[3]] == nodes.label[k]
        if (taken[box[0] : box[1], box[2] : box[3]] & node).any():
            continue
        is_part = nodes.level[k] == whole_nodes
        grown = ungrown(lines, box, node) if is_part else grow(lines, box, node, scale)
        if grown is None:
            continue
        whole, mask, grey, width = grown
        shadow = _shadow(lines, [(whole, mask), (box, node)], bright, grey, params)
        if shadow.open:
            whole, mask = box, node
            width = float((box[3] - box[2]) * lines.beam.line_step[box[0]])
        if (needs_shadow or is_part) and (shadow.name not in SHADOWED or not _stands_out(lines, whole, mask)):
            continue
        place = (slice(whole[0], whole[1]), slice(whole[2], whole[3]))
        if (taken[place] & mask).any():
            continue
        taken[place] |= mask
        taken[box[0] : box[1], box[2] : box[3]] |= node
        found.append(_describe(lines, whole, mask, float(nodes.peak[k]), (grey, width), shadow, number, params))
    return found, max(int((nodes.level == 0).sum()) - len(found), 0)


def _stands_out(lines: Lines, box: NDArray[np.int64], mask: NDArray[np.bool_]) -> bool:
    """Whether an echo is among the brightest at its depth, or at about its depth where a surface as bright follows it.

    A shadow makes no focus of common tissue.
    """
    if lines.ranks[box[0] : box[1], box[2] : box[3]][mask].mean() >= FOCUS_RANK:
        return True
    reach = round(FOCUS_REACH_MM * lines.beam.unit / lines.beam.depth_step)
    near = slice(max(int(box[0]) - reach, 0), int(box[1]) + reach)
    around = lines.smooth[near, ::THIN][lines.valid[near, ::THIN]]
    own = np.percentile(lines.smooth[box[0] : box[1], box[2] : box[3]][mask], 75)
    return bool((around < own).mean() >= FOCUS_RANK)


def _shadow(
    lines: Lines,
    forms: list[tuple[NDArray[np.int64], NDArray[np.bool_]]],
    bright: NDArray[np.bool_],
    grey: float,
    params: UltrasoundParams,
) -> Shadow:
    """The clearest shadow behind a focus as it is at half amplitude and as it was found."""
    shadows = [measure_shadow(lines, box, mask, bright, grey, params) for box, mask in forms]
    best = max(shadows, key=lambda s: (s.name in SHADOWED, s.auc if np.isfinite(s.auc) else -1.0))
    box, mask = forms[-1]
    wide = (box[3] - box[2]) * lines.beam.line_step[box[0]] >= BONE_MM * lines.beam.unit
    if wide and best.name not in SHADOWED and open_shadow(lines, box, mask):
        return replace(best, name="present", open=True, reaches_end=True)
    return best


def _describe(
    lines: Lines,
    box: NDArray[np.int64],
    mask: NDArray[np.bool_],
    peak: float,
    echo: tuple[float, float],
    shadow: Shadow,
    number: int,
    params: UltrasoundParams,
) -> Focus:
    beam, (grey, width) = lines.beam, echo
    place = (slice(box[0], box[1]), slice(box[2], box[3]))
    at, across = np.nonzero(mask)
    centre = float(box[0] + at.mean()), float(box[2] + across.mean())
    row, column = beam.pixel(np.array([centre[0]]), np.array([centre[1]]))
    step = float(beam.line_step[int(centre[0])])
    height = float(mask.shape[0] * beam.depth_step)
    own = lines.grey[place][mask]
    stats = {
        "intensity_mean": float(own.mean()), "intensity_sd": float(own.std()), "intensity_min": float(own.min()),
        "intensity_median": float(np.median(own)), "intensity_p95": float(np.percentile(own, 95)),
        "intensity_max": float(own.max()), "background_mean": float(lines.surroundings[place][mask].mean()),
        "background_sd": float(_spread(lines, place, mask)),
    }  # fmt: skip
    thickness, bend, sagitta = _shape(mask, beam.depth_step, step)
    depth = float(beam.depth[box[0]])
    flags, reason = _judge(beam, box, shadow, (width, thickness, bend), depth, params)
    if _repeats(lines, box):
        flags.append("reverberation" if reason or shadow.name in SHADOWED else "comet_tail")
    return Focus(
        number, box, mask, peak, grey, float(row[0]), float(column[0]), depth, width, height, stats, shadow,
        thickness, bend, sagitta, tuple(sorted(flags)), reason,
    )  # fmt: skip


def _judge(
    beam: Beam,
    box: NDArray[np.int64],
    shadow: Shadow,
    form: tuple[float, float, float],
    depth: float,
    params: UltrasoundParams,
) -> tuple[list[str], str]:
    """Flags, and the reason if it is no finding: the first that hits."""
    width, thickness, bend = form
    unit = beam.unit
    flags = []
    shadowed = shadow.name in SHADOWED
    thin = (
        width >= THIN_ASPECT * thickness
        and width >= WIDE_MM * unit
        and bend <= max(SMOOTH_SHARE * thickness, 2 * beam.depth_step)
    )
    step = float(beam.line_step[min(int(box[1]), len(beam.depth) - 1)])
    edge = min(int(box[2]), len(beam.line) - int(box[3])) * step < EDGE_MM * unit
    if np.isfinite(shadow.auc) and shadow.auc <= ENHANCED_AUC:
        flags.append("distal_enhancement")
    if thin:
        flags.append("interface")
        # A surface divides two tissues, and the deeper one may be the darker: that alone is no shadow.
        shadowed = shadowed and (shadow.open or shadow.auc_side >= SURFACE_SIDE)
    dark = shadow.open or shadow.ratio <= BONE_RATIO
    if shadowed and width >= BONE_MM * unit and dark and shadow.reaches_end:
        flags.append("bone_like")
    if shadow.open:
        flags.append("no_tissue_beside")
    share = NEAR_SHARE if beam.is_linear else NEAR_SHARE_CURVED
    if depth < max(params.near_field_mm * unit, share * float(beam.depth[-1])):
        return flags, "near_field"
    below = int(box[1]) + round(EDGE_MM * unit / beam.depth_step)
    if edge or below >= len(beam.depth) or beam.inside[below, box[2] : box[3]].mean() < 0.5:
        return flags, "edge_of_image"
    if thin and not shadowed:
        return flags, "interface"
    return flags, ""


def _shape(mask: NDArray[np.bool_], depth_step: float, line_step: float) -> tuple[float, float, float]:
    """Median thickness along the beam, residual of the middle from a parabola, and its sagitta over the width."""
    columns = np.flatnonzero(mask.any(axis=0))
    count = mask.sum(axis=0)[columns]
    middle = (mask * np.arange(mask.shape[0])[:, None]).sum(axis=0)[columns] / count * depth_step
    thickness = float(np.median(count) * depth_step)
    if len(columns) < 5:
        return thickness, 0.0, 0.0
    x = columns * line_step
    centred = (x - x.mean()) / max(np.ptp(x), 1e-9)
    fit = np.polyfit(centred, middle, 2)
    bend = float(np.sqrt(np.mean((np.polyval(fit, centred) - middle) ** 2)))
    return thickness, bend, float(fit[0] / 4 / max(np.ptp(x), 1e-9))


def _spread(lines: Lines, place: tuple[slice, slice], mask: NDArray[np.bool_]) -> float:
    """Robust standard deviation of smoothed grey round the focus: how z was scaled."""
    z = lines.z[place][mask]
    above = (lines.smooth - lines.surroundings)[place][mask]
    good = z > 0.5
    return float(np.median(above[good] / z[good])) if good.any() else np.nan


def _repeats(lines: Lines, box: NDArray[np.int64]) -> bool:
    """Whether a focus and the echoes behind it repeat at equal distances, brighter than what lies around."""
    beam, unit = lines.beam, lines.beam.unit
    span = round(TAIL_MM * unit / beam.depth_step)
    # From the upper edge: the first repeats may have grown together with the echo.
    part = (slice(box[0], min(box[0] + span, lines.deepest)), slice(box[2], box[3]))
    tail = lines.smooth[part] - lines.surroundings[part]
    if len(tail) < span // 2 or tail.mean() < 0:
        return False
    profile = tail.mean(axis=1)
    if profile.max() < 3 * LEAST_TAIL:
        return False
    x = np.arange(len(profile))
    profile = profile - np.polyval(np.polyfit(x, profile, 2), x)
    power = float((profile**2).sum())
    if power <= len(profile) * LEAST_TAIL**2:
        return False
    low, high = (round(mm * unit / beam.depth_step) for mm in TAIL_LAG_MM)
    lags = np.array(
        [float((profile[k:] * profile[:-k]).sum()) / power for k in range(max(low, 1), min(high, len(x) // 3))]
    )
    if len(lags) < 3:
        return False
    best = int(np.argmax(lags))
    return bool(0 < best < len(lags) - 1 and lags[best] > TAIL_REPEAT)


LEAST_TAIL = 8.0
"""Grey levels by which repeats stand out."""
