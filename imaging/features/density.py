"""How much of a simple body round it a finding fills: box, ellipsoid, convex hull. Half-maximum mask, IBSI.

The bodies of IBSI without reference values (oriented box, smallest ellipsoid) are not measured. Missing below 4 voxels.
"""

from __future__ import annotations

import numpy as np
from scipy.special import elliprg

from ..foci import Array, Foci
from .registry import feature
from .shape import surface_area, volume_mesh


@feature("solidity", unit="1", source="IBSI R3ER")
def solidity(f: Foci) -> Array:
    """Mesh volume over the volume of its convex hull: 1 for convex shapes, small for shells and branches."""
    return volume_mesh(f) / f.hulls[0]


@feature("area_density_hull", unit="1", source="IBSI 7T7F")
def area_density_hull(f: Foci) -> Array:
    """Mesh area over the area of its convex hull: 1 for convex shapes, larger the more it is folded."""
    return surface_area(f) / f.hulls[1]


@feature("volume_density_box", unit="1", source="IBSI PBX1")
def volume_density_box(f: Foci) -> Array:
    """Mesh volume over the volume of the mesh's box in the axes of the scan."""
    return np.asarray(volume_mesh(f) / (_sides(f).prod(axis=1) * f.voxel_mm3))


@feature("area_density_box", unit="1", source="IBSI R59B")
def area_density_box(f: Foci) -> Array:
    """Mesh area over the area of the mesh's box in the axes of the scan."""
    sides = _sides(f)
    faces = [np.linalg.norm(np.cross(f.matrix[:, i], f.matrix[:, j])) for i, j in ((1, 2), (0, 2), (0, 1))]
    pairs = np.stack([sides[:, 1] * sides[:, 2], sides[:, 0] * sides[:, 2], sides[:, 0] * sides[:, 1]], axis=1)
    return np.asarray(surface_area(f) / (2 * pairs @ faces))


@feature("volume_density_ellipsoid", unit="1", source="IBSI 6BDE")
def volume_density_ellipsoid(f: Foci) -> Array:
    """Mesh volume over the volume of the ellipsoid that has the principal axes: V / (pi / 6 L1 L2 L3)."""
    return np.asarray(volume_mesh(f) / (np.pi / 6 * f.axes.prod(axis=1)))


@feature("area_density_ellipsoid", unit="1", source="IBSI RDD2")
def area_density_ellipsoid(f: Foci) -> Array:
    """Mesh area over the area of the ellipsoid that has the principal axes (exact, by Carlson's integral RG)."""
    half = f.axes / 2
    area = 4 * np.pi * half.prod(axis=1) * elliprg(*(1 / np.square(half)).T)
    return np.asarray(surface_area(f) / area)


def _sides(f: Foci) -> Array:
    """Voxels along each axis, (n, 3): the mesh reaches half a voxel beyond the outer centres."""
    return np.diff(f.shape.box, axis=2)[:, :, 0]
