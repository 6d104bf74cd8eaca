"""Tables of a run: CSV for people, Parquet with units in its schema for programs, and the data dictionary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from imaging import BURDEN, EXCLUDED, FINDINGS, GROUPS, HYPOTHESES, Column

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
    for name, columns in SCHEMAS.items():
        write_table(getattr(study, name), columns, study.out / f"{name}.parquet")


def write_table(table: pd.DataFrame, columns: Mapping[str, Column], file: Path) -> None:
    """One table as Parquet; unit, definition and source of each column stand in the metadata of its field."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_metadata({"unit": c.unit, "definition": c.definition, "source": c.source})
        for field, c in zip(made.schema, columns.values(), strict=True)
    ]
    pq.write_table(made.cast(pa.schema(fields, made.schema.metadata)), file)


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
    (out / "columns.json").write_text(json.dumps(dictionary, indent=1) + "\n", encoding="utf-8")


def neutral(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with an apostrophe before every text cell that a spreadsheet would take for a formula."""
    safe = table.copy()
    for name in safe.columns[safe.dtypes == "string"]:
        risky = safe[name].str.startswith(FORMULA_STARTS).fillna(False).astype(bool)
        safe[name] = safe[name].mask(risky, "'" + safe[name])
    return safe
