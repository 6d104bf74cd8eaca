"""Bodies to put things into: a torso, a limb, and the table they lie on. Lists of `Thing`, painted in order.

Coordinates are patient LPS in mm with the body's axis at x = y = 0, supine (posterior, +y, is down). Sizes
are those of a slim adult or an adolescent, round numbers; HU are those of a 120 kVp scan.
"""

from __future__ import annotations

import math

import numpy as np

from .base import Shape, Vector
from .rendering import Thing
from .shapes import Column, CurvedSheet, Cylinder, Ellipsoid
from .tubes import Rod
from .unions import path

SKIN_HU, FAT_HU, MUSCLE_HU, VISCERA_HU, LUNG_HU = 15.0, -100.0, 55.0, 45.0, -850.0
CORTEX_HU, FEMUR_CORTEX_HU, TRABECULAR_HU, MARROW_HU = 600.0, 1200.0, 180.0, -50.0
DISC_HU, CANAL_HU = 75.0, 20.0
SKIN_MM, FAT_MM = 2.0, 10.0
VERTEBRA_MM, DISC_MM = 26.0, 8.0
RIB_MM, RIB_CORTEX_MM, RIB_STEP_MM = 4.5, 1.1, 26.0
"""Rib radius, cortex thickness and distance of neighbouring ribs along z."""


def torso(
    z_range: tuple[float, float],
    *,
    half_width: float = 122.0,
    half_depth: float = 84.0,
    ribs: bool = True,
    lungs: bool = False,
) -> list[Thing]:
    """A slab of trunk: skin, fat, muscle wall, viscera, spine, ribs that slope forwards, lungs on request.

    Parameters
    ----------
    z_range : (low, high)
        Extent of the scan, mm: bones are made as far as they are seen.
    half_width, half_depth : float
        Semi-axes of the body, mm.
    ribs, lungs : bool
        Whether to put them in; with `lungs` the viscera are a mediastinum.
    """
    inner = SKIN_MM + FAT_MM
    wall = inner + 2 * RIB_MM + 5
    body = _body(half_width, half_depth)
    body.append(Thing(Column((0, 0, 0), (half_width - wall, half_depth - wall)), VISCERA_HU))
    body += _organs(half_width - wall, half_depth - wall, lungs)
    body += _spine(z_range, half_depth)
    if ribs:
        body += _ribs(z_range, half_width - inner - RIB_MM - 2, half_depth - inner - RIB_MM - 2)
    return body


def limb(*, half_width: float = 66.0, half_depth: float = 70.0, bone: Vector = (8.0, -6.0, 0.0)) -> list[Thing]:
    """A thigh without end: skin, fat, muscle, fat planes, vessels, and a femur (cortex and fatty marrow).

    Parameters
    ----------
    half_width, half_depth : float
        Semi-axes of the limb, mm.
    bone : (x, y, z)
        A point of the axis of the femur, mm.
    """
    x, y, _ = bone
    plane = FAT_HU + 40
    return [
        *_body(half_width, half_depth),
        Thing(Rod((x + 12, y + 24, -500), (x + 26, y + 44, 500), 2.0), plane),
        Thing(Rod((x - 26, y + 10, -500), (x - 32, y + 30, 500), 2.5), plane),
        Thing(Rod((-26, -14, -500), (-30, -18, 500), 6.0), FAT_HU),
        Thing(Rod((-24, -14, -500), (-28, -18, 500), 3.5), 42.0),
        Thing(Rod((-30, -12, -500), (-34, -16, 500), 4.0), 40.0),
        Thing(Cylinder((x, y, 0), 14.0, 1000.0, (0.03, 0.02, 1.0)), FEMUR_CORTEX_HU),
        Thing(Cylinder((x, y, 0), 7.5, 1000.0, (0.03, 0.02, 1.0)), MARROW_HU),
    ]


def table(top: float, *, half_width: float = 150.0, thickness: float = 16.0, bend_radius: float = 320.0) -> list[Thing]:
    """A table: a bent carbon-fibre skin round a foam core, its highest middle point at y = `top` mm."""
    skin, middle = 1.6, (0.0, top + thickness / 2, 0.0)
    return [
        Thing(CurvedSheet(middle, bend_radius, thickness, half_width), 60.0),
        Thing(CurvedSheet(middle, bend_radius, thickness - 2 * skin, half_width - skin), -940.0),
    ]


def enhanced_vessel(points: list[Vector], radius: float, hu: float = 280.0) -> Thing:
    """A vessel with contrast along a chain of points, mm."""
    return Thing(path(points, radius), hu, "vessel")


