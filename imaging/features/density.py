"""How much of a simple body round it a finding fills: box, ellipsoid, convex hull. Half-maximum mask, IBSI.

The bodies of IBSI without reference values (oriented box, smallest ellipsoid) are not measured. Missing below 4 voxels.
"""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature
from .shape import surface_area, volume_mesh

IBSI_ORDER = 20
"""Last term of the series of the IBSI manual."""


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
    """Mesh area over the area of the ellipsoid that has the principal axes, by the series of the IBSI manual.

    With a >= b >= c, alpha^2 = 1 - b^2 / a^2, beta^2 = 1 - c^2 / a^2: 4 pi a b sum over k = 0..20 of
    (alpha beta)^k P_k((alpha^2 + beta^2) / (2 alpha beta)) / (1 - 4 k^2). The exact area of an ellipsoid has other
    alpha and beta (beta^2 = 1 - c^2 / b^2): on the digital phantom the ratio would be 1.30 instead of the 1.36 of the
    reference. The series is kept so that values compare with other IBSI software.
    """
    a, b, c = f.axes.T / 2
    alpha2, beta2 = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    middle, product2 = (alpha2 + beta2) / 2, alpha2 * beta2
    # Q_k = (alpha beta)^k P_k by the recurrence of P_k: no division where alpha or beta is 0.
    before, term = np.ones_like(a), middle
    total = before - term / 3
    for k in range(1, IBSI_ORDER):
        before, term = term, ((2 * k + 1) * middle * term - k * product2 * before) / (k + 1)
        total += term / (1 - 4 * (k + 1) ** 2)
    return np.asarray(surface_area(f) / (4 * np.pi * a * b * total))


def _sides(f: Foci) -> Array:
    """Voxels along each axis, (n, 3): the mesh reaches half a voxel beyond the outer centres."""
    return np.diff(f.shape.box, axis=2)[:, :, 0]
