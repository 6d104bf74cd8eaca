"""Mutated files through find_series, read_volume and read_clip, in processes with an address-space limit.

    python -m tests.fuzz.run [--count 10000] [--first 0] [--jobs 2]

Prints how they ended, and every mutant that ended otherwise than read or in a CalcimapError, took more than 2 s, or
killed its process. ``--first N --count 1`` runs one mutant again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS, EXTRA_BYTES = 2.0, 1 << 30


@dataclass
class Outcome:
    """What came of a range of mutants."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    extra_mb: float = 0.0

    def add(self, other: Outcome) -> None:
        """Together with another range."""
        self.counts += other.counts
        self.wrong += other.wrong
        self.slowest, self.extra_mb = max(self.slowest, other.slowest), max(self.extra_mb, other.extra_mb)


def limit_memory(extra: int = EXTRA_BYTES) -> int:
    """Allow this process `extra` bytes of address space more than it has; its resident peak so far, kB."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def examine(path: Path) -> str:
    """How a file ends, in a few words: the first of `examine_all`."""
    return next(iter(examine_all(path)), "nothing")


def examine_all(path: Path) -> list[str]:
    """How a file or folder ends: ``read``, ``refused: ...``, or ``ignored: ...`` for each series and file."""
    from imaging import CalcimapError, find_series, read_clip, read_volume

    try:
        found = find_series(path)
    except CalcimapError as error:
        return [f"find: {error.reason}"]
    words = [f"ignored: {reason}" for reason in found.ignored.values()]
    for series in found.series:
        try:
            if series.modality == "US":
                volume = read_clip(series)
                for _ in volume.frames:
                    pass
            else:
                volume = read_volume(series)
            words.append(f"read{': ' if volume.flags else ''}{', '.join(volume.flags)}")
        except CalcimapError as error:
            words.append(f"refused: {error.reason}")
    return words


def work(first: int, count: int) -> None:
    """Worker: one JSON line before and after each mutant."""
    from tests.fuzz.mutants import mutant, seeds, write

    known = seeds()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in known.items():
            print(json.dumps(["seed", file, examine(write(folder, file, data)), 0]), flush=True)
        before = limit_memory()
        for number in range(first, first + count):
            file, data = mutant(number, known)
            path = write(folder, file, data)
            print(json.dumps(["begin", number, file, 0]), flush=True)
            started = time.perf_counter()
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    word = examine(path)
                if said:  # a warning shows values of the header on the terminal
                    word = f"ESCAPED warning {said[0].message}"
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                word = f"ESCAPED {type(error).__name__}: {str(error)[:200]}"
            print(json.dumps(["end", number, word, time.perf_counter() - started]), flush=True)
            path.unlink()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(["peak", 0, "", (peak - before) / 1024]), flush=True)


def run(first: int, count: int) -> Outcome:
    """Mutants `first` to `first + count`, in new processes as often as one dies."""
    outcome, at, last = Outcome(), first, first + count
    while at < last:
        command = [sys.executable, "-m", "tests.fuzz.run", "--work", str(at), str(last - at)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        begun = -1
        for line in done.stdout.splitlines():
            kind, number, word, value = json.loads(line)
            if kind == "seed" and not word.startswith(("read", "refused: unsupported", "ignored: archived")):
                outcome.wrong.append(f"seed {number}: {word}")
            elif kind == "begin":
                begun = number
            elif kind == "end":
                at = number + 1
                outcome.counts[word.split(":", 1)[0] if word.startswith(("ESCAPED", "read")) else word] += 1
                outcome.slowest = max(outcome.slowest, value)
                if word.startswith("ESCAPED") or value > SECONDS:
                    outcome.wrong.append(f"{number}: {word} after {value:.2f} s")
            elif kind == "peak":
                outcome.extra_mb = max(outcome.extra_mb, value)
        if at < last:  # the process died
            outcome.counts["DIED"] += 1
            outcome.wrong.append(f"{begun}: died with {done.returncode}: {done.stderr.strip()[-300:]}")
            if begun < at:
                break  # before its first mutant
            at = begun + 1
    return outcome


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    size = -(-options.count // options.jobs)
    starts = range(options.first, options.first + options.count, size)
    started, total = time.perf_counter(), Outcome()
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(run, starts, [min(size, options.first + options.count - s) for s in starts]):
            total.add(outcome)
    for word, number in total.counts.most_common():
        print(f"{number:7d} {word}")
    print(
        f"{sum(total.counts.values())} mutants in {time.perf_counter() - started:.0f} s, slowest {total.slowest:.2f} s"
    )
    print(f"resident memory grew by {total.extra_mb:.0f} MB at most; {len(total.wrong)} ended otherwise than they may")
    for line in total.wrong:
        print(line)


if __name__ == "__main__":
    main()
