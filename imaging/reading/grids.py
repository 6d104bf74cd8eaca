"""Slice positions -> one regular grid, or a refusal that says what is missing. Pure functions.

Order comes from positions along the slice normal and from nothing else: instance numbers and file names lie,
slice thickness is no spacing. A step is never averaged over a gap; a tilted stack keeps its shear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import GeometryError

STEP_RELATIVE = 0.01
STEP_ABSOLUTE_MM = 0.02
"""A slice may lie off its place by the larger of 1 % of the step and 0.02 mm."""
JITTER = 0.001
"""Above this share of the step, deviations are within tolerance and flagged."""
ORIENTATION = 1e-3
"""Largest difference of a direction cosine between slices of one stack."""
PIXEL_SPACING = 1e-3
"""Largest relative difference of pixel spacings between slices of one stack."""
SAME_PLACE_MM = 0.005
APART = 1.1
"""Slice spacing over slice thickness from which tissue between the slices was not scanned."""

Place = tuple[float, float, float]
Cosines = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """A regular grid of slices.

    Parameters
    ----------
    order : tuple of int
        Indices of the given slices, slice 0 of the grid first.
    affine : (4, 4) ndarray
        Index (slice, row, column, 1) to patient LPS, mm.
    flags : tuple of str
        ``tilted``, ``spacing_jitter``, ``single_slice``, ``slices_apart``, ``gap_filled``.
    missing : tuple of int
        Slices of the grid for which none was given; `order` has the others.
    """

    order: tuple[int, ...]
    affine: geometry.Affine
    flags: tuple[str, ...]
    missing: tuple[int, ...] = ()


def regular_grid(
    positions: Sequence[Place | None],
    orientations: Sequence[Cosines | None],
    pixel_spacings: Sequence[tuple[float, float] | None],
    thickness_mm: float | None = None,
    single_step_mm: float | None = None,
    *,
    fill: bool = False,
) -> Grid:
    """The grid on which slices lie.

    Parameters
    ----------
    positions, orientations, pixel_spacings : sequences
        ImagePositionPatient, ImageOrientationPatient and PixelSpacing (rows, columns) of every slice.
    thickness_mm : float, optional
        Slice thickness: never the spacing, but compared with it.
    single_step_mm : float, optional
        What a single slice counts for along its normal, mm; without it a single slice is refused.
    fill : bool
        Accept missing slices, as long as they are fewer than those given.

    Raises
    ------
    GeometryError
        ``no_geometry``, ``mixed_orientations``, ``mixed_sizes``, ``duplicate_positions``, ``gap``,
        ``uneven_spacing``.
    """
    along_row, along_column = one_orientation(orientations)
    rows_mm, columns_mm = one_pixel_spacing(pixel_spacings)
    places, normal = _all_placed(positions), _normal(along_row, along_column)
    height = places @ normal
    order = np.argsort(height, kind="stable")
    places, height = places[order], height[order]

    flags: list[str] = []
    missing: tuple[int, ...] = ()
    if len(places) == 1:
        if single_step_mm is None or not single_step_mm > 0:
            raise GeometryError("no_geometry", "a single slice without slice thickness has no volume; give the series")
        step = single_step_mm * normal
        flags.append("single_slice")
    else:
        between = missing_slices(height)
        if between.sum() and not (fill and between.sum() < len(places)):
            raise _gap(height, between)
        index = np.arange(len(places)) + np.concatenate([[0], np.cumsum(between)])
        missing = tuple(int(k) for k in np.setdiff1d(np.arange(index[-1]), index))
        step = (places[-1] - places[0]) / index[-1]
        flags += _check_line(places, index, step, normal)
        if missing:
            flags.append("gap_filled")
        if thickness_mm is not None and 0 < APART * thickness_mm < abs(step @ normal):
            flags.append("slices_apart")
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = along_column * rows_mm
    affine[:3, 2] = along_row * columns_mm
    affine[:3, 3] = places[0]
    return Grid(tuple(int(i) for i in order), geometry.check_affine(affine), tuple(flags), missing)


def parts_between_gaps(
    positions: Sequence[Place | None], orientations: Sequence[Cosines | None]
) -> list[tuple[int, ...]]:
    """Indices of the given slices in groups that no gap divides, lowest first.

    Raises
    ------
    GeometryError
        As `regular_grid`, but for ``gap``.
    """
    height = _all_placed(positions) @ _normal(*one_orientation(orientations))
    order = np.argsort(height, kind="stable")
    cuts = np.flatnonzero(missing_slices(height[order])) + 1
    return [tuple(int(i) for i in part) for part in np.split(order, cuts)]


def _all_placed(positions: Sequence[Place | None]) -> NDArray[np.float64]:
    absent = sum(p is None for p in positions)
    if absent or not positions:
        raise GeometryError(
            "no_geometry",
            f"{absent} of {len(positions)} slices have no position (0020,0032), and nothing is guessed from slice "
            "numbers; export the series again",
        )
    return np.array(positions, dtype=float)


def _normal(along_row: NDArray[np.float64], along_column: NDArray[np.float64]) -> NDArray[np.float64]:
    normal = np.cross(along_row, along_column)
    return np.asarray(normal / np.linalg.norm(normal))


def one_orientation(
    orientations: Sequence[Cosines | None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row and along a column, common to all slices, (3,) each."""
    if not orientations or any(o is None for o in orientations):
        raise GeometryError(
            "no_geometry", "slices without orientation (0020,0037); nothing is assumed about their place"
        )
    values = np.array(orientations, dtype=float)
    if np.abs(values - values[0]).max() > ORIENTATION:
        raise GeometryError(
            "mixed_orientations",
            "slices of one series differ in orientation; export each orientation as a series of its own",
        )
    row, column = values[0, :3], values[0, 3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1)) > 0.01 or abs(row @ column) > 0.005:
        raise GeometryError("no_geometry", "the orientation (0020,0037) is not two unit vectors at right angles")
    return row / lengths[0], column / lengths[1]


