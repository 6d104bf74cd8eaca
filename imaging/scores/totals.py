"""Totals: one row per scan and organ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

ALL, UNKNOWN = "(all)", "(unknown)"
"""In the column ``organ``: the whole scan; findings whose organ is not known."""

BURDEN_COLUMNS: dict[str, tuple[str, str, str]] = {
    "organ": ("string", "", f"organ of the findings; {ALL} for the whole scan, {UNKNOWN} without anatomy masks"),
    "score_definition": ("string", "", "definition with its parameters, or why the scan is not scored"),
    "score_refused": ("string", "", "code of the reason why the scan is not scored; missing where it is"),
    "n_findings": ("Int64", "", "findings"),
    "n_scored": ("Int64", "", "findings with a weighted area score above 0; missing where the scan is not scored"),
    "volume_mm3": ("float64", "mm3", "sum of volume_mm3 of the detection masks"),
    "agatston": ("float64", "1", "sum of agatston; of (all) without organs known to be neither heart nor aorta"),
    "weighted_area_score": ("float64", "1", "sum of weighted_area_score"),
    "volume_score_mm3": ("float64", "mm3", "sum of volume_score_mm3"),
    "density_score": ("float64", "1", "weighted area over area of all slice-lesions; missing where the score is 0"),
    "mass_mg": ("float64", "mg", "sum of mass_mg; missing without calibration"),
    "mass_integrated_mg": ("float64", "mg", "sum of mass_integrated_mg; missing where it is for any finding"),
}
"""Columns of the burden table but ``scan_id``: dtype, unit, definition."""


def burden(findings: pd.DataFrame, scans: pd.DataFrame) -> pd.DataFrame:
    """Totals of calcium scores, one row per analysed CT scan and organ; the whole scan first.

    A total is 0 only where the scan was scored and there was nothing; a scan that was not scored has missing totals.

    Parameters
    ----------
    findings : DataFrame
        With the columns of `imaging.score` and ``scan_id``, ``organ``, ``volume_mm3``.
    scans : DataFrame
        ``scan_id``, ``status``, ``modality``, ``score_definition``, ``score_refused``,
        ``mass_factor_mg_per_cm3_per_hu``.
    """
    rows: list[dict[str, Any]] = []
    by_scan = dict(list(findings.groupby("scan_id", dropna=False))) if len(findings) else {}
    scored = scans[(scans["status"] == "analysed") & (scans["modality"] == "CT")]
    for scan in scored.to_dict("records"):
        own = by_scan.get(scan["scan_id"], findings.iloc[:0])
        rows.append(_total(scan, ALL, own))
        organs = own["organ"].fillna(UNKNOWN)
        rows += [_total(scan, str(organ), own[organs == organ]) for organ in sorted(organs.unique())]
    names = {"scan_id": "string"} | {name: dtype for name, (dtype, *_) in BURDEN_COLUMNS.items()}
    return pd.DataFrame({n: pd.Series([r[n] for r in rows], dtype=d) for n, d in names.items()})


def _total(scan: Mapping[Any, Any], organ: str, own: pd.DataFrame) -> dict[str, Any]:
    refused = not pd.isna(scan["score_refused"])
    calibrated = not pd.isna(scan["mass_factor_mg_per_cm3_per_hu"])
    weighted = own["weighted_area_score"]
    area = float((weighted / own["density_score"]).sum())
    agatston = own["agatston"].dropna()

    def total(name: str) -> float | None:
        return float(own[name].sum(skipna=False))

    return {
        "scan_id": scan["scan_id"],
        "organ": organ,
        "score_definition": scan["score_definition"],
        "score_refused": scan["score_refused"],
        "n_findings": len(own),
        "n_scored": None if refused else int((weighted > 0).sum()),
        "volume_mm3": total("volume_mm3"),
        # Nothing found in a scored scan is 0; nothing but findings outside heart and aorta is not.
        "agatston": None if refused or (len(own) and not len(agatston)) else float(agatston.sum()),
        "weighted_area_score": None if refused else total("weighted_area_score"),
        "volume_score_mm3": None if refused else total("volume_score_mm3"),
        "density_score": float(weighted.sum()) / area if area > 0 else None,
        "mass_mg": total("mass_mg") if calibrated and not refused else None,
        "mass_integrated_mg": total("mass_integrated_mg") if calibrated and not refused else None,
    }
