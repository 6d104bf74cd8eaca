"""The gallery of a scan, for its report: every finding at its best slice in three planes, and projections.

Written beside the other files of the scan as plain values (`panels.Panel`), where the scan is in memory anyway; the
report of a run only puts galleries together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging import Volume

from ..results import ClipResult, ScanResult
from .drawing import CROP_WINDOW, PROJECTION_WINDOW, Window, place_labels, projection_bounds
from .painting import Box, Painter
from .panels import Label, Panel, Stroke, edge_path, encode, scale_bar, windowed
from .views import View, body_box, projected_labels, slice_position, view_along

FILE = "gallery.json"
FIELD_MM, FILL = 50.0, 0.6
"""Side of a crop; larger where a finding would fill more than this share of it."""
SIDE, OVERVIEW_WIDTH, OVERVIEW_HEIGHT, OVERVIEW_ROW = 240.0, 460.0, 420.0, 1220.0
"""Designed sizes of a crop, of a projection, and of all projections side by side, px."""
MOST_FINDINGS, MOST_LISTED = 1000, 60
"""The largest so many findings, and candidates of the lists, get pictures."""
LISTED = ("bone_adjacent", "chest_wall", "skin")
"""Reasons whose candidates are a list of their own: calcifications on bone, in the chest wall or the skin."""
DENSE_HU = 600.0
"""Findings with more than 5 % of their voxels above it are shown in the wide window."""
THIN_SLICES = 4
"""A scan of fewer slices has no other planes."""
MOST_NUMBERED = 60
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class Gallery:
    """Pictures of a scan: projections or key frames, of each finding, and of listed candidates, by their numbers."""

    overview: list[Panel] = field(default_factory=list)
    findings: dict[int, list[Panel]] = field(default_factory=dict)
    excluded: dict[int, list[Panel]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Text that `read` takes."""
        values: dict[str, Any] = {"overview": [p.to_dict() for p in self.overview]}
        for name in ("findings", "excluded"):
            values[name] = {str(k): [p.to_dict() for p in panels] for k, panels in getattr(self, name).items()}
        return json.dumps(values, separators=(",", ":"))

    @staticmethod
    def size(panels: list[Panel]) -> int:
        """Bytes that panels take in a page, about."""
        return sum(len(p.image) + sum(len(s.d) for s in p.strokes) + 1500 for p in panels)

    @classmethod
    def read(cls, file: Path) -> Gallery:
        """A gallery from its file; an empty one where there is none, or something else."""
        try:
            values: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            parts = [
                {int(k): [Panel.read(p) for p in ps] for k, ps in values[n].items()} for n in ("findings", "excluded")
            ]
            return cls([Panel.read(p) for p in values["overview"]], *parts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()


def write_gallery(result: ScanResult | ClipResult, folder: Path) -> None:
    """``gallery.json``: pictures for the report."""
    from .echo_gallery import draw_echo_gallery

    gallery = draw_echo_gallery(result) if isinstance(result, ClipResult) else draw_gallery(result)
    (folder / FILE).write_text(gallery.to_json(), encoding="utf-8")


def draw_gallery(result: ScanResult) -> Gallery:
    """The gallery of a CT scan."""
    detection, volume = result.detection, result.volume
    found, left = detection.components, detection.excluded
    listed = np.flatnonzero(np.isin(left.reason, LISTED))
    painters = Painter(found, detection.finding_id), Painter(left.components, np.arange(1, len(left.components) + 1))
    views = _views(volume)
    dense = dict(zip(result.findings["finding_id"], result.findings["intensity_p95"] > DENSE_HU, strict=True))

    findings = {}
    for k in _largest_first(found.n_voxels)[:MOST_FINDINGS].tolist():
        number = int(detection.finding_id[k])
        window = PROJECTION_WINDOW if bool(dense.get(number, False)) else CROP_WINDOW
        findings[number] = _planes(volume, views, found.box[k], number, painters, window)
    excluded = {}
    for k in listed[_largest_first(left.components.n_voxels[listed])[:MOST_LISTED]].tolist():
        swapped = painters[1], painters[0]
        panels = _planes(volume, {0: views[0]}, left.components.box[k], k + 1, swapped, CROP_WINDOW)
        excluded[k + 1] = [
            _renamed(panel, {"finding": "listed", "other": "excluded", "excluded": "other"}) for panel in panels
        ]
    return Gallery(_overview(result, views, listed), dict(sorted(findings.items())), excluded)


def _largest_first(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.argsort(-sizes, kind="stable")


def _views(volume: Volume) -> dict[int, View]:
    """Array axes that are looked along, in the order of planes: the slices first, then the planes across them."""
    views = {axis: view_along(volume, axis) for axis in range(3)}
    if volume.shape[0] < THIN_SLICES:
        return {0: views[0]}
    return dict(sorted(views.items(), key=lambda item: (item[0] != 0, PLANES.index(item[1].plane))))


def _renamed(panel: Panel, names: Mapping[str, str]) -> Panel:
    strokes = tuple(Stroke(names.get(s.kind, s.kind), s.d) for s in panel.strokes)
    return Panel(**{**panel.__dict__, "strokes": strokes})


# -- crops -------------------------------------------------------------------------------------------------------------


def _planes(
    volume: Volume, views: dict[int, View], box: NDArray[np.int64], number: int, painters: tuple[Painter, Painter],
    window: Window,
) -> list[Panel]:  # fmt: skip
    """One candidate in each plane, at the slice of its largest section."""
    step = np.array((volume.slice_distance, *volume.spacing[1:]))
    field_mm = max(FIELD_MM, float((np.diff(box, axis=1)[:, 0] * step).max()) / FILL)
    around = _around(box, field_mm / step, volume.shape)
    own, other = (painter.paint(around) for painter in painters)
    mine = own == number
    panels = []
    for axis, view in views.items():
        rest = tuple(a for a in range(3) if a != axis)
        at = int(np.argmax(mine.sum(axis=rest)))
        index = around[axis][0] + at
        where = tuple(index if a == axis else slice(*around[a]) for a in range(3))
        image = view.orient(windowed(volume.array[where], window))
        label = np.take(own, at, axis)
        strokes = _strokes(
            view, np.where(label == number, 1, 0), np.where(label == number, 0, label), np.take(other, at, axis)
        )
        name = f"slice {index} {DOT} " if axis == 0 else ""
        caption = f"{view.plane} {DOT} {name}{slice_position(volume, index, axis)} {DOT} {window}"
        panels.append(_panel(view, image, (field_mm, field_mm), SIDE / field_mm, caption, strokes))
    return panels


DOT = "\N{MIDDLE DOT}"


def _around(box: NDArray[np.int64], size: NDArray[np.float64], shape: tuple[int, ...]) -> Box:
    """A box of so many voxels round another, moved so that it shows as little beyond the scan as it can."""
    found = []
    for (low, high), n, count in zip(box.tolist(), size.tolist(), shape, strict=True):
        wide = min(int(np.ceil(n)), count)
        first = int(np.clip(round((low + high - wide) / 2), 0, count - wide))
        found.append((first, first + wide))
    return found[0], found[1], found[2]


def _strokes(view: View, *labels: NDArray[np.int32]) -> tuple[Stroke, ...]:
    """Outlines of the finding itself, of others, and of excluded candidates."""
    paths = [edge_path(view.orient(image)) for image in labels]
    return tuple(Stroke(kind, d) for kind, d in zip(("finding", "other", "excluded"), paths, strict=True) if d)


def _panel(
    view: View, image: NDArray[np.uint8], size: tuple[float, float], px: float, caption: str,
    strokes: tuple[Stroke, ...], labels: tuple[Label, ...] = (),
) -> Panel:  # fmt: skip
    """An image in the middle of a panel of so many mm, at so many px per mm."""
    width, height = size[0] * px, size[1] * px
    down, across = image.shape
    pixel = round(view.step[0] * px, 4), round(view.step[1] * px, 4)
    wide, high = across * pixel[0], down * pixel[1]
    box = tuple(round(v, 2) for v in ((width - wide) / 2, (height - high) / 2, wide, high))
    return Panel(
        caption, round(width, 1), round(height, 1), encode(image), (box[0], box[1], box[2], box[3]), pixel, strokes,
        view.letters, scale_bar(px, width, "mm"), labels,
    )  # fmt: skip


# -- projections -------------------------------------------------------------------------------------------------------


def _overview(result: ScanResult, views: dict[int, View], listed: NDArray[np.int64]) -> list[Panel]:
    """Maximum-intensity projections with outlines and numbers, in one scale."""
    volume, found = result.volume, result.detection.components
    box = body_box(volume, found)
    bounds = {axis: projection_bounds(view, box) for axis, view in views.items()}
    sizes = {axis: (right - left, bottom - top) for axis, (left, top, right, bottom) in bounds.items()}
    px = min(min(OVERVIEW_WIDTH / w, OVERVIEW_HEIGHT / h) for w, h in sizes.values())
    px = min(px, OVERVIEW_ROW / sum(w for w, _ in sizes.values()))
    left_out = result.detection.excluded.components.take(listed)
    numbers = result.detection.finding_id
    biggest = _largest_first(found.n_voxels)[:MOST_NUMBERED]
    panels = []
    for axis, view in views.items():
        rest = tuple(box[a] for a in range(3) if a != axis)
        image = view.orient(windowed(volume.array[box].max(axis=axis), PROJECTION_WINDOW))
        own = view.orient(projected_labels(found, numbers, axis)[rest])
        other = view.orient(projected_labels(left_out, np.arange(1, len(left_out) + 1), axis)[rest])
        paths = (("finding", edge_path(own)), ("excluded", edge_path(other)))
        strokes = tuple(Stroke(kind, d) for kind, d in paths if d)
        kind = "MIP" if volume.shape[0] > 1 else f"slice {DOT} {slice_position(volume, 0)}"
        panels.append(
            _panel(
                view, image, sizes[axis], px, f"{view.plane} {kind} {DOT} {PROJECTION_WINDOW}", strokes,
                _numbers(own, numbers[biggest].tolist(), view, sizes[axis], px),
            )
        )  # fmt: skip
    return panels


def _numbers(
    labels: NDArray[np.int32], numbers: list[int], view: View, size: tuple[float, float], px: float
) -> tuple[Label, ...]:
    """Numbers beside findings where there is room, px."""
    down, across = np.nonzero(labels)
    at = (np.stack([across, down], axis=1) + 0.5) * view.step
    which = labels[down, across]
    points = {str(i): at[which == i] for i in numbers}
    edge = 14 / px
    wide, high = size
    corners = [
        (wide / 2 - edge, 0.0, wide / 2 + edge, edge), (wide / 2 - edge, high - edge, wide / 2 + edge, high),
        (0.0, high / 2 - edge, edge, high / 2 + edge), (wide - edge, high / 2 - edge, wide, high / 2 + edge),
        (0.7 * wide - edge, high - 2 * edge, wide, high),
    ]  # fmt: skip
    placed = place_labels(points, (0.0, 0.0, wide, high), corners, px)
    return tuple(Label(text, round(x * px, 1), round(y * px, 1)) for text, (x, y) in placed.items())
