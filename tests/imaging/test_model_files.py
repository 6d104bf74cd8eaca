"""Model files: what is not ours is refused, and nothing in it runs."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from imaging import CalcimapError, ReadError, RefusedError, dump_model, load_model, train_model
from imaging.learning import files
from tests.benchmarks.bench_learning import cohort, names


@pytest.fixture(scope="module", params=["linear", "boosting", "boosting3"])
def model(request):
    table, labels, _ = cohort(240, 4, 0)
    if request.param == "boosting3":
        labels["label"] = np.select([table["f0"] > 0.6, table["f1"] > 0.6], ["a", "b"], "c")
    family = request.param.rstrip("3")
    return train_model(table, labels, "label", features=names(table), family=family).model


@pytest.fixture(scope="module")
def good():
    table, labels, _ = cohort(240, 4, 0)
    return dump_model(train_model(table, labels, "label", features=names(table), family="boosting").model)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "executed")


def rewritten(data, change):
    """A model file with its members changed by `change(name, bytes) -> bytes or None`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def test_round_trip(model, tmp_path):
    (tmp_path / "m.skops").write_bytes(dump_model(model))
    again = load_model(tmp_path / "m.skops")
    table = cohort(50, 4, 9)[0]
    table.loc[:10, "f0"] = np.nan
    assert np.array_equal(again.probabilities(table, unverified=True), model.probabilities(table, unverified=True))
    assert (again.labels, again.target, again.schema, again.family) == (
        model.labels, model.target, model.schema, model.family,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["pickle", "joblib", "pickle in zip", "text", "empty", "png"])
def test_foreign_files_are_refused_and_nothing_runs(kind, tmp_path, good):
    mark = tmp_path / "executed"
    file = tmp_path / "m.skops"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Bomb(mark)))
    elif kind == "joblib":
        joblib.dump(Bomb(mark), file)
    elif kind == "pickle in zip":
        bomb = pickle.dumps(Bomb(mark))
        file.write_bytes(rewritten(good, lambda name, data: bomb if name.endswith(".npy") else data))
    else:
        file.write_bytes({"text": b"hello", "empty": b"", "png": b"\x89PNG\r\n\x1a\n"}[kind])
    with pytest.raises(CalcimapError) as error:
        load_model(file)
    assert error.value.reason == "not_model"
    assert error.value.path == file
    assert not mark.exists()
    if kind in ("pickle", "joblib"):
        pickle.loads(file.read_bytes()) if kind == "pickle" else joblib.load(file)
        assert mark.exists()  # the bombs are live


def test_an_object_array_is_refused(tmp_path, good):
    mark = tmp_path / "executed"
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(RefusedError, match="array"):
        load_model(rewritten(good, lambda n, d: buffer.getvalue() if n.endswith(".npy") else d))
    assert not mark.exists()


@pytest.mark.parametrize("hostile", [
    lambda mark: FunctionTransformer(__import__("os").system, kw_args={"command": f"touch {mark}"}),
    lambda mark: Pipeline([("f", FunctionTransformer(np.exp))]),
    lambda mark: {"estimator": __import__("functools").partial(__import__("os").system, f"touch {mark}")},
    lambda mark: {"estimator": __import__("operator").methodcaller("touch")},
    lambda mark: Path(mark).touch,
    lambda mark: {1, 2},
    lambda mark: slice(3),
])  # fmt: skip
def test_skops_files_with_other_parts_are_refused_by_name(hostile, tmp_path, monkeypatch):
    mark = tmp_path / "executed"
    data = skops.io.dumps(hostile(str(mark)))
    reached = []
    monkeypatch.setattr(skops.io, "loads", lambda *a, **k: reached.append(a))
    with pytest.raises(RefusedError, match="which no model of calcimap has"):
        load_model(data)
    assert not reached  # skops never sees it
    assert not mark.exists()


