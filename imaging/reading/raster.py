"""`Raster`: what the header of a NIfTI or NRRD file says, the same for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .. import geometry
from ..errors import GeometryError, ValuesError


@dataclass(frozen=True)
class Raster:
    """The header of a NIfTI or NRRD file.

    Parameters
    ----------
    path, data_path : Path
        The file, and where its values stand (another file for a detached NRRD header).
    shape : tuple of int
        Slowest axis first: (slice, row, column) for three axes.
    dtype : numpy dtype
        As stored.
    affine : (4, 4) ndarray, or None
        Index (slice, row, column) to LPS; None where the image is not three-dimensional (see `problem`).
    slope, intercept : float
        Applied to stored values.
    offset : int
        Where the values begin, in bytes; after inflating for NIfTI.
    packed : "", "whole" or "data"
        Not compressed; the whole file is (NIfTI); the values are (NRRD).
    problem : GeometryError or ValuesError, optional
        Understood, and no scan.
    """

    path: Path
    data_path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: geometry.Affine | None
    slope: float = 1.0
    intercept: float = 0.0
    offset: int = 0
    packed: str = ""
    problem: GeometryError | ValuesError | None = None

    @property
    def size(self) -> int:
        """Number of voxels, all components and times."""
        return int(np.prod([int(n) for n in self.shape], dtype=object))

    @property
    def scaled(self) -> bool:
        """Whether slope and intercept change anything."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def exactly(file: IO[bytes], count: int) -> bytes:
    """`count` bytes, fewer only at the end of the file."""
    parts = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def several(path: Path) -> GeometryError:
    """The refusal of more than three dimensions."""
    return GeometryError("mixed_acquisitions", "more than three dimensions: several volumes; save each as a file", path)
