"""Splits by patient. Every split of this package is made here, so that no patient is ever on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Rows = NDArray[np.int64]
LEAST_GROUPS = 5
"""Patients in which each label must occur."""


def check_groups(target: NDArray[np.int64], group: NDArray[np.int64], labels: tuple[str, ...]) -> None:
    """Refuse labels that occur in too few patients to be validated.

    Raises
    ------
    UsageError
    """
    if len(labels) < 2:
        raise UsageError(f"the target has one label only ({', '.join(labels)}); a classifier needs at least two")
    for k, name in enumerate(labels):
        n = len(np.unique(group[target == k]))
        if n < LEAST_GROUPS:
            text = f"label {name!r} occurs in {n} groups (patients); validation by patient needs {LEAST_GROUPS}"
            raise UsageError(f"{text}: label more patients, or merge labels")


def folds(target: NDArray[np.int64], group: NDArray[np.int64], n: int, seed: int) -> list[tuple[Rows, Rows]]:
    """`n` pairs of (training rows, held-out rows), stratified by label, whole groups on one side.

    Parameters
    ----------
    target : (rows,) ndarray of int
        Label of each row, from 0.
    group : (rows,) ndarray of int
        Patient of each row.

    Raises
    ------
    UsageError
        A label would be absent from a training side.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    made = []
    for train, held in StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(target, target, group):
        if np.intersect1d(group[train], group[held]).size:
            raise AssertionError("a group is on both sides of a split")  # a leak is an error of the programmer
        if len(np.unique(target[train])) < len(np.unique(target)):
            raise UsageError("a label occurs in too few groups to be in every training part; label more patients")
        made.append((train.astype(np.int64), held.astype(np.int64)))
    return made


def some_groups(group: NDArray[np.int64], most_rows: int, seed: int) -> Rows:
    """Rows of randomly chosen whole groups, at most `most_rows` (one group at least); all rows where they are fewer."""
    if len(group) <= most_rows:
        return np.arange(len(group))
    names, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    keep = np.zeros(len(names), bool)
    keep[order[np.cumsum(size[order]) <= most_rows]] = True
    keep[order[0]] = True
    return np.flatnonzero(keep[inverse])
