"""Calcium scores of the QRM phantom beside its published and its true values, for every definition.

    python tests/benchmarks/bench_scores.py FOLDER_OF_THE_QRM_SCAN

Published: the FQM rows of this very scan (van Praagh et al. 2021; MolloiLab/CAC-stanford-data, MIT). True: size and
density of the hydroxyapatite cylinders. Printed: each row (published, ours), the root-mean-square error of three kinds
of mass against the true mass of the large and medium inserts, and the sum of every definition's score with whole and
with halved slices.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from imaging import SCORES, Detection, ScoreParams, Volume, detect, find_series, measure, read_volume, score
from imaging.geometry import affine_from_components

FACTOR = 0.722252
"""mg/cm3 per HU, published for this scan from its rod of 200 mg/cm3."""
NEAR_MM = 3.0

# insert: (volume mm3, Agatston, mass mg) published by FQM, true mass mg, centre (slice, row, column)
INSERTS = {
    "Large 800": ((302.2047, 402.9396, 94.7712), 78.5, (22, 220, 180)),
    "Medium 800": ((82.1597, 88.1133, 20.9034), 16.956, (22, 220.6, 205.6)),
    "Small 800": ((9.2876, 6.1917, 1.1395), 0.628, (22, 220.4, 230.8)),
    "Large 400": ((216.4729, 238.3821, 47.7903), 39.25, (21.7, 150.6, 291.5)),
    "Medium 400": ((58.5834, 69.5380, 10.8825), 8.478, (22.2, 173.3, 280.3)),
    "Small 400": ((0.0, 0.0, 0.0), 0.314, None),
    "Large 200": ((167.1771, 138.5998, 25.3733), 19.625, (21.6, 281.5, 298.5)),
    "Medium 200": ((34.2927, 22.8618, 4.7531), 4.239, (22, 260.3, 285)),
    "Small 200": ((0.0, 0.0, 0.0), 0.157, None),
}
MASSES = ("mass_mg", "mass_integrated_mg", "mass_volume_fraction_mg")


def rows_of(table: pd.DataFrame, volume: Volume) -> dict[str, pd.Series]:
    """The finding at the centre of each insert; nothing for inserts that have none."""
    place = table[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy(dtype=float)
    found = {}
    for name, (_, _, centre) in INSERTS.items():
        if centre is None or not len(place):
            continue
        apart = np.linalg.norm(place - volume.to_world(centre), axis=1)
        if apart.min() < NEAR_MM:
            found[name] = table.iloc[int(apart.argmin())]
    return found


def mass_errors(rows: dict[str, pd.Series]) -> dict[str, float]:
    """Root-mean-square error, mg, against the true mass of the large and medium inserts."""
    wanted = [n for n in INSERTS if not n.startswith("Small")]
    return {m: float(np.sqrt(np.mean([(rows[n][m] - INSERTS[n][1]) ** 2 for n in wanted]))) for m in MASSES}


def halved(volume: Volume) -> Volume:
    """The same scan with each slice split into two of half the distance."""
    dz, dy, dx = volume.spacing
    affine = affine_from_components((dz / 2, dy, dx), volume.origin, volume.direction)
    valid = None if volume.valid is None else np.repeat(volume.valid, 2, axis=0)
    return volume.replace(array=np.repeat(volume.array, 2, axis=0), affine=affine, valid=valid)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    volume = read_volume(find_series(parser.parse_args().folder).series[0])
    detection = detect(volume)
    findings = measure(detection)
    started = time.perf_counter()
    table = score(findings, detection, ScoreParams("fqm", mass_factor_mg_per_cm3_per_hu=FACTOR))
    seconds = time.perf_counter() - started
    rows = rows_of(table, volume)
    print(f"{len(findings)} findings, scored in {seconds:.3f} s\n")
    print("insert       volume mm3           Agatston             mass mg              true   integrated  fraction")
    for name, (published, true, _) in INSERTS.items():
        if name not in rows:
            print(f"{name:12} no finding (published {published[1]:g})")
            continue
        row = rows[name]
        pairs = zip(published, row[["volume_score_mm3", "agatston", "mass_mg"]], strict=True)
        text = " ".join(f"{p:9.4f} {o:9.4f} " for p, o in pairs)
        print(f"{name:12} {text} {true:6.2f} {row['mass_integrated_mg']:9.2f} {row['mass_volume_fraction_mg']:9.2f}")
    print("\nroot-mean-square error against the true mass, large and medium inserts, mg")
    errors = mass_errors(rows)
    for name, error in errors.items():
        print(f"  {name:24} {error:6.2f}   {error / errors['mass_mg']:.2f} of the threshold mass's")
    print("\nsum of weighted area scores by definition: whole slices, halved slices, ratio")
    half = halved(volume)
    twice = Detection.from_labels(half, np.repeat(detection.labels, 2, axis=0))
    whole = Detection.from_labels(volume, detection.labels)
    for entry in SCORES:
        sums = [score(measure(d), d, ScoreParams(entry.name))["weighted_area_score"].sum() for d in (whole, twice)]
        print(f"  {entry.name:12} {sums[0]:8.2f} {sums[1]:8.2f}   {sums[1] / sums[0]:.6f}")


if __name__ == "__main__":
    main()
