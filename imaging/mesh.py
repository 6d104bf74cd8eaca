"""Surfaces of many components in one pass, from a table of 2 x 2 x 2 neighbourhoods.

Marching cubes at half level on a binary mask sees only 256 different cubes. Their triangles are made once (by
scikit-image), and every component is then a sum over its cubes. Equal to ``skimage.measure.marching_cubes`` and
``mesh_surface_area`` on each component alone; holds on sheared grids too: triangles are taken to mm by the affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from .components import Components

CORNERS = np.array([(k >> 2 & 1, k >> 1 & 1, k & 1) for k in range(8)])


@dataclass(frozen=True, eq=False)
class Packed:
    """Every component in a box of its own, with a margin of one voxel, all in one flat buffer.

    Neighbours of a voxel are then found by adding a stride, without looking at other components.
    """

    components: Components

    @cached_property
    def _sides(self) -> NDArray[np.int64]:
        return np.asarray(np.diff(self.components.box, axis=2)[:, :, 0] + 2)

    @cached_property
    def base(self) -> NDArray[np.int64]:
        """First buffer place of each component's box, (n + 1,)."""
        return np.concatenate(([0], np.cumsum(np.prod(self._sides, axis=1)))).astype(np.int64)

    @cached_property
    def strides(self) -> NDArray[np.int64]:
        """Buffer steps (slice, row, column) of each component, (n, 3)."""
        sides = self._sides
        return np.stack((sides[:, 1] * sides[:, 2], sides[:, 2], np.ones(len(sides), np.int64)), axis=1)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Buffer place of every voxel, in the order of ``components.voxels``."""
        owner = self.components.component
        local = self.components.coordinates - self.components.box[owner, :, 0] + 1
        return np.asarray(self.base[owner] + (local * self.strides[owner]).sum(axis=1))

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """The buffer: True at the voxels of the components."""
        buffer = np.zeros(self.base[-1], bool)
        buffer[self.place] = True
        return buffer

    def open_sides(self) -> NDArray[np.bool_]:
        """Whether the neighbour at -slice, +slice, -row, +row, -column, +column is outside, (n_voxels, 6)."""
        step = self.strides[self.components.component]
        sides = [~self.mask[self.place + sign * step[:, axis]] for axis in range(3) for sign in (-1, 1)]
        return np.stack(sides, axis=1) if len(self.place) else np.zeros((0, 6), bool)

    def reentered(self) -> NDArray[np.float64]:
        """Of the grid lines that meet a component, the share of its further entries, largest of three axes, (n,).

        0 for a body without gaps along lines of the grid; half and more for a shell or one body inside another.
        """
        coordinates, owner = self.components.coordinates, self.components.component
        sides, step, n = self.open_sides(), self.strides[owner], len(self.components)
        gaps = np.zeros((3, n))
        for axis in range(3):
            entries = np.bincount(owner[sides[:, 2 * axis]], minlength=n)
            met = np.zeros(self.base[-1], bool)  # each line at its place in the margin
            met[self.place - (coordinates[:, axis] - self.components.box[owner, axis, 0] + 1) * step[:, axis]] = True
            gaps[axis] = 1 - np.add.reduceat(met, self.base[:-1], dtype=np.int64) / entries if n else 0
        return np.asarray(gaps.max(axis=0))


@cache
def _triangles() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Triangles of all 256 cubes in index units, (n, 3 vertices, 3), and the code of the cube of each, (n,)."""
    from skimage.measure import marching_cubes

    triangles, codes = [], []
    for code in range(1, 255):
        cube = np.zeros((2, 2, 2), np.float32)
        cube[tuple(CORNERS[[bool(code >> k & 1) for k in range(8)]].T)] = 1
        vertices, faces, _, _ = marching_cubes(cube, 0.5, allow_degenerate=False)
        triangles.append(vertices[faces])
        codes.append(np.full(len(faces), code))
    return np.concatenate(triangles).astype(float), np.concatenate(codes)


