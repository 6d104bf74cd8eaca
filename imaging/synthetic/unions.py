"""Solids put together: unions with their volume, and bent rods."""

# ruff: noqa: D102 (`Shape` documents the methods that every solid has)

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import (
    Shape,
    Values,
    Vector,
    _along,
)
from .shapes import Ball
from .tubes import Rod


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
