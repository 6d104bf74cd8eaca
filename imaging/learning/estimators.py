"""The two families of models, how they are tuned and calibrated.

``linear``: logistic regression with an L1 penalty, sparse. Missing numbers become the training median *and* a column
that says they were missing. ``boosting``: histogram gradient boosting, where missing values take a learned side of
each split. Neither sees a 0 in place of a missing value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .splits import folds, some_groups

Array = NDArray[np.float64]
FAMILIES = ("linear", "boosting")
INNER_FOLDS = 3
TUNING_ROWS = 8_000
"""Candidates are compared, and calibrated, on at most so many rows (whole groups); the winner is fitted on all."""
SHRINKAGE = (0.03, 0.01, 0.003, 0.001, 0.0003)
"""L1 penalty per row, relative to that of 2,000 rows; the best one falls with the square root of the rows."""
TREES = ((0.1, 60, 4), (0.1, 150, 4), (0.1, 60, 15))
"""Learning rate, rounds, leaves."""
FLOOR = 1e-6


@dataclass(frozen=True)
class Fitted:
    """A tuned, fitted and calibrated model.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.
    setting : dict
        The chosen hyper-parameters.
    estimator, calibrator
        scikit-learn estimators; the calibrator takes `log_odds` of the estimator's probabilities.
    losses : ndarray
        Log loss of each row it was tuned on, out-of-fold and uncalibrated.
    rows : ndarray of int
        Those rows.
    """

    family: str
    setting: dict[str, float]
    estimator: Any
    calibrator: Any
    losses: Array
    rows: NDArray[np.int64]

    def predict(self, X: Array) -> Array:
        """Calibrated probability of every label, (n, labels)."""
        return calibrated(self.estimator, self.calibrator, X)


def calibrated(estimator: Any, calibrator: Any, X: Array) -> Array:
    """Probabilities of an estimator, through its calibrator."""
    return np.asarray(calibrator.predict_proba(log_odds(np.asarray(estimator.predict_proba(X)))), float)


def log_odds(probability: Array) -> Array:
    """log(p_k / p_0) for every label but the first, (n, labels - 1)."""
    logs = np.log(np.clip(probability, FLOOR, 1 - FLOOR))
    return np.asarray(logs[:, 1:] - logs[:, :1])


def candidates(family: str, n: int, seed: int) -> list[tuple[dict[str, float], Callable[[], Any]]]:
    """Settings of a family and how to make an unfitted estimator for `n` rows."""
    if family == "linear":
        strength = np.sqrt(2000 / n)
        return [({"l1_penalty": a}, partial(_linear, float(a * strength), n, seed)) for a in SHRINKAGE]
    return [
        ({"learning_rate": rate, "rounds": rounds, "leaves": leaves}, partial(_trees, rate, rounds, leaves, seed))
        for rate, rounds, leaves in TREES
    ]


def _linear(penalty: float, n: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    regression = LogisticRegression(
        l1_ratio=1.0, C=1 / (penalty * n), solver="liblinear", tol=1e-3, max_iter=500, random_state=seed,
        intercept_scaling=10.0,  # liblinear penalises the intercept: scaled, hardly so
    )  # fmt: skip
    return OneVsRestClassifier(regression)


def preparation(family: str) -> Any:
    """What comes before the estimator: filling with an indicator, and scaling, for the linear one; else nothing."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    if family != "linear":
        return Pipeline([("as_it_is", "passthrough")])
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return Pipeline([("fill", fill), ("scale", StandardScaler())])


def whole(family: str, prepare: Any, estimator: Any) -> Any:
    """Fitted preparation and estimator as one."""
    from sklearn.pipeline import Pipeline

    return Pipeline([*prepare.steps, ("fit", estimator)]) if family == "linear" else estimator


def _trees(rate: float, rounds: int, leaves: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=rate, max_iter=rounds, max_leaf_nodes=leaves, l2_regularization=1.0, random_state=seed,
        early_stopping=False,  # it would hold out rows, not patients
    )  # fmt: skip


def fit(X: Array, target: NDArray[np.int64], group: NDArray[np.int64], family: str, seed: int) -> Fitted:
    """Choose settings by grouped cross-validation, calibrate on its out-of-fold predictions, fit on all rows.

    Parameters
    ----------
    X : (n, columns) ndarray
        NaN where missing.
    target, group : (n,) ndarray of int
    family : str
        One of `FAMILIES`.
    seed : int
    """
    from sklearn.linear_model import LogisticRegression

    rows = some_groups(group, TUNING_ROWS, seed)
    if len(np.unique(target[rows])) < len(np.unique(target)):
        rows = np.arange(len(target))
    x, y, splits = X[rows], target[rows], folds(target[rows], group[rows], INNER_FOLDS, seed)
    n_labels = int(target.max()) + 1
    settings = [setting for setting, _ in candidates(family, len(rows), seed)]
    held = np.empty((len(settings), len(rows), n_labels))
    for train, out in splits:
        prepare = preparation(family)
        ready, unseen = prepare.fit_transform(x[train]), prepare.transform(x[out])
        for k, (_, make) in enumerate(candidates(family, len(train), seed)):
            held[k, out] = make().fit(ready, y[train]).predict_proba(unseen)
    losses = -np.log(np.clip(held[:, np.arange(len(y)), y], FLOOR, 1))
    best = int(losses.mean(axis=1).argmin())
    calibrator = LogisticRegression(C=1e4, max_iter=1000).fit(log_odds(held[best]), y)
    estimator = make_whole(X, target, family, best, seed)
    return Fitted(family, settings[best], estimator, calibrator, losses[best], rows)


def make_whole(X: Array, target: NDArray[np.int64], family: str, chosen: int, seed: int) -> Any:
    """Preparation and estimator of a setting, fitted on these rows."""
    prepare = preparation(family)
    estimator = candidates(family, len(target), seed)[chosen][1]()
    estimator.fit(prepare.fit_transform(X), target)
    return whole(family, prepare, estimator)


def choose(fitted: dict[str, Fitted], group: NDArray[np.int64]) -> str:
    """Boosting where its loss is lower by more than a standard error over groups, else the linear baseline."""
    if len(fitted) == 1:
        return next(iter(fitted))
    linear, boosting = fitted["linear"], fitted["boosting"]
    _, place = np.unique(group[linear.rows], return_inverse=True)
    gain = np.bincount(place, linear.losses - boosting.losses)
    error = gain.std(ddof=1) * np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return "boosting" if gain.sum() > error else "linear"
