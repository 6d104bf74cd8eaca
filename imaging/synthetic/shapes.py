"""Solids with a signed distance and a closed-form volume. Everything in mm, in patient LPS.

A distance is negative inside, positive outside, zero on the surface; away from the surface it may be shorter
than the true distance (ellipses, intersections), never of the wrong sign. Coordinates broadcast, so that a
grid along the axes costs no more than its open index vectors until the shape needs all three.
"""

# ruff: noqa: D102 (`Shape` documents the methods that every solid has)

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import (
    Z_AXIS,
    Shape,
    Values,
    Vector,
    _across,
    _along,
    _box,
    _frame,
    _length,
    _local,
    _radial,
    _turned,
    _unit,
)


@dataclass(frozen=True)
class Ball(Shape):
    """A ball of `radius` mm."""

    centre: Vector
    radius: float

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        return _length(x - self.centre[0], y - self.centre[1], z - self.centre[2]) - self.radius

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, self.radius)

    @property
    def feature_mm(self) -> float:
        return 2 * self.radius

    @property
    def volume_mm3(self) -> float:
        return 4 / 3 * math.pi * self.radius**3

    @property
    def diameter_mm(self) -> float:
        return 2 * self.radius

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class Ellipsoid(Shape):
    """An ellipsoid: semi-axes `radii` mm along x, y, z, then turned by the rotation vector `turn` (rad)."""

    centre: Vector
    radii: Vector
    turn: Vector = (0.0, 0.0, 0.0)

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        a, b, c = self.radii
        u, v, w = _local(_turned(self.turn), self.centre, x, y, z)
        return _radial(_length(u / a, v / b, w / c), _length(u / a**2, v / b**2, w / c**2), min(self.radii))

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, np.linalg.norm(np.array(_turned(self.turn)) * np.array(self.radii)[:, None], axis=0))

    @property
    def feature_mm(self) -> float:
        return 2 * min(self.radii)

    @property
    def volume_mm3(self) -> float:
        return 4 / 3 * math.pi * math.prod(self.radii)

    @property
    def diameter_mm(self) -> float:
        return 2 * max(self.radii)

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class Shell(Shape):
    """A hollow ball.

    Parameters
    ----------
    centre : (x, y, z)
        LPS mm.
    outer_radius, wall : float
        mm.
    coverage : float
        Part of the directions that meet the wall, 0-1: below 1 a cap round `axis` stays, cut by a cone from
        the centre.
    axis : (x, y, z)
        Middle of the cap.
    """

    centre: Vector
    outer_radius: float
    wall: float
    coverage: float = 1.0
    axis: Vector = Z_AXIS

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        u, v, w = _local(_frame(self.axis), self.centre, x, y, z)
        radius = _length(u, v, w)
        wall = np.maximum(radius - self.outer_radius, (self.outer_radius - self.wall) - radius)
        if self.coverage >= 1:
            return np.asarray(wall)
        half = math.acos(1 - 2 * self.coverage)
        return np.asarray(np.maximum(wall, np.hypot(u, v) * math.cos(half) - w * math.sin(half)))

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, self.outer_radius)

    @property
    def feature_mm(self) -> float:
        return self.wall

    @property
    def volume_mm3(self) -> float:
        return self.coverage * 4 / 3 * math.pi * (self.outer_radius**3 - self._inner**3)

    @property
    def diameter_mm(self) -> float:
        chord = math.sin(math.acos(1 - 2 * self.coverage)) if self.coverage < 0.5 else 1.0
        return 2 * self.outer_radius * chord

    @property
    def centroid_mm(self) -> Vector:
        quotient = (self.outer_radius**4 - self._inner**4) / (self.outer_radius**3 - self._inner**3)
        return _along(self.centre, self.axis, 0.75 * quotient * (1 - self.coverage))

    @property
    def _inner(self) -> float:
        return self.outer_radius - self.wall


