"""One series from files to files: what an executor runs. Whatever happens, it returns an `Outcome`."""

from __future__ import annotations

import json
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging import CalcimapError, Context, RefusedError, Series

from . import memory
from .config import Config
from .files import install, own_folder
from .results import ClipResult, Failure, ScanResult
from .scan import analyze, read, read_masks
from .schemas import PARTS, write_part
from .writers import WRITERS, Origin

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
    work: Path | None = None
    """Folder for what is not finished, on the same disk as `folder`; the folder above that by default."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task: the scan's row in ``scans``, how long it took and the most memory that its process held;
    results lie in the scan's folder.
    """

    scan_id: str
    record: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    trace: str = ""
    resumed: bool = False
    peak_mb: float | None = None


def perform(task: Task) -> Outcome:
    """Read, analyse and write one series; an error of any kind becomes a row with its reason."""
    clock = _Clock()
    memory.peak_bytes(reset=True)
    try:
        volume = clock("read", lambda: read(task.series, task.config.reading))
        masks = clock("read_masks", lambda: read_masks(task.masks, volume))
        how = {**masks, "scan_id": task.scan_id, "context": task.context}
        result = clock("analyse", lambda: analyze(volume, task.config, **how))
        record = clock("write", lambda: write_scan(result, task, clock.seconds))
    except CalcimapError as error:
        return _failed(task, Failure.of(error), clock)
    except MemoryError:
        failure = Failure("failed", "memory", "not enough memory; run fewer jobs at a time, or on a larger machine")
        return _failed(task, failure, clock)
    except OSError as error:
        message = f"files could not be read or written ({error.strerror}); check disk space and permissions"
        return _failed(task, Failure("failed", "output", message), clock)
    except Exception as error:  # the boundary: one bad scan never stops the batch
        # The text of a foreign exception may hold anything, a patient's name included; its type and place do not.
        frames = traceback.extract_tb(error.__traceback__)
        trace = "\n".join(
            [*(f"  {Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames), type(error).__name__]
        )
        message = f"an error inside calcimap ({type(error).__name__}); please report it"
        return _failed(task, Failure("failed", "internal", message, trace), clock)
    return Outcome(task.scan_id, record, clock.seconds, peak_mb=_peak_mb())


def resume(task: Task) -> Outcome | None:
    """The outcome of an earlier run if it is finished, from the same input, configuration and version."""
    try:
        kept = json.loads((task.folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if task.folder.is_symlink() or kept.get("stamp") != task.stamp:
        return None
    if not set(_scan_formats(task)) <= set(kept.get("formats", ())) or kept.get("files") != _sizes(task.folder):
        return None
    return Outcome(task.scan_id, kept["record"], kept["seconds"], resumed=True, peak_mb=kept["peak_mb"])


def write_scan(result: ScanResult | ClipResult, task: Task, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Write everything of one scan into its folder, a temporary one first: it is there whole or not at all.

    Returns
    -------
    dict
        The scan's row, which also says what could not be written and why: the scan stays analysed.
    """
    own_folder(task.folder.parent)
    draft = (task.work or task.folder.parent) / f".{task.scan_id}.{uuid.uuid4().hex[:8]}"
    draft.mkdir()
    started, left_out = time.perf_counter(), {}
    try:
        for name in PARTS:
            write_part(getattr(result, name), name, draft)
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
            "seconds": {**seconds, "write": time.perf_counter() - started},
            "peak_mb": _peak_mb(),
            "files": _sizes(draft),
        }
        (draft / RECORD).write_text(json.dumps(kept, indent=1, default=float), encoding="utf-8")
        install(draft, task.folder)
        return record
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    """Size of every file of a scan but its record: what a crash of the machine has cut off is not taken for whole."""
    return {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.name != RECORD}


def _scan_formats(task: Task) -> list[str]:
    return [name for name in task.formats if WRITERS[name].scan]


def _failed(task: Task, failure: Failure, clock: _Clock) -> Outcome:
    return Outcome(task.scan_id, failed_row(task, failure), clock.seconds, failure.trace, peak_mb=_peak_mb())


def _peak_mb() -> float | None:
    peak = memory.peak_bytes()
    return None if peak is None else round(peak / 1e6, 1)


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
