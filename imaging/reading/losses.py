"""Files that could not be read, and the series that may miss them.

A slice that is missing at the end of a series leaves no gap: positions cannot tell. Where a damaged file still says to
which series it belongs, that series is refused; where it does not, series in its folder are flagged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import ReadError, TruncatedError
from ..series import Series
from .headers import Lost

_UNREADABLE = frozenset({"unreadable", "truncated", "empty_file", "too_large"})


def attribute(series: Series, lost: Iterable[Lost], ignored: Mapping[Path, str]) -> Series:
    """The series, refused or flagged if files that could not be read belong to it.

    Parameters
    ----------
    series : Series
        Of DICOM files.
    lost : iterable of Lost
        Damaged files whose header could be read in part.
    ignored : mapping
        Files that were left out, with their reasons.
    """
    name = f"{series.identity}|"  # what splits a series stands behind its UIDs
    own = [one for one in lost if one.series and name.startswith(f"dicom:{one.study}|{one.series}|")]
    if own:
        if series.problem is not None and series.problem.reason != "gap":  # a gap is what the files have left
            return series
        text = f"{len(own)} of {len(own) + len(series.paths)} files of the series cannot be read, so slices are missing"
        remedy = "; copy the series again from its source"
        cut = all(one.reason == "truncated" for one in own)
        kind = TruncatedError(text + remedy) if cut else ReadError("unreadable", text + remedy)
        return dataclasses.replace(series, problem=kind, affine=None)
    known = {one.place for one in lost if one.series}
    folders = {place.parent: place for place in series.paths}
    suffixes = {place.suffix.lower() for place in series.paths}
    doubtful = any(
        file.parent in folders and file not in known and _may_belong(file, reason, suffixes)
        for file, reason in ignored.items()
    )
    if not doubtful:
        return series
    return dataclasses.replace(series, flags=tuple(sorted({*series.flags, "files_unreadable"})))


def _may_belong(file: Path, reason: str, suffixes: set[str]) -> bool:
    """Whether an ignored file may be a damaged one of a series whose files have these suffixes."""
    suffix = file.suffix.lower()
    if reason in ("unreadable", "truncated"):
        return True
    return suffix in suffixes and (reason in _UNREADABLE or (reason == "not_dicom" and suffix in (".dcm", ".ima")))
