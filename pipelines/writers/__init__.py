"""Writers: what a result becomes on disk. One module each; registering makes it a word of ``--formats``.

A scan writer runs where the scan was analysed and writes into the scan's own folder; a run writer runs once at the end
and sees only what lies in the output folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging import UsageError

from ..results import ClipResult, ScanResult, StudyResult

ScanWriter = Callable[[ScanResult | ClipResult, Path], None]
RunWriter = Callable[[StudyResult], None]


@dataclass(frozen=True)
class Writer:
    """One format: its writer per scan or per run (import path "module:function"), and what it writes."""

    scan: str = ""
    run: str = ""
    writes: str = ""


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
}
"""Formats in the order of writing, by import path: matplotlib and jinja2 load only when they are asked for."""

LATER = {"seg": "DICOM SEG", "sr": "DICOM SR"}


def check_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """The formats in the order of `WRITERS`.

    Raises
    ------
    UsageError
        An unknown format, or one that this version does not write.
    """
    for name in names:
        if name in LATER:
            raise UsageError(f"format {name} ({LATER[name]}) is not written by this version; take nifti instead")
        if name not in WRITERS:
            raise UsageError(f"unknown format {name!r}; known: {', '.join(WRITERS)}")
    return tuple(name for name in WRITERS if name in names)


def load(path: str) -> Callable[..., Any]:
    """The function behind "module:function"."""
    from importlib import import_module

    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(f".{module}", __name__), name)
    return found
