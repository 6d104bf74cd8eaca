"""Many scans: find, analyse each on its own, put the tables together. One bad scan never stops the rest."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imaging import EXCLUDED, FINDINGS, GROUPS, HYPOTHESES, Context, Found, Series, UsageError, conform, find_series

from . import provenance
from .config import Config
from .executors import WorkerDied, executor
from .results import SCANS, Failure, StudyResult
from .task import Outcome, Task, failed_row, perform, read_tables, resume
from .writers import WRITERS, check_formats, load
from .writers.tables import SCHEMAS, neutral, write_dictionary

log = logging.getLogger("calcimap")

DEFAULT_FORMATS = ("csv", "parquet", "nifti", "pictures", "report")
RUN = "run.json"
Progress = Callable[[int, int, Outcome | None], None]


@dataclass(frozen=True)
class _Entry:
    """A series with its input: what a row of ``scans`` and of key.csv is made from."""

    scan_id: str
    series: Series
    root: Path


def run(
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    config: Config | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    roi: str | Path | None = None,
    anatomy: str | Path | None = None,
    context: Context | None = None,
    overwrite: bool = False,
    fail_fast: bool = False,
    keep_identifiers: bool = False,
    progress: Progress | None = None,
) -> StudyResult:
    """Analyse every series under the inputs and write the output folder.

    Parameters
    ----------
    inputs : path or list of paths
        Folders and files.
    out : path
        New, empty, or an output folder of calcimap; nothing is written anywhere else.
    config : Config, optional
    jobs : int
        Worker processes on this machine; 1 works in this process.
    scheduler : str, optional
        Address of a running Dask cluster, used instead.
    formats : sequence of str
        Words of ``--formats``.
    roi : path, optional
        Masks whose union restricts the search: NIfTI, NRRD, DICOM SEG, RTSTRUCT, or a folder of them.
    anatomy : path, optional
        Organ masks of the same kinds: they name organ and side of findings and tell what is bone. The same masks are
        used for every scan, so they are of use for series of one patient and position.
    context : Context, optional
        What is known beside the images (`imaging.Context.load`), for the hypotheses.
    overwrite : bool
        Analyse again what is finished.
    fail_fast : bool
        Stop at the first series that is refused or fails; what is finished is written.
    keep_identifiers : bool
        Put DICOM identifiers into key.csv.
    progress : callable, optional
        Called with (done, total, outcome).

    Returns
    -------
    StudyResult

    Raises
    ------
    UsageError
        An input that does not exist, an unknown format, an output folder that is not ours or cannot be written.
    """
    started = time.time()
    config = config or Config()
    wanted = check_formats(tuple(formats))
    folder = claim(Path(out))
    roots = [Path(p) for p in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    for given, name in ((roi, "region of interest"), (anatomy, "anatomy")):
        if given is not None and not Path(given).exists():
            raise UsageError(f"the {name} does not exist; check its path", Path(given))
    found = [find_series(root, exclude=(folder,), params=config.reading) for root in roots]
    entries = _entries([s for f in found for s in f.series], found, config)
    aside = _entries([s for f in found for s in f.set_aside], found, config)
    log.info("%d series to analyse, %d set aside", len(entries), len(aside))

    masks = {k: None if p is None else Path(p) for k, p in (("roi", roi), ("anatomy", anatomy))}
    known = context or Context()
    tasks = [_task(e, config, folder, wanted, masks, known) for e in entries]
    outcomes = _perform_all(tasks, jobs, scheduler, overwrite, fail_fast, progress)
    rows = [
        outcomes[e.scan_id].record | _keys(e, config) if e.scan_id in outcomes else _skipped(t) | _keys(e, config)
        for e, t in zip(entries, tasks, strict=True)
    ]
    rows += [_set_aside(e) | _keys(e, config) for e in aside]
    ignored = {path: reason for f in found for path, reason in f.ignored.items()}
    study = _collect(folder, rows, ignored)
    for name in wanted:
        if WRITERS[name].run:
            load(WRITERS[name].run)(study)
    write_dictionary(folder)
    _write_key(folder, [*entries, *aside], keep_identifiers)
    _write_run(folder, config, tasks, outcomes, study, started)
    return study


def claim(out: Path, mark: str = RUN) -> Path:
    """The output folder, made if need be, marked as ours (by the file `mark`) before anything is written.

    Raises
    ------
    UsageError
        A file, a folder of somebody else, or not writable.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UsageError("the output is a file; give a folder", out)
        if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
            raise UsageError("the output folder is not empty and not written by calcimap; give another one", out)
        out.mkdir(parents=True, exist_ok=True)
        if not (out / mark).exists():
            (out / mark).write_text(json.dumps({"finished": False}) + "\n", encoding="utf-8")
        probe = out / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"the output folder cannot be used ({error.strerror}); check its permissions", out) from None
    return out.resolve()


def _entries(series: list[Series], found: list[Found], config: Config) -> list[_Entry]:
    roots = {id(s): f.root for f in found for s in [*f.series, *f.set_aside]}
    ids = provenance.scan_ids(series, config.privacy.salt)
    return [_Entry(name, s, roots[id(s)]) for name, s in zip(ids, series, strict=True)]


def _task(
    entry: _Entry, config: Config, out: Path, formats: tuple[str, ...], masks: dict[str, Path | None], context: Context
) -> Task:
    stamp = {"input": provenance.fingerprint(entry.series), "config": config.digest(), "version": provenance.version()}
    stamp |= {name: provenance.files(path) for name, path in masks.items() if path is not None}
    stamp["context"] = json.loads(json.dumps(context.to_dict()))
    folder = out / "scans" / entry.scan_id
    return Task(entry.scan_id, entry.series, config, folder, formats, stamp, **masks, context=context)


