"""`find_series`: every file under an input ends in a series or in the list of what is left out, with its
reason.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from ..errors import CalcimapError, LimitError, ReadError, UsageError
from ..series import Found, Instance, Series
from . import rasters
from .dicomfile import is_dicom
from .grouping import first_path, group
from .headers import Header, read_header
from .limits import check_voxels, default_limit
from .raster import Raster

CT_MINIMUM = -200
"""A NIfTI or NRRD image counts as CT only below this value: label maps and masks have no air."""

_OUTPUT = ("run.json", "columns.json")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def find_series(path: str | os.PathLike[str], exclude: Iterable[str | os.PathLike[str]] = ()) -> Found:
    """What a file or folder holds, by content; names, extensions and nesting do not matter for DICOM.

    Parameters
    ----------
    path : str or path
        A folder, searched to any depth, or a file. Symbolic links inside are listed and not followed.
    exclude : paths
        Folders that are not searched, such as the output folder. Folders written by calcimap never are.

    Returns
    -------
    Found
        Series of ours (those with a ``problem`` are refused when read), series set aside, files ignored.

    Raises
    ------
    UsageError
        The path does not exist or cannot be opened.
    """
    root = Path(path)
    if not root.exists():
        raise UsageError(f"no such file or folder: {root}", root)
    skipped = {os.path.realpath(folder) for folder in exclude}
    headers: list[Header] = []
    others: list[Series] = []
    ignored: dict[Path, str] = {}
    for file, reason in _walk(root, skipped):
        if reason:
            ignored[file] = reason
            continue
        found = _look(file)
        if isinstance(found, Header):
            headers.append(found)
        elif isinstance(found, Series):
            others.append(found)
        else:
            ignored[file] = found
    ours, aside = group(headers)
    ours = sorted(ours + [s for s in others if not s.set_aside], key=first_path)
    aside = sorted(aside + [s for s in others if s.set_aside], key=first_path)
    used = {file for series in ours for file in series.paths}
    for series in aside:
        ignored |= {file: series.set_aside for file in series.paths if file not in used}
    left = {file: reason for file, reason in ignored.items() if file not in used}
    return Found(root, ours, aside, dict(sorted(left.items(), key=lambda item: str(item[0]))))


def _walk(root: Path, skipped: set[str]) -> Iterator[tuple[Path, str]]:
    """Every file below `root` in the order of its path, with a reason if it is not to be opened."""
    mode = root.stat().st_mode  # the input itself may be a link: it was named
    if not S_ISDIR(mode):
        yield root, "" if S_ISREG(mode) else "not_dicom"
        return
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise UsageError(f"the folder cannot be read: {error.strerror}", root) from None
            yield folder, "unreadable"
            continue
        names = {entry.name for entry in entries}
        if os.path.realpath(folder) in skipped or names.issuperset(_OUTPUT):
            yield folder, "own_output"
            continue
        inside = []
        for entry in entries:
            file = folder / entry.name
            try:
                kind = entry.stat(follow_symlinks=False).st_mode
            except OSError:
                yield file, "unreadable"
                continue
            if S_ISLNK(kind):
                yield file, "symlink"
            elif S_ISDIR(kind):
                inside.append(file)
            else:
                # A pipe or a device is never opened: reading it may wait forever.
                yield file, "" if S_ISREG(kind) else "not_dicom"
        folders += reversed(inside)


def _look(file: Path) -> Header | Series | str:
    """What one file is: the header of a DICOM file, a series of its own, or the reason why it is neither."""
    try:
        with file.open("rb") as stream:
            start = stream.read(144)
        if not start:
            return "empty_file"
        if is_dicom(start):
            return read_header(file)
        if rasters.is_raster(file):
            return raster_series(file)
    except CalcimapError as error:
        return error.reason
    except OSError:
        return "unreadable"
    return "picture" if start.startswith(_PICTURES) else "not_dicom"


def raster_series(file: Path) -> Series:
    """A NIfTI or NRRD file as a series: CT, a label map set aside, or refused.

    Raises
    ------
    ReadError
        Header or voxels cannot be read.
    """
    raster = rasters.read_raster(file)
    paths = tuple(dict.fromkeys((file, raster.data_path)))
    problem: CalcimapError | None = raster.problem
    aside = ""
    if problem is None or problem.reason != "not_hu":
        try:
            check_voxels(raster.size, default_limit(), file)
            aside = "" if _below(raster, CT_MINIMUM) else "label_map"
        except (ReadError, LimitError) as error:
            problem = error
    shape = raster.shape if len(raster.shape) == 3 else (1, 0, 0)
    affine = None if raster.affine is None else rasters.upright_affine(raster.shape[0], raster.affine)
    return Series(
        kind="nifti" if rasters.kind(file) == "nifti" else "nrrd",
        modality="CT",
        instances=tuple(Instance(p, shape[1], shape[2], shape[0], None, None, None, None, None) for p in paths),
        identity="file:" + _digest(paths),
        set_aside=aside,
        problem=None if aside else problem,
        flags=("single_slice",) if shape[0] == 1 and not aside else (),
        affine=affine,
    )


def _below(raster: Raster, value: float) -> bool:
    """Whether any voxel is below `value`; stops at the first."""
    limit = (value - raster.intercept) / raster.slope
    parts = rasters.blocks(raster)
    return any(bool(((part < limit) if raster.slope > 0 else (part > limit)).any()) for part in parts)


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
