"""Is it a shell? Sphere or ellipsoid fitted to the half-maximum mask."""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature

SHELL_RESIDUAL = 0.20
EMPTY_INSIDE = 0.50
ROUNDS = 8
"""Each shrinks the error of the thickness fivefold or more."""
LEAST_SHARE = 0.5
"""Bound of the correction: a wall as thick as the radius is no shell."""


@feature("shell_fit_residual", unit="1", source="least squares of distances (sphere) or linear (ellipsoid)")
def shell_fit_residual(f: Foci) -> Array:
    """Standard deviation of the voxels' distances from the fitted surface, over its radius; missing below 10 voxels."""
    return f.sphere.residual


@feature("shell_radius_mm", unit="mm", source="linear least-squares sphere")
def shell_radius(f: Foci) -> Array:
    """Radius of the fitted sphere: the root mean square radius of the wall of a shell; missing below 10 voxels."""
    return f.sphere.radius


@feature("shell_axis_ratio", unit="1", source="least-squares ellipsoid (quadric)")
def shell_axis_ratio(f: Foci) -> Array:
    """Shortest over longest semi-axis of the fitted surface: 1 where a sphere explains the finding as well."""
    return f.sphere.axis_ratio


@feature("shell_coverage", unit="1", source="1000 directions (Fibonacci lattice) from the fitted centre")
def shell_coverage(f: Foci) -> Array:
    """Share of the fitted surface, seen from its centre, near which the mask lies; missing if the fit is poor."""
    return f.sphere.coverage


@feature("shell_thickness_mm", unit="mm", source="V = A coverage (t + t^3 / (12 m^2)), m the middle radius")
def shell_thickness(f: Foci) -> Array:
    """Wall that has the half-maximum volume over the covered area; missing where it is no shell (poor fit, or filled).

    The radius of the fit is the root mean square radius of the wall, r^2 = m^2 + 5 t^2 / 12 to second order, so that
    t = V / (covered area (1 - t^2 / (3 r^2))), by iteration. Without it a 3 mm wall of 6 mm radius reads 8 % thin.
    """
    s = f.sphere
    with np.errstate(divide="ignore", invalid="ignore"):
        first = thickness = f.shape.n_voxels * f.voxel_mm3 / s.covered_mm2
        for _ in range(ROUNDS):
            thickness = first / np.maximum(1 - thickness**2 / (3 * s.radius**2), LEAST_SHARE)
    shell = (s.residual <= SHELL_RESIDUAL) & (s.inner_occupancy <= EMPTY_INSIDE) & (s.coverage > 0)
    return np.where(shell, thickness, np.nan)


@feature("inner_occupancy", unit="1", source="share of the ball of 0.6 radius that the mask fills")
def inner_occupancy(f: Foci) -> Array:
    """How much of the inner 60 % of the fitted radius is mask: 0 for a shell, 1 for a solid ball."""
    return f.sphere.inner_occupancy


@feature("shell_offset", unit="1", source="linear least-squares sphere")
def shell_offset(f: Foci) -> Array:
    """Distance of the centroid from the fitted centre, over the radius: 0 for a whole shell, 1 for a piece."""
    return f.sphere.offset
