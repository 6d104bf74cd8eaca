"""What the learned classifiers promise, measured on synthetic cohorts of known truth.

    python tests/benchmarks/bench_learning.py coverage 100   # intervals against 100,000 fresh rows, distance to Bayes
    python tests/benchmarks/bench_learning.py permuted 100   # labels shuffled: 0.5 within the interval
    python tests/benchmarks/bench_learning.py speed          # 100,000 rows x 60 columns

A second number is the first seed, so that parts can run beside each other.
"""

import sys
import time

import numpy as np
import pandas as pd

from imaging import predict, train_model

EFFECTS = np.array([1.0, -1.0, 0.7, -0.7, 0.5, 0.5])


def cohort(n, columns, seed, rows_per_patient=8):
    """A well-specified linear model: features, labels, and the true log odds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    effects = EFFECTS[:columns]
    odds = X[:, : len(effects)] @ effects - 0.3
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no")
    table = pd.DataFrame(X, columns=[f"f{k}" for k in range(columns)])
    rows = np.arange(n)
    table = table.assign(scan_id=[f"s{k // 4}" for k in rows], finding_id=rows % 4 + 1)
    table["patient_key"] = [f"p{k // rows_per_patient}" for k in rows]
    return table, table[["scan_id", "finding_id"]].assign(label=y), odds


def names(table):
    return [c for c in table if c.startswith("f") and c != "finding_id"]


def coverage(repeats, first):
    from sklearn.metrics import roc_auc_score

    from imaging.learning.metrics import calibration_error

    covered, off, errors, families = [], [], [], []
    for seed in range(first, first + repeats):
        table, labels, odds = cohort(2000, 20, seed)
        bayes = roc_auc_score(labels["label"] == "yes", odds)
        done = train_model(table, labels, "label", features=names(table), family=FAMILY, seed=seed)
        auc = done.evaluation["selected"]["by_label"]["yes"]["roc_auc"]
        fresh, truth, true_odds = cohort(100_000, 20, 10_000 + seed)
        p = predict(done.model, fresh, unverified=True)["probability_yes"].to_numpy()
        y = (truth["label"] == "yes").to_numpy()
        real, best = roc_auc_score(y, p), roc_auc_score(y, true_odds)
        covered.append(auc["low"] <= real <= auc["high"])
        off.append(auc["value"] - best)
        errors.append(calibration_error(y, p))
        families.append(done.evaluation["family"])
        print(
            f"{seed}: cv {auc['value']:.4f} [{auc['low']:.4f}, {auc['high']:.4f}] fresh {real:.4f} bayes {best:.4f} "
            f"(in sample {bayes:.4f}) ece {errors[-1]:.4f} {'in' if covered[-1] else 'OUT'}", flush=True,
        )  # fmt: skip
    print(f"covered {sum(covered)} of {repeats}; |cv - bayes| max {np.abs(off).max():.4f} mean {np.mean(off):+.4f}; "
          f"ece max {max(errors):.4f}; families {pd.Series(families).value_counts().to_dict()}")  # fmt: skip


def permuted(repeats, first):
    inside, values = [], []
    for seed in range(first, first + repeats):
        table, labels, _ = cohort(2000, 20, seed)
        labels["label"] = np.random.default_rng(seed).permutation(labels["label"])
        done = train_model(table, labels, "label", features=names(table), family=FAMILY, seed=seed)
        auc = done.evaluation["selected"]["by_label"]["yes"]["roc_auc"]
        inside.append(auc["low"] <= 0.5 <= auc["high"])
        values.append(auc["value"])
    print(f"0.5 inside {sum(inside)} of {repeats}; mean {np.mean(values):.4f}")


def speed(*_):
    table, labels, _ = cohort(100_000, 60, 0)
    for family in ("linear", "boosting", "auto"):
        start = time.perf_counter()
        train_model(table, labels, "label", features=names(table), family=family)
        print(f"100,000 x 60, {family}: {time.perf_counter() - start:.0f} s", flush=True)


FAMILY = "linear"
if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    if numbers and numbers[-1] in ("auto", "boosting", "linear"):
        FAMILY = numbers.pop()
    repeats, first = (*map(int, numbers), *(100, 0)[len(numbers) :])
    {"coverage": coverage, "permuted": permuted, "speed": speed}[what](repeats, first)
