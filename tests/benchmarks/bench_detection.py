"""How many calcifications are found, and how much else: on real scans with objects put into them.

    python tests/benchmarks/bench_detection.py FOLDER_OR_FILE... [--objects 250] [--seed 1]

Spheres and shells of known size and HU are rendered into the soft tissue of real scans (added with the blur and the
slice profile of the scan, so noise stays as it is), and looked for again. Printed: kept of inserted, by distance from
dense tissue, for findings alone and together with the bone_adjacent and chest_wall lists; and findings per scan without
any object. An object counts as kept where a finding holds at least a voxel of its core.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging import CalcimapError, Detection, DetectionParams, Volume, detect, find_series, read_volume
from imaging.body import body_mask
from imaging.noise import estimate_noise

DIAMETERS_MM = (2.5, 4.0, 6.0, 9.0, 12.0)
LEVELS_HU = (300.0, 500.0, 900.0)
DISTANCES_MM = {"touching (<2 mm)": (0.3, 2.0), "3-6 mm": (3.0, 6.0), ">= 8 mm": (8.0, 60.0)}
DENSE_HU = 200.0
PSF_SD_MM = 0.5
FINER = 3
LISTS = DetectionParams(keep=("bone_adjacent", "chest_wall"))


@dataclass(frozen=True)
class Object:
    """One inserted object: centre (slice, row, column), diameter mm, HU, shell or ball, row of the table."""

    centre: tuple[int, int, int]
    diameter: float
    hu: float
    shell: bool
    row: str


def place(volume: Volume, rng: np.random.Generator, count: int) -> list[Object]:
    """Objects in soft tissue at the wanted distances from dense tissue and apart from each other."""
    body = body_mask(volume)
    if body is None:
        return []
    noise = estimate_noise(volume)
    smooth = ndimage.uniform_filter(volume.array.astype(np.float32), 3)
    tissue = body.full() & (smooth > -30) & (smooth < noise.mean + 60)
    to_dense = ndimage.distance_transform_edt(smooth < DENSE_HU, sampling=volume.spacing)
    to_other = ndimage.distance_transform_edt(tissue | (smooth >= DENSE_HU), sampling=volume.spacing)
    chosen: list[Object] = []
    taken: list[NDArray[np.float64]] = []
    for _ in range(count * 20):
        if len(chosen) >= count:
            break
        row = list(DISTANCES_MM)[len(chosen) % len(DISTANCES_MM)]
        diameter = float(rng.choice(DIAMETERS_MM))
        low, high = (d + diameter / 2 for d in DISTANCES_MM[row])
        fits = np.flatnonzero((tissue & (to_dense > low) & (to_dense < high) & (to_other > diameter / 2 + 2)).ravel())
        if not len(fits):
            continue
        centre = np.array(np.unravel_index(rng.choice(fits), volume.shape))
        where = volume.to_world(centre)
        if all(np.linalg.norm(where - t) > 25 for t in taken):
            taken.append(where)
            z, y, x = (int(c) for c in centre)
            chosen.append(Object((z, y, x), diameter, float(rng.choice(LEVELS_HU)), bool(rng.random() < 0.2), row))
    return chosen


def insert(volume: Volume, objects: list[Object]) -> Volume:
    """The scan with the objects: HU moves from tissue to object by the share of it in the voxel after blur."""
    array = volume.array.astype(np.float32)
    for item in objects:
        margin = [int(np.ceil((item.diameter / 2 + 3) / s)) for s in volume.spacing]
        box = tuple(
            slice(max(c - m, 0), min(c + m + 1, n)) for c, m, n in zip(item.centre, margin, volume.shape, strict=True)
        )
        axes = [
            (np.arange((s.stop - s.start) * FINER) + 0.5) / FINER - 0.5 + s.start - c
            for s, c in zip(box, item.centre, strict=True)
        ]
        z, y, x = np.meshgrid(*(a * step for a, step in zip(axes, volume.spacing, strict=True)), indexing="ij")
        r = np.sqrt(z * z + y * y + x * x)
        inside = r <= item.diameter / 2
        if item.shell and item.diameter >= 6:
            inside &= r >= item.diameter / 2 - 1.5
        sd = [0, *(PSF_SD_MM / step * FINER for step in volume.spacing[1:])]
        fine = ndimage.gaussian_filter(inside.astype(np.float32), sd)
        n = [s.stop - s.start for s in box]
        share = fine.reshape(n[0], FINER, n[1], FINER, n[2], FINER).mean(axis=(1, 3, 5))
        array[box] += share * (item.hu - float(np.median(array[box])))
    return volume.replace(array=array.round().astype(np.int16) if volume.array.dtype == np.int16 else array)


def kept(detection: Detection, item: Object) -> bool:
    """Whether a finding holds a voxel of the object (its wall for a shell)."""
    half = [int(np.ceil(item.diameter / 2 / s)) for s in detection.volume.spacing]
    box = tuple(
        slice(max(c - h, 0), min(c + h + 1, n))
        for c, h, n in zip(item.centre, half, detection.volume.shape, strict=True)
    )
    return bool(detection.labels[box].any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--objects", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    volumes = {}
    for name in options.inputs:
        for k, series in enumerate(find_series(name).series):
            try:
                volume = read_volume(series)
            except CalcimapError:
                continue
            if volume.shape[0] >= 10:
                volumes[f"{name.rstrip('/').split('/')[-1]}-{k}"] = volume
    rng = np.random.default_rng(options.seed)
    rows: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    listed: Counter[str] = Counter()
    sizes: Counter[tuple[float, float]] = Counter()
    found_sizes: Counter[tuple[float, float]] = Counter()
    each = -(-options.objects // max(len(volumes), 1))
    for name, volume in volumes.items():
        started = time.perf_counter()
        plain = detect(volume)
        seconds = time.perf_counter() - started
        objects = [o for o in place(volume, rng, each) if not kept(plain, o)]
        scene = insert(volume, objects)
        first, second = detect(scene), detect(scene, LISTS)
        for item in objects:
            rows[item.row] += 1
            alone[item.row] += (hit := kept(first, item))
            listed[item.row] += kept(second, item)
            if item.row.startswith(">="):
                sizes[item.diameter, item.hu] += 1
                found_sizes[item.diameter, item.hu] += hit
        print(f"{name}: {len(plain)} findings, {len(objects)} objects, detection {seconds:.2f} s")
    print("\ndistance from dense tissue   inserted  kept  with the second lists")
    for row in DISTANCES_MM:
        print(f"{row:28} {rows[row]:8d} {alone[row]:5d} {listed[row]:5d}")
    print("\nfar from dense tissue: kept of inserted, by diameter (mm) and HU")
    for diameter in DIAMETERS_MM:
        cells = [f"{hu:g} HU {found_sizes[diameter, hu]}/{sizes[diameter, hu]}" for hu in LEVELS_HU]
        print(f"{diameter:5g}  " + "   ".join(cells))


if __name__ == "__main__":
    main()
