"""`Shape`, what every solid can tell, and the frames and lengths that solids are written with."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
