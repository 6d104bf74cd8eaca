"""How well findings are matched across scans, and changes called: pairs of phantoms with known motion and known fate.

    python tests/benchmarks/bench_followup.py pairs --first 0 --last 100 [--breath 10] [--unchanged]
    python tests/benchmarks/bench_followup.py real FOLDER_OR_FILE...    # a scan against copies of itself, and others
    python tests/benchmarks/bench_followup.py speed                     # two scans of 400 slices, 100 findings each

Pairs: shifts up to 20 mm, turns up to 10 degrees, with --breath soft tissue moves by up to so many mm; foci grow by
twice the limit, vanish, appear, split and merge. Printed: F1 of who is who, calls by fate, and errors of place.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path[:0] = [str(Path(__file__).parents[2])]

from imaging import (  # noqa: E402
    SAME_THRESHOLD_HU,
    CalcimapError,
    Comparison,
    DetectionParams,
    Exam,
    RefusedError,
    Volume,
    compare,
    detect,
    find_series,
    read_volume,
)
from imaging.followup.compare import register_exams  # noqa: E402
from imaging.synthetic import correlated_noise  # noqa: E402
from tests.imaging.followup.phantoms import Pair, judged, pair  # noqa: E402


def run_pair(seed: int, breath: float, changes: bool) -> tuple[Pair, Comparison] | None:
    rng = np.random.default_rng(seed + 10_000)
    made = pair(
        seed,
        count=int(rng.integers(20, 61)),
        shift_mm=20 * rng.uniform(0.2, 1),
        turn_deg=10 * rng.uniform(0.2, 1),
        amplitude=breath * rng.uniform(0.5, 1),
        changes=changes,
    )
    try:
        return made, compare(*(Exam.of(detect(v)) for v in (made.before, made.after)))
    except RefusedError as error:
        print(f"{seed}: refused, {error.message}")
        return None


def pairs(options: argparse.Namespace) -> None:
    totals, calls, methods = np.zeros(3, int), Counter[tuple[str, str]](), Counter[str]()
    errors, refused = [], 0
    for seed in range(options.first, options.last):
        done = run_pair(seed, options.breath, not options.unchanged)
        if done is None:
            refused += 1
            continue
        made, comparison = done
        counts, states = judged(made, comparison)
        totals += counts
        calls.update(states)
        methods[comparison.registration.method] += 1
        if len(comparison.before):
            truth = made.forward(comparison.before.centroids)
            errors.append(np.linalg.norm(comparison.matching.places - truth, axis=1))
        hit, wrong, missed = (int(n) for n in counts)
        odd = {f"{a} as {b}": n for (a, b), n in Counter(states).items() if a != b and b != "not_seen"}
        print(f"{seed}: {hit} right, {wrong} wrong, {missed} missed {odd or ''}", flush=True)
    hit, wrong, missed = (int(n) for n in totals)
    apart = np.concatenate(errors) if errors else np.zeros(1)
    print(f"\n{options.last - options.first} pairs, {refused} refused, registered {dict(methods)}")
    print(f"place: median {np.median(apart):.2f} mm, 95 % within {np.quantile(apart, 0.95):.2f} mm")
    print(f"F1 {2 * hit / max(2 * hit + wrong + missed, 1):.4f} ({hit} right, {wrong} wrong, {missed} missed)")
    for (fate, state), n in sorted(calls.items()):
        print(f"  {fate:10} called {state:15} {n}")
    same = {s: calls["stable", s] for s in ("stable", "increased", "decreased")}
    grown = {s: calls["increased", s] for s in ("stable", "increased", "decreased")}
    if sum(same.values()):
        print(f"false change: {1 - same['stable'] / sum(same.values()):.2%} of {sum(same.values())}")
    if sum(grown.values()):
        print(
            f"growth of twice the limit found: {grown['increased'] / sum(grown.values()):.2%} of {sum(grown.values())}"
        )


def copies(volume: Volume, seed: int = 1) -> dict[str, Volume]:
    """A scan and what becomes of it: itself, noisier, thicker slices, moved by 7.3 mm, smoother."""
    rng = np.random.default_rng(seed)
    values = volume.array.astype(np.float32)

    def made(array: np.ndarray, **changes: object) -> Volume:
        return volume.replace(array=np.rint(array).astype(np.int16), **changes)

    noise = correlated_noise(volume.shape, 15.0, rng)
    shift = np.array([4.0, 4.5, -4.0]) / volume.spacing
    moved = ndimage.shift(values, shift, order=1, mode="nearest")
    whole = values[: volume.shape[0] // 2 * 2]
    wide = volume.affine.copy()
    wide[:3, 3] += volume.affine[:3, 0] / 2
    wide[:3, 0] *= 2
    thick = {"affine": wide, "valid": None}
    return {
        "itself": volume,
        "noisier": made(values + noise),
        "thicker": made(whole.reshape(-1, 2, *whole.shape[1:]).mean(axis=1), **thick),
        "moved": made(moved),
        "smoother": made(ndimage.gaussian_filter(values, (0, 1, 1)))
        .replace(header=dict(volume.header) | {"convolution_kernel": "SMOOTHER"}),
    }  # fmt: skip


def levelled(*exams: Exam) -> list[Exam]:
    """Both measured above the higher threshold where they differ, as the command does."""
    levels = [e.number("threshold_grow_hu") for e in exams]
    params = DetectionParams(threshold_hu=max(levels))
    return [
        e if max(levels) - level <= SAME_THRESHOLD_HU or e.image is None else Exam.of(detect(e.image, params))
        for e, level in zip(exams, levels, strict=True)
    ]


def real(options: argparse.Namespace) -> None:
    exams = {}
    for name, k, series in ((n, k, s) for n in options.inputs for k, s in enumerate(find_series(n).series)):
        try:
            volume = read_volume(series)
        except CalcimapError as error:
            print(f"{name}-{k}: {error.reason}")
            continue
        exams[f"{Path(name).name}-{k}"] = Exam.of(detect(volume))
    for name, exam in exams.items():
        if exam.components.shape[0] < 10:
            continue
        for how, volume in copies(exam.image).items():  # type: ignore[arg-type]
            started = time.perf_counter()
            try:
                c = compare(*levelled(exam, Exam.of(detect(volume))))
            except RefusedError as error:
                print(f"{name} against {how}: refused, {error.message}", flush=True)
                continue
            seconds = time.perf_counter() - started
            why = f"; {c.comparability.reason}" if c.comparability.reason else ""
            agrees = c.registration.before
            print(
                f"{name} ({len(exam)}) against {how} ({len(c.after)}): {c.registration.method}, agreement "
                f"{agrees.share if agrees else float('nan'):.2f}, {c.counts}{why} [{seconds:.0f} s]", flush=True
            )  # fmt: skip
    for (a, one), (b, two) in () if options.copies else itertools.permutations(exams.items(), 2):
        try:
            found = register_exams(one, two)
            print(f"{a} and {b}: ACCEPTED {found.before}", flush=True)
        except RefusedError as error:
            print(f"{a} and {b}: refused, {error.message[:75]}", flush=True)


def enlarged(volume: Volume, shape: tuple[int, int, int]) -> Volume:
    """The volume on a finer grid of the same extent: rendering one of this size takes minutes."""
    factors = np.array(shape) / volume.shape
    values = ndimage.zoom(volume.array, factors, order=1, grid_mode=True, mode="nearest")
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] / factors
    affine[:3, 3] = volume.to_world((1 / factors - 1) / 2)
    return Volume(values, affine)


def speed(options: argparse.Namespace) -> None:
    shape = (400, options.size, options.size)
    made = pair(5, count=120, amplitude=6, shape=(150, 174, 190), spacing=(2.0, 2.0, 2.0), diameters=(6.0, 10.0))
    scans = [enlarged(v, shape) for v in (made.before, made.after)]
    exams = [Exam.of(detect(v)) for v in scans]
    volumes = sum(v.array.nbytes for v in scans)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started, cpu = time.perf_counter(), time.process_time()
    c = compare(*exams)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{len(exams[0])} and {len(exams[1])} findings in {shape}: {seconds:.1f} s, {cpu:.1f} s of processor")
    print(f"both scans {volumes / 1e6:.0f} MB; peak of the process {peak / 1e6:.0f} MB ({before / 1e6:.0f} MB before)")
    print(c.registration.method, c.counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("pairs")
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--last", type=int, default=20)
    one.add_argument("--breath", type=float, default=0.0)
    one.add_argument("--unchanged", action="store_true")
    one.set_defaults(do=pairs)
    two = commands.add_parser("real")
    two.add_argument("inputs", nargs="+")
    two.add_argument("--copies", action="store_true", help="not against each other")
    two.set_defaults(do=real)
    three = commands.add_parser("speed")
    three.add_argument("--size", type=int, default=512)
    three.set_defaults(do=speed)
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()
