"""Groups of findings: fragments of one thing, clusters, and how findings are distributed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .components import Components
from .detection import Detection
from .features import FEATURES
from .foci import Foci
from .halfmax import halfmax_level, halfmax_mask
from .inside import look_inside
from .linking import Links, find_links
from .mesh import Packed
from .separate import Candidates

Ints = NDArray[np.int64]

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

FRAGMENT_MM = 3.0
"""Fragments of one shell lie this near to each other, or one within the box of another (clinical.md section 1.1)."""
UNION = (
    "shell_fit_residual", "shell_radius_mm", "shell_coverage", "shell_thickness_mm", "inner_occupancy", "shell_offset",
    "ring_arc_deg", "layers", "layered_share", "elongation", "flatness", "solidity", "max_diameter_mm",
)  # fmt: skip
"""Features measured on the union of fragments."""
GROUP_UNION = (
    "volume_halfmax_mm3", "max_diameter_mm", "solidity", "shell_fit_residual", "shell_coverage", "shell_thickness_mm",
    "inner_occupancy",
)  # fmt: skip
"""Features measured on the union of a group."""
LINE_ELONGATION, LINE_LENGTH_MM = 0.35, 5.0
"""A finding of at most this elongation and at least this length is a line that may have a parallel partner."""
CURVED_MM, CURVED_STROKE_MM, CURVED_SOLIDITY = (1.0, 6.0), 2.8, 0.62
"""Curvature radius, and largest stroke and solidity of a fragment of a ring or arc (clinical.md section 1.4)."""

LINK_COLUMNS: dict[str, tuple[str, str, str]] = {
    "fragment_count": ("Int64", "", "findings within 3 mm of each other that may be fragments of one; 1: alone"),
    "parallel_distance_mm": ("float64", "mm", "to the axis of the best parallel line in reach, across the lines"),
    "parallel_angle_deg": ("float64", "deg", "angle with that line"),
    "parallel_overlap": ("float64", "1", "share of the shorter of both lines that runs beside the other"),
    "curved_share": ("float64", "1", "share of the findings of the group that are thin and bent at 1 to 6 mm radius"),
    **{
        f"union_{name}": (
            "float64",
            FEATURES[name].unit,
            f"of the union with its fragments: {FEATURES[name].definition}",
        )
        for name in UNION
    },
}
"""Columns of findings that tell how they lie to each other: dtype, unit, definition."""

GROUP_COLUMNS: dict[str, tuple[str, str, str]] = {
    "group_id": ("Int64", "", "number of the group within the scan"),
    "group_size": ("Int64", "", "findings in the group"),
    "centroid_x_mm": ("float64", "mm", "mean of all voxel centres of the detection masks, patient LPS x"),
    "centroid_y_mm": ("float64", "mm", "the same, y"),
    "centroid_z_mm": ("float64", "mm", "the same, z"),
    "n_voxels": ("Int64", "", "voxels of the detection masks together"),
    "volume_mm3": ("float64", "mm3", "their volume"),
    "extent_mm": ("float64", "mm", "diagonal of the box round the voxel centres, in the axes of the scan"),
    **{
        name: ("float64", FEATURES[name].unit, f"of the union of the half-maximum masks: {FEATURES[name].definition}")
        for name in GROUP_UNION
    },
    "intensity_mean": ("float64", "HU", "mean of the detection masks together"),
    "intensity_max": ("float64", "HU", "their largest value"),
    "intensity_unit": ("string", "", "unit of both: HU, or grey for ultrasound"),
    "distribution": ("string", "", "as in findings"),
    "pattern": ("string", "", "the pattern of all its findings, where they have the same; a group-level one has"),
    "pattern_reason": ("string", "", "that of its largest finding"),
}
"""Columns of the table of groups: dtype, unit, definition."""


def group(findings: pd.DataFrame, detection: Detection) -> pd.DataFrame:
    """Link findings into groups and into fragments of one thing, and measure what only several show together.

    Parameters
    ----------
    findings : DataFrame
        From `imaging.measure`, one row per component of `detection`, in its order.

    Returns
    -------
    DataFrame
        With ``group_id``, ``group_size``, ``nearest_neighbour_mm`` (to the nearest other finding, surface to surface;
        missing where there is none), ``distribution``, and `LINK_COLUMNS`; those of a union stand on each member.
    """
    links = find_links(detection, LINK_MM)
    label = links.sets(np.ones(len(links.first), bool))
    values: dict[str, Any] = {
        "group_id": label + 1,
        "group_size": np.bincount(label, minlength=1)[label],
        "nearest_neighbour_mm": links.nearest,
        "distribution": distribution(
            findings[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy(float), label
        ),
        **_fragments(findings, detection, links),
        **_parallel(findings, detection, links),
        "curved_share": _curved_share(findings, label),
    }
    dtypes = {"group_id": "Int64", "group_size": "Int64", "nearest_neighbour_mm": "float64", "distribution": "string"}
    dtypes |= {name: dtype for name, (dtype, _, _) in LINK_COLUMNS.items()}
    made = {name: pd.Series(values[name], dtype=dtype, index=findings.index) for name, dtype in dtypes.items()}
    return findings.assign(**made)


def summarize_groups(findings: pd.DataFrame, detection: Detection) -> pd.DataFrame:
    """One row per group, measured on the union of its masks. Columns: `GROUP_COLUMNS`."""
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
        pattern, reason = shared_pattern(findings, label)
        columns = {
            "group_id": np.arange(1, n + 1),
            "group_size": np.bincount(label, minlength=n),
            "centroid_x_mm": world[:, 0],
            "centroid_y_mm": world[:, 1],
            "centroid_z_mm": world[:, 2],
            "n_voxels": voxels,
            "volume_mm3": voxels * detection.volume.voxel_volume_mm3,
            "extent_mm": np.linalg.norm((high - low) * detection.volume.spacing, axis=1),
            "intensity_mean": np.bincount(label, parts.n_voxels * findings["intensity_mean"].to_numpy(float), n)
            / voxels,
            "intensity_max": findings["intensity_max"].groupby(label).max().to_numpy(),
            "intensity_unit": findings["intensity_unit"].to_numpy()[first],
            **_union_of_groups(findings, detection, label),
            "distribution": findings["distribution"].to_numpy()[first],
            "pattern": pattern,
            "pattern_reason": reason,
        }
    return pd.DataFrame({name: pd.Series(columns[name], dtype=GROUP_COLUMNS[name][0]) for name in GROUP_COLUMNS})


def shared_pattern(findings: pd.DataFrame, label: Ints) -> tuple[list[Any], list[Any]]:
    """Pattern and reason of each group whose findings all have the same; None for the others."""
    n = int(label.max()) + 1
    if "pattern" not in findings:
        return [None] * n, [None] * n
    table = findings[["pattern", "pattern_reason", "n_voxels"]].assign(group=label)
    largest = table.sort_values("n_voxels", kind="stable").groupby("group").tail(1).set_index("group").sort_index()
    kinds = table.groupby("group")["pattern"]
    one = kinds.first() == kinds.max()
    one &= kinds.min() == kinds.max()
    return largest["pattern"].where(one, None).tolist(), largest["pattern_reason"].where(one, None).tolist()


def _fragments(findings: pd.DataFrame, detection: Detection, links: Links) -> dict[str, Any]:
    """Number of fragments, and features of their union on each; NaN for a finding alone."""
    box = detection.components.box
    i, j = links.first, links.second
    holds = [((box[a, :, 0] <= box[b, :, 0]) & (box[a, :, 1] >= box[b, :, 1])).all(axis=1) for a, b in ((i, j), (j, i))]
    label = links.sets((links.distance <= FRAGMENT_MM) | holds[0] | holds[1])
    count = np.bincount(label, minlength=1)[label]
    several = np.flatnonzero(count > 1)
    values: dict[str, Any] = {"fragment_count": count}
    values |= {f"union_{name}": np.full(len(findings), np.nan) for name in UNION}
    if len(several):
        _, own = np.unique(label[several], return_inverse=True)
        for name, measured in _measure_unions(findings, detection, own, several, UNION).items():
            values[f"union_{name}"][several] = measured[own]
    return values


def _union_of_groups(findings: pd.DataFrame, detection: Detection, label: Ints) -> dict[str, Any]:
    """`GROUP_UNION` of each group; a finding alone is its own union."""
    first = np.unique(label, return_index=True)[1]
    values = {name: findings[name].to_numpy(dtype=float)[first] for name in GROUP_UNION}
    members = np.flatnonzero(np.bincount(label)[label] > 1)
    if len(members):
        which, own = np.unique(label[members], return_inverse=True)
        for name, measured in _measure_unions(findings, detection, own, members, GROUP_UNION).items():
            values[name][which] = measured
    return values


def _measure_unions(
    findings: pd.DataFrame, detection: Detection, label: Ints, members: Ints, names: tuple[str, ...]
) -> dict[str, Any]:
    """Features of the unions of the half-maximum masks of `members`, one value for each number in `label`."""
    parts = detection.components.take(members)
    if not detection.given:
        background = [findings[c].to_numpy(float)[members] for c in ("background_mean", "background_sd")]
        mean, sd = background
        plateau = look_inside(detection.volume, Packed(parts), (mean, sd)).plateau
        found = detection.found.take(members)
        level = halfmax_level(parts, parts.values(detection.volume.array), mean, sd, plateau, found.apart_above)
        parts = halfmax_mask(detection.volume, parts, level, found.level)[0]
    owner = label[parts.component]
    order = np.lexsort((parts.voxels, owner))
    union = Components.from_sets(parts.voxels[order], owner[order], int(label.max()) + 1, parts.shape)
    foci = Foci(replace(detection, found=Candidates.plain(union), thresholds=None))
    return {name: FEATURES[name].compute(foci).astype(float) for name in names}


def _parallel(findings: pd.DataFrame, detection: Detection, links: Links) -> dict[str, Any]:
    """The line beside each line that runs along most of it: distance across, angle, overlap; NaN without one."""
    n = len(findings)
    out = np.full((3, n), np.nan)
    round_ = findings["elongation"].to_numpy(dtype=float)
    length = findings["max_diameter_mm"].to_numpy(dtype=float)
    line = ~(round_ > LINE_ELONGATION) & (length >= LINE_LENGTH_MM)  # voxels in a row have no elongation
    both = line[links.first] & line[links.second] if n else np.zeros(0, bool)
    if both.any():
        parts, matrix = detection.components, detection.volume.affine[:3, :3]
        axis = np.linalg.eigh(matrix @ parts.covariance @ matrix.T)[1][:, :, 2]
        middle = detection.volume.to_world(parts.centroid)
        i, j = (
            np.concatenate(p)
            for p in ((links.first[both], links.second[both]), (links.second[both], links.first[both]))
        )
        cosine = (axis[i] * axis[j]).sum(axis=1)
        along = axis[i] + np.sign(cosine)[:, None] * axis[j]
        along /= np.linalg.norm(along, axis=1)[:, None]
        step = middle[j] - middle[i]
        shift = np.abs((step * along).sum(axis=1))
        across = np.sqrt(np.maximum((step**2).sum(axis=1) - shift**2, 0))
        beside = np.minimum(length[i], length[j])
        overlap = np.clip(((length[i] + length[j]) / 2 - shift) / beside, 0, 1)
        angle = np.degrees(np.arccos(np.clip(np.abs(cosine), 0, 1)))
        best = np.lexsort((-angle, overlap, i))
        last = np.append(np.flatnonzero(np.diff(i[best])), len(best) - 1)
        out[:, i[best][last]] = np.stack((across, angle, overlap))[:, best[last]]
    return dict(zip(("parallel_distance_mm", "parallel_angle_deg", "parallel_overlap"), out, strict=True))


def _curved_share(findings: pd.DataFrame, label: Ints) -> NDArray[np.float64]:
    """Share of the findings of each group that are thin and bent, on each of them."""
    radius, stroke, solidity = (
        findings[c].to_numpy(dtype=float) for c in ("curvature_radius_mm", "stroke_mm", "solidity")
    )
    low, high = CURVED_MM
    bent = (radius >= low) & (radius <= high) & (stroke <= CURVED_STROKE_MM) & (solidity <= CURVED_SOLIDITY)
    size = np.maximum(np.bincount(label, minlength=1), 1)
    return np.asarray((np.bincount(label, bent, minlength=1) / size)[label])


def distribution(place: NDArray[np.float64], label: NDArray[np.int64]) -> list[str]:
    """solitary, grouped, linear, regional or diffuse, for each finding.

    Parameters
    ----------
    place : (n, axes) ndarray
        Centroids, mm.
    label : (n,) ndarray of int
        Group of each, from 0.
    """
    n_groups = int(label.max()) + 1 if len(label) else 0
    if len(label) >= DIFFUSE_COUNT and n_groups >= DIFFUSE_GROUPS:
        return ["diffuse"] * len(label)
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
