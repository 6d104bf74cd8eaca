"""What form a finding has. All on the half-maximum mask, definitions of the IBSI reference manual.

Missing below 4 voxels: the mesh of one voxel holds a sixth of it, and any one to three voxels look alike.
"""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature


@feature("surface_area_mm2", unit="mm2", source="IBSI C0JK")
def surface_area(f: Foci) -> Array:
    """Area A of the marching-cubes mesh at half level of the binary mask.

    The mesh keeps the steps of the voxels: of a ball it is 9 % too large on cubes and up to 17 % on flat voxels, at any
    resolution; what is derived from it (sphericity, compactness) shares the bias.
    """
    return np.where(f.formed, f.surfaces[1], np.nan)


@feature("volume_mesh_mm3", unit="mm3", source="IBSI RNU0")
def volume_mesh(f: Foci) -> Array:
    """Volume V that the mesh encloses."""
    return np.where(f.formed, f.surfaces[0], np.nan)


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
    return np.asarray(np.cbrt(36 * np.pi * volume_mesh(f) ** 2) / surface_area(f))


@feature("elongation", unit="1", source="IBSI Q3CK")
def elongation(f: Foci) -> Array:
    """Minor over major axis: 1 is round, 0 a line; missing where the voxels lie on a line."""
    return np.where(f.formed, f.axes[:, 1] / f.axes[:, 0], np.nan)


@feature("flatness", unit="1", source="IBSI N17B")
def flatness(f: Foci) -> Array:
    """Least over major axis: 1 is round, 0 flat; missing where the voxels lie in a plane."""
    return np.where(f.formed, f.axes[:, 2] / f.axes[:, 0], np.nan)


@feature("surface_to_volume_per_mm", unit="1/mm", source="IBSI 2PR5")
def surface_to_volume(f: Foci) -> Array:
    """Mesh area over mesh volume: A / V; 6 / d for a ball of diameter d."""
    return np.asarray(surface_area(f) / volume_mesh(f))


@feature("compactness_1", unit="1", source="IBSI SKGS")
def compactness_1(f: Foci) -> Array:
    """V / (sqrt(pi) A^(3/2)): 1 / (6 pi) = 0.053 for a ball, less for anything else."""
    return np.asarray(volume_mesh(f) / (np.sqrt(np.pi) * surface_area(f) ** 1.5))


@feature("compactness_2", unit="1", source="IBSI BQWJ")
def compactness_2(f: Foci) -> Array:
    """36 pi V^2 / A^3: the cube of sphericity."""
    return np.asarray(sphericity(f) ** 3)


@feature("spherical_disproportion", unit="1", source="IBSI KRCK")
def spherical_disproportion(f: Foci) -> Array:
    """A / (36 pi V^2)^(1/3): one over sphericity."""
    return np.asarray(1 / sphericity(f))


@feature("asphericity", unit="1", source="IBSI 25C7")
def asphericity(f: Foci) -> Array:
    """(A^3 / (36 pi V^2))^(1/3) - 1: 0 for a ball."""
    return np.asarray(1 / sphericity(f) - 1)


@feature("centre_of_mass_shift_mm", unit="mm", source="IBSI KLMA")
def centre_of_mass_shift(f: Foci) -> Array:
    """Distance of the mean voxel centre from the mean weighted by HU; missing below 4 voxels or with negative HU."""
    parts, weights = f.shape, f.shape.values(f.volume.array).astype(float)
    away = (parts.coordinates - parts.centroid[parts.component]) @ f.matrix.T
    moment = np.stack([parts.total(weights * away[:, axis]) for axis in range(3)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.linalg.norm(moment, axis=1) / parts.total(weights)
    return np.where(f.formed & (parts.minimum(weights) >= 0), shift, np.nan)
