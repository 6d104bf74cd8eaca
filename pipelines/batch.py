"""Many scans: find, analyse each on its own, put the tables together. One bad scan never stops the rest."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from imaging import Context, UsageError, conform

from . import memory, summary
from .config import Config
from .executors import Executor, Job, Limits, Lost, NoWorkersError, executor
from .journal import Journal
from .merging import merge
from .place import RUN, Place, claimed, mark_unfinished
from .plan import Conditions, Entry, Plan, Shard, survey
from .results import Failure, StudyResult
from .schemas import PARTS, SCHEMAS, plain_memory, write_part
from .task import Outcome, Task, failed_row, perform, resume
from .writers import WRITERS, check_formats, load
from .writers.tables import CSV, write_dictionary

DEFAULT_FORMATS = ("csv", "parquet", "nifti", "pictures", "viewer", "report")
SHARE_OF_MEMORY = 0.9
DIED = "the worker process died, and again when it had the machine to itself; too large, or its codec crashes"
SLOW = "the analysis took longer than batch.time_limit_s; raise it, or analyse a part of the scan"
STOPPED = "not analysed: the run was stopped before; run again to go on"


@dataclass(frozen=True)
class Advance:
    """How far a run is.

    Parameters
    ----------
    done, total : int
        Scans.
    share : float
        Of the work, by the size of the scans, 0 to 1: large scans come first.
    outcome : Outcome, optional
        What was finished last.
    """

    done: int
    total: int
    share: float
    outcome: Outcome | None = None


Progress = Callable[[Advance], None]


def run(
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    config: Config | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    shard: str = "1/1",
    formats: Sequence[str] = DEFAULT_FORMATS,
    roi: str | Path | None = None,
    anatomy: str | Path | None = None,
    labels: str | Path | None = None,
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
    jobs : int, optional
        Worker processes on this machine; 1 works in this process. By default as many as there are cores, memory for the
        scans and work to be worth it.
    scheduler : str, optional
        Address of a running Dask cluster, used instead. Its workers must see inputs and output at the same paths.
    shard : str
        ``i/n``: only the i-th of n parts of the scans; tables go to ``shards/i-of-n``. Run once without it at the end.
    formats : sequence of str
        Words of ``--formats``.
    roi : path, optional
        Masks whose union restricts the search: NIfTI, NRRD, DICOM SEG, RTSTRUCT, or a folder of them.
    anatomy : path, optional
        Organ masks of the same kinds: they name organ and side of findings and tell what is bone. The same masks are
        used for every scan, so they are of use for series of one patient and position.
    labels : path, optional
        A segmentation on which nothing is searched for: each label (NIfTI, NRRD) or segment (DICOM SEG) is a finding
        and keeps its number. Series that it does not belong to are refused.
    context : Context, optional
        What is known beside the images (`imaging.Context.load`), for the hypotheses.
    overwrite : bool
        Analyse again what is finished.
    fail_fast : bool
        Stop at the first series that is refused or fails; what is finished is written.
    keep_identifiers : bool
        Put DICOM identifiers into key.csv.
    progress : callable, optional
        Called with an `Advance` after every scan.

    Returns
    -------
    StudyResult
        A view of the tables on disk.

    Raises
    ------
    UsageError
        An input that does not exist, an unknown format, an output folder that is not ours, is in use or cannot be
        written.
    KeyboardInterrupt
        After Ctrl-C, once the tables hold what is done.
    """
    config, part = config or Config(), Shard.parse(shard)
    wanted = check_formats(tuple(formats))
    roots = [Path(p) for p in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    masks = {k: Path(p) for k, p in (("roi", roi), ("anatomy", anatomy), ("labels", labels)) if p is not None}
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    with contextlib.ExitStack() as held:
        held.enter_context(plain_memory())
        place = held.enter_context(claimed(Path(out), part.name if part.of > 1 else ""))
        journal = held.enter_context(Journal(place.tables))
        for name, mask in masks.items():
            if not mask.exists():
                raise UsageError(f"the file given as {name} does not exist; check its path", mask)
        if {"roi", "labels"} <= masks.keys():
            raise UsageError("a region of interest restricts the search; nothing is searched for with labels given")
        _rehearse(place, wanted)
        plan = survey(roots, place.out, config, part)
        conditions = Conditions(config, wanted, place.out, place.work, masks, context or Context())
        notes = held.enter_context(contextlib.closing(summary.Notes(place.work / "notes")))
        work = _Work(plan, conditions, place, notes, journal, progress or (lambda _: None))
        mark_unfinished(place.tables)
        journal.event("start", scans=len(plan.wanted), set_aside=len(plan.entries) - len(plan.wanted), shard=shard,
                      ignored_files=len(plan.ignored), config_sha256=config.digest())  # fmt: skip
        stopped: BaseException | None = None
        try:
            work.go(jobs, scheduler, overwrite=overwrite, fail_fast=fail_fast)
        except (KeyboardInterrupt, NoWorkersError) as reason:
            stopped = reason
            journal.event("stopped", logging.INFO, "stopped before the end; tables hold what is done")
        study = _write(work, wanted, keep_identifiers, finished=stopped is None)
        journal.event("end", counts=study.counts)
        if isinstance(stopped, KeyboardInterrupt):
            raise stopped
    return study


class _Work:
    """The scans of a run on their way: what is done lies on disk, and here only how it ended."""

    def __init__(
        self, plan: Plan, conditions: Conditions, place: Place, notes: summary.Notes, journal: Journal, tell: Progress
    ) -> None:
        self.plan, self.conditions, self.place, self.notes = plan, conditions, place, notes
        self._journal, self._tell = journal, tell
        self._stamp = conditions.stamp()
        self._total = sum(e.seconds for e in plan.wanted) or 1.0
        self._share = 0.0

    def go(self, jobs: int | None, scheduler: str | None, *, overwrite: bool, fail_fast: bool) -> None:
        """Do what is not done, large scans first, then once more and alone what took its worker with it."""
        todo = [e for e in self.plan.wanted if overwrite or not self._kept(e)]
        self._tell(Advance(self.notes.done, len(self.plan.wanted), self._share))
        todo.sort(key=lambda e: (fail_fast and e.seconds > 0, -e.seconds))  # what its header refuses takes 0
        if not todo:
            return
        available = int(self.conditions.config.batch.memory_gb * 1e9 or SHARE_OF_MEMORY * memory.machine_bytes())
        if jobs is None:
            jobs = memory.default_jobs((e.memory for e in todo), sum(e.seconds for e in todo), available)
        jobs = min(jobs, len(todo))
        worker_memory = min(available, int(memory.HEADROOM * todo[0].memory))
        limits = Limits(self.place.work, self.conditions.config.batch.time_limit_s, 0 if scheduler else available)
        self._journal.event("workers", own=scheduler is None, jobs=jobs, worker_memory_mb=worker_memory // 1_000_000)
        with executor(jobs, limits, scheduler, worker_memory=worker_memory) as workers:
            self._journal.event("ready", jobs=jobs)
            again = self._pass(workers, todo, fail_fast=fail_fast, last=False)
        if again:
            with executor(1, limits, scheduler, worker_memory=available, alone=True) as worker:
                self._pass(worker, again, fail_fast=fail_fast, last=True)

    def _kept(self, entry: Entry) -> bool:
        """Whether an earlier run finished the scan; noted if so."""
        outcome = resume(self.conditions.task(entry, self._stamp))
        if outcome is not None:
            self._note(entry, outcome)
        return outcome is not None

    def _pass(self, workers: Executor, todo: list[Entry], *, fail_fast: bool, last: bool) -> list[Entry]:
        """Analyse; gives back those to be done again, alone."""
        by_name = {e.scan_id: e for e in todo}
        again: list[Entry] = []
        for job, result in workers.map(perform, self._jobs(todo)):
            entry = by_name[job.name]
            task = self.conditions.task(entry, self._stamp)
            if not last and _short_of_memory(result):
                again.append(entry)
                self._journal.event("again", logging.WARNING, f"{entry.scan_id} took its worker with it, or ran out "
                                    "of memory; once more at the end, alone", scan_id=entry.scan_id)  # fmt: skip
                continue
            if isinstance(result, Lost):
                message = SLOW if result.reason == "timeout" else DIED
                result = Outcome(entry.scan_id, failed_row(task, Failure("failed", result.reason, message)))
            self._note(entry, result)
            self._tell(Advance(self.notes.done, len(self.plan.wanted), self._share, result))
            if fail_fast and result.record["status"] != "analysed":
                return []
        return again

    def _jobs(self, todo: list[Entry]) -> Iterator[Job[Task]]:
        for entry in todo:
            yield Job(self.conditions.task(entry, self._stamp), entry.scan_id, entry.memory)

    def _note(self, entry: Entry, outcome: Outcome) -> None:
        self.notes.add(outcome)
        self._share += entry.seconds / self._total
        self._journal.outcome(outcome)

    def rows(self) -> Iterator[tuple[dict[str, Any], Path | None]]:
        """Each scan's row and the folder of its parts, in the order in which the series were found."""
        for entry in self.plan.entries:
            row = self.notes.row(entry.scan_id)
            if entry.aside:
                row = {"scan_id": entry.scan_id, "status": "ignored", "reason": entry.aside}
                row |= {"modality": entry.series.modality, "message": "not an image series that calcimap analyses"}
            elif row is None:
                task = self.conditions.task(entry, self._stamp)
                row = failed_row(task, Failure("failed", "stopped", STOPPED))
            analysed = row["status"] == "analysed"
            yield row | entry.keys, self.place.out / "scans" / entry.scan_id if analysed else None


def _short_of_memory(result: Outcome | Lost) -> bool:
    if isinstance(result, Lost):
        return result.reason == "worker_died"
    return result.record.get("reason") == "memory"


def _write(work: _Work, formats: tuple[str, ...], keep_identifiers: bool, *, finished: bool) -> StudyResult:
    """The tables of exactly this call, from the parts on disk; what an earlier call left beside them goes."""
    place = work.place
    tables = place.tables if "parquet" in formats else place.parquet
    tables.mkdir(exist_ok=True)
    merge(tables, work.rows())
    study = StudyResult(place.tables, tables, work.plan.ignored)
    write_run = partial(summary.write_run, place.tables, work.plan, work.conditions, work.notes, study)
    write_run(finished=False)  # the report says what was run
    for name in formats:
        if WRITERS[name].run:
            load(WRITERS[name].run)(study)
    stale = {"csv": [f"{t}.csv" for t in CSV], "parquet": [f"{t}.parquet" for t in SCHEMAS], "report": ["report.html"]}
    for name, files in stale.items():
        for file in files if name not in formats else ():
            (place.tables / file).unlink(missing_ok=True)
    write_dictionary(place.tables)
    summary.write_key(place.tables, work.plan.entries, keep_identifiers)
    write_run(finished=finished)
    return study


def _rehearse(place: Place, formats: tuple[str, ...]) -> None:
    """Write the tables of a run without findings into the folder for what is not finished.

    What is in the way of tables and report shows before the night and not after it, and their libraries are loaded.
    """
    folder = place.work / "rehearsal"
    (folder / "tables").mkdir(parents=True)
    for name in PARTS:
        write_part(conform(pd.DataFrame(), SCHEMAS[name]), name, folder)
    merge(folder / "tables", [({"scan_id": "none", "status": "analysed", "modality": "CT", "flags": ""}, folder)])
    for name in formats:
        if WRITERS[name].run:
            load(WRITERS[name].run)(StudyResult(folder / "tables", folder / "tables"))
    shutil.rmtree(folder)


def load_study(out: Path) -> StudyResult:
    """The study in an output folder, for rewriting its report.

    Raises
    ------
    UsageError
        Not an output folder, or without tables.
    """
    if not (out / RUN).is_file():
        raise UsageError("not an output folder of calcimap (no run.json)", out)
    places = [p for p in (out, out / ".work" / "all-tables") if all((p / f"{n}.parquet").is_file() for n in SCHEMAS)]
    if not places:
        raise UsageError("the output folder holds no tables; let the run finish", out)
    ignored: dict[Path, str] = {}
    with contextlib.suppress(OSError, ValueError, KeyError):
        counts = json.loads((out / RUN).read_text(encoding="utf-8"))["ignored_files"]
        ignored = {Path(f"{reason}/{k}"): reason for reason, n in counts.items() for k in range(n)}
    return StudyResult(out, places[0], ignored)
