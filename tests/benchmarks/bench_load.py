"""Load speed beside SimpleITK, a loop over pydicom's pixel_array and dcm2niix, alternately in one run; asserts nothing.

    python tests/benchmarks/bench_load.py [--slices 400] [--packed 80] [--repeats 3]

Ours is `find_series` and `read_volume`: every header is read and checked, slices are grouped, sorted and rescaled.
SimpleITK is GetGDCMSeriesFileNames and Execute. The loop reads each file with pydicom, rescales and stacks it, and
checks nothing. dcm2niix converts to NIfTI, uncompressed, and starts a process. Files are in the page cache: each is
read once before.
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
from scipy import ndimage

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "sample_data")]

from imaging import find_series, read_volume  # noqa: E402
from tests.dicom_files import ENCODERS, compress, dataset, save  # noqa: E402
from tests.hazards.peers import dcm2niix_program  # noqa: E402

SYNTAXES = {
    "raw": "",
    "JPEG Lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}


def write_series(folder: Path, slices: int, syntax: str, size: int = 512) -> None:
    """A body of tissue with correlated noise, one file per slice."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size - 0.5
    body = np.where((y / 0.35) ** 2 + (x / 0.45) ** 2 < 1, 50.0, -1000.0)
    noises = [ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.7) * 30 for _ in range(8)]
    for k in range(slices):
        hu = np.maximum(np.rint(body + noises[k % 8]), -1024).astype(np.int32)
        ds = dataset(hu, (0, 0, k), instance=str(k), number=k + 1, bits=12 if syntax else 16)
        save(compress(ds, syntax, ENCODERS[syntax]) if syntax else ds, folder / f"{k:04d}.dcm")


def ours(folder: Path) -> float:
    """calcimap."""
    (series,) = find_series(folder).series
    return float(read_volume(series).array.sum(dtype=np.int64))


def simpleitk(folder: Path) -> float:
    """SimpleITK's series reader."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()  # must outlive its view
    return float(sitk.GetArrayViewFromImage(image).sum(dtype=np.int64))


def pydicom_loop(folder: Path) -> float:
    """What tutorials write."""
    import pydicom

    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    stack = np.stack([ds.pixel_array for ds in files]).astype(np.int16)
    stack += np.int16(files[0].RescaleIntercept)
    return float(stack.sum(dtype=np.int64))


def dcm2niix(folder: Path) -> float:
    """A conversion to NIfTI; its values are not read back."""
    program = dcm2niix_program()
    if program is None:
        raise ImportError("dcm2niix")
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "-z", "n", "-b", "n", "-o", out, str(folder)], capture_output=True, check=True)
    return float("nan")


PEERS: dict[str, Callable[[Path], float]] = {
    "calcimap": ours,
    "SimpleITK": simpleitk,
    "pydicom loop": pydicom_loop,
    "dcm2niix": dcm2niix,
}


def main() -> None:
    """Prints a table of seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--packed", type=int, default=80, help="slices of the compressed series")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{'series':24}", *(f"{name:>14}" for name in PEERS), *(f"{'/ ' + name:>14}" for name in list(PEERS)[1:]))
    for label, syntax in SYNTAXES.items():
        slices = options.packed if syntax else options.slices
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_series(folder, slices, syntax)
            seconds: dict[str, list[float]] = {peer: [] for peer in PEERS}
            sums: dict[str, float] = {}
            for turn in range(options.repeats + 1):
                for peer, load in PEERS.items():
                    started = time.perf_counter()
                    try:
                        sums[peer] = load(folder)
                    except (ImportError, RuntimeError, NotImplementedError) as error:
                        sums[peer] = float("nan")
                        if turn == 0:
                            print(f"{label}: {peer} cannot ({type(error).__name__})", file=sys.stderr)
                        continue
                    if turn:  # the first turn warms imports and the page cache
                        seconds[peer].append(time.perf_counter() - started)
            median = {peer: statistics.median(times) if times else float("nan") for peer, times in seconds.items()}
            known = {total for total in sums.values() if total == total}  # not NaN
            agree = "" if len(known) == 1 else f"  values differ: {sums}"
            times = [f"{median[peer]:14.3f}" for peer in PEERS]
            ratios = [f"{median['calcimap'] / median[peer]:14.3f}" for peer in list(PEERS)[1:]]
            print(f"{label + ', ' + str(slices) + ' slices':24}", *times, *ratios, agree, flush=True)
        if not syntax:
            print(f"{'header pass of ours':24} {header_milliseconds(slices):14.3f} ms a file", flush=True)


def header_milliseconds(slices: int) -> float:
    """find_series alone."""
    with tempfile.TemporaryDirectory() as name:
        write_series(Path(name), slices, "", 64)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            find_series(name)
            times.append(time.perf_counter() - started)
    return min(times) / slices * 1000


if __name__ == "__main__":
    main()
