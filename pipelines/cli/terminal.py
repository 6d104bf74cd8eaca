"""What the command shows on the terminal while and after it works: log, progress bar, summary."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch import Advance
    from ..results import StudyResult

LINE_EVERY_S = 60.0
MOST_NAMED = 3
"""Scans that a line about many names."""
LEVELS = ("debug", "info", "warning", "error")


def set_up_logging(level: str, file: Path | None) -> None:
    """Send the log of calcimap to a file, or to the terminal."""
    from imaging import UsageError

    if level not in LEVELS:
        raise UsageError(f"--log-level must be one of {', '.join(LEVELS)}, got {level!r}")
    logger = logging.getLogger("calcimap")
    logger.setLevel(level.upper())
    try:
        handler = logging.StreamHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the log file cannot be written ({error.strerror}); give another path", file) from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)


class Pace:
    """How fast it goes and how long it will take, by the work done since the start: kept scans are no work."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._kept: tuple[int, float] | None = None

    def text(self, now: Advance) -> str:
        """As "12.3 scans a minute, 4 min left"; empty before the first scan is done."""
        if self._kept is None:
            self._kept = now.done, now.share
        done, share, took = now.done - self._kept[0], now.share - self._kept[1], time.monotonic() - self.started
        if not done or share <= 0 or took <= 0:
            return ""
        left = took * max(0.0, 1 - now.share) / share
        return f"{60 * done / took:.1f} scans a minute, {_span(left)} left"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def progress() -> Callable[[Advance], None]:
    """A progress bar on a terminal; elsewhere a line every minute."""
    return progress_bar() if sys.stderr.isatty() else progress_lines()


def progress_lines() -> Callable[[Advance], None]:
    """A line on the error stream every minute, for logs of batch systems."""
    pace, last = Pace(), [time.monotonic()]

    def tell(now: Advance) -> None:
        text = pace.text(now)
        if text and time.monotonic() - last[0] >= LINE_EVERY_S:
            last[0] = time.monotonic()
            print(f"{now.done} of {now.total} scans, {text}", file=sys.stderr, flush=True)

    return tell


def progress_bar() -> Callable[[Advance], None]:
    """A progress bar with rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("scans"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("scans", total=None, note="")
    bar.start()
    pace = Pace()

    def tell(now: Advance) -> None:
        bar.update(task, completed=now.done, total=now.total, note=pace.text(now))
        if now.done >= now.total:
            bar.stop()

    return tell


def print_summary(study: StudyResult, inputs: list[Path]) -> None:
    """Counts by status, refusals and failures with their reasons, and where the report lies."""
    counts = study.counts
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {study.count('findings')} findings")
    if not study.count("scans"):
        print(f"no image series found under {', '.join(map(str, inputs))}; `calcimap inspect` lists every file")
    import pandas as pd

    from imaging import REASONS

    paths = dict(pd.read_csv(study.out / "key.csv", dtype=str)[["scan_id", "path"]].to_numpy())
    scans = study.columns("scans", ["status", "scan_id", "reason", "message"])
    bad = scans[scans["status"].isin(["refused", "failed"])]
    for status, name, reason, message in bad[["status", "scan_id", "reason", "message"]].to_numpy():
        print(f"{status} {name} ({paths[name]}): {reason}: {message}")
    left_out: dict[str, list[str]] = {}
    for name, parts in study.columns("scans", ["scan_id", "not_written"]).dropna().to_numpy():
        for part in parts.split(";"):
            left_out.setdefault(part, []).append(paths[name])
    for part, where in sorted(left_out.items()):
        fmt, _, reason = part.partition(":")
        more = f" and {len(where) - MOST_NAMED} more (scans.csv, not_written)" if len(where) > MOST_NAMED else ""
        print(f"{fmt} not written for {', '.join(where[:MOST_NAMED])}{more}: {REASONS[reason]}")
    if (study.out / "report.html").exists():
        print(f"report: {study.out / 'report.html'}")
