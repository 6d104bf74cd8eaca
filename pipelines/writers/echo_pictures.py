"""The picture of an ultrasound scan: key frames with the echo, its shadow band and some scan lines, and crops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imaging import NOTICE, Echoes

from ..results import ClipResult
from .drawing import EXCLUDED_COLOUR, FINDING_COLOUR, FONT, NO_COLOUR, Theme
from .echo_labels import frame_labels
from .views import outlines

WIDTH, LARGEST_FRAME, MARGIN, DPI = 1800, 1300.0, 24, 100
MOST_FRAMES = 4
LINE_COLOUR = "#4f6b7a"
CLASS_COLOUR = {"strong": "#D55E00", "present": "#E69F00", "weak": "#F0E442", "absent": "#009E73"}
"""Okabe-Ito colours, from the clearest shadow to none."""
SCAN_LINES = 12
SHADOW_MM = 25.0


Line = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def compose_echoes(result: ClipResult, theme: Theme) -> Figure:
    """The overview of an ultrasound scan as a figure: the key frames with most findings."""
    echoes = result.echoes
    frames = key_frames(echoes)
    columns = min(2, len(frames))
    side = min((WIDTH - 2 * MARGIN - (columns - 1) * 16) / columns, LARGEST_FRAME)
    width = round(2 * MARGIN + columns * (side + 16) - 16)
    height = side * echoes.clip.rows / echoes.clip.columns
    lines = _header(result, echoes)
    top = MARGIN + 61 + 21 * len(lines)
    rows = -(-len(frames) // columns)
    total = round(top + rows * (height + 46) + MARGIN)
    figure = Figure(figsize=(width / DPI, total / DPI), dpi=DPI, facecolor=theme.background)

    def write(x: float, y: float, text: str, size: float, colour: str, weight: str = "normal") -> None:
        figure.text(x / width, 1 - y / total, text, size=size, color=colour, weight=weight, family=FONT, va="top")

    write(MARGIN, MARGIN - 6, f"Scan {result.scan_id}".rstrip(), 14, theme.ink, "bold")
    for k, line in enumerate(lines):
        write(MARGIN, MARGIN + 24 + 21 * k, line, 10.5, theme.faint if k == len(lines) - 1 else theme.ink)
    for k, (name, colour) in enumerate(CLASS_COLOUR.items()):
        write(MARGIN + 170 * k, MARGIN + 24 + 21 * len(lines), f"\N{BLACK SQUARE} shadow {name}", 10.5, colour)
    for k, frame in enumerate(frames):
        row, column = divmod(k, columns)
        left, y = MARGIN + column * (side + 16), top + row * (height + 46) + 26
        axes = figure.add_axes((left / width, 1 - (y + height) / total, side / width, height / total))
        _draw(axes, echoes, frame, result.findings["shadow_class"].tolist())
        axes.set_title(f"frame {frame}", loc="left", fontsize=9.5, color=theme.faint, family=FONT, pad=5)
    return figure


def key_frames(echoes: Echoes) -> list[int]:
    """Key frames, those of most findings first; the middle frame of a clip without findings."""
    keys = [track.frames[track.key] for track in echoes.found]
    if not keys:
        return [len(echoes.clip) // 2]
    counts = np.bincount(keys)
    order = np.argsort(-counts, kind="stable")
    return sorted(int(k) for k in order[:MOST_FRAMES] if counts[k])


def _draw(axes: Axes, echoes: Echoes, frame: int, classes: list[Any]) -> None:
    """One frame with everything drawn over it."""
    axes.imshow(shown_frame(echoes, frame), cmap="gray", vmin=0, vmax=255, interpolation="antialiased", aspect="auto")
    axes.set_xlim(-0.5, echoes.clip.columns - 0.5)
    axes.set_ylim(echoes.clip.rows - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for row, column in scan_lines(echoes):
        axes.plot(column, row, color=LINE_COLOUR, linewidth=0.5, alpha=0.8)
    for track in echoes.excluded:
        if frame in track.frames:
            focus = track.foci[track.frames.index(frame)]
            axes.plot(focus.column, focus.row, "x", color=EXCLUDED_COLOUR, markersize=4, markeredgewidth=0.8)
    labels = frame_labels(echoes, frame)
    for k, track in enumerate(echoes.found):
        if frame not in track.frames:
            continue
        focus = track.foci[track.frames.index(frame)]
        colour = CLASS_COLOUR.get(classes[k], FINDING_COLOUR) if isinstance(classes[k], str) else NO_COLOUR
        for line in outlines((labels == k + 1).astype(np.int32), (1.0, 1.0)):
            axes.plot(line[:, 0] - 0.5, line[:, 1] - 0.5, color=colour, linewidth=1.3)
        for row, column in shadow_sides(echoes, k, frame):
            axes.plot(column, row, color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            str(k + 1), number_place(echoes, k, frame), (5, 5), textcoords="offset points", color="white", fontsize=9,
            family=FONT, weight="bold",
        )  # fmt: skip


def scan_lines(echoes: Echoes) -> Iterator[Line]:
    """Some scan lines of every region, and the depths where they begin and end: rows and columns."""
    for beam in echoes.beams:
        n, m = beam.shape
        for line in np.linspace(0, m - 1, SCAN_LINES):
            yield beam.pixel(np.array([0.0, n - 1.0]), np.array([line, line]))
        for end in (0.0, n - 1.0):
            yield beam.pixel(np.full(60, end), np.linspace(0, m - 1.0, 60))


def shadow_sides(echoes: Echoes, k: int, frame: int) -> Iterator[Line]:
    """The two sides of the shadow of a finding in a frame that shows it, rows and columns; none without a shadow."""
    focus = echoes.found[k].foci[echoes.found[k].frames.index(frame)]
    if focus.shadow.name in (None, "absent"):
        return
    beam = echoes.beams[focus.beam]
    last = min(focus.box[1] + SHADOW_MM * beam.unit / beam.depth_step, len(beam.depth) - 1)
    for side in (focus.box[2], focus.box[3] - 1):
        yield beam.pixel(np.linspace(focus.box[1], last, 40), np.full(40, float(side)))


def number_place(echoes: Echoes, k: int, frame: int) -> tuple[float, float]:
    """Column and row of the upper right corner of a finding in a frame that shows it, where its number stands."""
    focus = echoes.found[k].foci[echoes.found[k].frames.index(frame)]
    row, column = echoes.beams[focus.beam].pixel(np.array([float(focus.box[0])]), np.array([float(focus.box[3])]))
    return float(column[0]), float(row[0])


def shown_frame(echoes: Echoes, index: int) -> npt.NDArray[np.uint8]:
    """A frame without what no scan line reaches: names and dates are burned in beside the image."""
    image = echoes.clip.frames.frame(index).copy()
    image[~image_area(echoes)] = 0
    return image


def image_area(echoes: Echoes) -> npt.NDArray[np.bool_]:
    """Pixels of the frame that scan lines cover, (rows, columns)."""
    from PIL import Image, ImageDraw

    area = Image.new("L", (echoes.clip.columns, echoes.clip.rows))
    for beam in echoes.beams:
        n, m = (size - 1.0 for size in beam.shape)
        far, along, lines = np.full(200, n), np.linspace(0, n, 200), np.linspace(0, m, 200)
        depth = np.concatenate([np.zeros(200), along, far, along[::-1]])
        line = np.concatenate([lines, np.full(200, m), lines[::-1], np.zeros(200)])
        row, column = beam.pixel(depth, line)
        ImageDraw.Draw(area).polygon(list(zip(column.tolist(), row.tolist(), strict=True)), fill=255)
    return np.asarray(area) > 0


def _header(result: ClipResult, echoes: Echoes) -> list[str]:
    n = len(result.findings)
    counts = result.findings["shadow_class"].value_counts()
    shadows = ", ".join(f"{counts[name]} {name}" for name in CLASS_COLOUR if name in counts)
    found = f"{n} echogenic {'focus' if n == 1 else 'foci'}" + (f" (shadow: {shadows})" if shadows else "")
    left = result.excluded["reason"].value_counts()
    out = ", ".join(f"{name} {count}" for name, count in left.items()).replace("_", " ")
    frames, rows, columns = echoes.clip.shape
    size = f"{frames} frame{'s' if frames > 1 else ''} of {rows} \N{MULTIPLICATION SIGN} {columns} pixels"
    steps = {beam.step for beam in echoes.beams if beam.calibrated}
    mm = ", ".join(f"{dy:.3f} \N{MULTIPLICATION SIGN} {dx:.3f} mm" for dy, dx in sorted(steps))
    area = ", ".join(beam.sector.kind for beam in echoes.beams) or "no image area"
    how = f"{size} \N{MIDDLE DOT} {'pixel ' + mm if mm else 'not calibrated: lengths in pixels'} \N{MIDDLE DOT} {area}"
    flags = str(result.record.get("flags", "")).replace("_", " ").replace(";", ", ")
    return [
        f"{found} \N{MIDDLE DOT} excluded: {out or 'none'} \N{MIDDLE DOT} no shadow is not no calcium",
        how + (f" \N{MIDDLE DOT} flags: {flags}" if flags else ""),
        NOTICE,
    ]
