"""A corpus of hazards: every way known to us in which a folder of images makes a loader wrong."""

from . import ct_files, ct_geometry, ct_values, ultrasound
from .corpus import CASES

__all__ = ["CASES", "ct_files", "ct_geometry", "ct_values", "ultrasound"]
