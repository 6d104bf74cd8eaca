"""Sphere and ellipsoid fits: is it a shell, how much of the surface does it cover, how thick is it?

By fit and not by hole filling, which fails as soon as a shell leaks (clinical.md section 0.4). A sphere first; where
distances from it vary as they do for an egg, and an ellipsoid explains them clearly better, the ellipsoid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .mesh import Packed

Floats = NDArray[np.float64]

N_DIRECTIONS = 1000
N_INNER = 250
"""Directions in which the inside is looked up, at five depths each."""
FEWEST_VOXELS = 10
REFINEMENTS, DETERMINED = 3, 0.02
"""Steps, and share of the largest eigenvalue below which a direction is left alone: a ring does not tell how far its
sphere's centre lies off its plane (below 0.01), half a shell does (0.05)."""
LARGEST_RESIDUAL = 0.30
"""Relative residual up to which coverage is worth computing: solid objects lie near 0.25."""
INNER = 0.6
"""Share of the radius inside which a shell is empty."""
ELLIPSOID_VOXELS = 200
ELLIPSOID_FROM, ELLIPSOID_GAIN, ELLIPSOID_INSIDE = 0.04, 0.9, 0.6
"""An ellipsoid has nine parameters: it needs 200 voxels, a sphere that fits worse than 0.04, and at most 0.9 times its
residual: that of a thick wall stays large in either. What the sphere holds more than 0.6 of inside is no shell."""
LEAST_AXIS_RATIO = 0.35
"""Flatter or longer ellipsoids are fits to plates, rings and tubes."""


@dataclass(frozen=True, eq=False)
class SphereFit:
    """Per finding, (n,) each; NaN where a fit is not possible (fewer than 10 voxels) or the term has no meaning.

    Parameters
    ----------
    radius : ndarray
        mm; of an ellipsoid the geometric mean of its semi-axes.
    axis_ratio : ndarray
        Shortest over longest semi-axis; 1 for a sphere.
    residual : ndarray
        Standard deviation of the distances from the surface, over the radius (along the ray from the centre).
    coverage : ndarray
        Share of the fitted surface, over 1000 directions from its centre, near which the mask lies (within the larger
        of 1 mm, 0.75 times the largest spacing and 1.2 times the residual). NaN where the residual exceeds 0.30.
    covered_mm2 : ndarray
        Area of that share.
    offset : ndarray
        Distance of the mask's centroid from the fitted centre, over the radius: 0 for a whole shell or ring, near 1 for
        a small piece of either.
    inner_occupancy : ndarray
        Share of the inside, up to 0.6 of the way to the surface, that the mask fills, at 1250 points.
    centre : ndarray
        Fitted centre, voxel index (slice, row, column), (n, 3).
    """

    radius: Floats
    axis_ratio: Floats
    residual: Floats
    coverage: Floats
    covered_mm2: Floats
    offset: Floats
    inner_occupancy: Floats
    centre: Floats