def surfaces(packed: Packed, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Volume (mm3) and area (mm2) of the mesh of every component, (n,) each.

    Parameters
    ----------
    packed : Packed
    matrix : (3, 3) ndarray
        Linear part of the affine: index step to mm.
    """
    n = len(packed.components)
    if not n:
        return np.zeros(0), np.zeros(0)
    triangles, code = _triangles()
    a, b, c = (triangles[:, k] for k in range(3))
    twice = np.cross(b - a, c - a)  # twice the area vector, index units
    cofactor = np.linalg.det(matrix) * np.linalg.inv(matrix).T
    area_of = np.bincount(code, np.linalg.norm(twice @ cofactor.T, axis=1) / 2, 256)
    inside_of = np.bincount(code, np.einsum("ij,ij->i", a, twice) / 6, 256)  # signed tetrahedra about the cube's corner
    vector_of = np.stack([np.bincount(code, twice[:, k] / 2, 256) for k in range(3)], axis=1)

    step = packed.strides[packed.components.component]
    codes = np.zeros(packed.base[-1], np.uint8)
    for k, corner in enumerate(CORNERS):  # within one corner no place occurs twice, so += is safe
        codes[packed.place - step @ corner] += np.uint8(1 << k)
    cubes = np.flatnonzero(codes)
    cubes = cubes[codes[cubes] != 255]
    owner = np.searchsorted(packed.base, cubes, side="right") - 1
    rest, x = np.divmod(cubes - packed.base[owner], packed.strides[owner, 1])
    z, y = np.divmod(rest, packed.strides[owner, 0] // packed.strides[owner, 1])
    corner_at = np.stack((z, y, x), axis=1).astype(float)
    kind = codes[cubes]
    # Moving a cube by p adds p . N / 3 to the signed volume of its triangles, N their summed area vector.
    volume = inside_of[kind] + np.einsum("ij,ij->i", corner_at, vector_of[kind]) / 3
    volumes: NDArray[np.float64] = np.abs(np.bincount(owner, volume, n)) * abs(np.linalg.det(matrix))
    return volumes, np.asarray(np.bincount(owner, area_of[kind], n), dtype=float)


def outline_points(packed: Packed) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Corners of the outline in each slice: midpoints between a voxel and an outside neighbour in the slice.

    Those of voxels that lie between two others of a row or column are left out: no extent ends there.

    Returns
    -------
    points : (m, 3) ndarray
        Indices (slice, row, column), by component.
    offsets : (n + 1,) ndarray
        Component k owns ``points[offsets[k]:offsets[k + 1]]``.
    """
    parts = packed.components
    sides = packed.open_sides()
    sides[:, :2] = False
    corner = np.all(sides[:, 2::2] | sides[:, 3::2], axis=1, keepdims=True)
    points, owner = _midpoints(packed, sides & corner)
    return points, np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(parts))))).astype(np.int64)


def _midpoints(packed: Packed, sides: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Points half-way from voxels to neighbours, as indices, and the component of each; sides as of `open_sides`."""
    voxel, side = np.nonzero(sides)
    points = packed.components.coordinates[voxel].astype(float)
    points[np.arange(len(voxel)), side // 2] += np.where(side % 2, 0.5, -0.5)
    return points, packed.components.component[voxel]


def hulls(
    packed: Packed, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Convex hull of the mesh vertices of every component: volume (mm3), area (mm2), largest distance (mm), (n,) each.

    A voxel between two others of its component on a grid line is no corner of the hull: only the rest go to Qhull.
    """
    from scipy.spatial import ConvexHull

    parts = packed.components
    sides = packed.open_sides()
    corner = np.all(sides[:, 0::2] | sides[:, 1::2], axis=1, keepdims=True)
    points, owner = _midpoints(packed, sides & corner)
    points = (points - parts.box[owner, :, 0]) @ matrix.T
    ends = np.cumsum(np.bincount(owner, minlength=len(parts)))
    out = np.zeros((3, len(parts)))
    for k, (first, last) in enumerate(zip(np.append(0, ends), ends, strict=False)):  # Qhull takes one set at a time
        # Joggling by a part in 1e10 spares Qhull the merging of facets of many coplanar points: half the time.
        hull = ConvexHull(points[first:last], qhull_options="QJ")
        out[:, k] = hull.volume, hull.area, _farthest(hull.points[hull.vertices])
    return out[0], out[1], out[2]


def _farthest(points: NDArray[np.float64]) -> float:
    """Largest distance of two points: which two by inner products, how far from their difference."""
    centred = points - points.mean(axis=0)
    square = (centred * centred).sum(axis=1)
    one, other = divmod(int((square[:, None] + square - 2 * (centred @ centred.T)).argmax()), len(points))
    return float(np.linalg.norm(points[one] - points[other]))


def groups_of(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the group of every entry: 0 0 0 1 1 2 ... from offsets."""
    counts = np.diff(offsets)
    return np.repeat(np.arange(len(counts)), counts)
