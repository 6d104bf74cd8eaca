"""A night's run: one large scan beside the peers, two workers beside one, and 1,000 small scans, killed and resumed.

    python tests/benchmarks/bench_batch.py scan [--slices 400] [--repeats 3] [--all-above]
    python tests/benchmarks/bench_batch.py workers [--slices 400] [--repeats 10]
    python tests/benchmarks/bench_batch.py cohort [--series 1000]

scan: from the folder to a table, alternately, each in a process of its own that has done a small scan before. peer:
SimpleITK's series reader, skimage `label` and `regionprops_table`, a CSV. threshold: `find_series`, `read_volume`,
`Components.above` and the same columns, a CSV. everything: `pipelines.run` with its defaults (separation, patterns,
hypotheses, tables, label map, picture, report). all_above, on request: `pipelines.run` with a fixed threshold and
without separation, which measures, names and ranks every speck of noise as a finding. Memory is the peak beyond that
process before the scan (Linux).
workers: two workers beside one, in turn, both with scans and with jobs that only compute, which is what the machine
gives at the time.
cohort: small series, 5 % of them bad in 20 ways: a quiet serial run; then two workers, one killed with SIGKILL, then
the whole run, and resumed. Printed: whether the tables are the same bytes, whether exactly the bad ones were refused
with their reason, overhead per scan, and the memory of the coordinating process in the first and the second half.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "sample_data")]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"
}  # fmt: skip
ALL_ABOVE = ("detection.separate=false", "detection.threshold_mode=fixed")
TABLES = "findings scans excluded groups burden patients hypotheses".split()


# -- one large scan ----------------------------------------------------------------------------------------------------


def write_scan(folder: Path, slices: int, size: int = 512) -> None:
    """The phantom of bench_components with a calcification every 5 slices, as a raw CT series."""
    from bench_components import phantom

    from tests.dicom_files import dataset, save

    values = phantom(slices, size, contrast=False)
    rng = np.random.default_rng(2)
    for _ in range(slices // 5):
        radius, hu = rng.uniform(1.5, 5), rng.uniform(300, 900)
        place = np.array([rng.uniform(6, slices - 6), size * rng.uniform(0.3, 0.6), size * rng.uniform(0.2, 0.8)])
        low = np.maximum((place - 6).astype(int), 0)
        box = tuple(slice(a, a + 13) for a in low)
        grid = np.stack(np.meshgrid(*(np.arange(a, a + n) for a, n in zip(low, values[box].shape, strict=True)),
                                    indexing="ij"), axis=-1)  # fmt: skip
        values[box][((grid - place) ** 2).sum(axis=-1) < radius**2] += int(hu)
    for k in range(slices):
        hu = values[k].clip(-1024)
        save(dataset(hu, (0, 0, 1.0 * k), instance=str(k), number=k + 1, SliceThickness=1), folder / f"{k:04d}.dcm")


def peer(folder: Path, out: Path) -> int:
    """What a user would write."""
    import pandas as pd
    import SimpleITK as sitk
    from skimage.measure import label, regionprops_table

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    values = sitk.GetArrayFromImage(reader.Execute())
    names = "label area centroid bbox intensity_mean intensity_min intensity_max intensity_std".split()
    table = pd.DataFrame(regionprops_table(label(values > 100, connectivity=3), values, properties=names))
    table.to_csv(out / "peer.csv")
    return len(table)


def threshold(folder: Path, out: Path) -> int:
    """The same columns by calcimap's library."""
    import pandas as pd

    from imaging import Components, find_series, read_volume

    values = read_volume(find_series(folder).series[0]).array
    parts = Components.above(values, 100)
    inside = parts.values(values)
    mean, sd = parts.mean_and_sd(inside)
    columns = {
        "area": parts.n_voxels,
        "mean": mean,
        "sd": sd,
        "min": parts.minimum(inside),
        "max": parts.maximum(inside),
    }
    columns |= {f"centroid-{k}": column for k, column in enumerate(parts.centroid.T)}
    columns |= {f"bbox-{k}": column for k, column in enumerate(parts.box.reshape(len(parts), -1).T)}
    pd.DataFrame(columns).to_csv(out / "threshold.csv")
    return len(parts)


def ours(folder: Path, out: Path, *, all_above: bool) -> int:
    """`pipelines.run` in this process."""
    import pipelines

    settings = ALL_ABOVE if all_above else ()
    formats = ("csv", "parquet") if all_above else pipelines.batch.DEFAULT_FORMATS
    study = pipelines.run(folder, out / "out", config=pipelines.Config.load(None, settings), formats=formats, jobs=1)
    assert study.exit_code == 0, study.scans[["status", "reason", "message"]]
    stages = json.loads((study.out / "run.json").read_text())["stages"]
    print("stages", {k: v["max_s"] for k, v in stages.items()}, file=sys.stderr)
    return study.count("findings")


