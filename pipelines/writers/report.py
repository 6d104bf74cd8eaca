"""The report of a run: one HTML file that needs nothing else, made from the tables and pictures in the folder."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imaging import ECHO_REASONS, EXCLUSION_REASONS, FINDINGS, FLAGS, NOTICE, REASONS

from ..results import SCANS, StudyResult

DASH = "\N{EN DASH}"
_MINUS, _THIN = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}"
STATUS = {
    "analysed": "analysed",
    "refused": "refused: understood, and not safe to measure",
    "failed": "failed: an error",
    "ignored": "ignored: not an image series of ours",
}
PICTURE_WIDTHS = ((25, 1800), (100, 1400), (10**9, 1000))
"""Up to so many pictures: so wide, pixels. Keeps the file within what browsers and mail take."""
MOST_BINS = 14


def write_report(study: StudyResult) -> None:
    """``report.html``: summary, what was not analysed and why, and each scan with its picture and findings.

    No scripts, no references to anything outside the file, no paths and no identifiers. What is missing in a table is
    an en dash in the report, never 0.

    Parameters
    ----------
    study : StudyResult
        Its tables, and the pictures in ``study.out/scans/<scan_id>/overview.png`` where they were written.
    """
    write_page("report.html.jinja", _contents(study), study.out / "report.html")


def write_page(template: str, contents: Mapping[str, Any], file: Path) -> None:
    """One self-contained HTML file from a template of this package, everything in it escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "text": text, "count": count, "words": words}
    here = resources.files(__package__)
    style = Markup(here.joinpath("report.css").read_text(encoding="utf-8"))  # noqa: S704  # a file of this package
    source = here.joinpath(template).read_text(encoding="utf-8")
    html = environment.from_string(source).render(**contents, style=style)
    file.write_text(html + "\n", encoding="utf-8", newline="\n")


# -- values as text ----------------------------------------------------------------------------------------------------


def number(value: Any, digits: int = 3, *, decimals: int | None = None) -> str:
    """A measure with so many significant digits, or decimals; an en dash where it is missing."""
    if _missing(value) or not math.isfinite(value):
        return DASH
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else digits
        decimals = min(max(digits - 1 - size, 0), 4)
    return f"{value:,.{decimals}f}".replace(",", _THIN).replace("-", _MINUS)


def count(value: Any) -> str:
    """A whole number; an en dash where it is missing."""
    return number(value, decimals=0)


def text(value: Any) -> str:
    """Text; an en dash where it is missing or empty."""
    return DASH if _missing(value) or value == "" else str(value)


def words(value: Any) -> str:
    """A code such as ``bone_adjacent`` in words."""
    return text(value).replace("_", " ")


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


# -- contents ----------------------------------------------------------------------------------------------------------


def _contents(study: StudyResult) -> dict[str, Any]:
    """Everything that the template names."""
    scans, findings = study.scans, study.findings
    analysed = scans[scans["status"] == "analysed"]
    left_out = scans[scans["status"].isin(("refused", "failed"))]
    width = next(w for most, w in PICTURE_WIDTHS if len(analysed) <= most)
    by_scan = {name: dict(tuple(getattr(study, name).groupby("scan_id"))) for name in ("findings", "excluded")}
    flags = sorted({flag for table in (scans, findings) for flag in _split(table["flags"])})
    return {
        "notice": NOTICE,
        "version": _version(),
        "statuses": [(name, STATUS[name], n) for name, n in study.counts.items() if n or name == "analysed"],
        "n_scans": len(scans),
        "n_findings": len(findings),
        "n_with": int((analysed["n_findings"] > 0).sum()),
        "n_without": int((analysed["n_findings"] == 0).sum()),
        "left_out": [_row(row) for _, row in left_out.iterrows()],
        "ignored": sorted(pd.Series(list(study.ignored.values()), dtype="object").value_counts().items()),
        "scans": [_scan(_row(row), by_scan, study.out, width) for _, row in scans.iterrows()],
        "reduced": width < PICTURE_WIDTHS[0][1],
        "charts": _charts(findings),
        "units": {name: _unit(column.unit) for name, column in (FINDINGS | SCANS).items()},
        "definitions": {name: column.definition for name, column in (FINDINGS | SCANS).items()},
        "reasons": REASONS,
        "exclusions": EXCLUSION_REASONS | ECHO_REASONS,
        "flags": [(flag, FLAGS.get(flag, "")) for flag in flags],
        "meanings": FLAGS,
    }


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("calcimap")
    except PackageNotFoundError:
        return ""


