"""`Foci`: what every feature receives. Shared intermediates are made on first use, for all findings at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .detection import Detection
from .edges import Edges, edges
from .halfmax import halfmax_level, halfmax_mask
from .inside import Inside, integrated_volume, look_inside
from .mesh import Packed, groups_of, hulls, outline_points, surfaces
from .rays import Rays, cast_rays
from .sphere import SphereFit, fit_spheres
from .surroundings import Surroundings, look_around
from .topology import Topology, measure_topology
from .volume import Volume

Array = NDArray[Any]
ANGLES = np.arange(180.0)
"""Degrees; directions in which a slice's outline is measured. The longest is missed by at most 0.004 %."""
FEWEST_FOR_FORM = 4
HOLLOW_MM, LINE_MM, BODY_MM, THICK_MM = 5.0, 4.0, 6.0, 2.0
"""Rays are cast from this equivalent diameter, skeletons and lobes made from these longest diameters, at spacings up to
the last."""
REENTERED = 0.1
"""Share of grid lines that enter a body again, below which rays through it meet one layer."""
COMPACT, STRETCHED = 0.90, 0.75
"""Solidity up to which a body may have layers or lobes, and a skeleton that tells more than its axes do."""
SHELL, CLOSED, LAYERED = 0.22, 0.45, 0.80
"""Fit residual up to which, and coverage from which a shell is a surface, and the share of rays with two entries from
which it is several: a thinned surface is no skeleton of lines."""
TIE = 1e-9
"""Relative difference below which two lengths are the same."""


