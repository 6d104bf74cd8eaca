"""The whole way of one scan, on one screen."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from imaging import (
    EXCLUDED,
    FINDINGS,
    FLAGS,
    GROUPS,
    HYPOTHESES,
    Anatomy,
    Context,
    Detection,
    ScoreParams,
    Volume,
    classify,
    conform,
    describe_excluded,
    detect,
    group,
    measure,
    name_patterns,
    rank_hypotheses,
    score,
    scoring_of,
    summarize_groups,
)

from .config import Config
from .results import ScanResult


def analyze(
    volume: Volume,
    config: Config | None = None,
    *,
    roi: ArrayLike | Volume | Anatomy | None = None,
    anatomy: Anatomy | None = None,
    scan_id: str = "",
    context: Context | None = None,
) -> ScanResult:
    """Find, measure, name and classify the calcifications of one scan.

    Parameters
    ----------
    volume : Volume
        CT in HU.
    config : Config, optional
    roi : array_like, Volume or Anatomy, optional
        Region of interest on the grid of the scan.
    anatomy : Anatomy, optional
        Organ masks on the grid of the scan (`imaging.read_anatomy`): they name organ and side, and tell what is bone.
    scan_id : str, optional
        Stands in the first column of every table.
    context : Context, optional
        What is known beside the image, for the hypotheses; what the header says stands behind it.

    Raises
    ------
    CalcimapError
        Whatever a stage refuses, with its reason code.
    """
    config = config or Config()
    detection = detect(volume, config.detection, roi=roi, anatomy=anatomy)
    findings = measure(detection)
    findings = score(findings, detection, config.scores)
    findings = group(findings, detection)
    findings = name_patterns(findings)
    known = Context.from_header(volume.header) | (context or Context())
    findings = classify(findings.assign(scan_id=scan_id), context=known)
    return pack(detection, findings, scan_id, config.scores, known)


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
