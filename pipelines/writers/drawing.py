"""Drawing one picture of a scan into matplotlib axes: a crop of a slice, or a projection. No layout, no files.

Axes are in mm from the corner of the whole picture, to the right and downwards. Only matplotlib's object interface is
used, never pyplot, so that scans can be drawn in threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from imaging import Detection

from ..results import ScanResult
from .crops import Crop
from .views import View, outlines, projected_labels, slice_labels, view_along

FINDING_COLOUR = "#D55E00"
EXCLUDED_COLOUR = "#56B4E9"
"""Vermillion and sky blue of the Okabe-Ito palette: told apart with every kind of colour vision."""
FIELD_COLOUR, NO_COLOUR = "#000000", "#b8b8b8"
FONT = "DejaVu Sans"
_BESIDE_PX = 22
"""A label farther than this from its finding gets a line to it; nearer, the line would look like a minus sign."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, mm."""


@dataclass(frozen=True)
class Theme:
    """Colours round the pictures: page, text, and text of less weight."""

    background: str
    ink: str
    faint: str


DARK = Theme("#141414", "#f2f2f2", "#b8b8b8")
PAPER = Theme("#ffffff", "#1b1f24", "#57606a")


@dataclass(frozen=True)
class Window:
    """Grey levels: black at ``level - width / 2`` HU, white at ``level + width / 2``."""

    width: float
    level: float

    @property
    def limits(self) -> tuple[float, float]:
        """HU of black and of white."""
        return self.level - self.width / 2, self.level + self.width / 2

    def __str__(self) -> str:
        return f"W {self.width:g} L {self.level:g}"


CROP_WINDOW = Window(700, 200)
PROJECTION_WINDOW = Window(1500, 550)


def draw_crop(axes: Axes, detection: Detection, crop: Crop, window: Window = CROP_WINDOW) -> None:
    """A crop of a slice: findings outlined and numbered, excluded candidates outlined thinner.

    Parameters
    ----------
    axes : matplotlib Axes
        Square; limits, ticks and frame are set here.
    detection : Detection
    crop : Crop
    window : Window
    """
    volume = detection.volume
    view = view_along(volume, 0)
    x, y = crop.centre
    half = crop.field_mm / 2
    bounds = (x - half, y - half, x + half, y + half)
    _show(axes, view, volume.array[crop.slice_index], bounds, window, "nearest")
    excluded = detection.excluded.components
    for parts, numbers, colour, width in (
        (excluded, np.arange(1, len(excluded) + 1), EXCLUDED_COLOUR, 0.6),
        (detection.components, detection.finding_id, FINDING_COLOUR, 1.3),
    ):
        labels = view.orient(slice_labels(parts, numbers, crop.slice_index))
        _outline(axes, labels, view, bounds, colour, width)
    _furnish(axes, view, bounds, _points(labels, crop.finding_ids, view))


def draw_projection(
    axes: Axes, result: ScanResult, axis: int, box: tuple[slice, slice, slice], numbered: NDArray[np.int64]
) -> None:
    """A maximum-intensity projection along an array axis with the findings outlined, some of them numbered.

    Parameters
    ----------
    axes : matplotlib Axes
        With the aspect of the box.
    result : ScanResult
    axis : int
        Array axis that is projected: 0 slice, 1 row, 2 column.
    box : three slices
        What is projected.
    numbered : ndarray of int
        Components that get their ``finding_id`` as a label.
    """
    view, detection = view_along(result.volume, axis), result.detection
    bounds = projection_bounds(view, box)
    axes.set_facecolor(FIELD_COLOUR)
    _show(axes, view, result.volume.array[box].max(axis=axis), bounds, PROJECTION_WINDOW, "antialiased", bounds)
    parts = detection.components
    labels = view.orient(projected_labels(parts, detection.finding_id, axis))
    _outline(axes, labels, view, bounds, FINDING_COLOUR, 1.1)
    _furnish(axes, view, bounds, _points(labels, [int(i) for i in detection.finding_id[numbered]], view))


def projection_bounds(view: View, box: tuple[slice, slice, slice]) -> Box:
    """Where a box of voxels lies in a picture, mm."""
    (left, right), (top, bottom) = (view.span(a, box[a].start, box[a].stop) for a in (view.across, view.down))
    return left, top, right, bottom


def _points(labels: NDArray[np.int32], numbers: Sequence[int], view: View) -> dict[str, NDArray[np.float64]]:
    """Centres of the pixels of some labels in a shown image, mm, (n, xy) each."""
    down, across = np.nonzero(labels)
    at = np.stack([across + 0.5, down + 0.5], axis=1) * view.step
    label = labels[down, across]
    return {str(i): at[label == i] for i in numbers}


