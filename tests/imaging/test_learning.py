"""Learned classifiers on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from imaging import FINDINGS, Column, RefusedError, UsageError, classify, predict, rank_hypotheses, train_model
from imaging.knowledge.wording import NOTICE
from imaging.learning import metrics
from imaging.learning.schema import Schema, default_features
from imaging.learning.splits import folds, some_groups
from imaging.learning.validation import mean_auc
from tests.benchmarks.bench_learning import cohort, names


def trained(n=600, columns=6, seed=0, **how):
    table, labels, _ = cohort(n, columns, seed)
    return train_model(table, labels, "label", features=names(table), **({"family": "linear"} | how)), table, labels


@pytest.fixture(scope="module")
def linear():
    return trained(2000, 12, 3)[0]


# -- known truth ---------------------------------------------------------------------------------------------------


def test_a_well_specified_model_comes_near_the_best_there_is(linear):
    fresh, truth, odds = cohort(100_000, 12, 900)
    y = (truth["label"] == "yes").to_numpy()
    best = roc_auc_score(y, odds)
    p = predict(linear.model, fresh, unverified=True)["probability_yes"].to_numpy()
    found = linear.evaluation["selected"]["by_label"]["yes"]["roc_auc"]
    assert abs(found["value"] - best) < 0.03
    assert found["low"] <= roc_auc_score(y, p) <= found["high"]
    assert best - roc_auc_score(y, p) < 0.01
    assert metrics.calibration_error(y, p) < 0.05
    assert linear.evaluation["selected"]["by_label"]["yes"]["calibration_error"] < 0.05


def test_what_matters_is_found_to_matter(linear):
    first = [row["feature"] for row in linear.evaluation["importance"][:6]]
    assert set(first) == {f"f{k}" for k in range(6)}  # the six with effects
    coefficients = linear.model.estimator.named_steps["fit"].estimators_[0].coef_[0]
    assert (np.abs(coefficients[:6]) > 0.2).all()
    assert (np.abs(coefficients[6:]) < 0.15).all()


def test_learning_curve_rises(linear):
    curve = linear.evaluation["learning_curve"]
    assert [p["groups"] for p in curve] == sorted(p["groups"] for p in curve)
    assert curve[-1]["roc_auc"] > curve[0]["roc_auc"]


def test_permuted_labels_give_chance():
    table, labels, _ = cohort(1000, 6, 5)
    labels["label"] = np.random.default_rng(0).permutation(labels["label"])
    made = train_model(table, labels, "label", features=names(table), family="linear")
    auc = made.evaluation["selected"]["by_label"]["yes"]["roc_auc"]
    assert auc["low"] <= 0.5 <= auc["high"]


def test_trees_are_chosen_where_lines_cannot_do_it():
    rng = np.random.default_rng(1)
    table, labels, _ = cohort(800, 4, 1)
    product = np.sign(table["f0"] * table["f1"])
    labels["label"] = np.where(rng.random(800) < 0.5 + 0.45 * product, "yes", "no")
    done = train_model(table, labels, "label", features=names(table), family="auto")
    assert done.model.family == "boosting"
    by_family = done.evaluation["by_family"]
    assert by_family["boosting"]["by_label"]["yes"]["roc_auc"]["value"] > 0.85
    assert by_family["linear"]["by_label"]["yes"]["roc_auc"]["value"] < 0.65


def test_the_linear_baseline_is_kept_where_it_is_as_good():
    assert trained(400, 4, 2, family="auto")[0].model.family == "linear"


def test_three_labels():
    table, labels, _ = cohort(400, 4, 7)
    labels["label"] = np.select([table["f0"] > 0.6, table["f1"] > 0.6], ["a", "b"], "c")
    for family in ("linear", "boosting"):
        done = train_model(table, labels, "label", features=names(table), family=family)
        p = done.model.probabilities(table, unverified=True)
        assert p.shape == (400, 3)
        assert p.sum(axis=1) == pytest.approx(1)
        assert set(done.evaluation["selected"]["by_label"]) == {"a", "b", "c"}
        assert done.evaluation["selected"]["by_label"]["a"]["roc_auc"]["value"] > 0.85


# -- leaks ---------------------------------------------------------------------------------------------------------


def patients_alike(n_patients=80, rows=10):
    """Rows of a patient are all but the same; labels belong to patients and to nothing else."""
    rng = np.random.default_rng(4)
    who = np.repeat(np.arange(n_patients), rows)
    X = rng.normal(size=(n_patients, 4))[who] + 0.01 * rng.normal(size=(len(who), 4))
    table = pd.DataFrame(X, columns=list("wxyz")).assign(
        scan_id=[f"s{k}" for k in who], finding_id=np.tile(np.arange(rows) + 1, n_patients)
    )
    table["patient_key"] = [f"p{k}" for k in who]
    labels = table[["scan_id", "finding_id"]].assign(label=np.where(rng.permutation(n_patients) % 2, "a", "b")[who])
    return table, labels


def test_patients_on_one_side_give_chance_where_rows_would_give_certainty():
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    table, labels = patients_alike()
    leaky = cross_val_predict(
        HistGradientBoostingClassifier(), table[list("wxyz")], labels["label"], cv=StratifiedKFold(5, shuffle=True),
        method="predict_proba",
    )  # fmt: skip
    assert roc_auc_score(labels["label"] == "b", leaky[:, 1]) > 0.95
    done = train_model(table, labels, "label", features=list("wxyz"), family="boosting")
    auc = done.evaluation["selected"]["by_label"]["b"]["roc_auc"]
    assert auc["low"] <= 0.5 <= auc["high"]
    assert done.evaluation["group"] == "patient_key"


@given(st.integers(0, 10_000), st.integers(10, 40), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_no_group_is_ever_on_both_sides(seed, n_groups, n):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, 200)
    target = (rng.random(200) < 0.5).astype(np.int64)
    held_out = []
    for train, held in folds(target, group, n, seed):
        assert not set(group[train]) & set(group[held])
        held_out.append(held)
    assert sorted(np.concatenate(held_out)) == list(range(200))
    some = some_groups(group, 50, seed)
    assert len(some) <= max(50, np.bincount(group).max())
    assert not set(group[some]) & set(np.delete(group, some))


def test_what_says_whose_a_row_is_cannot_be_a_feature():
    table, labels = patients_alike()
    assert not {"scan_id", "finding_id", "group_id", "centroid_x_mm"} & set(default_features(table))
    with pytest.raises(UsageError, match="cannot be a feature"):
        train_model(table, labels, "label", features=["w", "patient_key"])


# -- metrics -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_areas_are_those_of_scikit_learn(seed, n, levels):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    truth[:2] = True, False
    score = rng.integers(0, levels, n) / levels  # ties
    weight = rng.integers(0, 3, (3, n)).astype(float)
    weight[:, :2] = 1
    roc, precision = metrics.areas(truth, score, weight)
    for k in range(3):
        assert roc[k] == pytest.approx(roc_auc_score(truth, score, sample_weight=weight[k]))
        assert precision[k] == pytest.approx(average_precision_score(truth, score, sample_weight=weight[k]))


def test_calibration_error_of_known_probabilities():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    assert metrics.calibration_error(rng.random(200_000) < p, p) < 0.005
    assert metrics.calibration_error(rng.random(200_000) < p / 2, p) == pytest.approx(0.25, abs=0.005)


def test_intervals_follow_patients_not_rows():
    """Copies of rows add nothing: with them in one group each the interval stays as wide."""
    rng = np.random.default_rng(2)
    y = (rng.random(300) < 0.5).astype(np.int64)
    p = np.clip(0.5 + 0.2 * (y - 0.5) + 0.2 * rng.normal(size=300), 0.01, 0.99)

    def width(copies, grouped):
        rows = np.repeat(np.arange(300), copies)
        group = rows if grouped else np.arange(len(rows))
        m = metrics.evaluate(y[rows], np.stack([1 - p, p], axis=1)[rows], group, np.zeros(len(rows), int), ("a", "b"))
        auc = m["by_label"]["b"]["roc_auc"]
        return auc["high"] - auc["low"]

    assert width(10, True) == pytest.approx(width(1, True), rel=0.1)
    assert width(10, False) < 0.5 * width(1, True)


def test_a_label_that_is_absent_has_no_area():
    assert np.isnan(mean_auc(np.zeros(4, np.int64), np.full((4, 2), 0.5)))


# -- missing values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["linear", "boosting"])
def test_missing_is_not_zero(family):
    """Missing means yes, zero means no: a model that fills with 0 could not tell them apart."""
    rng = np.random.default_rng(0)
    n = 400
    y = rng.random(n) < 0.5
    table = pd.DataFrame({"value": np.where(y, np.nan, 0.0), "scan_id": [f"s{k}" for k in range(n)]})
    table["noise"] = rng.normal(size=n)
    labels = pd.DataFrame({"scan_id": table["scan_id"], "label": np.where(y, "yes", "no")})
    table.loc[0:19, "value"] = np.where(y[:20], np.nan, 1e-9)
    done = train_model(table, labels, "label", features=["value", "noise"], family=family)
    assert done.evaluation["selected"]["by_label"]["yes"]["roc_auc"]["value"] > 0.99
    assert np.isnan(done.model.schema.matrix(table)[y, 0]).all()


def test_words_and_missing_words():
    table = pd.DataFrame({"pattern": pd.Series(["rim", None, "solid", "rim"], dtype="string"), "x": [1, 2, 3, np.inf]})
    schema = Schema.of(table, ["pattern", "x"])
    assert schema.columns == ("pattern=rim", "pattern=solid", "x")
    assert np.array_equal(
        schema.matrix(table), [[1, 0, 1], [np.nan, np.nan, 2], [0, 1, 3], [1, 0, np.nan]], equal_nan=True
    )
    new = table.assign(pattern=pd.Series(["arc"] * 4, dtype="string"))
    assert (schema.matrix(new)[:, :2] == 0).all()  # known to be none of them


# -- schema --------------------------------------------------------------------------------------------------------


def findings(n=300, seed=0):
    """A findings table with a label that max_diameter_mm decides."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({
        "scan_id": pd.Series([f"s{k // 3}" for k in range(n)], dtype="string"), "finding_id": np.arange(n) % 3 + 1,
        "modality": pd.Series(["CT"] * n, dtype="string"), "intensity_unit": pd.Series(["HU"] * n, dtype="string"),
        "agatston_definition": pd.Series(["fqm"] * n, dtype="string"), "max_diameter_mm": rng.gamma(3, 3, n),
        "intensity_max": rng.normal(500, 100, n), "pattern": pd.Series(rng.choice(["rim", "solid"], n), dtype="string"),
    })  # fmt: skip
    labels = table[["scan_id", "finding_id"]].assign(kind=np.where(table["max_diameter_mm"] > 8, "large", "small"))
    return table, labels


