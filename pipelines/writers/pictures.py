"""One picture per scan, for the eye that checks it: projections, then crops round the findings.

Everything that a reader needs to judge a finding stands in the picture, nothing that tells whose scan it is.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from imaging import NOTICE

from ..results import ClipResult, ScanResult
from .crops import Crop, middle_crops, plan_crops
from .drawing import (
    CROP_WINDOW,
    DARK,
    EXCLUDED_COLOUR,
    FINDING_COLOUR,
    FONT,
    PROJECTION_WINDOW,
    Theme,
    draw_crop,
    draw_projection,
    projection_bounds,
)
from .echo_pictures import compose_echoes
from .views import body_box, is_tilted, slice_position, view_along

WIDTH, MARGIN, GAP, CAPTION = 1800, 24, 16, 26
"""Pixels."""
DPI = 100
MAX_CROPS = 8
MAX_NUMBERED = 30
"""Findings that get a number in the projections, the largest first."""
ROOM_PER_NUMBER = 5000
"""Pixels of a projection for each number in it."""
PROJECTIONS_HEIGHT = 640
THIN_MM = 25.0
"""Below this extent along the slice normal only the projection along it is shown."""
TIMES = " \N{MULTIPLICATION SIGN} "

Boxed = tuple[slice, slice, slice]


def write_overview(result: ScanResult | ClipResult, folder: Path) -> None:
    """``overview.png``: projections and crops with findings outlined along the edges of their voxels and numbered.

    Parameters
    ----------
    result : ScanResult
    folder : Path
        Exists; the scan's own.
    """
    from PIL import Image

    picture = Image.fromarray(draw_overview(result))
    picture.save(folder / "overview.png", format="PNG", compress_level=6)


def draw_overview(result: ScanResult | ClipResult) -> npt.NDArray[np.uint8]:
    """The overview as pixels, (height, width, RGB)."""
    canvas = FigureCanvasAgg(compose_overview(result))
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]


def compose_overview(result: ScanResult | ClipResult, theme: Theme = DARK) -> Figure:
    """The overview as a figure."""
    if isinstance(result, ClipResult):
        return compose_echoes(result, theme)
    box = body_box(result.volume, result.detection.components)
    crops = _crops(result, box)
    header = _header(result, crops)
    top = MARGIN + 34 + 21 * len(header)
    shown, block = _projections(result, box)
    columns = 4 if len(crops) > 3 else max(len(crops), 2)
    side = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    side = min(side, 620.0)
    grid_top = top + block + GAP
    height = round(grid_top + -(-len(crops) // columns) * (side + CAPTION + GAP) + MARGIN)

    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=theme.background)
    _write_header(figure, result, header, theme)
    for axis, (x, y, w, h) in shown:
        axes = _axes(figure, x, top + y + CAPTION, w, h)
        draw_projection(axes, result, axis, box, _largest(result, w * h))
        _caption(axes, f"{view_along(result.volume, axis).plane} MIP · {PROJECTION_WINDOW}", w, theme)
    for k, crop in enumerate(crops):
        row, column = divmod(k, columns)
        axes = _axes(
            figure, MARGIN + column * (side + GAP), grid_top + row * (side + CAPTION + GAP) + CAPTION, side, side
        )
        draw_crop(axes, result.detection, crop, CROP_WINDOW)
        _caption(axes, _crop_caption(result, crop), side, theme)
    return figure


def _crops(result: ScanResult, box: Boxed) -> list[Crop]:
    """Crops round the findings; middle slices where there are none; a single slice as a whole first."""
    whole = middle_crops(result, box)
    if not len(result.detection):
        return whole
    if result.volume.shape[0] > 1:
        return plan_crops(result, MAX_CROPS)
    every = tuple(int(i) for i in result.detection.finding_id)
    return [replace(whole[0], finding_ids=every), *plan_crops(result, MAX_CROPS - 1)]


def _largest(result: ScanResult, room: float) -> npt.NDArray[np.int64]:
    """Components that get a number in a projection of so many pixels."""
    order = np.argsort(-result.detection.components.n_voxels, kind="stable")
    return np.asarray(order[: min(MAX_NUMBERED, int(room / ROOM_PER_NUMBER))], dtype=np.int64)


def _projections(result: ScanResult, box: Boxed) -> tuple[list[tuple[int, tuple[float, float, float, float]]], float]:
    """Which projections, where (left, top, width, height in pixels, one scale for all), and the height of the block.

    Side by side, or the second and third stacked beside the first: whichever gives the larger scale.
    """
    volume = result.volume
    if volume.shape[0] == 1:
        return [], 0.0
    size = {}
    for axis in range(3):
        left, top, right, bottom = projection_bounds(view_along(volume, axis), box)
        size[axis] = right - left, bottom - top
    if volume.shape[0] * volume.slice_distance < THIN_MM:
        size = {0: size[0]}
    order = sorted(size, key=lambda axis: ("axial", "coronal", "sagittal").index(view_along(volume, axis).plane))
    width = WIDTH - 2 * MARGIN
    row = min(
        (width - (len(order) - 1) * GAP) / sum(size[a][0] for a in order),
        PROJECTIONS_HEIGHT / max(size[a][1] for a in order),
    )
    places: list[tuple[int, tuple[float, float, float, float]]] = []
    if len(order) == 3:
        first, second, third = order
        beside = max(size[second][0], size[third][0])
        below = size[second][1] + size[third][1]
        stack = min(
            (width - GAP) / (size[first][0] + beside),
            PROJECTIONS_HEIGHT / size[first][1],
            (PROJECTIONS_HEIGHT - GAP - CAPTION) / below,
        )
        if stack > row:
            x = MARGIN + stack * size[first][0] + GAP
            y = stack * size[second][1] + GAP + CAPTION
            places = [
                (first, (MARGIN, 0, stack * size[first][0], stack * size[first][1])),
                (second, (x, 0, stack * size[second][0], stack * size[second][1])),
                (third, (x, y, stack * size[third][0], stack * size[third][1])),
            ]
    if not places:
        x = float(MARGIN)
        for axis in order:
            places.append((axis, (x, 0.0, row * size[axis][0], row * size[axis][1])))
            x += row * size[axis][0] + GAP
    return places, CAPTION + max(y + h for _, (_, y, _, h) in places)


def _axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes at a place in pixels from the upper left corner."""
    across, up = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    return figure.add_axes((x / across, 1 - (y + height) / up, width / across, height / up))


