"""What decides in detection: every threshold in one table, echoed in each run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import UsageError
from .noise import Noise

KEEPABLE = ("bone_adjacent", "chest_wall", "skin")
"""Lists of `excluded` that can be made findings."""


@dataclass(frozen=True)
class DetectionParams:
    """What decides. Defaults were measured on real scans (see docs/detection.md), none was fitted to one file."""

    threshold_hu: float = 100.0
    """HU; a voxel belongs to a candidate only above it."""
    peak_hu: float = 130.0
    """HU that a component must reach somewhere, in adaptive mode."""
    threshold_mode: Literal["adaptive", "fixed"] = "adaptive"
    """adaptive raises both thresholds with the noise; fixed takes threshold_hu alone, as it is."""
    grow_sd: float = 3.0
    """adaptive: voxels exceed the soft tissue by this many noise standard deviations."""
    peak_sd: float = 5.0
    """adaptive: the peak exceeds soft tissue, and its own surroundings, by this many standard deviations."""
    connectivity: Literal[6, 18, 26] = 26
    """Neighbours of a voxel in 3-D."""
    min_voxels: int = 3
    """Smaller components are counted, not listed."""
    min_volume_mm3: float = 1.0
    """mm3; smaller components are counted, not listed."""
    separate: bool = True
    """false: threshold, components and minimum size, nothing else."""
    keep: tuple[str, ...] = ()
    """Lists of `excluded` made findings, flagged: bone_adjacent, chest_wall, skin."""
    candidate_max_mm3: float = 4000.0
    """mm3; larger components are split by rising thresholds."""
    candidate_max_extent_mm: float = 50.0
    """mm, diagonal of the box; larger components are split by rising thresholds."""
    split_hu: float = 60.0
    """HU by which a piece split off must rise above its level; less is texture of the larger structure."""
    split_sd: float = 4.0
    """The same in noise standard deviations; the larger of both holds."""
    bone_min_mm3: float = 5000.0
    """mm3 at 180 HU: a dense structure larger than this is skeleton."""
    bone_drop: float = 0.8
    """In skeleton, a candidate around which HU falls by less than this share of its contrast is bone."""
    bone_near300: float = 0.10
    """Share of voxels within 3 mm above 300 HU from which a candidate counts as a piece of bone."""
    adjacent_drop: float = 0.75
    """A candidate in skeleton around which HU falls by at least this share is listed as bone_adjacent."""
    adjacent_near300: float = 0.3
    """Share of voxels within 3 mm above 300 HU from which it is bone all the same."""
    bone_share: float = 0.30
    """Share of the body above 200 HU within about 10 mm from which a candidate counts as bone."""
    skin_mm: float = 5.0
    """mm under the skin up to which a candidate is listed as `skin`: dressings, electrodes, or calcinosis cutis."""
    soft_edge_drop: float = 0.62
    """A candidate around which HU falls by less is contrast agent or a soft edge."""
    fluid_drop: float = 0.75
    """The same for a candidate whose values spread like noise alone (contrast agent in bowel),"""
    fluid_min_mm3: float = 500.0
    """mm3; of at least this volume."""
    enhanced_peak_hu: float = 255.0
    """HU that a candidate must reach in a contrast-enhanced scan."""
    plaque_hu: float = 150.0
    """HU by which a candidate on the wall of a contrast-filled lumen exceeds the lumen."""
    plaque_sd: float = 6.0
    """The same in noise standard deviations; the larger of both holds."""
    plaque_drop: float = 0.9
    """And HU falls around it by at least this share of what it exceeds the lumen by: less is contrast of another
    concentration (renal pelvis)."""
    matched_snr: float = 5.5
    """Signal to noise after matched filtering that a faint candidate must have in a noisy scan without contrast: among
    a million independent places Gaussian noise is expected to exceed 4.75 once; the rest is for streaks."""
    faint_hu: float = 255.0
    """HU up to which a candidate is faint."""
    clear_sd: float = 7.5
    """Noise standard deviations (of the scan, or around it if more) above its surroundings from which it is not."""
    noisy_sd: float = 12.0
    """HU; a scan with more noise is noisy."""
    alone_drop: float = 0.85
    """A fainter candidate in an enhanced scan is kept where HU falls around it by at least this share,"""
    alone_sd: float = 7.5
    """its peak exceeds its surroundings by this many noise standard deviations,"""
    even_sd: float = 1.25
    """and the spread of its surroundings is at most this many: organ tissue, not fat and vessels."""
    metal_hu: float = 2500.0
    """HU from which a voxel is metal."""

    def __post_init__(self) -> None:
        if self.threshold_mode not in ("adaptive", "fixed"):
            raise UsageError(f"threshold_mode must be adaptive or fixed, got {self.threshold_mode!r}")
        if self.connectivity not in (6, 18, 26):
            raise UsageError(f"connectivity must be 6, 18 or 26, got {self.connectivity!r}")
        if self.min_voxels < 1 or self.min_volume_mm3 < 0:
            raise UsageError("min_voxels must be at least 1 and min_volume_mm3 at least 0")
        unknown = set(self.keep) - set(KEEPABLE)
        if unknown:
            raise UsageError(f"keep takes {' and '.join(KEEPABLE)}, got {', '.join(sorted(unknown))}")
        for name in ("threshold_hu", "peak_hu", "metal_hu"):
            if not np.isfinite(getattr(self, name)):
                raise UsageError(f"{name} must be a finite number of HU")


@dataclass(frozen=True)
class Thresholds:
    """The thresholds a detection used, HU, and what they were made from."""

    grow_hu: float
    peak_hu: float
    noise: Noise
