"""One series from files to files: what an executor runs. Whatever happens, it returns an `Outcome`."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from imaging import CalcimapError, Context, RefusedError, Series

from .config import Config
from .results import ClipResult, Failure, ScanResult
from .scan import analyze, read, read_masks
from .writers import WRITERS, Origin

TABLES = ("findings", "excluded", "groups", "hypotheses")
RECORD = "record.json"


@dataclass(frozen=True)
class Task:
    """One series to analyse.

    Parameters
    ----------
    scan_id : str
    series : Series
    config : Config
    folder : Path
        Where the scan's files go; made whole or not at all.
    formats : tuple of str
        Formats wanted; those with a scan writer are written here.
    stamp : dict
        What makes a finished scan still valid: hashes of input and configuration, version. Kept beside the results.
    masks : mapping of str to Path
        Files or folders with the region of interest (``roi``), organs (``anatomy``), and a segmentation to be measured
        as it is (``labels``); those that were given.
    context : Context
        What is known beside the images.
    """

    scan_id: str
    series: Series
    config: Config
    folder: Path
    formats: tuple[str, ...]
    stamp: dict[str, Any]
    masks: Mapping[str, Path] = field(default_factory=dict)
    context: Context = field(default_factory=Context)


@dataclass(frozen=True)
class Outcome:
    """What became of a task: the scan's row in ``scans`` and how long it took; results lie in the scan's folder."""

    scan_id: str
    record: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    trace: str = ""
    resumed: bool = False


def perform(task: Task) -> Outcome:
    """Read, analyse and write one series; an error of any kind becomes a row with its reason."""
    clock = _Clock()
    try:
        volume = clock("read", lambda: read(task.series, task.config.reading))
        masks = clock("read_masks", lambda: read_masks(task.masks, volume))
        how = {**masks, "scan_id": task.scan_id, "context": task.context}
        result = clock("analyse", lambda: analyze(volume, task.config, **how))
        record = clock("write", lambda: write_scan(result, task))
    except CalcimapError as error:
        return Outcome(task.scan_id, failed_row(task, Failure.of(error)), clock.seconds)
    except MemoryError:
        failure = Failure("failed", "memory", "not enough memory; run fewer jobs at a time, or on a larger machine")
        return Outcome(task.scan_id, failed_row(task, failure), clock.seconds)
    except OSError as error:
        message = f"files could not be read or written ({error.strerror}); check disk space and permissions"
        return Outcome(task.scan_id, failed_row(task, Failure("failed", "output", message)), clock.seconds)
    except Exception as error:  # the boundary: one bad scan never stops the batch
        logging.getLogger("calcimap").debug("unexpected error in scan %s", task.scan_id, exc_info=True)
        # The text of a foreign exception may hold anything, a patient's name included; its type and place do not.
        trace = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
        message = f"an error inside calcimap ({type(error).__name__}); please report it"
        failure = Failure("failed", "internal", message, trace)
        return Outcome(task.scan_id, failed_row(task, failure), clock.seconds, trace)
    return Outcome(task.scan_id, record, clock.seconds)


def resume(task: Task) -> Outcome | None:
    """The outcome of an earlier run if it is finished, from the same input, configuration and version."""
    try:
        kept = json.loads((task.folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept.get("stamp") != task.stamp or not set(_scan_formats(task)) <= set(kept.get("formats", ())):
        return None
    return Outcome(task.scan_id, kept["record"], kept["seconds"], resumed=True)


def write_scan(result: ScanResult | ClipResult, task: Task) -> dict[str, Any]:
    """Write everything of one scan into its folder, a temporary one first: it is there whole or not at all.

    Returns
    -------
    dict
        The scan's row, which also says what could not be written and why: the scan stays analysed.
    """
    task.folder.parent.mkdir(parents=True, exist_ok=True)
    draft = task.folder.with_name(f".{task.scan_id}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    started = time.perf_counter()
    try:
        for name in TABLES:
            getattr(result, name).to_parquet(draft / f"{name}.parquet", index=False)
        left_out = {}
        for name in _scan_formats(task):
            try:
                WRITERS[name].write_scan(result, draft, Origin(task.series, task.config))
            except RefusedError as error:
                left_out[name] = error.reason
        record = dict(result.record) | {"not_written": ";".join(f"{k}:{v}" for k, v in left_out.items()) or None}
        kept = {
            "stamp": task.stamp,
            "formats": _scan_formats(task),
            "record": record,
            "seconds": {"write": time.perf_counter() - started},
        }
        (draft / RECORD).write_text(json.dumps(kept, indent=1, default=float), encoding="utf-8")
        shutil.rmtree(task.folder, ignore_errors=True)
        draft.replace(task.folder)
        return record
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of a finished scan."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def _scan_formats(task: Task) -> list[str]:
    return [name for name in task.formats if WRITERS[name].scan]


def failed_row(task: Task, failure: Failure) -> dict[str, Any]:
    """The row of a series that was not analysed: what its header says, and no counts."""
    header = dict(task.series.header)
    row = {"scan_id": task.scan_id, "status": failure.status, "reason": failure.reason, "message": failure.message}
    return header | row | {"modality": task.series.modality, "flags": ";".join(task.series.flags)}


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[stage] = time.perf_counter() - started
