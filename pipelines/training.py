"""Train and predict from files: tables of a run in; a model with its card and evaluation, or predictions, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from imaging import Column, Model, Training, UsageError, dump_model, load_model, predict, train_model

from .modelcard import write_card
from .schemas import SCHEMAS
from .writers.tables import neutral

EVALUATION = "evaluation.json"
SETTINGS = ("detection", "scores")
"""Groups of the configuration that define what is measured."""


@dataclass(frozen=True, eq=False)
class Table:
    """Findings from a file, with what lies beside it.

    Parameters
    ----------
    rows : DataFrame
        With ``patient_key`` where a table of scans lies beside.
    columns : dict of str to Column
        The data dictionary of the file itself (Parquet) or beside it (columns.json); this version's otherwise.
    made : dict of str to str
        Settings from run.json beside it; empty without one.
    """

    rows: pd.DataFrame
    columns: dict[str, Column]
    made: dict[str, str]


def read_table(path: str | Path) -> Table:
    """Findings from findings.parquet, findings.csv, or the output folder of a run.

    Raises
    ------
    UsageError
        The file cannot be read as a table.
    """
    file = Path(path)
    if file.is_dir():
        file = next((file / n for n in ("findings.parquet", "findings.csv") if (file / n).is_file()), file)
    rows = _read(file)
    columns = _dictionary(file)
    if "scan_id" in rows and "patient_key" not in rows:
        scans = next((file.with_name(n) for n in ("scans.parquet", "scans.csv") if file.with_name(n).is_file()), None)
        if scans is not None:
            rows = _with_patients(rows, _read(scans))
    return Table(rows, columns, _settings(file.with_name("run.json")))


def _with_patients(rows: pd.DataFrame, scans: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the patient_key of their scan; one that does not say whose it is stands for a patient."""
    if not {"scan_id", "patient_key"} <= set(scans):
        return rows
    keys = dict(scans[["scan_id", "patient_key"]].dropna().to_numpy())
    whose = [keys.get(s, f"scan {s}") for s in rows["scan_id"]]
    return pd.concat([rows, pd.Series(whose, index=rows.index, dtype="string", name="patient_key")], axis=1)


