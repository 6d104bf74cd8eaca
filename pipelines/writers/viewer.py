"""The viewer of a scan: one HTML file with its slices in 8 bits and the outlines of every finding and candidate.

It is for looking, not for measuring: HU go through `CODES`, which spends most of 256 levels on soft tissue, and a JPEG;
windows are applied in the browser. Slices are cut to the body and turned as they are shown; labels keep every voxel, as
runs. Where a scan would take more than `MOST_BYTES`, quality and then resolution go down, and the page says so.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging import NOTICE, Components, Volume

from ..results import ClipResult, ScanResult
from .crops import Sections
from .drawing import CROP_WINDOW, PROJECTION_WINDOW
from .html import count, data_block, number, write_page
from .panels import encode
from .views import View, body_box, slice_position, view_along

FILE = "viewer.html"
MOST_BYTES = 39_000_000
LADDER = ((1, 88), (1, 75), (1, 60), (2, 85), (2, 70), (2, 50), (4, 75), (4, 50), (8, 60))
"""Reduction of rows and columns, and quality of the JPEG, from the best down."""
MOST_RUNS = 700_000
"""Rows of voxels whose outlines are kept, of findings and of candidates: 11 MB."""
SAMPLE = 12
"""Slices that tell how large the whole will be."""
_HU = (-1024, -200, 300, 1300, 3071)
_LEVELS = (0, 24, 176, 232, 255)
CODES = np.interp(np.arange(256), _LEVELS, _HU)
"""HU of each level: steps of 3 HU from -200 to 300, of 18 to 1300, coarser beyond."""
WINDOWS: tuple[tuple[str, float, float], ...] = (
    ("calcification", CROP_WINDOW.width, CROP_WINDOW.level),
    ("dense", PROJECTION_WINDOW.width, PROJECTION_WINDOW.level),
    ("soft tissue", 400, 40),
    ("bone", 2500, 700),
    ("lung", 1500, -600),
)
NEAR_MM = 80.0
"""What is seen round a finding that the viewer goes to."""
_JPEG = len("data:image/jpeg;base64,")


@dataclass(frozen=True, eq=False)
class Scene:
    """What the page shows, already turned as it is shown; rows and columns count from the corner of the cut.

    Parameters
    ----------
    shape : (slices, rows, columns)
    image : callable
        Slice -> (rows, columns) or (rows, columns, 3) ndarray of uint8.
    found, left : (runs, numbers)
        (n, 4) ndarray of slice, row, first column, length; and the number of each run.
    table : list of dict
        Rows of the list of findings: id, pattern, diameter, maximum, slice.
    values : dict
        What the script needs beside: geometry and places.
    note : str
        What a reader should know.
    """

    shape: tuple[int, int, int]
    image: Callable[[int], NDArray[np.uint8]]
    found: tuple[NDArray[np.int64], NDArray[np.int64]]
    left: tuple[NDArray[np.int64], NDArray[np.int64]]
    table: list[dict[str, Any]]
    values: dict[str, Any]
    note: str


def write_viewer(result: ScanResult | ClipResult, folder: Path) -> None:
    """``viewer.html``: the slices of a scan to scroll, with what was found and what was left out."""
    from .echo_viewer import echo_scene

    ultrasound = isinstance(result, ClipResult)
    scene = echo_scene(result) if isinstance(result, ClipResult) else scan_scene(result)
    kept = {name: _within(*runs) for name, runs in (("findings", scene.found), ("excluded", scene.left))}
    parts = {name: _packed(*runs) for name, runs in kept.items()}
    room = MOST_BYTES - sum(len(v) for part in parts.values() for v in part.values()) - 300_000
    images, shrink, quality = encode_slices(scene.image, scene.shape, room)
    note = f"8-bit copy for looking, not for measuring: JPEG of quality {quality}"
    if shrink > 1:
        note += f", every {shrink} \N{MULTIPLICATION SIGN} {shrink} pixels joined so that the file stays below 40 MB"
    lost = [
        name
        for name, runs in (("findings", scene.found), ("excluded", scene.left))
        if len(kept[name][0]) < len(runs[0])
    ]
    if lost:
        note += f"; outlines of the largest {' and '.join(lost)} are left out for the same reason"
    slices, rows, columns = scene.shape
    values = {
        "slices": slices, "rows": rows, "columns": columns, "ultrasound": ultrasound,
        "codes": [round(float(hu), 1) for hu in CODES], **scene.values, **parts,
    }  # fmt: skip
    contents = {
        "scan_id": result.scan_id, "notice": NOTICE, "ultrasound": ultrasound, "findings": scene.table,
        "windows": [{"name": name, "width": width, "level": level} for name, width, level in WINDOWS],
        "note": f"{note}. {scene.note}", "data": data_block(values), "images": images,
    }  # fmt: skip
    write_page(folder / FILE, "viewer", contents)


def _within(
    runs: NDArray[np.int64], numbers: NDArray[np.int64], most: int = MOST_RUNS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of so many components, the smallest first, that there are at most so many: large ones are skeleton."""
    if len(runs) <= most:
        return runs, numbers
    _, which, count_ = np.unique(numbers, return_inverse=True, return_counts=True)
    order = np.argsort(count_, kind="stable")
    keep = np.zeros(len(count_), bool)
    keep[order] = np.cumsum(count_[order]) <= most
    return runs[keep[which]], numbers[keep[which]]