MADE = {"detection.threshold_mode": '"adaptive"'}


@pytest.fixture(scope="module")
def model():
    table, labels = findings()
    return train_model(table, labels, "kind", family="linear", made=MADE, tendencies={"large": "concern"}).model


def test_other_features_are_refused_by_name(model):
    table, _ = findings()
    with pytest.raises(RefusedError, match="max_diameter_mm") as error:
        predict(model, table.drop(columns="max_diameter_mm"), made=MADE)
    assert error.value.reason == "other_features"
    unit = FINDINGS | {"max_diameter_mm": Column("max_diameter_mm", "float64", "cm", "d", "s")}
    with pytest.raises(RefusedError, match=r"max_diameter_mm \(unit cm, was mm\)"):
        predict(model, table, columns=unit, made=MADE)
    known = FINDINGS["max_diameter_mm"]
    other = FINDINGS | {"max_diameter_mm": Column(known.name, known.dtype, "mm", "the shortest", known.source)}
    with pytest.raises(RefusedError, match=r"max_diameter_mm \(another definition\)"):
        predict(model, table, columns=other, made=MADE)
    with pytest.raises(RefusedError, match=r"pattern \(was string\)"):
        predict(model, table.assign(pattern=1.0), made=MADE)
    with pytest.raises(RefusedError, match=r"max_diameter_mm.*not known now"):
        predict(model, table, columns={}, made=MADE)


