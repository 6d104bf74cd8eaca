"""Scan lines: from pixels to (depth, line) and back.

Shadows run along scan lines, which are columns only for a linear probe. Detection and shadow work on an image whose
rows are depths and whose columns are scan lines; results are mapped back to the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..series import Region
from .area import Sector

Array = NDArray[np.float64]
DEPTHS_PER_UNCALIBRATED_IMAGE = 80.0
"""Where nothing is known about mm, distances of the method (a shadow of 25 mm, a flank of 3) are scaled as if the
image were so many mm deep; results stay in pixels."""
RIM = 3
"""Pixels inside the hull of what is lit that do not belong to the image: the hull comes from a reduced one."""
TRIM = 0.012
"""Share of the lines at each side that is left out: the edge of the sector."""


@dataclass(frozen=True, eq=False)
class Beam:
    """The scan lines of a region.

    Parameters
    ----------
    region : Region
        Where the image lies in the frame.
    sector : Sector
    step : (row, column)
        Height and width of a pixel: mm where calibrated, else 1.
    calibrated : bool
    depth : (n,) ndarray
        Distance of each row from the probe, in units of `step`.
    line : (m,) ndarray
        Each scan line: x for a linear probe, angle for the others.
    """

    region: Region
    sector: Sector
    step: tuple[float, float]
    calibrated: bool
    depth: Array
    line: Array

    @classmethod
    def of(cls, region: Region, sector: Sector, step: tuple[float, float], calibrated: bool) -> Beam:
        """Scan lines a pixel apart at half depth, samples a pixel apart along them."""
        pixel = min(step)
        if sector.kind == "linear":
            left, top, right, bottom = sector.box
            depth = np.arange(top + step[0] / 2, bottom, step[0]) - top
            line = np.arange(left + step[1] / 2, right, step[1])
        else:
            near, far = sector.radii
            depth = np.arange(near + pixel / 2, far, pixel) - near
            middle = (near + far) / 2
            count = max(16, round((sector.angles[1] - sector.angles[0]) * middle / pixel))
            trim = TRIM * (sector.angles[1] - sector.angles[0])
            line = np.linspace(sector.angles[0] + trim, sector.angles[1] - trim, count)
        return cls(region, sector, step, calibrated, depth, line)

    @property
    def shape(self) -> tuple[int, int]:
        """(depths, lines)."""
        return len(self.depth), len(self.line)

    @property
    def is_linear(self) -> bool:
        """Whether scan lines are columns of the frame."""
        return self.sector.kind == "linear"

    @cached_property
    def unit(self) -> float:
        """What stands for 1 mm in the method: 1, or a share of the depth where nothing is calibrated."""
        return 1.0 if self.calibrated else float(self.depth[-1]) / DEPTHS_PER_UNCALIBRATED_IMAGE

    @property
    def depth_step(self) -> float:
        """Between samples of a line."""
        return float(self.depth[1] - self.depth[0])

    @cached_property
    def line_step(self) -> Array:
        """Between neighbouring lines at each depth, (n,)."""
        apart = float(self.line[1] - self.line[0])
        if self.is_linear:
            return np.full(len(self.depth), apart)
        return apart * (self.sector.radii[0] + self.depth)

    def pixel(self, depth: NDArray[np.floating], line: NDArray[np.floating]) -> tuple[Array, Array]:
        """Row and column in the frame, with fractions, of positions given as indices (depth, line)."""
        d = np.interp(depth, np.arange(len(self.depth)), self.depth)
        c = np.interp(line, np.arange(len(self.line)), self.line)
        dy, dx = self.step
        if self.is_linear:
            x, y = c, self.sector.box[1] + d
        else:
            r = self.sector.radii[0] + d
            x, y = self.sector.apex[0] + r * np.sin(c), self.sector.apex[1] + r * np.cos(c)
        return np.asarray(y / dy - 0.5 + self.region.y0), np.asarray(x / dx - 0.5 + self.region.x0)

    @cached_property
    def _samples(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        d, c = np.meshgrid(
            np.arange(len(self.depth), dtype=float), np.arange(len(self.line), dtype=float), indexing="ij"
        )
        row, column = self.pixel(d, c)
        region = self.region
        inside = (row >= region.y0 - 0.5) & (row <= region.y1 + 0.5)
        inside &= (column >= region.x0 - 0.5) & (column <= region.x1 + 0.5)
        if self.sector.outline:  # corners of a sector are often cut off
            from skimage.draw import polygon

            (dy, dx), corners = self.step, np.array(self.sector.outline)
            lit = np.zeros((region.y1 - region.y0 + 1, region.x1 - region.x0 + 1), bool)
            lit[polygon(corners[:, 1] / dy - 0.5, corners[:, 0] / dx - 0.5, lit.shape)] = True
            lit = ndimage.binary_erosion(lit, np.ones((3, 3), bool), RIM, border_value=1)
            at = (np.rint(v).astype(int) for v in (row - region.y0, column - region.x0))
            y, x = (np.clip(v, 0, n - 1) for v, n in zip(at, lit.shape, strict=True))
            inside &= lit[y, x]
        return row, column, inside

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Samples that lie in the region and in the outline of the image, (depths, lines)."""
        return self._samples[2]

    def resample(self, image: NDArray[np.generic], order: int = 1) -> NDArray[np.float32]:
        """A frame on the scan lines, (depths, lines) float32."""
        row, column, _ = self._samples
        if self.is_linear:
            rows = np.clip(np.rint(row[:, 0]).astype(int), 0, image.shape[0] - 1)
            columns = np.clip(np.rint(column[0]).astype(int), 0, image.shape[1] - 1)
            return np.asarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=np.float32)
        return np.asarray(
            ndimage.map_coordinates(image.astype(np.float32), (row, column), order=order, mode="nearest"), np.float32
        )

    def resample_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the frame on the scan lines."""
        return self.resample(mask.astype(np.uint8), order=0) > 0

    def paint(self, labels: NDArray[np.int32], frame: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Labels on scan lines as flat pixel indices of the frame and their labels, ascending by index."""
        depth, line = np.nonzero(labels)
        if not len(depth):
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        row, column = self.pixel(depth.astype(float), line.astype(float))
        # Every pixel of the frame in the box asks for its nearest sample: no holes, whatever the step.
        r0, r1 = int(np.floor(row.min())), int(np.ceil(row.max())) + 1
        c0, c1 = int(np.floor(column.min())), int(np.ceil(column.max())) + 1
        r0, c0 = max(r0, self.region.y0), max(c0, self.region.x0)
        r1, c1 = min(r1, self.region.y1 + 1), min(c1, self.region.x1 + 1)
        y, x = np.mgrid[r0:r1, c0:c1]
        d, c = self.index(y.astype(float), x.astype(float))
        di, ci = np.rint(d).astype(int), np.rint(c).astype(int)
        good = (di >= 0) & (di < len(self.depth)) & (ci >= 0) & (ci < len(self.line))
        value = np.where(good, labels[np.where(good, di, 0), np.where(good, ci, 0)], 0)
        hit = value > 0
        return (y[hit] * frame[1] + x[hit]).astype(np.int64), value[hit].astype(np.int32)

    def index(self, row: Array, column: Array) -> tuple[Array, Array]:
        """Index (depth, line), with fractions, of pixels of the frame; outside of the lines beyond their range."""
        dy, dx = self.step
        y, x = (row + 0.5 - self.region.y0) * dy, (column + 0.5 - self.region.x0) * dx
        if self.is_linear:
            d, c = y - self.sector.box[1], x
        else:
            across, down = x - self.sector.apex[0], y - self.sector.apex[1]
            d, c = np.hypot(across, down) - self.sector.radii[0], np.arctan2(across, down)
        return (d - self.depth[0]) / self.depth_step, (c - self.line[0]) / float(self.line[1] - self.line[0])
