"""NIfTI and NRRD: header -> shape, values and affine; values in bounded memory.

Read here and not through a library: the headers decide on memory before anything is inflated, a wrong affine
is refused instead of repaired with a line on the terminal, and a search for one low value stops where it
finds it.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import ReadError, TruncatedError
from .nifti import read_nifti
from .nrrd import read_nrrd
from .raster import Raster, exactly

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr")
_BLOCK = 1 << 22


def is_raster(path: Path) -> bool:
    """Whether the name says NIfTI or NRRD."""
    return path.name.lower().endswith(SUFFIXES)


def kind(path: Path) -> str:
    """The format by name: "nifti" or "nrrd"."""
    return "nifti" if path.name.lower().endswith((".nii", ".nii.gz")) else "nrrd"


def read_raster(path: Path) -> Raster:
    """The header.

    Raises
    ------
    ReadError
        ``unreadable``, ``truncated`` or ``codec``.
    """
    try:
        return read_nifti(path) if kind(path) == "nifti" else read_nrrd(path)
    except ReadError as error:
        error.path = error.path or path
        raise
    except EOFError:
        raise TruncatedError("the file ends within its header; copy it again from its source", path) from None
    except OSError as error:  # includes gzip.BadGzipFile
        raise ReadError("unreadable", f"the file cannot be read: {error.strerror or 'damaged'}", path) from None
    except (zlib.error, struct.error, ValueError, OverflowError):
        raise ReadError("unreadable", "the header is damaged; get the file again from its source", path) from None


def blocks(raster: Raster) -> Iterator[NDArray[Any]]:
    """The stored values in order, in pieces of some megabytes.

    Raises
    ------
    ReadError
        ``truncated`` or ``unreadable``.
    """
    left = raster.size * raster.dtype.itemsize
    try:
        with _open_values(raster) as file:
            while left:
                data = exactly(file, min(left, _BLOCK))
                if len(data) < min(left, _BLOCK):
                    raise TruncatedError(
                        "the file ends before its voxels do; copy it again from its source", raster.path
                    )
                left -= len(data)
                yield np.frombuffer(data, raster.dtype)
    except EOFError:
        raise TruncatedError("the file ends before its voxels do; copy it again from its source", raster.path) from None
    except (OSError, zlib.error):
        raise ReadError(
            "unreadable", "the voxels cannot be read; get the file again from its source", raster.path
        ) from None


def read_values(raster: Raster) -> NDArray[Any]:
    """The stored values, (slice, row, column), native byte order; slope and intercept are not applied."""
    flat = np.empty(raster.size, raster.dtype.newbyteorder("="))
    place = 0
    for block in blocks(raster):
        flat[place : place + len(block)] = block
        place += len(block)
    return flat.reshape(raster.shape)


def is_upright(affine: geometry.Affine) -> bool:
    """Whether slice 0 is the lowest along (row direction) x (column direction), as in a DICOM series."""
    return bool(np.cross(affine[:3, 2], affine[:3, 1]) @ affine[:3, 0] >= 0)


def upright_affine(slices: int, affine: geometry.Affine) -> geometry.Affine:
    """The affine after the slices have been put into that order."""
    if is_upright(affine):
        return affine
    turned = geometry.shifted(affine, (slices - 1, 0, 0))
    turned[:3, 0] *= -1
    return turned


def _open_values(raster: Raster) -> IO[bytes]:
    if raster.packed == "whole":
        file = cast(IO[bytes], gzip.open(raster.data_path, "rb"))  # noqa: SIM115 -- its user closes it
        try:
            exactly(file, raster.offset)
        except BaseException:
            file.close()
            raise
        return file
    plain: IO[bytes] = raster.data_path.open("rb")
    plain.seek(raster.offset)
    return cast(IO[bytes], _OwningGzip(plain)) if raster.packed else plain


class _OwningGzip(gzip.GzipFile):
    """A gzip stream that closes the file it reads from."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._source = file

    def close(self) -> None:
        super().close()
        self._source.close()
