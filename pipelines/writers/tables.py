"""Tables of a run for people (CSV), for programs (Parquet), and the data dictionary."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..files import replacing
from ..results import StudyResult
from ..schemas import SCHEMAS

CSV = ("findings", "scans", "burden", "patients", "hypotheses")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A text cell that begins so is run as a formula by spreadsheets."""


def write_csv(study: StudyResult) -> None:
    """The tables as CSV, part by part; text that a spreadsheet would run gets a leading apostrophe."""
    for name in CSV:
        with replacing(study.out / f"{name}.csv") as stream:
            for k, part in enumerate(study.batches(name)):
                neutral(part).to_csv(stream, index=False, header=k == 0, lineterminator="\n")


def write_parquet(study: StudyResult) -> None:
    """All tables as Parquet: merged there already, since `StudyResult` is a view of them."""
    assert study.tables == study.out


def write_dictionary(out: Path) -> None:
    """``columns.json``: name, unit, dtype, definition and source of every column of every table."""
    dictionary = {
        table: [
            {"name": c.name, "unit": c.unit, "dtype": c.dtype, "definition": c.definition, "source": c.source}
            for c in columns.values()
        ]
        for table, columns in SCHEMAS.items()
    }
    with replacing(out / "columns.json") as stream:
        stream.write(json.dumps(dictionary, indent=1) + "\n")


def neutral(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with an apostrophe before every text cell that a spreadsheet would take for a formula."""
    safe = table.copy()
    for name in safe.columns[safe.dtypes == "string"]:
        risky = safe[name].str.startswith(FORMULA_STARTS).fillna(False).astype(bool)
        safe[name] = safe[name].mask(risky, "'" + safe[name])
    return safe