def child(name: str, folder: Path, small: Path) -> None:
    """One candidate in this process: seconds, of CPU, bytes beyond those held before, rows, bytes written."""
    import pipelines.batch  # noqa: F401
    from pipelines.memory import peak_bytes

    functions = {
        "peer": peer,
        "threshold": threshold,
        "everything": lambda f, o: ours(f, o, all_above=False),
        "all_above": lambda f, o: ours(f, o, all_above=True),
    }
    with tempfile.TemporaryDirectory() as made:
        first, second = Path(made) / "first", Path(made) / "second"
        first.mkdir(), second.mkdir()
        functions[name](small, first)
        before = psutil.Process().memory_info().rss
        peak_bytes(reset=True)
        started, worked = time.perf_counter(), time.process_time()
        n = functions[name](folder, second)
        took, cpu = time.perf_counter() - started, time.process_time() - worked
        peak = peak_bytes() or 0
        if (second / "out").exists():  # each scan sets the mark back: the run knows the highest
            peak = 1e6 * json.loads((second / "out" / "run.json").read_text())["peak_mb"]["coordinator"]
        size = sum(f.stat().st_size for f in second.rglob("*") if f.is_file())
    print(json.dumps([took, cpu, peak - before, n, size]))


def bench_scan(slices: int, repeats: int, all_above: bool) -> None:
    """A large scan beside the peers."""
    with tempfile.TemporaryDirectory(prefix="calcimap-bench-") as made:
        folder, small = Path(made) / "large", Path(made) / "small"
        write_scan(folder, slices)
        write_scan(small, 12, 64)
        names = ("peer", "threshold", "everything", *(("all_above",) if all_above else ()))
        seen: dict[str, list[list[float]]] = {name: [] for name in names}
        for _ in range(repeats):
            for name in names:
                command = [sys.executable, __file__, "child", name, str(folder), str(small)]
                done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                seen[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(name, *done.stderr.splitlines()[-1:], flush=True)
        volume = slices * 512 * 512 * 2
        base = statistics.median(s[0] for s in seen["peer"])
        print(f"{slices} slices; volume {volume / 1e6:.0f} MB; median of {repeats}")
        for name in names:
            took, cpu, peak, n, size = (statistics.median(column) for column in zip(*seen[name], strict=True))
            ratios = f"{took / base:6.3f} of peer  peak {peak / volume:5.2f} x volume"
            print(f"{name:12} {took:7.2f} s, CPU {cpu:6.2f} s  {ratios}  {n:.0f} rows, {size / 1e6:.2f} MB written")


# -- two workers beside one --------------------------------------------------------------------------------------------


def bench_workers(slices: int, repeats: int) -> None:
    """Series a second with one worker and with two, started and warm, in turn; the same for jobs that only compute.

    In turn and by ratios, because the two cores of a virtual machine may be two threads of one, from minute to minute.
    """
    from imaging import Context
    from pipelines.batch import DEFAULT_FORMATS
    from pipelines.config import Config
    from pipelines.executors import DaskExecutor, Job, Limits, executor
    from pipelines.place import claimed
    from pipelines.plan import Conditions, Shard, survey
    from pipelines.task import perform

    with tempfile.TemporaryDirectory(prefix="calcimap-bench-") as made:
        base = Path(made)
        write_scan(base / "first", slices)
        for k in range(4):
            renamed(base / "first", base / "in" / f"s{k}", k)
        with claimed(base / "out", "") as place, executor(2, Limits(place.work)) as two:
            assert isinstance(two, DaskExecutor)
            two._client.wait_for_workers(2)
            one = DaskExecutor(two._client, Limits(place.work), alone=True)
            conditions = Conditions(Config(), DEFAULT_FORMATS, place.out, place.work, {}, Context())
            plan = survey([base / "in"], place.out, Config(), Shard.parse("1/1"))
            scans = [conditions.task(entry, conditions.stamp()) for entry in plan.wanted]

            def took(workers: DaskExecutor, function: Callable[[Any], Any], items: list[Any]) -> float:
                start = time.perf_counter()
                results = list(workers.map(function, [Job(item, f"job{k}") for k, item in enumerate(items)]))
                assert len(results) == len(items)
                return time.perf_counter() - start

            kinds = {"scans": (perform, scans), "computing": (computing, [1.0] * 4)}
            for function, items in kinds.values():
                took(two, function, items)
            ratios: dict[str, list[float]] = {name: [] for name in kinds}
            for _ in range(repeats):
                for name, (function, items) in kinds.items():
                    alone, beside = took(one, function, items[:2]), took(two, function, items)
                    ratios[name].append(2 * alone / beside)
                    print(
                        f"{name}: one worker {alone / 2:.2f} s each, two {beside / 4:.2f} s, {ratios[name][-1]:.2f} x"
                    )
            for name, values in ratios.items():
                low, middle, high = np.percentile(values, [25, 50, 75])
                print(f"{name}: two workers {middle:.2f} x one (median of {repeats} rounds; {low:.2f} to {high:.2f})")


def computing(seconds: float) -> int:
    """Sort numbers that fit the innermost caches, for about so long."""
    values = np.random.default_rng(0).random(20_000)
    return sum(len(np.sort(values)) for _ in range(round(10_000 * seconds)))


def renamed(source: Path, target: Path, k: int) -> None:
    """A copy of a series with UIDs of its own."""
    from tests.pipelines.cohort import _renamed

    target.mkdir(parents=True)
    for file in source.iterdir():
        data = file.read_bytes()
        (target / file.name).write_bytes(_renamed(data[:3000], str(k)) + data[3000:])


# -- many small scans --------------------------------------------------------------------------------------------------


def events(out: Path) -> list[dict[str, object]]:
    """What has happened so far."""
    try:
        return [json.loads(line) for line in (out / "events.jsonl").read_text().split("\n")[:-1]]
    except FileNotFoundError:
        return []


def start(folder: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    """calcimap in a process of its own."""
    command = [sys.executable, "-m", "pipelines", "run", str(folder), "--out", str(out), "--jobs", str(jobs)]
    return subprocess.Popen([*command, "--formats", "csv,parquet", "--quiet"], env=ENVIRONMENT)


def watched(run: subprocess.Popen[bytes], out: Path, until: int | None = None) -> Iterator[tuple[int, int]]:
    """(scans done, bytes held) twice a second until the run ends or so many are done."""
    process = psutil.Process(run.pid)
    while run.poll() is None:
        done = sum(e["event"] == "scan" and not e["resumed"] for e in events(out))
        try:
            yield done, process.memory_info().rss
        except psutil.NoSuchProcess:
            return
        if until is not None and done >= until:
            return
        time.sleep(0.5)


def bench_cohort(series: int) -> None:
    """1,000 small series."""
    import pandas as pd

    from tests.pipelines.cohort import write_cohort

    with tempfile.TemporaryDirectory(prefix="calcimap-bench-") as made:
        base = Path(made)
        reasons = write_cohort(base / "in", series)
        print(f"{series} series, {len(reasons)} bad in {len(set(reasons.values()))} ways by reason", flush=True)
        quiet = start(base / "in", base / "quiet", 1)
        quiet.wait()
        record = json.loads((base / "quiet" / "run.json").read_text())
        took = record["seconds"]
        analysis = sum(record["stages"][s]["sum_s"] for s in ("read", "analyse"))
        print(f"serial: {took:.0f} s, {1e3 * took / series:.0f} ms a scan, of which {1e3 * analysis / series:.0f} ms "
              f"reading and analysis: overhead {1e3 * (took - analysis) / series:.0f} ms a scan")  # fmt: skip
        out = base / "out"
        run = start(base / "in", out, 2)
        first = list(watched(run, out, series // 4))
        workers = [p for p in psutil.Process(run.pid).children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
        os.kill(workers[0].pid, signal.SIGKILL)
        first += list(watched(run, out, series // 2))
        run.kill()
        run.wait()
        time.sleep(2)
        again = start(base / "in", out, 2)
        second = list(watched(again, out))
        print(f"one worker killed, the run killed after {first[-1][0]} scans, resumed: exit code {again.wait()}")
        names = [f"{n}.parquet" for n in TABLES] + [f"{n}.csv" for n in TABLES if n not in ("excluded", "groups")]
        equal = [n for n in names if (base / "quiet" / n).read_bytes() == (out / n).read_bytes()]
        print(f"tables with the same bytes as the quiet serial run: {len(equal)} of {len(names)}")
        scans = pd.read_csv(out / "scans.csv")
        place = pd.read_csv(out / "key.csv")["path"].str.split("/").str[0]
        bad = scans.assign(name=place)[scans["status"] != "analysed"].set_index("name")["reason"].to_dict()
        print(f"refused or failed: {len(bad)}; exactly the bad ones with the right reason: {bad == reasons}")
        for title, seen in (("until killed", first), ("resumed", second)):
            half = (seen[0][0] + seen[-1][0]) / 2
            low, high = (max((b for d, b in seen if (d > half) == late), default=0) for late in (False, True))
            print(f"coordinator, {title}: peak {low / 1e6:.0f} MB in the first half, {high / 1e6:.0f} in the second")


def main() -> None:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scan", "workers", "cohort", "child"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--series", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--all-above", action="store_true")
    args = parser.parse_args()
    if args.what == "child":
        child(args.rest[0], Path(args.rest[1]), Path(args.rest[2]))
    elif args.what == "scan":
        bench_scan(args.slices, args.repeats or 3, args.all_above)
    elif args.what == "workers":
        bench_workers(args.slices, args.repeats or 10)
    else:
        bench_cohort(args.series or 1000)


if __name__ == "__main__":
    main()
