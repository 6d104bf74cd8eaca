"""The tables of a run from the parts of its scans: in the order of the scans, a bounded number of rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imaging import BURDEN, burden, conform

from .files import replacing
from .schemas import PARTS, PATIENTS, SCANS, arrow_schema, read_columns, read_part, to_arrow

CHUNK_SCANS, CHUNK_ROWS, COMPACT_SCANS = 100, 10_000, 5
"""What is held in memory at a time, and a row group of the merged tables. Fixed: the same rows give the same bytes."""
WHOLE_SCAN = "(all)"
"""Organ of the row of `burden` that stands for the whole scan."""

Chunk = tuple[list[dict[str, Any]], dict[str, pa.Table]]
"""Rows of ``scans``, and what belongs to them by table."""


def merge(tables: Path, rows: Iterable[tuple[dict[str, Any], Path | None]]) -> None:
    """Write every merged table as Parquet.

    Parameters
    ----------
    tables : Path
        Folder for them.
    rows : iterable of (dict, Path or None)
        Each scan's row in ``scans``, and the folder with its parts; None where it was not analysed.
    """
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(_writer(tables / f"{name}.parquet", name)) for name in (*PARTS, "scans", "burden")
        }
        for chunk, made in _chunks(rows):
            scans = conform(pd.DataFrame(chunk), SCANS)
            totals = conform(burden(made["findings"].to_pandas(), scans), BURDEN)
            made |= {"scans": to_arrow(scans, "scans"), "burden": to_arrow(totals, "burden")}
            for name, table in made.items():
                if table.num_rows:
                    writers[name].write_table(table, row_group_size=max(table.num_rows, 1))
    with _writer(tables / "patients.parquet", "patients") as writer:
        writer.write_table(to_arrow(_patients(tables), "patients"))


@contextlib.contextmanager
def _writer(path: Path, name: str) -> Iterator[pq.ParquetWriter]:
    with replacing(path, "wb") as stream, pq.ParquetWriter(stream, arrow_schema(name)) as writer:
        yield writer


def _chunks(rows: Iterable[tuple[dict[str, Any], Path | None]]) -> Iterator[Chunk]:
    chunk: list[dict[str, Any]] = []
    parts: dict[str, list[pa.Table]] = {name: [] for name in PARTS}
    for row, folder in rows:
        chunk.append(row)
        if folder is not None:
            for name in PARTS:
                parts[name] += [part for part in [read_part(name, folder)] if part is not None]
        if len(chunk) % COMPACT_SCANS == 0:  # a table of a few rows takes a hundred times their memory
            parts = {name: [_joined(held, name)] for name, held in parts.items()}
        if len(chunk) >= CHUNK_SCANS or sum(p.num_rows for held in parts.values() for p in held) >= CHUNK_ROWS:
            yield chunk, {name: _joined(held, name) for name, held in parts.items()}
            chunk, parts = [], {name: [] for name in PARTS}
    if chunk:
        yield chunk, {name: _joined(held, name) for name, held in parts.items()}


def _joined(parts: list[pa.Table], name: str) -> pa.Table:
    return pa.concat_tables([arrow_schema(name).empty_table(), *parts]).combine_chunks()


def _patients(tables: Path) -> pd.DataFrame:
    """Burden per patient: what the series of a patient say, never summed, since they show the same calcifications."""
    scans = read_columns(
        tables, "scans",
        ["scan_id", "patient_key", "study_key", "status", "modality", "n_findings", "total_volume_mm3"],
    )  # fmt: skip
    scans = scans[scans["patient_key"].notna() & (scans["status"] != "ignored")]
    if scans.empty:
        return conform(pd.DataFrame(), PATIENTS)
    totals = read_columns(tables, "burden", ["scan_id", "organ", "agatston"])
    totals = totals[totals["organ"] == WHOLE_SCAN].drop_duplicates("scan_id")
    scans = scans.merge(totals[["scan_id", "agatston"]], on="scan_id", how="left")
    ct = scans["modality"] == "CT"
    by = (
        scans.assign(
            volume_mm3=scans["total_volume_mm3"].where(ct),
            n_found=scans["n_findings"].astype("float64"),
            **{status: scans["status"] == status for status in ("analysed", "refused", "failed")},
            found=(scans["n_findings"] > 0).fillna(False),
        )
        .groupby("patient_key", sort=True)
    )  # fmt: skip
    made = pd.DataFrame(
        {
            "n_studies": by["study_key"].nunique(),
            "n_scans": by.size(),
            "n_analysed": by["analysed"].sum(),
            "n_refused": by["refused"].sum(),
            "n_failed": by["failed"].sum(),
            "n_with_findings": by["found"].sum(),
            "n_findings_median": by["n_found"].median(),
            "n_findings_max": by["n_findings"].max(),
        }
        | {
            f"{name}_{what}": by[name].agg(what)
            for name in ("volume_mm3", "agatston")
            for what in ("min", "median", "max")
        }
    )
    return conform(made.reset_index(), PATIENTS)