def train(
    table: str | Path,
    labels: str | Path,
    target: str,
    out: str | Path,
    *,
    group: str | None = None,
    family: Literal["auto", "linear", "boosting"] = "auto",
    features: Sequence[str] | None = None,
    tendencies: dict[str, str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Training:
    """Train on a table of findings and write the model, its hash, its card and ``evaluation.json`` beside it.

    Parameters
    ----------
    table : path
        findings.csv, findings.parquet or the folder of a run.
    labels : path
        CSV or Parquet with scan_id, finding_id and `target`.
    target : str
    out : path
        The model file; ``evaluation.json``, a card (.md), pictures (.png) and the hash (.sha256) lie beside it, so each
        model has a folder of its own.
    group, family, features, tendencies, seed
        As for `imaging.train_model`.
    overwrite : bool
        Replace a model that is there.

    Raises
    ------
    UsageError
        What is wrong with table, labels or place, and what to do.
    """
    out = Path(out)
    there = [p.name for p in (out, out.with_name(EVALUATION)) if p.exists()]
    if out.is_dir():
        raise UsageError("the model is a file; give a name such as models/liver.skops", out)
    if there and not overwrite:
        raise UsageError(f"{' and '.join(there)} exist: give each model a folder of its own, or --overwrite", out)
    given = read_table(table)
    trained = train_model(
        given.rows, _read(Path(labels)), target, group=group, family=family, features=features, tendencies=tendencies,
        columns=given.columns, made=given.made, seed=seed,
    )  # fmt: skip
    write_model(trained, out)
    return trained


def write_model(trained: Training, out: str | Path) -> str:
    """Write a trained model and what was measured about it; its SHA-256."""
    import hashlib

    out = Path(out)
    data = dump_model(trained.model)
    digest = hashlib.sha256(data).hexdigest()
    evaluation = trained.evaluation | {"model_sha256": digest, "model_file": out.name}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = out.with_name(f".{out.name}.draft")
        draft.write_bytes(data)
        draft.replace(out)
        out.with_name(out.name + ".sha256").write_text(f"{digest}  {out.name}\n", encoding="utf-8")
        out.with_name(EVALUATION).write_text(json.dumps(evaluation, indent=1) + "\n", encoding="utf-8")
        write_card(evaluation, out)
    except OSError as error:
        raise UsageError(f"the model cannot be written ({error.strerror}); check the folder", out) from None
    return digest


def open_model(path: str | Path, sha256: str | None = None) -> Model:
    """Read a model; its hash is checked against `sha256`, else against the .sha256 file beside it, where there is one.

    Raises
    ------
    ReadError, RefusedError
        See `imaging.load_model`.
    """
    path = Path(path)
    beside = path.with_name(path.name + ".sha256")
    if sha256 is None and beside.is_file():
        sha256 = beside.read_text(encoding="utf-8", errors="replace").split(" ")[0].strip()
    return load_model(path, expected_sha256=sha256)


def predict_table(
    model: str | Path, table: str | Path, out: str | Path, *, sha256: str | None = None, unverified: bool = False
) -> pd.DataFrame:
    """Add ``predicted`` and ``probability_<label>`` to a table of findings, and write it.

    Raises
    ------
    UsageError, ReadError, RefusedError
        A file that cannot be read, a model that is not safe, a table made otherwise than at training.
    """
    out = Path(out)
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError("the output must end in .csv or .parquet", out)
    opened, given = open_model(model, sha256), read_table(table)
    made = predict(opened, given.rows, columns=given.columns, made=given.made, unverified=unverified)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            neutral(made).to_csv(out, index=False, lineterminator="\n")
        else:
            made.to_parquet(out, index=False)
    except OSError as error:
        raise UsageError(f"the predictions cannot be written ({error.strerror}); check the folder", out) from None
    return made


def _read(file: Path) -> pd.DataFrame:
    """A CSV or Parquet table; text columns of findings as text, whatever they hold."""
    known = {c.name: c.dtype for schema in SCHEMAS.values() for c in schema.values() if c.dtype == "string"}
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        head = pd.read_csv(file, nrows=0).columns
        types: dict[str, Any] = {n: "string" for n in (*known, "scan_id", "patient_key") if n in head}
        return pd.read_csv(file, dtype=types)
    except OSError as error:
        raise UsageError(f"the table cannot be read ({error.strerror}); check its path", file) from None
    except (ValueError, UnicodeDecodeError) as error:  # parser errors of pandas and pyarrow are ValueErrors
        raise UsageError(f"the file is no CSV or Parquet table ({type(error).__name__})", file) from None


def _dictionary(file: Path) -> dict[str, Column]:
    """What the columns mean, as the file says it; `imaging.FINDINGS` where it does not."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        said = {f.name: (f.metadata or {}) for f in pq.read_schema(file)}
        if any(b"definition" in m for m in said.values()):
            return {
                n: Column(n, "", *(m.get(k, b"").decode() for k in (b"unit", b"definition", b"source")))
                for n, m in said.items()
                if b"definition" in m
            }
    elif (beside := file.with_name("columns.json")).is_file():
        try:
            rows = json.loads(beside.read_text(encoding="utf-8"))["findings"]
            return {r["name"]: Column(r["name"], r["dtype"], r["unit"], r["definition"], r["source"]) for r in rows}
        except (ValueError, KeyError, TypeError):
            raise UsageError("the data dictionary beside the table is damaged", beside) from None
    return SCHEMAS["findings"]


def _settings(file: Path) -> dict[str, str]:
    """Settings that define what was measured, from run.json."""
    try:
        config = json.loads(file.read_text(encoding="utf-8")).get("config", {})
    except OSError:
        return {}
    except ValueError:
        raise UsageError("run.json beside the table is damaged", file) from None
    return {f"{g}.{k}": json.dumps(v) for g in SETTINGS for k, v in config.get(g, {}).items()}
