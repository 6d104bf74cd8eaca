"""What a hazard case is, what it is measured against, and the list of all cases.

A case is a function that writes files into a folder and returns what has to come of them. The truth is never read
back from the files: a phantom is a formula in patient coordinates, the generator knows where it put each slice, and
both together give the HU and the place of every voxel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..dicom_files import dataset, save

Vector = tuple[float, float, float]

CENTRE = np.array([3.1, -7.3, 112.4])
"""Of every grid, patient LPS, mm."""
SPHERE = CENTRE + np.array([1.3, -2.1, 0.9])
RADIUS_MM, SPHERE_HU, TISSUE_HU, AIR_HU = 5.0, 400, 40, -1000
THRESHOLD_HU = 100
HALF_WIDTH_MM = 11.0
"""Of the body, a column along z."""


def phantom(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """HU at patient positions (..., 3): air, a body of tissue, in it a sphere, and a wedge that differs everywhere.

    The wedge rises by 5, 7 and 9 HU per mm along x, y and z: slices in a wrong order, flipped or shifted by half a
    slice change it.
    """
    from_centre = points - CENTRE
    hu = np.full(points.shape[:-1], AIR_HU, np.int32)
    body = (np.abs(from_centre[..., :2]) < HALF_WIDTH_MM).all(axis=-1)
    hu[body] = TISSUE_HU
    wedge = body & (from_centre[..., 0] < -6.5)
    hu[wedge] = np.rint(-600 + from_centre[wedge] @ (5.0, 7.0, 9.0))
    hu[((points - SPHERE) ** 2).sum(axis=-1) < RADIUS_MM**2] = SPHERE_HU
    return hu


@dataclass(frozen=True)
class Stack:
    """Where slices lie, known to the generator; a loader has to find it out.

    Parameters
    ----------
    row, column : vectors
        Unit vectors along a row (to the next column) and along a column (to the next row).
    step : vector
        From slice to slice, mm; not along the normal where the gantry is tilted.
    pixel : (row, column) spacing, mm
    shape : (slices, rows, columns)
    """

    row: Vector = (1.0, 0.0, 0.0)
    column: Vector = (0.0, 1.0, 0.0)
    step: Vector = (0.0, 0.0, 1.25)
    pixel: tuple[float, float] = (0.7, 0.8)
    shape: tuple[int, int, int] = (16, 40, 36)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), index (slice, row, column) to patient LPS."""
        affine = np.eye(4)
        affine[:3, :3] = np.column_stack(
            [self.step, np.multiply(self.column, self.pixel[0]), np.multiply(self.row, self.pixel[1])]
        )
        affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return affine

    @property
    def cosines(self) -> tuple[float, ...]:
        """ImageOrientationPatient."""
        return (*self.row, *self.column)

    def points(self) -> NDArray[np.float64]:
        """Patient positions of all voxels, (slices, rows, columns, 3)."""
        index = np.stack(np.meshgrid(*map(np.arange, self.shape), indexing="ij"), axis=-1)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def hu(self) -> NDArray[np.int32]:
        """The phantom on this grid."""
        return phantom(self.points())

    def position(self, k: float) -> NDArray[np.float64]:
        """ImagePositionPatient of slice k."""
        return np.asarray(self.affine[:3, 3] + k * np.array(self.step))


@dataclass(frozen=True)
class Truth:
    """A volume that has to come out.

    Parameters
    ----------
    hu : (slices, rows, columns) ndarray
    affine : (4, 4) ndarray
    flags : tuple of str
        All flags that the volume has to carry, no more.
    valid : ndarray of bool, optional
        False where the scanner filled in.
    hu_tolerance : float
        0 wherever nothing was lost by compression.
    mm_tolerance : float
        How far any corner of the grid may be off.
    """

    hu: NDArray[Any]
    affine: NDArray[np.float64]
    flags: tuple[str, ...] = ()
    valid: NDArray[np.bool_] | None = None
    hu_tolerance: float = 0.0
    mm_tolerance: float = 1e-3

    @property
    def volume_mm3(self) -> float:
        """Of all voxels above 100 HU."""
        return volume_above(self.hu, self.affine, self.valid)


