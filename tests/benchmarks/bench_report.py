"""Report and viewer of a scan with many findings: python tests/benchmarks/bench_report.py [FINDINGS] [DIR]

A cylinder of tissue with balls and shells of 1.5 to 6 mm radius on a jittered grid, 300 slices. Prints seconds
of each writer and the sizes of what it wrote; with DIR the folder is kept, for a look in the browser.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from imaging import Detection, Volume, classify, conform, group, measure, name_patterns, score
from pipelines.packing import pack
from pipelines.results import SCANS, StudyResult
from pipelines.schemas import store
from pipelines.writers.gallery import write_gallery
from pipelines.writers.report import write_report
from pipelines.writers.viewer import write_viewer

SHAPE, SPACING = (300, 512, 512), (0.8, 0.7, 0.7)
ID = "0123456789abcdef"


def scan(n: int, seed: int = 0) -> Detection:
    """`n` findings in noise of 20 HU."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[-256:256, -256:256]
    slice_ = np.where(y**2 + x**2 < 240**2, 40.0, -1000.0)
    array = np.empty(SHAPE, np.float32)
    labels = np.zeros(SHAPE, np.int32)
    for k in range(SHAPE[0]):
        array[k] = slice_ + rng.normal(0, 20, slice_.shape)
    cells = np.stack(np.meshgrid(*(np.arange(24, s - 24, 24) for s in SHAPE), indexing="ij"), -1).reshape(-1, 3)
    cells = cells[((cells[:, 1:] - 256) ** 2).sum(axis=1) < 215**2]
    for number, (z, row, column) in enumerate(rng.permutation(cells)[:n] + rng.integers(-3, 4, (n, 3)), 1):
        radius = rng.uniform(1.5, 6)
        box = tuple(slice(c - 10, c + 11) for c in (z, row, column))
        far = np.sqrt(sum((np.arange(-10, 11) * s).reshape(np.roll((-1, 1, 1), k)) ** 2 for k, s in enumerate(SPACING)))
        inside = (far < radius) & (far > radius - rng.choice([1.5, 9]))
        labels[box][inside] = number
        array[box][inside] += rng.uniform(200, 1200)
    volume = Volume.from_components(np.rint(array), spacing=SPACING)
    return Detection.from_labels(volume, labels)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    detection = scan(n)
    findings = name_patterns(group(score(measure(detection), detection), detection))
    result = pack(detection, classify(findings.assign(scan_id=ID)), ID)
    folder = out / "scans" / ID
    folder.mkdir(parents=True, exist_ok=True)

    tables = {name: getattr(result, name) for name in ("findings", "excluded", "groups", "hypotheses")}
    store(out, tables | {"scans": conform(pd.DataFrame([dict(result.record)]), SCANS)})
    study = StudyResult(out, out)
    seconds = {}
    for name, work in (
        ("gallery", lambda: write_gallery(result, folder)),
        ("viewer", lambda: write_viewer(result, folder)),
        ("report", lambda: write_report(study)),
    ):
        started = time.perf_counter(), time.process_time()
        work()
        seconds[name] = time.perf_counter() - started[0], time.process_time() - started[1]
    print(f"{len(result.findings)} findings, {SHAPE[0]} slices")
    for name, file in (
        ("gallery", folder / "gallery.json"),
        ("viewer", folder / "viewer.html"),
        ("report", out / "report.html"),
    ):
        print(
            f"{name:8} {seconds[name][0]:6.2f} s ({seconds[name][1]:.2f} s of CPU) {file.stat().st_size / 1e6:7.2f} MB"
        )


if __name__ == "__main__":
    main()
