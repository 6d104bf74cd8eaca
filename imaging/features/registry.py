"""A feature is one documented function with a unit and a source; registering it makes the column.

The data dictionary, the command line's listing, the documentation and the report follow from the registration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .._registry import Registry
from ..foci import Foci

Compute = Callable[[Foci], NDArray[Any]]


@dataclass(frozen=True)
class Feature:
    """One column of the findings table.

    Parameters
    ----------
    name : str
        Column name; the unit is its ending.
    unit : str
        "mm", "mm2", "mm3", "HU", "HU/mm", "1" for ratios, "" for text and counts.
    dtype : str
        pandas dtype: "float64", "Int64" or "string".
    definition : str
        The docstring of the function, first paragraph.
    source : str
        Paper, IBSI code, or section of the standard.
    compute : callable
        `Foci` to an array of one value per finding.
    """

    name: str
    unit: str
    dtype: str
    definition: str
    source: str
    compute: Compute


FEATURES: Registry[Feature] = Registry("feature")


def feature(name: str, *, unit: str, source: str, dtype: str = "float64") -> Callable[[Compute], Compute]:
    """Register a function as a feature.

    Raises
    ------
    TypeError
        The function has no docstring: no feature without a definition.
    ValueError
        The name is taken.
    """

    def register(compute: Compute) -> Compute:
        if not compute.__doc__:
            raise TypeError(f"feature {name!r} needs a docstring: its definition")
        definition = " ".join(compute.__doc__.split("\n\n")[0].split())
        FEATURES.add(name, Feature(name, unit, dtype, definition, source, compute))
        return compute

    return register
