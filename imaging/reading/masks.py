"""`read_mask`: a label map in a file -> labels on the grid of a scan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import GeometryError, LimitError, ReadError, UsageError, ValuesError
from ..volume import Volume
from . import rasters
from .raster import Raster

SAME_MM = 0.01
"""Corners of two grids closer than this are the same grid, as in `Volume.same_grid`."""
LARGEST_VOXELS = 1 << 31


def read_mask(path: str | os.PathLike[str], volume: Volume) -> NDArray[Any]:
    """A mask or label map on the grid of a scan.

    Parameters
    ----------
    path : str or path
        NIfTI or NRRD. Where it lies in the patient decides, not the order of its axes; on another grid each
        voxel of the scan takes the label at its centre (nearest neighbour), and 0 outside.
    volume : Volume
        The scan.

    Returns
    -------
    (slices, rows, columns) ndarray
        bool where the file holds 0 and one other value, else int32.

    Raises
    ------
    UsageError
        No such file, or no NIfTI or NRRD.
    GeometryError
        ``geometry_mismatch``: no voxel that is set lies in the scan; ``empty_mask``: none is set;
        ``no_geometry``: the file does not say where it lies.
    ValuesError
        ``not_mask``: values that are no whole numbers.
    ReadError
        The file cannot be read.
    """
    file = Path(path)
    labels, affine = read_labels(file)
    placed = on_grid(labels, affine, volume).astype(np.int32, copy=False)
    if not placed.any():
        raise GeometryError(
            "geometry_mismatch", "no voxel of the mask lies inside the scan; is it of another scan?", file
        )
    present = np.unique(placed)
    return placed != 0 if len(present[present != 0]) == 1 else placed


def read_labels(file: Path) -> tuple[NDArray[Any], geometry.Affine]:
    """The label map in a NIfTI or NRRD file as it lies there, and its affine; raises as `read_mask`."""
    if not file.is_file():
        raise UsageError(f"no such mask file: {file}", file)
    if not rasters.is_raster(file):
        raise UsageError(f"a mask must be NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr): {file}", file)
    raster = rasters.read_raster(file)
    if raster.problem is not None and raster.problem.reason != "not_hu":
        raise raster.problem
    if raster.affine is None or len(raster.shape) != 3:
        raise ReadError("unreadable", "a mask must hold one whole number per voxel; save it as a label map", file)
    if raster.size > LARGEST_VOXELS:
        raise LimitError("too_large", "the mask has more than 2 billion voxels; crop it to the scan", file)
    labels = _whole_numbers(raster, file)
    if not labels.any():
        raise GeometryError("empty_mask", "the mask holds no voxel", file)
    return labels, raster.affine


def on_grid(labels: NDArray[Any], affine: geometry.Affine, volume: Volume) -> NDArray[Any]:
    """Labels on another grid, brought to that of `volume`: reordered where that is all it takes, else
    resampled.
    """
    reordered = _reorder(labels, affine, volume)
    if reordered is not None:
        return np.ascontiguousarray(reordered)
    from scipy import ndimage

    # Index of the scan -> index of the mask; handles any direction, spacing and shear.
    matrix = np.linalg.inv(affine) @ volume.affine
    # grid-constant: a voxel reaches half a step beyond its centre at the border of the mask as well.
    return np.asarray(
        ndimage.affine_transform(
            labels,
            matrix[:3, :3],
            matrix[:3, 3],
            volume.shape,
            order=0,
            mode="grid-constant",
            cval=0,
            prefilter=False,
        )
    )


def _reorder(labels: NDArray[Any], affine: geometry.Affine, volume: Volume) -> NDArray[Any] | None:
    """The labels with axes permuted and flipped onto the grid of `volume`; None if the grids differ in
    more.
    """
    steps = (np.linalg.inv(volume.affine) @ affine)[:3, :3]
    turn = np.rint(steps)
    if np.any(np.abs(turn).sum(axis=0) != 1) or np.any(np.abs(turn).sum(axis=1) != 1):
        return None
    order = [int(np.argmax(np.abs(turn[axis]))) for axis in range(3)]  # axis of the mask for each axis of the scan
    moved = labels.transpose(order)
    place = geometry.shifted(affine, (0, 0, 0))
    place[:3, :3] = affine[:3, order]
    for axis in range(3):
        if turn[axis, order[axis]] < 0:
            moved = np.flip(moved, axis)
            place[:3, 3] += (moved.shape[axis] - 1) * place[:3, axis]
            place[:3, axis] *= -1
    return moved if volume.same_grid(moved.shape, place, SAME_MM) else None


def _whole_numbers(raster: Raster, file: Path) -> NDArray[Any]:
    """The values as integers: small ones as they are stored, others as int32."""
    values = rasters.read_values(raster)
    if not raster.scaled and values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        return values
    if raster.scaled:
        values = values * raster.slope + raster.intercept
    whole = values.dtype.kind != "f" or (np.isfinite(values).all() and (values == np.rint(values)).all())
    if not whole or values.min() < -(2**31) or values.max() >= 2**31:
        raise ValuesError("not_mask", "a mask must hold whole numbers; threshold a probability map first", file)
    return values.astype(np.int32)