def fit_spheres(packed: Packed, matrix: Floats, spacing: tuple[float, float, float]) -> SphereFit:
    """Least-squares spheres, and ellipsoids where they fit clearly better, through voxel centres of components."""
    parts = packed.components
    n = len(parts)
    no = np.full((7, n), np.nan)
    out = SphereFit(no[0], no[1], no[2], no[3], no[4], no[5], no[6], np.full((n, 3), np.nan))
    if not n:
        return out
    x = (parts.coordinates - parts.centroid[parts.component]) @ matrix.T
    c, radius, sd = _spheres(parts, x)
    extent = np.linalg.norm(np.diff(parts.box, axis=2)[:, :, 0] * spacing, axis=1)
    good = (parts.n_voxels >= FEWEST_VOXELS) & (radius > 0) & (radius < 4 * extent)
    inverse = np.asarray(np.linalg.inv(matrix), float)
    few = directions(N_INNER)
    steps, few_steps = directions(N_DIRECTIONS) @ inverse.T, few @ inverse.T
    depths = INNER * np.cbrt((np.arange(5) + 0.5) / 5)  # shells of equal volume
    for m in np.flatnonzero(good).tolist():
        centre, form, residual = c[m], np.eye(3) / radius[m] ** 2, sd[m] / radius[m]
        middle = parts.centroid[m] + inverse @ centre
        inner = _hits(packed, m, middle, few_steps, (radius[m] * depths)[None]).mean()
        hollow = inner <= ELLIPSOID_INSIDE and parts.n_voxels[m] >= ELLIPSOID_VOXELS
        if hollow and ELLIPSOID_FROM < residual <= LARGEST_RESIDUAL:
            egg = _ellipsoid(x[slice(*parts.voxel_offsets[m : m + 2])], radius[m])
            if egg is not None and egg[2] <= ELLIPSOID_GAIN * residual:
                centre, form, residual = egg
                middle = parts.centroid[m] + inverse @ centre
                far = 1 / np.sqrt((few @ form * few).sum(axis=1))
                inside = _hits(packed, m, middle, few_steps, far[:, None] * depths).mean(axis=1)
                # Directions stand for equal angles; the volume in a direction grows with the cube of the distance.
                inner = np.average(inside, weights=far**3)
        axes = 1 / np.sqrt(np.linalg.eigvalsh(form))
        mean = float(np.cbrt(axes.prod()))
        out.radius[m], out.axis_ratio[m], out.residual[m] = mean, axes.min() / axes.max(), residual
        out.offset[m] = np.linalg.norm(centre) / mean
        out.inner_occupancy[m], out.centre[m] = inner, middle
        if residual <= LARGEST_RESIDUAL:
            reach = max(1.0, 0.75 * max(spacing), 1.2 * residual * mean)
            out.coverage[m], out.covered_mm2[m] = _cover(packed, m, middle, steps, form, reach, min(spacing) / 2)
    return out


