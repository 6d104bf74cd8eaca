"""Are patterns named right? Random objects of every class, imaged with blur and noise; prints confusion matrices.

    python tests/benchmarks/bench_patterns.py [--objects 50] [--slices 0.7,1,1.5,2.5,3,5] [--half test|tune] [--jobs 2]
    python tests/benchmarks/bench_patterns.py --markdown > matrices.md

Each object (`imaging.synthetic.examples`: size, form, HU, orientation, sub-voxel offset at random, at least 15 % away
from the bounds of its class) lies in soft tissue of 45 HU, imaged at 0.6 to 0.9 mm pixels, in-plane point spread 0.8 to
1.4 mm, box slice profile, correlated noise of 10 to 25 HU, and goes the way of a scan: detect (without separation from
bone) -> measure -> group -> name_patterns. An object's name is that of most of its voxels. Thresholds of rules were
tuned on the seeds of the half `tune`; the half `test` is what is reported. Above 1.5 mm only classes that the coarser
vocabulary has are drawn. Asserts nothing.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from imaging import DetectionParams, Volume, detect, group, measure, name_patterns
from imaging.patterns import COARSE_MM, FINE_MM
from imaging.synthetic import EXAMPLES, example, render
from imaging.synthetic.examples import TISSUE_HU

COARSE = ("punctate", "eggshell", "rim", "ring", "linear", "coarse", "solid", "amorphous")
IN_PLANE = ("punctate", "ring", "linear", "solid")
CALLED = {"eggshell": "rim"}
"""What the coarse vocabulary calls a class of the whole one."""
FIRST_SEED = {"tune": 0, "test": 100_000}
PRECISE = ("eggshell", "ring", "punctate")
MARGIN_MM = 7.0


@dataclass(frozen=True)
class Named:
    """One object: its class in the vocabulary of its slices, and the name it got ('missed' where nothing was found)."""

    slice_mm: float
    truth: str
    seed: int
    name: str
    reason: str


def classes(slice_mm: float) -> tuple[str, ...]:
    """Classes that are drawn at a slice spacing."""
    if slice_mm <= FINE_MM:
        return tuple(EXAMPLES)
    return COARSE if slice_mm <= COARSE_MM else IN_PLANE


def scene(pattern: str, slice_mm: float, seed: int) -> Volume:
    """The image of one random object, with a margin of tissue."""
    rng = np.random.default_rng([seed, list(EXAMPLES).index(pattern), round(slice_mm * 10)])
    things = example(pattern, rng, slice_mm)
    pixel = rng.uniform(0.6, min(0.9, max(slice_mm, 0.61)))
    spacing = (slice_mm, pixel, pixel)
    margin = np.array([MARGIN_MM, MARGIN_MM, MARGIN_MM - 1 + 2 * slice_mm])
    low = np.min([t.shape.bounds()[0] for t in things], axis=0) - margin
    high = np.max([t.shape.bounds()[1] for t in things], axis=0) + margin
    slices, rows, columns = (int(n) + 1 for n in np.ceil((high - low)[::-1] / spacing))
    return render(
        TISSUE_HU, things, (slices, rows, columns), spacing, origin=tuple(low), psf_fwhm_mm=rng.uniform(0.8, 1.4),
        noise_sd=rng.uniform(10, 25), seed=seed,
    ).volume  # fmt: skip


def name_one(job: tuple[str, float, int]) -> Named:
    """The whole way of one object."""
    pattern, slice_mm, seed = job
    detection = detect(scene(pattern, slice_mm, seed), DetectionParams(separate=False))
    truth = pattern if slice_mm <= FINE_MM else CALLED.get(pattern, pattern)
    if not len(detection):
        return Named(slice_mm, truth, seed, "missed", "nothing found")
    table = name_patterns(group(measure(detection), detection))
    name = str(table.groupby("pattern")["n_voxels"].sum().idxmax())
    largest = table.loc[table["n_voxels"].astype(int).idxmax()]
    return Named(slice_mm, truth, seed, name, str(largest["pattern_reason"]))


def run(slices: list[float], objects: int, half: str, jobs: int) -> pd.DataFrame:
    """One row per object."""
    seeds = range(FIRST_SEED[half], FIRST_SEED[half] + objects)
    work = [(pattern, s, seed) for s in slices for pattern in classes(s) for seed in seeds]
    if jobs == 1:
        return pd.DataFrame([name_one(job) for job in work])
    with ProcessPoolExecutor(jobs) as pool:
        return pd.DataFrame(list(pool.map(name_one, work, chunksize=10)))


def scores(found: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall and F1 of every class."""
    rows = {}
    for name in dict.fromkeys(found["truth"]):
        hit = int(((found["truth"] == name) & (found["name"] == name)).sum())
        called, real = int((found["name"] == name).sum()), int((found["truth"] == name).sum())
        rows[name] = (hit / called if called else np.nan, hit / real, 2 * hit / (called + real))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["precision", "recall", "F1"])


def confusion(found: pd.DataFrame) -> pd.DataFrame:
    """Truth down, name across, in the order of the vocabulary."""
    order = list(dict.fromkeys(found["truth"]))
    extra = sorted(set(found["name"]) - set(order))
    return pd.crosstab(found["truth"], found["name"]).reindex(index=order, columns=order + extra, fill_value=0)


def _markdown(table: pd.DataFrame) -> str:
    head = ["", *map(str, table.columns)]
    body = [[str(i), *(str(v) if v else "" for v in row)] for i, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *body])


def main() -> None:
    """Print confusion matrices, F1 and the precision of the patterns that matter most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--slices", type=lambda t: [float(s) for s in t.split(",")], default="0.7,1,1.5,2.5,3,5")
    parser.add_argument("--half", choices=list(FIRST_SEED), default="test")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--table", help="write one row per object to this CSV file")
    options = parser.parse_args()
    slices = options.slices if isinstance(options.slices, list) else [float(s) for s in options.slices.split(",")]
    started = time.perf_counter()
    every = run(slices, options.objects, options.half, options.jobs)
    if options.table:
        every.to_csv(options.table, index=False)
    for slice_mm, found in every.groupby("slice_mm"):
        made = scores(found)
        precise = ", ".join(f"{n} {made.loc[n, 'precision']:.2f}" for n in PRECISE if n in made.index)
        title = f"{slice_mm:g} mm slices, {len(found)} objects: macro-F1 {made['F1'].mean():.3f}; precision {precise}"
        if options.markdown:
            print(f"### {title}\n\n{_markdown(confusion(found))}\n")
            continue
        print(f"\n{title}\n{confusion(found).to_string()}\n{made.round(3).T.to_string()}")
        for row in found[found["truth"] != found["name"]].itertuples():
            print(f"  {row.truth} {row.seed} -> {row.name}: {row.reason}")
    if not options.markdown:
        print(f"\n{len(every)} objects in {time.perf_counter() - started:.0f} s, half {options.half!r}")


if __name__ == "__main__":
    main()
