"""What comes out of a detection as one `ScanResult`: tables with every column, and the scan's row."""

from __future__ import annotations

from typing import Any

import pandas as pd

from imaging import (
    EXCLUDED,
    FINDINGS,
    FLAGS,
    GROUPS,
    HYPOTHESES,
    Context,
    Detection,
    Echoes,
    ScoreParams,
    conform,
    describe_excluded,
    describe_left_out,
    rank_hypotheses,
    scoring_of,
    summarize_echo_groups,
    summarize_groups,
)

from .results import ClipResult, ScanResult


def pack(
    detection: Detection,
    findings: pd.DataFrame,
    scan_id: str = "",
    scores: ScoreParams | None = None,
    context: Context | None = None,
) -> ScanResult:
    """Findings of a detection with the tables that go with them, every column present and typed."""
    groups = conform(summarize_groups(findings, detection).assign(scan_id=scan_id), GROUPS)
    excluded = conform(describe_excluded(detection).assign(scan_id=scan_id), EXCLUDED)
    findings = conform(findings.assign(scan_id=scan_id), FINDINGS)
    record = _record(detection, scan_id, findings, excluded, groups) | _scored(detection, scores or ScoreParams())
    hypotheses = conform(rank_hypotheses(findings, context=context), HYPOTHESES)
    return ScanResult(scan_id, findings, excluded, groups, record, detection, hypotheses)


def pack_echoes(
    echoes: Echoes, findings: pd.DataFrame, scan_id: str = "", context: Context | None = None
) -> ClipResult:
    """The same for ultrasound."""
    groups = conform(summarize_echo_groups(findings, echoes).assign(scan_id=scan_id), GROUPS)
    findings = conform(findings.assign(scan_id=scan_id), FINDINGS)
    excluded = conform(describe_left_out(echoes).assign(scan_id=scan_id), EXCLUDED)
    clip, beams = echoes.clip, echoes.beams
    steps = {beam.step for beam in beams if beam.calibrated}
    row_mm, column_mm = next(iter(steps)) if len(steps) == 1 else (None, None)
    record: dict[str, Any] = {
        "scan_id": scan_id,
        "status": "analysed",
        "modality": clip.modality,
        "n_findings": len(findings),
        "n_excluded": len(excluded),
        "n_groups": len(groups),
        "n_too_small": echoes.n_too_small,
        "n_noise": echoes.n_noise,
        "n_slices": len(clip),
        "n_rows": clip.rows,
        "n_columns": clip.columns,
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
        **clip.header,
        "image_area": ";".join(beam.sector.kind for beam in beams) or None,
        "flags": ";".join(sorted(set(echoes.flags) & FLAGS.keys())),
    }
    hypotheses = conform(rank_hypotheses(findings, context=context), HYPOTHESES)
    return ClipResult(scan_id, findings, excluded, groups, record, echoes, hypotheses)


def _record(
    detection: Detection, scan_id: str, findings: pd.DataFrame, excluded: pd.DataFrame, groups: pd.DataFrame
) -> dict[str, Any]:
    """The scan's row: geometry, thresholds, totals, and header facts that identify nobody."""
    volume, used = detection.volume, detection.thresholds
    slices, rows, columns = volume.shape
    _, row_mm, column_mm = volume.spacing
    flags = sorted({*volume.flags, *detection.flags} & FLAGS.keys())
    record: dict[str, Any] = {
        "scan_id": scan_id,
        "status": "analysed",
        "modality": volume.modality,
        "n_findings": len(findings),
        "n_excluded": len(excluded),
        "n_groups": len(groups),
        "n_too_small": detection.found.n_too_small,
        "n_noise": detection.found.n_noise,
        "total_volume_mm3": float(findings["volume_mm3"].sum()),
        "n_slices": slices,
        "n_rows": rows,
        "n_columns": columns,
        "slice_spacing_mm": volume.slice_distance,
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
        **volume.header,
        "flags": ";".join(flags),
    }
    if used is not None:
        record |= {
            "threshold_mode": detection.params.threshold_mode,
            "threshold_grow_hu": used.grow_hu,
            "threshold_peak_hu": used.peak_hu,
            "tissue_mean_hu": used.noise.mean,
            "noise_sd_hu": used.noise.sd,
            "enhanced_share": used.noise.enhanced_share,
        }
    return record


def _scored(detection: Detection, params: ScoreParams) -> dict[str, Any]:
    """How the scan is scored, for its row."""
    scoring = scoring_of(detection, params)
    return {
        "score_definition": scoring.text,
        "score_refused": scoring.refused or None,
        "mass_factor_mg_per_cm3_per_hu": params.mass_factor_mg_per_cm3_per_hu,
    }
