"""Where a finding is."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature

DICOM_PLANE = "PS3.3 C.7.6.2.1.1 (image plane), patient LPS"


@feature("centroid_x_mm", unit="mm", source=DICOM_PLANE)
def centroid_x(f: Foci) -> Array:
    """Mean position of the detection mask's voxel centres along x, to the patient's left."""
    return f.volume.to_world(f.mask.centroid)[:, 0]


@feature("centroid_y_mm", unit="mm", source=DICOM_PLANE)
def centroid_y(f: Foci) -> Array:
    """Mean position of the detection mask's voxel centres along y, to posterior."""
    return f.volume.to_world(f.mask.centroid)[:, 1]


@feature("centroid_z_mm", unit="mm", source=DICOM_PLANE)
def centroid_z(f: Foci) -> Array:
    """Mean position of the detection mask's voxel centres along z, to superior."""
    return f.volume.to_world(f.mask.centroid)[:, 2]


@feature("slice_index", unit="", dtype="Int64", source="index of the array, from 0")
def slice_index(f: Foci) -> Array:
    """Slice nearest to the centroid; slice 0 is the lowest position along the slice normal."""
    return np.rint(f.mask.centroid[:, 0])


@feature("row_index", unit="", dtype="Int64", source="index of the array, from 0")
def row_index(f: Foci) -> Array:
    """Row nearest to the centroid."""
    return np.rint(f.mask.centroid[:, 1])


@feature("column_index", unit="", dtype="Int64", source="index of the array, from 0")
def column_index(f: Foci) -> Array:
    """Column nearest to the centroid."""
    return np.rint(f.mask.centroid[:, 2])
