"""DICOM SEG: segments with their names, on a grid of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import GeometryError, LimitError

LARGEST_VOXELS = 1 << 31
_SIDES = {"7771000": "left", "G-A101": "left", "24028007": "right", "G-A100": "right"}
"""SNOMED CT and SNOMED RT codes of laterality."""


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


def read_segments(path: Path) -> Iterator[tuple[str, NDArray[np.bool_] | None, geometry.Affine]]:
    """Name, mask and affine of each segment of a SEG file; the mask is None where the segment has no voxel.

    Fractional segments count from half of their range. A mask reaches from its first to its last plane.

    Raises
    ------
    GeometryError
        ``uneven_spacing``: the planes do not lie on one grid.
    LimitError
        ``too_large``.
    """
    from highdicom.seg import segread

    seg: Any = segread(path)
    grid = seg.get_volume_geometry(allow_missing_positions=True)
    if grid is None:
        raise GeometryError("uneven_spacing", "the planes of the segmentation do not lie on one regular grid", path)
    affine = geometry.check_affine(grid.affine)
    if int(np.prod(grid.spatial_shape, dtype=object)) > LARGEST_VOXELS:
        raise LimitError("too_large", "the segmentation has more than 2 billion voxels; crop it to the scan", path)
    level = seg.MaximumFractionalValue / 2 if seg.SegmentationType == "FRACTIONAL" else 1
    labelmap = seg.SegmentationType == "LABELMAP"
    frames = _frames(seg, affine, labelmap)
    background = seg.get("PixelPaddingValue") if labelmap else None
    for number, name in segment_names(seg).items():
        if number == background:
            continue
        own = frames.get(0 if labelmap else number, [])
        mask = np.zeros((0, 0, 0), bool)
        first = min((plane for plane, _ in own), default=0)
        if own:
            mask = np.zeros((max(plane for plane, _ in own) - first + 1, *grid.spatial_shape[1:]), bool)
        for plane, frame in own:
            values = seg.get_stored_frame(frame)
            mask[plane - first] |= (values == number) if labelmap else (values >= level)
        yield name, mask if mask.any() else None, geometry.shifted(affine, (first, 0, 0))


def _frames(seg: Any, affine: geometry.Affine, labelmap: bool) -> dict[int, list[tuple[int, int]]]:
    """(plane, frame number from 1) of all frames, by segment number; 0 for a label map."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames: dict[int, list[tuple[int, int]]] = {}
    for k, groups in enumerate(seg.PerFrameFunctionalGroupsSequence, 1):
        where = groups.get("PlanePositionSequence") or shared.PlanePositionSequence
        what = groups.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        number = 0 if labelmap else int(what[0].ReferencedSegmentNumber)
        place = geometry.to_index(affine, np.array(where[0].ImagePositionPatient, float))
        frames.setdefault(number, []).append((round(float(place[0])), k))
    return frames
