"""The table of echogenic foci: the schema of CT, in mm where the image is calibrated and in pixels elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..flags import join
from .detection import Echoes, paint
from .track import Track

LENGTHS: dict[str, str] = {
    "depth": "from the probe to the upper edge of the echo, along the beam",
    "echo_width": "lateral width of the echo at half amplitude; overestimates CT by 1.5 to 3.9 mm (clinical.md 4.7)",
    "echo_height": "axial extent of the echo at half amplitude, along the beam",
    "shadow_width": "width of the dark band 10 mm behind the echo, at half between inside and beside",
    "shadow_width_5": "the same, 5 mm behind",
    "shadow_width_15": "the same, 15 mm behind",
    "shadow_length": "depth behind the echo over which the shadow could be judged",
}
"""Lengths of ultrasound findings: each is a column in mm, and one in pixels for images without calibration."""

ECHO_COLUMNS: tuple[tuple[str, str, str, str, str], ...] = (
    ("frame", "Int64", "", "ultrasound: key frame, from 0, in which echo and shadow are clearest", "clinical.md 4.6"),
    ("depth_mm", "float64", "mm", f"ultrasound: {LENGTHS['depth']}", "calibrated region"),
    ("echo_width_mm", "float64", "mm", f"ultrasound: {LENGTHS['echo_width']}", "clinical.md 4.2"),
    ("shadow_width_mm", "float64", "mm", f"ultrasound: {LENGTHS['shadow_width']}", "clinical.md 4.3, 4.7"),
    (
        "shadow_auc", "float64", "1",
        "ultrasound: probability that tissue beside is brighter than behind, at equal depth", "clinical.md 4.3",
    ),
    (
        "shadow_class", "string", "",
        "ultrasound: absent, weak, present, strong; missing where it cannot be judged; absent is not 'no calcium'",
        "clinical.md 4.3",
    ),
    ("calibrated", "boolean", "", "ultrasound: whether lengths are in mm, not in _px columns", "DICOM"),
    ("echo_height_mm", "float64", "mm", f"ultrasound: {LENGTHS['echo_height']}", "clinical.md 4.2"),
    ("shadow_width_5_mm", "float64", "mm", f"ultrasound: {LENGTHS['shadow_width_5']}", "clinical.md 4.3"),
    ("shadow_width_15_mm", "float64", "mm", f"ultrasound: {LENGTHS['shadow_width_15']}", "clinical.md 4.3"),
    ("shadow_length_mm", "float64", "mm", f"ultrasound: {LENGTHS['shadow_length']}", "clinical.md 4.3"),
    *(
        (f"{name}_px", "float64", "px", f"ultrasound without calibration: {text}", "clinical.md 4.3")
        for name, text in LENGTHS.items()
    ),
    ("max_diameter_px", "float64", "px", "ultrasound without calibration: largest extent of the echo", "outline"),
    ("equivalent_diameter_px", "float64", "px", "ultrasound without calibration: of the disc of its area", "area"),
    ("n_frames", "Int64", "", "ultrasound: frames in which the focus was seen", "clinical.md 4.6"),
    ("persistence", "float64", "1", "ultrasound: share of frames, first to last, that show it", "clinical.md 4.6"),
    ("echo_z", "float64", "1", "ultrasound: brightest over surroundings at equal depth, SD", "clinical.md 4.2"),
    ("shadow_auc_side", "float64", "1", "ultrasound: shadow_auc against the less clear of both sides", "calcimap"),
    ("shadow_ratio", "float64", "1", "ultrasound: brightness behind over beside, both above black", "clinical.md 4.3"),
    ("shadow_contrast", "float64", "grey", "ultrasound: mean beside less mean behind", "clinical.md 4.3"),
    ("shadow_cnr", "float64", "1", "ultrasound: contrast over the root of the sum of variances", "clinical.md 4.3"),
    ("shadow_persistence", "float64", "1", "ultrasound: share of depths of rank contrast over 0.7", "clinical.md 4.3"),
    ("shadow_onset", "float64", "1", "ultrasound: the same over the first 6 mm", "calcimap"),
    ("shadow_clean", "float64", "1", "ultrasound: share of samples behind next to black", "clinical.md 4.3"),
    ("shadow_slope", "float64", "grey", "ultrasound: change of contrast per mm (pixel) of depth", "clinical.md 4.3"),
    ("foroughi", "float64", "1", "ultrasound: weighted mean behind over the focus", "Foroughi et al. 2007"),
    ("confidence_ratio", "float64", "1", "ultrasound: confidence behind over beside", "Karamalis et al. 2012"),
    ("twinkling", "float64", "1", "ultrasound: coloured share on and behind, times hue entropy", "clinical.md 4.5"),
)  # fmt: skip
"""Columns that ultrasound adds: name, dtype, unit, definition, source."""


def measure_echoes(echoes: Echoes) -> pd.DataFrame:
    """One row per focus, measured in its key frame.

    Returns
    -------
    DataFrame
        Typed also when empty. What cannot be measured is missing, never 0; lengths in mm are missing where the image
        is not calibrated.
    """
    rows = [_row(track, echoes) for track in echoes.found]
    table = pd.DataFrame(rows, columns=list(_DTYPES) if not rows else None)
    table.insert(0, "finding_id", pd.Series(echoes.finding_id, dtype="Int64"))
    for name, dtype in _DTYPES.items():
        table[name] = table[name].astype(dtype) if name in table else pd.Series(index=table.index, dtype=dtype)  # type: ignore[call-overload]  # dtype is a name
    return table


def describe_left_out(echoes: Echoes) -> pd.DataFrame:
    """One row per candidate that was left out: reason, place, size, brightness."""
    rows = []
    for k, (track, reason) in enumerate(zip(echoes.excluded, echoes.reasons, strict=True), 1):
        focus = track.focus
        rows.append(
            {
                "excluded_id": k,
                "reason": reason,
                "slice_index": track.frames[track.key],
                "row_index": round(focus.row),
                "column_index": round(focus.column),
                "n_voxels": int(focus.mask.sum()),
                "intensity_mean": focus.stats["intensity_mean"],
                "intensity_max": focus.stats["intensity_max"],
                "box_mm": float(np.hypot(focus.width, focus.height)) if echoes.beams[focus.beam].calibrated else np.nan,
                "background_mean": focus.stats["background_mean"],
            }
        )
    return pd.DataFrame(rows)


def _row(track: Track, echoes: Echoes) -> dict[str, Any]:
    focus = track.focus
    shadow, beam = focus.shadow, echoes.beams[focus.beam]
    frame = track.frames[track.key]
    key = paint((Track((frame,), (focus,)),), echoes.beams, echoes.clip.shape)
    points = key.coordinates[:, 1:] * np.array(beam.step)
    form = plane_form(points, beam.step)
    lengths = {
        "depth": focus.depth, "echo_width": focus.width, "echo_height": focus.height, "shadow_width": shadow.width,
        "shadow_width_5": shadow.widths[0], "shadow_width_15": shadow.widths[2], "shadow_length": shadow.length,
    }  # fmt: skip
    unit = "mm" if beam.calibrated else "px"
    sized = {f"{name}_{unit}": value for name, value in (lengths | {n: form[n] for n in _SIZES}).items()}
    if beam.calibrated:
        sized |= {
            f"{name}_mm": form[name] for name in ("axial_diameter", "axial_perpendicular", "major_axis", "minor_axis")
        }
    flags = {*focus.flags, *(["uncalibrated"] if not beam.calibrated else [])}
    if len(track.frames) == 1 and len(echoes.clip) > 1:
        flags.add("one_frame")
    if np.isfinite(shadow.auc) and not np.isfinite(shadow.auc_side):
        flags.add("one_sided")
    return {
        "modality": "US", "slice_index": frame, "row_index": round(focus.row), "column_index": round(focus.column),
        "n_voxels": int(key.n_voxels[0]), "elongation": form["elongation"], "solidity": form["solidity"],
        **sized, **focus.stats, "intensity_unit": "grey", "frame": frame, "shadow_auc": shadow.auc,
        "shadow_class": shadow.name, "calibrated": beam.calibrated, "n_frames": len(track.frames),
        "persistence": track.persistence, "echo_z": focus.peak_z, "shadow_auc_side": shadow.auc_side,
        "shadow_ratio": shadow.ratio, "shadow_contrast": shadow.contrast, "shadow_cnr": shadow.cnr,
        "shadow_persistence": shadow.persistence, "shadow_onset": shadow.onset, "shadow_clean": shadow.clean,
        "shadow_slope": shadow.slope, "foroughi": shadow.foroughi,
        "confidence_ratio": focus.extra.get("confidence_ratio", np.nan),
        "twinkling": focus.extra.get("twinkling", np.nan), "flags": join(*flags),
        "thickness_to_width": focus.thickness / focus.width, "sagitta_to_width": focus.sagitta,
    }  # fmt: skip


_SIZES = ("max_diameter", "equivalent_diameter")
_PLANE = ("axial_diameter", "axial_perpendicular", "major_axis", "minor_axis")


def plane_form(points: NDArray[np.float64], step: tuple[float, float]) -> dict[str, float]:
    """Plane form of a set of pixels at `points`, in units of `step`: diameters, axes, elongation, solidity."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    corners = (points[:, None] + np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]) * step).reshape(-1, 2)
    hull = ConvexHull(corners)
    outline = corners[hull.vertices]
    area = len(points) * step[0] * step[1]
    angles = np.deg2rad(np.arange(180.0))
    widths = np.ptp(outline @ np.stack([np.cos(angles), np.sin(angles)]), axis=0)
    longest = int(np.argmax(widths))
    major = minor = elongation = np.nan
    if len(points) > 2:
        values = np.linalg.eigvalsh(np.cov(points.T))[::-1]
        major, minor = (float(4 * np.sqrt(max(v, 0.0))) for v in values)
        elongation = minor / major if major > 0 else np.nan
    return {
        "max_diameter": float(pdist(outline).max()), "equivalent_diameter": float(np.sqrt(4 * area / np.pi)),
        "axial_diameter": float(widths[longest]), "axial_perpendicular": float(widths[(longest + 90) % 180]),
        "major_axis": major, "minor_axis": minor, "elongation": elongation, "solidity": area / float(hull.volume),
    }  # fmt: skip


_DTYPES: dict[str, str] = {
    "modality": "string", "slice_index": "Int64", "row_index": "Int64", "column_index": "Int64", "n_voxels": "Int64",
    "elongation": "float64", "solidity": "float64", "thickness_to_width": "float64", "sagitta_to_width": "float64",
    "max_diameter_mm": "float64", "equivalent_diameter_mm": "float64", "flags": "string", "intensity_unit": "string",
    **{name: dtype for name, dtype, _, _, _ in ECHO_COLUMNS},
}  # fmt: skip
