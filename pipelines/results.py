"""What comes out of one scan, and of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging import (
    BURDEN,
    BURDEN_CHANGES,
    CHANGES,
    HYPOTHESES,
    CalcimapError,
    Clip,
    Detection,
    Echoes,
    Timeline,
    Volume,
    burden,
    conform,
)

from .schemas import SCANS as SCANS  # the writers take it from here
from .schemas import SCHEMAS, read_batches, read_columns, row_count


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
    hypotheses : DataFrame
        Columns of `imaging.HYPOTHESES`.
    """

    echoes: Echoes
    hypotheses: pd.DataFrame = field(default_factory=lambda: conform(pd.DataFrame(), HYPOTHESES))

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
    """What a run found: a view of the tables on disk, which are read when they are asked for.

    Parameters
    ----------
    out : Path
        The folder with the tables for people: the output folder, or that of a shard in it.
    tables : Path
        Where the merged Parquet tables lie: `out`, or a folder in it where Parquet was not asked for.
    ignored : dict of Path to str
        Files that no series uses, with their reason code.
    """

    out: Path
    tables: Path
    ignored: Mapping[Path, str] = field(default_factory=dict)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row per calcification."""
        return self._whole("findings")

    @cached_property
    def scans(self) -> pd.DataFrame:
        """One row per series: columns of `SCANS`."""
        return self._whole("scans")

    @cached_property
    def excluded(self) -> pd.DataFrame:
        """Candidates that were left out."""
        return self._whole("excluded")

    @cached_property
    def groups(self) -> pd.DataFrame:
        """One row per group of findings."""
        return self._whole("groups")

    @cached_property
    def hypotheses(self) -> pd.DataFrame:
        """One row per finding and hypothesis."""
        return self._whole("hypotheses")

    @cached_property
    def burden(self) -> pd.DataFrame:
        """Totals of calcium scores, by scan and organ: columns of `imaging.BURDEN`."""
        return self._whole("burden")

    @cached_property
    def patients(self) -> pd.DataFrame:
        """One row per patient: columns of `PATIENTS`."""
        return self._whole("patients")

    def batches(self, name: str) -> Iterator[pd.DataFrame]:
        """A table in parts of bounded size, in its order; at least one part, empty or not."""
        for part in read_batches(self.tables, name):
            yield conform(part, SCHEMAS[name])

    def columns(self, name: str, columns: list[str]) -> pd.DataFrame:
        """Some columns of a table."""
        return read_columns(self.tables, name, columns)

    def count(self, name: str) -> int:
        """Rows of a table."""
        return row_count(self.tables, name)

    @property
    def counts(self) -> dict[str, int]:
        """Series by status."""
        status = self.columns("scans", ["status"])["status"].value_counts()
        return {name: int(status.get(name, 0)) for name in ("analysed", "refused", "failed", "ignored")}

    @property
    def exit_code(self) -> int:
        """0 all analysed, 3 no image series of ours at all, 8 some or all were refused or failed."""
        counts = self.counts
        if counts["refused"] or counts["failed"]:
            return 8
        return 0 if counts["analysed"] else 3

    def _whole(self, name: str) -> pd.DataFrame:
        return pd.concat(self.batches(name), ignore_index=True)


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