def _unit(unit: str) -> str:
    return unit.replace("mm2", "mm²").replace("mm3", "mm³")


def _row(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _split(column: Iterable[Any]) -> list[str]:
    """Flags of a column, one by one."""
    return [flag for value in column if not _missing(value) for flag in str(value).split(";") if flag]


def _scan(
    scan: dict[str, Any], by_scan: Mapping[str, Mapping[Any, pd.DataFrame]], out: Path, width: int
) -> dict[str, Any]:
    """One scan for the template: its row, and what belongs to it."""
    scan_id = scan["scan_id"]
    findings = by_scan["findings"].get(scan_id)
    excluded = by_scan["excluded"].get(scan_id)
    rows = [] if findings is None else [_row(row) for _, row in findings.iterrows()]
    spacings = [scan[f"{name}_spacing_mm"] for name in ("slice", "row", "column")]
    resolved = 3 * max([float(mm) for mm in spacings if not _missing(mm)], default=0.0)
    for row in rows:
        row["flags"] = _split([row["flags"]])
        # A long thin finding may be below the resolution in its volume; its length is measured all the same.
        short = not _missing(row["max_diameter_mm"]) and row["max_diameter_mm"] < resolved
        row["upper_bound"] = short and "below_resolution" in row["flags"]
    reasons: list[tuple[Any, int, float]] = []
    if excluded is not None:
        groups = excluded.groupby("reason")["volume_mm3"].agg(["count", "sum"]).sort_values("count", ascending=False)
        reasons = [(reason, int(n), float(volume)) for reason, n, volume in groups.itertuples()]
    picture = _picture(out, scan_id, width) if scan["status"] == "analysed" else None
    return scan | {"flags": _split([scan["flags"]]), "rows": rows, "reasons": reasons, "picture": picture}


def _picture(out: Path, scan_id: Any, width: int) -> str | None:
    """The overview of a scan as data URI, no wider than `width`; None where there is none."""
    from PIL import Image

    # The tables may have been edited since: a scan_id is a plain name, or it leads nowhere.
    if _missing(scan_id) or not re.fullmatch(r"[\w-]+", str(scan_id)):
        return None
    try:
        with Image.open(out / "scans" / str(scan_id) / "overview.png", formats=["PNG"]) as image:
            shown = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # absent, or no picture
        return None
    if shown.width > width:
        shown = shown.resize((width, round(shown.height * width / shown.width)), Image.Resampling.LANCZOS)
    return data_uri(shown)


def data_uri(image: Any) -> str:
    """A Pillow image as the source of an <img>."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=88, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


# -- charts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One bar: what it stands for, how many, and its share of the tallest."""

    label: str
    n: int
    share: float


@dataclass(frozen=True)
class Chart:
    """A bar chart; upright bars for a histogram, with a tick at each end of every bar."""

    title: str
    bars: list[Bar]
    ticks: list[str]


def _charts(findings: pd.DataFrame) -> list[Chart]:
    """Charts over all findings of the run."""
    if findings.empty:
        return []
    charts = [
        _histogram("Largest diameter, mm", findings["max_diameter_mm"]),
        _histogram("Largest intensity, HU", findings["intensity_max"]),
    ]
    counts = findings["pattern"].fillna("not named").value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    bars = [Bar(words(name), int(n), n / counts.max()) for name, n in counts.items()]
    charts.append(Chart("Pattern, findings", bars, []))
    return [chart for chart in charts if chart.bars]


def _histogram(title: str, values: pd.Series) -> Chart:
    """Bins of a round width."""
    known = values.dropna().to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return Chart(title, [], [])
    rough = max(float(np.ptp(known)) / MOST_BINS, 1e-6, float(np.abs(known).max()) / 100)
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(k * ten for k in (1, 2, 5, 10) if k * ten >= rough)
    first, last = math.floor(known.min() / step), math.floor(known.max() / step) + 1
    edges = np.arange(first, last + 1) * step
    n = np.bincount(np.clip(np.floor(known / step).astype(int) - first, 0, last - first - 1), minlength=last - first)
    decimals = max(0, -math.floor(math.log10(step)))
    ticks = [number(edge, decimals=decimals) for edge in edges]
    bars = [
        Bar(f"{low} to {high}", int(k), k / n.max()) for low, high, k in zip(ticks, ticks[1:], n.tolist(), strict=False)
    ]
    return Chart(title, bars, ticks)
