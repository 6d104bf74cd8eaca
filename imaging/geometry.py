"""Grids in space: pure functions on 4 x 4 affines.

Everywhere in calcimap arrays are (slice, row, column) and an affine maps such an index to patient LPS
coordinates in mm (x to the left, y to posterior, z to superior): ``lps = affine @ (slice, row, column, 1)``.
Its column 0 is the step from slice to slice, column 1 from row to row (down the image), column 2 from column to
column (along a row). Nothing else stores spacing, origin or direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GeometryError

Affine = NDArray[np.float64]
"""(4, 4) float64, index (slice, row, column, 1) -> patient LPS mm."""

ORTHOGONAL = 1e-3
"""Largest cosine between two axes that still counts as a right angle (0.06 degrees)."""


def affine_from_components(spacing: Sequence[float], origin: Sequence[float], direction: ArrayLike) -> Affine:
    """Affine of a regular grid.

    Parameters
    ----------
    spacing : (dz, dy, dx)
        Distance between slices, rows and columns, mm.
    origin : (x, y, z)
        LPS position of the centre of voxel (0, 0, 0), mm.
    direction : (3, 3) array_like
        Columns are the LPS unit vectors of the column, row and slice axis, as in ITK: the identity is an axial scan
        whose columns run to the patient's left, rows to posterior and slices to superior.
    """
    steps = np.asarray(spacing, dtype=float)
    matrix = np.asarray(direction, dtype=float)
    place = np.asarray(origin, dtype=float)
    if steps.shape != (3,) or not np.all(np.isfinite(steps)) or np.any(steps <= 0):
        raise GeometryError("no_geometry", f"spacing must be three positive lengths (dz, dy, dx), got {spacing!r}")
    if place.shape != (3,) or matrix.shape != (3, 3) or not (np.isfinite(place).all() and np.isfinite(matrix).all()):
        raise GeometryError("no_geometry", "origin must be three finite numbers and direction a finite 3 x 3 matrix")
    affine = np.eye(4)
    affine[:3, :3] = matrix[:, ::-1] * steps
    affine[:3, 3] = place
    return check_affine(affine)


def check_affine(affine: ArrayLike) -> Affine:
    """`affine` as float64, refused unless it is 4 x 4, finite, invertible and homogeneous."""
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise GeometryError("no_geometry", "the affine must be a finite 4 x 4 matrix with last row 0 0 0 1")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise GeometryError("no_geometry", "the affine is singular: two axes coincide or a spacing is zero")
    return matrix


def spacing(affine: Affine) -> tuple[float, float, float]:
    """Step lengths (slice, row, column), mm. With a tilted gantry the first is longer than the slice distance."""
    dz, dy, dx = np.linalg.norm(affine[:3, :3], axis=0)
    return float(dz), float(dy), float(dx)


def slice_distance(affine: Affine) -> float:
    """Distance between neighbouring slice planes along their normal, mm."""
    return float(abs(affine[:3, 0] @ normal(affine)))


def normal(affine: Affine) -> NDArray[np.float64]:
    """Unit normal of the slices, oriented along increasing slice index, (3,) LPS."""
    cross = np.cross(affine[:3, 2], affine[:3, 1])
    cross /= np.linalg.norm(cross)
    return np.asarray(cross if cross @ affine[:3, 0] >= 0 else -cross)


def direction(affine: Affine) -> NDArray[np.float64]:
    """Unit vectors of the column, row and slice axis as columns, (3, 3) LPS (the ITK order)."""
    matrix = affine[:3, :3]
    return np.asarray((matrix / np.linalg.norm(matrix, axis=0))[:, ::-1])


def voxel_volume_mm3(affine: Affine) -> float:
    """Volume of one voxel, mm3: the determinant, so a sheared grid (gantry tilt) is right as well."""
    return float(abs(np.linalg.det(affine[:3, :3])))


def is_orthogonal(affine: Affine) -> bool:
    """Whether the three axes meet at right angles (no gantry tilt, no shear)."""
    axes = direction(affine)
    return bool(np.all(np.abs(axes.T @ axes - np.eye(3)) < ORTHOGONAL))


def to_world(affine: Affine, index: ArrayLike) -> NDArray[np.float64]:
    """LPS mm, (..., 3), of indices (slice, row, column), (..., 3); fractions allowed."""
    return np.asarray(np.asarray(index, dtype=float) @ affine[:3, :3].T + affine[:3, 3])


def to_index(affine: Affine, world: ArrayLike) -> NDArray[np.float64]:
    """Indices (slice, row, column) with fractions, (..., 3), of LPS positions in mm, (..., 3)."""
    return np.asarray((np.asarray(world, dtype=float) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T)


def shifted(affine: Affine, index: Sequence[float]) -> Affine:
    """The affine of a crop whose voxel (0, 0, 0) is voxel `index` (slice, row, column) of the whole."""
    moved = affine.copy()
    moved[:3, 3] = to_world(affine, index)
    return moved


def axis_letters(vector: ArrayLike) -> str:
    """The patient direction a LPS vector points to, as one letter: L, R, P, A, S or I."""
    values = np.asarray(vector, dtype=float)
    axis = int(np.argmax(np.abs(values)))
    return ("LR", "PA", "SI")[axis][int(values[axis] < 0)]
