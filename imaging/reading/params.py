"""How series are found and read: every limit and every choice in one table."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from typing import Literal

from ..errors import UsageError

ON_GAP = ("refuse", "split", "fill")


def _cores() -> int:
    return max(2, min(8, os.cpu_count() or 1))


@dataclass(frozen=True)
class ReadParams:
    """Choices and limits of `imaging.find_series` and `imaging.read_volume`.

    Limits hold before anything is decoded: they are compared with what headers say, and bytes that come out of an
    inflater are counted while they come.
    """

    on_gap: Literal["refuse", "split", "fill"] = "refuse"
    """Missing slices. refuse: the series is not measured; split: the parts on both sides of each gap become series
    of their own, flagged gap_split; fill: missing slices are interpolated between their neighbours, flagged
    gap_filled, as long as they are fewer than those there are."""
    assume_hu: bool = False
    """Where rescale slope and intercept are absent, take stored values as HU whatever their histogram; flagged
    hu_assumed."""
    captures: bool = False
    """Take PNG and JPEG files in folders for ultrasound screen captures; those named as input always are."""
    pixel_spacing_mm: float = 0.0
    """mm; height and width of a pixel of screen captures, which say nothing of it; 0 leaves them in pixels."""
    max_volume_gb: float = 8.0
    """GB (10^9 bytes); a series whose decoded volume is larger is refused."""
    max_file_gb: float = 4.0
    """GB; a larger file is not opened."""
    max_inflated_mb: float = 512.0
    """MB (10^6 bytes); a deflated file, or one member of an archive, that is larger is not opened."""
    max_archive_gb: float = 16.0
    """GB; an archive whose members hold more than that together is not opened."""
    max_files: int = 2_000_000
    """Files below one input, and members of one archive."""
    max_depth: int = 64
    """Levels of nested DICOM sequences."""
    threads: int = 0
    """Threads that decode compressed frames; 0 takes one for each core, from 2 to 8."""

    def __post_init__(self) -> None:
        if self.on_gap not in ON_GAP:
            raise UsageError(f"on_gap must be {', '.join(ON_GAP[:-1])} or {ON_GAP[-1]}, got {self.on_gap!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("max_") and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{field.name} must be a positive number, got {value!r}")
        if not (math.isfinite(self.pixel_spacing_mm) and 0 <= self.pixel_spacing_mm <= 10):
            raise UsageError(f"pixel_spacing_mm must be from 0 to 10, got {self.pixel_spacing_mm!r}")
        if not 1 <= self.max_depth <= 256:
            raise UsageError(f"max_depth must be from 1 to 256, got {self.max_depth!r}")
        if not 0 <= self.threads <= 256:
            raise UsageError(f"threads must be from 0 to 256, got {self.threads!r}")

    @property
    def volume_bytes(self) -> int:
        """`max_volume_gb` in bytes."""
        return int(self.max_volume_gb * 1e9)

    @property
    def file_bytes(self) -> int:
        """`max_file_gb` in bytes."""
        return int(self.max_file_gb * 1e9)

    @property
    def inflated_bytes(self) -> int:
        """`max_inflated_mb` in bytes."""
        return int(self.max_inflated_mb * 1e6)

    @property
    def archive_bytes(self) -> int:
        """`max_archive_gb` in bytes."""
        return int(self.max_archive_gb * 1e9)

    @property
    def workers(self) -> int:
        """Number of decoding threads."""
        return self.threads or _cores()


DEFAULTS = ReadParams()
