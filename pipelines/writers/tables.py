"""Tables of a run for people (CSV), for programs (Parquet), and the data dictionary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from imaging import Column, Section, page

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
    """``columns.json``: name, unit, dtype, definition and source of every column of every table of a run."""
    write_columns(SCHEMAS, out)


def write_columns(schemas: Mapping[str, Mapping[str, Column]], out: Path) -> None:
    """``columns.json`` of some tables."""
    dictionary = {
        table: [
            {"name": c.name, "unit": c.unit, "dtype": c.dtype, "definition": c.definition, "source": c.source}
            for c in columns.values()
        ]
        for table, columns in schemas.items()
    }
    with replacing(out / "columns.json") as stream:
        stream.write(json.dumps(dictionary, indent=1) + "\n")


_ABOUT = {
    "findings": "One row per calcification: `findings.csv`, `findings.parquet`.",
    "scans": "One row per series, analysed or not: `scans.csv`, `scans.parquet`.",
    "excluded": "One row per candidate that was left out: `excluded.parquet`.",
    "groups": "One row per group of findings, measured on the union of their masks: `groups.parquet`.",
    "burden": "One row per analysed CT scan and organ, and one for the whole scan: `burden.csv`, `burden.parquet`.",
    "patients": "One row per patient: the burden over the series that show them: `patients.csv`, `patients.parquet`.",
    "hypotheses": "One row per finding and hypothesis: `hypotheses.csv`, `hypotheses.parquet`.",
}
_INTRODUCTION = """\
Every column of every table that a run writes; `columns.json` in the output folder says the same for programs, and the
Parquet files carry unit, definition and source in their schema. All columns are always there and typed, also in empty
tables. What could not be measured is missing, never 0. Lengths are mm, positions patient LPS in mm, intensity HU on CT
and grey levels on ultrasound. How features are defined stands in [features.md](features.md)."""


def columns_page() -> str:
    """The data dictionary in Markdown: `calcimap columns --markdown`."""
    header = ("column", "unit", "type", "definition", "source")
    sections = [
        Section(
            name,
            _ABOUT[name],
            header,
            [
                (f"`{c.name}`", "" if c.unit == "1" else c.unit, c.dtype, c.definition, c.source)
                for c in schema.values()
            ],
        )
        for name, schema in SCHEMAS.items()
    ]
    return page("Columns", _INTRODUCTION, "calcimap columns --markdown", sections)


def neutral(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with an apostrophe before every text cell that a spreadsheet would take for a formula."""
    safe = table.copy()
    for name in safe.columns[safe.dtypes == "string"]:
        risky = safe[name].str.startswith(FORMULA_STARTS).fillna(False).astype(bool)
        safe[name] = safe[name].mask(risky, "'" + safe[name])
    return safe
