"""Solids round a line: ring, arc and rod."""

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
)


@dataclass(frozen=True)
class Torus(Shape):
    """A ring: a disc of radius `tube` mm led round `axis` at `radius` mm."""

    centre: Vector
    radius: float
    tube: float
    axis: Vector = Z_AXIS

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        u, v, w = _local(_frame(self.axis), self.centre, x, y, z)
        return np.asarray(np.hypot(np.hypot(u, v) - self.radius, w) - self.tube)

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, self.radius * _across(self.axis) + self.tube)

    @property
    def feature_mm(self) -> float:
        return 2 * self.tube

    @property
    def volume_mm3(self) -> float:
        return 2 * math.pi**2 * self.radius * self.tube**2

    @property
    def diameter_mm(self) -> float:
        return 2 * (self.radius + self.tube)

    @property
    def centroid_mm(self) -> Vector:
        return self.centre


@dataclass(frozen=True)
class Arc(Shape):
    """Part of a torus, with flat ends.

    Parameters
    ----------
    centre, radius, tube, axis
        The torus; mm.
    degrees : float
        Angle that the arc covers, below 360.
    towards : (x, y, z)
        Direction from the centre to the middle of the arc (its part across `axis` counts).
    """

    centre: Vector
    radius: float
    tube: float
    degrees: float
    axis: Vector = Z_AXIS
    towards: Vector = (1.0, 0.0, 0.0)

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        u, v, w = _local(_frame(self.axis, self.towards), self.centre, x, y, z)
        half = math.radians(self.degrees) / 2
        ring = np.hypot(np.hypot(u, v) - self.radius, w) - self.tube
        return np.asarray(np.maximum(ring, np.abs(v) * math.cos(half) - u * math.sin(half)))

    def bounds(self) -> NDArray[np.float64]:
        return _box(self.centre, self.radius * _across(self.axis) + self.tube)

    @property
    def feature_mm(self) -> float:
        return 2 * self.tube

    @property
    def volume_mm3(self) -> float:
        return math.radians(self.degrees) * math.pi * self.radius * self.tube**2

    @property
    def diameter_mm(self) -> float | None:
        if self.radius * math.radians(self.degrees) < 4 * self.tube:
            return None  # stubby: the longest chord is no longer the one between the outer ends
        return 2 * (self.radius + self.tube) * math.sin(min(math.radians(self.degrees) / 2, math.pi / 2))

    @property
    def centroid_mm(self) -> Vector:
        half = math.radians(self.degrees) / 2
        out = (self.radius + self.tube**2 / (4 * self.radius)) * math.sin(half) / half
        return _along(self.centre, _frame(self.axis, self.towards)[0], out)


@dataclass(frozen=True)
class Rod(Shape):
    """A straight rod with round ends: all points within `radius` mm of the line from `start` to `end`."""

    start: Vector
    end: Vector
    radius: float

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        half = self._length / 2
        u, v, w = _local(_frame(self._step), self.centroid_mm, x, y, z)
        return _length(u, v, w - np.clip(w, -half, half)) - self.radius

    def bounds(self) -> NDArray[np.float64]:
        ends = np.array([self.start, self.end], dtype=float)
        return np.stack([ends.min(axis=0) - self.radius, ends.max(axis=0) + self.radius])

    @property
    def feature_mm(self) -> float:
        return 2 * self.radius

    @property
    def volume_mm3(self) -> float:
        return math.pi * self.radius**2 * (self._length + 4 / 3 * self.radius)

    @property
    def diameter_mm(self) -> float:
        return self._length + 2 * self.radius

    @property
    def centroid_mm(self) -> Vector:
        return _along(self.start, self._step, self._length / 2)

    @property
    def _step(self) -> Vector:
        return (self.end[0] - self.start[0], self.end[1] - self.start[1], self.end[2] - self.start[2])

    @property
    def _length(self) -> float:
        return math.hypot(*self._step)
