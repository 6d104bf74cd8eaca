"""Skeleton, lobes, layers and tubes: what the rules of patterns ask for beyond size and shell.

Skeletons and lobes are made where they can tell something: findings at least 4 mm (lobes 6 mm) long that are no compact
bodies, at slices up to 2 mm. Elsewhere they are missing.
"""

from __future__ import annotations

import numpy as np

from ..foci import Array, Foci
from .registry import feature

SKELETON = "skeleton by thinning (Lee et al. 1994) on HU resampled to 0.5 mm, spurs pruned"
BINS = 24
"""Sectors of 15 degrees round an axis."""
FEWEST_VOXELS = 10


@feature("stroke_mm", unit="mm", source=f"2 x median distance to the surface along the skeleton; {SKELETON}")
def stroke(f: Foci) -> Array:
    """Width of the line, plate or limb that a finding is made of."""
    return f.topology.stroke


@feature("skeleton_length_mm", unit="mm", source=SKELETON)
def skeleton_length(f: Foci) -> Array:
    """Length of all branches of the skeleton; it ends about half a stroke inside the finding."""
    return f.topology.length


@feature("skeleton_ends", unit="", dtype="Int64", source=SKELETON)
def skeleton_ends(f: Foci) -> Array:
    """Free ends of the skeleton: 2 for a line, 0 for a ring."""
    return f.topology.ends


@feature("skeleton_junctions", unit="", dtype="Int64", source=SKELETON)
def skeleton_junctions(f: Foci) -> Array:
    """Places where three or more branches of the skeleton meet."""
    return f.topology.junctions


@feature("tortuosity", unit="1", source=f"longest shortest way over the distance of its ends; {SKELETON}")
def tortuosity(f: Foci) -> Array:
    """How far the skeleton bends: 1 for a straight line, pi / 2 for half a circle."""
    return f.topology.tortuosity


@feature("curvature_radius_mm", unit="mm", source=f"least-squares circle (Kasa 1976) through the skeleton; {SKELETON}")
def curvature_radius(f: Foci) -> Array:
    """Radius of the circle that the skeleton follows in its principal plane."""
    return f.topology.curvature_radius


@feature("lobes", unit="", dtype="Int64", source="maxima of the distance map; necks at most 0.92 times as deep")
def lobes(f: Foci) -> Array:
    """Convex lobes: maxima of the depth below the surface that are separated by necks."""
    return f.topology.lobes


@feature("euler_number", unit="", dtype="Int64", source="Toriwaki and Yonekura 2002, 26-connected, on HU at 0.5 mm")
def euler_number(f: Foci) -> Array:
    """Pieces minus tunnels plus cavities: 1 for a ball or a line, 0 for a ring, 2 for a closed shell."""
    return f.topology.euler


@feature("layers", unit="1", source="250 rays from the fitted centre, clinical.md section 1.3")
def layers(f: Foci) -> Array:
    """Mean number of times that a ray from the fitted centre enters the mask: 1 for a shell, 3 for three of them.

    Missing for dots, compact bodies, and bodies that fewer than a tenth of the lines of the grid enter again.
    """
    return f.rays.layers


@feature("layered_share", unit="1", source="250 rays from the fitted centre")
def layered_share(f: Foci) -> Array:
    """Share of rays that enter the mask at least twice."""
    return f.rays.layered


@feature("radial_slope_hu", unit="HU", source="outer 30 % minus inner 30 % of the way, median of 250 rays")
def radial_slope(f: Foci) -> Array:
    """Rise of HU from the fitted centre to the rim; negative where the centre is denser."""
    return f.rays.slope


@feature("radial_fade", unit="1", source="(middle 40 % - inner 30 %) / (outer 30 % - inner 30 %), HU along 250 rays")
def radial_fade(f: Foci) -> Array:
    """How gradually HU rise to the rim: 0 for a wall with an inner edge, 0.5 for an even rise; missing without one."""
    return f.rays.fade


@feature("ring_arc_deg", unit="deg", source="sectors of 15 degrees about the fitted centre, in the principal plane")
def ring_arc(f: Foci) -> Array:
    """Angle that the finding covers round the fitted centre: 360 for a ring; missing below 10 voxels."""
    offset = _from(f, f.sphere.centre)
    u, v = (np.einsum("ij,ij->i", offset, f.principal[f.shape.component, :, k]) for k in (0, 1))
    return np.where(np.isnan(f.sphere.radius), np.nan, 360 * _sectors(f, u, v))


@feature("tube_cv", unit="1", source="SD over mean of the distances of voxels from the first principal axis")
def tube_cv(f: Foci) -> Array:
    """How evenly far voxels lie from the long axis: small for a hollow cylinder; missing below 10 voxels."""
    mean, sd = f.shape.mean_and_sd(_radius(f))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((f.shape.n_voxels >= FEWEST_VOXELS) & (mean > 0), sd / mean, np.nan)


@feature("tube_arc", unit="1", source="share of 24 sectors about the first principal axis that hold voxels")
def tube_arc(f: Foci) -> Array:
    """How much of the way round the long axis is closed: 1 for a hollow cylinder; missing below 10 voxels."""
    offset = _from(f, f.shape.centroid)
    u, v = (np.einsum("ij,ij->i", offset, f.principal[f.shape.component, :, k]) for k in (1, 2))
    return np.where(f.shape.n_voxels >= FEWEST_VOXELS, _sectors(f, u, v), np.nan)


@feature("tube_inside", unit="1", source="share of voxels within half the mean distance from the first principal axis")
def tube_inside(f: Foci) -> Array:
    """How much of the finding lies at its long axis: near 0 for a hollow cylinder; missing below 10 voxels."""
    radius = _radius(f)
    mean = f.shape.mean_and_sd(radius)[0]
    inside = f.shape.total((radius < mean[f.shape.component] / 2).astype(float)) / np.maximum(f.shape.n_voxels, 1)
    return np.where(f.shape.n_voxels >= FEWEST_VOXELS, inside, np.nan)


def _from(f: Foci, centre: Array) -> Array:
    """Offset of every voxel of the half-maximum mask from an index, mm."""
    return np.asarray((f.shape.coordinates - centre[f.shape.component]) @ f.matrix.T)


def _radius(f: Foci) -> Array:
    """Distance of every voxel from the long axis, mm."""
    offset = _from(f, f.shape.centroid)
    along = np.einsum("ij,ij->i", offset, f.principal[f.shape.component, :, 0])
    return np.asarray(np.sqrt(np.maximum((offset**2).sum(axis=1) - along**2, 0)))


def _sectors(f: Foci, u: Array, v: Array) -> Array:
    """Share of sectors about the origin of the plane (u, v) that hold voxels, per finding."""
    turn = np.nan_to_num((np.arctan2(v, u) / (2 * np.pi)) % 1)
    sector = np.minimum((turn * BINS).astype(np.int64), BINS - 1)
    filled = np.zeros(len(f) * BINS, bool)
    filled[f.shape.component.astype(np.int64) * BINS + sector] = True
    return np.asarray(filled.reshape(-1, BINS).mean(axis=1))
