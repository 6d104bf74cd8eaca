"""Solids with a signed distance and a closed-form volume. Everything in mm, in patient LPS.

A distance is negative inside, positive outside, zero on the surface; away from the surface it may be shorter
than the true distance (ellipses, intersections), never of the wrong sign. Coordinates broadcast, so that a
grid along the axes costs no more than its open index vectors until the shape needs all three.
"""

# ruff: noqa: D102 (`Shape` documents the methods that every solid has)

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Vector = tuple[float, float, float]
Values = NDArray[Any]
Z_AXIS: Vector = (0.0, 0.0, 1.0)


class Shape(ABC):
    """A solid in patient LPS, mm."""

    @abstractmethod
    def distance(self, x: Values, y: Values, z: Values) -> Values:
        """Signed distance (mm, negative inside) at LPS coordinates in mm that broadcast."""

    @abstractmethod
    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) lowest and highest LPS coordinate, mm; infinite where the shape does not end."""

    @property
    @abstractmethod
    def feature_mm(self) -> float:
        """Thickness of the thinnest part, mm: what the sampling must resolve."""

    @property
    def volume_mm3(self) -> float | None:
        """Closed-form volume, mm3; None where there is none."""
        return None

    @property
    def diameter_mm(self) -> float | None:
        """Longest distance between two points of the shape, mm; None where it is not known in closed form."""
        return None

    @property
    def centroid_mm(self) -> Vector | None:
        """Centre of mass, LPS mm; None where it is not known in closed form."""
        return None

    @property
    def parts(self) -> tuple[Shape, ...]:
        """The shapes of a union; the shape itself otherwise."""
        return (self,)

    def contains(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Whether points, (..., 3) LPS mm, lie in the shape."""
        points = np.asarray(points_mm, dtype=float)
        return np.asarray(self.distance(points[..., 0], points[..., 1], points[..., 2]) <= 0)


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


@dataclass(frozen=True)
class Union(Shape):
    """All points of any member.

    Volume and centroid are closed forms where members lie apart, and for balls of which no three overlap.
    """

    members: tuple[Shape, ...]

    def distance(self, x: Values, y: Values, z: Values) -> Values:
        nearest = self.members[0].distance(x, y, z)
        for member in self.members[1:]:
            nearest = np.minimum(nearest, member.distance(x, y, z))
        return nearest

    def bounds(self) -> NDArray[np.float64]:
        boxes = np.array([member.bounds() for member in self.members])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])

    @property
    def feature_mm(self) -> float:
        return min(member.feature_mm for member in self.members)

    @property
    def parts(self) -> tuple[Shape, ...]:
        return tuple(part for member in self.members for part in member.parts)

    @property
    def volume_mm3(self) -> float | None:
        pieces = self._pieces()
        return None if pieces is None else sum(volume for volume, _ in pieces)

    @property
    def diameter_mm(self) -> float | None:
        balls = [part for part in self.parts if isinstance(part, Ball)]
        if len(balls) < len(self.parts):
            return None
        apart = (math.dist(a.centre, b.centre) + a.radius + b.radius for a, b in itertools.combinations(balls, 2))
        return max([2 * ball.radius for ball in balls] + list(apart))

    @property
    def centroid_mm(self) -> Vector | None:
        pieces = self._pieces()
        if pieces is None:
            return None
        volumes = np.array([volume for volume, _ in pieces])
        x, y, z = volumes @ np.array([centroid for _, centroid in pieces]) / volumes.sum()
        return float(x), float(y), float(z)

    def _pieces(self) -> list[tuple[float, Vector]] | None:
        """Volumes with centroids, lenses shared by two balls negative; None without closed form."""
        pieces: list[tuple[float, Vector]] = []
        for part in self.parts:
            volume, centroid = part.volume_mm3, part.centroid_mm
            if volume is None or centroid is None:
                return None
            pieces.append((volume, centroid))
        touching: list[set[int]] = [set() for _ in self.parts]
        for (i, a), (j, b) in itertools.combinations(enumerate(self.parts), 2):
            if isinstance(a, Ball) and isinstance(b, Ball):
                lens = _lens(a, b)
            elif _boxes_apart(a, b):
                lens = []
            else:
                return None
            if lens and touching[i] & touching[j]:
                return None  # perhaps three at one place
            if lens:
                touching[i].add(j)
                touching[j].add(i)
            pieces += lens
        return pieces


