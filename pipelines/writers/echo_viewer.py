"""The viewer of an ultrasound scan: its frames, as far as scan lines reach, with the foci found in each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..results import ClipResult
from .echo_gallery import whole_window
from .echo_pictures import image_area, shadow_sides
from .html import number
from .viewer import NEAR_MM, Scene, place_table


def echo_scene(result: ClipResult) -> Scene:
    """The scene of an ultrasound scan."""
    echoes = result.echoes
    clip, area = echoes.clip, image_area(echoes)
    top, bottom, left, right = whole_window(echoes)
    steps = {beam.step for beam in echoes.beams if beam.calibrated}
    calibrated = len(steps) == 1 and all(beam.calibrated for beam in echoes.beams)
    dy, dx = next(iter(steps)) if calibrated else (1.0, 1.0)

    def image(index: int) -> NDArray[np.uint8]:
        # Names and dates are burned in beside the image: what no scan line reaches is not shown.
        frame = clip.frames.frame(index).copy()
        frame[~area] = 0
        return np.asarray(frame[top:bottom, left:right])

    parts = echoes.components
    owner = np.repeat(np.arange(len(parts)), np.diff(parts.offsets))
    plane, row = np.divmod(parts.row, clip.rows)
    runs = np.stack([plane, row - top, parts.start - left, parts.length], axis=1).astype(np.int64)
    keys = [(t.frames[t.key], t.focus) for t in echoes.found]
    lines: dict[str, list[list[list[float]]]] = {}
    for k, track in enumerate(echoes.found):
        for frame in track.frames:
            for down, across in shadow_sides(echoes, k, frame):
                line = np.round(np.stack([across - left + 0.5, down - top + 0.5], axis=1), 1)
                lines.setdefault(str(frame), []).append(line.tolist())
    marks = [
        [frame, round(focus.row - top + 0.5, 1), round(focus.column - left + 0.5, 1)]
        for track in echoes.excluded
        for frame, focus in zip(track.frames, track.foci, strict=True)
    ]
    unit = "mm" if calibrated else "px"
    values = {
        "spacing": [dy, dx], "unit": unit, "first": 0, "axis": -1, "origin": [0, 0, 0], "steps": [[0, 0, 0]] * 3,
        "near": NEAR_MM if calibrated else (bottom - top) / 2, "letters": [],
        "index": [top, left], "strides": [[0, 0], [1, 0], [0, 1]], "marks": marks, "lines": lines,
        "places": place_table(
            echoes.finding_id.tolist(), [k for k, _ in keys], [f.row - top for _, f in keys],
            [f.column - left for _, f in keys], [f.width for _, f in keys],
        ),
    }  # fmt: skip
    table = [
        {
            "id": int(row["finding_id"]), "pattern": row["pattern"], "maximum": row["intensity_max"],
            "diameter": f"{number(row[f'echo_width_{unit}'])} {unit}", "slice": row["frame"],
        }
        for _, row in result.findings.iterrows()
    ]  # fmt: skip
    note = (
        "Only what scan lines reach is shown. Dashed: the sides of a shadow. Crosses: excluded candidates. "
        "No shadow is not no calcium."
    )
    none = np.zeros((0, 4), np.int64), np.zeros(0, np.int64)
    shape = len(clip), bottom - top, right - left
    return Scene(shape, image, (runs, echoes.finding_id[owner]), none, table, values, note)