def _show(
    axes: Axes, view: View, image: NDArray[Any], bounds: Box, window: Window, interpolation: str,
    extent: Box | None = None,
) -> None:  # fmt: skip
    """The grey image; `extent` is its place where it is not the whole picture."""
    left, top, right, bottom = extent or (0.0, 0.0, *view.size)
    low, high = window.limits
    axes.imshow(
        view.orient(image), cmap="gray", vmin=low, vmax=high, interpolation=interpolation, aspect="equal",
        origin="upper", extent=(left, right, bottom, top), resample=True,
    )  # fmt: skip
    axes.set_xlim(bounds[0], bounds[2])
    axes.set_ylim(bounds[3], bounds[1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(FIELD_COLOUR)
    for spine in axes.spines.values():
        spine.set_color("#555555")
        spine.set_linewidth(0.6)


def _outline(axes: Axes, labels: NDArray[np.int32], view: View, bounds: Box, colour: str, width: float) -> None:
    """Borders of labels, those within the bounds."""
    lines = outlines(labels, view.step)
    low, high = lines.min(axis=1), lines.max(axis=1)
    seen = (high >= (bounds[0], bounds[1])).all(axis=1) & (low <= (bounds[2], bounds[3])).all(axis=1)
    axes.add_collection(
        LineCollection(list(lines[seen]), colors=colour, linewidths=width, capstyle="projecting", zorder=3),
        autolim=False,
    )


def _furnish(axes: Axes, view: View, bounds: Box, findings: dict[str, NDArray[np.float64]]) -> None:
    """Orientation letters, scale bar, and the numbers of findings (points of each, mm) where there is room."""
    px = _pixels_per_mm(axes, bounds)
    taken = [*_letters(axes, view, bounds, px), _scale_bar(axes, bounds, px)]
    for text, (x, y) in place_labels(findings, bounds, taken, px).items():
        points = findings[text]
        tip = points[np.argmin(np.hypot(*(points - (x, y)).T))]
        if np.hypot(*(tip - (x, y))) * px > _BESIDE_PX:
            axes.plot([x, tip[0]], [y, tip[1]], color=FINDING_COLOUR, linewidth=0.9, zorder=4, solid_capstyle="butt")
        _write(axes, x, y, text, 8.5, "bold")


def _pixels_per_mm(axes: Axes, bounds: Box) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().width * figure.get_figwidth() * figure.dpi / (bounds[2] - bounds[0]))


def _write(axes: Axes, x: float, y: float, text: str, size: float, weight: str = "normal", **how: Any) -> None:
    """White text with a dark rim: legible on every grey."""
    rim = [withStroke(linewidth=2.4, foreground="black")]
    place: dict[str, Any] = {"ha": "center", "va": "center", **how}
    axes.text(
        x, y, text, size=size, weight=weight, color="white", family=FONT, path_effects=rim, zorder=5, clip_on=False,
        **place,
    )  # fmt: skip


def _letters(axes: Axes, view: View, bounds: Box, px: float) -> list[Box]:
    """Patient directions at the four edges; the boxes that they cover."""
    left, top, right, bottom = bounds
    x, y, gap = (left + right) / 2, (top + bottom) / 2, 11 / px
    places = ((left + gap, y), (right - gap, y), (x, top + gap), (x, bottom - gap))
    for (u, v), letter in zip(places, view.letters, strict=True):
        _write(axes, u, v, letter, 9.5, "bold")
    reach = 12 / px
    return [(u - reach, v - reach, u + reach, v + reach) for u, v in places]


def _scale_bar(axes: Axes, bounds: Box, px: float) -> Box:
    """A bar of a round length at the lower right; the box that it covers."""
    left, _, right, bottom = bounds
    room = (right - left) * 0.3
    length = max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= room), default=1)
    x1, y = right - 10 / px, bottom - 9 / px
    x0, thick = x1 - length, 3 / px
    bar = Rectangle((x0, y - thick / 2), length, thick, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5)
    axes.add_patch(bar)
    _write(axes, (x0 + x1) / 2, y - 12 / px, f"{length} mm", 8)
    wide = max(length / 2, 24 / px)
    return (x0 + x1) / 2 - wide, y - 20 / px, right, bottom


def place_labels(
    findings: dict[str, NDArray[np.float64]], bounds: Box, taken: list[Box], px: float
) -> dict[str, tuple[float, float]]:
    """A place beside its finding for each label, such that no two overlap and none covers a finding.

    Parameters
    ----------
    findings : dict of text to (n, xy) ndarray
        Points of what is labelled, mm; the most important first.
    bounds : Box
        Labels lie within; points outside are out of sight.
    taken : list of Box
        Covered by something else.
    px : float
        Pixels per mm.

    Returns
    -------
    dict of text to (x, y)
        Centres of the labels; without those for which there is no room, or nothing in sight.
    """
    low, high = np.array(bounds[:2]), np.array(bounds[2:])
    seen = {text: at[((at > low) & (at < high)).all(axis=1)] for text, at in findings.items()}
    every = np.concatenate([np.zeros((0, 2)), *seen.values()])
    blocked = list(taken)
    placed: dict[str, tuple[float, float]] = {}
    for text, points in seen.items():
        if not len(points):
            continue
        half = np.array([4.3 * len(text) + 1.5, 7.0]) / px
        for x, y in _places_round(points, half, px):
            label = (x - half[0], y - half[1], x + half[0], y + half[1])
            inside = label[0] > low[0] and label[1] > low[1] and label[2] < high[0] and label[3] < high[1]
            if not inside or any(_overlap(label, other) for other in blocked):
                continue
            if not (np.abs(every - (x, y)) < half).all(axis=1).any():
                blocked.append(label)
                placed[text] = (x, y)
                break
    return placed


def _places_round(points: NDArray[np.float64], half: NDArray[np.float64], px: float) -> Iterator[tuple[float, float]]:
    """Places for a label beside a finding, ever farther off: diagonals first, then straight, then between."""
    angles = np.deg2rad([-45, 45, -135, 135, 0, -90, 180, 90, *range(15, 375, 30)])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    farthest = points[np.argmax(points @ directions.T, axis=0)]
    for gap in (5, 14, 26, 40, 58, 80, 110):
        for x, y in farthest + directions * (half + gap / px):
            yield float(x), float(y)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
