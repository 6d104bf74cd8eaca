"""Where in a frame the image is, and of what shape: a rectangle, or a sector with its apex.

The lit area is outlined by its convex hull, which dark shadows do not dent. Its straight sides tell the kind: upright,
a linear probe; meeting above, a curved or phased one, whose lines radiate from where the sides meet. Where the sides
are cropped away the arc at the bottom gives the apex.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Array = NDArray[np.float64]
LIT = 4
"""Grey levels above the background from which a pixel is lit."""
WORK = 280
"""Pixels along the longer side of the reduced image in which the area is looked for."""
PART = 0.05
"""Size of a part of the image over that of its largest."""
UPRIGHT = np.deg2rad(4.0)
"""Sides within this angle of upright are those of a linear probe."""
FLAT = 0.02
"""Sagitta of the bottom over its width below which it is straight."""
LEAST_SIDE = 0.25
"""A side is at least this share of the height of the area."""
PHASED_MM = 12.0
"""A sector that begins closer to its apex than this comes from a phased probe."""


@dataclass(frozen=True)
class Sector:
    """The area of the image, in units of `step` from the corner of the picture.

    Parameters
    ----------
    kind : "linear", "curved" or "phased"
    box : (left, top, right, bottom)
        Of the lit area.
    apex : (x, y)
        Where scan lines meet; not used for linear.
    radii : (near, far)
        Distance from the apex of the first and the last echo.
    angles : (left, right)
        Of the outer scan lines against upright, radians.
    outline : tuple of (x, y)
        Corners of the convex hull of what is lit; empty: the whole area.
    certain : bool
        False where no side and no arc could be seen: scan lines are then taken for upright.
    """

    kind: Literal["linear", "curved", "phased"]
    box: tuple[float, float, float, float]
    apex: tuple[float, float] = (0.0, 0.0)
    radii: tuple[float, float] = (0.0, 0.0)
    angles: tuple[float, float] = (0.0, 0.0)
    certain: bool = True
    outline: tuple[tuple[float, float], ...] = ()


def lit_area(grey: NDArray[np.uint8], drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """The lit area, reduced, and the reduction factor: its largest connected part, without what is drawn.

    Large parts above or below it belong to it: a vessel or a bladder may lie between them from side to side.
    """
    rows, columns = grey.shape
    factor = max(1, -(-max(rows, columns) // WORK))
    trimmed = np.where(drawn, 0, grey)[: rows // factor * factor, : columns // factor * factor]
    blocks = trimmed.reshape(rows // factor, factor, columns // factor, factor)
    bright = blocks.mean(axis=(1, 3)) > _background(grey) + LIT
    opened = ndimage.binary_opening(ndimage.binary_closing(np.pad(bright, 3), np.ones((3, 3))), np.ones((5, 5)))
    labels, n = ndimage.label(opened[3:-3, 3:-3])
    if n == 0:
        return np.zeros(bright.shape, bool), factor
    size = np.bincount(labels.ravel())
    largest = 1 + int(np.argmax(size[1:]))
    columns_of = (labels == largest).any(axis=0)
    share = np.bincount(labels[:, columns_of].ravel(), minlength=n + 1) / np.maximum(size, 1)
    own = (size >= PART * size[largest]) & (share >= 0.5)
    own[0] = False
    return np.asarray(own[labels]), factor


def _background(grey: NDArray[np.uint8]) -> int:
    """Grey of the area around the image: the darkest frequent level of the border; 0 where the image fills it."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    counts = np.bincount(border, minlength=256)
    common = int(np.argmax(counts))
    return common if counts[common] > 0.3 * len(border) and common < 40 else 0


