"""`read_volume`: the files of a series -> one `Volume` in HU on a checked grid, or a typed refusal."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from ..errors import (
    CalcimapError,
    CodecError,
    GeometryError,
    LimitError,
    ReadError,
    RefusedError,
    TruncatedError,
    UsageError,
    ValuesError,
)
from ..series import Instance, Series
from ..volume import UNITS, Volume
from . import codecs, rasters
from .dicomfile import get, number, open_dataset, pixel_bytes, quiet
from .grouping import same_image
from .limits import check_voxels, default_limit
from .values import Accumulator, padding_mask, rescaled

EXCESS_BYTES = 4096
"""Trailing bytes after native pixels that are taken for padding; more means that rows or columns are
wrong.
"""

_KEYWORDS = (
    "SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit "
    "PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit ExtendedOffsetTable ExtendedOffsetTableLengths "
    "PixelData"
)
_TAGS = [tag for keyword in _KEYWORDS.split() if (tag := tag_for_keyword(keyword)) is not None]


def read_volume(series: Series, max_bytes: int | None = None) -> Volume:
    """The voxels of a series.

    Parameters
    ----------
    series : Series
        From `imaging.find_series`.
    max_bytes : int, optional
        Refuse what would need more memory; half of the machine's by default. Computed from the headers,
        before anything is decoded.

    Returns
    -------
    Volume
        int16 where the rescaled values are integral, else float32; ``valid`` is False where the scanner
        padded.

    Raises
    ------
    RefusedError
        Understood, and not safe to measure: geometry, values, size, modality.
    ReadError
        Files that cannot be read or decoded.
    UsageError
        A series that was set aside.
    """
    if series.set_aside:
        raise UsageError(f"the series was set aside ({series.set_aside}); it is no image series of ours")
    if series.problem is not None:
        raise copy.copy(series.problem)  # its own traceback, however often it is raised
    if series.modality != "CT":
        raise RefusedError("unsupported_modality", f"modality {series.modality} is not analysed by this version")
    limit = default_limit() if max_bytes is None else max_bytes
    return _read_dicom(series, limit) if series.kind == "dicom" else _read_raster(series, limit)


def _read_dicom(series: Series, limit: int) -> Volume:
    slices: dict[tuple[object, ...], list[Instance]] = {}
    for index, instance in enumerate(series.instances):
        slices.setdefault(same_image(instance, index), []).append(instance)
    first = series.instances[0]
    if series.affine is None:
        raise GeometryError("no_geometry", "the series has no grid; find it again with find_series", first.path)
    check_voxels(len(slices) * first.rows * first.columns, limit, first.path)
    absent = _rescale_absent(series.instances)
    volume = Accumulator((len(slices), first.rows, first.columns))
    files = _Files(series.instances)
    removed = False
    for index, copies in enumerate(slices.values()):
        stored, padding = files.frame(copies[0])
        for other in copies[1:]:
            _check_copy(copies[0], stored, other, files.frame(other)[0])
            removed = True
        slope, intercept = _factors(copies[0])
        mask = None if padding is None else padding_mask(stored, *padding, slope, intercept)
        volume.put(index, rescaled(stored, slope, intercept), mask)
    array, valid = _finish(volume, first.path)
    if absent and not volume.looks_like_hu():
        raise ValuesError(
            "no_rescale",
            "rescale slope and intercept are absent and the values are not those of HU; export the series with them",
            first.path,
        )
    flags = {*series.flags, *volume.flags()}
    flags |= {name for name, on in (("duplicates_removed", removed), ("rescale_absent", absent)) if on}
    return _volume(series, array, series.affine, valid, flags)


def _finish(volume: Accumulator, path: Path) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    try:
        return volume.finish()
    except CalcimapError as error:
        error.path = path
        raise


def _volume(
    series: Series,
    array: NDArray[Any],
    affine: NDArray[np.float64],
    valid: NDArray[np.bool_] | None,
    flags: set[str],
) -> Volume:
    return Volume(array, affine, "CT", UNITS["CT"], valid, "slice", tuple(sorted(flags)), series.header)


def _rescale_absent(instances: tuple[Instance, ...]) -> bool:
    """Whether no image has a rescale; refused if only some have one, or one that cannot be."""
    factors = [(i.slope, i.intercept) for i in instances]
    if all(f == (None, None) for f in factors):
        return True
    for instance, (slope, intercept) in zip(instances, factors, strict=True):
        if slope is None or intercept is None or slope <= 0:
            text = "rescale slope or intercept is absent or not usable in some slices; export the series again"
            raise ValuesError("no_rescale", text, instance.path)
    return False


def _factors(instance: Instance) -> tuple[float, float]:
    return (1.0 if instance.slope is None else instance.slope, instance.intercept or 0.0)


def _check_copy(instance: Instance, stored: NDArray[Any], other: Instance, again: NDArray[Any]) -> None:
    if _factors(instance) != _factors(other) or not np.array_equal(stored, again):
        text = "two files of one image differ in their pixels; remove the wrong one"
        raise GeometryError("duplicate_positions", text, other.path)


class _Files:
    """Frames of files; a multi-frame file is parsed once and let go after its last frame."""

    def __init__(self, instances: tuple[Instance, ...]) -> None:
        self._left: dict[Path, int] = {}
        for instance in instances:
            self._left[instance.path] = self._left.get(instance.path, 0) + 1
        self._open: dict[Path, _File] = {}

    def frame(self, instance: Instance) -> tuple[NDArray[Any], tuple[float, float] | None]:
        """Stored values of one image, and the range of its padding."""
        path = instance.path
        try:
            file = self._open.pop(path, None) or _File(path, instance)
            stored = file.frame(instance.frame)
        except CalcimapError as error:
            error.path = error.path or path
            raise
        except MemoryError:
            raise LimitError("too_large", "decoding needs more memory than there is", path) from None
        self._left[path] -= 1
        if self._left[path] > 0:
            self._open[path] = file
        return stored, file.padding


class _File:
    """One DICOM file with its pixels, encapsulated or native."""

    def __init__(self, path: Path, instance: Instance) -> None:
        with quiet():
            self._read(path, instance, open_dataset(path, _TAGS, pixels=True))

    def _read(self, path: Path, instance: Instance, dataset: Dataset) -> None:
        # First: of a file cut within its pixels pydicom keeps nothing, and that is what is to be said.
        self._data = pixel_bytes(path, dataset)
        if str(get(dataset, "PhotometricInterpretation") or "MONOCHROME2") not in (
            "MONOCHROME1",
            "MONOCHROME2",
        ):
            # MONOCHROME1 only says how to show the values: HU stay HU.
            raise ValuesError("not_hu", "colour images hold no HU; supply the original CT series")
        if (get(dataset, "Rows"), get(dataset, "Columns")) != (instance.rows, instance.columns):
            raise ReadError("unreadable", "the file changed while it was read; run again")
        self.layout = _layout(dataset)
        self.padding = _padding(dataset, self.layout)
        self._syntax = codecs.syntax_of(_transfer_syntax(dataset))
        self._frames: list[bytes] | None = None
        encapsulated = bool(dataset["PixelData"].is_undefined_length)
        if encapsulated != bool(self._syntax.codec):
            raise CodecError("the pixel data are not packed as their transfer syntax says; export the series again")
        if encapsulated:
            self._frames = _fragments(self._data, dataset, instance.frames)
        elif len(self._data) > self.layout.frame_bytes * instance.frames + EXCESS_BYTES:
            raise ReadError("unreadable", "more pixel data than rows, columns and frames say; export the series again")
        elif self._syntax.big_endian and self.layout.allocated == 8:
            raise CodecError("big endian pixels of 8 bits are not read; convert to Explicit VR Little Endian")

    def frame(self, index: int) -> NDArray[Any]:
        """Stored values of one frame, (rows, columns)."""
        if self._frames is None:
            return codecs.native(self._data, self.layout, self._syntax, index)
        return codecs.decode(self._frames[index], self.layout, self._syntax)


def _transfer_syntax(dataset: Dataset) -> str:
    uid = get(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    if uid is not None:
        return str(uid)
    little = dataset.original_encoding[1]
    return str(ImplicitVRLittleEndian if little in (True, None) else ExplicitVRBigEndian)


def _layout(dataset: Dataset) -> codecs.Layout:
    names = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    values = [number(get(dataset, name)) for name in names]
    rows, columns, allocated, stored, high, sign = (-1 if v is None else int(v) for v in values)
    stored = allocated if stored < 0 else stored
    high = stored - 1 if high < 0 else high
    if sign not in (0, 1):
        raise ReadError("unreadable", "the header does not say whether pixels are signed; export the series again")
    return codecs.Layout(rows, columns, allocated, stored, high, bool(sign))


def _padding(dataset: Dataset, layout: codecs.Layout) -> tuple[float, float] | None:
    """Padding value and range limit as stored values; the header may give the same bits signed or
    unsigned.
    """
    value = number(get(dataset, "PixelPaddingValue"))
    if value is None:
        return None
    limit = number(get(dataset, "PixelPaddingRangeLimit"))
    ends = []
    for end in (value, value if limit is None else limit):
        whole = int(end) + (1 << layout.stored if end < 0 else 0)
        if not 0 <= whole < 1 << layout.stored:
            return None
        bits = whole - (1 << layout.stored) if layout.signed and whole >= 1 << layout.stored - 1 else whole
        ends.append(float(bits))
    return min(ends), max(ends)


def _fragments(data: bytes, dataset: Dataset, count: int) -> list[bytes]:
    offsets, lengths = get(dataset, "ExtendedOffsetTable"), get(dataset, "ExtendedOffsetTableLengths")
    extended = (offsets, lengths) if offsets is not None and lengths is not None else None
    try:
        frames = list(_limited(generate_frames(data, number_of_frames=count, extended_offsets=extended), count))
    except Exception as error:  # pydicom's parser has no error type of its own
        text = f"the frames of the pixel data cannot be told apart ({type(error).__name__}); get the file again"
        raise CodecError(text) from None
    if len(frames) < count:
        raise TruncatedError("the file holds fewer frames than its header says; copy it again from its source")
    return frames


def _limited(frames: Iterator[bytes], count: int) -> Iterator[bytes]:
    for _, frame in zip(range(count), frames, strict=False):
        yield frame


def _read_raster(series: Series, limit: int) -> Volume:
    path = series.instances[0].path
    raster = rasters.read_raster(path)
    if raster.problem is not None:
        raise raster.problem
    if raster.affine is None:
        raise GeometryError("no_geometry", "place and orientation are not known", path)
    check_voxels(raster.size, limit, path)
    stored = rasters.read_values(raster)
    slices, rows, columns = stored.shape
    volume = Accumulator((slices, rows, columns))
    turn = not rasters.is_upright(raster.affine)
    for index in range(slices):
        values = stored[index]
        if raster.scaled:
            values = rescaled(values, raster.slope, raster.intercept)
        volume.put(slices - 1 - index if turn else index, values)
    array, valid = _finish(volume, path)
    affine = rasters.upright_affine(slices, raster.affine)
    return _volume(series, array, affine, valid, {*series.flags, *volume.flags()})
