"""How much is more than two scans of the same thing differ by: limits and calls (clinical.md 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .params import Limits

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Sizes of the same things in two scans, (n,) each; missing where NaN.

    Parameters
    ----------
    volume, diameter, integrated : (before, after) pairs of (n,) ndarray
        mm3, mm, HU mm3.
    """

    volume: tuple[Array, Array]
    diameter: tuple[Array, Array]
    integrated: tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Calls:
    """What the limits say, (n,) each.

    Parameters
    ----------
    state : ndarray of str
        ``stable``, ``increased`` or ``decreased``.
    limit_mm3 : ndarray
        What the change of volume had to exceed.
    diameter_limit_mm : ndarray
        What the change of diameter had to reach.
    reason : ndarray of str
        The limit that decided.
    """

    state: NDArray[np.object_]
    limit_mm3: Array
    diameter_limit_mm: Array
    reason: NDArray[np.object_]


def volume_limit(volume: Array, limits: Limits) -> Array:
    """Largest change of volume between repeats, mm3: max(a sqrt(V0), b V0)."""
    return np.asarray(np.maximum(limits.volume_sqrt * np.sqrt(volume), limits.volume_relative * volume))


def relative(before: Array, after: Array) -> Array:
    """(after - before) / before; NaN where `before` is missing or not positive."""
    known = before > 0
    return np.asarray(np.where(known, (after - before) / np.where(known, before, 1.0), np.nan))


def call(sizes: Measured, spacing_mm: float, limits: Limits) -> Calls:
    """Stable, increased or decreased.

    A change is called where the volume changes by more than its limit, and the longest diameter by at least the larger
    of its limit and the spacing or integrated HU by more than its limit, in the same direction. Where neither of the
    two is known the volume alone decides, and the reason says so.

    Parameters
    ----------
    sizes : Measured
    spacing_mm : float
        Largest spacing of both scans.
    limits : Limits
    """
    (v0, v1), (d0, d1), (i0, i1) = sizes.volume, sizes.diameter, sizes.integrated
    change, limit = v1 - v0, volume_limit(v0, limits)
    across = np.full(len(v0), max(limits.diameter_mm, spacing_mm))
    direction = np.sign(change)
    wider, denser = d1 - d0, relative(i0, i1)
    by_diameter = wider * direction >= across
    by_density = denser * direction > limits.integrated_relative
    unknown = np.isnan(wider) & np.isnan(denser)
    beyond = np.abs(change) > limit
    called = beyond & (by_diameter | by_density | unknown)
    state = np.where(called, np.where(change > 0, "increased", "decreased"), "stable").astype(object)
    rows = zip(v0, change, limit, wider, across, denser, beyond, by_diameter, by_density, strict=True)
    reason = np.empty(len(v0), dtype=object)
    reason[:] = [_why(limits, _Row(*row)) for row in rows]
    return Calls(state, limit, across, reason)


@dataclass(frozen=True)
class _Row:
    """What decides about one pair: sizes, their limits, and which were exceeded."""

    v0: float
    change: float
    limit: float
    wider: float
    across: float
    denser: float
    beyond: bool
    by_diameter: bool
    by_density: bool


def _why(limits: Limits, row: _Row) -> str:
    """The limit that decided, in words."""
    root = limits.volume_sqrt * np.sqrt(row.v0) >= limits.volume_relative * row.v0
    rule = f"{limits.volume_sqrt:.4g} sqrt(V)" if root else f"{limits.volume_relative * 100:.3g} % of V"
    volume = f"volume {row.change:+.1f} mm3"
    diameter = "" if np.isnan(row.wider) else f"diameter {row.wider:+.1f} mm"
    density = "" if np.isnan(row.denser) else f"integrated HU {row.denser * 100:+.0f} %"
    if not row.beyond:
        return f"{volume} is within {rule} = {row.limit:.1f} mm3"
    said = f"{volume} exceeds {rule} = {row.limit:.1f} mm3"
    if row.by_diameter:
        return f"{said}; {diameter} reaches {row.across:.1f} mm"
    if row.by_density:
        return f"{said}; {density} exceeds {limits.integrated_relative * 100:.3g} %"
    if not diameter and not density:
        return f"{said}; neither diameter nor integrated HU are known"
    limits_said = [
        f"{text} does not reach {bound}"
        for text, bound in (
            (diameter, f"{row.across:.1f} mm"),
            (density, f"{limits.integrated_relative * 100:.3g} %"),
        )
        if text
    ]
    return f"{said}, but {', '.join(limits_said)} in that direction"
