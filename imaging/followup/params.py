"""Every number that decides in follow-up: registration, matching, change."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What a change must exceed to be more than two scans of the same thing differ by.

    The defaults are the literature's: 95 % limits of repeated electron-beam scans for small volumes (3.445 sqrt(V)), 25
    % for large ones (BTS, NELSON), 2 mm of diameter (Fleischner). `calcimap repeatability` measures them on a scan.

    Parameters
    ----------
    volume_sqrt : float
        mm^1.5: coefficient of the square root of the baseline volume.
    volume_relative : float
        Share of the baseline volume; the larger of both holds.
    diameter_mm : float
        Change of the longest diameter; never below the largest spacing of the two scans.
    integrated_relative : float
        Change of integrated HU (HU above background, summed): stands in for the diameter.
    source : str
        Where they come from.
    n : int
        Repeats that they were estimated from; 0 for the literature's.
    """

    volume_sqrt: float = 3.445
    volume_relative: float = 0.25
    diameter_mm: float = 2.0
    integrated_relative: float = 0.25
    source: str = "literature (clinical.md 6.2)"
    n: int = 0

    def __post_init__(self) -> None:
        for name in ("volume_sqrt", "volume_relative", "diameter_mm", "integrated_relative"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"limit {name} must be a number of at least 0, got {value!r}")


@dataclass(frozen=True)
class FollowupParams:
    """How scans are registered and findings matched.

    Sources: clinical.md 6.1 for gate and cost; measured on phantoms and on real scans of different patients
    (docs/followup.md) for the registration.
    """

    step_mm: float = 4.0
    """Grid that registration works on."""
    agreement: float = 0.8
    """Local correlation from which a place agrees."""
    agreeing_share: float = 0.4
    """Least share of structure that agrees after rigid registration; below it the scans are not of one patient."""
    least_extent_mm: float = 20.0
    """Scans thinner than this along any axis are not registered, only compared in one frame of reference."""
    deform: bool = True
    """Whether soft tissue may deform, for finding partners only: sizes are measured on the scans as they are."""
    gate_mm: float = 10.0
    """Partners lie within this distance,"""
    gate_diameter: float = 0.75
    """or this share of the longest diameter, whichever is larger;"""
    gate_bone_mm: float = 5.0
    """within this one where both touch bone (up to 2 mm from it)."""
    weight_volume: float = 0.5
    weight_intensity: float = 0.3
    weight_pattern: float = 1.0
    weight_overlap: float = 0.5
    """Weights of |ln(V1/V0)|, |ln(HU1/HU0)|, another pattern, and 1 - overlap, beside distance / gate."""
    unmatched: float = 1.2
    """What it costs to leave a finding without partner."""
    dilation_mm: float = 3.0
    """Masks are dilated by this much before their overlap is taken."""
    part_share: float = 0.5
    """Share of a finding within the dilated mask of another one from which it may be a part of it."""
    certain_new_mm3: float = 9.5
    """A finding without partner is new above this volume,"""
    certain_voxels: int = 8
    """or where it would fill this many voxels of the baseline."""
    certain_resolved_mm3: float = 10.0
    """A finding of the baseline without partner is resolved from this volume on."""
    certain_sd: float = 2.0
    """Standard deviations of the noise, of both scans together, by which a finding alone must clear the peak that the
    other scan asks for: 95 % of repeats."""
    annual_from_days: int = 90
    """Shortest interval from which a rate per year is given."""

    def __post_init__(self) -> None:
        for name in ("step_mm", "gate_mm", "gate_bone_mm", "dilation_mm", "unmatched"):
            if not getattr(self, name) > 0:
                raise UsageError(f"followup.{name} must be above 0, got {getattr(self, name)!r}")
        if not (math.isfinite(self.certain_sd) and self.certain_sd >= 0):
            raise UsageError(f"followup.certain_sd must be at least 0, got {self.certain_sd!r}")
        for name in ("agreement", "agreeing_share", "part_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"followup.{name} must lie between 0 and 1, got {getattr(self, name)!r}")
