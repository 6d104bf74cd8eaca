"""Tables of a run: their columns, and how they lie on disk as Parquet with unit and definition of every column."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imaging import BURDEN, EXCLUDED, FACTS, FINDINGS, GROUPS, HYPOTHESES, Column, conform

SCANS: dict[str, Column] = {
    c.name: c
    for c in (
        Column("scan_id", "string", "", "salted hash of the series' identity, the same for the same input", "calcimap"),
        Column("patient_key", "string", "", "salted hash of PatientID, to join rows of a patient", "calcimap"),
        Column("frame_key", "string", "", "salted hash of FrameOfReferenceUID: scans in one space", "calcimap"),
        Column("study_key", "string", "", "salted hash of StudyInstanceUID", "calcimap"),
        Column("status", "string", "", "analysed, refused, failed or ignored", "calcimap"),
        Column("reason", "string", "", "why it was not analysed: a code of imaging.REASONS", "calcimap"),
        Column("message", "string", "", "what a person can do about it", "calcimap"),
        Column("modality", "string", "", "CT, US or another", "DICOM Modality (0008,0060)"),
        Column("n_files", "Int64", "", "files of the series", "calcimap"),
        Column("n_findings", "Int64", "", "findings; missing unless analysed", "calcimap"),
        Column("n_excluded", "Int64", "", "rows in excluded", "calcimap"),
        Column("n_groups", "Int64", "", "groups of findings", "calcimap"),
        Column("n_too_small", "Int64", "", "components below the minimum size", "DetectionParams"),
        Column("n_noise", "Int64", "", "components that fail the noise test", "DetectionParams"),
        Column("total_volume_mm3", "float64", "mm3", "sum of volume_mm3 over the findings", "calcimap"),
        Column("score_definition", "string", "", "calcium score in use, or why there is none", "ScoreParams"),
        Column("score_refused", "string", "", "code of the reason why calcium is not scored", "imaging.scores"),
        Column("mass_factor_mg_per_cm3_per_hu", "float64", "mg/cm3/HU", "calibration of calcium mass", "ScoreParams"),
        Column("n_slices", "Int64", "", "slices", "array"),
        Column("n_rows", "Int64", "", "rows", "array"),
        Column("n_columns", "Int64", "", "columns", "array"),
        Column("slice_spacing_mm", "float64", "mm", "distance of slice planes, from positions", "affine"),
        Column("row_spacing_mm", "float64", "mm", "distance of rows", "affine"),
        Column("column_spacing_mm", "float64", "mm", "distance of columns", "affine"),
        Column("threshold_mode", "string", "", "adaptive or fixed", "DetectionParams"),
        Column("threshold_grow_hu", "float64", "HU", "voxels above it belong to candidates", "DetectionParams"),
        Column("threshold_peak_hu", "float64", "HU", "candidates reach it somewhere", "DetectionParams"),
        Column("tissue_mean_hu", "float64", "HU", "level of soft tissue: median of block means", "imaging.noise"),
        Column("noise_sd_hu", "float64", "HU", "noise: 40th percentile of block standard deviations", "imaging.noise"),
        Column("enhanced_share", "float64", "1", "share of homogeneous tissue above 95 HU", "imaging.noise"),
        *(Column(name, _dtype, _unit, FACTS[name], "DICOM header") for name, _dtype, _unit in (
            ("kvp", "float64", "kV"), ("slice_thickness_mm", "float64", "mm"), ("convolution_kernel", "string", ""),
            ("contrast_agent", "boolean", ""), ("manufacturer", "string", ""), ("body_part", "string", ""),
            ("patient_position", "string", ""), ("patient_age_band", "string", ""), ("derived", "boolean", ""),
            ("transfer_syntax", "string", ""),
        )),
        Column("not_written", "string", "", "formats left out, each as format:reason; joined by ;", "calcimap"),
        Column("image_area", "string", "", "ultrasound: linear, curved or phased, of each region", "calcimap"),
        Column("flags", "string", "", "quality flags of the scan, joined by ';'", "imaging.flags"),
    )
}  # fmt: skip
"""Columns of scans."""


PATIENTS: dict[str, Column] = {
    c.name: c
    for c in (
        SCANS["patient_key"],
        Column("n_studies", "Int64", "", "studies with a series of the patient", "calcimap"),
        Column("n_scans", "Int64", "", "series, whatever their status", "calcimap"),
        Column("n_analysed", "Int64", "", "series that were analysed", "calcimap"),
        Column("n_refused", "Int64", "", "series that were refused", "calcimap"),
        Column("n_failed", "Int64", "", "series that failed", "calcimap"),
        Column("n_with_findings", "Int64", "", "analysed series with findings", "calcimap"),
        Column("n_findings_median", "float64", "1", "median of n_findings over the analysed series", "calcimap"),
        Column("n_findings_max", "Int64", "", "largest n_findings of an analysed series", "calcimap"),
        *(
            Column(f"{name}_{what}", "float64", unit, f"{what} of {of} over the analysed CT series; no sum: scans of a "
                   "patient show the same calcifications", "calcimap")
            for name, unit, of in (("volume_mm3", "mm3", "total_volume_mm3"),
                                   ("agatston", "1", "agatston of the whole scan, where it was scored"))
            for what in ("min", "median", "max")
        ),
    )
}  # fmt: skip
"""Columns of patients: the burden of one patient over the series that show it."""

SCHEMAS: dict[str, dict[str, Column]] = {
    "findings": FINDINGS,
    "scans": SCANS,
    "excluded": EXCLUDED,
    "groups": GROUPS,
    "burden": BURDEN,
    "hypotheses": HYPOTHESES,
    "patients": PATIENTS,
}
PARTS = ("findings", "excluded", "groups", "hypotheses")
"""Tables that a scan writes a part of, ``scans/<scan_id>/<table>.parquet``; a part without rows is not written."""
_TYPES = {"string": pa.string(), "Int64": pa.int64(), "float64": pa.float64(), "boolean": pa.bool_()}


@cache
def arrow_schema(name: str) -> pa.Schema:
    """Columns of a table with unit, definition and source, and what pandas needs to restore its types."""
    return _schema(SCHEMAS[name])


def _schema(columns: dict[str, Column]) -> pa.Schema:
    fields = [
        pa.field(c.name, _TYPES[c.dtype], metadata={"unit": c.unit, "definition": c.definition, "source": c.source})
        for c in columns.values()
    ]
    empty = pa.Schema.from_pandas(conform(pd.DataFrame(), columns), preserve_index=False)
    return pa.schema(fields, empty.metadata)


@cache
def digest() -> str:
    """Hash of all columns: parts that were written with others are not merged."""
    listed = {name: [(c.name, c.dtype, c.unit) for c in columns.values()] for name, columns in SCHEMAS.items()}
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def to_arrow(table: pd.DataFrame, name: str) -> pa.Table:
    """A conformed table as Arrow; column by column, which for few rows takes a quarter of `Table.from_pandas`."""
    schema = arrow_schema(name)
    return pa.Table.from_arrays([pa.array(table[f.name], f.type, from_pandas=True) for f in schema], schema=schema)


def write_table(table: pd.DataFrame, columns: dict[str, Column], file: Path) -> None:
    """A table of other columns than those of a run; unit, definition and source stand in the metadata of each field."""
    schema = _schema(columns)
    arrays = [pa.array(table[f.name], f.type, from_pandas=True) for f in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), file)


def write_part(table: pd.DataFrame, name: str, folder: Path) -> None:
    """The rows of one scan; without statistics, dictionaries and units, which cost more than a few rows are worth."""
    if len(table):
        made = to_arrow(table, name)
        made = pa.Table.from_arrays(made.columns, names=made.schema.names)
        pq.write_table(made, folder / f"{name}.parquet", use_dictionary=False, write_statistics=False)


def read_part(name: str, folder: Path) -> pa.Table | None:
    """The rows of one scan; None where it has none."""
    try:
        with pq.ParquetFile(folder / f"{name}.parquet") as file:
            # One schema for all parts: a schema of its own takes a hundred times the memory of a few rows.
            return pa.Table.from_arrays(file.read(use_threads=False).columns, schema=arrow_schema(name))
    except FileNotFoundError:
        return None


def store(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write whole tables, those that are not given empty, as a run does scan by scan."""
    for name, columns in SCHEMAS.items():
        pq.write_table(to_arrow(conform(tables.get(name, pd.DataFrame()), columns), name), folder / f"{name}.parquet")


@contextlib.contextmanager
def plain_memory() -> Iterator[None]:
    """Let Arrow take memory from the system: its own pool keeps what many small tables have left behind."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def read_batches(folder: Path, name: str) -> Iterator[pd.DataFrame]:
    """A table on disk, one row group at a time; at least one, empty or not."""
    with pq.ParquetFile(folder / f"{name}.parquet") as file:
        if not file.num_row_groups:
            yield file.schema_arrow.empty_table().to_pandas()
        for k in range(file.num_row_groups):
            yield file.read_row_group(k).to_pandas()


def read_columns(folder: Path, name: str, columns: list[str]) -> pd.DataFrame:
    """Some columns of a table on disk, typed as in `SCHEMAS`."""
    known = SCHEMAS[name]
    table = pq.ParquetFile(folder / f"{name}.parquet").read(columns=columns).to_pandas()
    return conform(table, {c: known[c] for c in columns})


def row_count(folder: Path, name: str) -> int:
    """Rows of a table on disk."""
    return int(pq.ParquetFile(folder / f"{name}.parquet").metadata.num_rows)