def _perform_all(
    tasks: list[Task], jobs: int, scheduler: str | None, overwrite: bool, fail_fast: bool, progress: Progress | None
) -> dict[str, Outcome]:
    """Outcome by scan_id; finished scans are kept, the others analysed."""
    outcomes = {} if overwrite else {t.scan_id: kept for t in tasks if (kept := resume(t))}
    todo = [t for t in tasks if t.scan_id not in outcomes]
    tell = progress or (lambda _done, _total, _outcome: None)
    tell(len(outcomes), len(tasks), None)
    if not todo:
        return outcomes
    with executor(min(jobs, len(todo)), scheduler) as workers:
        for task, result in workers.map(perform, todo):
            if isinstance(result, WorkerDied):
                message = "the worker process died, probably out of memory; run fewer jobs at a time"
                result = Outcome(task.scan_id, failed_row(task, Failure("failed", "worker_died", message)))
            outcomes[task.scan_id] = result
            status, reason = result.record["status"], result.record.get("reason", "")
            log.info("scan %s: %s %s", task.scan_id, status, reason)
            if result.trace:
                log.error("scan %s:\n%s", task.scan_id, result.trace)
            tell(len(outcomes), len(tasks), result)
            if fail_fast and status != "analysed":
                break
    return outcomes


def _skipped(task: Task) -> dict[str, Any]:
    message = "not analysed: the run stopped at an earlier failure (--fail-fast)"
    return failed_row(task, Failure("failed", "stopped", message))


def _set_aside(entry: _Entry) -> dict[str, Any]:
    row = {"scan_id": entry.scan_id, "status": "ignored", "reason": entry.series.set_aside}
    return row | {"modality": entry.series.modality, "message": "not an image series that calcimap analyses"}


def _keys(entry: _Entry, config: Config) -> dict[str, Any]:
    salt = config.privacy.salt
    return {
        "patient_key": provenance.key(entry.series.patient_identity, salt) or None,
        "study_key": provenance.key(entry.series.study_identity, salt) or None,
        "frame_key": provenance.key(entry.series.frame_of_reference, salt) or None,
        "n_files": len(entry.series.instances),
    }


def _collect(folder: Path, rows: list[dict[str, Any]], ignored: dict[Path, str]) -> StudyResult:
    """The tables of exactly this call, in the order in which the series were found."""
    scans = conform(pd.DataFrame(rows), SCANS)
    parts = [read_tables(folder / "scans" / r["scan_id"]) for r in rows if r["status"] == "analysed"]
    tables = {
        name: conform(pd.concat([p[name] for p in parts], ignore_index=True) if parts else pd.DataFrame(), columns)
        for name, columns in (
            ("findings", FINDINGS),
            ("excluded", EXCLUDED),
            ("groups", GROUPS),
            ("hypotheses", HYPOTHESES),
        )
    }
    return StudyResult(
        folder, tables["findings"], scans, tables["excluded"], tables["groups"], ignored, tables["hypotheses"]
    )


def _write_key(folder: Path, entries: list[_Entry], keep_identifiers: bool) -> None:
    """``key.csv``, readable by its owner only: scan_id and path relative to the input."""
    rows = []
    for e in entries:
        paths = e.series.paths
        base = e.root if e.root.is_dir() else e.root.parent
        common = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0]
        row = {"scan_id": e.scan_id, "path": os.path.relpath(common, base)}
        if keep_identifiers:
            row |= {"patient": e.series.patient_identity, "study": e.series.study_identity, "series": e.series.identity}
        rows.append(row)
    names = ["scan_id", "path", *(["patient", "study", "series"] if keep_identifiers else [])]
    text = neutral(pd.DataFrame(rows, columns=names, dtype="string")).to_csv(index=False, lineterminator="\n")
    draft = folder / ".key.csv"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.chmod(0o600)
    draft.replace(folder / "key.csv")


def _write_run(
    folder: Path,
    config: Config,
    tasks: list[Task],
    outcomes: dict[str, Outcome],
    study: StudyResult,
    started: float,
) -> None:
    """``run.json``: versions, configuration, hashes of inputs, timings. No paths."""
    record = {
        "finished": True,
        "started_unix_s": round(started, 3),
        "seconds": round(time.time() - started, 3),
        "versions": provenance.versions(),
        "config": config.to_dict(),
        "config_sha256": config.digest(),
        "context": tasks[0].context.to_dict() if tasks else {},
        "counts": study.counts,
        "ignored_files": pd.Series(list(study.ignored.values()), dtype="string").value_counts().sort_index().to_dict(),
        "scans": {
            t.scan_id: {
                "input_sha256": t.stamp["input"],
                "seconds": {k: round(v, 4) for k, v in outcomes[t.scan_id].seconds.items()},
                "resumed": outcomes[t.scan_id].resumed,
            }
            for t in tasks
            if t.scan_id in outcomes
        },
    }
    draft = folder / ".run.json"
    draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / RUN)


def load_study(out: Path) -> StudyResult:
    """The study in an output folder, for rewriting its report.

    Raises
    ------
    UsageError
        Not an output folder, or without Parquet tables.
    """
    if not (out / RUN).is_file():
        raise UsageError("not an output folder of calcimap (no run.json)", out)
    try:
        tables = {name: pd.read_parquet(out / f"{name}.parquet") for name in SCHEMAS if name != "burden"}
    except OSError:
        raise UsageError("the output folder holds no Parquet tables; run with --formats parquet", out) from None
    return StudyResult(out, **{name: conform(t, SCHEMAS[name]) for name, t in tables.items()}, ignored={})
