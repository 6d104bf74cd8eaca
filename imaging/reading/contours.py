"""DICOM RTSTRUCT: closed planar contours, filled slice by slice on the grid of a scan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError
from ..volume import Volume

Placed = tuple[NDArray[np.bool_], tuple[int, int, int]]
"""A mask and where its first voxel lies in the scan."""
IN_PLANE = 0.5
"""Slice steps by which the points of one contour may lie apart."""


def read_contours(dataset: Any, volume: Volume) -> Iterator[tuple[str, Placed | None]]:
    """Name and mask of each region of interest; None where it has no closed contour within the scan.

    A voxel belongs to a region if its centre lies inside. Contours in one plane are combined by exclusive or, so that
    one inside another is a hole. Where contours are farther apart than slices, a slice takes the nearest contour, up
    to half of their distance.

    Raises
    ------
    GeometryError
        ``geometry_mismatch``: contours that do not lie in the slice planes of the scan.
    """
    found = {int(c.ReferencedROINumber): c.get("ContourSequence", ()) for c in dataset.get("ROIContourSequence", ())}
    for roi in dataset.StructureSetROISequence:
        number = int(roi.ROINumber)
        name = str(roi.get("ROIName", "")).strip() or f"ROI {number}"
        planes: dict[float, list[NDArray[np.float64]]] = {}
        for contour in found.get(number, ()):
            if not str(contour.get("ContourGeometricType", "")).startswith("CLOSED"):
                continue
            index = volume.to_index(_points(contour))
            if np.ptp(index[:, 0]) > IN_PLANE:
                text = "the contours do not lie in the slice planes of the scan; give masks instead"
                raise GeometryError("geometry_mismatch", text)
            planes.setdefault(round(float(index[:, 0].mean()), 2), []).append(index[:, 1:])
        yield name, _fill(planes, volume) if planes else None


def _points(contour: Any) -> NDArray[np.float64]:
    """The points, (n, 3) mm; from the stored text where it has not been parsed, which is many times quicker."""
    raw = contour.get_item("ContourData").value
    text = raw.split(b"\\") if isinstance(raw, bytes) else raw
    return np.array(text, dtype=float).reshape(-1, 3)


def _fill(planes: dict[float, list[NDArray[np.float64]]], volume: Volume) -> Placed | None:
    from skimage.draw import polygon

    slices, rows, columns = volume.shape
    everything = np.concatenate([p for polygons in planes.values() for p in polygons])
    low = np.clip(np.floor(everything.min(axis=0)).astype(int), 0, (rows, columns))
    high = np.clip(np.ceil(everything.max(axis=0)).astype(int) + 1, 0, (rows, columns))
    places = np.array(sorted(planes))
    step = max(float(np.median(np.diff(places))), 1.0) if len(places) > 1 else 1.0
    first, last = max(0, round(places[0] - step / 2)), min(slices - 1, round(places[-1] + step / 2))
    if last < first or (high <= low).any():
        return None
    mask = np.zeros((last - first + 1, *(high - low)), bool)
    drawn: dict[float, NDArray[np.bool_]] = {}
    for k in range(first, last + 1):
        nearest = float(places[np.argmin(np.abs(places - k))])
        if abs(nearest - k) > step / 2 + 0.01:
            continue
        if nearest not in drawn:
            plane = np.zeros(mask.shape[1:], bool)
            for points in planes[nearest]:
                inside = np.zeros_like(plane)
                inside[polygon(points[:, 0] - low[0], points[:, 1] - low[1], plane.shape)] = True
                plane ^= inside
            drawn[nearest] = plane
        mask[k - first] = drawn[nearest]
    return (mask, (first, int(low[0]), int(low[1]))) if mask.any() else None
