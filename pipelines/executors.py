"""Where the work on scans is done: in this process, or on Dask workers.

One interface: ``map(function, items)`` gives (item, result) as results come. Workers are processes of their own,
started by command and not by fork or spawn, so that a plain script needs no main guard. A worker that dies loses its
scan only.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from imaging import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical", "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}
"""Dask's chatter would end up on the user's terminal; deaths of workers are reported as failures of scans."""
DEATHS_ALLOWED = 1
"""How often a scan may take its worker with it before it is given up."""


class WorkerDied:
    """Stands for the result of an item whose worker process died."""


class Executor(Protocol):
    """What `pipelines.run` needs."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | WorkerDied]]:
        """(item, result) for every item, in the order in which they finish."""
        ...


class SerialExecutor:
    """One scan after the other in this process."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | WorkerDied]]:
        """(item, result) in the order of the items."""
        for item in items:
            yield item, function(item)


class DaskExecutor:
    """Scans on Dask workers, each with one thread and a share of the memory.

    Parameters
    ----------
    client : distributed.Client
        Connected to the workers.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | WorkerDied]]:
        """(item, result) as they finish, twice as many as workers under way; suspects of a death once more, alone."""
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting = iter(items)
        item_of: dict[Any, Item] = {}
        running = as_completed(loop=self._client.loop)
        suspects: list[Item] = []

        def submit() -> None:
            for item in waiting:
                future = self._client.submit(function, item, pure=False)
                item_of[future.key] = item
                running.add(future)
                return

        for _ in range(2 * max(1, len(self._client.scheduler_info()["workers"]))):
            submit()
        for future in running:
            item = item_of.pop(future.key)
            try:
                result = future.result()
            except KilledWorker:  # it, or only what ran beside it: told apart below
                suspects.append(item)
                continue
            finally:
                future.release()
                submit()
            yield item, result
        for item in suspects:
            alone = self._client.submit(function, item, pure=False)
            try:
                yield item, alone.result()
            except KilledWorker:
                yield item, WorkerDied()


@contextlib.contextmanager
def executor(jobs: int = 1, scheduler: str | None = None) -> Iterator[Executor]:
    """The executor for `jobs` processes on this machine, or for a running Dask cluster.

    Raises
    ------
    UsageError
        `jobs` below 1, or no scheduler answers at the address.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    if scheduler is None and jobs == 1:
        yield SerialExecutor()
        return
    import dask
    from distributed import Client

    dask.config.set({"distributed.scheduler.allowed-failures": DEATHS_ALLOWED})
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, TimeoutError, ValueError):
            raise UsageError(f"no Dask scheduler answers at {scheduler!r}; check the address") from None
        with client:
            yield DaskExecutor(client)
        return
    with (
        tempfile.TemporaryDirectory(prefix="calcimap-") as scratch,
        _environment(QUIET),
        _local_cluster(jobs, scratch) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(jobs, timeout=60)
        yield DaskExecutor(client)


def _local_cluster(jobs: int, scratch: str) -> Any:
    """Worker processes on loopback, without a dashboard, scratch files in the system's temporary folder."""
    if os.name == "nt":  # Dask cannot start workers by command there
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=scratch
        )
    from distributed.deploy.subprocess import SubprocessCluster

    return SubprocessCluster(
        host="127.0.0.1",
        dashboard_address=None,  # type: ignore[arg-type]  # documented: None disables the dashboard
        n_workers=jobs,
        threads_per_worker=1,
        worker_kwargs={"local_directory": scratch, "dashboard": False},
        scheduler_kwargs={"allowed_failures": DEATHS_ALLOWED, "dashboard": False},
        silence_logs=50,
    )


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for child processes, put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