@dataclass(frozen=True)
class Cylinder(Shape):
    """A round cylinder with flat ends, `length` mm along `axis`."""

    centre: Vector
    radius: float
    length: float
    axis: Vector = Z_AXIS

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        u, v, w = _local(_frame(self.axis), self.centre, x, y, z)
        return np.asarray(np.maximum(np.hypot(u, v) - self.radius, np.abs(w) - self.length / 2))

    def bounds(self) -> NDArray[np.float64]:
        along = np.abs(_unit(self.axis)) * self.length / 2
        return _box(self.centre, self.radius * _across(self.axis) + along)

    @property
    def feature_mm(self) -> float:
        return min(2 * self.radius, self.length)

    @property
    def volume_mm3(self) -> float:
        return math.pi * self.radius**2 * self.length

    @property
    def diameter_mm(self) -> float:
        return math.hypot(2 * self.radius, self.length)

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class Box(Shape):
    """A block or sheet: `size` mm along x, y, z, then turned by the rotation vector `turn` (rad)."""

    centre: Vector
    size: Vector
    turn: Vector = (0.0, 0.0, 0.0)

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        local = _local(_turned(self.turn), self.centre, x, y, z)
        u, v, w = (np.abs(c) - s / 2 for c, s in zip(local, self.size, strict=True))
        return np.asarray(np.maximum(np.maximum(u, v), w))

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, np.abs(np.array(_turned(self.turn))).T @ (np.array(self.size) / 2))

    @property
    def feature_mm(self) -> float:
        return min(self.size)

    @property
    def volume_mm3(self) -> float:
        return math.prod(self.size)

    @property
    def diameter_mm(self) -> float:
        return math.hypot(*self.size)

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class Column(Shape):
    """An elliptical column along z: semi-axes `radii` (x, y) mm; endless, or `half_length` mm up and down."""

    centre: Vector
    radii: tuple[float, float]
    half_length: float = math.inf

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        (a, b), u, v = self.radii, x - self.centre[0], y - self.centre[1]
        side = _radial(np.hypot(u / a, v / b), np.hypot(u / a**2, v / b**2), min(a, b))
        if math.isinf(self.half_length):
            return side
        return np.asarray(np.maximum(side, np.abs(z - self.centre[2]) - self.half_length))

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, np.array([*self.radii, self.half_length]))

    @property
    def feature_mm(self) -> float:
        return 2 * min(*self.radii, self.half_length)

    @property
    def volume_mm3(self) -> float | None:
        if math.isinf(self.half_length):
            return None
        return 2 * math.pi * math.prod(self.radii) * self.half_length

    @property
    def diameter_mm(self) -> float:
        return 2 * math.hypot(max(self.radii), self.half_length)

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class CurvedSheet(Shape):
    """A bent sheet along z without end, hollow side to anterior: a table top.

    Parameters
    ----------
    lowest : (x, y, z)
        Middle of the sheet, its most posterior point; LPS mm. z does not matter.
    bend_radius, thickness, half_width : float
        mm; `half_width` is measured along x.
    """

    lowest: Vector
    bend_radius: float
    thickness: float
    half_width: float

    def distance(self, x: Values, y: Values, z: Values) -> Values:  # noqa: ARG002 (endless along z)
        u, v = x - self.lowest[0], y - (self.lowest[1] - self.bend_radius)
        sheet = np.abs(np.hypot(u, v) - self.bend_radius) - self.thickness / 2
        return np.asarray(np.maximum(np.maximum(sheet, np.abs(u) - self.half_width), -v))

    def bounds(self) -> NDArray[np.float64]:
        rise = self.bend_radius - math.sqrt(max(self.bend_radius**2 - self.half_width**2, 0.0))
        x, y, _ = self.lowest
        low = (x - self.half_width, y - rise - self.thickness, -math.inf)
        return np.array([low, (x + self.half_width, y + self.thickness, math.inf)])

    @property
    def feature_mm(self) -> float:
        return self.thickness