def find_sector(
    grey: NDArray[np.uint8], drawn: NDArray[np.bool_], step: tuple[float, float], unit_is_mm: bool = True
) -> Sector | None:
    """The area of the image, or None where nothing is lit.

    Parameters
    ----------
    grey : (rows, columns) ndarray
        Of one region.
    drawn : (rows, columns) ndarray of bool
        Text and colour, left out.
    step : (row, column)
        Height and width of a pixel.
    unit_is_mm : bool
        Whether the step is in mm: only then can curved and phased probes be told apart by size.
    """
    lit, factor = lit_area(grey, drawn)
    if lit.sum() < 50:
        return None
    rows, columns = lit.shape
    dy, dx = step[0] * factor, step[1] * factor
    y, x = np.nonzero(lit)
    corners = np.stack([np.concatenate([x, x + 1]) * dx, np.concatenate([y, y + 1]) * dy], axis=1)
    box = (
        float(corners[:, 0].min()),
        float(corners[:, 1].min()),
        float(corners[:, 0].max()),
        float(corners[:, 1].max()),
    )
    try:
        points = corners[ConvexHull(corners).vertices]
    except QhullError:
        return None
    width, height = columns * dx, rows * dy
    tolerance = 1.5 * max(dx, dy)
    left, right = (_side(points, box, sign, tolerance, (width, height)) for sign in (-1, 1))
    apex = _meeting(left, right, box)
    if apex is None and (left is None or right is None):
        apex = _arc_centre(lit, (dy, dx), box)
    if apex is None:
        box = _whole_height(grey, drawn, box, step)
        upright = all(side is not None and abs(side[2]) < UPRIGHT for side in (left, right))
        fills = box[2] - box[0] > 0.9 * width
        return Sector("linear", box, certain=bool(upright or fills))
    sector = _curved(lit, (dy, dx), points, apex, box, unit_is_mm)
    if sector.kind == "phased":
        sector = _from_first_echo(sector, grey, drawn, step)
    return replace(sector, outline=tuple((float(x), float(y)) for x, y in points))


def _whole_height(
    grey: NDArray[np.uint8],
    drawn: NDArray[np.bool_],
    box: tuple[float, float, float, float],
    step: tuple[float, float],
) -> tuple[float, float, float, float]:
    """A rectangle with all rows that are lit over half of its width: bands of echoes may be apart."""
    first, last = int(box[0] / step[1]), round(box[2] / step[1])
    lit = (grey[:, first:last] > _background(grey) + LIT) & ~drawn[:, first:last]
    rows = np.flatnonzero(lit.mean(axis=1) > 0.5)
    if not len(rows):
        return box
    return box[0], min(box[1], rows[0] * step[0]), box[2], max(box[3], (rows[-1] + 1) * step[0])


def _side(
    points: Array, box: tuple[float, float, float, float], sign: int, tolerance: float, size: tuple[float, float]
) -> tuple[float, float, float] | None:
    """The straight left (-1) or right (1) side of a hull: a point on it and its angle against upright; None if cropped.

    It is the longest chord between two corners of the hull that no corner between them leaves by more than the
    tolerance.
    """
    middle = (box[0] + box[2]) / 2
    own = points[sign * (points[:, 0] - middle) >= 0]
    own = own[np.argsort(own[:, 1])]
    best, found = LEAST_SIDE * (box[3] - box[1]), None
    for i in range(len(own) - 1):
        for j in range(len(own) - 1, i, -1):
            run, fall = own[j] - own[i]
            if fall <= best or abs(run) > 2.0 * fall:
                continue
            between = own[i : j + 1] - own[i]
            if np.abs(between[:, 0] * fall - between[:, 1] * run).max() <= tolerance * np.hypot(run, fall):
                best, found = fall, (own[i], np.arctan2(run, fall))
    if found is None:
        return None
    edge = size[0] if sign > 0 else 0.0
    if abs(found[0][0] - edge) < tolerance and abs(found[1]) < UPRIGHT:
        return None  # the frame cuts it off
    return float(found[0][0]), float(found[0][1]), float(found[1])


def _meeting(
    left: tuple[float, float, float] | None,
    right: tuple[float, float, float] | None,
    box: tuple[float, float, float, float],
) -> tuple[float, float] | None:
    """Where two slanted sides meet above the image."""
    if left is None or right is None or not (left[2] < -UPRIGHT and right[2] > UPRIGHT):
        return None
    slope_l, slope_r = np.tan(left[2]), np.tan(right[2])
    y = (left[0] - slope_l * left[1] - right[0] + slope_r * right[1]) / (slope_r - slope_l)
    x = left[0] + slope_l * (y - left[1])
    return (float(x), float(y)) if y < box[1] + 0.2 * (box[3] - box[1]) else None


