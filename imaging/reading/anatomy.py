"""`read_anatomy`: masks of any kind in, one `Anatomy` on the grid of a scan out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..anatomy import Anatomy, encode
from ..components import Components
from ..errors import CodecError, GeometryError, LimitError, ReadError, UsageError
from ..volume import Volume
from . import rasters
from .contours import read_contours
from .guard import typed
from .labelnames import is_table, label_names, stem
from .masks import on_grid, read_labels
from .params import DEFAULTS
from .segmentation import read_segments

SEG = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
DEFLATED = "1.2.840.10008.1.2.1.99"
KINDS = "NIfTI, NRRD, DICOM SEG, RTSTRUCT, or a folder of them"


Placed = tuple[NDArray[Any], tuple[int, int, int]]
"""Labels on the grid of the scan, and where their first voxel lies in it."""


@dataclass(frozen=True)
class _Part:
    """Masks of one file on the grid of the scan, names of those that have no voxel there, and whether the file is
    empty.
    """

    names: tuple[str, ...]
    masks: Components
    absent: tuple[str, ...] = ()
    empty: bool = False


def read_anatomy(path: str | os.PathLike[str], volume: Volume) -> Anatomy:
    """Named masks on the grid of a scan.

    Parameters
    ----------
    path : str or path
        A label map or mask in NIfTI or NRRD (names from a table beside it or from its header), DICOM SEG, DICOM
        RTSTRUCT, or a folder of such files (masks in NIfTI and NRRD are named by their files). Where a mask lies in
        the patient decides; on another grid each voxel of the scan takes the label at its centre.
    volume : Volume
        The scan.

    Raises
    ------
    UsageError
        No such file or folder, or nothing in it that can be a mask.
    GeometryError
        ``geometry_mismatch``: no voxel of any mask lies in the scan; ``empty_mask``: there is none;
        ``no_geometry``, ``uneven_spacing``: a file does not say where its masks lie.
    ReadError, ValuesError, LimitError
        A file that cannot be read, holds no whole numbers, or is too large. ``path`` of the error names it.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError("no such mask file or folder; check its path", place)
    files = _files(place) if place.is_dir() else [place]
    parts = []
    for file in files:
        with typed(file):
            parts.append(_read(file, volume))
    names: list[str] = []
    for name in (n for part in parts for n in part.names):
        names.append(name if name not in names else _another(name, names))
    if not names:
        if all(p.empty for p in parts):
            raise GeometryError("empty_mask", "the mask holds no voxel", place)
        raise GeometryError("geometry_mismatch", "no voxel of the mask lies in the scan; is it of another scan?", place)
    absent = tuple(n for part in parts for n in part.absent if n not in names)
    masks = Components.concatenate([p.masks for p in parts], volume.shape)
    return Anatomy(tuple(names), masks, volume.affine, absent)


def _files(folder: Path) -> list[Path]:
    """Everything in a folder that can hold masks, by name.

    Raises
    ------
    UsageError
        There is nothing.
    """
    inside = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".") and not is_table(f))
    files = [f for f in inside if rasters.is_raster(f) or sop_class(f)]
    if not files:
        raise UsageError(f"no masks in this folder; a mask is {KINDS}", folder)
    return files


def _another(name: str, taken: list[str]) -> str:
    return next(other for k in range(2, len(taken) + 2) if (other := f"{name} {k}") not in taken)


