"""What can be set about calcium scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .._registry import nearest
from ..errors import UsageError
from .definitions import SCORES


@dataclass(frozen=True)
class ScoreParams:
    """How calcium scores are computed."""

    definition: str = "literature"
    """Name of a definition; `calcimap scores` lists them."""
    kvp: float | None = None
    """Tube voltage, kV, where the header does not tell it or is wrong."""
    hu_limits: tuple[float, ...] = ()
    """Four ascending HU for weights 1 to 4 in place of the definition's: for voltages without published limits."""
    on_enhanced: Literal["refuse", "score"] = "refuse"
    """Contrast-enhanced scans: leave the scores missing, or compute them all the same, flagged."""
    mass_factor_mg_per_cm3_per_hu: float | None = None
    """Calibration: density of hydroxyapatite per HU; without one there is no mass."""

    def __post_init__(self) -> None:
        if self.definition not in SCORES:
            known = nearest(self.definition, list(SCORES.names))
            raise UsageError(f"unknown score definition {self.definition!r}: {known}")
        if self.on_enhanced not in ("refuse", "score"):
            raise UsageError(f"scores.on_enhanced must be refuse or score, got {self.on_enhanced!r}")
        for name in ("kvp", "mass_factor_mg_per_cm3_per_hu"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise UsageError(f"scores.{name} must be a positive number, got {value!r}")
        if self.hu_limits:
            ascending = all(np.isfinite(self.hu_limits)) and (np.diff(self.hu_limits) > 0).all()
            if len(self.hu_limits) != 4 or not ascending:
                raise UsageError(f"scores.hu_limits takes four ascending HU, got {list(self.hu_limits)}")