def test_every_kind_of_node_is_checked(good):
    """A node changed into any other class or loader is refused before anything is made."""
    for key, value in (("__class__", "system"), ("__module__", "os"), ("__loader__", "FunctionNode")):

        def change(name, data, key=key, value=value):
            if name != "schema.json":
                return data
            description = json.loads(data)
            next(iter(description["content"].values()))[key] = value
            return json.dumps(description).encode()

        with pytest.raises(CalcimapError):
            load_model(rewritten(good, change))


def test_allowed_types_cannot_be_functions():
    for module, name, loader in files.ALLOWED:
        assert loader in (
            "DictNode", "ListNode", "TupleNode", "JsonNode", "TypeNode", "DTypeNode", "NdArrayNode", "ObjectNode",
            "LossNode", "RandomGeneratorNode",
        )  # fmt: skip
        assert not (module == "builtins" and name not in ("dict", "list", "tuple", "str"))


def test_truncated_files(good):
    for share in (0.01, 0.3, 0.7, 0.99):
        with pytest.raises(ReadError, match="damaged"):
            load_model(good[: int(len(good) * share)])


def test_a_zip_bomb_is_refused_before_it_is_unpacked(good, tmp_path):
    zeros = bytes(1 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("schema.json", "w", force_zip64=True) as s:
        for _ in range(600):
            s.write(zeros)
    assert len(out.getvalue()) < 1 << 20
    with pytest.raises(RefusedError, match="unpacks to more"):
        load_model(out.getvalue())
    data = out.getvalue().replace(
        (600 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    )  # a lie about its size
    with pytest.raises(CalcimapError):
        load_model(data)


def test_a_huge_description_is_refused(good):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("schema.json", b" " * (65 << 20))
    with pytest.raises(RefusedError, match="description"):
        load_model(out.getvalue())


def test_an_array_that_claims_to_be_huge_is_refused(good):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with pytest.raises(RefusedError, match="header claims"):
        load_model(rewritten(good, lambda n, d: header.getvalue() if n.endswith(".npy") else d))


def test_other_members_are_refused(good):
    out = io.BytesIO(good)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("../../evil.npy", b"x")
    with pytest.raises(RefusedError, match="other things"):
        load_model(out.getvalue())


@pytest.mark.parametrize(("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 99), ("feature_idx", -1)])
def test_trees_that_point_outside_themselves_are_refused(field, value, good):
    """Compiled code would follow them."""
    model = load_model(good)
    nodes = model.estimator._predictors[0][0].nodes
    assert isinstance(model.estimator, HistGradientBoostingClassifier)
    nodes[field][0] = value
    with pytest.raises(RefusedError, match="points outside"):
        load_model(dump_model(model))


def test_categories_and_older_protocols_are_refused(good):
    model = load_model(good)
    model.estimator._bin_mapper.is_categorical_[0] = 1
    with pytest.raises(RefusedError, match="categories"):
        load_model(dump_model(model))

    def older(name, data):
        return json.dumps(json.loads(data) | {"protocol": 0}).encode() if name == "schema.json" else data

    with pytest.raises(RefusedError, match="protocol"):
        load_model(rewritten(good, older))


def test_hash_and_version(good, monkeypatch):
    assert load_model(good, expected_sha256=files.sha256(good)).family == "boosting"
    with pytest.raises(RefusedError, match="SHA-256"):
        load_model(good, expected_sha256="0" * 64)
    monkeypatch.setattr(files.metadata, "version", lambda name: "99.0.0")
    with pytest.raises(RefusedError, match="scikit-learn"):
        load_model(good)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ReadError, match="cannot be read"):
        load_model(tmp_path / "none")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_is_a_typed_error_or_does_no_harm(good, data):
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        model = load_model(bytes(changed))
    except (ReadError, RefusedError):
        return
    assert model.probabilities(cohort(5, 4, 0)[0], unverified=True).shape == (5, 2)
