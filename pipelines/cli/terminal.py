"""What the command shows on the terminal while and after it works: log, progress bar, summary."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results import StudyResult
    from ..task import Outcome

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


def progress_bar() -> Callable[[int, int, Outcome | None], None] | None:
    """A progress bar for people; nothing where the output is no terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("scans"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("scans", total=None, note="")
    bar.start()

    def tell(done: int, total: int, outcome: Outcome | None) -> None:
        note = "" if outcome is None else f"{outcome.scan_id} {outcome.record['status']}"
        bar.update(task, completed=done, total=total, note=note)
        if done >= total:
            bar.stop()

    return tell


def print_summary(study: StudyResult, inputs: list[Path]) -> None:
    """Counts by status, refusals and failures with their reasons, and where the report lies."""
    counts = study.counts
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {len(study.findings)} findings")
    if not len(study.scans):
        print(f"no image series found under {', '.join(map(str, inputs))}; `calcimap inspect` lists every file")
    import pandas as pd

    from imaging import REASONS

    paths = dict(pd.read_csv(study.out / "key.csv", dtype=str)[["scan_id", "path"]].to_numpy())
    bad = study.scans[study.scans["status"].isin(["refused", "failed"])]
    for status, name, reason, message in bad[["status", "scan_id", "reason", "message"]].to_numpy():
        print(f"{status} {name} ({paths[name]}): {reason}: {message}")
    for name, left_out in study.scans[["scan_id", "not_written"]].dropna().to_numpy():
        for fmt, reason in (part.split(":") for part in left_out.split(";")):
            print(f"{fmt} not written for {name} ({paths[name]}): {REASONS[reason]}")
    if (study.out / "report.html").exists():
        print(f"report: {study.out / 'report.html'}")
