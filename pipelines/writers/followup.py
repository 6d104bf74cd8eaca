"""Files of a comparison: tables of changes, burden and timeline, and how the scans were brought together."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from imaging import BURDEN_CHANGES, CHANGES, TIMELINE, Column, Comparison

from ..results import FollowupResult
from ..schemas import write_table
from .tables import neutral, write_columns

SCHEMAS: dict[str, dict[str, Column]] = {"changes": CHANGES, "burden_changes": BURDEN_CHANGES, "timeline": TIMELINE}


def write_followup(result: FollowupResult) -> None:
    """``changes``, ``burden_changes`` and ``timeline`` (.csv and .parquet), ``registration.json``, ``columns.json``."""
    tables: dict[str, pd.DataFrame] = {
        "changes": result.changes,
        "burden_changes": result.burden,
        "timeline": result.timeline.table,
    }
    for name, table in tables.items():
        neutral(table).to_csv(result.out / f"{name}.csv", index=False, lineterminator="\n")
        write_table(table, SCHEMAS[name], result.out / f"{name}.parquet")
    write_columns(SCHEMAS, result.out)
    pairs = [_registration(c) for c in result.timeline.comparisons]
    text = json.dumps(pairs[0] if len(pairs) == 1 else {"pairs": pairs}, indent=1)
    (result.out / "registration.json").write_text(text + "\n", encoding="utf-8")


def _registration(c: Comparison) -> dict[str, Any]:
    """Transform, quality and comparability of a pair, for programs; no paths, dates or identifiers."""
    r = c.registration
    stages = {"rigid": r.before, "final": r.after}
    return {
        "baseline_scan_id": c.before.scan_id,
        "followup_scan_id": c.after.scan_id,
        "interval_days": c.interval_days,
        "transform": {
            "method": r.method,
            "baseline_to_followup_lps_mm": r.matrix.tolist(),
            "rotation_deg": round(r.rotation_deg, 3),
            "deformation_largest_mm": None if r.field is None else _number(r.largest_deformation_mm),
            "use": "correspondence only: sizes are measured on the scans as they are",
        },
        "quality": {
            "checked": r.before is not None,
            "agreement_needed": c.params.agreeing_share,
            **{
                name: None
                if a is None
                else {
                    "agreeing_share": _number(a.share),
                    "median_local_correlation": _number(a.median),
                    "places": a.n,
                    "overlap_of_smaller_scan": _number(a.overlap),
                }
                for name, a in stages.items()
            },
        },
        "comparability": {
            "comparable": c.comparability.comparable,
            "reason": c.comparability.reason,
            "aspects": [
                {"name": a.name, "baseline": a.before, "followup": a.after, "matches": a.matches, "rule": a.rule,
                 "decides": a.decides}
                for a in c.comparability.aspects
            ],
        },
        "limits": {
            "volume_sqrt": c.limits.volume_sqrt,
            "volume_relative": c.limits.volume_relative,
            "diameter_mm": c.limits.diameter_mm,
            "integrated_relative": c.limits.integrated_relative,
            "source": c.limits.source,
            "n": c.limits.n,
        },
    }  # fmt: skip


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
