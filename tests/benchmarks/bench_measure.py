"""How true sizes, volumes, walls and margins are: random phantoms against their formulas.

    python tests/benchmarks/bench_measure.py [--each 12] [--seed 1]

Balls, alone and in the wall of an enhanced vessel, whole and broken shells, ellipsoidal shells, sharp and hazy objects
at random sub-voxel places, orientation, HU, pixel size (0.4 to 1 mm), point spread (FWHM 0.6 to 1.8 mm) and noise (10
to 20 HU), found with the default thresholds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from imaging import detect, measure
from tests.imaging.measured import ball, egg, hazy, largest, plaques, sharp, shell

SLICES_MM = (0.7, 1.0, 1.5, 2.5, 3.0, 5.0)
DIAMETERS_MM = (2, 3, 4, 5, 6, 8, 10, 14, 20)
WALLS_MM, COVERAGES = (1.0, 1.5, 2.0, 3.0), (1.0, 0.75, 0.5)


def spread(values):
    """Mean and range of what is not missing."""
    some = values[~np.isnan(values)]
    return f"{some.mean():6.2f} ({some.min():5.2f} to {some.max():5.2f})" if len(some) else f"{'missing':>23}"


def sizes(each, seed):
    """Volume ratios and diameter errors of balls."""
    print(
        "balls: volume over truth by mask, mean (range); integrated volume and how often missing; errors of diameters"
    )
    print("slice  mm  >=8 steps | detection mask         | half-maximum           | integrated          missing"
          " | max 3-D mm, largest error / diagonal | axial mm")  # fmt: skip
    for slice_mm in SLICES_MM:
        for diameter in DIAMETERS_MM:
            rows, coarse, diagonal = [], [], []
            for k in range(each):
                volume = ball(np.random.default_rng((seed, k, diameter)), slice_mm, diameter)
                row = largest(volume)
                if row is not None:
                    rows.append(row)
                    coarse.append(max(volume.spacing))
                    diagonal.append(np.linalg.norm(volume.spacing))
            if not rows:
                print(f"{slice_mm:4} {diameter:4}   not found")
                continue
            truth = np.pi / 6 * diameter**3
            ratio = {n: np.array([r[n] for r in rows], float) / truth
                     for n in ("volume_mm3", "volume_halfmax_mm3", "volume_integrated_mm3")}  # fmt: skip
            error = np.array([r["max_diameter_mm"] - diameter for r in rows])
            axial = np.array([r["axial_diameter_mm"] - diameter for r in rows])
            print(
                f"{slice_mm:4} {diameter:4}  {'yes' if diameter >= 8 * max(coarse) else '':8}",
                *map(spread, ratio.values()),
                f"{np.isnan(ratio['volume_integrated_mm3']).mean():5.0%}",
                f"  {error.mean():+5.2f} {abs(error).max():5.2f} / {abs(error / diagonal).max():4.2f}",
                f"  {axial.mean():+5.2f} {abs(axial).max():5.2f}", sep=" | ",
            )  # fmt: skip


def in_walls(each, seed):
    """Half-maximum volume ratios and diameter errors of plaques, four a scan."""
    print("\nballs in the wall of a vessel of 320 HU: found; half-maximum volume over truth; error of diameter, mm")
    for slice_mm in (1.0, 3.0):
        for hu in (500, 600, 700, 1000):
            for diameter in (3, 5, 8):
                scans = [
                    plaques(np.random.default_rng((seed, k)), slice_mm, diameter, hu) for k in range(-(-each // 4))
                ]
                tables = [measure(detect(volume)) for volume in scans]
                ratio = np.concatenate([t["volume_halfmax_mm3"] for t in tables]) / (np.pi / 6 * diameter**3)
                error = np.concatenate([t["max_diameter_mm"] for t in tables]) - diameter
                found = f"{len(ratio)} of {4 * len(scans)}"
                print(f"{slice_mm:4} {hu:5} HU {diameter} mm  {found}", spread(ratio), spread(error), sep=" | ")


def shells(each, seed):
    """Errors of coverage and thickness."""
    print("\nshells: error of coverage and of thickness (mm), mean and largest")
    for slice_mm in SLICES_MM:
        for wall in WALLS_MM:
            for coverage in COVERAGES:
                errors = []
                for k in range(each):
                    volume, _ = shell(np.random.default_rng((seed, k, int(10 * wall))), slice_mm, wall, coverage)
                    row = largest(volume)
                    errors.append((row["shell_coverage"] - coverage, row["shell_thickness_mm"] - wall))
                print_errors(f"{slice_mm:4} wall {wall:3} coverage {coverage:4}", np.array(errors, float))
    print("\nellipsoidal shells, axis ratio 0.5 to 0.85: the same, and of the axis ratio")
    for slice_mm in SLICES_MM:
        for wall in WALLS_MM:
            errors = []
            for k in range(each):
                volume, ratio = egg(np.random.default_rng((seed, k, int(10 * wall))), slice_mm, wall)
                row = largest(volume)
                errors.append(
                    (row["shell_coverage"] - 1, row["shell_thickness_mm"] - wall, row["shell_axis_ratio"] - ratio)
                )
            print_errors(f"{slice_mm:4} wall {wall:3}", np.array(errors, float))


def print_errors(name, errors):
    """Mean and largest error of each column, and how often it is missing."""
    texts = []
    for column in errors.T:
        some = column[~np.isnan(column)]
        text = f"{some.mean():+6.3f} {abs(some).max():6.3f}" if len(some) else f"{'missing':>13}"
        texts.append(text + (f" ({len(column) - len(some)} missing)" if len(some) < len(column) else ""))
    print(name, *texts, sep=" | ")


def margins(each, seed):
    """How often sharp and hazy borders are called so."""
    print("\nmargin: sharp objects of 5 to 20 mm, and borders of 2 to 4 mm standard deviation; edge_blur, limit 1")
    for slice_mm in SLICES_MM:
        for maker, name in ((sharp, "sharp"), (hazy, "blurred")):
            rows = [largest(maker(np.random.default_rng((seed, k)), slice_mm)) for k in range(each)]
            blur = np.array([r["edge_blur"] for r in rows], float)
            right = np.mean([r["margin"] == name for r in rows])
            print(f"{slice_mm:4} {name:8} {right:6.1%} right, edge_blur {spread(blur)}")


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="objects a row")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sizes(options.each, options.seed)
    in_walls(options.each, options.seed)
    shells(options.each, options.seed)
    margins(options.each, options.seed)


if __name__ == "__main__":
    main()
