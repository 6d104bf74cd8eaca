"""Ellipsoid fits for shells that a sphere leaves second-order residuals of: gallbladders, cysts, nodes.

A sphere stays where it does: it has fewer parameters, and a piece of a shell does not tell an ellipsoid.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .mesh import Packed
from .sphere import INNER, SphereFit, directions, holds

FEWEST_VOXELS = 200
SPHERE_RESIDUAL = (0.05, 0.35)
"""Relative residuals of the sphere between which an ellipsoid is tried: below nothing is left, above it is no shell."""
GAIN = 0.75
"""The ellipsoid is taken if its residual is at most this share of the sphere's,"""
LEAST_COVERAGE = 0.55
"""if it is covered by at least this share (a piece of a shell fits many),"""
LEAST_ASPECT = 0.4
"""and if its shortest semi-axis is at least this share of its longest: flatter is a plate or a ring."""

Floats = NDArray[np.float64]


def with_ellipsoids(
    fit: SphereFit, packed: Packed, matrix: Floats, spacing: tuple[float, float, float]
) -> tuple[SphereFit, Floats]:
    """Replace sphere fits by ellipsoid fits where those describe a shell better.

    Returns
    -------
    fit : SphereFit
        In terms of the ellipsoid: residual and inner occupancy relative to its surface along each direction, and the
        radius of the sphere of the same area (Thomsen), so that volume over covered area stays the thickness.
    aspect : (n,) ndarray
        Shortest over longest semi-axis; 1 for a sphere, NaN without fit.
    """
    parts = packed.components
    aspect = np.where(np.isnan(fit.residual), np.nan, 1.0)
    low, high = SPHERE_RESIDUAL
    tried = (parts.n_voxels >= FEWEST_VOXELS) & (fit.residual > low) & (fit.residual <= high)
    tried &= ~(fit.inner_occupancy > 0.5)
    new = replace(
        fit, radius=fit.radius.copy(), residual=fit.residual.copy(), coverage=fit.coverage.copy(),
        offset=fit.offset.copy(), inner_occupancy=fit.inner_occupancy.copy(), centre=fit.centre.copy(),
    )  # fmt: skip
    for m in np.flatnonzero(tried):
        own = slice(*parts.voxel_offsets[m : m + 2])
        middle = parts.centroid[m]
        points = (parts.coordinates[own] - middle) @ matrix.T
        fitted = fit_ellipsoid(points)
        if fitted is None:
            continue
        centre, unit = fitted
        relative = np.linalg.norm((points - centre) @ unit, axis=1)
        residual = float(np.std(relative))
        semi = 1 / np.linalg.svd(unit, compute_uv=False)[::-1]
        if residual > GAIN * fit.residual[m] or semi.min() < LEAST_ASPECT * semi.max():
            continue
        outwards = directions() @ np.linalg.inv(unit)
        reach = max(1.0, 0.75 * max(spacing), 1.2 * residual * float(semi.mean())) / semi.min()
        near = np.arange(max(1 - reach, 0), 1 + reach, min(spacing) / 2 / semi.max())
        back = np.linalg.inv(matrix).T
        hit = holds(packed, m, (centre + outwards[:, None] * near[:, None]) @ back + middle).any(axis=1)
        # Directions are even on the unit sphere; on the ellipsoid each stands for another area.
        area = np.linalg.norm(directions() @ unit.T, axis=1)
        coverage = float((hit * area).sum() / area.sum())
        if coverage < LEAST_COVERAGE:
            continue
        inside = INNER * np.cbrt((np.arange(5) + 0.5) / 5)
        filled = holds(packed, m, (centre + outwards[:, None] * inside[:, None]) @ back + middle)
        a, b, c = semi**1.6075
        new.radius[m] = np.sqrt(((a * b + a * c + b * c) / 3) ** (1 / 1.6075))
        new.residual[m], new.coverage[m], new.inner_occupancy[m] = residual, coverage, filled.mean()
        new.offset[m] = np.linalg.norm(centre) / new.radius[m]
        new.centre[m] = centre @ back + middle
        aspect[m] = semi.min() / semi.max()
    return new, aspect


def fit_ellipsoid(points: Floats) -> tuple[Floats, Floats] | None:
    """Least-squares quadric ``x'Qx + 2 b.x = 1`` through points, (m, 3), that surround the origin.

    Returns
    -------
    (centre, unit) or None
        ``|(x - centre) @ unit| = 1`` on the ellipsoid (`unit` symmetric); None where the quadric is no ellipsoid.
    """
    scale = float(np.abs(points).max())
    x, y, z = (points / scale).T
    design = np.stack((x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, 2 * x, 2 * y, 2 * z), axis=1)
    a, b, c, d, e, f, *linear = np.linalg.lstsq(design, np.ones(len(points)), rcond=None)[0]
    quadric = np.array([[a, d, e], [d, b, f], [e, f, c]])
    if abs(np.linalg.det(quadric)) < 1e-12:
        return None
    centre = -np.linalg.solve(quadric, linear)
    values, vectors = np.linalg.eigh(quadric / (1 + centre @ quadric @ centre))
    if values.min() <= 0:
        return None
    return centre * scale, (vectors * np.sqrt(values)) @ vectors.T / scale