@pytest.mark.parametrize(("column", "value"), [
    ("agatston_definition", "classic"), ("intensity_unit", "grey"), ("modality", "US"),
])  # fmt: skip
def test_another_definition_is_refused(model, column, value):
    table, _ = findings()
    table[column] = pd.Series([value] * len(table), dtype="string")
    with pytest.raises(RefusedError, match=f"{column} is {value}") as error:
        predict(model, table, made=MADE)
    assert error.value.reason == "other_definition"


def test_other_settings_are_refused_and_unknown_ones_unless_asked(model):
    table, _ = findings()
    with pytest.raises(RefusedError, match="threshold_mode"):
        predict(model, table, made={"detection.threshold_mode": '"fixed"'})
    with pytest.raises(RefusedError, match="unverified"):
        predict(model, table)
    with pytest.raises(RefusedError, match="threshold_mode"):
        predict(model, table, made={"detection.threshold_mode": '"fixed"'}, unverified=True)
    made = predict(model, table, unverified=True)
    assert list(made.columns[-3:]) == ["predicted", "probability_large", "probability_small"]
    assert (made["predicted"] == findings()[1]["kind"]).mean() > 0.95
    with pytest.raises(UsageError, match="already has"):
        predict(model, made, unverified=True)
    with pytest.raises(RefusedError, match="feature schema"):
        Schema.from_dict(model.schema.to_dict() | {"version": 99})


