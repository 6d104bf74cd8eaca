"""Nested cross-validation by patient: what a model will do on patients it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .estimators import Fitted, calibrated, candidates, choose, fit, make_whole
from .splits import Rows, folds, some_groups

Array = NDArray[np.float64]
OUTER_FOLDS = 5
IMPORTANCE_ROWS = 1000
IMPORTANCE_REPEATS = 3
CURVE_ROWS = 10_000
CURVE_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


def validate(
    X: Array, target: NDArray[np.int64], group: NDArray[np.int64], labels: tuple[str, ...], owner: NDArray[np.int64],
    families: tuple[str, ...], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Measures of every family, and of choosing among them, on held-out patients; and permutation importance.

    Everything that is learned (settings, calibration, choice of family) is learned anew inside each training part.

    Returns
    -------
    dict
        ``families``: measures by family (`metrics.evaluate`); ``selected``: the same of the whole procedure;
        ``importance``: (features, 2) mean and standard deviation of the loss of ROC area.
    """
    n = len(target)
    fold = np.empty(n, np.int64)
    held = {name: np.empty((n, len(labels))) for name in (*families, "selected")}
    drops = []
    for k, (train, out) in enumerate(folds(target, group, OUTER_FOLDS, seed)):
        fold[out] = k
        made = {f: fit(X[train], target[train], group[train], f, seed) for f in families}
        for name, model in made.items():
            held[name][out] = model.predict(X[out])
        best = made[choose(made, group[train])]
        held["selected"][out] = held[best.family][out]
        drops.append(_importance(best, X[out], target[out], owner, np.random.default_rng(seed + k)))
    loss = np.concatenate(drops)
    score = {name: metrics.evaluate(target, p, group, fold, labels, seed) for name, p in held.items()}
    return {
        "families": {f: score[f] for f in families},
        "selected": score["selected"],
        "importance": np.stack([np.nanmean(loss, axis=0), np.nanstd(loss, axis=0)], axis=1),
    }


def mean_auc(target: NDArray[np.int64], probability: Array) -> float:
    """ROC area of each label against the rest, averaged over the labels present; NaN where there is one only."""
    ones = np.ones((1, len(target)))
    found = [metrics.areas(target == k, probability[:, k], ones)[0][0] for k in range(probability.shape[1])]
    known = [a for a in found if np.isfinite(a)]
    return float(np.mean(known)) if known else float("nan")


def _importance(
    model: Fitted, X: Array, target: NDArray[np.int64], owner: NDArray[np.int64], rng: np.random.Generator
) -> Array:
    """Loss of ROC area when a feature is shuffled among held-out rows, (repeats, features)."""
    rows = rng.permutation(len(target))[:IMPORTANCE_ROWS]
    x, y = X[rows], target[rows]
    base = mean_auc(y, model.predict(x))
    drops = np.empty((IMPORTANCE_REPEATS, owner.max() + 1))
    for r in range(IMPORTANCE_REPEATS):
        for k in range(drops.shape[1]):
            shuffled = x.copy()
            mine = owner == k
            shuffled[:, mine] = x[rng.permutation(len(x))][:, mine]
            drops[r, k] = base - mean_auc(y, model.predict(shuffled))
    return drops


def learning_curve(
    X: Array, target: NDArray[np.int64], group: NDArray[np.int64], model: Fitted, seed: int
) -> list[dict[str, float]]:
    """ROC area on held-out patients against the number of training patients, with the settings of `model`."""
    rows = some_groups(group, CURVE_ROWS, seed)
    x, y, g = X[rows], target[rows], group[rows]
    try_on = folds(y, g, OUTER_FOLDS, seed)
    curve = []
    for share in CURVE_SHARES:
        points = [_point(x, y, g, train, out, share, model, seed) for train, out in try_on]
        known = [p for p in points if np.isfinite(p[2])]
        if known:
            groups, n, auc = (np.array(v) for v in zip(*known, strict=True))
            curve.append(
                {"groups": float(groups.mean()), "rows": float(n.mean()), "roc_auc": float(auc.mean()),
                 "roc_auc_sd": float(auc.std())}
            )  # fmt: skip
    return curve


def _point(
    x: Array, y: NDArray[np.int64], g: NDArray[np.int64], train: Rows, out: Rows, share: float, model: Fitted, seed: int
) -> tuple[int, int, float]:
    names = np.random.default_rng(seed).permutation(np.unique(g[train]))
    chosen = train[np.isin(g[train], names[: max(2, round(share * len(names)))])]
    if len(np.unique(y[chosen])) < len(np.unique(y)):
        return 0, 0, float("nan")
    k = next(k for k, (s, _) in enumerate(candidates(model.family, 1, seed)) if s == model.setting)
    made = make_whole(x[chosen], y[chosen], model.family, k, seed)
    return len(np.unique(g[chosen])), len(chosen), mean_auc(y[out], calibrated(made, model.calibrator, x[out]))
