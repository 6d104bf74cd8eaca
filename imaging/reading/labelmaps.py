"""`read_label_map`: a segmentation to be measured as it is -> finding_id per voxel on the grid of a scan."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError, LimitError, UsageError, ValuesError
from ..volume import Volume
from . import rasters
from .anatomy import SEG, Placed, place, sop_class
from .guard import typed
from .masks import read_labels
from .params import DEFAULTS
from .segmentation import Segment, read_segments

TRACKING_ID = "calcimap finding {}"
"""TrackingID of a segment that calcimap writes: it names the finding even where a viewer numbers segments anew."""
_TRACKING = re.compile(re.escape(TRACKING_ID).replace(r"\{\}", r"(\d{1,9})"))


def read_label_map(path: str | os.PathLike[str], volume: Volume) -> NDArray[np.int32]:
    """The findings of a segmentation, for `imaging.Detection.from_labels`.

    Parameters
    ----------
    path : str or path
        NIfTI or NRRD, each value a finding; or DICOM SEG, each segment a finding: its number is the one in a
        TrackingID that calcimap wrote, else the number of the segment, else the next free one. On another grid each
        voxel of the scan takes the label at its centre.
    volume : Volume
        The scan.

    Returns
    -------
    (slices, rows, columns) ndarray
        finding_id per voxel, 0 elsewhere.

    Raises
    ------
    UsageError
        No such file, or none of these kinds.
    GeometryError
        ``geometry_mismatch``: a finding has no voxel in the scan; ``empty_mask``: there is no finding;
        ``uneven_spacing``, ``no_geometry``: the file does not say where its masks lie.
    ValuesError
        ``overlap``: segments share voxels; ``not_mask``: values that are no positive whole numbers.
    ReadError, LimitError
        The file cannot be read, or is too large.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError("no such label map; give one file: NIfTI, NRRD or DICOM SEG", file)
    with typed(file):
        return _raster(file, volume) if rasters.is_raster(file) else _segmentation(file, volume)


def _raster(file: Path, volume: Volume) -> NDArray[np.int32]:
    labels, affine = read_labels(file)
    if labels.min() < 0:
        raise ValuesError("not_mask", "labels must not be negative; save the segmentation as a label map", file)
    image = np.zeros(volume.shape, np.int32)
    _paint(image, place(labels, affine, volume), None)
    _check_lost(np.setdiff1d(labels[labels != 0], image[image != 0]).tolist(), file)
    return image


def _segmentation(file: Path, volume: Volume) -> NDArray[np.int32]:
    if sop_class(file) not in SEG:
        raise UsageError("this is no label map; give NIfTI, NRRD or DICOM SEG", file)
    if file.stat().st_size > DEFAULTS.file_bytes:
        raise LimitError("too_large", "the file is larger than any segmentation of a scan; crop it to the scan", file)
    image = np.zeros(volume.shape, np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are not quite as the standard wants them
        segments = [s for s in read_segments(file) if s.mask is not None]
    if not segments:
        raise GeometryError("empty_mask", "no segment holds a voxel", file)
    for number, segment in zip(finding_ids(segments), segments, strict=True):
        assert segment.mask is not None
        placed = place(segment.mask, segment.affine, volume)
        _check_lost([] if placed else [number], file)
        _paint(image, placed, number)
    return image


def finding_ids(segments: Sequence[Segment]) -> list[int]:
    """A number for each segment: that of its TrackingID if calcimap wrote it, else its own, else the next free one."""
    known = [_TRACKING.fullmatch(s.tracking_id) for s in segments]
    wanted = [int(m[1]) if m else 0 for m in known]
    taken: set[int] = set()
    numbers = [0] * len(wanted)
    for k, number in enumerate(wanted):
        if number and number not in taken:
            taken.add(number)
            numbers[k] = number
    for k, segment in enumerate(segments):
        if not numbers[k]:
            free = segment.number if segment.number not in taken else max(taken) + 1
            taken.add(free)
            numbers[k] = free
    return numbers


def _paint(image: NDArray[np.int32], placed: Placed | None, number: int | None) -> None:
    """Write a part of a label map into the image: a mask as `number`, labels (without a number) as they are.

    Raises
    ------
    ValuesError
        ``overlap``.
    """
    if placed is None:
        return
    labels, start = placed
    target = image[tuple(slice(a, a + n) for a, n in zip(start, labels.shape, strict=True))]
    inside = labels != 0
    taken = np.unique(target[inside & (target != 0)])
    if len(taken):
        text = f"finding {number} shares voxels with finding {taken[0]}; a voxel belongs to one finding"
        raise ValuesError("overlap", f"{text}: separate them in the program that drew them")
    target[inside] = labels[inside] if number is None else number


def _check_lost(lost: list[int], file: Path) -> None:
    if lost:
        text = f"finding {lost[0]} has no voxel in the scan"
        raise GeometryError("geometry_mismatch", f"{text}; is the label map of another scan?", file)
