"""Columns of the tables of follow-up: changes, burden changes, timeline."""

from __future__ import annotations

from ..columns import Column

STATES: dict[str, str] = {
    "stable": "in both scans; the change is within what repeats differ by",
    "increased": "in both scans, and grown by more than that",
    "decreased": "in both scans, and shrunk by more than that",
    "new": "in the follow-up only, where the baseline would have shown it",
    "resolved": "in the baseline only, where the follow-up would have shown it",
    "not_seen": "in one scan only, and the other could not show it, or left it out",
    "split": "one finding of the baseline is several in the follow-up",
    "merged": "several findings of the baseline are one in the follow-up",
    "not_comparable": "the scans differ in a way that changes sizes; sizes are listed, no change is called",
}
"""Values of ``state``."""

_C = "calcimap"
_RULES = "clinical.md 6.2"


def _table(*columns: Column) -> dict[str, Column]:
    return {c.name: c for c in columns}


CHANGES: dict[str, Column] = _table(
    Column("baseline_finding_id", "Int64", "", "finding of the baseline; missing where there is none", _C),
    Column("followup_finding_id", "Int64", "", "finding of the follow-up; missing where there is none", _C),
    Column("state", "string", "", "what became of it: one of imaging.STATES", _RULES),
    Column("volume_before_mm3", "float64", "mm3", "detection mask in the baseline; all parts of a merged one", _C),
    Column("volume_after_mm3", "float64", "mm3", "detection mask in the follow-up; all parts of a split one", _C),
    Column("volume_change_mm3", "float64", "mm3", "after less before", _C),
    Column("volume_change_percent", "float64", "%", "after less before, of before", _C),
    Column("limit_mm3", "float64", "mm3", "what a change of volume must exceed to be called", _RULES),
    Column("diameter_change_mm", "float64", "mm", "of the longest diameter; missing for several parts", _C),
    Column("interval_days", "Int64", "d", "between the scans; missing where their dates are not known", _C),
    Column("reason", "string", "", "the limit that decided, or why nothing is called", _RULES),
    Column("match", "string", "", "matched, split, merged, new, resolved or not_seen: what belongs together", _C),
    Column("change", "string", "", "stable, increased or decreased, of split and merged ones as well", _RULES),
    Column("tracking_id", "string", "", "the same at every time; from the scan that showed it first", _C),
    Column("tracking_uid", "string", "", "the same as a DICOM UID (2.25.)", "DCM 112040"),
    Column("baseline_scan_id", "string", "", "scan of the baseline", _C),
    Column("followup_scan_id", "string", "", "scan of the follow-up", _C),
    Column("diameter_before_mm", "float64", "mm", "longest diameter in the baseline", _C),
    Column("diameter_after_mm", "float64", "mm", "longest diameter in the follow-up", _C),
    Column("diameter_limit_mm", "float64", "mm", "what a change of diameter must reach", _RULES),
    Column("integrated_before_hu_mm3", "float64", "HU mm3", "HU above background, summed, in the baseline", _C),
    Column("integrated_after_hu_mm3", "float64", "HU mm3", "HU above background, summed, in the follow-up", _C),
    Column("integrated_change_percent", "float64", "%", "after less before, of before", _C),
    Column("agatston_before", "float64", "1", "Agatston score in the baseline", _C),
    Column("agatston_after", "float64", "1", "Agatston score in the follow-up", _C),
    Column("agatston_change", "float64", "1", "after less before; missing under another definition", _C),
    Column("mass_before_mg", "float64", "mg", "calcium mass in the baseline", _C),
    Column("mass_after_mg", "float64", "mg", "calcium mass in the follow-up", _C),
    Column("mass_change_mg", "float64", "mg", "after less before; missing under another definition", _C),
    Column("volume_change_per_year_mm3", "float64", "mm3/a", "from an interval of 90 days on", _RULES),
    Column("distance_mm", "float64", "mm", "between partners, after registration and as their neighbours moved", _C),
    Column(
        "overlap",
        "float64",
        "1",
        "intersection over union of the dilated masks, after registration and as their neighbours moved",
        _C,
    ),
    Column("cost", "float64", "1", "of the pair; 2.4 and more is no pair", "clinical.md 6.1"),
    Column("pattern_before", "string", "", "pattern in the baseline", _C),
    Column("pattern_after", "string", "", "pattern in the follow-up", _C),
    Column("organ", "string", "", "organ, from the follow-up where it is known there", _C),
    Column("size_limited", "boolean", "", "a spacing exceeds a third of the diameter: sizes are uncertain", _RULES),
    *(
        Column(f"{when}_{a}_mm", "float64", "mm", f"centroid in the {scan}, patient LPS", _C)
        for when, scan in (("before", "baseline"), ("after", "follow-up"))
        for a in "xyz"
    ),
)
"""Columns of changes: those of DESIGN section 3 first."""