def _packed(runs: NDArray[np.int64], numbers: NDArray[np.int64]) -> dict[str, str]:
    """Runs sorted by slice, as base64 of little-endian integers."""
    order = np.argsort(runs[:, 0], kind="stable") if len(runs) else np.zeros(0, np.int64)
    blocks = {"runs": runs[order].astype("<u2"), "numbers": numbers[order].astype("<u4")}
    return {name: base64.b64encode(block.tobytes()).decode("ascii") for name, block in blocks.items()}


def encode_slices(
    image: Callable[[int], NDArray[np.uint8]], shape: tuple[int, int, int], room: int
) -> tuple[list[str], int, int]:
    """All slices as base64 of JPEG within so many bytes, and the step of `LADDER` that it took.

    Raises
    ------
    ValueError
        Not even the last step fits.
    """
    slices = shape[0]
    sample = np.unique(np.linspace(0, slices - 1, min(SAMPLE, slices)).astype(int)).tolist()
    for shrink, quality in LADDER:
        most = max(1, -(-max(shape[1:]) // shrink))
        code = partial(_coded, image, quality, most)
        if sum(len(code(k)) for k in sample) * slices / len(sample) > room:
            continue
        coded = [code(k) for k in range(slices)]
        if sum(map(len, coded)) <= room:
            return coded, shrink, quality
    raise ValueError(f"{slices} slices do not fit into {room} bytes")


def _coded(image: Callable[[int], NDArray[np.uint8]], quality: int, most: int, index: int) -> str:
    return encode(image(index), quality, most)[_JPEG:]


# -- CT ----------------------------------------------------------------------------------------------------------------


def scan_scene(result: ScanResult) -> Scene:
    """The scene of a CT scan: its slices, cut to the body."""
    volume, detection = result.volume, result.detection
    view = view_along(volume, 0)
    box = body_box(volume, detection.components)
    spans = [sorted(_shown(view, a, box[a].start, box[a].stop)) for a in (view.down, view.across)]
    low = np.array([box[0].start, spans[0][0], spans[1][0]])
    high = np.array([box[0].stop, spans[0][1], spans[1][1]])
    left = detection.excluded.components
    runs = [_runs(parts, view, low, high) for parts in (detection.components, left)]
    # Index in the scan of the first shown pixel, and how it changes by slice, row and column of the picture.
    base, strides = np.array([float(low[0]), 0, 0]), np.zeros((3, 3))
    strides[0, 0] = 1
    for k, (axis, flip) in enumerate(((view.down, view.flip_down), (view.across, view.flip_across)), 1):
        strides[k, axis] = -1 if flip else 1
        base[axis] = (volume.shape[axis] - 1 - low[k]) if flip else low[k]
    origin = volume.to_world(base)
    steps = strides @ volume.affine[:3, :3].T
    axis = "xyz".index(slice_position(volume, 0)[0])
    table, places = _codes_table(volume), _places(result, view, low)

    def image(index: int) -> NDArray[np.uint8]:
        grey = view.orient(table(volume.array[index + low[0]]))
        return np.asarray(grey[low[1] : high[1], low[2] : high[2]])

    numbers = (detection.finding_id[runs[0][1]], runs[1][1] + 1)
    values = {
        "spacing": [view.step[1], view.step[0]], "unit": "mm", "first": int(low[0]), "axis": axis, "near": NEAR_MM,
        "origin": _plain(origin), "steps": _plain(steps), "index": _plain(base[1:]), "strides": _plain(strides[:, 1:]),
        "letters": list(view.letters), "marks": [], "lines": {}, "places": places,
    }  # fmt: skip
    rows = result.findings[["finding_id", "pattern", "max_diameter_mm", "intensity_max"]]
    listed = [
        {"id": int(i), "pattern": p, "diameter": f"{number(d)} mm", "maximum": m, "slice": places[str(i)][0] + low[0]}
        for i, p, d, m in rows.itertuples(index=False)
    ]
    cut = "Cut to the body; " if np.prod(high - low) < np.prod(volume.shape) else ""
    note = (
        f"{cut}{count(len(left))} excluded candidates can be shown. Positions are mm to the left, posterior, superior."
    )
    shape = int(high[0] - low[0]), int(high[1] - low[1]), int(high[2] - low[2])
    return Scene(shape, image, (runs[0][0], numbers[0]), (runs[1][0], numbers[1]), listed, values, note)


def _plain(values: NDArray[np.float64]) -> Any:
    return np.round(values, 6).tolist()


def _shown(view: View, axis: int, low: int, high: int) -> tuple[int, int]:
    """From and to, in pixels of the picture, of a stretch of an array axis."""
    k = (view.across, view.down).index(axis)
    return (view.count[k] - high, view.count[k] - low) if (view.flip_across, view.flip_down)[k] else (low, high)


def _codes_table(volume: Volume) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """HU to levels."""
    levels = np.rint(np.interp(np.arange(_HU[0], _HU[-1] + 1), _HU, _LEVELS)).astype(np.uint8)

    def code(image: NDArray[Any]) -> NDArray[np.uint8]:
        whole = image if volume.array.dtype == np.int16 else np.rint(image)
        return np.asarray(levels[np.clip(whole, _HU[0], _HU[-1]).astype(np.int32) - _HU[0]])

    return code


def _runs(
    parts: Components, view: View, low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of components on the grid of the picture, those inside the cut; and the component of each."""
    if view.down > view.across:  # rows of the picture are columns of the array
        at = parts.coordinates.astype(np.int64)
        slices, rows, columns = parts.shape
        flat = (at[:, 0] * columns + at[:, 2]) * rows + at[:, 1]
        order = np.lexsort((flat, parts.component))
        parts = Components.from_sets(flat[order], parts.component[order], len(parts), (slices, columns, rows))
    _, rows, columns = parts.shape
    owner = np.repeat(np.arange(len(parts)), np.diff(parts.offsets))
    plane, row = np.divmod(parts.row, rows)
    first, length = parts.start.astype(np.int64), parts.length.astype(np.int64)
    if view.flip_down:
        row = rows - 1 - row
    if view.flip_across:
        first = columns - first - length
    last = np.minimum(first + length, high[2])
    first = np.maximum(first, low[2])
    inside = (plane >= low[0]) & (plane < high[0]) & (row >= low[1]) & (row < high[1]) & (last > first)
    runs = np.stack([plane - low[0], row - low[1], first - low[2], last - first], axis=1)[inside]
    return runs, owner[inside]


def _places(result: ScanResult, view: View, low: NDArray[np.int64]) -> dict[str, list[float]]:
    """Slice, row, column (from the corner of the cut) and extent, mm, of the largest section of each finding."""
    sections = Sections.of(result.detection.components, view)
    order = np.lexsort((-sections.area, sections.component))
    first = order[np.diff(sections.component[order], prepend=-1) != 0]
    box = sections.box[first]
    extent = (box[:, 2:] - box[:, :2]).max(axis=1, initial=0)
    column, row = ((box[:, k] + box[:, k + 2]) / 2 / view.step[k] - low[2 - k] for k in (0, 1))
    numbers = result.detection.finding_id[sections.component[first]]
    return place_table(numbers.tolist(), sections.plane[first] - low[0], row, column, extent)


def place_table(numbers: Iterable[int], *columns: Sequence[float] | NDArray[Any]) -> dict[str, list[float]]:
    """Where each finding is: slice, row, column, extent."""
    rows = zip(*(np.round(np.asarray(c, float), 2).tolist() for c in columns), strict=True)
    return {str(number): list(row) for number, row in zip(numbers, rows, strict=True)}
