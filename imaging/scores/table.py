"""The stage: scores of every finding, with the definition in use on each row, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..detection import Detection
from ..errors import UsageError
from ..flags import join
from ..noise import estimate_noise
from ..structures import is_heart
from .definitions import SCORES, Limits, ScoreDefinition
from .lesions import scored_voxels, slice_lesions, weighted_area
from .mass import Calibration, integrated_hu
from .params import ScoreParams

STANDARD_KVP = 120.0
REFUSALS: dict[str, str] = {
    "not_hu": "not scored: the values are not (calibrated) HU of CT",
    "contrast_enhanced": "not scored: contrast-enhanced, so the threshold of the score lies in enhanced tissue",
    "kvp_undefined": "not scored: no limits are published for this tube voltage; see scores.hu_limits",
}
"""Why a scan has no scores: the code in ``scans.score_refused`` and flags, and the text on its rows."""

_AGATSTON = "Agatston et al. 1990"
_JL = "CalciumScoring.jl"
SCORE_COLUMNS: dict[str, tuple[str, str, str, str]] = {
    "agatston": ("float64", "1", "Agatston score; missing in organs other than heart and aorta", _AGATSTON),
    "agatston_definition": ("string", "", "definition of the scores in use, or why there is none", "imaging.SCORES"),
    "mass_mg": ("float64", "mg", "calibration x sum of HU x voxel volume, scored voxels", "McCollough et al. 2007"),
    "weighted_area_score": ("float64", "1", "sum of area (mm2) x weight x increment / 3 mm, in any organ", _AGATSTON),
    "volume_score_mm3": ("float64", "mm3", "volume of the scored voxels, not interpolated", "Callister et al. 1998"),
    "density_score": ("float64", "1", "weighted area / area, from 1 to 4; missing where 0", "Criqui et al. 2014"),
    "score_threshold_hu": ("float64", "HU", "voxels from it on are scored", "imaging.SCORES"),
    "integrated_hu_mm3": ("float64", "HU mm3", "HU above background, summed over finding and edge within 2 mm", _JL),
    "mass_integrated_mg": ("float64", "mg", "calibration x integrated_hu_mm3: keeps what blur moved to the edge", _JL),
    "mass_volume_fraction_mg": ("float64", "mg", "the same, no voxel above the finding's 95th percentile", _JL),
}  # fmt: skip
"""Columns that `score` fills: dtype, unit, definition, source."""


@dataclass(frozen=True)
class Scoring:
    """How one scan is scored.

    Parameters
    ----------
    definition : ScoreDefinition
    limits : Limits, or None
        HU of the weights at this tube voltage; None where the scan is not scored.
    volume_hu : float, or None
        Threshold of volume and mass, where it is known.
    refused : str
        A key of `REFUSALS`, or ''.
    text : str
        What stands in ``agatston_definition``.
    flags : tuple of str
        Flags of every finding of the scan.
    """

    definition: ScoreDefinition
    limits: Limits | None
    volume_hu: float | None
    refused: str
    text: str
    flags: tuple[str, ...] = ()


def scoring_of(detection: Detection, params: ScoreParams | None = None) -> Scoring:
    """The definition as it applies to a scan: its limits at the tube voltage, or why the scan is not scored."""
    params = params or ScoreParams()
    volume, definition = detection.volume, SCORES[params.definition]
    known = params.kvp or volume.header.get("kvp")
    kvp = float(known or STANDARD_KVP)
    limits = definition.limits_at(kvp)
    voltage = f"{kvp:g} kV" if known else f"tube voltage unknown, taken as {STANDARD_KVP:g} kV"
    threshold = None if limits is None else definition.volume_threshold(kvp, limits)
    if params.hu_limits:
        one, two, three, four = params.hu_limits
        limits, threshold, voltage = (one, two, three, four), one, f"limits given, {voltage}"
    enhanced = _is_enhanced(detection)
    refused = ""
    if (volume.modality, volume.unit) != ("CT", "HU") or "hu_unreliable" in volume.flags:
        refused = "not_hu"
    elif enhanced and params.on_enhanced == "refuse":
        refused = "contrast_enhanced"
    elif limits is None:
        refused = "kvp_undefined"
    if refused or limits is None:
        return Scoring(definition, None, None, refused, f"{definition.name}: {REFUSALS[refused]}", ("not_scored",))
    text = definition.describe(limits, voltage)
    if threshold is not None and threshold != limits[0]:
        text += f"; volume and mass from {threshold:g} HU"
    flags = {"score_enhanced": enhanced, "score_kvp_assumed": not known}
    return Scoring(definition, limits, threshold, "", text, tuple(code for code, holds in flags.items() if holds))


def _is_enhanced(detection: Detection) -> bool:
    """Whether the header names a contrast agent, or the tissue shows one."""
    volume = detection.volume
    if volume.header.get("contrast_agent"):
        return True
    if volume.unit != "HU":
        return False
    used = detection.thresholds
    return (estimate_noise(volume) if used is None else used.noise).enhanced


def score(
    findings: pd.DataFrame,
    detection: Detection,
    params: ScoreParams | None = None,
    *,
    calibration: Calibration | None = None,
) -> pd.DataFrame:
    """Calcium scores of every finding.

    Parameters
    ----------
    findings : DataFrame
        From `imaging.measure`, one row per component of `detection`, in its order.
    detection : Detection
    params : ScoreParams, optional
        The literature's definition by default.
    calibration : Calibration, optional
        From a rod in the scan; wins over ``params.mass_factor_mg_per_cm3_per_hu``.

    Returns
    -------
    DataFrame
        With the columns of `SCORE_COLUMNS` and flags. A finding without a voxel from the threshold on, or with
        slice-lesions below the minimum area only, scores 0; a scan that is not scored has missing scores.

    Raises
    ------
    UsageError
        The table is not that of the detection.
    """
    params = params or ScoreParams()
    if len(findings) != len(detection):
        raise UsageError(f"{len(findings)} findings for a detection of {len(detection)}; give the table of measure")
    scoring = scoring_of(detection, params)
    n = len(findings)
    columns: dict[str, NDArray[np.float64]] = {
        name: np.full(n, np.nan) for name, (dtype, *_) in SCORE_COLUMNS.items() if dtype == "float64"
    }
    factor = params.mass_factor_mg_per_cm3_per_hu
    if calibration is not None:
        factor = calibration.factor_mg_per_cm3_per_hu
    per_hu_mm3 = np.nan if factor is None else factor / 1000  # mg per HU and mm3
    organ = [None if pd.isna(o) else str(o) for o in findings["organ"]]
    outside = np.array([o is not None and not is_heart(o) for o in organ], bool)
    cut = grown = np.zeros(n, bool)
    if scoring.limits is not None:
        scored = scored_voxels(detection, scoring.limits[0])
        cut, grown = scored.cut, scored.grown
        lesions = slice_lesions(detection.volume, scored, scoring.definition)
        weighted, area = weighted_area(detection.volume, lesions, scoring.limits, n)
        columns["weighted_area_score"] = weighted
        columns["agatston"] = np.where(outside, np.nan, weighted)
        columns["density_score"] = np.divide(weighted, area, out=np.full(n, np.nan), where=area > 0)
        columns["score_threshold_hu"] = np.full(n, scoring.limits[0])
        columns |= _threshold_volume(detection, scoring, per_hu_mm3)
        columns |= _integrated(findings, detection, per_hu_mm3)
    table = findings.copy()
    for name, values in columns.items():
        table[name] = pd.Series(values, dtype="float64", index=table.index)
    texts = [_text(scoring, o, away) for o, away in zip(organ, outside, strict=True)]
    table["agatston_definition"] = pd.Series(texts, dtype="string", index=table.index)
    codes = [
        (*scoring.flags, *(code for code, holds in (("score_cut", c), ("score_grown", g)) if holds))
        for c, g in zip(cut, grown, strict=True)
    ]
    old = findings["flags"].fillna("") if "flags" in findings else pd.Series([""] * n, index=table.index)
    joined = [join(*(f for f in o.split(";") if f), *new) for o, new in zip(old, codes, strict=True)]
    table["flags"] = pd.Series(joined, dtype="string", index=table.index)
    return table


def _text(scoring: Scoring, organ: str | None, outside: bool) -> str:
    if scoring.refused:
        return scoring.text
    if outside:
        return f"{scoring.text}; weighted area score only: {organ} is neither heart nor aorta"
    return f"{scoring.text}; organ not known" if organ is None else scoring.text


def _threshold_volume(detection: Detection, scoring: Scoring, per_hu_mm3: float) -> dict[str, NDArray[np.float64]]:
    """Volume score and mass from the threshold on."""
    if scoring.volume_hu is None:
        return {}
    lesions = slice_lesions(detection.volume, scored_voxels(detection, scoring.volume_hu), scoring.definition)
    n, cubic = len(detection), detection.volume.voxel_volume_mm3
    return {
        "volume_score_mm3": np.asarray(np.bincount(lesions.finding, lesions.n_pixels, n) * cubic, float),
        "mass_mg": np.asarray(np.bincount(lesions.finding, lesions.total, n) * cubic * per_hu_mm3, float),
    }


def _integrated(findings: pd.DataFrame, detection: Detection, per_hu_mm3: float) -> dict[str, NDArray[np.float64]]:
    """Mass that is aware of partial volume."""
    background, plateau = (findings[name].to_numpy(dtype=float) for name in ("background_mean", "intensity_p95"))
    integrated, capped = integrated_hu(detection, background, plateau)
    return {
        "integrated_hu_mm3": integrated,
        "mass_integrated_mg": integrated * per_hu_mm3,
        "mass_volume_fraction_mg": capped * per_hu_mm3,
    }
