"""Executors: the same results anywhere; a worker that dies or hangs loses its job only, and nothing is left behind."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client

from imaging import UsageError
from pipelines.cluster import local_cluster
from pipelines.executors import DaskExecutor, Job, Limits, Lost, _guarded, executor

ROOT = Path(__file__).parents[2]


def double(number):
    return 2 * number


def dies_on_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def hangs_on_two(number):
    if number == 2:
        time.sleep(60)
    return 2 * number


def eats_memory_on_one(number):
    if number == 1:
        held = [bytearray(b"x" * (1 << 26)) for _ in range(40)]  # 2.7 GB
        time.sleep(5)
        return len(held)
    return 2 * number


def jobs(n, memory=0):
    return [Job(k, f"job{k}", memory) for k in range(n)]


def results(workers, function, items):
    return {job.item: result for job, result in workers.map(function, items)}


def test_serial_keeps_the_order(tmp_path):
    with executor(1, Limits(tmp_path)) as workers:
        assert [(j.item, r) for j, r in workers.map(double, jobs(5))] == [(k, 2 * k) for k in range(5)]


def test_serial_has_a_time_limit(tmp_path):
    before = signal.getsignal(signal.SIGALRM)
    with executor(1, Limits(tmp_path, seconds=0.2)) as workers:
        assert results(workers, hangs_on_two, jobs(4)) == {0: 0, 1: 2, 2: Lost("timeout"), 3: 6}
    assert signal.getsignal(signal.SIGALRM) is before


def collects(_item):
    """Be in a callback of the garbage collector when the time is up, and end soon after."""

    def callback(phase, _info):
        if phase == "start":
            time.sleep(0.3)

    gc.callbacks.append(callback)
    try:
        gc.collect()
        ended = time.monotonic() + 0.3
        while time.monotonic() < ended:
            pass
    finally:
        gc.callbacks.remove(callback)
    return "done"


class Closing:
    def __del__(self):
        time.sleep(0.3)


def finalizes(_item):
    """Be in a finalizer when the time is up, where what is raised is lost."""
    held = Closing()
    del held
    return "done"


def test_a_time_limit_that_rings_in_the_garbage_collector_is_kept(tmp_path):
    with executor(1, Limits(tmp_path, seconds=0.1)) as workers:
        assert results(workers, collects, jobs(1)) == {0: Lost("timeout")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what the test is about
def test_a_time_limit_that_rings_in_a_finalizer_is_kept(tmp_path):
    with executor(1, Limits(tmp_path, seconds=0.1)) as workers:
        assert results(workers, finalizes, jobs(1)) == {0: Lost("timeout")}


def test_workers_lose_only_what_dies_hangs_or_takes_too_much(tmp_path):
    """One cluster for the three of them, since starting one takes a while; no mark is left."""
    with executor(2, Limits(tmp_path), worker_memory=1_000_000_000) as workers:
        assert results(workers, double, jobs(20)) == {k: 2 * k for k in range(20)}
        assert results(workers, dies_on_three, jobs(8)) == {k: 2 * k for k in range(8)} | {3: Lost("worker_died")}
        assert results(workers, eats_memory_on_one, jobs(4)) == {0: 0, 1: Lost("worker_died"), 2: 4, 3: 6}
        hurried = DaskExecutor(workers._client, Limits(tmp_path, seconds=3.0))
        assert results(hurried, hangs_on_two, jobs(4)) == {0: 0, 1: 2, 2: Lost("timeout"), 3: 6}
    assert list(tmp_path.iterdir()) == []


def waits_on_zero(number):
    if number == 0:
        time.sleep(12)
    return 2 * number


def test_a_worker_that_comes_late_has_work_at_once(tmp_path):
    with local_cluster(1) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)
        came = DaskExecutor(client, Limits(tmp_path)).map(waits_on_zero, jobs(4))
        cluster.scale(2)
        assert [job.item for job, _ in came] == [1, 2, 3, 0]


def test_a_mark_stays_only_while_the_work_is_under_way(tmp_path):
    """What was finished by a worker that died before its result was fetched is done again; what killed it is not."""
    mark = tmp_path / "mark"
    assert _guarded(lambda _: mark.exists(), 0, mark, 0.0) is True
    assert not mark.exists()
    assert _guarded(double, 4, mark, 0.0) == 8
    with pytest.raises(ZeroDivisionError):
        _guarded(lambda k: k // 0, 1, mark, 0.0)
    assert not mark.exists()
    mark.touch()
    assert _guarded(double, 4, mark, 0.0) == Lost("worker_died")
    mark.write_text("Timeout (0:00:03)!")
    assert _guarded(double, 4, mark, 0.0) == Lost("timeout")


def test_memory_bounds_what_is_under_way(tmp_path):
    """Two jobs that together need more than there is are never under way at a time; one alone always is."""

    held = DaskExecutor(None, Limits(tmp_path, memory=10))
    assert held._room(Job(0, "", 50), [], 3)
    assert held._room(Job(0, "", 4), [Job(0, "", 6)], 3)
    assert not held._room(Job(0, "", 5), [Job(0, "", 6)], 3)
    assert not held._room(Job(0, "", 0), [Job(0, "", 1)] * 3, 3)
    assert not DaskExecutor(None, Limits(tmp_path), alone=True)._room(Job(0, ""), [Job(0, "")], 3)


def test_no_process_survives_a_run_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from pipelines.executors import Limits, executor\n"
        f"with executor(2, Limits(Path({str(tmp_path)!r}))):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "up\n"
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 5  # scheduler, two nannies, two workers
    assert all(os.getpgid(p.pid) != os.getpgid(run.pid) for p in family if "dask" in " ".join(p.cmdline()))
    run.kill()
    run.wait()
    run.stdout.close()
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_mistakes_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="at least 1"), executor(0, Limits(tmp_path)):
        pass
    with pytest.raises(UsageError, match="no Dask scheduler"), executor(1, Limits(tmp_path), "tcp://127.0.0.1:9"):
        pass
