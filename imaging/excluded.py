"""The table of what was left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .columns import EXCLUDED, conform
from .detection import Detection


def describe_excluded(detection: Detection) -> pd.DataFrame:
    """One row per excluded candidate: reason, place, size, HU. Columns: `imaging.columns.EXCLUDED`."""
    volume, left = detection.volume, detection.excluded
    parts = left.components
    values = parts.values(volume.array)
    world = volume.to_world(parts.centroid)
    index = np.rint(parts.centroid).astype(np.int64)
    table = pd.DataFrame(
        {
            "excluded_id": np.arange(1, len(parts) + 1),
            "reason": left.reason,
            **{f"centroid_{a}_mm": world[:, k] for k, a in enumerate("xyz")},
            **{f"{a}_index": index[:, k] for k, a in enumerate(("slice", "row", "column"))},
            "n_voxels": parts.n_voxels,
            "volume_mm3": parts.n_voxels * volume.voxel_volume_mm3,
            "intensity_mean": parts.mean_and_sd(values)[0],
            "intensity_max": parts.maximum(values).astype(float),
            "box_mm": np.linalg.norm(np.diff(parts.box, axis=2)[:, :, 0] * volume.spacing, axis=1),
            "threshold_hu": left.level,
            "hu_drop": left.drop,
            "background_mean": left.background,
        }
    )
    return conform(table, EXCLUDED)
