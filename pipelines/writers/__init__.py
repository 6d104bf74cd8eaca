"""Writers: what a result becomes on disk. One module each; registering makes it a word of ``--formats``.

A scan writer runs where the scan was analysed and writes into the scan's own folder; a run writer runs once at the end
and sees only what lies in the output folder. DICOM writers refer to the source, so they are given its origin as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging import Series, UsageError

from ..config import Config
from ..results import ClipResult, ScanResult, StudyResult

ScanWriter = Callable[[ScanResult | ClipResult, Path], None]
DicomWriter = Callable[[ScanResult | ClipResult, Path, "Origin"], None]
RunWriter = Callable[[StudyResult], None]


@dataclass(frozen=True)
class Origin:
    """Where a result comes from: its series, which identifies, and the configuration."""

    series: Series
    config: Config


@dataclass(frozen=True)
class Writer:
    """One format: its writer per scan or per run (import path "module:function"), and what it writes.

    A scan writer that is `identified` is given the `Origin` and puts identity into its file: never written by default.
    """

    scan: str = ""
    run: str = ""
    writes: str = ""
    identified: bool = False

    def write_scan(self, result: ScanResult | ClipResult, folder: Path, origin: Origin) -> None:
        """Run the writer of scans.

        Raises
        ------
        RefusedError
            The file cannot be made from this source.
        """
        load(self.scan)(*((result, folder, origin) if self.identified else (result, folder)))


WRITERS: dict[str, Writer] = {
    "csv": Writer(run="tables:write_csv", writes="findings.csv, scans.csv, burden.csv, hypotheses.csv"),
    "parquet": Writer(
        run="tables:write_parquet", writes="findings, scans, excluded, groups, burden and hypotheses as .parquet"
    ),
    "nifti": Writer(
        scan="nifti:write_labels",
        writes="scans/<scan_id>/labels.nii.gz (.png: not calibrated)",
    ),
    "pictures": Writer(scan="pictures:write_overview", writes="scans/<scan_id>/overview.png"),
    "figures": Writer(
        scan="figures:write_figure",
        run="figures:write_charts",
        writes="for papers: scans/<scan_id>/overview.svg, figures/*.svg (only on request)",
    ),
    "viewer": Writer(scan="viewer:write_viewer", writes="scans/<scan_id>/viewer.html"),
    "report": Writer(scan="gallery:write_gallery", run="report:write_report", writes="report.html"),
    "seg": Writer(scan="dicom.seg:write_seg", writes="scans/<scan_id>/seg.dcm", identified=True),
    "sr": Writer(scan="dicom.sr:write_sr", writes="scans/<scan_id>/sr.dcm", identified=True),
}
"""Formats in the order of writing, by import path: matplotlib and jinja2 load only when they are asked for."""


def check_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """The formats in the order of `WRITERS`.

    Raises
    ------
    UsageError
        An unknown format.
    """
    for name in names:
        if name not in WRITERS:
            raise UsageError(f"unknown format {name!r}; known: {', '.join(WRITERS)}")
    return tuple(name for name in WRITERS if name in names)


def load(path: str) -> Callable[..., Any]:
    """The function behind "module:function"."""
    from importlib import import_module

    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(f".{module}", __name__), name)
    return found
