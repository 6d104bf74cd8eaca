"""What comes out of one scan, and of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging import (
    BURDEN,
    BURDEN_CHANGES,
    CHANGES,
    FACTS,
    HYPOTHESES,
    CalcimapError,
    Clip,
    Column,
    Detection,
    Echoes,
    Timeline,
    Volume,
    burden,
    conform,
)


@dataclass(frozen=True, eq=False)
class Result:
    """Tables of one analysed scan, of any modality.

    Parameters
    ----------
    scan_id : str
        16 hexadecimal digits; empty when a volume was analysed without one.
    findings, excluded, groups : DataFrame
        With all columns of `imaging.FINDINGS`, `imaging.EXCLUDED` and `imaging.GROUPS`, typed also when empty.
    record : dict
        The scan's row in ``scans``: columns of `SCANS`.
    """

    scan_id: str
    findings: pd.DataFrame
    excluded: pd.DataFrame
    groups: pd.DataFrame
    record: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ScanResult(Result):
    """One analysed CT scan.

    Parameters
    ----------
    detection : Detection
        Masks, thresholds and the volume itself, for writers.
    hypotheses : DataFrame
        Columns of `imaging.HYPOTHESES`: the ranked list of every finding.
    """

    detection: Detection
    hypotheses: pd.DataFrame = field(default_factory=lambda: conform(pd.DataFrame(), HYPOTHESES))

    @property
    def volume(self) -> Volume:
        """The scan that was analysed."""
        return self.detection.volume

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label image, (slices, rows, columns): finding_id per voxel, 0 elsewhere."""
        return self.detection.labels

    @property
    def burden(self) -> pd.DataFrame:
        """Totals of calcium scores, by organ: columns of `imaging.BURDEN`."""
        return conform(burden(self.findings, conform(pd.DataFrame([dict(self.record)]), SCANS)), BURDEN)


@dataclass(frozen=True, eq=False)
class ClipResult(Result):
    """One analysed ultrasound image or cine.

    Parameters
    ----------
    echoes : Echoes
        Foci, scan lines and the clip itself, for writers.
    """

    echoes: Echoes

    @property
    def hypotheses(self) -> pd.DataFrame:
        """None: the knowledge base speaks of CT."""
        return conform(pd.DataFrame(), HYPOTHESES)

    @property
    def volume(self) -> Clip:
        """The clip that was analysed."""
        return self.echoes.clip

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label image, (frames, rows, columns): finding_id per pixel, 0 elsewhere."""
        return self.echoes.labels


@dataclass(frozen=True)
class Failure:
    """A series that could not be analysed; the batch goes on.

    Parameters
    ----------
    status : str
        "refused" (understood, not safe to measure), "failed" (an error) or "ignored" (not an image series of ours).
    reason : str
        A code of `imaging.REASONS`.
    message : str
        What a person can do; without paths and identifiers.
    trace : str
        Traceback of an unexpected error, for the log file only.
    """

    status: str
    reason: str
    message: str
    trace: str = field(default="", repr=False)

    @classmethod
    def of(cls, error: CalcimapError) -> Failure:
        """The failure that a typed error stands for."""
        return cls("refused", error.reason, error.message)


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a run found; the same tables lie in `out`.

    Parameters
    ----------
    out : Path
        The output folder.
    findings, scans, excluded, groups, hypotheses : DataFrame
    ignored : dict of Path to str
        Files that no series uses, with their reason code.
    """

    out: Path
    findings: pd.DataFrame
    scans: pd.DataFrame
    excluded: pd.DataFrame
    groups: pd.DataFrame
    ignored: Mapping[Path, str]
    hypotheses: pd.DataFrame = field(default_factory=lambda: conform(pd.DataFrame(), HYPOTHESES))

    @property
    def burden(self) -> pd.DataFrame:
        """Totals of calcium scores, by scan and organ: columns of `imaging.BURDEN`."""
        return conform(burden(self.findings, self.scans), BURDEN)

    @property
    def counts(self) -> dict[str, int]:
        """Series by status."""
        status = self.scans["status"].value_counts()
        return {name: int(status.get(name, 0)) for name in ("analysed", "refused", "failed", "ignored")}

    @property
    def exit_code(self) -> int:
        """0 all analysed, 3 no image series of ours at all, 8 some or all were refused or failed."""
        counts = self.counts
        if counts["refused"] or counts["failed"]:
            return 8
        return 0 if counts["analysed"] else 3


@dataclass(frozen=True, eq=False)
class FollowupResult:
    """What a comparison found; the same tables lie in `out`.

    Parameters
    ----------
    out : Path
        The output folder.
    timeline : Timeline
        The scans, each compared with the one before.
    """

    out: Path
    timeline: Timeline

    @property
    def changes(self) -> pd.DataFrame:
        """Rows of all comparisons, one after the other: columns of `imaging.CHANGES`."""
        tables = [c.changes for c in self.timeline.comparisons]
        return conform(pd.concat(tables, ignore_index=True), CHANGES)

    @property
    def burden(self) -> pd.DataFrame:
        """Sums of all comparisons: columns of `imaging.BURDEN_CHANGES`."""
        tables = [c.burden for c in self.timeline.comparisons]
        return conform(pd.concat(tables, ignore_index=True), BURDEN_CHANGES)


SCANS: dict[str, Column] = {
    c.name: c
    for c in (
        Column("scan_id", "string", "", "salted hash of the series' identity, the same for the same input", "calcimap"),
        Column("patient_key", "string", "", "salted hash of PatientID, to join rows of a patient", "calcimap"),
        Column("study_key", "string", "", "salted hash of StudyInstanceUID", "calcimap"),
        Column("frame_key", "string", "", "salted hash of FrameOfReferenceUID: scans in one space", "calcimap"),
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
        Column("image_area", "string", "", "ultrasound: linear, curved or phased, of each region", "calcimap"),
        Column("flags", "string", "", "quality flags of the scan, joined by ';'", "imaging.flags"),
    )
}  # fmt: skip
"""Columns of scans."""
