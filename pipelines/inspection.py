"""What `calcimap inspect` tells, as lines for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imaging import Found, Region, Series


def as_json(found: Found) -> dict[str, Any]:
    """Every series with its files, every file with the series that uses it or its reason."""
    base = found.root if found.root.is_dir() else found.root.parent

    def relative(path: Path) -> str:
        return str(path.relative_to(base)) if path.is_relative_to(base) else path.name

    series = [_series(k, s) for k, s in enumerate([*found.series, *found.set_aside], 1)]
    users: dict[Path, list[int]] = {}
    for k, s in enumerate(found.series, 1):
        for path in s.paths:
            users.setdefault(path, []).append(k)
    files: list[dict[str, Any]] = [
        {"path": relative(p), "series": k[0], "all_series": k, "reason": None} for p, k in users.items()
    ]
    files += [{"path": relative(p), "series": None, "all_series": [], "reason": r} for p, r in found.ignored.items()]
    return {"input": str(found.root), "series": series, "files": sorted(files, key=lambda f: str(f["path"]))}


def _series(number: int, series: Series) -> dict[str, Any]:
    first = series.instances[0]
    return {
        "number": number,
        "kind": series.kind,
        "modality": series.modality,
        "description": series.description,
        "n_files": len(series.paths),
        "n_slices": series.n_slices,
        "n_rows": first.rows,
        "n_columns": first.columns,
        "spacing_mm": None if series.spacing is None else [round(v, 6) for v in series.spacing],
        "split_by": list(series.split_by),
        "missing_slices": list(series.missing),
        "header": dict(series.header),
        "flags": list(series.flags),
        "regions": [_region(r) for r in series.regions],
        "set_aside": series.set_aside or None,
        "problem": None if series.problem is None else _problem(series),
    }


def _problem(series: Series) -> dict[str, str]:
    assert series.problem is not None
    return {"reason": series.problem.reason, "message": series.problem.message}


def _region(region: Region) -> dict[str, Any]:
    return {
        "x0": region.x0,
        "y0": region.y0,
        "x1": region.x1,
        "y1": region.y1,
        "spatial_format": region.spatial_format,
        "data_type": region.data_type,
        "flags": region.flags,
        "units": [region.units_x, region.units_y],
        "calibrated": region.calibrated,
        "delta_mm": [region.delta_x_mm, region.delta_y_mm] if region.calibrated else None,
    }


def lines(found: Found) -> Iterator[str]:
    """What was found, for people."""
    counts = len(found.series), len(found.set_aside), len(found.ignored)
    yield "{}: {} series, {} set aside, {} files ignored".format(found.root, *counts)
    for k, series in enumerate(found.series, 1):
        yield from _series_lines(k, series)
    for series in found.set_aside:
        name = series.description or "-"
        yield f"  {series.modality or '-'} {len(series.paths)} files  {name}  set aside, {series.set_aside}"
    for path, reason in found.ignored.items():
        yield f"  {path}: {reason}"


def _series_lines(number: int, series: Series) -> Iterator[str]:
    first = series.instances[0]
    count = "1 file" if len(series.paths) == 1 else f"{len(series.paths)} files"
    size = f"{series.n_slices} x {first.rows} x {first.columns}" if first.rows else "size unknown"
    spacing = "" if series.spacing is None else " at " + " x ".join(f"{v:.4g}" for v in series.spacing) + " mm"
    yield f"  {number}. {series.modality} {series.kind} {count}, {size}{spacing}  {series.description or '-'}"
    if series.split_by:
        yield f"     split from others of its series by: {', '.join(series.split_by)}"
    if series.flags:
        yield f"     flags: {', '.join(series.flags)}"
    for region in series.regions:
        place = f"columns {region.x0} to {region.x1}, rows {region.y0} to {region.y1}"
        if region.calibrated:
            yield f"     region: {place}, {region.delta_x_mm:.4g} x {region.delta_y_mm:.4g} mm a pixel"
        else:
            yield f"     region: {place}, not calibrated (format {region.spatial_format}, data {region.data_type})"
    if series.modality == "US" and not any(r.calibrated for r in series.regions):
        yield "     no calibrated region: lengths in pixels only"
    state = "ok" if series.problem is None else f"refused, {series.problem.reason}: {series.problem.message}"
    yield f"     {state}"
