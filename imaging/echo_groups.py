"""Groups of echogenic foci: those of one region that lie near each other, in a frame that shows them together.

A cine may sweep: where two foci are never seen in the same frame their distance is not known, and they are not linked.
Without calibration the limit is a share of the depth of the image, as all distances of the method, and lengths stand
in pixels.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .groups import GROUP_COLUMNS, LINK_MM, distribution, shared_pattern
from .linking import Links
from .ultrasound.beam import Beam
from .ultrasound.detection import Echoes, paint
from .ultrasound.focus import Focus
from .ultrasound.table import plane_form
from .ultrasound.track import Track

Array = NDArray[np.float64]
NEIGHBOUR_PX = "nearest_neighbour_px"
ECHO_GROUP_COLUMNS: dict[str, tuple[str, str, str]] = {
    "extent_px": ("float64", "px", "ultrasound without calibration: diagonal of the box round the pixel centres"),
    "max_diameter_px": ("float64", "px", "ultrasound without calibration: largest extent of all its echoes together"),
}
"""Columns that ultrasound adds to the table of groups: dtype, unit, definition."""


def group_echoes(findings: pd.DataFrame, echoes: Echoes) -> pd.DataFrame:
    """Link echogenic foci into groups.

    Parameters
    ----------
    findings : DataFrame
        From `imaging.measure_echoes`, one row per finding of `echoes`, in its order.

    Returns
    -------
    DataFrame
        With ``group_id``, ``group_size``, ``distribution`` and ``nearest_neighbour_mm`` (edge to edge, in a frame that
        shows both; without calibration ``nearest_neighbour_px``; missing where no frame shows two).
    """
    links, calibrated = _links(echoes), _calibrated(echoes)
    label = links.sets(np.ones(len(links.first), bool))
    place = np.zeros((len(echoes.found), 2))
    for members in _members(label):
        frame = _shared_frame([echoes.found[k] for k in members])
        for k in members:
            focus = _seen(echoes.found[k], frame)
            beam = echoes.beams[focus.beam]
            place[k] = np.array([focus.row, focus.column]) * beam.step / beam.unit
    values = {
        "group_id": (label + 1, "Int64"),
        "group_size": (np.bincount(label, minlength=1)[label] if len(label) else label, "Int64"),
        "nearest_neighbour_mm": (np.where(calibrated, links.nearest, np.nan), "float64"),
        NEIGHBOUR_PX: (np.where(calibrated, np.nan, links.nearest), "float64"),
        "distribution": (distribution(place, label), "string"),
    }
    made = {name: pd.Series(value, dtype=dtype, index=findings.index) for name, (value, dtype) in values.items()}
    return findings.assign(**made)


def summarize_echo_groups(findings: pd.DataFrame, echoes: Echoes) -> pd.DataFrame:
    """One row per group; lengths of the union of its echoes in the frame that shows most of them.

    What only a volume has is missing; so are lengths in mm without calibration, which stand in pixels.
    """
    label = findings["group_id"].to_numpy(dtype=np.int64, na_value=0) - 1
    rows: list[dict[str, Any]] = []
    pattern, reason = shared_pattern(findings, label) if len(label) else ([], [])
    for g, members in enumerate(_members(label)):
        tracks = [echoes.found[k] for k in members]
        frame = _shared_frame(tracks)
        seen = [t.foci[t.frames.index(frame)] for t in tracks if frame in t.frames]
        beam = echoes.beams[seen[0].beam]
        union = paint(tuple(Track((frame,), (focus,)) for focus in seen), echoes.beams, echoes.clip.shape)
        points = union.coordinates[:, 1:] * np.array(beam.step)
        own = findings.iloc[members]
        n_voxels = own["n_voxels"].to_numpy(float)
        unit = "mm" if beam.calibrated else "px"
        rows.append(
            {
                "group_id": g + 1,
                "group_size": len(members),
                "n_voxels": int(n_voxels.sum()),
                f"extent_{unit}": float(np.linalg.norm(np.ptp(points, axis=0))),
                f"max_diameter_{unit}": plane_form(points, beam.step)["max_diameter"],
                "intensity_mean": float(np.average(own["intensity_mean"].to_numpy(float), weights=n_voxels)),
                "intensity_max": float(own["intensity_max"].max()),
                "intensity_unit": "grey",
                "distribution": own["distribution"].iloc[0],
                "pattern": pattern[g],
                "pattern_reason": reason[g],
            }
        )
    kinds = GROUP_COLUMNS | ECHO_GROUP_COLUMNS
    table = pd.DataFrame(rows, columns=None if rows else list(kinds))
    return table.astype({name: kinds[name][0] for name in table.columns})


def _links(echoes: Echoes) -> Links:
    """Distances of findings of one region, edge to edge, in the frame in which both are clearest."""
    tracks = echoes.found
    n = len(tracks)
    apart = np.full((n, n), np.nan)
    for i, j in combinations(range(n), 2):  # findings only
        common = sorted(set(tracks[i].frames) & set(tracks[j].frames))
        if not common or tracks[i].focus.beam != tracks[j].focus.beam:
            continue
        pairs = [(_seen(tracks[i], frame), _seen(tracks[j], frame)) for frame in common]
        apart[i, j] = _distance(*max(pairs, key=lambda pair: pair[0].merit + pair[1].merit), echoes.beams)
    both = np.fmin(apart, apart.T)
    nearest = np.fmin.reduce(both, axis=1, initial=np.nan)  # NaN where no frame shows two, also of no findings at all
    limit = np.array([LINK_MM * echoes.beams[t.focus.beam].unit for t in tracks])
    with np.errstate(invalid="ignore"):
        first, second = np.nonzero(apart <= limit[:, None])
    return Links(n, nearest, first, second, apart[first, second])


def _distance(a: Focus, b: Focus, beams: tuple[Beam, ...]) -> float:
    """Between the nearest pixels of two echoes, in units of the image."""
    from scipy.spatial import cKDTree

    beam = beams[a.beam]
    return float(cKDTree(_points(a, beam)).query(_points(b, beam))[0].min())


def _points(focus: Focus, beam: Beam) -> Array:
    """Places of the samples of an echo in the frame, in units of the image."""
    depth, line = np.nonzero(focus.mask)
    row, column = beam.pixel(depth + float(focus.box[0]), line + float(focus.box[2]))
    return np.stack([row * beam.step[0], column * beam.step[1]], axis=1)


def _members(label: NDArray[np.int64]) -> list[list[int]]:
    """Findings of each group."""
    return [np.flatnonzero(label == g).tolist() for g in range(int(label.max()) + 1 if len(label) else 0)]


def _shared_frame(tracks: list[Track]) -> int:
    """The frame that shows most of them; the clearest among several."""
    frames = sorted({frame for t in tracks for frame in t.frames})
    return max(frames, key=lambda f: (sum(f in t.frames for t in tracks), sum(_seen(t, f).merit for t in tracks), -f))


def _seen(track: Track, frame: int) -> Focus:
    """The focus in a frame, or in its key frame where that does not show it."""
    return track.foci[track.frames.index(frame)] if frame in track.frames else track.focus


def _calibrated(echoes: Echoes) -> NDArray[np.bool_]:
    return np.array([echoes.beams[t.focus.beam].calibrated for t in echoes.found], bool)
