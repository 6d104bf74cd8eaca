"""How good predicted probabilities are, with intervals from resampling patients.

Predictions of several folds come from several models, whose levels differ: areas are computed within each fold and
averaged, never over the pooled rows (pooling biases the area of an uninformative model below 0.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEVEL = 0.95
RESAMPLES = 1000
LARGEST_WORK = 4_000_000
"""Rows times resamples of one fold; more rows get fewer resamples, at least `FEWEST`."""
FEWEST = 100
BINS = 10
CHUNK = 50


def areas(truth: NDArray[np.bool_], score: Array, weight: Array) -> tuple[Array, Array]:
    """Area under the ROC curve and average precision, for each row of weights.

    Parameters
    ----------
    truth, score : (n,) ndarray
    weight : (resamples, n) ndarray
        How often each row counts.

    Returns
    -------
    roc, precision : (resamples,) ndarray
        NaN where one class is absent. Ties count half in the ROC area; the precision is that of
        `sklearn.metrics.average_precision_score`.
    """
    order = np.argsort(-score, kind="stable")
    first = np.flatnonzero(np.concatenate(([True], np.diff(score[order]) != 0)))  # of equal scores
    ordered = weight[:, order]
    hits = np.add.reduceat(ordered * truth[order], first, axis=1)
    misses = np.add.reduceat(ordered * ~truth[order], first, axis=1)
    found, false = hits.cumsum(axis=1), misses.cumsum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = false[:, -1:] - false + misses / 2
        roc = (hits * below).sum(axis=1) / (found[:, -1] * false[:, -1])
        share = np.where(found + false > 0, found / (found + false), 0.0)
        precision = (hits * share).sum(axis=1) / found[:, -1]
    roc[~np.isfinite(roc)] = np.nan
    precision[~np.isfinite(precision)] = np.nan
    return roc, precision


def calibration_error(truth: NDArray[np.bool_], probability: Array, bins: int = BINS) -> float:
    """Expected calibration error: mean over bins of equal count of |observed share - mean probability|."""
    parts = [p for p in np.array_split(np.argsort(probability, kind="stable"), bins) if len(p)]
    return float(sum(len(p) * abs(truth[p].mean() - probability[p].mean()) for p in parts) / len(truth))


def calibration_curve(truth: NDArray[np.bool_], probability: Array, bins: int = BINS) -> list[dict[str, float]]:
    """Mean probability, observed share and count of bins of equal count."""
    parts = [p for p in np.array_split(np.argsort(probability, kind="stable"), bins) if len(p)]
    return [{"predicted": float(probability[p].mean()), "observed": float(truth[p].mean()), "n": len(p)} for p in parts]


def evaluate(
    target: NDArray[np.int64],
    probability: Array,
    group: NDArray[np.int64],
    fold: NDArray[np.int64],
    labels: tuple[str, ...],
    seed: int = 0,
) -> dict[str, Any]:
    """Measures of every label against the rest, each with a 95 % interval over resampled groups.

    Parameters
    ----------
    target : (n,) ndarray of int
        Index of the true label.
    probability : (n, labels) ndarray
        Out-of-fold.
    group, fold : (n,) ndarray of int
        Patient, and held-out part.

    Returns
    -------
    dict
        ``log_loss``, ``by_label``: for each label ``prevalence``, ``roc_auc``, ``average_precision``, ``brier``,
        (each ``value``, ``low``, ``high``), ``calibration_error`` (no interval: resampling biases it upwards),
        ``calibration``, ``roc`` and ``precision_recall`` curves.
    """
    parts = [np.flatnonzero(fold == k) for k in np.unique(fold)]
    one_hot = np.eye(len(labels))[target]
    picked = np.clip(probability[np.arange(len(target)), target], 1e-12, 1)
    result: dict[str, Any] = {"log_loss": float(-np.log(picked).mean()), "by_label": {}}
    for k, name in enumerate(labels):
        truth, p = one_hot[:, k] > 0, probability[:, k]
        roc, precision, brier = _resampled(truth, p, group, parts, np.random.default_rng(seed))
        result["by_label"][name] = {
            "prevalence": float(truth.mean()),
            "roc_auc": _interval(roc),
            "average_precision": _interval(precision),
            "brier": _interval(brier),
            "calibration_error": calibration_error(truth, p),
            "calibration": calibration_curve(truth, p),
            **_curves(truth, p),
        }
    return result


def _resampled(
    truth: NDArray[np.bool_], p: Array, group: NDArray[np.int64], parts: list[NDArray[np.int64]],
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """ROC area, average precision and Brier score: entry 0 as it is, the others resampled by group."""
    n = max(FEWEST, min(RESAMPLES, LARGEST_WORK // max(len(part) for part in parts)))
    sums = np.zeros((3, n + 1))
    weights = np.zeros((2, n + 1))
    square = (p - truth) ** 2
    for part in parts:
        _, place = np.unique(group[part], return_inverse=True)
        count = np.zeros((n + 1, place.max() + 1))
        count[0] = 1
        count[1:] = rng.multinomial(count.shape[1], np.full(count.shape[1], 1 / count.shape[1]), n)
        pairs = truth[part].sum() * (~truth[part]).sum()
        for start in range(0, n + 1, CHUNK):  # bounds memory
            rows = slice(start, start + CHUNK)
            weight = count[rows][:, place]
            roc, precision = areas(truth[part], p[part], weight)
            sums[0, rows] += pairs * np.nan_to_num(roc)
            sums[1, rows] += pairs * np.nan_to_num(precision)
            weights[0, rows] += pairs * np.isfinite(roc)
            sums[2, rows] += weight @ square[part]
            weights[1, rows] += weight.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[0] / weights[0], sums[1] / weights[0], sums[2] / weights[1]


def _interval(values: Array) -> dict[str, float | None]:
    """The value and percentiles of its resamples; None where it is not defined."""
    rest = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(rest):
        return {"value": None, "low": None, "high": None}
    low, high = np.quantile(rest, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _curves(truth: NDArray[np.bool_], p: Array, points: int = 101) -> dict[str, list[list[float]]]:
    """ROC and precision-recall curves of the pooled rows at `points` places; empty where a class is absent."""
    if not 0 < truth.sum() < len(truth):
        return {"roc": [], "precision_recall": []}
    hits = truth[np.argsort(-p, kind="stable")]
    found, false = hits.cumsum(), (~hits).cumsum()
    at = np.unique(np.linspace(0, len(p) - 1, points).astype(int))
    recall, fall_out = found / found[-1], false / false[-1]
    precision = found / (found + false)
    return {
        "roc": [[0.0, 0.0], *np.stack([fall_out[at], recall[at]], axis=1).round(5).tolist()],
        "precision_recall": np.stack([recall[at], precision[at]], axis=1).round(5).tolist(),
    }
