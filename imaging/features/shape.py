"""What form a finding has. All on the half-maximum mask, definitions of the IBSI reference manual."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature


@feature("surface_area_mm2", unit="mm2", source="IBSI C0JK")
def surface_area(f: Foci) -> Array:
    """Area of the marching-cubes mesh at half level of the binary mask."""
    return f.surfaces[1]


@feature("volume_mesh_mm3", unit="mm3", source="IBSI RNU0")
def volume_mesh(f: Foci) -> Array:
    """Volume that the mesh encloses."""
    return f.surfaces[0]


@feature("major_axis_mm", unit="mm", source="IBSI TDIC")
def major_axis(f: Foci) -> Array:
    """Four times the square root of the largest eigenvalue of the voxel centres' covariance (over N - 1)."""
    return f.axes[:, 0]


@feature("minor_axis_mm", unit="mm", source="IBSI P9VJ")
def minor_axis(f: Foci) -> Array:
    """The same of the second eigenvalue; missing where the voxels lie on a line."""
    return f.axes[:, 1]


@feature("least_axis_mm", unit="mm", source="IBSI 7J51")
def least_axis(f: Foci) -> Array:
    """The same of the smallest eigenvalue; missing where the voxels lie in a plane."""
    return f.axes[:, 2]


@feature("sphericity", unit="1", source="IBSI QCFX")
def sphericity(f: Foci) -> Array:
    """Area of the ball of the mesh volume over the mesh area: (36 pi V^2)^(1/3) / A; 1 for a ball."""
    volume, area = f.surfaces
    return np.asarray(np.cbrt(36 * np.pi * volume**2) / area)


@feature("elongation", unit="1", source="IBSI Q3CK")
def elongation(f: Foci) -> Array:
    """Minor over major axis: 1 is round, 0 a line; missing where the voxels lie on a line."""
    return np.asarray(f.axes[:, 1] / f.axes[:, 0])


@feature("flatness", unit="1", source="IBSI N17B")
def flatness(f: Foci) -> Array:
    """Least over major axis: 1 is round, 0 flat; missing where the voxels lie in a plane."""
    return np.asarray(f.axes[:, 2] / f.axes[:, 0])


@feature("solidity", unit="1", source="IBSI R3ER")
def solidity(f: Foci) -> Array:
    """Mesh volume over the volume of its convex hull: 1 for convex shapes, small for shells and branches."""
    return f.surfaces[0] / f.hulls[0]