BURDEN_CHANGES: dict[str, Column] = _table(
    Column("organ", "string", "", "missing for the whole scan", _C),
    Column("n_before", "Int64", "", "findings of the baseline within what both scans hold", _C),
    Column("n_after", "Int64", "", "findings of the follow-up within what both scans hold", _C),
    Column("n_outside", "Int64", "", "findings of either that the other scan does not reach: in no total", _C),
    Column("volume_before_mm3", "float64", "mm3", "sum over findings of the baseline", _C),
    Column("volume_after_mm3", "float64", "mm3", "sum over findings of the follow-up", _C),
    Column("volume_change_mm3", "float64", "mm3", "after less before", _C),
    Column("volume_change_percent", "float64", "%", "after less before, of before", _C),
    Column("limit_mm3", "float64", "mm3", "what a change of the sum must exceed", _RULES),
    Column("state", "string", "", "stable, increased, decreased or not_comparable", _RULES),
    Column("reason", "string", "", "the limit that decided", _RULES),
    Column("integrated_before_hu_mm3", "float64", "HU mm3", "sum of HU above background in the baseline", _C),
    Column("integrated_after_hu_mm3", "float64", "HU mm3", "sum of HU above background in the follow-up", _C),
    Column("agatston_before", "float64", "1", "sum over findings of the baseline", _C),
    Column("agatston_after", "float64", "1", "sum over findings of the follow-up", _C),
    Column("mass_before_mg", "float64", "mg", "sum over findings of the baseline", _C),
    Column("mass_after_mg", "float64", "mg", "sum over findings of the follow-up", _C),
    Column("interval_days", "Int64", "d", "between the scans", _C),
    Column("volume_change_per_year_mm3", "float64", "mm3/a", "from an interval of 90 days on", _RULES),
)
"""Columns of burden changes: the scan, then every organ that is known."""

TIMELINE: dict[str, Column] = _table(
    Column("tracking_id", "string", "", "the same at every time", _C),
    Column("tracking_uid", "string", "", "the same as a DICOM UID (2.25.)", "DCM 112040"),
    Column("time_point", "Int64", "", "1 for the first scan", _C),
    Column("scan_id", "string", "", "scan", _C),
    Column("days", "Int64", "d", "since the first scan; missing where dates are not known", _C),
    Column("finding_ids", "string", "", "findings of the scan, joined by ';'; missing where there is none", _C),
    Column("state", "string", "", "against the time point before: one of imaging.STATES", _RULES),
    Column("volume_mm3", "float64", "mm3", "sum over its parts; missing where it is not seen", _C),
    Column("max_diameter_mm", "float64", "mm", "longest diameter; missing for several parts", _C),
    Column("volume_change_first_mm3", "float64", "mm3", "since it was first seen", _C),
    Column("volume_change_first_percent", "float64", "%", "since it was first seen", _C),
)
"""Columns of the timeline: one row for each tracked finding and time."""
