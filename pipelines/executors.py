"""Where the work on scans is done: in this process, or on Dask workers.

One interface: ``map(function, jobs)`` gives (job, result) as results come, and `Lost` for a job whose worker did not
live to see the end of it. As many jobs are under way as there are workers, fewer where their memory would not suffice.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from imaging import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE_S = 60.0
"""How long to wait for a worker of our own where none is left; they are started again when they die."""
PATIENCE_ELSEWHERE_S = 3600.0
"""The same on a cluster that is not ours."""
_LOOK_S = 1.0


@dataclass(frozen=True)
class Job(Generic[Item]):
    """One call.

    Parameters
    ----------
    item : object
        What the function is called with.
    name : str
        Unique among the jobs; a part of a file name.
    memory : int
        Bytes that it may need.
    """

    item: Item
    name: str
    memory: int = 0


@dataclass(frozen=True)
class Lost:
    """Stands for the result of a job that was not finished.

    Parameters
    ----------
    reason : str
        A code of `imaging.REASONS`: ``worker_died`` or ``timeout``.
    """

    reason: str


@dataclass(frozen=True)
class Limits:
    """What a job and all of them may take.

    Parameters
    ----------
    marks : Path
        A folder that every worker can write, for notes on what is under way.
    seconds : float
        For one job; 0 for no limit.
    memory : int
        Bytes for all jobs under way; 0 for no limit.
    """

    marks: Path
    seconds: float = 0.0
    memory: int = 0


class NoWorkersError(Exception):
    """All workers are gone, and none came back."""


class Executor(Protocol):
    """What `pipelines.run` needs."""

    def map(
        self, function: Callable[[Item], Result], jobs: Iterable[Job[Item]]
    ) -> Iterator[tuple[Job[Item], Result | Lost]]:
        """(job, result) for every job, in the order in which they finish."""
        ...


AGAIN_S = 2.0
"""Seconds after which an alarm that came to nothing rings again."""
_AT_ONCE_S = 0.001
"""The same where it rang while nothing could be raised."""


class TimeLimitError(BaseException):
    """The time of a job is up; no `Exception`, so that nothing on the way takes it for an error of its own."""


class SerialExecutor:
    """One job after the other in this process.

    The time limit is an alarm, seen between two steps of the interpreter: in the main thread of a POSIX system only,
    and late in a long call of a library. Memory and crashes are not contained; workers contain all three.
    """

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.seconds

    def map(
        self, function: Callable[[Item], Result], jobs: Iterable[Job[Item]]
    ) -> Iterator[tuple[Job[Item], Result | Lost]]:
        """(job, result) in the order of the jobs."""
        for job in jobs:
            result: Result | Lost
            try:
                with _alarm(self._seconds):
                    result = function(job.item)
            except TimeLimitError:
                result = Lost("timeout")
            yield job, result


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitError` in here after so many seconds."""
    if not seconds or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    up = False

    def ring(_number: int, frame: FrameType | None) -> None:
        nonlocal up
        up = True
        # What is raised in a callback of the garbage collector is lost: ring again when that is over.
        if frame and any(frame.f_code is getattr(each, "__code__", None) for each in gc.callbacks):
            signal.setitimer(signal.ITIMER_REAL, _AT_ONCE_S, AGAIN_S)
        else:
            raise TimeLimitError

    with contextlib.ExitStack() as undo:  # each step is undone, also where it rings while another is
        undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, ring))
        undo.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
        yield
        if up:  # It rang where nothing can be raised: in a finalizer or in a callback of a weak reference.
            raise TimeLimitError


