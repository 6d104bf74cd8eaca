"""DICOM SEG: segments with their names, on a grid of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import GeometryError, LimitError

LARGEST_VOXELS = 1 << 31
OFF_GRID = 0.01
"""Largest distance of a plane from a regular grid, in steps, at which it still counts as on it."""
_SIDES = {"7771000": "left", "G-A101": "left", "24028007": "right", "G-A100": "right"}
"""SNOMED CT and SNOMED RT codes of laterality."""


class Segment(NamedTuple):
    """One segment: number, name and TrackingID (empty where absent), mask (None without a voxel) and its affine."""

    number: int
    name: str
    tracking_id: str
    mask: NDArray[np.bool_] | None
    affine: geometry.Affine


def segment_names(dataset: Any) -> dict[int, str]:
    """Name of every segment: its label, with the coded side where the label has none."""
    from .. import structures

    names = {}
    for segment in dataset.SegmentSequence:
        label = str(segment.get("SegmentLabel", "")).strip() or f"segment {segment.SegmentNumber}"
        for kind in segment.get("SegmentedPropertyTypeCodeSequence", ()):
            for modifier in kind.get("SegmentedPropertyTypeModifierCodeSequence", ()):
                side = _SIDES.get(str(modifier.get("CodeValue", "")))
                if side and structures.side_of(label) not in ("left", "right"):
                    label = f"{label}_{side}"
        names[int(segment.SegmentNumber)] = label
    return names


def read_segments(path: Path) -> Iterator[Segment]:
    """The segments of a SEG file, each on the box of its planes (of its voxels in a label map).

    Fractional segments count from half of their range.

    Raises
    ------
    GeometryError
        ``uneven_spacing``: the planes do not lie on one grid.
    LimitError
        ``too_large``.
    """
    from highdicom.seg import segread

    seg: Any = segread(path)
    affine, shape = _grid(seg, path)
    if int(np.prod(shape, dtype=object)) > LARGEST_VOXELS:
        raise LimitError("too_large", "the segmentation has more than 2 billion voxels; crop it to the scan", path)
    names = segment_names(seg)
    tracked = {int(s.SegmentNumber): str(s.get("TrackingID", "")).strip() for s in seg.SegmentSequence}
    masks = _label_masks if seg.SegmentationType == "LABELMAP" else _frame_masks
    for number, mask, first in masks(seg, affine, shape, list(names)):
        there = mask if mask is not None and mask.any() else None
        yield Segment(number, names[number], tracked[number], there, geometry.shifted(affine, first))


Masks = Iterator[tuple[int, NDArray[np.bool_] | None, tuple[int, int, int]]]
"""Number of a segment, its mask, and where that begins in the grid of the file."""


def _frame_masks(seg: Any, affine: geometry.Affine, shape: tuple[int, int, int], numbers: list[int]) -> Masks:
    """Masks of a file with frames of its own for each segment."""
    level = seg.MaximumFractionalValue / 2 if seg.SegmentationType == "FRACTIONAL" else 1
    frames = _frames(seg, affine)
    for number in numbers:
        own = frames.get(number, [])
        if not own:
            yield number, None, (0, 0, 0)
            continue
        first = min(plane for plane, _ in own)
        mask = np.zeros((max(plane for plane, _ in own) - first + 1, *shape[1:]), bool)
        for plane, frame in own:
            mask[plane - first] |= seg.get_stored_frame(frame) >= level
        yield number, mask, (first, 0, 0)


def _label_masks(seg: Any, affine: geometry.Affine, shape: tuple[int, int, int], numbers: list[int]) -> Masks:
    """Masks of a label map; each frame is decoded once, whatever the number of segments."""
    from scipy import ndimage

    labels = np.zeros(shape, np.uint16)
    for plane, frame in _frames(seg, affine).get(0, []):
        labels[plane] = seg.get_stored_frame(frame)
    boxes = ndimage.find_objects(labels)
    for number in numbers:
        if number == seg.get("PixelPaddingValue"):  # the background may be described as a segment
            continue
        box = boxes[number - 1] if 0 < number <= len(boxes) else None
        if box is None:
            yield number, None, (0, 0, 0)
        else:
            yield number, labels[box] == number, (box[0].start, box[1].start, box[2].start)


def _grid(seg: Any, path: Path) -> tuple[geometry.Affine, tuple[int, int, int]]:
    """Affine and shape of the regular grid that holds all planes; planes without a voxel may be missing.

    Raises
    ------
    GeometryError
        ``uneven_spacing``.
    """
    shared = seg.SharedFunctionalGroupsSequence[0]
    grid = seg.get_volume_geometry(allow_missing_positions=True)
    if grid is not None:
        slices, rows, columns = grid.spatial_shape
        return geometry.check_affine(grid.affine), (slices, rows, columns)
    sheared = None
    if "PlaneOrientationSequence" in shared and "PixelMeasuresSequence" in shared:
        sheared = _sheared_grid(seg, shared)
    if sheared is None:
        raise GeometryError("uneven_spacing", "the planes of the segmentation do not lie on one regular grid", path)
    return sheared


def _sheared_grid(seg: Any, shared: Any) -> tuple[geometry.Affine, tuple[int, int, int]] | None:
    """The grid of a tilted gantry, whose planes are shifted against each other; None where there is none."""
    along_row, along_column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    measures = shared.PixelMeasuresSequence[0]
    rows_mm, columns_mm = (float(v) for v in measures.PixelSpacing)
    positions = np.unique([_position(groups, shared) for groups in seg.PerFrameFunctionalGroupsSequence], axis=0)
    height = positions @ np.cross(along_row, along_column)
    positions, height = positions[np.argsort(height)], np.sort(height)
    gaps = np.diff(height)
    if not len(gaps):
        return None
    step = float(measures.get("SpacingBetweenSlices", 0)) or float(gaps.min())
    k = np.rint((height - height[0]) / step)
    shift = (k[:, None] * (positions - positions[0])).sum(axis=0) / (k**2).sum()
    if np.abs(positions - positions[0] - k[:, None] * shift).max() > OFF_GRID * step or not (np.diff(k) > 0).all():
        return None
    affine = np.eye(4)
    affine[:3] = np.stack([shift, along_column * rows_mm, along_row * columns_mm, positions[0]], axis=1)
    return geometry.check_affine(affine), (int(k[-1]) + 1, int(seg.Rows), int(seg.Columns))


def _frames(seg: Any, affine: geometry.Affine) -> dict[int, list[tuple[int, int]]]:
    """(plane, frame number from 1) of all frames, by segment number; 0 for a label map."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames: dict[int, list[tuple[int, int]]] = {}
    for k, groups in enumerate(seg.PerFrameFunctionalGroupsSequence, 1):
        what = groups.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        number = 0 if seg.SegmentationType == "LABELMAP" else int(what[0].ReferencedSegmentNumber)
        place = geometry.to_index(affine, _position(groups, shared))
        frames.setdefault(number, []).append((round(float(place[0])), k))
    return frames


def _position(groups: Any, shared: Any) -> NDArray[np.float64]:
    where = groups.get("PlanePositionSequence") or shared.PlanePositionSequence
    return np.array(where[0].ImagePositionPatient, float)
