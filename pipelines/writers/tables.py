"""Tables of a run: CSV for people, Parquet with units in its schema for programs, and the data dictionary."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from imaging import BURDEN, EXCLUDED, FINDINGS, GROUPS, HYPOTHESES, Column, Section, page

from ..results import SCANS, StudyResult

SCHEMAS: dict[str, dict[str, Column]] = {
    "findings": FINDINGS,
    "scans": SCANS,
    "excluded": EXCLUDED,
    "groups": GROUPS,
    "burden": BURDEN,
    "hypotheses": HYPOTHESES,
}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A text cell that begins so is run as a formula by spreadsheets."""


def write_csv(study: StudyResult) -> None:
    """Findings, scans, burden and hypotheses as CSV; text that a spreadsheet would run gets a leading apostrophe."""
    for name in ("findings", "scans", "burden", "hypotheses"):
        neutral(getattr(study, name)).to_csv(study.out / f"{name}.csv", index=False, lineterminator="\n")


def write_parquet(study: StudyResult) -> None:
    """All tables, with unit, definition and source of every column in the schema's field metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, columns in SCHEMAS.items():
        table = pa.Table.from_pandas(getattr(study, name), preserve_index=False)
        fields = [
            field.with_metadata({"unit": c.unit, "definition": c.definition, "source": c.source})
            for field, c in zip(table.schema, columns.values(), strict=True)
        ]
        pq.write_table(table.cast(pa.schema(fields, table.schema.metadata)), study.out / f"{name}.parquet")


def write_dictionary(out: Path) -> None:
    """``columns.json``: name, unit, dtype, definition and source of every column of every table."""
    dictionary = {
        table: [
            {"name": c.name, "unit": c.unit, "dtype": c.dtype, "definition": c.definition, "source": c.source}
            for c in columns.values()
        ]
        for table, columns in SCHEMAS.items()
    }
    (out / "columns.json").write_text(json.dumps(dictionary, indent=1) + "\n", encoding="utf-8")


_ABOUT = {
    "findings": "One row per calcification: `findings.csv`, `findings.parquet`.",
    "scans": "One row per series, analysed or not: `scans.csv`, `scans.parquet`.",
    "excluded": "One row per candidate that was left out: `excluded.parquet`.",
    "groups": "One row per group of findings, measured on the union of their masks: `groups.parquet`.",
    "burden": "One row per analysed CT scan and organ, and one for the whole scan: `burden.csv`, `burden.parquet`.",
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
