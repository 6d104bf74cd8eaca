"""Parts of a long echo that cast a shadow of their own: plaque in the wall of a vessel, which is as bright itself.

Brightness cannot part the two, the shadow can. A part counts if it is as bright as the rest: what lies in the shadow
of something in front is darker than its surface elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .echo import DRAWN_SHARE, Lines, Nodes
from .params import UltrasoundParams

LONG_MM, ASPECT = 6.0, 2.0
"""Width from which an echo is looked through, and width over height."""
DARKER, SHARE = 0.15, 0.6
"""Mean rank by which it is darker behind a part than behind the brightest quarter of lines; largest share of them."""
SMOOTH_MM, LEAST_MM = 0.5, 1.0
SURFACE_DB = 8.0
"""Over its surroundings: a row of speckles is less, a surface that reflects is more."""
AS_BRIGHT = 0.8
"""Of the brightness of the rest over black that a part has at least."""
INFORMATIVE = 0.12
"""Share of the grey range over black from which a depth holds tissue."""


def shadowing_parts(
    lines: Lines, nodes: Nodes, labels: list[NDArray[np.int32]], scale: float, params: UltrasoundParams
) -> tuple[Nodes, NDArray[np.int32]]:
    """Parts of long candidates that are dark behind, as candidates of one level more, with its label image.

    `scale` is the grey of a decibel.
    """
    beam, unit = lines.beam, lines.beam.unit
    image = np.zeros(beam.shape, np.int32)
    boxes: list[list[int]] = []
    peaks: list[float] = []
    width = (nodes.box[:, 3] - nodes.box[:, 2]) * beam.line_step[nodes.box[:, 0]]
    height = (nodes.box[:, 1] - nodes.box[:, 0]) * beam.depth_step
    for k in np.flatnonzero((width >= LONG_MM * unit) & (width >= ASPECT * height)):  # long candidates only: few
        box = nodes.box[k]
        place = (slice(box[0], box[1]), slice(box[2], box[3]))
        node = labels[nodes.level[k]][place] == nodes.label[k]
        step = float(beam.line_step[int(box[0])])
        for first, last in _dark_runs(lines, box, node, step, params):
            own = node.copy()
            own[:, :first] = own[:, last:] = False
            own &= image[place] == 0
            if own[:, first:last].any(axis=0).mean() <= SHARE or lines.z[place][own].max() < params.peak_z:
                continue
            over = np.percentile((lines.smooth - lines.surroundings)[place][own], 75)
            if over < SURFACE_DB * scale or lines.valid[place][own].mean() < 1 - DRAWN_SHARE:
                continue
            if not _as_bright(lines, place, node, own):
                continue
            image[place][own] = len(boxes) + 1
            rows = np.flatnonzero(own.any(axis=1))
            columns = np.flatnonzero(own.any(axis=0))
            boxes.append([box[0] + rows[0], box[0] + rows[-1] + 1, box[2] + columns[0], box[2] + columns[-1] + 1])
            peaks.append(float(lines.z[place][own].max()))
    n = len(boxes)
    found = Nodes(
        np.array(boxes, np.int64).reshape(-1, 4),
        np.array(peaks),
        np.full(n, len(labels), np.int64),
        np.arange(1, n + 1),
    )
    return found, image


def _dark_runs(
    lines: Lines, box: NDArray[np.int64], node: NDArray[np.bool_], step: float, params: UltrasoundParams
) -> list[tuple[int, int]]:
    """Stretches of lines (within the box) behind which it is darker than behind the other lines of the echo."""
    beam, unit = lines.beam, lines.beam.unit
    d0 = int(box[1]) + round(params.shadow_from_mm * unit / beam.depth_step)
    d1 = min(int(box[1]) + round(params.shadow_to_mm * unit / beam.depth_step), lines.deepest)
    if d1 - d0 < 2:
        return []
    part = (slice(d0, d1), slice(box[2], box[3]))
    floor = lines.black + INFORMATIVE * (lines.white - lines.black)
    telling = np.percentile(lines.smooth[part], 75, axis=1) > floor  # not the lumen that lies behind a near wall
    if telling.sum() * beam.depth_step < 2 * unit:
        return []
    profile = ndimage.gaussian_filter1d(lines.ranks[part][telling].mean(axis=0), max(SMOOTH_MM * unit / step, 0.5))
    dark = profile < np.percentile(profile, 75) - DARKER
    label, _ = ndimage.label(dark)
    least, most = LEAST_MM * unit / step, SHARE * node.shape[1]
    runs = [(s[0].start, s[0].stop) for s in ndimage.find_objects(label)]
    return [(a, b) for a, b in runs if least <= b - a <= most]


def _as_bright(lines: Lines, place: tuple[slice, slice], node: NDArray[np.bool_], own: NDArray[np.bool_]) -> bool:
    """Whether a part of an echo is about as bright as the rest, ridge by ridge."""
    values = np.where(node, lines.smooth[place], -np.inf).max(axis=0)
    here = own.any(axis=0)
    rest = np.isfinite(values) & ~here
    if not rest.any():
        return False
    level = float(np.median(values[rest])) - lines.black
    return bool(np.median(values[here]) - lines.black >= AS_BRIGHT * level)
