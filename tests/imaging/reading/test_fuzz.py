"""Damaged files and bombs end in a typed error, in bounded time and memory; in processes of their own.

``CALCIMAP_FUZZ=10000`` damages more files than the few of every run; ``python -m tests.fuzz.run`` does it by hand.
"""

import os
import sys

import pytest

from tests.fuzz import bombs, mutants, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="address-space limits and /proc are those of Linux")
COUNT = int(os.environ.get("CALCIMAP_FUZZ", "400"))


def test_seeds_cover_formats_and_syntaxes():
    assert len(mutants.seeds()) >= 12


def test_mutants_are_the_same_each_time():
    seeds = mutants.seeds()
    assert [mutants.mutant(n, seeds) for n in range(40)] == [mutants.mutant(n, seeds) for n in range(40)]


def test_mutants_end_typed_in_bounded_time_and_memory():
    outcome = run.run(0, COUNT)
    assert sum(outcome.counts.values()) == COUNT
    assert not outcome.wrong
    assert outcome.counts["read"] > COUNT / 20  # not everything is stopped at the door
    assert outcome.extra_mb < 1000


@pytest.fixture(scope="module")
def explosions():
    return {one.name: one for one in bombs.run(list(bombs.BOMBS))}


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bombs_are_stopped(name, explosions):
    found = explosions[name]
    assert not found.outcome.startswith("DIED"), found.outcome
    assert found.extra_mb < 600
    assert (
        found.seconds < 60
    )  # a bound for machines under load; measured: 2.5 s for a gigabyte of zeros that calls itself a label map
