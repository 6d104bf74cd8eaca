"""The ultrasound sample scans: a calibrated still of a curved probe, and a short cine of a linear one."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
from ultrasound_writer import write_ultrasound

from imaging.synthetic.bmode import (
    Bmode,
    Motion,
    Probe,
    Scanner,
    calcification,
    cyst,
    interface,
    render_bmode,
)

COLUMNS = ("series", "name", "kind", "frame", "row", "column", "depth_mm", "width_mm", "shadow_db")
STILL, CINE = "us_still", "us_cine"
NAMES = (STILL, CINE)
FRAMES = 6
_STILL_TARGETS = {
    "stone": calcification(-14.0, 52.0, 8.0, 22.0),
    "cyst": cyst(20.0, 45.0, 14.0, 7.0),
    "line": interface(2.0, 84.0, 26.0, sag_mm=1.5),
}
_CINE_TARGETS = {"plaque": calcification(-5.0, 14.0, 4.5, 20.0), "dot": calcification(6.0, 10.0, 2.0, 14.0)}
_MOTION = Motion(lateral_mm=0.35, depth_mm=0.1)


def still() -> Bmode:
    """Liver-like tissue with a stone, a cyst and a capsule; pixels are not square, text is burned in."""
    return render_bmode(
        Probe("curved", 110.0, 56.0, 60.0), tuple(_STILL_TARGETS.values()), pixel_mm=(0.42, 0.36),
        scanner=Scanner(axial_mm=0.7, lateral_mm=1.6), margin=(24, 40),
        text=[("LIVER RT", 0.1, 0.72)], calipers=[(0.72, 0.62)], seed=11,
    )  # fmt: skip


def cine() -> list[Bmode]:
    """A vessel wall with two calcifications that move with the tissue; speckle is new in every frame."""
    return [
        render_bmode(
            Probe("linear", 30.0, 30.0), [_MOTION.at(t, k) for t in _CINE_TARGETS.values()], pixel_mm=(0.14, 0.14),
            scanner=Scanner(axial_mm=0.35, lateral_mm=0.8), margin=(12, 24), seed=20 + k,
        )
        for k in range(FRAMES)
    ]  # fmt: skip


def make(folder: Path) -> None:
    """Write both series and truth_ultrasound.csv into `folder`, over what is there."""
    one, many = still(), cine()
    for name, frames in ((STILL, [one]), (CINE, many)):
        shutil.rmtree(folder / name, ignore_errors=True)
        first = frames[0]
        write_ultrasound(
            np.stack([f.image for f in frames]), folder / name / f"{name}.dcm", pixel_mm=first.pixel_mm,
            box=first.box, name=name,
        )  # fmt: skip
    rows = _rows(STILL, _STILL_TARGETS, [one]) + _rows(CINE, _CINE_TARGETS, many)
    with (folder / "truth_ultrasound.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _rows(series: str, targets: dict[str, object], frames: list[Bmode]) -> list[list[str]]:
    rows = []
    for k, frame in enumerate(frames):
        for name, target, (row, column) in zip(targets, frame.targets, frame.places, strict=True):
            numbers = (row, column, target.depth_mm, target.width_mm, max(-target.behind_db, 0.0))
            rows.append([series, name, target.kind, str(k), *(f"{v:.3f}" for v in numbers)])
    return rows