def _body(half_width: float, half_depth: float) -> list[Thing]:
    layers = ((0.0, SKIN_HU), (SKIN_MM, FAT_HU), (SKIN_MM + FAT_MM, MUSCLE_HU))
    return [Thing(Column((0, 0, 0), (half_width - deep, half_depth - deep)), hu) for deep, hu in layers]


def _organs(a: float, b: float, lungs: bool) -> list[Thing]:
    """Soft-tissue contrast within the semi-axes `a`, `b` of the cavity."""
    if lungs:
        return [
            Thing(Ellipsoid((side * 0.52 * a, -0.05 * b, 0), (0.42 * a, 0.8 * b, 160)), LUNG_HU) for side in (-1, 1)
        ]
    organs: list[tuple[Shape, float]] = [
        (Ellipsoid((-0.42 * a, -0.22 * b, 10), (0.52 * a, 0.62 * b, 70)), 58.0),  # liver
        (Ellipsoid((0.74 * a, 0.12 * b, 15), (0.18 * a, 0.46 * b, 50)), 50.0),  # spleen
        (Ellipsoid((0.50 * a, 0.48 * b, -5), (0.17 * a, 0.27 * b, 55)), 32.0),  # left kidney
        (Ellipsoid((-0.50 * a, 0.56 * b, -10), (0.17 * a, 0.27 * b, 55)), 32.0),  # right kidney
        (Ellipsoid((0.28 * a, -0.52 * b, 0), (0.25 * a, 0.25 * b, 45)), 20.0),  # stomach
        (Column((8, -8, 0), (9.0, 9.0)), 40.0),  # aorta
        (Column((-16, -9, 0), (10.0, 7.5)), 38.0),  # vena cava
    ]
    return [Thing(shape, hu) for shape, hu in organs]


def _spine(z_range: tuple[float, float], half_depth: float) -> list[Thing]:
    """Vertebrae from level to level: body with cortex and end plates, disc, arch, canal, processes."""
    things = [Thing(Column((0, 18, 0), (19.0, 14.0)), DISC_HU)]
    canal, tip = 42.0, half_depth - SKIN_MM - FAT_MM - 8.0
    period = VERTEBRA_MM + DISC_MM
    first, last = math.floor(z_range[0] / period) - 1, math.ceil(z_range[1] / period) + 1
    for z in (level * period for level in range(first, last + 1)):
        half = VERTEBRA_MM / 2
        wings = [Rod((side * 10, canal - 2, z + 3), (side * 32, canal + 2, z + 4), 4.0) for side in (-1, 1)]
        spinous = Rod((0, canal + 9, z), (0, tip, z - 8), 4.5)
        things += [
            Thing(Column((0, 18, z), (21.0, 15.5), half), CORTEX_HU),
            Thing(Column((0, 18, z), (19.3, 13.8), half - 1.5), TRABECULAR_HU),
            Thing(Column((0, canal, z), (14.0, 12.5), half - 4), CORTEX_HU),
            *(Thing(wing, CORTEX_HU) for wing in wings),
            Thing(spinous, CORTEX_HU),
            *(Thing(Rod(wing.start, wing.end, wing.radius - 1.3), TRABECULAR_HU) for wing in wings),
            Thing(Rod(spinous.start, spinous.end, spinous.radius - 1.5), TRABECULAR_HU),
        ]
    return [*things, Thing(Column((0, canal, 0), (10.0, 8.0)), CANAL_HU)]


def _ribs(z_range: tuple[float, float], a: float, b: float) -> list[Thing]:
    """Ribs on an ellipse of semi-axes `a`, `b`, from beside the spine to the front, 55 mm lower there."""
    angles = np.radians(np.linspace(28.0, 150.0, 16))
    fall = 55.0 * (angles - angles[0]) / (angles[-1] - angles[0])
    things, inside = [], []
    first = math.floor(z_range[0] / RIB_STEP_MM) - 1
    last = math.ceil((z_range[1] + fall[-1]) / RIB_STEP_MM) + 1
    for level, side in ((level, side) for level in range(first, last + 1) for side in (-1, 1)):
        x, y, z = side * a * np.sin(angles), b * np.cos(angles), level * RIB_STEP_MM + 3 - fall
        course: list[Vector] = list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True))
        things.append(Thing(path(course, RIB_MM), CORTEX_HU))
        inside.append(Thing(path(course, RIB_MM - RIB_CORTEX_MM), TRABECULAR_HU / 2))
    return things + inside
