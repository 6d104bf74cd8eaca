"""Labels and a table of findings in; a model and what it was measured to do out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..columns import Column
from ..errors import UsageError
from .estimators import FAMILIES, choose, fit
from .model import Model
from .schema import Schema
from .splits import check_groups, folds
from .validation import OUTER_FOLDS, learning_curve, validate

KEYS = ("scan_id", "finding_id")
GROUPS = ("patient_key", "scan_id")
"""Columns that say whose a row is, in the order of preference, where none is named."""
LIBRARIES = ("calcimap", "scikit-learn", "numpy")
TENDENCIES = ("benign", "concern", "indeterminate")


@dataclass(frozen=True, eq=False)
class Training:
    """A model, and `evaluation`: everything measured about it, as plain values for ``evaluation.json``."""

    model: Model
    evaluation: dict[str, Any]


def train_model(
    table: pd.DataFrame,
    labels: pd.DataFrame,
    target: str,
    *,
    group: str | None = None,
    family: Literal["auto", "linear", "boosting"] = "auto",
    features: Iterable[str] | None = None,
    tendencies: Mapping[str, str] | None = None,
    columns: Mapping[str, Column] | None = None,
    made: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Training:
    """Train a classifier on labelled findings, tuned, calibrated and validated by patient.

    Parameters
    ----------
    table : DataFrame
        One row per finding, as `pipelines.run` writes it.
    labels : DataFrame
        `target`, and ``scan_id`` and ``finding_id`` (or one of them) to join by. Findings without label are left out.
    target : str
        Column of `labels` to learn.
    group : str, optional
        Column of `labels` or `table` that says whose a row is: no patient is on both sides of any split.
        ``patient_key``, else ``scan_id``, where it is not given.
    family : str
        ``linear``, ``boosting``, or ``auto``: boosting where it is better by more than a standard error.
    features : iterable of str, optional
        Columns to learn from; every measured number and `schema.WORDS` by default.
    tendencies : mapping of str to str, optional
        benign, concern or indeterminate for a label.
    columns, made
        Data dictionary of the table, and settings it was made with; kept with the model and checked at prediction.
    seed : int
        The same seed gives the same model.

    Raises
    ------
    UsageError
        Labels that do not fit the table, too few patients, unknown columns; the message says which.
    """
    if family not in ("auto", *FAMILIES):
        raise UsageError(f"model must be auto, linear or boosting, got {family!r}")
    joined, unlabelled = _join(table, labels, target, group)
    group = group or next((g for g in GROUPS if g in joined), None)
    if group is None:
        raise UsageError("the rows do not say whose they are: name a column of patients with --group (group=)")
    if joined[group].isna().any():
        raise UsageError(f"{group} is missing in labelled rows: every row needs its patient")
    reserved = {target, group, *KEYS, *GROUPS} & set(features or ())
    if reserved:
        raise UsageError(f"{', '.join(sorted(reserved))} cannot be a feature: it says what or whose a row is")
    schema = Schema.of(joined.drop(columns=[target]), features, columns, made)
    names, y = np.unique(joined[target].astype(str), return_inverse=True)
    words = tuple(str(n) for n in names)
    for label, tendency in (tendencies or {}).items():
        if label not in words or tendency not in TENDENCIES:
            raise UsageError(f"tendency {label}={tendency}: labels are {', '.join(words)}; one of {TENDENCIES}")
    g = np.unique(joined[group].astype(str), return_inverse=True)[1].astype(np.int64)
    y = y.astype(np.int64)
    check_groups(y, g, words)
    X = schema.matrix(joined)
    families = FAMILIES if family == "auto" else (family,)
    measured = validate(X, y, g, words, schema.owner, families, seed)
    made_now = {f: fit(X, y, g, f, seed) for f in families}
    best = made_now[choose(made_now, g)]
    versions = {n: metadata.version(n) for n in LIBRARIES}
    model = Model(
        words, target, schema, best.family, best.setting, best.estimator, best.calibrator, dict(tendencies or {}),
        versions,
    )  # fmt: skip
    importance = sorted(
        zip((f.name for f in schema.features), *measured.pop("importance").T.tolist(), strict=True), key=lambda r: -r[1]
    )
    evaluation = {
        "target": target,
        "labels": {w: int((y == k).sum()) for k, w in enumerate(words)},
        "n_rows": len(y),
        "n_unlabelled": unlabelled,
        "group": group,
        "n_groups": int(g.max()) + 1,
        "validation": f"nested, {OUTER_FOLDS} folds, no {group} on both sides of any split",
        "seed": seed,
        "family": best.family,
        "setting": best.setting,
        "by_family": measured["families"],
        "selected": measured["selected"],
        "importance": [{"feature": n, "auc_drop": m, "sd": s} for n, m, s in importance],
        "learning_curve": learning_curve(X, y, g, best, seed),
        "schema": schema.to_dict(),
        "versions": versions,
    }
    return Training(model, evaluation)


def _join(table: pd.DataFrame, labels: pd.DataFrame, target: str, group: str | None) -> tuple[pd.DataFrame, int]:
    """The labelled rows with `target` and `group`, and how many rows have no label."""
    if target not in labels:
        raise UsageError(f"the labels have no column {target!r}; they have {', '.join(map(str, labels.columns))}")
    keys = [k for k in KEYS if k in labels and k in table]
    if not keys:
        raise UsageError("the labels need scan_id and finding_id, as the table has them")
    if "finding_id" in keys and "scan_id" not in keys and "scan_id" in table and len(table["scan_id"].unique()) > 1:
        raise UsageError("finding_id counts within a scan: the labels need scan_id as well")
    if group is not None and group not in labels and group not in table:
        raise UsageError(f"neither table nor labels have the column {group!r}")
    wanted = [*keys, target, *([group] if group in labels and group not in keys else [])]
    right = labels[list(dict.fromkeys(wanted))].dropna(subset=[target])
    if right.duplicated(keys).any():
        raise UsageError(f"the labels name a row twice ({', '.join(keys)}): keep one label each")
    right = right.astype(dict.fromkeys(keys, "string"))
    left = table.drop(columns=[c for c in right.columns if c in table and c not in keys])
    joined = left.assign(**{k: left[k].astype("string") for k in keys}).merge(right, on=keys, how="inner")
    if joined.empty:
        raise UsageError("no label belongs to a row of the table: compare scan_id and finding_id of both")
    return joined.reset_index(drop=True), len(table) - len(joined)


__all__ = ["Training", "folds", "train_model"]
