"""Model files: skops, read only if every part of them is on a fixed list. Nothing in a file is ever executed.

A file is checked before skops sees it: size, archive, names and sizes of members, and each node of its description
against `ALLOWED`. Arrays are read without pickle. Trees are checked after, because a tree that points outside itself
would be followed by compiled code.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError, RefusedError
from .model import Model
from .schema import Schema

FORMAT, VERSION = "calcimap model", 1
LARGEST_FILE = 256 << 20
LARGEST_INFLATED = 512 << 20
LARGEST_DESCRIPTION = 64 << 20
MOST_MEMBERS = 100_000
_HGB = "sklearn.ensemble._hist_gradient_boosting."
ALLOWED = frozenset({
    ("builtins", "dict", "DictNode"), ("builtins", "list", "ListNode"), ("builtins", "tuple", "TupleNode"),
    ("builtins", "str", "JsonNode"), ("builtins", "str", "TypeNode"),
    ("numpy", "dtype", "DTypeNode"), ("numpy", "ndarray", "NdArrayNode"), ("numpy", "float64", "NdArrayNode"),
    ("numpy", "int64", "NdArrayNode"), ("numpy", "uint64", "NdArrayNode"),
    ("numpy.random._generator", "Generator", "RandomGeneratorNode"),
    ("sklearn.pipeline", "Pipeline", "ObjectNode"),
    ("sklearn.impute._base", "SimpleImputer", "ObjectNode"),
    ("sklearn.impute._base", "MissingIndicator", "ObjectNode"),
    ("sklearn.preprocessing._data", "StandardScaler", "ObjectNode"),
    ("sklearn.preprocessing._label", "LabelBinarizer", "ObjectNode"),
    ("sklearn.preprocessing._label", "LabelEncoder", "ObjectNode"),
    ("sklearn.multiclass", "OneVsRestClassifier", "ObjectNode"),
    ("sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode"),
    (_HGB + "gradient_boosting", "HistGradientBoostingClassifier", "ObjectNode"),
    (_HGB + "binning", "_BinMapper", "ObjectNode"),
    (_HGB + "predictor", "TreePredictor", "ObjectNode"),
    ("sklearn._loss.loss", "HalfBinomialLoss", "ObjectNode"),
    ("sklearn._loss.loss", "HalfMultinomialLoss", "ObjectNode"),
    ("sklearn._loss._loss", "CyHalfBinomialLoss", "LossNode"),
    ("sklearn._loss._loss", "CyHalfMultinomialLoss", "LossNode"),
    ("sklearn._loss.link", "LogitLink", "ObjectNode"),
    ("sklearn._loss.link", "MultinomialLogit", "ObjectNode"),
    ("sklearn._loss.link", "Interval", "ObjectNode"),
})  # fmt: skip
"""(module, class, kind of node) of everything that a model of this package is made of, and nothing else."""
_TRUSTED = ["numpy.dtype", _HGB + "predictor.TreePredictor", _HGB + "binning._BinMapper"]
_MEMBER = re.compile(r"schema\.json|[0-9]{1,24}\.npy")


def dump_model(model: Model) -> bytes:
    """A model as the bytes of its file."""
    import skops.io

    about = {
        "labels": list(model.labels),
        "target": model.target,
        "schema": model.schema.to_dict(),
        "family": model.family,
        "setting": dict(model.setting),
        "tendencies": dict(model.tendencies),
        "versions": dict(model.versions),
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "about": json.dumps(about, sort_keys=True),
        "estimator": model.estimator,
        "calibrator": model.calibrator,
    }
    return bytes(skops.io.dumps(content, compression=zipfile.ZIP_DEFLATED))


def sha256(data: bytes) -> str:
    """Hash of a model file."""
    return hashlib.sha256(data).hexdigest()


def load_model(source: str | Path | bytes, *, expected_sha256: str | None = None) -> Model:
    """Read a model file, or refuse it.

    Parameters
    ----------
    source : path or bytes
    expected_sha256 : str, optional
        Hash that the file must have; it stands in the model's card.

    Raises
    ------
    ReadError
        ``not_model``: a pickle, a joblib file, an archive of something else, a damaged file.
    RefusedError
        ``not_model``: a part that no model of calcimap has, too large, another hash, or another scikit-learn.
    """
    path = None if isinstance(source, bytes) else Path(source)
    try:
        if path is not None and path.stat().st_size > LARGEST_FILE:
            raise RefusedError("not_model", f"the model file is larger than {LARGEST_FILE >> 20} MiB", path)
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ReadError(
            "not_model", f"the model file cannot be read ({error.strerror}); check its path", path
        ) from None
    if expected_sha256 is not None and sha256(data) != expected_sha256.strip().lower():
        raise RefusedError("not_model", "the model file does not have the expected SHA-256: it was changed", path)
    try:
        return _load(data)
    except (RefusedError, ReadError) as error:
        raise type(error)(error.reason, error.message, path) from None
    except Exception as error:  # the boundary: whatever a damaged file makes zipfile, json, numpy or skops raise
        text = f"the file is no model of calcimap, or damaged ({type(error).__name__}); nothing in it was executed"
        raise ReadError("not_model", text, path) from None


def _load(data: bytes) -> Model:
    import skops.io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        description = _inspect(archive)
    _check_nodes(description)
    if description.get("protocol") != _protocol():
        raise RefusedError("not_model", "the file has another skops protocol; train the model again")
    content = skops.io.loads(data, trusted=_TRUSTED)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise RefusedError("not_model", f"not a {FORMAT} of version {VERSION}")
    about = json.loads(content["about"])
    _check_version(about["versions"])
    schema = Schema.from_dict(about["schema"])
    estimator, calibrator = content["estimator"], content["calibrator"]
    _check_shapes(estimator, calibrator, len(schema.columns), len(about["labels"]))
    return Model(
        tuple(about["labels"]), about["target"], schema, about["family"], about["setting"], estimator, calibrator,
        about["tendencies"], about["versions"],
    )  # fmt: skip


def _inspect(archive: zipfile.ZipFile) -> Any:
    """The description of an archive whose members are few, known by name, and not larger than they say."""
    members = archive.infolist()
    names = [m.filename for m in members]
    if (
        len(members) > MOST_MEMBERS
        or len(set(names)) != len(names)
        or sum(m.file_size for m in members) > LARGEST_INFLATED
    ):
        raise RefusedError("not_model", "the file unpacks to more than a model of calcimap holds")
    if any(m.file_size > LARGEST_DESCRIPTION for m in members if m.filename == "schema.json"):
        raise RefusedError("not_model", "the description in the file is larger than that of any model")
    if "schema.json" not in names or not all(_MEMBER.fullmatch(n) for n in names):
        raise RefusedError("not_model", "the archive holds other things than a model of calcimap")
    for member in members:
        with archive.open(member) as stream:  # zipfile itself stops at the size that was declared, and checks the CRC
            if member.filename == "schema.json":
                description = json.loads(stream.read(member.file_size + 1))
            else:
                _check_array(stream, member.file_size)
    return description


def _protocol() -> int:
    """The protocol that this skops writes; older ones have loaders of their own, which are not wanted."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps({}))) as archive:
        return int(json.loads(archive.read("schema.json"))["protocol"])


