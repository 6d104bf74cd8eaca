"""Sphere fits: is it a shell, how much of the sphere does it cover, how thick is it?

By fit and not by hole filling, which fails as soon as a shell leaks (clinical.md section 0.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh import Packed

N_DIRECTIONS = 1000
FEWEST_VOXELS = 10
LARGEST_RESIDUAL = 0.30
"""Relative residual up to which coverage is worth computing: solid objects lie near 0.25."""
INNER = 0.6
"""Share of the radius inside which a shell is empty."""


@dataclass(frozen=True, eq=False)
class SphereFit:
    """Per finding, (n,) each; NaN where a fit is not possible (fewer than 10 voxels) or the term has no meaning.

    Parameters
    ----------
    radius : ndarray
        mm.
    residual : ndarray
        Standard deviation of the distances from the sphere, over the radius.
    coverage : ndarray
        Share of 1000 directions from the centre that meet the mask near the radius (within the larger of 1 mm, 0.75
        times the largest spacing and 1.2 times the residual). NaN where the residual exceeds 0.30.
    offset : ndarray
        Distance of the mask's centroid from the fitted centre, over the radius: 0 for a whole shell or ring, near 1 for
        a small piece of either.
    inner_occupancy : ndarray
        Share of the ball of 0.6 radius that the mask fills, at 5000 points.
    centre : ndarray
        Fitted centre, voxel index (slice, row, column), (n, 3).
    """

    radius: NDArray[np.float64]
    residual: NDArray[np.float64]
    coverage: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_occupancy: NDArray[np.float64]
    centre: NDArray[np.float64]


def fit_spheres(packed: Packed, matrix: NDArray[np.float64], spacing: tuple[float, float, float]) -> SphereFit:
    """Least-squares spheres through the voxel centres of components: ``|x|^2 = 2 c.x + k`` is linear in c and k."""
    parts = packed.components
    n = len(parts)
    nan = np.full(n, np.nan)
    if not n:
        return SphereFit(nan, nan, nan, nan, nan, np.zeros((0, 3)))
    centre = parts.centroid
    x = (parts.coordinates - centre[parts.component]) @ matrix.T
    design = np.column_stack((2 * x, np.ones(len(x))))
    square = (x * x).sum(axis=1)
    left = np.empty((n, 4, 4))
    right = np.empty((n, 4))
    for i in range(4):
        right[:, i] = parts.total(design[:, i] * square)
        for j in range(i + 1):
            left[:, i, j] = left[:, j, i] = parts.total(design[:, i] * design[:, j])
    # The pseudo-inverse keeps the centre of a coplanar component in its plane: a circle fit.
    solution = np.einsum("nij,nj->ni", np.linalg.pinv(left, rcond=1e-9, hermitian=True), right)
    c, k = solution[:, :3], solution[:, 3]
    radius = np.sqrt(np.maximum(k + (c * c).sum(axis=1), 0))
    distance = np.linalg.norm(x - c[parts.component], axis=1)
    _, sd = parts.mean_and_sd(distance)
    extent = np.linalg.norm(np.diff(parts.box, axis=2)[:, :, 0] * spacing, axis=1)
    good = (parts.n_voxels >= FEWEST_VOXELS) & (radius > 0) & (radius < 4 * extent)
    residual, inner, coverage = nan.copy(), nan.copy(), nan.copy()
    for m in np.flatnonzero(good):
        residual[m] = sd[m] / radius[m]
        inside = INNER * radius[m] * np.cbrt((np.arange(5) + 0.5) / 5)  # shells of equal volume
        inner[m] = _hits(packed, m, centre[m], c[m], inside, matrix).mean()
        if residual[m] <= LARGEST_RESIDUAL:
            reach = max(1.0, 0.75 * max(spacing), 1.2 * sd[m])
            near = np.arange(max(radius[m] - reach, 0.0), radius[m] + reach + min(spacing) / 4, min(spacing) / 2)
            coverage[m] = _hits(packed, m, centre[m], c[m], near, matrix).any(axis=1).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(good, np.linalg.norm(c, axis=1) / radius, np.nan)
    where = np.where(good[:, None], centre + c @ np.linalg.inv(matrix).T, np.nan)
    return SphereFit(np.where(good, radius, np.nan), residual, coverage, offset, inner, where)


@cache
def directions() -> NDArray[np.float64]:
    """Unit vectors spread evenly over the sphere (Fibonacci lattice), (1000, 3)."""
    k = np.arange(N_DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / N_DIRECTIONS), np.pi * (1 + 5**0.5) * k
    return np.stack((np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)), axis=1)


def _hits(
    packed: Packed,
    m: Any,
    centroid: NDArray[np.float64],
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    matrix: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether component m holds the voxel at each radius in each direction from the fitted centre, (1000, radii)."""
    points = centre + directions()[:, None, :] * radii[:, None]
    return holds(packed, m, points @ np.linalg.inv(matrix).T + centroid)


def holds(packed: Packed, m: Any, where: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether component m holds the voxel that each index (..., 3) lies in, (...).

    Points are looked up, not voxels counted: between thick slices lie no voxel centres.
    """
    index = np.rint(where).astype(np.int64)
    box = packed.components.box[m]
    inside = ((index >= box[:, 0]) & (index < box[:, 1])).all(axis=-1)
    place = packed.base[m] + ((index - box[:, 0] + 1) * packed.strides[m]).sum(axis=-1)
    return np.asarray(packed.mask[np.where(inside, place, packed.base[m])])  # a box starts with margin
