"""`Foci`: what every feature receives. Shared intermediates are made on first use, for all findings at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .detection import Detection
from .ellipsoid import with_ellipsoids
from .halfmax import halfmax_level, halfmax_mask
from .mesh import Packed, groups_of, outline_points, surfaces
from .rays import Rays, cast_rays
from .sphere import SphereFit, fit_spheres
from .surroundings import Surroundings, look_around
from .topology import Topology, measure_topology
from .volume import Volume

Array = NDArray[Any]
ANGLES = np.arange(180.0)
"""Degrees; directions in which a slice's outline is measured. The longest is missed by at most 0.004 %."""


HOLLOW_MM, LINE_MM, BODY_MM, THICK_MM = 5.0, 4.0, 6.0, 2.0
"""Rays are cast from this equivalent diameter, skeletons and lobes made from these longest diameters, at spacings up to
the last."""
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
        thresholds = self.detection.thresholds
        return look_around(self.volume, self.mask, np.inf if thresholds is None else thresholds.grow_hu)

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
        return halfmax_level(self.mask, self.values, *self.background)

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
    def hulls(self) -> tuple[Array, Array]:
        """Convex hull of the mesh vertices: its volume, mm3, and largest vertex distance (IBSI L0JK), mm, (n,) each."""
        from scipy.spatial import ConvexHull
        from scipy.spatial.distance import pdist

        points, offsets = outline_points(self.packed, in_plane=False)
        points = points @ self.matrix.T
        out = np.zeros((2, len(self)))
        for k in range(len(self)):  # Qhull takes one set at a time; findings only, never all components
            own = points[offsets[k] : offsets[k + 1]]
            hull = ConvexHull(own - own[0])
            out[:, k] = hull.volume, pdist(own[hull.vertices]).max()
        return out[0], out[1]

    @cached_property
    def slice_extents(self) -> tuple[Array, Array]:
        """Longest extent of the outline in any one slice and the extent across it there, mm, (n,) each."""
        if not len(self):
            return np.zeros(0), np.zeros(0)
        points, offsets = outline_points(self.packed, in_plane=True)
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
        return self._walls[0]

    @property
    def shell_aspect(self) -> Array:
        """Shortest over longest semi-axis of the fitted shell, (n,): 1 for a sphere."""
        return self._walls[1]

    @cached_property
    def _walls(self) -> tuple[SphereFit, Array]:
        spheres = fit_spheres(self.packed, self.matrix, self.volume.spacing)
        return with_ellipsoids(spheres, self.packed, self.matrix, self.volume.spacing)

    @cached_property
    def rays(self) -> Rays:
        """Layers and HU along rays from the fitted centre; NaN for dots and compact bodies, which have none."""
        diameter = np.cbrt(6 * self.shape.n_voxels * self.voxel_mm3 / np.pi)
        hollow = (diameter >= HOLLOW_MM) & (self.surfaces[0] <= COMPACT * self.hulls[0])
        return cast_rays(self.packed, self.volume, self.sphere.centre, hollow)

    @cached_property
    def topology(self) -> Topology:
        """Skeleton, stroke and lobes; NaN for dots, compact bodies and slices too thick to show them."""
        with np.errstate(divide="ignore", invalid="ignore"):
            solidity = self.surfaces[0] / self.hulls[0]
        large = (self.hulls[1] >= LINE_MM) & (max(self.volume.spacing) <= THICK_MM) & (self.shape.n_voxels >= 10)
        fit = self.sphere
        with np.errstate(invalid="ignore"):
            shell = (fit.residual <= SHELL) & (fit.inner_occupancy <= 0.5) & (fit.coverage >= CLOSED)
        large &= ~shell
        lines = large & ((solidity <= STRETCHED) | (self.axes[:, 1] <= STRETCHED / 2 * self.axes[:, 0]))
        bodies = large & (self.hulls[1] >= BODY_MM) & (solidity <= COMPACT)
        lines &= ~(self.rays.layered >= LAYERED)
        return measure_topology(self.packed, self.volume, self.level, lines, bodies)

    # -- edge ------------------------------------------------------------------------------------------------------

    @cached_property
    def edge_gradient(self) -> Array:
        """Median of |gradient of HU| over the surface voxels of the half-maximum mask, HU/mm, (n,)."""
        surface = self.packed.open_sides().any(axis=1)
        where = self.shape.coordinates[surface]
        slope = np.zeros((len(where), 3))
        for axis, size in enumerate(self.volume.shape):
            if size == 1:
                continue
            up, down = where.copy(), where.copy()
            up[:, axis] = np.minimum(where[:, axis] + 1, size - 1)
            down[:, axis] = np.maximum(where[:, axis] - 1, 0)
            rise = self.volume.array[tuple(up.T)].astype(float) - self.volume.array[tuple(down.T)]
            slope[:, axis] = rise / (up[:, axis] - down[:, axis])
        steep = np.linalg.norm(slope @ np.linalg.inv(self.matrix), axis=1)  # chain rule: d/dmm = d/dindex M^-1
        counts = np.bincount(self.shape.component[surface], minlength=len(self))
        ends = np.cumsum(counts)
        ranked = steep[np.lexsort((steep, self.shape.component[surface]))]
        middle = ranked[ends - counts + (counts - 1) // 2] + ranked[ends - counts + counts // 2] if len(self) else steep
        return np.asarray(middle / 2)