@dataclass(frozen=True, eq=False)
class Foci:
    """The findings of one detection, ready to be measured.

    Parameters
    ----------
    detection : Detection
        Its masks are the detection masks; `shape` are the half-maximum masks.
    """

    detection: Detection

    def __len__(self) -> int:
        return len(self.detection)

    @property
    def volume(self) -> Volume:
        """The scan."""
        return self.detection.volume

    @property
    def mask(self) -> Components:
        """Detection masks: number of voxels, intensity, scores."""
        return self.detection.components

    @cached_property
    def values(self) -> Array:
        """HU of every voxel of `mask`."""
        return self.mask.values(self.volume.array)

    @cached_property
    def surroundings(self) -> Surroundings:
        """Background and HU fall round each finding; tissue above the growth threshold is no background."""
        return look_around(self.volume, self.mask, self._ceiling)

    @property
    def _ceiling(self) -> float:
        """HU above which a voxel belongs to some candidate; none is known for a given segmentation."""
        thresholds = self.detection.thresholds
        return np.inf if thresholds is None else thresholds.grow_hu

    @cached_property
    def background(self) -> tuple[Array, Array]:
        """Mean and SD of the background, HU, (n,) each; the scan's soft tissue where the surroundings hold none."""
        mean, sd = self.surroundings.background_mean, self.surroundings.background_sd
        thresholds = self.detection.thresholds
        if thresholds is None:
            return mean, sd
        return np.where(np.isnan(mean), thresholds.noise.mean, mean), np.where(np.isnan(sd), thresholds.noise.sd, sd)

    @cached_property
    def _shape(self) -> tuple[Components, NDArray[np.bool_]]:
        if self.detection.given:
            return self.mask, np.zeros(len(self), bool)
        return halfmax_mask(self.volume, self.mask, self._halfmax, self.detection.found.level)

    @cached_property
    def _halfmax(self) -> Array:
        plateau = look_inside(self.volume, Packed(self.mask), self.background).plateau
        return halfmax_level(self.mask, self.values, *self.background, plateau, self.detection.found.apart_above)

    @cached_property
    def level(self) -> Array:
        """HU at which the surface of `shape` lies, (n,); NaN where a mask stands for itself."""
        if self.detection.given:
            return np.full(len(self), np.nan)
        return np.where(self.fallback, np.nan, self._halfmax)

    @property
    def shape(self) -> Components:
        """Half-maximum masks: diameters, axes, surface, shells. A given segmentation stands for both."""
        return self._shape[0]

    @property
    def fallback(self) -> NDArray[np.bool_]:
        """Where the detection mask stands in for a half-maximum mask."""
        return self._shape[1]

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, mm3."""
        return self.volume.voxel_volume_mm3

    @property
    def matrix(self) -> Array:
        """Index step to mm, (3, 3)."""
        return self.volume.affine[:3, :3]

    @cached_property
    def located(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Organ, side, and whether the side is an estimate, of each finding; None without anatomy masks."""
        anatomy = self.detection.anatomy
        if anatomy is None:
            nothing = np.full(len(self), None, object)
            return nothing, nothing, np.zeros(len(self), bool)
        return anatomy.locate(self.mask)

    # -- shape, mm -------------------------------------------------------------------------------------------------

    @cached_property
    def packed(self) -> Packed:
        """The half-maximum masks, each in a box of its own."""
        return Packed(self.shape)

    @property
    def formed(self) -> NDArray[np.bool_]:
        """Where the half-maximum mask has the 4 voxels that a form takes: three are a line or a plane."""
        return self.shape.n_voxels >= FEWEST_FOR_FORM

    @cached_property
    def surfaces(self) -> tuple[Array, Array]:
        """Mesh volume, mm3, and mesh area, mm2."""
        return surfaces(self.packed, self.matrix)

    @cached_property
    def axes(self) -> Array:
        """Lengths of the principal axes, mm, (n, 3), descending: 4 sqrt(eigenvalue), covariance over N - 1 voxels.

        Missing where the voxels have no extent along the axis.
        """
        n = self.shape.n_voxels.astype(float)
        some = n > 1
        lengths = np.full((len(self), 3), np.nan)
        values = self._inertia[0][some] * (n[some] / (n[some] - 1))[:, None]
        smallest = 1e-6 * np.square(self.volume.spacing).min()  # rounding of an extent that is zero
        lengths[some] = np.where(values > smallest, 4 * np.sqrt(np.maximum(values, 0)), np.nan)
        return lengths

    @cached_property
    def _inertia(self) -> tuple[Array, Array]:
        covariance = self.matrix @ self.shape.covariance @ self.matrix.T
        values, vectors = np.linalg.eigh(covariance)
        return values[:, ::-1], vectors[:, :, ::-1]

    @property
    def principal(self) -> Array:
        """Unit vectors of the principal axes, (n, 3, 3): column k of each is axis k, longest first."""
        return self._inertia[1]

    @cached_property
    def hulls(self) -> tuple[Array, Array, Array]:
        """Convex hull of the mesh vertices: volume, mm3, area, mm2, largest vertex distance (IBSI L0JK), mm, (n,)."""
        return hulls(self.packed, self.matrix)

    @cached_property
    def slice_extents(self) -> tuple[Array, Array]:
        """Longest extent of the outline in any one slice and the extent across it there, mm, (n,) each."""
        if not len(self):
            return np.zeros(0), np.zeros(0)
        points, offsets = outline_points(self.packed)
        finding = groups_of(offsets)
        order = np.lexsort((points[:, 0], finding))
        points, finding = points[order], finding[order]
        first = np.flatnonzero(np.append(True, (np.diff(points[:, 0]) != 0) | (np.diff(finding) != 0)))
        across = np.linalg.qr(self.matrix[:, 1:])[0]  # an orthonormal basis of the slice plane
        flat = points[:, 1:] @ self.matrix[:, 1:].T @ across
        extent = np.empty((len(first), len(ANGLES)))
        for k, angle in enumerate(np.deg2rad(ANGLES)):
            along = flat @ (np.cos(angle), np.sin(angle))
            extent[:, k] = np.maximum.reduceat(along, first) - np.minimum.reduceat(along, first)
        length = extent.max(axis=1)
        # Of several directions or slices that are equally long (symmetry) the widest counts, not the first by rounding.
        longest = extent >= length[:, None] * (1 - TIE)
        width = np.where(longest, np.roll(extent, -90, axis=1), 0).max(axis=1)
        best = np.lexsort((width, np.rint(length / (TIE * max(length.max(), TIE))), finding[first]))
        last = np.append(np.flatnonzero(np.diff(finding[first][best])), len(best) - 1)
        return length[best][last], width[best][last]

    @cached_property
    def sphere(self) -> SphereFit:
        """Sphere fitted to the half-maximum mask, with coverage and inner occupancy."""
        return fit_spheres(self.packed, self.matrix, self.volume.spacing)

    @cached_property
    def rays(self) -> Rays:
        """Layers and HU along rays from the fitted centre; NaN for dots and bodies without gaps, which have none."""
        diameter = np.cbrt(6 * self.shape.n_voxels * self.voxel_mm3 / np.pi)
        hollow = (diameter >= HOLLOW_MM) & (self.surfaces[0] <= COMPACT * self.hulls[0])
        hollow[hollow] = self.packed.reentered()[hollow] >= REENTERED
        return cast_rays(self.packed, self.volume, self.sphere.centre, hollow)

    @cached_property
    def topology(self) -> Topology:
        """Skeleton, stroke and lobes; NaN for dots, compact bodies and slices too thick to show them."""
        with np.errstate(divide="ignore", invalid="ignore"):
            solidity = self.surfaces[0] / self.hulls[0]
        large = (self.hulls[2] >= LINE_MM) & (max(self.volume.spacing) <= THICK_MM) & (self.shape.n_voxels >= 10)
        fit = self.sphere
        with np.errstate(invalid="ignore"):
            shell = (fit.residual <= SHELL) & (fit.inner_occupancy <= 0.5) & (fit.coverage >= CLOSED)
        large &= ~shell
        lines = large & ((solidity <= STRETCHED) | (self.axes[:, 1] <= STRETCHED / 2 * self.axes[:, 0]))
        bodies = large & (self.hulls[2] >= BODY_MM) & (solidity <= COMPACT)
        lines &= ~(self.rays.layered >= LAYERED)
        return measure_topology(self.packed, self.volume, self.level, lines, bodies)

    # -- HU across the surface and inside ----------------------------------------------------------------------------

    @cached_property
    def edges(self) -> Edges:
        """How steep the surface of the half-maximum mask is, from P95 of the detection mask to the background."""
        return edges(self.volume, self.packed, self.mask.quantile(self.values, 0.95) - self.background[0])

    @cached_property
    def inside(self) -> Inside:
        """Core, profile by depth and plateau of the half-maximum mask."""
        return look_inside(self.volume, self.packed, self.background)

    @cached_property
    def integrated_mm3(self) -> Array:
        """Volume from the integral of HU; what belongs to other findings or to excluded candidates is left out."""
        return integrated_volume(
            self.volume, self.shape, self.mask, self._ceiling, self.background[0], self.inside.plateau
        )
