"""Groups of findings: fragments of one thing, clusters, and how findings are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .components import Components
from .detection import Detection
from .mesh import Packed

LINK_MM = 10.0
"""Findings closer than this, surface to surface, belong to one group (clinical.md section 1.1)."""
GROUPED_COUNT = 5
GROUPED_EXTENT_MM = 20.0
"""At least 5 findings within 20 mm are grouped, over a larger extent regional (BI-RADS 5th ed., transferred to CT)."""
LINE_RATIO = 0.2
"""Second over first principal extent of the centroids up to which a group of at least 3 lies on a line."""
DIFFUSE_GROUPS = 3
DIFFUSE_COUNT = 20
"""Many findings in several groups over one scan are diffuse."""

GROUP_COLUMNS: dict[str, tuple[str, str, str]] = {
    "group_id": ("Int64", "", "number of the group within the scan"),
    "group_size": ("Int64", "", "findings in the group"),
    "centroid_x_mm": ("float64", "mm", "mean of all voxel centres of the detection masks, patient LPS x"),
    "centroid_y_mm": ("float64", "mm", "the same, y"),
    "centroid_z_mm": ("float64", "mm", "the same, z"),
    "n_voxels": ("Int64", "", "voxels of the detection masks together"),
    "volume_mm3": ("float64", "mm3", "their volume"),
    "extent_mm": ("float64", "mm", "diagonal of the box round the voxel centres, in the axes of the scan"),
    "distribution": ("string", "", "as in findings"),
    "pattern": ("string", "", "group-level pattern, where one was named"),
}
"""Columns of the table of groups: dtype, unit, definition."""


def group(findings: pd.DataFrame, detection: Detection) -> pd.DataFrame:
    """Link findings into groups.

    Parameters
    ----------
    findings : DataFrame
        From `imaging.measure`, one row per component of `detection`, in its order.

    Returns
    -------
    DataFrame
        With ``group_id``, ``group_size``, ``nearest_neighbour_mm`` (to the nearest other finding, surface to surface;
        missing where there is none), ``distribution``.
    """
    n = len(findings)
    nearest, label = _link(detection)
    size = np.bincount(label, minlength=1)[label] if n else label
    table = findings.copy()
    table["group_id"] = pd.Series(label + 1, dtype="Int64", index=table.index)
    table["group_size"] = pd.Series(size, dtype="Int64", index=table.index)
    table["nearest_neighbour_mm"] = pd.Series(nearest, dtype="float64", index=table.index)
    table["distribution"] = pd.Series(_distribution(findings, label), dtype="string", index=table.index)
    return table


def summarize_groups(findings: pd.DataFrame, detection: Detection) -> pd.DataFrame:
    """One row per group, measured on the union of its detection masks. Columns: `GROUP_COLUMNS`."""
    parts = detection.components
    label = findings["group_id"].to_numpy(dtype=np.int64, na_value=0) - 1
    n = int(label.max()) + 1 if len(label) else 0
    columns: dict[str, Any] = {name: [] for name in GROUP_COLUMNS}
    if n:
        voxels = np.bincount(label, parts.n_voxels, n)
        centre = np.stack([np.bincount(label, parts.n_voxels * c, n) / voxels for c in parts.centroid.T], axis=1)
        low = np.full((n, 3), np.inf)
        high = np.zeros((n, 3))
        np.minimum.at(low, label, parts.box[:, :, 0])
        np.maximum.at(high, label, parts.box[:, :, 1] - 1)
        world = detection.volume.to_world(centre)
        first = np.unique(label, return_index=True)[1]
        columns = {
            "group_id": np.arange(1, n + 1),
            "group_size": np.bincount(label, minlength=n),
            "centroid_x_mm": world[:, 0],
            "centroid_y_mm": world[:, 1],
            "centroid_z_mm": world[:, 2],
            "n_voxels": voxels,
            "volume_mm3": voxels * detection.volume.voxel_volume_mm3,
            "extent_mm": np.linalg.norm((high - low) * detection.volume.spacing, axis=1),
            "distribution": findings["distribution"].to_numpy()[first],
            "pattern": [None] * n,
        }
    return pd.DataFrame({name: pd.Series(columns[name], dtype=GROUP_COLUMNS[name][0]) for name in GROUP_COLUMNS})


def _link(detection: Detection) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest other finding, mm, and group number from 0 in order of first finding."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    parts = detection.components
    n = len(parts)
    nearest = np.full(n, np.nan)
    if n < 2:
        return nearest, np.zeros(n, np.int64)
    points, owner = _surface_points(detection, parts)
    ends = np.cumsum(np.bincount(owner, minlength=n))
    pairs = []
    tree = cKDTree(points)
    for k in range(n):  # findings only: each asks once for the nearest voxel of the others, and who is within reach
        own = slice(ends[k - 1] if k else 0, ends[k])
        near = np.unique(np.concatenate([np.asarray(q, np.int64) for q in tree.query_ball_point(points[own], LINK_MM)]))
        others = np.unique(owner[near])
        pairs.append(np.stack((np.full(len(others), k), others)))
        rest = np.concatenate((points[: own.start], points[own.stop :]))
        nearest[k] = cKDTree(points[own]).query(rest)[0].min()
    edges = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(n, n))
    label = connected_components(graph.tocsr(), directed=False)[1]
    first = np.unique(label, return_index=True)[1]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return nearest, rank[label]


def _surface_points(detection: Detection, parts: Components) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Surface voxels of all findings in mm, and the finding of each; inner voxels are nearest to nothing."""
    surface = Packed(parts).open_sides().any(axis=1)
    return detection.volume.to_world(parts.coordinates[surface]), parts.component[surface].astype(np.int64)


def _distribution(findings: pd.DataFrame, label: NDArray[np.int64]) -> list[str]:
    """solitary, grouped, linear, regional or diffuse, for each finding."""
    n_groups = int(label.max()) + 1 if len(label) else 0
    place = findings[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy(dtype=float)
    if len(findings) >= DIFFUSE_COUNT and n_groups >= DIFFUSE_GROUPS:
        return ["diffuse"] * len(findings)
    names = []
    for g in range(n_groups):
        points = place[label == g]
        names.append(_name(points - points.mean(axis=0)))
    return [names[g] for g in label]


def _name(points: NDArray[np.float64]) -> str:
    """Distribution of one group from its centred centroids, mm."""
    n = len(points)
    if n == 1:
        return "solitary"
    spread = np.linalg.svd(points, compute_uv=False)
    if n >= 3 and spread[1] <= LINE_RATIO * spread[0]:
        return "linear"
    extent = np.linalg.norm(np.ptp(points, axis=0))
    if n >= GROUPED_COUNT and extent > GROUPED_EXTENT_MM:
        return "regional"
    return "grouped"