def one_pixel_spacing(spacings: Sequence[tuple[float, float] | None]) -> tuple[float, float]:
    """Pixel spacing (rows, columns) common to all slices, mm."""
    if not spacings or any(s is None or min(s) <= 0 for s in spacings):
        raise GeometryError("no_geometry", "slices without pixel spacing (0028,0030); sizes in mm cannot be known")
    values = np.array(spacings, dtype=float)
    if np.abs(values / values[0] - 1).max() > PIXEL_SPACING:
        raise GeometryError(
            "mixed_sizes", "slices of one series differ in pixel spacing; export them as separate series"
        )
    return float(values[0, 0]), float(values[0, 1])


def missing_slices(height: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many slices are missing between neighbours, (n - 1,); refused where distances are no multiples of a step.

    Parameters
    ----------
    height : (n,) ndarray
        Ascending positions along the slice normal, mm; n >= 2.

    Raises
    ------
    GeometryError
        ``duplicate_positions``, ``uneven_spacing``.
    """
    steps = np.diff(height)
    typical = float(np.sort(steps)[(len(steps) - 1) // 2])  # lower median: with one gap in two steps, the small one
    if steps.min() <= max(SAME_PLACE_MM, min(STEP_ABSOLUTE_MM, STEP_RELATIVE * typical)):
        place = float(height[int(np.argmin(steps))])
        count = int((steps <= SAME_PLACE_MM).sum()) or 1
        raise GeometryError(
            "duplicate_positions",
            f"{count + 1} or more slices lie at one position (the first at {place:.2f} mm along the slice normal); "
            "remove the copies or export each acquisition as a series of its own",
        )
    tolerance = max(STEP_RELATIVE * typical, STEP_ABSOLUTE_MM)
    if np.abs(steps - typical).max() <= tolerance:
        return np.zeros(len(steps), np.int64)
    missing = np.rint(steps / typical).astype(np.int64) - 1
    whole = np.abs(steps - (missing + 1) * typical) <= tolerance * (missing + 1)
    if whole.all() and missing.sum() > 0:
        return missing
    raise GeometryError(
        "uneven_spacing",
        f"distances between slices vary from {steps.min():.3f} to {steps.max():.3f} mm; "
        "supply a series reconstructed with one slice spacing",
    )


def _gap(height: NDArray[np.float64], missing: NDArray[np.int64]) -> GeometryError:
    after = ", ".join(f"{z:.2f}" for z in height[:-1][missing > 0][:3])
    more = ", ..." if (missing > 0).sum() > 3 else ""
    step = (height[-1] - height[0]) / (len(height) - 1 + missing.sum())
    return GeometryError(
        "gap",
        f"{missing.sum()} slice(s) missing after position {after}{more} mm along the slice normal "
        f"(step {step:.3g} mm); supply the complete series, or set on_gap to split or fill",
    )


def _check_line(
    places: NDArray[np.float64], index: NDArray[np.int64], step: NDArray[np.float64], normal: NDArray[np.float64]
) -> list[str]:
    """Flags of a stack whose slices lie on one line, each at its `index`; refused if one does not."""
    length = float(np.linalg.norm(step))
    tolerance = max(STEP_RELATIVE * length, STEP_ABSOLUTE_MM)
    off = np.abs(places - (places[0] + index[:, None] * step)).max()
    if off > tolerance:
        raise GeometryError(
            "uneven_spacing",
            f"slices lie up to {off:.2f} mm off the line through the first and the last; "
            "supply a series reconstructed with one slice spacing and one field of view",
        )
    rise = np.diff(places @ normal) / np.diff(index)
    flags = ["spacing_jitter"] if np.abs(rise / (step @ normal) - 1).max() > JITTER else []
    if np.linalg.norm(np.cross(step / length, normal)) > geometry.ORTHOGONAL:
        flags.append("tilted")
    return flags