class DaskExecutor:
    """Jobs on Dask workers, one for each thread.

    A mark on disk says that a job was begun and is not finished: where Dask sends it out again because its worker is
    gone, the mark tells, whatever the scheduler is set to, and nothing that only waited on that worker, or was finished
    by it, is taken for lost. Time is kept by a watchdog in the worker, which ends the process even while a library
    holds it; an entry in the mark says why.

    Parameters
    ----------
    client : distributed.Client
        Connected to the workers.
    limits : Limits
    patience : float
        Seconds to wait where no worker is left.
    alone : bool
        One job at a time.
    """

    def __init__(self, client: Any, limits: Limits, patience: float = PATIENCE_S, *, alone: bool = False) -> None:
        self._client, self._limits, self._patience, self._alone = client, limits, patience, alone

    def map(
        self, function: Callable[[Item], Result], jobs: Iterable[Job[Item]]
    ) -> Iterator[tuple[Job[Item], Result | Lost]]:
        """(job, result) as they finish.

        Raises
        ------
        NoWorkersError
            No worker is left, and none came back.
        """
        from distributed.scheduler import KilledWorker

        waiting = iter(jobs)
        following = next(waiting, None)
        running: dict[Any, tuple[Job[Item], Path]] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        last_seen = time.monotonic()

        def send() -> None:
            """As many of the waiting jobs as there is room for."""
            nonlocal following, last_seen
            threads = sum(self._client.nthreads().values())
            last_seen = time.monotonic() if threads else last_seen
            while following and self._room(following, [job for job, _ in running.values()], threads):
                mark = self._limits.marks / f"{following.name}.{uuid.uuid4().hex[:8]}"
                future = self._client.submit(_guarded, function, following.item, mark, self._limits.seconds, pure=False)
                running[future] = following, mark
                future.add_done_callback(done.put)
                following = next(waiting, None)

        try:
            send()
            while running:
                try:
                    future = done.get(timeout=_LOOK_S)
                except queue.Empty:  # workers may have come and have nothing to do, or all be gone
                    send()
                    if time.monotonic() - last_seen > self._patience:
                        raise NoWorkersError from None
                    continue
                job, mark = running.pop(future)
                try:
                    result: Result | Lost = future.result()
                except KilledWorker:
                    result = Lost("worker_died")
                future.release()
                mark.unlink(missing_ok=True)
                send()  # before anybody looks at the result: no worker waits for that
                yield job, result
        finally:
            for future in running:
                future.cancel(force=True)

    def _room(self, job: Job[Item], running: list[Job[Item]], threads: int) -> bool:
        """Whether one more may be under way; the first always."""
        most, limit = 1 if self._alone else threads, self._limits.memory
        enough = not limit or sum(j.memory for j in running) + job.memory <= limit
        return not running or (len(running) < most and enough)


def _guarded(function: Callable[[Item], Result], item: Item, mark: Path, seconds: float) -> Result | Lost:
    """What a worker runs: the function within its time; `Lost` where a worker began it and did not finish.

    A result may be lost with a worker that a later job took down, before anybody fetched it: the mark is gone by then,
    and the job is done again.
    """
    try:
        stream = mark.open("x", encoding="utf-8")
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):  # finished in this moment, by a worker that was taken for dead
            return Lost("timeout" if mark.stat().st_size else "worker_died")
        return _guarded(function, item, mark, seconds)
    except OSError:  # no place for marks: the function will find out and say so
        return function(item)
    try:
        with stream:
            if seconds:
                faulthandler.dump_traceback_later(seconds, exit=True, file=stream)
            try:
                return function(item)
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()


@contextlib.contextmanager
def executor(
    jobs: int, limits: Limits, scheduler: str | None = None, *, worker_memory: int = 0, alone: bool = False
) -> Iterator[Executor]:
    """The executor for `jobs` processes on this machine, or for a running Dask cluster.

    Parameters
    ----------
    jobs : int
        1 works in this process, unless `alone`.
    limits : Limits
    scheduler : str, optional
        Address of a cluster that is used in place of processes of our own.
    worker_memory : int
        Bytes that a worker of our own may take before it is ended; 0 for no limit.
    alone : bool
        One job at a time, on a worker: for what took a worker with it before.

    Raises
    ------
    UsageError
        `jobs` below 1, or no scheduler answers at the address.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    if scheduler is None and jobs == 1 and not alone:
        yield SerialExecutor(limits)
        return
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, TimeoutError, ValueError):
            raise UsageError(f"no Dask scheduler answers at {scheduler!r}; check the address") from None
        with client:
            yield DaskExecutor(client, limits, PATIENCE_ELSEWHERE_S, alone=alone)
        return
    from .cluster import local_cluster

    with local_cluster(1 if alone else jobs, worker_memory) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
        yield DaskExecutor(client, limits, alone=alone)
