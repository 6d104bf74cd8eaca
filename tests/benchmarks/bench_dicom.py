"""Time and size of DICOM SEG and SR for many findings.

    python tests/benchmarks/bench_dicom.py [FINDINGS] [KEY=VALUE ...]

Findings of 5 x 5 x 3 voxels at random places in 300 slices of 512 x 512. Seconds are the processor's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "sample_data")]

from dicom_writer import write_dicom_series  # noqa: E402 - from the folder of the sample data

import pipelines  # noqa: E402 - of this checkout
from imaging import Volume, find_series, read_label_map, read_volume  # noqa: E402
from pipelines import Config  # noqa: E402
from pipelines.writers import WRITERS, Origin  # noqa: E402

SHAPE = (300, 512, 512)


def findings(count: int) -> np.ndarray:
    """Labels 1 to `count`, apart from each other."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.int32)
    made = 0
    while made < count:
        z, y, x = rng.integers(5, 295), rng.integers(6, 506), rng.integers(6, 506)
        if not labels[z - 3 : z + 4, y - 4 : y + 5, x - 4 : x + 5].any():
            made += 1
            labels[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3] = made
    return labels


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    config = Config.load(None, sys.argv[2:])
    labels = findings(count)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        hu = np.where(labels, 500, 40).astype(np.int16)
        write_dicom_series(Volume.from_components(hu, spacing=(1, 0.7, 0.7)), out / "in")
        [series] = find_series(out / "in").series
        volume = read_volume(series)
        result = pipelines.analyze(volume, config, labels=labels)
        for name in ("seg", "sr"):
            started = time.process_time()
            WRITERS[name].write_scan(result, out, Origin(series, config))
            seconds, size = time.process_time() - started, (out / f"{name}.dcm").stat().st_size
            print(f"{name}: {seconds:.1f} s, {size / 1e6:.1f} MB")
        started = time.process_time()
        same = np.array_equal(read_label_map(out / "seg.dcm", volume), labels)
        print(f"read back: {time.process_time() - started:.1f} s, equal: {same}")


if __name__ == "__main__":
    main()
