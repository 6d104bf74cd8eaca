"""Phantoms with closed-form truth: what calcimap is tested on, and what `sample_data` is made of.

`shapes`, `tubes` and `unions` are solids with a distance and a volume, `rendering` images them as a scanner does
(partial volume, slice profile, point spread, correlated noise), `anatomy` builds a torso, a limb and a table,
`examples` draws random objects of every pattern.

>>> from imaging.synthetic import Ball, Thing, render
>>> phantom = render(40.0, [Thing(Ball((0, 0, 0), 4.0), 600.0, "one")], (20, 40, 40), (1.0, 0.7, 0.7))
>>> phantom.truth[0].volume_mm3 == Ball((0, 0, 0), 4.0).volume_mm3
True
"""

from .anatomy import enhanced_vessel, limb, table, torso
from .base import Shape
from .examples import EXAMPLES, example, helix
from .rendering import Phantom, Thing, Truth, correlated_noise, render
from .shapes import (
    Ball,
    Box,
    Column,
    CurvedSheet,
    Cylinder,
    Ellipsoid,
    Shell,
)
from .tubes import Arc, Rod, Torus
from .unions import Union, path

__all__ = [
    "EXAMPLES",
    "Arc",
    "Ball",
    "Box",
    "Column",
    "CurvedSheet",
    "Cylinder",
    "Ellipsoid",
    "Phantom",
    "Rod",
    "Shape",
    "Shell",
    "Thing",
    "Torus",
    "Truth",
    "Union",
    "correlated_noise",
    "enhanced_vessel",
    "example",
    "helix",
    "limb",
    "path",
    "render",
    "table",
    "torso",
]
