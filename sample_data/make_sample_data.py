"""Makes the sample scans beside this file: small CT and ultrasound series whose calcifications are known exactly.

Run ``python sample_data/make_sample_data.py [FOLDER]`` with calcimap installed: every time the same files.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ultrasound_scans
from dicom_writer import write_dicom_series
from pydicom.uid import JPEGLSLossless

from imaging.synthetic import Ball, Phantom, Rod, Shell, Thing, Torus, Union, limb, render, table, torso

NOISE_HU = 10.0
PSF_MM = 1.2
COLUMNS = ("series", "name", "shape", "x_mm", "y_mm", "z_mm", "volume_mm3", "diameter_mm", "hu", "pattern")
ABDOMEN = (
    Thing(Shell((-50.0, -10.0, -2.0), 8.0, 1.5), 700.0, "eggshell", "eggshell"),
    Thing(Torus((47.0, -14.0, 5.0), 6.5, 1.2, (0.12, 0.05, 1.0)), 800.0, "ring", "ring"),
    Thing(Ball((-14.0, -36.0, 8.0), 1.25), 900.0, "punctate", "punctate"),
    Thing(Ball((20.0, -36.0, -7.0), 5.0), 650.0, "solid", "solid"),
    Thing(Rod((52.0, 14.0, -12.0), (60.0, 10.0, 2.0), 0.9), 900.0, "rod", "linear"),
)
"""Calcifications of the abdomen: LPS mm, true HU."""

THIGH_DOTS = (
    ((-30.0, 22.0, -12.0), 1.7),
    ((-23.0, 27.0, -9.0), 1.6),
    ((-34.0, 31.0, -4.0), 1.6),
    ((-26.0, 20.0, 0.0), 1.9),
    ((-19.0, 33.0, 1.0), 1.6),
    ((-29.0, 32.0, 6.0), 1.8),
)
"""Centres (LPS mm) and radii (mm) of the group of dots in the thigh."""

THIGH = (
    *(Thing(Ball(at, r), 1000.0, f"dot {i}", "punctate") for i, (at, r) in enumerate(THIGH_DOTS, start=1)),
    Thing(
        Union(
            (
                Ball((20.0, -36.0, 12.0), 4.5),
                Ball((25.5, -33.0, 14.0), 3.6),
                Ball((15.5, -39.5, 14.5), 3.4),
                Ball((22.0, -37.0, 19.0), 3.4),
            )
        ),
        800.0,
        "coarse",
        "coarse",
    ),
)
"""Calcifications of the thigh: a group of dots behind the femur and one irregular lump in front of it."""


@dataclass(frozen=True)
class Scan:
    """One series: its folder, what lies in it, and its grid (mm)."""

    name: str
    body_part: str
    body: Sequence[Thing]
    calcifications: Sequence[Thing]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    top_mm: float
    seed: int

    def image(self) -> Phantom:
        """The phantom with blur and noise; `top_mm` is the y of its first row."""
        (slices, _, columns), (dz, _, dx) = self.shape, self.spacing
        return render(
            self.body,
            self.calcifications,
            self.shape,
            self.spacing,
            origin=(-(columns - 1) / 2 * dx, self.top_mm, -(slices - 1) / 2 * dz),
            psf_fwhm_mm=PSF_MM,
            noise_sd=NOISE_HU,
            noise_in_air=False,
            seed=self.seed,
        )


SCANS = (
    Scan(
        name="ct_abdomen",
        body_part="ABDOMEN",
        body=[*table(90.0), *torso((-17.0, 17.0))],
        calcifications=ABDOMEN,
        shape=(34, 136, 168),
        spacing=(1.0, 1.5, 1.5),
        top_mm=-94.0,
        seed=1,
    ),
    Scan(
        name="ct_thigh",
        body_part="THIGH",
        body=[*table(75.0), *limb()],
        calcifications=THIGH,
        shape=(18, 106, 90),
        spacing=(3.0, 1.6, 1.6),
        top_mm=-74.0,
        seed=2,
    ),
    Scan(
        name="ct_clean",
        body_part="ABDOMEN",
        body=[*table(90.0), *torso((-15.0, 15.0))],
        calcifications=(),
        shape=(10, 112, 130),
        spacing=(3.0, 1.9, 1.9),
        top_mm=-97.0,
        seed=3,
    ),
)


def make(folder: Path) -> None:
    """Write all series and truth.csv into `folder`, over what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    for scan in SCANS:
        phantom = scan.image()
        shutil.rmtree(folder / scan.name, ignore_errors=True)
        write_dicom_series(
            phantom.volume,
            folder / scan.name,
            transfer_syntax=JPEGLSLossless,
            name=scan.name,
            body_part=scan.body_part,
        )
        rows += truth_rows(scan.name, phantom)
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    ultrasound_scans.make(folder)


def truth_rows(series: str, phantom: Phantom) -> list[dict[str, str]]:
    """The truth of one series as text, numbers rounded to what the phantom means."""
    rows = []
    for truth in phantom.truth:
        if truth.centroid_mm is None or truth.volume_mm3 is None or truth.diameter_mm is None:
            raise ValueError(f"{truth.name} has no closed form")
        x, y, z = truth.centroid_mm
        numbers = (x, y, z, truth.volume_mm3, truth.diameter_mm)
        figures = [f"{number:.3f}" for number in numbers]
        texts = (series, truth.name, truth.shape, *figures, f"{truth.hu:g}", truth.pattern)
        rows.append(dict(zip(COLUMNS, texts, strict=True)))
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder: Path = parser.parse_args().folder
    make(folder)
    for name in [*(scan.name for scan in SCANS), *ultrasound_scans.NAMES]:
        files = list((folder / name).iterdir())
        print(f"{name}: {len(files)} files, {sum(f.stat().st_size for f in files) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
