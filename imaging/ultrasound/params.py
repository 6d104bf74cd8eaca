"""Everything numeric that decides on ultrasound, in one table."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import UsageError


@dataclass(frozen=True)
class UltrasoundParams:
    """How echogenic foci are found on B-mode images. Lengths in mm; in an uncalibrated image a share of its depth."""

    peak_z: float = 1.8
    """Robust standard deviations over the surroundings at equal depth that a focus with a shadow reaches."""
    bright_z: float = 6.0
    """The same for a focus without: what is only a little brighter and casts no shadow is texture."""
    min_width_mm: float = 0.5
    """Lateral width that a focus has at least."""
    max_width_mm: float = 60.0
    """Wider echoes are no foci: the face of the probe, an organ."""
    shadow_from_mm: float = 1.0
    """Behind the deepest echo of a focus, where the shadow is looked at first."""
    shadow_to_mm: float = 25.0
    """Where it is looked at last."""
    near_field_mm: float = 2.0
    """Echoes closer to the probe are its own."""
    weak_auc: float = 0.65
    """Rank contrast from which a shadow is weak,"""
    present_auc: float = 0.80
    """present,"""
    strong_auc: float = 0.95
    """strong (clinical.md 4.3)."""
    present_ratio: float = 0.75
    """Brightness behind over brightness beside, above black, up to which a shadow is present,"""
    strong_ratio: float = 0.40
    """strong."""
    shadow_length_mm: float = 5.0
    """Over at least this length behind the focus."""
    track_mm: float = 2.0
    """Distance by which a focus may move from frame to frame after the motion of the image was taken out."""
    track_gap: int = 2
    """Frames in which a focus may be missed."""
    persistence: float = 0.6
    """Share of the frames from its first to its last in which a focus must be seen, and in three at least."""
    confidence_map: bool = False
    """Also compute the confidence map (Karamalis et al. 2012) and its ratio behind each focus: seconds a frame."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{field.name} must be a number of at least 0, got {value!r}")
        if not self.weak_auc <= self.present_auc <= self.strong_auc <= 1:
            raise UsageError("weak_auc, present_auc and strong_auc must rise and stay below 1")
        if self.shadow_from_mm >= self.shadow_to_mm:
            raise UsageError("shadow_from_mm must be smaller than shadow_to_mm")
