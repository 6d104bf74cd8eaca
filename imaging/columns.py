"""The data dictionary: every column of findings, excluded and groups, typed also when nothing was measured."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from .echo_groups import ECHO_GROUP_COLUMNS, NEIGHBOUR_PX
from .features import FEATURES
from .groups import GROUP_COLUMNS, LINK_COLUMNS
from .scores import BURDEN_COLUMNS, SCORE_COLUMNS
from .ultrasound.table import ECHO_COLUMNS


@dataclass(frozen=True)
class Column:
    """One column: its pandas dtype, unit ("" for text and counts), definition and source."""

    name: str
    dtype: str
    unit: str
    definition: str
    source: str


_ORDER = (
    "scan_id finding_id modality centroid_x_mm centroid_y_mm centroid_z_mm slice_index row_index column_index n_voxels "
    "volume_mm3 volume_halfmax_mm3 max_diameter_mm axial_diameter_mm axial_perpendicular_mm equivalent_diameter_mm "
    "surface_area_mm2 major_axis_mm minor_axis_mm least_axis_mm sphericity elongation flatness solidity shell_coverage "
    "shell_thickness_mm inner_occupancy intensity_mean intensity_sd intensity_min intensity_median intensity_p95 "
    "intensity_max intensity_unit edge_gradient_per_mm margin background_mean background_sd agatston "
    "agatston_definition mass_mg group_id group_size nearest_neighbour_mm organ side bone_distance_mm pattern "
    "pattern_confidence pattern_reason distribution hypothesis hypothesis_tendency flags frame depth_mm echo_width_mm "
    "shadow_width_mm shadow_auc shadow_class calibrated"
).split()
"""The columns that other programs rely on, in their order (DESIGN section 3); more follow."""

_KB = "imaging.knowledge"
_LATER = "not measured by this version: missing"
_OTHER = (
    Column("scan_id", "string", "", "series: a salted hash, the same for the same input", "calcimap"),
    Column("finding_id", "Int64", "", "finding within its scan; its value in labels.nii.gz", "calcimap"),
    Column("modality", "string", "", "CT or US", "DICOM Modality (0008,0060)"),
    *(Column(name, *rest) for name, rest in SCORE_COLUMNS.items()),
    Column("group_id", "Int64", "", "group: findings within 10 mm, surface to surface", "calcimap"),
    Column("group_size", "Int64", "", "findings in the group", "calcimap"),
    Column("nearest_neighbour_mm", "float64", "mm", "to the nearest other finding, surface to surface", "calcimap"),
    Column("pattern", "string", "", "name of the form; `calcimap patterns` lists the rules", "calcimap"),
    Column("pattern_confidence", "float64", "1", "0.5 at a bound of the rule, 1 well inside it", "calcimap"),
    Column("pattern_reason", "string", "", "the measured values that decided", "calcimap"),
    Column("distribution", "string", "", "solitary, grouped, linear, regional or diffuse", "BI-RADS terms, on CT"),
    Column("hypothesis", "string", "", "what the pattern is often described in; research use", _KB),
    Column("hypothesis_tendency", "string", "", "benign, concern, indeterminate; research use", _KB),
    Column("hypotheses_ranked", "string", "", "first three hypotheses with points; ? where a site is not known", _KB),
    Column("mechanism", "string", "", "dystrophic, metastatic, tumoral or idiopathic, of the hypothesis", _KB),
    Column("not_excluded", "string", "", "hypotheses of concern that nothing known rules out", _KB),
    Column("flags", "string", "", "quality flags, joined by ';'", "imaging.flags"),
    *(Column(*column) for column in ECHO_COLUMNS),
    Column(
        NEIGHBOUR_PX, "float64", "px", "ultrasound without calibration: to the nearest other finding, edge to edge",
        "calcimap",
    ),
)  # fmt: skip


def _findings() -> dict[str, Column]:
    known = {c.name: c for c in _OTHER}
    for f in FEATURES:
        known[f.name] = Column(f.name, f.dtype, f.unit, f.definition, f.source)
    for name, (dtype, unit, definition) in LINK_COLUMNS.items():
        known[name] = Column(name, dtype, unit, definition, "calcimap")
    return {name: known[name] for name in [*_ORDER, *(n for n in known if n not in _ORDER)]}


FINDINGS: dict[str, Column] = _findings()
"""Columns of findings: the fixed ones in their order, then every other registered one."""

EXCLUDED: dict[str, Column] = {
    c.name: c
    for c in (
        FINDINGS["scan_id"],
        Column("excluded_id", "Int64", "", "number of the candidate within its scan", "calcimap"),
        Column("reason", "string", "", "why it is no finding", "imaging.EXCLUSION_REASONS"),
        *(FINDINGS[f"centroid_{a}_mm"] for a in "xyz"),
        *(FINDINGS[f"{a}_index"] for a in ("slice", "row", "column")),
        FINDINGS["n_voxels"],
        FINDINGS["volume_mm3"],
        FINDINGS["intensity_mean"],
        FINDINGS["intensity_max"],
        Column("box_mm", "float64", "mm", "diagonal of the box round the voxels, in the axes of the scan", "calcimap"),
        FINDINGS["threshold_hu"],
        FINDINGS["hu_drop"],
        FINDINGS["background_mean"],
    )
}
"""Columns of excluded."""

GROUPS: dict[str, Column] = {"scan_id": FINDINGS["scan_id"]} | {
    name: Column(name, dtype, unit, definition, "calcimap")
    for name, (dtype, unit, definition) in (GROUP_COLUMNS | ECHO_GROUP_COLUMNS).items()
}
"""Columns of groups."""

HYPOTHESES: dict[str, Column] = {
    c.name: c
    for c in (
        FINDINGS["scan_id"],
        FINDINGS["finding_id"],
        Column("rank", "Int64", "", "1 is the hypothesis of the finding", _KB),
        Column("hypothesis", "string", "", "what the pattern is more often described in; research use", _KB),
        Column("tendency", "string", "", "benign, concern, indeterminate; research use", _KB),
        Column("mechanism", "string", "", "dystrophic, metastatic, tumoral or idiopathic; missing where none", _KB),
        Column("score", "float64", "1", "points for less points against; probability for a trained model", _KB),
        Column("score_attainable", "float64", "1", "points if everything spoke for it", _KB),
        Column("conditional", "boolean", "", "depends on something that is not known", _KB),
        Column("cues_fired", "string", "", "what speaks for it, joined by '; '", _KB),
        Column("cues_against", "string", "", "what speaks against it", _KB),
        Column("cues_missing", "string", "", "measures that are missing", _KB),
        Column("context_missing", "string", "", "what --context could tell", _KB),
        Column("not_excluded", "string", "", "other hypotheses of concern that nothing known rules out", _KB),
        Column(
            "evidence_grade", "string", "", "A guideline or large series, B small series or review, C textbook", _KB
        ),
        Column("note", "string", "", "what a reader should know", _KB),
        Column("source", "string", "", "where the entry comes from", _KB),
        Column("statement", "string", "", "all of it in a sentence, with the line on research use", _KB),
        Column("classifier", "string", "", "the knowledge base and its version, or a trained model", "calcimap"),
    )
}
"""Columns of the long table of hypotheses."""


BURDEN: dict[str, Column] = {"scan_id": FINDINGS["scan_id"]} | {
    name: Column(name, dtype, unit, definition, "calcimap")
    for name, (dtype, unit, definition) in BURDEN_COLUMNS.items()
}
"""Columns of burden."""


def conform(table: pd.DataFrame, columns: dict[str, Column]) -> pd.DataFrame:
    """`table` with exactly these columns, in this order and these types; what is not there is missing."""
    made = {
        c.name: table[c.name].astype(c.dtype) if c.name in table else pd.Series(index=table.index, dtype=c.dtype)  # type: ignore[call-overload]  # dtype is a name
        for c in columns.values()
    }
    return pd.DataFrame(made, index=table.index)