def _spheres(parts: Components, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Centres from the centroid, (n, 3), radii and SD of the distances from the sphere, (n,) each.

    ``|x|^2 = 2 c.x + k`` is linear in c and k, but draws the sphere of a thick, broken wall inwards; from there the
    distances themselves are brought to the least sum of squares (Gauss-Newton), where that is a better fit.
    """
    c, k = _solved(parts, 2 * x, (x * x).sum(axis=1))
    radius = np.sqrt(np.maximum(k + (c * c).sum(axis=1), 0))
    _, sd = parts.mean_and_sd(_away(parts, x, c)[1])
    for _ in range(REFINEMENTS):
        outwards, distance = _away(parts, x, c)
        step, more = _solved(parts, outwards, distance - radius[parts.component], DETERMINED)
        _, spread = parts.mean_and_sd(_away(parts, x, c + step)[1])
        better = (sd <= LARGEST_RESIDUAL * radius) & (radius + more > 0) & (spread < sd)
        c[better] += step[better]
        radius[better] += more[better]
        sd[better] = spread[better]
    return c, radius, sd


def _away(parts: Components, x: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Directions from the centre of its own component to each voxel, and distances."""
    off = x - c[parts.component]
    distance = np.sqrt(np.einsum("ij,ij->i", off, off))
    return off / np.maximum(distance, 1e-9)[:, None], distance


def _solved(parts: Components, design: Floats, right: Floats, least: float = 1e-9) -> tuple[Floats, Floats]:
    """Least squares of ``right = design @ c + k`` for every component: c, (n, 3), and k, (n,)."""
    design = np.column_stack((design, np.ones(len(design))))
    products = np.empty((len(parts), 4, 4))
    for i in range(4):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = parts.total(design[:, i] * design[:, j])
    sums = np.stack([parts.total(design[:, i] * right) for i in range(4)], axis=1)
    # The pseudo-inverse keeps the centre of a coplanar component in its plane: a circle fit.
    solution = np.einsum("nij,nj->ni", np.linalg.pinv(products, rcond=least, hermitian=True), sums)
    return solution[:, :3], solution[:, 3]


def _ellipsoid(x: Floats, scale: float) -> tuple[Floats, Floats, float] | None:
    """Centre c, form A and residual of the quadric ``(x - c)' A (x - c) = 1`` through points, least squares.

    None where it is no ellipsoid, is too flat or long, or has its centre outside the box of the points.
    """
    u = x / scale
    pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    design = np.column_stack([u[:, i] * u[:, j] * (1 if i == j else 2) for i, j in pairs] + [2 * u])
    solution, _, rank, _ = np.linalg.lstsq(design.T @ design, design.sum(axis=0), rcond=1e-10)
    if rank < 9:
        return None
    form = np.empty((3, 3))
    for (i, j), value in zip(pairs, solution, strict=False):
        form[i, j] = form[j, i] = value
    values = np.linalg.eigvalsh(form)
    if values[0] <= 0 or values[0] < LEAST_AXIS_RATIO**2 * values[2]:
        return None
    centre = -np.linalg.solve(form, solution[6:])
    if ((centre < u.min(axis=0)) | (centre > u.max(axis=0))).any():
        return None
    form = form / (1 + centre @ form @ centre)
    u = u - centre
    away = np.sqrt((u @ form * u).sum(axis=1))
    return centre * scale, form / scale**2, float(away.std() / away.mean())


def _cover(
    packed: Packed, m: int, middle: Floats, steps: Floats, form: Floats, reach: float, step: float
) -> tuple[float, float]:
    """Covered share of the surface ``x' form x = 1``, and its area; the mask may lie `reach` mm off it."""
    ray = directions(N_DIRECTIONS)
    push = ray @ form
    stretch = (push * ray).sum(axis=1)
    far, upright = 1 / np.sqrt(stretch), stretch / np.linalg.norm(push, axis=1)  # radius; cosine of ray and normal
    across = np.linspace(-reach, reach, int(np.ceil(2 * reach / step)) + 1)
    radii = np.maximum(far[:, None] + across / upright[:, None], 0)
    hit = _hits(packed, m, middle, steps, radii).any(axis=1)
    area = 4 * np.pi / len(ray) * far**2 / upright
    return float(area[hit].sum() / area.sum()), float(area[hit].sum())


@cache
def directions(n: int = N_DIRECTIONS) -> Floats:
    """Unit vectors spread evenly over the sphere (Fibonacci lattice), (n, 3)."""
    k = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    return np.stack((np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)), axis=1)


def _hits(packed: Packed, m: int, middle: Floats, rays: Floats, radii: Floats) -> NDArray[np.bool_]:
    """Whether component m holds the voxel at each radius (mm) of each ray (index steps per mm) from `middle`.

    Points are looked up, not voxels counted: between thick slices lie no voxel centres.
    """
    low, high = packed.components.box[m].T
    radii = radii.astype(np.float32)
    place = np.zeros((len(rays), radii.shape[1]), np.int64)
    for axis in range(3):
        index = rays[:, axis, None].astype(np.float32) * radii
        index += np.float32(middle[axis] - low[axis] + 1.5)
        # What lies outside lands on the margin of the box, which is empty.
        place += np.clip(index, 0, high[axis] - low[axis] + 1).astype(np.int64) * packed.strides[m, axis]
    place += packed.base[m]
    return packed.mask[place]


def holds(packed: Packed, m: Any, where: Floats) -> NDArray[np.bool_]:
    """Whether component m holds the voxel that each index (..., 3) lies in, (...)."""
    index = np.rint(where).astype(np.int64)
    box = packed.components.box[m]
    inside = ((index >= box[:, 0]) & (index < box[:, 1])).all(axis=-1)
    place = packed.base[m] + ((index - box[:, 0] + 1) * packed.strides[m]).sum(axis=-1)
    return np.asarray(packed.mask[np.where(inside, place, packed.base[m])])  # a box starts with margin