def test_a_model_stands_behind_classify(model):
    table, labels = findings(30, 5)
    named = classify(table, model)
    assert (named["hypothesis"] == labels["kind"]).mean() > 0.9
    assert set(named["hypothesis_tendency"]) == {"concern", "indeterminate"}
    assert named["mechanism"].isna().all()
    long = rank_hypotheses(table, model)
    assert long.groupby("finding_id").size().sum() == 60
    assert long["statement"].str.endswith(NOTICE).all()
    assert (long["score"] <= 1).all()


def test_nothing_to_predict(model):
    table, _ = findings()
    assert len(predict(model, table.iloc[:0], unverified=True)) == 0


# -- bad calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "said"), [
    (lambda t, y: (t, y.rename(columns={"label": "lable"})), "no column 'label'"),
    (lambda t, y: (t, y.assign(label="a")), "one label only"),
    (lambda t, y: (t, y.assign(label=["a"] * 590 + ["b"] * 10)), "'b' occurs in 2 groups"),
    (lambda t, y: (t, pd.concat([y, y])), "twice"),
    (lambda t, y: (t, y.drop(columns=["scan_id", "finding_id"])), "need scan_id"),
    (lambda t, y: (t, y.drop(columns="scan_id").drop_duplicates("finding_id")), "counts within a scan"),
    (lambda t, y: (t, y.assign(scan_id="not " + y["scan_id"])), "no label belongs"),
    (lambda t, y: (t.assign(patient_key=None), y), "patient_key is missing"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_refused(change, said):
    table, labels, _ = cohort(600, 4, 0)
    table, labels = change(table, labels)
    with pytest.raises(UsageError, match=said):
        train_model(table, labels, "label", features=["f0", "f1"], family="linear")


@pytest.mark.parametrize(("how", "said"), [
    ({"features": ["f0", "f99"]}, "f99"), ({"group": "who"}, "who"), ({"family": "deep"}, "linear"),
    ({"tendencies": {"yes": "bad"}}, "tendency"), ({"features": ["empty"]}, "no feature"),
])  # fmt: skip
def test_bad_calls_are_refused(how, said):
    table, labels, _ = cohort(600, 4, 0)
    table["empty"] = np.nan
    with pytest.raises(UsageError, match=said):
        train_model(table, labels, "label", **({"features": ["f0"], "family": "linear"} | how))


def test_the_same_seed_gives_the_same_model():
    one, two = trained(240, 4, 0)[0], trained(240, 4, 0)[0]
    assert one.evaluation == two.evaluation
