"""A scan as registration sees it: isotropic, along the patient's axes, without the findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..coarse import block_factors, block_mean
from ..components import Components
from ..volume import Volume

STEP_MM = 4.0
"""Noise is averaged out at this step, and 400 slices become a tenth of a percent of their voxels' work."""
AIR_HU = -1000.0
CLIP_HU = (-1000.0, 500.0)
"""Denser than this is metal or the core of bone: it tells no more about where things are."""


@dataclass(frozen=True, eq=False)
class CoarseView:
    """A scan on an isotropic grid whose axes are the patient's (LPS).

    Parameters
    ----------
    values : (z, y, x) ndarray of float32
        HU, clipped; air outside the scan.
    inside : (z, y, x) ndarray of bool
        Where the scan holds real voxels.
    origin : (x, y, z) ndarray
        LPS mm of element (0, 0, 0).
    step : float
        mm.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    origin: NDArray[np.float64]
    step: float

    @classmethod
    def of(cls, volume: Volume, findings: Components, tissue_hu: float, step: float = STEP_MM) -> CoarseView:
        """The coarse view of a scan.

        Findings are replaced by tissue: what is to be judged must not pull the registration. Blocks are averaged first
        (no aliasing), then interpolated, so that oblique and sheared grids come out straight.

        Parameters
        ----------
        volume : Volume
        findings : Components
            On the grid of the volume.
        tissue_hu : float
            Level that takes their place, HU.
        step : float
            mm.
        """
        from scipy import ndimage

        factors = block_factors(volume, (step, step, step))
        mean = block_mean(volume.array, factors)
        _erase(mean, volume, findings, tissue_hu, factors)
        np.clip(mean, *CLIP_HU, out=mean)
        real = np.ones(mean.shape, np.float32) if volume.valid is None else block_mean(volume.valid, factors)
        blocks = volume.affine.copy()  # index of a block to LPS: its centre, not its first voxel
        blocks[:3, :3] = volume.affine[:3, :3] * factors
        blocks[:3, 3] = geometry.to_world(volume.affine, (np.array(factors) - 1) / 2)
        low, high = _extent(volume)
        shape = np.maximum(np.floor((high - low) / step).astype(int), 1)[::-1]
        origin = (low + high) / 2 - (shape[::-1] - 1) / 2 * step
        grid = geometry.affine_from_components((step, step, step), origin, np.eye(3))
        to_block = np.linalg.inv(blocks) @ grid
        where = {"matrix": to_block[:3, :3], "offset": to_block[:3, 3], "output_shape": tuple(shape), "order": 1}
        values = ndimage.affine_transform(mean, **where, mode="nearest")
        inside = ndimage.affine_transform(np.pad(real, 1, mode="edge"), **(where | {"offset": to_block[:3, 3] + 1}))
        inside = inside > 0.5
        values[~inside] = AIR_HU
        return cls(values, inside, origin, step)


def _extent(volume: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest LPS coordinates of the outer faces of the voxels, mm."""
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in volume.shape])).reshape(3, -1).T
    corners = volume.to_world(ends)
    return corners.min(axis=0), corners.max(axis=0)


def _erase(
    mean: NDArray[np.float32], volume: Volume, findings: Components, tissue_hu: float, factors: tuple[int, int, int]
) -> None:
    """Put tissue in the place of findings, in block means: no copy of the scan is made."""
    if not len(findings):
        return
    excess = findings.values(volume.array).astype(float) - tissue_hu
    block = np.ravel_multi_index(tuple((findings.coordinates // factors).T), mean.shape)
    whole = [np.diff(np.append(np.arange(0, n, f), n)) for n, f in zip(volume.shape, factors, strict=True)]
    counts = whole[0][:, None, None] * whole[1][:, None] * whole[2]
    mean -= (np.bincount(block, excess, mean.size).reshape(mean.shape) / counts).astype(np.float32)
