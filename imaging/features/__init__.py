"""Features: one documented function each, registered by its unit and source; `measure` makes the table.

To add one, write a function from `Foci` to one value per finding in a module of this package and decorate it with
`feature`; the column, its entry in the data dictionary and the listing follow.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..detection import Detection
from ..flags import join
from ..foci import Foci
from . import anatomy, density, form, intensity, place, shape, shell, size
from .page import features_page
from .registry import FEATURES, Feature, feature

FEW_VOXELS = 8
RESOLVED = 3.0
"""Sizes below this many times the largest spacing are limited by it (clinical.md section 3.2)."""


def measure(detection: Detection) -> pd.DataFrame:
    """Measure every finding of a detection.

    Returns
    -------
    DataFrame
        One row per finding: ``finding_id``, ``modality``, every registered feature in its unit, ``flags``. Typed also
        when empty. What cannot be measured is missing, never 0.
    """
    foci = Foci(detection)
    n = len(foci)
    table: dict[str, pd.Series] = {
        "finding_id": pd.Series(detection.finding_id, dtype="Int64"),
        "modality": pd.Series([detection.volume.modality] * n, dtype="string"),
    }
    for entry in FEATURES:
        values = entry.compute(foci)
        if values.shape != (n,):
            raise ValueError(f"feature {entry.name!r} returned shape {values.shape} for {n} findings")
        table[entry.name] = pd.Series(values, dtype=entry.dtype)
    table["flags"] = pd.Series(_flags(foci), dtype="string")
    return pd.DataFrame(table)


def _flags(foci: Foci) -> list[str]:
    """Flags of every finding, joined."""
    volume, mask, shape = foci.volume, foci.mask, foci.shape
    extent = np.diff(mask.box, axis=2)[:, :, 0]
    border = ((mask.box[:, :, 0] == 0) | (mask.box[:, :, 1] == volume.shape)).any(axis=1)
    found = foci.detection.found
    codes = {
        "touches_border": border,
        "few_voxels": (mask.n_voxels < FEW_VOXELS) | (extent < 2).any(axis=1),
        "below_resolution": size.equivalent_diameter(foci) < RESOLVED * max(volume.spacing),
        "single_slice_finding": np.diff(shape.box, axis=2)[:, 0, 0] < 2,
        "no_plateau": np.isnan(foci.integrated_mm3),
        "halfmax_fallback": foci.fallback,
        "touches_bone": found.split,
        "shell_kept": found.kept == "shell_kept",
        "mass_kept": found.kept == "mass_kept",
        "kept_bone_adjacent": found.reason == "bone_adjacent",
        "kept_chest_wall": found.reason == "chest_wall",
        "kept_skin": found.reason == "skin",
        "near_metal": anatomy.near_metal(foci),
        "lobe_estimated": foci.located[2],
        "given": np.full(len(foci), foci.detection.given),
    }
    return [join(*(code for code, holds in codes.items() if holds[k])) for k in range(len(foci))]


__all__ = [
    "FEATURES",
    "Feature",
    "anatomy",
    "density",
    "feature",
    "features_page",
    "form",
    "intensity",
    "measure",
    "place",
    "shape",
    "shell",
    "size",
]
