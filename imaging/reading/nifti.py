"""The header of a NIfTI-1 or NIfTI-2 file as a `Raster`."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import GeometryError, ReadError, TruncatedError, ValuesError
from .raster import Raster, exactly, several

_NIFTI_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}


def read_nifti(path: Path) -> Raster:
    """The header; `imaging.rasters.read_raster` gives its errors their path."""
    packed = path.name.lower().endswith(".gz")
    with cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb") as file:
        head = exactly(file, 540)
    if len(head) < 348:
        raise TruncatedError("the file ends within its header; copy it again from its source", path)
    sizes = {order: struct.unpack_from(order + "i", head)[0] for order in "<>"}
    order = next((o for o, n in sizes.items() if n in (348, 540)), "")
    if not order or (sizes[order] == 540 and len(head) < 540):
        raise ReadError("unreadable", "no NIfTI header; get the file again from its source", path)
    two = sizes[order] == 540
    if (head[4:8] if two else head[344:348]) not in (b"n+1\0", b"n+2\0"):
        raise ReadError("unreadable", "a NIfTI header without its image; save it as one .nii or .nii.gz file", path)
    dim = struct.unpack_from(order + ("8q" if two else "8h"), head, 16 if two else 40)
    code = struct.unpack_from(order + "h", head, 12 if two else 70)[0]
    pixdim = struct.unpack_from(order + ("8d" if two else "8f"), head, 104 if two else 76)
    if two:
        offset, slope, intercept = struct.unpack_from(order + "qdd", head, 168)
        qform, sform = struct.unpack_from(order + "ii", head, 344)
        quaternion = struct.unpack_from(order + "6d", head, 352)
        srow = struct.unpack_from(order + "12d", head, 400)
        units = struct.unpack_from(order + "i", head, 500)[0]
    else:
        offset, slope, intercept = struct.unpack_from(order + "fff", head, 108)
        qform, sform = struct.unpack_from(order + "hh", head, 252)
        quaternion = struct.unpack_from(order + "6f", head, 256)
        srow = struct.unpack_from(order + "12f", head, 280)
        units = head[123]
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1 or not 0 <= offset < 1 << 30:
        raise ReadError("unreadable", "the NIfTI header is damaged; get the file again from its source", path)
    axes = list(dim[1 : dim[0] + 1])
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    axes += [1] * (3 - len(axes))
    problem: GeometryError | ValuesError | None = None
    affine = None
    dtype = np.dtype(order + _NIFTI_TYPES.get(code, "u1"))
    if code not in _NIFTI_TYPES:
        problem = ValuesError(
            "not_hu", "colour, complex or other values that are no HU; save one real value per voxel", path
        )
    elif len(axes) > 3:
        problem = several(path)
    else:
        try:
            matrix = _sform(srow) if sform > 0 else _qform(quaternion, pixdim) if qform > 0 else None
            affine = _to_lps(matrix, {1: 1000.0, 3: 0.001}.get(units & 7, 1.0))
        except GeometryError as error:
            problem = error
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        slope, intercept = 1.0, 0.0  # by the standard: no scaling
    return Raster(
        path,
        path,
        tuple(axes[::-1]),
        dtype,
        affine,
        slope,
        intercept,
        int(offset),
        "whole" if packed else "",
        problem,
    )


def _sform(srow: tuple[float, ...]) -> NDArray[np.float64]:
    return np.vstack([np.array(srow, dtype=float).reshape(3, 4), (0, 0, 0, 1)])


def _qform(q: tuple[float, ...], pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    b, c, d = q[:3]
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * (-1 if pixdim[0] < 0 else 1)])
    matrix[:3, 3] = q[3:6]
    return matrix


def _to_lps(matrix: NDArray[np.float64] | None, unit_mm: float) -> geometry.Affine:
    """Index (column, row, slice) to RAS -> index (slice, row, column) to LPS, mm."""
    if matrix is None:
        raise GeometryError("no_geometry", "neither sform nor qform is set: place and orientation are not known")
    affine = np.eye(4)
    flip = np.array([-1.0, -1.0, 1.0]) * unit_mm
    affine[:3, :3] = matrix[:3, 2::-1] * flip[:, None]
    affine[:3, 3] = matrix[:3, 3] * flip
    return geometry.check_affine(affine)
