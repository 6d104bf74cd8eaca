"""Is it a shell? Sphere fit to the half-maximum mask."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature

SHELL_RESIDUAL = 0.20
EMPTY_INSIDE = 0.50


@feature("shell_fit_residual", unit="1", source="linear least-squares sphere")
def shell_fit_residual(f: Foci) -> Array:
    """Standard deviation of the voxels' distances from the fitted sphere, over its radius; missing below 10 voxels."""
    return f.sphere.residual


@feature("shell_radius_mm", unit="mm", source="linear least-squares sphere")
def shell_radius(f: Foci) -> Array:
    """Radius of the fitted sphere: the root mean square radius of the wall of a shell; missing below 10 voxels."""
    return f.sphere.radius


@feature("shell_coverage", unit="1", source="1000 directions (Fibonacci lattice) from the fitted centre")
def shell_coverage(f: Foci) -> Array:
    """Share of directions from the fitted centre that meet the mask near the radius; missing if the fit is poor."""
    return f.sphere.coverage


@feature("shell_thickness_mm", unit="mm", source="V / (4 pi r^2 coverage)")
def shell_thickness(f: Foci) -> Array:
    """Volume over the covered area of the fitted sphere; missing where it is no shell (poor fit, or filled inside)."""
    s = f.sphere
    with np.errstate(divide="ignore", invalid="ignore"):
        thickness = f.shape.n_voxels * f.voxel_mm3 / (4 * np.pi * s.radius**2 * s.coverage)
    shell = (s.residual <= SHELL_RESIDUAL) & (s.inner_occupancy <= EMPTY_INSIDE) & (s.coverage > 0)
    return np.where(shell, thickness, np.nan)


@feature("inner_occupancy", unit="1", source="share of the ball of 0.6 radius that the mask fills")
def inner_occupancy(f: Foci) -> Array:
    """How much of the inner 60 % of the fitted sphere's radius is mask: 0 for a shell, 1 for a solid ball."""
    return f.sphere.inner_occupancy


@feature("shell_offset", unit="1", source="linear least-squares sphere")
def shell_offset(f: Foci) -> Array:
    """Distance of the centroid from the fitted centre, over the radius: 0 for a whole shell, 1 for a piece."""
    return f.sphere.offset