def _check_array(stream: Any, size: int) -> None:
    """An array without objects, as large as its member: else numpy would allocate what a header claims."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = read(stream)
    if dtype.hasobject or int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize > size:
        raise RefusedError("not_model", "an array in the file is not what its header claims")


def _check_nodes(node: Any) -> None:
    """Every node is on `ALLOWED`; anything else is named and refused, before anything is made of it."""
    todo = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += part
        elif isinstance(part, dict):
            if {"__class__", "__module__", "__loader__"} & part.keys():
                kind = (part.get("__module__"), part.get("__class__"), part.get("__loader__"))
                if kind not in ALLOWED:
                    text = f"the file holds {kind[0]}.{kind[1]}, which no model of calcimap has; nothing was executed"
                    raise RefusedError("not_model", text)
            todo += part.values()


def _check_version(versions: dict[str, str]) -> None:
    now, then = metadata.version("scikit-learn"), versions["scikit-learn"]
    if now.split(".")[:2] != then.split(".")[:2]:
        text = f"the model was trained with scikit-learn {then}, here is {now}, which may predict otherwise"
        raise RefusedError("not_model", f"{text}; install that version, or train again")


def _check_shapes(estimator: Any, calibrator: Any, columns: int, labels: int) -> None:
    """The parts fit each other, and no tree points outside itself."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    if not isinstance(calibrator, LogisticRegression) or calibrator.coef_.shape[1] != labels - 1:
        raise RefusedError("not_model", "the calibration in the file does not belong to its labels")
    if not isinstance(estimator, HistGradientBoostingClassifier | Pipeline) or estimator.n_features_in_ != columns:
        raise RefusedError("not_model", "the estimator in the file does not belong to its features")
    if isinstance(estimator, HistGradientBoostingClassifier):
        if estimator.is_categorical_ is not None or np.any(estimator._bin_mapper.is_categorical_):
            raise RefusedError("not_model", "a tree in the file uses categories, which no model of calcimap does")
        for tree in (t for step in estimator._predictors for t in step):
            _check_tree(tree.nodes, columns)
    probe = np.asarray(estimator.predict_proba(np.zeros((1, columns))))
    if probe.shape != (1, labels) or not np.isfinite(probe).all():
        raise RefusedError("not_model", "the estimator in the file does not belong to its labels")


def _check_tree(nodes: Any, columns: int) -> None:
    inner = nodes[nodes["is_leaf"] == 0]
    own = np.flatnonzero(nodes["is_leaf"] == 0)
    fine = len(nodes) > 0 and bool(
        (inner["left"] > own).all() and (inner["left"] < len(nodes)).all()
        and (inner["right"] > own).all() and (inner["right"] < len(nodes)).all()
        and (inner["feature_idx"] >= 0).all() and (inner["feature_idx"] < columns).all()
        and (inner["is_categorical"] == 0).all()
    )  # fmt: skip
    if not fine:
        raise RefusedError("not_model", "a tree in the file points outside itself")
