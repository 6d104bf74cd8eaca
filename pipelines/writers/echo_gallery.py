"""The gallery of an ultrasound scan: key frames, and each focus with its shadow band and some scan lines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imaging import Echoes

from ..results import ClipResult
from .echo_labels import frame_labels
from .echo_pictures import image_area, key_frames, number_place, scan_lines, shadow_sides, shown_frame
from .gallery import DOT, MOST_FINDINGS, SIDE, Gallery
from .panels import Label, Panel, Stroke, edge_path, encode, line_path, scale_bar

LEAST_MM, MOST_MM, WIDTHS, ABOVE = 20.0, 42.0, 12.0, 0.3
"""Side of a crop: so many widths of the focus within limits; and the share of it above the upper edge of the focus."""
FRAME_WIDTH = 460.0
MOST_CLOSE = 0.6
"""A crop of more than this share of the image is not shown beside it."""
CROSS = 5.0
"""Half the size of the mark of an excluded candidate, px."""


def draw_echo_gallery(result: ClipResult) -> Gallery:
    """The gallery of an ultrasound scan; nothing is shown but what scan lines cover."""
    echoes = result.echoes
    found, whole = {}, whole_window(echoes)
    for k, number in enumerate(echoes.finding_id[:MOST_FINDINGS].tolist()):
        frame = echoes.found[k].frames[echoes.found[k].key]
        image, step = shown_frame(echoes, frame), _step(echoes, k)
        name = f"frame {frame} {DOT} " if len(echoes.clip) > 1 else ""
        window = _window(echoes, k, frame, step)
        found[number] = [_panel(echoes, image, frame, window, SIDE, f"{name}close", number, step)]
        if _area(window) < MOST_CLOSE * _area(whole):
            found[number].append(_panel(echoes, image, frame, whole, SIDE, f"{name}whole image", number, step))
    overview = [
        _panel(
            echoes, shown_frame(echoes, frame), frame, whole_window(echoes), FRAME_WIDTH,
            f"frame {frame}" if len(echoes.clip) > 1 else "image", None, _step(echoes, None),
        )
        for frame in key_frames(echoes)
    ]  # fmt: skip
    return Gallery(overview, found)


Window = tuple[int, int, int, int]
"""First and one past the last row and column."""
Step = tuple[float, float, str]
"""Height and width of a pixel, and their unit."""


def _step(echoes: Echoes, k: int | None) -> Step:
    """The size of a pixel where finding `k` lies, or anywhere if it is the same everywhere."""
    own = echoes.beams if k is None else [echoes.beams[echoes.found[k].focus.beam]]
    steps = {beam.step for beam in own if beam.calibrated}
    if len(steps) == 1 and all(beam.calibrated for beam in own):
        return (*next(iter(steps)), "mm")
    return 1.0, 1.0, "px"


def whole_window(echoes: Echoes) -> Window:
    """The part of a frame that scan lines reach; all of it where none do, which is then black."""
    area = image_area(echoes)
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    if not len(rows):
        return 0, echoes.clip.rows, 0, echoes.clip.columns
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _area(window: Window) -> int:
    top, bottom, left, right = window
    return (bottom - top) * (right - left)


def _window(echoes: Echoes, k: int, frame: int, step: Step) -> Window:
    """A square round a focus and its shadow, as far as the frame goes."""
    _, y = number_place(echoes, k, frame)
    focus = echoes.found[k].focus
    unit = echoes.beams[focus.beam].unit
    wide_mm = focus.width / unit
    side = max(min(max(WIDTHS * wide_mm, LEAST_MM), MOST_MM), 1.6 * wide_mm) * unit
    first, last, west, east = whole_window(echoes)
    high, wide = min(math.ceil(side / step[0]), last - first), min(math.ceil(side / step[1]), east - west)
    top = min(max(round(y - ABOVE * high), first), last - high)
    left = min(max(round(focus.column - wide / 2), west), east - wide)
    return top, top + high, left, left + wide


def _panel(
    echoes: Echoes, image: NDArray[np.uint8], frame: int, window: Window, width: float, caption: str,
    number: int | None, step: Step,
) -> Panel:  # fmt: skip
    """A part of a frame; lines are cut off by the edge of the panel."""
    top, bottom, left, right = window
    px = width / ((right - left) * step[1])
    pixel = round(step[1] * px, 5), round(step[0] * px, 5)
    height = round((bottom - top) * pixel[1], 1)
    labels = frame_labels(echoes, frame)[top:bottom, left:right]
    lines = "".join(line_path(column - left + 0.5, row - top + 0.5) for row, column in scan_lines(echoes))
    shadows, numbers = [], []
    for k, track in enumerate(echoes.found):
        if frame not in track.frames:
            continue
        shadows += [line_path(column - left + 0.5, row - top + 0.5) for row, column in shadow_sides(echoes, k, frame)]
        x, y = number_place(echoes, k, frame)
        numbers.append(Label(str(k + 1), round((x - left) * pixel[0] + 9, 1), round((y - top) * pixel[1] - 5, 1)))
    mine = labels != 0 if number is None else labels == number
    strokes = {
        "beam": lines,
        "shadow": "".join(shadows),
        "finding": edge_path(np.where(mine, labels, 0)),
        "other": edge_path(np.where(mine, 0, labels)),
        "excluded": _crosses(echoes, frame, window, pixel),
    }
    depth = f"depth {(bottom - top) * step[0]:.0f} {step[2]}"
    return Panel(
        f"{caption} {DOT} {depth}", width, height, encode(image[top:bottom, left:right]), (0.0, 0.0, width, height),
        pixel, tuple(Stroke(kind, d) for kind, d in strokes.items() if d), (), scale_bar(px, width, step[2]),
        tuple(numbers) if number is None else (),
    )  # fmt: skip


def _crosses(echoes: Echoes, frame: int, window: Window, pixel: tuple[float, float]) -> str:
    """A cross on each excluded candidate of a frame."""
    top, bottom, left, right = window
    across, down = CROSS / pixel[0], CROSS / pixel[1]
    parts = []
    for track in echoes.excluded:
        if frame not in track.frames:
            continue
        focus = track.foci[track.frames.index(frame)]
        x, y = focus.column - left + 0.5, focus.row - top + 0.5
        if 0 <= x <= right - left and 0 <= y <= bottom - top:
            parts.append(line_path((x - across, x + across), (y - down, y + down)))
            parts.append(line_path((x - across, x + across), (y + down, y - down)))
    return "".join(parts)