def _arc_centre(
    lit: NDArray[np.bool_], step: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[float, float] | None:
    """Centre of the circle through the lower border, where that is bent and does not end at the frame."""
    rows = lit.shape[0]
    lowest = rows - 1 - np.argmax(lit[::-1], axis=0)
    column = np.flatnonzero(lit.any(axis=0) & (lowest < rows - 1))
    if len(column) < 30:
        return None
    x, y = (column + 0.5) * step[1], (lowest[column] + 1.0) * step[0]
    keep = np.ones(len(x), bool)
    circle = np.zeros(3)
    for _ in range(8):  # shadows end above the arc: only what lies on or below the circle is kept
        system = np.stack([x[keep], y[keep], np.ones(keep.sum())], axis=1)
        circle = np.linalg.lstsq(system, (x[keep] ** 2 + y[keep] ** 2), rcond=None)[0]
        radius = np.sqrt(max(circle[2] + (circle[0] ** 2 + circle[1] ** 2) / 4, 0.0))
        off = np.hypot(x - circle[0] / 2, y - circle[1] / 2) - radius
        spread = 1.4826 * np.median(np.abs(off[keep])) + 0.5 * step[0]
        again = np.abs(off) < 2.5 * spread
        if again.sum() < 30 or np.array_equal(again, keep):
            break
        keep = again
    width = np.ptp(x[keep])
    sagitta = radius - np.sqrt(max(radius**2 - (width / 2) ** 2, 0.0))
    good = spread < 0.012 * radius and sagitta > FLAT * width and width > 0.5 * (box[2] - box[0])
    if not good or circle[1] / 2 > box[1] + 0.1 * (box[3] - box[1]):
        return None
    return float(circle[0] / 2), float(circle[1] / 2)


def _curved(
    lit: NDArray[np.bool_],
    step: tuple[float, float],
    points: Array,
    apex: tuple[float, float],
    box: tuple[float, float, float, float],
    unit_is_mm: bool,
) -> Sector:
    y, x = np.nonzero(lit)
    across, down = (x + 0.5) * step[1] - apex[0], (y + 0.5) * step[0] - apex[1]
    radius = np.hypot(across, down)
    # The arc of the probe: the nearest echoes over most of the lines, where the frame does not cut them off.
    angle = np.arctan2(across, down)
    bins = np.clip(((angle - angle.min()) / max(np.ptp(angle), 1e-9) * 60).astype(int), 0, 59)
    near = np.full(60, np.inf)
    np.minimum.at(near, bins, radius)
    first = float(np.median(near[10:50][np.isfinite(near[10:50])])) if np.isfinite(near[10:50]).any() else radius.min()
    first = float(min(first, np.percentile(radius, 2.0)))
    far = float(np.hypot(points[:, 0] - apex[0], points[:, 1] - apex[1]).max())
    hull_angle = np.arctan2(points[:, 0] - apex[0], points[:, 1] - apex[1])
    outer = points[:, 1] > box[1] + 0.15 * (box[3] - box[1])
    span = hull_angle[outer] if outer.any() else hull_angle
    kind: Literal["curved", "phased"] = "curved"
    if first < (PHASED_MM if unit_is_mm else 0.06 * (far - first)):
        kind = "phased"
    return Sector(kind, box, apex, (max(first, 0.0), far), (float(span.min()), float(span.max())))


def _from_first_echo(
    sector: Sector, grey: NDArray[np.uint8], drawn: NDArray[np.bool_], step: tuple[float, float]
) -> Sector:
    """The sector from its first echo on, looked up in the image itself: the tip is lost where it is reduced."""
    reach = sector.radii[0] + 0.1 * (sector.radii[1] - sector.radii[0])
    rows = slice(0, max(int((sector.apex[1] + reach) / step[0]) + 1, 1))
    y, x = np.mgrid[rows, : grey.shape[1]]
    across, down = (x + 0.5) * step[1] - sector.apex[0], (y + 0.5) * step[0] - sector.apex[1]
    radius = np.hypot(across, down)
    inside = (radius < reach) & (down > 0)
    angle = np.arctan2(across, np.where(down > 0, down, 1.0))
    inside &= (angle > 0.7 * sector.angles[0]) & (angle < 0.7 * sector.angles[1]) & ~drawn[rows]
    ring = (radius / min(step)).astype(int)[inside]
    if not len(ring):
        return sector
    lit = grey[rows][inside] > _background(grey) + LIT
    share = np.bincount(ring, lit) / np.maximum(np.bincount(ring), 1)
    bright = np.flatnonzero(share >= 0.5)
    if not len(bright):
        return sector
    return replace(sector, radii=(min(float(bright[0] * min(step)), sector.radii[0]), sector.radii[1]))
