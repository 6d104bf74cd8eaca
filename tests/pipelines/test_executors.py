"""Executors: the same results anywhere, and a worker that dies loses its item only."""

import os

import pytest

from imaging import UsageError
from pipelines.executors import WorkerDied, executor


def double(number):
    return 2 * number


def dies_on_three(number):
    if number == 3:
        os._exit(9)
    return 2 * number


def test_serial_keeps_the_order():
    with executor(1) as workers:
        assert list(workers.map(double, range(5))) == [(k, 2 * k) for k in range(5)]


def test_workers_give_the_same_as_serial():
    with executor(2) as workers:
        assert sorted(workers.map(double, range(20))) == [(k, 2 * k) for k in range(20)]


def test_a_worker_that_dies_loses_its_item_only():
    with executor(2) as workers:
        results = dict(workers.map(dies_on_three, range(12)))
    assert isinstance(results.pop(3), WorkerDied)
    assert results == {k: 2 * k for k in range(12) if k != 3}


def test_mistakes_are_usage_errors():
    with pytest.raises(UsageError, match="at least 1"), executor(0):
        pass
    with pytest.raises(UsageError, match="no Dask scheduler"), executor(1, "tcp://127.0.0.1:9"):
        pass