def _read(file: Path, volume: Volume) -> _Part:
    if rasters.is_raster(file):
        return _raster(file, volume)
    kind = sop_class(file)
    if not kind:
        raise UsageError(f"this is no mask; a mask is {KINDS}", file)
    if file.stat().st_size > DEFAULTS.file_bytes:
        raise LimitError("too_large", "the file is larger than any mask of a scan; crop it to the scan", file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are not quite as the standard wants them
        return _segmentation(file, volume) if kind in SEG else _structure_set(file, volume)


def sop_class(file: Path) -> str:
    """The SOP Class UID of a DICOM file that holds masks; empty for every other file.

    Raises
    ------
    CodecError
        A deflated file: how much it inflates to cannot be told before.
    """
    import pydicom

    with file.open("rb") as stream:
        start = stream.read(132)
    if start[128:] != b"DICM" and start[:2] != b"\x08\x00":  # with a preamble, or the older kind without
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
        except (OSError, ValueError, AttributeError, KeyError, EOFError, NotImplementedError, TypeError):
            return ""
        kind = str(head.get("SOPClassUID", ""))
        if kind not in (*SEG, RTSTRUCT):
            return ""
        if str(getattr(head, "file_meta", {}).get("TransferSyntaxUID", "")) == DEFLATED:
            error = CodecError("deflated segmentations are not read; save the file without compression")
            error.path = file
            raise error
    return kind


def _raster(file: Path, volume: Volume) -> _Part:
    """A mask or label map; an empty one is a structure that is not in the scan."""
    try:
        labels, affine = read_labels(file)
    except GeometryError as error:
        if error.reason != "empty_mask":
            raise
        return _Part((), Components.empty(volume.shape), (stem(file),), empty=True)
    placed = place(labels, affine, volume)
    if placed is None:
        return _Part((), Components.empty(volume.shape), (stem(file),))
    masks, values = encode(placed[0], placed[1], volume.shape)
    known = label_names(file, values.tolist())
    absent = tuple(name for value, name in known.items() if value not in values)
    return _Part(tuple(known.get(v, f"label {v}") for v in values.tolist()), masks, absent)


def _segmentation(file: Path, volume: Volume) -> _Part:
    return _collect(
        ((s.name, None if s.mask is None else place(s.mask, s.affine, volume), s.mask is None)
         for s in read_segments(file)),
        volume,
    )  # fmt: skip


def _structure_set(file: Path, volume: Volume) -> _Part:
    import pydicom

    dataset = pydicom.dcmread(file, force=True)
    if not dataset.get("StructureSetROISequence"):
        raise ReadError("unreadable", "the structure set names no region of interest", file)
    drawn = {int(c.ReferencedROINumber) for c in dataset.get("ROIContourSequence", ()) if c.get("ContourSequence")}
    numbers = [int(roi.ROINumber) for roi in dataset.StructureSetROISequence]
    contours = zip(numbers, read_contours(dataset, volume), strict=True)
    return _collect(((name, placed, number not in drawn) for number, (name, placed) in contours), volume)


def _collect(masks: Iterable[tuple[str, Placed | None, bool]], volume: Volume) -> _Part:
    """Masks one after the other, each kept as runs; (name, placed mask or None, whether the file has none)."""
    names: list[str] = []
    absent: list[str] = []
    runs: list[Components] = []
    empty = True
    for name, placed, nothing in masks:
        part = Components.empty(volume.shape) if placed is None else encode(placed[0], placed[1], volume.shape)[0]
        (names if len(part) else absent).append(name)
        runs.append(part)
        empty &= nothing
    return _Part(tuple(names), Components.concatenate(runs, volume.shape), tuple(absent), empty)


def place(labels: NDArray[Any], affine: geometry.Affine, volume: Volume) -> Placed | None:
    """The part of a label image that lies in the scan, on the grid of the scan, and where it begins there.

    None where nothing of it lies in the scan. Only the box round its voxels is resampled, never the whole scan.
    """
    filled = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low, high = np.array([f[0] for f in filled]), np.array([f[-1] + 1 for f in filled])
    own = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    own = own.view(np.uint8) if own.dtype == bool else own
    here = geometry.shifted(affine, low.tolist())
    # A voxel reaches half a step beyond its centre.
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in own.shape])).reshape(3, -1).T
    index = volume.to_index(geometry.to_world(here, corners))
    first = np.maximum(np.ceil(index.min(axis=0) - 1e-4), 0).astype(int)
    last = np.minimum(np.floor(index.max(axis=0) + 1e-4), np.array(volume.shape) - 1).astype(int)
    if (last < first).any():
        return None
    target = volume.crop(tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True)))  # type: ignore[arg-type]  # three of them
    placed = on_grid(own, here, target)
    start = int(first[0]), int(first[1]), int(first[2])
    return (placed, start) if placed.any() else None
