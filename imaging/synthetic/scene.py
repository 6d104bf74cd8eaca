"""What a B-mode phantom holds: the probe, and targets in the coordinates of its beams."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLAT = ("interface", "plate", "lumen")
"""Kinds of targets that end upright; the others are ellipses."""


@dataclass(frozen=True)
class Probe:
    """Where scan lines run.

    Parameters
    ----------
    kind : "linear", "curved" or "phased"
    depth_mm : float
        From the probe's face to the last echo.
    width_mm : float
        Of the field of view at the face of the probe: a chord for linear, an arc for the others.
    radius_mm : float
        Of the face of a curved probe; for a phased one the distance of the first echo from the apex, a few mm.
    """

    kind: Literal["linear", "curved", "phased"] = "linear"
    depth_mm: float = 40.0
    width_mm: float = 38.0
    radius_mm: float = 60.0

    @property
    def half_angle(self) -> float:
        """Half of the opening of a curved or phased probe, radians."""
        return self.width_mm / self.radius_mm / 2

    @property
    def focus_width_mm(self) -> float:
        """Width of the field of view where `Scanner.lateral_mm` holds: at the face, at half depth if phased."""
        if self.kind != "phased":
            return self.width_mm
        return self.width_mm * (self.radius_mm + self.depth_mm / 2) / self.radius_mm

    def lateral_mm(self, line: Array, depth: Array) -> Array:
        """Distance from the middle line, mm along the front, of a line (-1 to 1) at a depth."""
        if self.kind == "linear":
            return line * self.width_mm / 2 + 0 * depth
        return line * self.half_angle * (self.radius_mm + depth)


@dataclass(frozen=True)
class Target:
    """An ellipse in beam coordinates.

    Parameters
    ----------
    lateral_mm, depth_mm : float
        Centre: distance from the middle line along the front, and from the face of the probe.
    width_mm, height_mm : float
        Whole extents across and along the beam.
    echo_db : float
        Scattering over that of the tissue around.
    coherent_db : float
        Strength of a smooth reflecting surface over the mean of the tissue's speckle; none below -90.
    behind_db : float
        What the beam gains (an enhancement) or loses (a shadow, negative) in passing.
    sag_mm : float
        The middle lies deeper than the ends by this much (a bent line; negative for an arch).
    kind : str
        "calcification", "plate" (one with upright ends, whose width is beyond doubt), "cyst", "lumen" (a vessel along
        the image), "interface", "lesion".
    """

    lateral_mm: float
    depth_mm: float
    width_mm: float
    height_mm: float
    echo_db: float = 0.0
    coherent_db: float = -99.0
    behind_db: float = 0.0
    sag_mm: float = 0.0
    kind: str = "lesion"


def calcification(
    lateral_mm: float,
    depth_mm: float,
    width_mm: float,
    shadow_db: float,
    *,
    height_mm: float = 0.0,
    echo_db: float = 20.0,
) -> Target:
    """A bright focus that takes `shadow_db` from the beam; a third as high as wide by default, 0.6 mm at least."""
    height = height_mm or max(0.6, width_mm / 3)
    return Target(lateral_mm, depth_mm, width_mm, height, echo_db, echo_db, -shadow_db, 0.0, "calcification")


def cyst(lateral_mm: float, depth_mm: float, diameter_mm: float, enhancement_db: float = 6.0) -> Target:
    """A ball of fluid with enhancement behind it."""
    return Target(lateral_mm, depth_mm, diameter_mm, diameter_mm, -40.0, -99.0, enhancement_db, 0.0, "cyst")


def vessel(
    lateral_mm: float,
    depth_mm: float,
    diameter_mm: float,
    *,
    length_mm: float = 0.0,
    gain_db_per_mm: float = 0.7,
    wall_db: float = 16.0,
) -> list[Target]:
    """A vessel, cut across, or along if it has a length: the lumen, its near and its far wall.

    Blood takes less from the beam than the tissue that gain compensation reckons with: behind the lumen everything is
    brighter by `gain_db_per_mm` (10 MHz: 2 ways x 1 cm x (0.5 - 0.15) dB/cm/MHz x 10 MHz = 7 dB/cm; ICRU Report 61)
    times the way through it.
    """
    gain = gain_db_per_mm * diameter_mm
    shape = (length_mm or diameter_mm, diameter_mm, -40.0, -99.0, gain, 0.0)
    lumen = Target(lateral_mm, depth_mm, *shape, "lumen" if length_mm else "cyst")
    width = length_mm or 0.7 * diameter_mm
    radius = diameter_mm / 2
    sag = 0.0 if length_mm else radius - float(np.sqrt(radius**2 - (width / 2) ** 2))
    # The walls follow the lumen: an arc lies as far from its middle line as the circle does half way along it.
    walls = [
        interface(lateral_mm, depth_mm + side * (radius - sag / 2), width, wall_db, side * sag) for side in (-1, 1)
    ]
    return [lumen, *walls]


def interface(
    lateral_mm: float, depth_mm: float, width_mm: float, echo_db: float = 16.0, sag_mm: float = 0.0
) -> Target:
    """A thin reflecting line, without anything taken from the beam."""
    return Target(lateral_mm, depth_mm, width_mm, 0.4, 0.0, echo_db, 0.0, sag_mm, "interface")


@dataclass(frozen=True)
class Motion:
    """How a cine moves: lateral and depth shift, mm, per frame."""

    lateral_mm: float = 0.0
    depth_mm: float = 0.0
    still: tuple[str, ...] = field(default_factory=tuple)

    def at(self, target: Target, frame: int) -> Target:
        """The target in a frame."""
        if target.kind in self.still:
            return target
        return replace(
            target,
            lateral_mm=target.lateral_mm + self.lateral_mm * frame,
            depth_mm=target.depth_mm + self.depth_mm * frame,
        )
