"""Random examples of every pattern: what the pattern benchmark and the tests of rules draw from.

Each function draws one object of its class from a wide range of size, form, orientation and HU. Sizes stay at least
15 % away from the bounds that divide classes (clinical.md section 1.4), and no smaller than the slices can show:
gaps are at least 1.6 slice spacings wide, shells and rings at least 2.5 spacings in radius.

>>> import numpy as np
>>> [thing.pattern for thing in example("tram_track", np.random.default_rng(1), 1.0)]
['tram_track', 'tram_track']
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .base import Shape, Vector
from .rendering import Thing
from .shapes import Ball, Box, Cylinder, Ellipsoid, Shell
from .tubes import Arc, Rod, Torus
from .unions import path

TISSUE_HU = 45.0
"""What lies round an example, and inside hollow ones."""
APART = 0.15
"""Relative distance from the bounds of a class."""
STEPS = 14
"""Nested bodies that stand for a gradual change of HU."""


@dataclass(frozen=True)
class Draw:
    """Where and how one example lies: its random numbers, the slice spacing, turn (rad) and offset (mm)."""

    rng: np.random.Generator
    resolution: float
    turn: Rotation
    offset: Vector

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """True in this share of draws."""
        return bool(self.rng.random() < share)

    def axis(self, x: float, y: float, z: float) -> Vector:
        """A direction, turned."""
        return _vector(self.turn.apply((x, y, z)))

    def point(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Vector:
        """A point, turned and moved."""
        return _vector(self.turn.apply((x, y, z)) + self.offset)

    @property
    def rotvec(self) -> Vector:
        """The turn as a rotation vector."""
        return _vector(self.turn.as_rotvec())


Make = Callable[[Draw], list[Thing]]


def example(pattern: str, rng: np.random.Generator, resolution: float) -> list[Thing]:
    """One random example of a pattern near the origin, within 24 mm of it.

    Parameters
    ----------
    pattern : str
        A key of `EXAMPLES`.
    rng : numpy Generator
    resolution : float
        Slice spacing that it will be imaged with, mm; finer details than it can show are not drawn.
    """
    offset = _vector(rng.uniform(-1, 1, 3) * (0.5, 0.5, resolution / 2))
    things = EXAMPLES[pattern](Draw(rng, resolution, Rotation.random(random_state=rng), offset))
    return [replace(thing, pattern=pattern) for thing in things]


def _punctate(d: Draw) -> list[Thing]:
    limit = (1 - APART) * max(3.0, 2 * d.resolution)
    diameter = d.between(min(1.9, 0.7 * limit) if d.resolution <= 1.5 else 0.5 * limit, limit)
    return [Thing(_spheroid(d, diameter / 2, 0.77), d.between(650, 1200))]


def _solid(d: Draw) -> list[Thing]:
    smallest = 1.2 * max(3.0, 2 * d.resolution)
    diameter, hu = d.between(smallest, max(1.8 * smallest, 17.0)), d.between(350, 1100)
    if d.chance(0.3):
        side = 0.85 * diameter
        size = (side, side * d.between(0.75, 1), side * d.between(0.75, 1))
        return [Thing(Box(d.point(), size, d.rotvec), hu)]
    return [Thing(_spheroid(d, diameter / 2, 0.65), hu)]


def _eggshell(d: Draw) -> list[Thing]:
    outer = d.between(max(5.0, 3 * d.resolution), max(13.0, 3.6 * d.resolution))
    wall, hu = d.between(0.9, (1 - APART) * 2.0), d.between(500, 1000)
    if d.chance(0.3):
        radii = (outer, outer * d.between(0.72, 1), outer * d.between(0.72, 1))
        inner = _vector(np.subtract(radii, wall))
        return [
            Thing(Ellipsoid(d.point(), radii, d.rotvec), hu),
            Thing(Ellipsoid(d.point(), inner, d.rotvec), TISSUE_HU),
        ]
    coverage = 1.0 if d.chance(0.5) else d.between(0.70 * (1 + APART), 1)
    return [Thing(Shell(d.point(), outer, wall, coverage, d.axis(0, 0, 1)), hu)]


def _rim(d: Draw) -> list[Thing]:
    hu = d.between(450, 1000)
    if d.chance(0.4):
        outer = d.between(max(6.0, 3 * d.resolution), max(13.0, 3.6 * d.resolution))
        share = d.between(0.40 * (1 + APART), 0.70 * (1 - APART))
        return [Thing(Shell(d.point(), outer, d.between(1.2, 2.6), share, d.axis(0, 0, 1)), hu)]
    wall = d.between(2.0 * (1 + APART), 3.7)
    outer = d.between(max(wall / 0.3, 3 * d.resolution), max(13.5, 3.6 * d.resolution))
    return [Thing(Shell(d.point(), outer, wall), hu)]


def _ring(d: Draw) -> list[Thing]:
    radius = d.between(max(4.5, 2.5 * d.resolution), max(10.5, 3.2 * d.resolution))
    tube, hu = d.between(0.75, min(1.5, 0.21 * radius)), d.between(600, 1100)
    if d.chance(0.5):
        return [Thing(Torus(d.point(), radius, tube, d.axis(0, 0, 1)), hu)]
    degrees = d.between(270 * (1 + APART), 350)
    return [Thing(Arc(d.point(), radius, tube, degrees, d.axis(0, 0, 1), d.axis(1, 0, 0)), hu)]


def _arc(d: Draw) -> list[Thing]:
    hu = d.between(550, 1050)
    if d.chance(0.5):
        radius, share = d.between(7, 13), d.between(0.12, 0.40 * (1 - APART))
        wall = d.between(1, min(2.4, 2 * share * radius))  # bent by at least its thickness
        return [Thing(Shell(d.point(), radius, wall, share, d.axis(0, 0, 1)), hu)]
    degrees = d.between(110, 270 * (1 - APART))
    return [
        Thing(Arc(d.point(), d.between(6, 11), d.between(0.75, 1.3), degrees, d.axis(0, 0, 1), d.axis(1, 0, 0)), hu)
    ]


def _linear(d: Draw) -> list[Thing]:
    radius = d.between(0.6 if d.resolution <= 1.5 else 0.8, 3.0 / 2 * (1 - APART))
    half = d.between(max(9.0, 5 * d.resolution, 2 * radius / (0.30 * (1 - APART))), max(28.0, 6 * d.resolution)) / 2
    return [Thing(Rod(d.point(x=-half), d.point(x=half), radius), d.between(600, 1100))]


def _tram_track(d: Draw) -> list[Thing]:
    hu = d.between(600, 1100)
    if d.chance(0.25) and d.resolution <= 1.5:
        outer, wall = d.between(2.5 + d.resolution, 5.0), d.between(1.1, 1.6)
        length = d.between(5.2 * outer, 30)
        tube, lumen = (
            Cylinder(d.point(), r, length + end, d.axis(1, 0, 0)) for r, end in ((outer, 0), (outer - wall, 1))
        )
        return [Thing(tube, hu), Thing(lumen, TISSUE_HU)]
    radius, half = d.between(0.65, 1.1), d.between(14, 26) / 2
    closest = max(2.0 * (1 + APART), 2 * radius + 1.6 * d.resolution + 0.5)
    apart = d.between(closest, max(10.0, closest + 1)) / 2
    tilt = half * math.sin(math.radians(d.between(0, 20 * (1 - APART))) / 2)
    return [
        Thing(Rod(d.point(-half, side * apart, side * tilt), d.point(half, side * apart, -side * tilt), radius), hu)
        for side in (-1, 1)
    ]


def _branching(d: Draw) -> list[Thing]:
    radius, hu = d.between(0.7, 1.1), d.between(650, 1100)
    trunk = d.between(8, 13)
    rods = [Thing(Rod(d.point(x=-trunk), d.point(), radius), hu)]
    for k in range(int(d.rng.integers(2, 4))):
        spread, roll, length = math.radians(d.between(28, 60)), 2.1 * k + d.between(2.6, 3.4) * k, d.between(8, 13)
        step = np.array([math.cos(spread), math.sin(spread) * math.cos(roll), math.sin(spread) * math.sin(roll)])
        joint = (0.0, 0.0, 0.0)
        tip = _vector(length * step)
        rods.append(Thing(Rod(d.point(*joint), d.point(*tip), radius), hu))
        if d.chance(0.3):
            bend = _vector(np.multiply(tip, 0.5) + length * 0.55 * _unit_of(step + d.rng.normal(0, 0.9, 3)))
            rods.append(Thing(Rod(d.point(*_vector(np.multiply(tip, 0.5))), d.point(*bend), radius), hu))
    return rods


def _laminated(d: Draw) -> list[Thing]:
    hu, things, inner = d.between(550, 1000), [], d.between(2.6, 3.6)
    count = int(d.rng.integers(2, 4))
    if count == 2 and d.chance(0.5):
        things.append(Thing(Ball(d.point(), d.between(1.2, 1.5)), hu))
        inner += 0.8 + 0.7 * d.resolution
    for _ in range(count):
        wall = d.between(1.0, 1.5)
        things.append(Thing(Shell(d.point(), inner + wall, wall), hu))
        inner += wall + d.between(1.6 * d.resolution + 0.7, 1.6 * d.resolution + 1.3)
    return things


def _popcorn(d: Draw) -> list[Thing]:
    hu = d.between(450, 950)
    balls = _lobules(d, int(d.rng.integers(5, 9)), (2.1, 3.3), (1.45, 1.65), 10.0)
    return [Thing(ball, hu) for ball in balls]


def _lobulated(d: Draw) -> list[Thing]:
    """Large lobules pressed together, with lucent septa between some."""
    hu = d.between(350, 800)
    while True:
        balls = _lobules(d, int(d.rng.integers(7, 12)), (5.0, 7.0), (1.0, 1.25), 11.0)
        low, high = (np.array([np.add(b.centre, s * b.radius) for b in balls]) for s in (-1, 1))
        if 20 * (1 + APART) + 2 <= (high.max(axis=0) - low.min(axis=0)).max() <= 36:
            break
    septa = []
    for a, b in pairwise(balls):
        step = np.subtract(b.centre, a.centre)
        middle = _vector(np.add(a.centre, step / 2))
        septa.append(Cylinder(middle, d.between(3.0, 4.0), d.between(1.1, 1.6), _vector(step)))
    return [*(Thing(ball, hu) for ball in balls), *(Thing(cut, TISSUE_HU) for cut in septa)]


def _ring_and_arc(d: Draw) -> list[Thing]:
    hu = d.between(600, 1100)
    while True:
        things: list[Thing] = []
        placed: list[tuple[Any, float]] = []
        for _ in range(400):
            radius, tube = d.between(max(1.9, 1.7 * d.resolution), 4.2), d.between(0.6, 0.95)
            place, reach = _inside(d, 12.5), radius + tube
            if any(np.linalg.norm(place - p) < reach + r + 1.5 * d.resolution + 0.3 for p, r in placed):
                continue
            placed.append((place, reach))
            across, towards = (_vector(d.rng.normal(0, 1, 3)) for _ in range(2))
            things.append(Thing(Arc(_vector(place + d.offset), radius, tube, d.between(150, 330), across, towards), hu))
            if len(things) == 11:
                break
        if len(things) >= 5 * (1 + APART):
            return things


def _coarse(d: Draw) -> list[Thing]:
    """Angular lumps: thick bars that cross, an L or a T."""
    hu, first = d.between(400, 1000), d.turn
    bars = []
    for k in range(int(d.rng.integers(2, 4))):
        turn = first * Rotation.from_euler("z", d.between(55, 90) * k, degrees=True)
        turn = turn * Rotation.from_euler("y", d.between(-25, 25), degrees=True)
        size = (d.between(11, 16), d.between(3.6, 5.2), d.between(3.6, 5.2))
        middle = _vector(np.add(d.offset, turn.apply((d.between(-0.35, 0.35) * size[0], 0, 0))))
        bars.append(Thing(Box(middle, size, _vector(turn.as_rotvec())), hu))
    return bars


def _amorphous(d: Draw) -> list[Thing]:
    """Haze: blobs without an edge that fade into the tissue."""
    peak = d.between(120, 150)
    blobs = [(_vector(_inside(d, 5.0)), d.between(7, 10)) for _ in range(int(d.rng.integers(1, 4)))]
    return [
        Thing(Ball(_vector(np.add(centre, d.offset)), radius * (1 - k / STEPS)), TISSUE_HU + peak * (k + 0.5) / STEPS)
        for k in range(STEPS)
        for centre, radius in blobs
    ]


def _sheet(d: Draw) -> list[Thing]:
    length = d.between(13, 25)
    size = (length, length * d.between(0.60 * (1 + APART), 1), d.between(1.1, min(2.5, 0.25 * (1 - APART) * length)))
    return [Thing(Box(d.point(), size, d.rotvec), d.between(450, 1000))]


def _zonal(d: Draw) -> list[Thing]:
    """A dense rim that fades inwards to a lucent core."""
    radius, rim, core = d.between(max(7.0, 4 * d.resolution), 12.5), d.between(600, 900), d.between(50, 90)
    dense, empty = 0.85 * radius, d.between(0.1, 0.2) * radius
    share = (np.arange(STEPS) + 0.5) / STEPS
    fading = [
        Thing(Ball(d.point(), dense - (dense - empty) * k / STEPS), rim - (rim - core) * s)
        for k, s in enumerate(share.tolist())
    ]
    return [Thing(Ball(d.point(), radius), rim), *fading, Thing(Ball(d.point(), empty), core)]


EXAMPLES: dict[str, Make] = {
    "punctate": _punctate, "eggshell": _eggshell, "rim": _rim, "ring": _ring, "arc": _arc, "linear": _linear,
    "tram_track": _tram_track, "branching": _branching, "laminated": _laminated, "popcorn": _popcorn,
    "ring_and_arc": _ring_and_arc, "coarse": _coarse, "solid": _solid, "amorphous": _amorphous, "sheet": _sheet,
    "lobulated": _lobulated, "zonal": _zonal,
}  # fmt: skip
"""A maker for every pattern that has a form."""


def helix(radius: float, pitch: float, turns: float, tube: float, steps: int = 24) -> Shape:
    """A bent rod along a helix about z: arc length ``turns * hypot(2 pi radius, pitch)``.

    Parameters
    ----------
    radius, pitch, tube : float
        Of the helix, per turn, and of the rod; mm.
    turns : float
    steps : int
        Straight pieces a turn.
    """
    angle = np.linspace(0, 2 * math.pi * turns, max(2, round(steps * turns) + 1))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    z = pitch * (angle / (2 * math.pi) - turns / 2)
    return path([_vector(p) for p in np.stack((x, y, z), axis=1)], tube)


def _lobules(d: Draw, count: int, radii: tuple[float, float], steps: tuple[float, float], reach: float) -> list[Ball]:
    """Balls that touch a neighbour at `steps` times the mean radius and crowd no other, within `reach` mm."""
    balls = [Ball(d.offset, d.between(*radii))]
    for _ in range(2000):
        if len(balls) == count:
            break
        radius, beside = d.between(*radii), balls[int(d.rng.integers(len(balls)))]
        apart = d.between(*steps) * (radius + beside.radius) / 2
        centre = _vector(np.add(beside.centre, apart * _unit_of(d.rng.normal(0, 1, 3))))
        near = min(math.dist(centre, b.centre) / ((radius + b.radius) / 2) for b in balls)
        if math.dist(centre, d.offset) <= reach and near >= steps[0] - 1e-9:
            balls.append(Ball(centre, radius))
    return balls


def _spheroid(d: Draw, radius: float, roundness: float) -> Ellipsoid:
    radii = (radius, radius * d.between(roundness, 1), radius * d.between(roundness, 1))
    grow = radius / float(np.cbrt(np.prod(radii)))
    return Ellipsoid(d.point(), _vector(np.multiply(radii, grow)), d.rotvec)


def _inside(d: Draw, radius: float) -> Any:
    """A random place in a ball round the origin."""
    return radius * d.between(0, 1) ** (1 / 3) * _unit_of(d.rng.normal(0, 1, 3))


def _unit_of(v: Any) -> Any:
    return v / np.linalg.norm(v)


def _vector(v: Any) -> Vector:
    x, y, z = (float(c) for c in v)
    return x, y, z