def _caption(axes: Axes, text: str, width: float, theme: Theme) -> None:
    axes.set_title(
        textwrap.shorten(text, max(16, int(width / 7.3)), placeholder=" …"),
        loc="left", fontsize=9.5, color=theme.faint, family=FONT, pad=5,
    )  # fmt: skip


def _crop_caption(result: ScanResult, crop: Crop) -> str:
    where = f"slice {crop.slice_index} · {slice_position(result.volume, crop.slice_index)}"
    if not crop.finding_ids:
        return where
    name = "finding" if len(crop.finding_ids) == 1 else "findings"
    return f"{where} · {name} {', '.join(map(str, crop.finding_ids))}"


def _header(result: ScanResult, crops: list[Crop]) -> list[str]:
    """What was found, how, and what the picture leaves out: lines of text."""
    n = len(result.findings)
    counts = result.excluded["reason"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    reasons = ", ".join(f"{name} {count}".replace("_", " ") for name, count in counts.items())
    found = "No findings"
    if n:
        volume = float(result.findings["volume_mm3"].sum())
        total = f"{volume:.1f}" if volume < 100 else f"{volume:.0f}"
        found = f"{n} finding{'' if n == 1 else 's'}, {total} mm³ together"
    seen = {i for crop in crops for i in crop.finding_ids}
    if n > len(seen):
        found += f" ({len(seen)} of them in the crops below)"
    first = f"{found} · excluded candidates: {reasons or 'none'}"
    lines = [first, _how(result), NOTICE]
    return [part for line in lines for part in textwrap.wrap(line, 205)]


def _how(result: ScanResult) -> str:
    """Thresholds, noise and grid."""
    record: dict[str, Any] = dict(result.record)
    parts = []
    if "threshold_grow_hu" in record:
        parts.append(
            f"{record['threshold_mode']} thresholds: grown above {record['threshold_grow_hu']:.0f} HU, "
            f"peak above {record['threshold_peak_hu']:.0f} HU"
        )
        parts.append(f"noise {record['noise_sd_hu']:.1f} HU")
    else:
        parts.append("from a given segmentation")
    dz, (_, dy, dx) = result.volume.slice_distance, result.volume.spacing
    parts.append(f"{TIMES.join(map(str, result.volume.shape))} voxels of {dz:.2f}{TIMES}{dy:.2f}{TIMES}{dx:.2f} mm")
    if is_tilted(result.volume):
        parts.append("tilted grid, shown straight")
    if record.get("flags"):
        parts.append("flags: " + ", ".join(str(record["flags"]).replace("_", " ").split(";")))
    return " · ".join(parts)


def _write_header(figure: Figure, result: ScanResult, lines: list[str], theme: Theme) -> None:
    across, up = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi

    def write(x: float, y: float, text: str, size: float, colour: str, weight: str = "normal") -> None:
        figure.text(
            x / across, 1 - y / up, text, size=size, color=colour, weight=weight, family=FONT, va="top", ha="left"
        )

    write(MARGIN, MARGIN - 6, f"Scan {result.scan_id}".rstrip(), 14, theme.ink, "bold")
    for k, line in enumerate(lines):
        last = k == len(lines) - 1
        write(MARGIN, MARGIN + 24 + 21 * k, line, 10.5, theme.faint if last else theme.ink)
    x, y = WIDTH - MARGIN - 480, MARGIN - 4
    for colour, text, width in ((FINDING_COLOUR, "finding", 2.0), (EXCLUDED_COLOUR, "excluded candidate", 1.0)):
        figure.add_artist(
            Rectangle(
                (x / across, 1 - (y + 14) / up), 14 / across, 14 / up, fill=False, edgecolor=colour, linewidth=width
            )
        )
        write(x + 22, y, text, 10.5, theme.ink)
        x += 104
    write(x + 96, y, f"slices: {CROP_WINDOW}", 10.5, theme.ink)
