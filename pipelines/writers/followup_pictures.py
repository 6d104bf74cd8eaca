"""Pictures of a comparison: the same place in both scans side by side, and volumes over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imaging import Comparison, Detection, Timeline

from .crops import Crop
from .drawing import FONT, draw_crop
from .views import view_along

SIDE, GAP, DPI = 340, 8, 100
"""Pixels."""
FIELD_MM, FILL = 60.0, 0.6
"""Side of a crop, and the largest share of it that a finding may take."""
BACKGROUND = "#141414"
MOST_LINES, MOST_NAMED = 60, 8
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""Okabe-Ito, and a brown: told apart with every kind of colour vision."""


def draw_pair(c: Comparison, row: pd.Series, detections: tuple[Detection, Detection]) -> NDArray[np.uint8]:
    """The place of a row of ``changes`` in the baseline (left) and in the follow-up (right), (height, width, RGB).

    Where a scan has no such finding its picture shows where it would be, by the registration.
    """
    places = _places(c, row)
    longest = np.nanmax([0.0, *(float(v) for n in ("before", "after") if pd.notna(v := row[f"diameter_{n}_mm"]))])
    field = max(FIELD_MM, longest / FILL)
    width = 2 * SIDE + GAP
    figure = Figure(figsize=(width / DPI, SIDE / DPI), dpi=DPI, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    ids = row["baseline_finding_id"], row["followup_finding_id"]
    for k, (detection, place, number) in enumerate(zip(detections, places, ids, strict=True)):
        axes = figure.add_axes((k * (SIDE + GAP) / width, 0, SIDE / width, 1))
        draw_crop(axes, detection, _crop(detection, place, field, () if pd.isna(number) else (int(number),)))
    return _pixels(canvas)


def _places(c: Comparison, row: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """LPS mm in both scans; where one shows nothing, where it would be by the registration and the neighbours."""
    before, after = (row[[f"{when}_{a}_mm" for a in "xyz"]].to_numpy(dtype=float) for when in ("before", "after"))
    if np.isnan(before).any():
        k = int(np.flatnonzero(c.after.ids == row["followup_finding_id"])[0])
        before = c.registration.invert(after[None] - c.matching.shift_after[k])[0]
    if np.isnan(after).any():
        k = int(np.flatnonzero(c.before.ids == row["baseline_finding_id"])[0])
        after = c.registration.apply(before[None])[0] + c.matching.shift_before[k]
    return before, after


def _crop(detection: Detection, place: NDArray[np.float64], field: float, ids: tuple[int, ...]) -> Crop:
    volume = detection.volume
    view = view_along(volume, 0)
    index = volume.to_index(place)
    plane = int(np.clip(np.rint(index[0]), 0, volume.shape[0] - 1))
    centre = [float(np.mean(view.span(axis, index[axis], index[axis] + 1))) for axis in (view.across, view.down)]
    return Crop(plane, (centre[0], centre[1]), field, ids)


def draw_timeline(timeline: Timeline) -> NDArray[np.uint8]:
    """Volume of every tracked finding over time, the largest named, (height, width, RGB)."""
    table = timeline.table
    dated = bool(table["days"].notna().all()) and len(table) > 0
    figure = Figure(figsize=(9.0, 4.2), dpi=DPI, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    largest = table.groupby("tracking_id")["volume_mm3"].max().sort_values(ascending=False)
    for k, name in enumerate(largest.index[:MOST_LINES]):
        mine = table[table["tracking_id"] == name]
        x = mine["days" if dated else "time_point"].to_numpy(dtype=float)
        named = k < MOST_NAMED
        axes.plot(
            x, mine["volume_mm3"].to_numpy(dtype=float), marker="o", markersize=4, linewidth=1.6 if named else 0.8,
            color=COLOURS[k % len(COLOURS)] if named else "#9a9a9a", label=str(name) if named else None,
            zorder=3 if named else 2,
        )  # fmt: skip
    axes.set_xlabel("days since the first scan" if dated else "time point", family=FONT)
    axes.set_ylabel("volume, mm³", family=FONT)
    axes.set_ylim(bottom=0)
    if not dated:
        axes.set_xticks(sorted({int(t) for t in table["time_point"]}))
    axes.grid(color="#e3e3e3", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(largest):
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return _pixels(canvas)


def _pixels(canvas: Any) -> NDArray[np.uint8]:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