def path(points: Sequence[Vector], radius: float) -> Union:
    """A bent rod of `radius` mm along a chain of LPS points, mm: ribs, vessels, ducts."""
    return Union(tuple(Rod(a, b, radius) for a, b in itertools.pairwise(points)))


def _lens(a: Ball, b: Ball) -> list[tuple[float, Vector]]:
    """Two caps, volume negative, that two balls share; empty if they lie apart."""
    apart = math.dist(a.centre, b.centre)
    if apart >= a.radius + b.radius:
        return []
    if apart <= abs(a.radius - b.radius):
        inner = min(a, b, key=lambda ball: ball.radius)
        return [(-inner.volume_mm3, inner.centre)]
    caps = []
    for one, other in ((a, b), (b, a)):
        step = (
            other.centre[0] - one.centre[0],
            other.centre[1] - one.centre[1],
            other.centre[2] - one.centre[2],
        )
        plane = (apart**2 + one.radius**2 - other.radius**2) / (2 * apart)
        height = one.radius - plane
        volume = math.pi * height**2 * (3 * one.radius - height) / 3
        out = 0.75 * (2 * one.radius - height) ** 2 / (3 * one.radius - height)
        caps.append((-volume, _along(one.centre, step, out)))
    return caps


def _boxes_apart(a: Shape, b: Shape) -> bool:
    (a_low, a_high), (b_low, b_high) = a.bounds(), b.bounds()
    return bool(np.any((a_low > b_high) | (b_low > a_high)))


def _box(centre: Vector, half: float | NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.array(centre, dtype=float)
    return np.stack([middle - half, middle + half])


def _length(x: Values, y: Values, z: Values) -> Values:
    return np.asarray(np.sqrt(x * x + y * y + z * z))


def _radial(scaled: Values, gradient: Values, shortest: float) -> Values:
    """First-order distance to an ellipse or ellipsoid; the small terms keep its centre inside."""
    return np.asarray((scaled - 1) * (scaled + 1e-6) / (gradient + 1e-6 / shortest))


def _unit(vector: Vector) -> NDArray[np.float64]:
    values = np.array(vector, dtype=float)
    return np.asarray(values / np.linalg.norm(values))


def _across(axis: Vector) -> NDArray[np.float64]:
    """Half extent along x, y, z of a unit disc across `axis`."""
    return np.asarray(np.sqrt(np.clip(1 - _unit(axis) ** 2, 0, None)))


def _along(start: Vector, direction: Vector, distance: float) -> Vector:
    x, y, z = np.array(start) + _unit(direction) * distance
    return float(x), float(y), float(z)


Frame = tuple[Vector, Vector, Vector]
"""Three orthogonal unit vectors, plain floats so that float32 coordinates stay float32."""


def _frame(axis: Vector, towards: Vector | None = None) -> Frame:
    """Axes (u, v, w) with w along `axis` and u along the part of `towards` across it."""
    w = _unit(axis)
    first = np.eye(3)[(int(np.argmax(np.abs(w))) + 1) % 3] if towards is None else np.array(towards, dtype=float)
    u = first - (first @ w) * w
    u /= np.linalg.norm(u)
    return _plain(np.stack([u, np.cross(w, u), w]))


def _turned(turn: Vector) -> Frame:
    return _plain(Rotation.from_rotvec(turn).as_matrix().T)


def _plain(matrix: NDArray[np.float64]) -> Frame:
    u, v, w = ((float(x), float(y), float(z)) for x, y, z in matrix)
    return u, v, w


def _local(frame: Frame, centre: Vector, x: Values, y: Values, z: Values) -> tuple[Values, Values, Values]:
    """Coordinates along the axes of `frame`; zero terms are left out, so open grids stay open."""
    offsets = (x - centre[0], y - centre[1], z - centre[2])
    u, v, w = (_combined(axis, offsets) for axis in frame)
    return u, v, w


def _combined(weights: Vector, terms: tuple[Values, Values, Values]) -> Values:
    used = [w * t if w != 1 else t for w, t in zip(weights, terms, strict=True) if abs(w) > 1e-12]
    total = used[0]
    for term in used[1:]:
        total = total + term
    return total
