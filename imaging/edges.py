"""How steeply HU falls across the surface of findings, and whether the scan alone explains how wide the edge is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import Components
from .mesh import Packed
from .volume import Volume

Floats = NDArray[np.float64]

FEWEST_VOXELS = 4
"""Fewer voxels have no inside that an edge could lead to."""
POINT_SPREAD_MM = 2.25
"""Width of an edge that only the point spread blurs: 1.06 FWHM, so that of a soft kernel of 2.1 mm."""
STEPS = 1.8
"""Width of an edge that only sampling blurs, in steps of the grid across it: both voxels beside it may be partial."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Per finding, (n,) each; NaN where it has fewer than 4 voxels or no face between a voxel and its surroundings.

    Parameters
    ----------
    gradient : ndarray
        Median of |gradient of HU| over the faces of the mask, HU/mm.
    blur : ndarray
        Median over the faces of the width of the edge, (reference - background) / |gradient|, over the width that a
        sharp edge in the direction of the gradient may have.
    """

    gradient: Floats
    blur: Floats


def edges(volume: Volume, packed: Packed, contrast: Floats) -> Edges:
    """Steepness at the faces of components.

    At a face the slope along its normal is the difference of the two voxels beside it (the shortest there is: a wall
    of one voxel has an edge too), and the slopes along it are the means of the central differences of both.

    Parameters
    ----------
    packed : Packed
        Components of the grid of `volume`.
    contrast : (n,) ndarray
        HU of the finding above its background.
    """
    parts, shape = packed.components, np.array(volume.shape)
    voxel, side = np.nonzero(packed.open_sides() & (parts.n_voxels >= FEWEST_VOXELS)[parts.component, None])
    axis, sign = side // 2, np.where(side % 2, 1, -1)
    outside = parts.coordinates[voxel]
    outside[np.arange(len(voxel)), axis] += sign
    real = ((outside >= 0) & (outside < shape)).all(axis=1)
    voxel, axis, sign, outside = voxel[real], axis[real], sign[real], outside[real]
    owner = parts.component[voxel]
    surface, of = np.unique(voxel, return_inverse=True)
    slope = (_central(volume, parts.coordinates[surface])[of] + _central(volume, outside)) / 2
    jump = volume.array[tuple(outside.T)].astype(float) - parts.values(volume.array)[voxel]
    slope[np.arange(len(axis)), axis] = sign * jump
    if volume.valid is not None:
        real = volume.valid[tuple(outside.T)]
        slope, owner = slope[real], owner[real]
    uphill = slope @ np.linalg.inv(volume.affine[:3, :3])  # chain rule: d/dmm = d/dindex M^-1
    steep = np.linalg.norm(uphill, axis=1)
    step = np.sqrt(np.square(uphill / np.maximum(steep, 1e-9)[:, None] @ volume.affine[:3, :3]).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        blur = contrast[owner] / steep / np.hypot(POINT_SPREAD_MM, STEPS * step)
    return Edges(_median(steep, owner, parts), _median(blur, owner, parts))


def _central(volume: Volume, where: NDArray[np.int32]) -> Floats:
    """Central differences per index step at voxels, (n, 3); one-sided at the border of the scan."""
    slope = np.zeros((len(where), 3))
    flat = np.ravel_multi_index(tuple(where.T), volume.shape)
    strides = (volume.shape[1] * volume.shape[2], volume.shape[2], 1)
    for axis, (size, stride) in enumerate(zip(volume.shape, strides, strict=True)):
        if size == 1:
            continue
        up, down = where[:, axis] < size - 1, where[:, axis] > 0
        rise = volume.array.take(flat + stride * up).astype(float) - volume.array.take(flat - stride * down)
        slope[:, axis] = rise / (up.astype(np.int8) + down)
    return slope


def _median(values: Floats, owner: NDArray[np.int32], parts: Components) -> Floats:
    """Median of the values of each component; NaN where it has none."""
    counts = np.bincount(owner, minlength=len(parts))
    some = counts > 0
    # One sort by owner, then value: owners are whole numbers, values are brought within a half of them, NaN last.
    ranked = values[np.argsort(owner + np.nan_to_num(np.arctan(values) / 4, nan=0.4))]
    first = (np.cumsum(counts) - counts)[some]
    out = np.full(len(parts), np.nan)
    out[some] = (ranked[first + (counts[some] - 1) // 2] + ranked[first + counts[some] // 2]) / 2
    return out
