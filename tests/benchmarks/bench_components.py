"""Threshold, components and cheap features beside the peers, alternately in one run; prints ratios, asserts nothing.

    python tests/benchmarks/bench_components.py [--slices 600] [--size 512] [--contrast] [--repeats 3]

Timed: mask of HU > 100, 26-connected components, and per component count, centroid, box, mean, SD, minimum, maximum
(ours: second moments as well). Peers: scikit-image, SimpleITK, and cc3d with fast-regionprops where installed. Memory
is the peak of the process beyond the volume, in a process of its own for every candidate (Linux).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.int16]
NAMES = "label area centroid bbox intensity_mean intensity_min intensity_max intensity_std".split()


def phantom(slices: int, size: int, contrast: bool) -> Array:
    """A body of 50 HU (with contrast a quarter of it 75 HU, a vessel 250 HU) with bone, correlated noise of 20 HU."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size - 0.5
    body = np.where((y / 0.35) ** 2 + (x / 0.45) ** 2 < 1, 50.0, -1000.0)
    if contrast:
        body[((y + 0.1) / 0.15) ** 2 + ((x + 0.2) / 0.18) ** 2 < 1] = 68
        body[np.hypot(y, x) < 0.04] = 250
    body[(np.hypot(y - 0.2, x) < 0.065) & (np.hypot(y - 0.2, x) > 0.04)] = 600
    out = np.empty((slices, size, size), np.int16)
    for first in range(0, slices, 20):
        noise = ndimage.gaussian_filter(rng.standard_normal((20, size, size), dtype=np.float32), (0.5, 1.0, 1.0))
        out[first : first + 20] = (body + noise * (20 / noise.std()))[: slices - first]
    return out


def calcimap_runs(v: Array) -> int:
    from imaging import Components

    parts = Components.above(v, 100)
    inside = parts.values(v)
    parts.n_voxels, parts.box, parts.centroid, parts.covariance  # noqa: B018  # made on first use
    parts.mean_and_sd(inside), parts.minimum(inside), parts.maximum(inside)
    return len(parts)


def scikit_image(v: Array) -> int:
    from skimage.measure import label, regionprops_table

    return len(regionprops_table(label(v > 100, connectivity=3), v, properties=NAMES)["label"])


def simpleitk(v: Array) -> int:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(v)
    labels = sitk.ConnectedComponent(sitk.BinaryThreshold(image, 101, 32767), True)
    statistics = sitk.LabelIntensityStatisticsImageFilter()
    statistics.Execute(labels, image)
    for k in statistics.GetLabels():
        statistics.GetMean(k), statistics.GetCentroid(k), statistics.GetBoundingBox(k)
    return len(statistics.GetLabels())


def cc3d_and_fast_regionprops(v: Array) -> int:
    import cc3d
    from fast_regionprops import regionprops_table_fast

    labels = cc3d.connected_components(v > 100, connectivity=26)
    return len(regionprops_table_fast(labels, v, properties=NAMES)["label"])


def one_pass(v: Array) -> int:
    return int(np.count_nonzero(v > 100))


CANDIDATES: dict[str, Callable[[Array], int]] = {
    "calcimap (runs)": calcimap_runs,
    "scikit-image": scikit_image,
    "SimpleITK": simpleitk,
    "cc3d + fast-regionprops": cc3d_and_fast_regionprops,
    "one count_nonzero": one_pass,
}


def extra_mb(name: str, file: Path) -> float:
    """Peak memory beyond the loaded volume, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory-of", name, str(file)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def memory_of(name: str, file: Path) -> None:
    volume = np.load(file)
    CANDIDATES[name](volume[:8])  # imports and tables
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _peak_kb()
    CANDIDATES[name](volume)
    print((_peak_kb() - before) / 1024)


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contrast", action="store_true")
    parser.add_argument("--memory-of", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory_of(options.memory_of[0], Path(options.memory_of[1]))
        return
    volume = phantom(options.slices, options.size, options.contrast)
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    found: dict[str, int] = {}
    for _ in range(options.repeats):
        for name, candidate in CANDIDATES.items():
            started = time.perf_counter()
            try:
                found[name] = candidate(volume)
            except ImportError:
                continue
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(s) for name, s in seconds.items() if s}
    print(
        f"{volume.shape} int16, {volume.nbytes / 2**20:.0f} MB, {found['one count_nonzero'] / volume.size:.2%} > 100 HU"
    )
    heads = ("components", "s", "/ skimage", "/ one pass", "extra MB", "/ volume")
    print(f"{'candidate':24}", *(f"{head:>10}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "volume.npy"
        np.save(file, volume)
        for name, s in median.items():
            extra = extra_mb(name, file)
            share = extra * 2**20 / volume.nbytes
            print(
                f"{name:24} {found[name]:10d} {s:10.3f} {s / median['scikit-image']:10.4f} "
                f"{s / median['one count_nonzero']:10.1f} {extra:10.0f} {share:10.2f}"
            )


if __name__ == "__main__":
    main()
