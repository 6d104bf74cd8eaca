"""`Volume`: an array with the one affine that says where it lies. Everything else about its place is derived."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import geometry
from .errors import GeometryError, UsageError

UNITS = {"CT": "HU", "US": "grey"}


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan: values on a regular grid in the patient.

    Parameters
    ----------
    array : (slices, rows, columns) ndarray
        int16 where the rescaled values are integral, else float32. CT in HU. Slice 0 is the lowest position along
        the slice normal. Marked read-only.
    affine : (4, 4) ndarray
        Index (slice, row, column, 1) to patient LPS in mm.
    modality : str
        DICOM Modality: "CT" or "US".
    unit : str
        "HU" or "grey".
    valid : (slices, rows, columns) ndarray of bool, optional
        False where the scanner filled in (padding); None where every voxel is real. Invalid voxels hold the lowest
        valid value, never -3024 HU.
    axis0 : "slice" or "frame"
        What axis 0 is. Frames follow each other in time; the affine then says nothing across them.
    flags : tuple of str
        Warnings of the reading, codes of `imaging.flags.FLAGS`.
    header : mapping
        Header facts that do not identify anybody (see `imaging.series.FACTS`).
    """

    array: NDArray[Any]
    affine: geometry.Affine
    modality: str = "CT"
    unit: str = "HU"
    valid: NDArray[np.bool_] | None = None
    axis0: Literal["slice", "frame"] = "slice"
    flags: tuple[str, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise UsageError(f"a volume has axes (slice, row, column), got an array of {self.array.ndim} dimensions")
        if self.array.size == 0:
            raise UsageError("a volume needs at least one voxel")
        if self.array.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
            raise UsageError(f"a volume is int16 or float32, got {self.array.dtype}; see Volume.from_components")
        if self.valid is not None and (self.valid.shape != self.array.shape or self.valid.dtype != bool):
            raise UsageError("valid must be a boolean array of the volume's shape")
        array = self.array.view()
        array.flags.writeable = False
        affine = geometry.check_affine(self.affine)
        affine.flags.writeable = False
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))

    def __reduce__(self) -> tuple[Any, ...]:
        # MappingProxyType does not pickle; the constructor makes it again.
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"header": dict(self.header)}
        return _rebuild, (values,)

    @classmethod
    def from_components(
        cls,
        array: ArrayLike,
        *,
        spacing: Sequence[float],
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: ArrayLike | None = None,
        modality: str = "CT",
        valid: ArrayLike | None = None,
    ) -> Volume:
        """A volume from an array of any real dtype and its place, for notebooks.

        Parameters
        ----------
        array : (slices, rows, columns) array_like
            HU for CT. Integral values in the range of int16 are kept as int16, all others become float32.
        spacing : (dz, dy, dx)
            mm.
        origin : (x, y, z)
            LPS position of the centre of voxel (0, 0, 0), mm.
        direction : (3, 3) array_like, optional
            Columns are the LPS unit vectors of the column, row and slice axis (ITK's convention); the identity by
            default, an axial scan.
        modality : str
            "CT" or "US".
        valid : (slices, rows, columns) array_like of bool, optional
            False where a voxel holds no measurement.

        Raises
        ------
        UsageError
            The array is not 3-D, empty, or not real numbers.
        GeometryError
            Spacing, origin or direction do not make a grid.
        """
        if modality not in UNITS:
            raise UsageError(f"modality must be one of {', '.join(UNITS)}, got {modality!r}")
        affine = geometry.affine_from_components(spacing, origin, np.eye(3) if direction is None else direction)
        mask = None if valid is None else np.asarray(valid, dtype=bool)
        return cls(compact(np.asarray(array)), affine, modality, UNITS[modality], mask)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = self.array.shape
        return slices, rows, columns

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Step lengths (slice, row, column), mm."""
        return geometry.spacing(self.affine)

    @property
    def slice_distance(self) -> float:
        """Distance between slice planes, mm; not the slice thickness."""
        return geometry.slice_distance(self.affine)

    @property
    def origin(self) -> NDArray[np.float64]:
        """LPS position of the centre of voxel (0, 0, 0), mm."""
        return self.affine[:3, 3]

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit vectors of the column, row and slice axis as columns (ITK's order), LPS."""
        return geometry.direction(self.affine)

    @property
    def is_orthogonal(self) -> bool:
        """Whether the axes meet at right angles (no gantry tilt)."""
        return geometry.is_orthogonal(self.affine)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return geometry.voxel_volume_mm3(self.affine)

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS mm of indices (slice, row, column)."""
        return geometry.to_world(self.affine, index)

    def to_index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Indices (slice, row, column), with fractions, of LPS positions in mm."""
        return geometry.to_index(self.affine, world)

    def crop(self, box: tuple[slice, slice, slice]) -> Volume:
        """The part of the volume in `box`, a view that keeps its place in the patient."""
        starts = [s.indices(n)[0] for s, n in zip(box, self.shape, strict=True)]
        valid = None if self.valid is None else self.valid[box]
        return self.replace(array=self.array[box], affine=geometry.shifted(self.affine, starts), valid=valid)

    def same_grid(self, shape: Sequence[int], affine: geometry.Affine, tolerance_mm: float = 1e-2) -> bool:
        """Whether another grid has this shape and its corners lie within `tolerance_mm` of ours."""
        if tuple(shape) != self.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        apart = geometry.to_world(affine, corners) - self.to_world(corners)
        return bool(np.abs(apart).max() <= tolerance_mm)

    def replace(self, **changes: Any) -> Volume:
        """A copy with some fields changed; arrays are shared."""
        return dataclasses.replace(self, **changes)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """`values` as int16 where that loses nothing, else as float32.

    Raises
    ------
    UsageError
        The values are not real numbers.
    """
    if values.dtype == np.int16 or values.dtype == np.float32:
        return values
    if values.dtype.kind in "iub":
        wide = values.astype(np.int16)
        return wide if np.array_equal(wide, values) else values.astype(np.float32)
    if values.dtype.kind != "f":
        raise UsageError(f"a volume holds real numbers, got {values.dtype}")
    with np.errstate(invalid="ignore"):
        wide = values.astype(np.int16)
    return wide if np.array_equal(wide, values) else values.astype(np.float32)


def as_mask(mask: ArrayLike | Volume, volume: Volume, name: str) -> NDArray[np.bool_]:
    """A mask given as array or as a Volume on the same grid, as booleans of the volume's shape.

    Raises
    ------
    GeometryError
        Another shape or place (``geometry_mismatch``).
    """
    if isinstance(mask, Volume):
        if not volume.same_grid(mask.shape, mask.affine):
            raise GeometryError("geometry_mismatch", f"the {name} mask does not lie on the grid of the scan")
        return np.asarray(mask.array != 0)
    values = np.asarray(mask) != 0
    if values.shape != volume.shape:
        raise GeometryError("geometry_mismatch", f"the {name} mask has shape {values.shape}, the scan {volume.shape}")
    return np.asarray(values)


def _rebuild(values: dict[str, Any]) -> Volume:
    return Volume(**values)
