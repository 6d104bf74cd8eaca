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
from . import archives, clips, losses, rasters
from .dicomfile import is_dicom
from .grouping import first_path, group
from .guard import typed
from .headers import Header, Lost, Place, read_header
from .limits import check_voxels
from .params import DEFAULTS, ReadParams
from .raster import Raster
from .source import MemorySource, Source, open_source

CT_MINIMUM = -200
"""A NIfTI or NRRD image counts as CT only below this value: label maps and masks have no air."""

_OUTPUT = ("run.json", "columns.json")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def find_series(
    path: str | os.PathLike[str],
    exclude: Iterable[str | os.PathLike[str]] = (),
    params: ReadParams | None = None,
) -> Found:
    """What a file, folder or archive holds, by content; names, extensions and nesting do not matter for DICOM.

    Parameters
    ----------
    path : str or path
        A folder, searched to any depth, or a file. Symbolic links inside are listed and not followed. The DICOM
        files in .zip, .tar, .tar.gz and .tgz files are found as if they lay in a folder of that name.
    exclude : paths
        Folders that are not searched, such as the output folder. Folders written by calcimap never are.
    params : ReadParams, optional
        Limits, and what to do about missing slices.

    Returns
    -------
    Found
        Series of ours (those with a ``problem`` are refused when read), series set aside, files ignored.

    Raises
    ------
    UsageError
        The path does not exist or cannot be opened, or there are more files than `ReadParams.max_files`.
    """
    root = Path(path)
    if not root.exists():
        raise UsageError(f"no such file or folder: {root}", root)
    search = _Search(DEFAULTS if params is None else params, root)
    skipped = {os.path.realpath(folder) for folder in exclude}
    for count, (file, reason) in enumerate(_walk(root, skipped)):
        if count >= search.params.max_files:
            text = f"more than {search.params.max_files} files; give parts of it, or raise reading.max_files"
            raise UsageError(text, root)
        if reason:
            search.ignored[file] = reason
        else:
            search.file(file)
    return search.found(root)


class _Search:
    """What was found so far."""

    def __init__(self, params: ReadParams, root: Path) -> None:
        self.params, self.root = params, root
        self.headers: list[Header] = []
        self.others: list[Series] = []
        self.lost: list[Lost] = []
        self.ignored: dict[Path, str] = {}

    def file(self, file: Path) -> None:
        """Look at one file."""
        try:
            with typed(file):
                self._keep(file, self._archive(file) if archives.is_archive(file) else self._look(file))
        except CalcimapError as error:
            self.ignored[file] = error.reason

    def _keep(self, place: Path, found: Header | Lost | Series | str | list[Header | Lost]) -> None:
        if isinstance(found, Header):
            self.headers.append(found)
        elif isinstance(found, Lost):
            self.lost.append(found)
            self.ignored[found.place] = found.reason
        elif isinstance(found, Series):
            self.others.append(found)
        elif isinstance(found, str):
            self.ignored[place] = found
        else:
            for one in found:
                self._keep(one.place, one)

    def _look(self, file: Path) -> Header | Lost | Series | str:
        """What one file is: a DICOM header, a series of its own, or the reason why it is neither."""
        with open_source(file) as source:
            found = _look_at(source, Place(file), self.params)
        if found == "picture" and (self.params.captures or file == self.root):
            return clips.picture_series(file, "file:" + _digest((file,)))
        return raster_series(file, self.params) if found == "" else found

    def _archive(self, file: Path) -> list[Header | Lost]:
        """The DICOM files in an archive; all of them or none: a part of an archive may be a part of a series."""
        found: list[Header | Lost] = []
        ignored: dict[Path, str] = {}
        modified = file.stat().st_mtime_ns
        for member in archives.members(file, self.params):
            place = Place(file, member.name, member.entry)
            try:
                with typed(place.shown):
                    one = member.reason or _look_at(MemorySource(member.data, modified), place, self.params)
            except CalcimapError as error:
                one = error.reason
            if isinstance(one, str):
                ignored[place.shown] = one or "archived"
            else:
                found.append(one)
        self.ignored |= ignored
        if not found and not ignored:
            self.ignored[file] = "not_dicom"  # an archive without any file
        return found

    def found(self, root: Path) -> Found:
        """Series and the files that none of them uses."""
        ours, aside = group(self.headers, self.params)
        ours = [losses.attribute(series, self.lost, self.ignored) for series in ours]
        ours = sorted(ours + [s for s in self.others if not s.set_aside], key=first_path)
        aside = sorted(aside + [s for s in self.others if s.set_aside], key=first_path)
        used = {file for series in ours for file in series.paths}
        ignored = dict(self.ignored)
        for series in aside:
            ignored |= {file: series.set_aside for file in series.paths if file not in used}
        left = {file: reason for file, reason in ignored.items() if file not in used}
        return Found(root, ours, aside, dict(sorted(left.items(), key=lambda item: str(item[0]))))


def _look_at(source: Source, place: Place, params: ReadParams) -> Header | Lost | str:
    """What bytes are: a DICOM header, or the reason why they are none; empty for NIfTI and NRRD."""
    start = source.read(0, 144)
    if not start:
        return "empty_file"
    if is_dicom(start):
        return read_header(source, place, params)
    if rasters.is_raster(place.shown):
        return ""
    return "picture" if start.startswith(_PICTURES) else "not_dicom"


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


def raster_series(file: Path, params: ReadParams = DEFAULTS) -> Series:
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
            check_voxels(raster.size, params, file)
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
