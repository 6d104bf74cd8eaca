"""A Dask cluster on this machine: loopback only, no dashboard, one thread a worker, and nothing left behind.

Workers are started by command. Dask's LocalCluster starts them with multiprocessing, which runs the user's script again
in every worker: a plain script would need a main guard. Everything else is the same classes and settings.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEATHS_ALLOWED = 3
"""How often Dask may send out a job again; `executors` tells a death by its mark before."""
LOOK_S = 0.5
_ENVIRONMENT = {
    # Dask's chatter would end up on the user's terminal, with paths in it; what matters is reported by us.
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
    # A worker holds one scan: there is nothing to spill, and a paused worker would wait forever for memory it keeps.
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.95",
    # Dask looks a hundred times a second at what a worker does, and wakes every process fifty times.
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    # One core a worker: threads of libraries would only get into the way of other workers.
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    # Dask has workers give memory back at once: every array of a scan is mapped, cleared and unmapped anew, and an
    # analysis takes 1.6 times as long. Up to these sizes memory is kept for the next array (glibc; else no effect).
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


@contextlib.contextmanager
def local_cluster(jobs: int, memory: int = 0) -> Iterator[Any]:
    """Scheduler and `jobs` workers; one that takes more than `memory` bytes (0: any) is ended and started again."""
    packages = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(packages)}  # they find us where we are not installed
    with tempfile.TemporaryDirectory(prefix="calcimap-", ignore_cleanup_errors=True) as scratch:
        with _environment(environment):
            cluster = _start(jobs, memory, scratch)
        with cluster:
            yield cluster


def _start(jobs: int, memory: int, scratch: str) -> Any:
    if os.name == "nt":  # Dask cannot start workers by command there: scripts need a main guard
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
            local_directory=scratch, memory_limit=memory,
        )  # fmt: skip
    from distributed.deploy.subprocess import SubprocessCluster

    return SubprocessCluster(
        host="127.0.0.1",
        dashboard_address=None,  # type: ignore[arg-type]  # documented: None disables the dashboard
        n_workers=jobs,
        threads_per_worker=1,
        worker_kwargs={
            "local_directory": scratch, "dashboard": False, "memory_limit": memory, "preload_nanny": [__name__]
        },
        scheduler_kwargs={"allowed_failures": DEATHS_ALLOWED, "dashboard": False, "preload": [__name__]},
        silence_logs=50,
    )  # fmt: skip


def dask_setup(_server: Any) -> None:
    """Called by Dask in scheduler and nannies. They get a process group of their own, so that Ctrl-C reaches the run
    only, and are gone as soon as the run is, however it ended.
    """
    parent = os.getppid()
    os.setpgid(0, 0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, name="calcimap-watch", daemon=True).start()


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