@dataclass(frozen=True)
class Expected:
    """What has to come of a folder.

    Parameters
    ----------
    volumes : sequence of Truth
        Every volume that is read.
    refused : tuple of str
        Reason codes of the series that are refused, sorted.
    left : mapping of reason code to number of files
        What no series uses.
    physical : sequence of Truth, optional
        What is really there where refusing is right; other loaders are compared with it. Empty: nobody can know.
    given : path relative to the folder
        The input, if it is not the folder itself.
    """

    volumes: Sequence[Truth] = ()
    refused: tuple[str, ...] = ()
    left: dict[str, int] = field(default_factory=dict)
    physical: Sequence[Truth] = ()
    given: str = "."

    @property
    def outcome(self) -> Literal["right", "warned", "refused"]:
        """In one word."""
        if not self.volumes:
            return "refused"
        return "warned" if self.refused or any(truth.flags for truth in self.volumes) else "right"


@dataclass(frozen=True)
class Case:
    """A named way to go wrong."""

    name: str
    make: Callable[[Path], Any]
    about: str
    kind: Literal["ct", "us"]
    chapter: str


CASES: dict[str, Case] = {}


def ct(function: Callable[[Path], Expected]) -> Callable[[Path], Expected]:
    """Registers a CT case under the name of the function; its docstring says what it is."""
    return _register(function, "ct")


def us(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Registers an ultrasound case."""
    return _register(function, "us")


def _register(function: Callable[[Path], Any], kind: Literal["ct", "us"]) -> Callable[[Path], Any]:
    name = function.__name__
    assert name not in CASES
    assert function.__doc__
    CASES[name] = Case(name, quietly(function), " ".join(function.__doc__.split()), kind, function.__module__)
    return function


def quietly(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The function without the warnings of pydicom, which does not like what is written here."""

    def without_warnings(folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(folder)

    return without_warnings


def volume_above(
    hu: NDArray[Any],
    affine: NDArray[np.float64],
    valid: NDArray[np.bool_] | None = None,
    threshold: float = THRESHOLD_HU,
) -> float:
    """mm3 of HU > 100."""
    above = hu > threshold
    if valid is not None:
        above &= valid
    return float(np.count_nonzero(above) * abs(np.linalg.det(affine[:3, :3])))


def truth(stack: Stack | None = None, *flags: str, **changes: Any) -> Truth:
    """The phantom on a stack as it has to be read."""
    stack = stack or Stack()
    return Truth(**{"hu": stack.hu(), "affine": stack.affine, "flags": tuple(sorted(flags)), **changes})


def write(
    folder: Path,
    stack: Stack | None = None,
    *,
    hu: NDArray[Any] | None = None,
    skip: Sequence[int] = (),
    name: Callable[[int], str] = "IM{:04d}.dcm".format,
    offset: Callable[[int], Sequence[float]] | None = None,
    change: Callable[[Any, int], Any] | None = None,
    each: Callable[[int], dict[str, Any]] | None = None,
    raw: Callable[[bytes, int], bytes] | None = None,
    **options: Any,
) -> Truth:
    """A series of single-frame files of the phantom, and its truth (without flags).

    Parameters
    ----------
    folder : Path
    stack : Stack, optional
        Where the slices lie.
    hu : ndarray, optional
        Instead of the phantom.
    skip : slices that are not written
    name : slice number -> file name
    offset : slice number -> mm added to ImagePositionPatient
    change : (data set, slice number) -> data set to write instead, or None
    each : slice number -> options of that slice
    raw : (file bytes, slice number) -> file bytes
    **options
        Of `tests.dicom_files.dataset`: any element by keyword, None removes it.
    """
    stack = stack or Stack()
    values = stack.hu() if hu is None else hu
    for k in range(len(values)):
        if k in skip:
            continue
        own = {"orientation": stack.cosines, "PixelSpacing": list(stack.pixel), **options, **(each(k) if each else {})}
        position = own.pop("position", stack.position(k) + (offset(k) if offset else 0.0))
        ds = dataset(values[k], position, instance=str(own.pop("instance", k)), **{"number": k + 1, **own})
        ds = (change(ds, k) if change else None) or ds
        path = save(ds, folder / name(k))
        if raw:
            path.write_bytes(raw(path.read_bytes(), k))
    return Truth(values, stack.affine)
