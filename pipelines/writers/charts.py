"""Charts over all scans of a run, as SVG: the same in the report and in files for a paper.

One hue carries the data (blue of the Okabe-Ito palette), text says the rest; axes name their units. Sizes and volumes
span orders of magnitude and stand on logarithmic axes, and so never as bars that would need a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .html import DASH, number, words

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 420.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 16.0, 14.0, 40.0
PLOT_HEIGHT = 170.0
ROW = 19.0
MOST_ROWS = 24
"""Scans with a row of their own in the chart of burden, the largest."""
MOST_BINS = 16
DECADE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Edges of bins in each decade of a logarithmic axis."""
STYLE = """\
text { font: 11px "Helvetica Neue", Arial, "Liberation Sans", sans-serif; fill: #1b1f24; }
.soft { fill: #57606a; }
.title { font-size: 13px; font-weight: bold; }
.axis { stroke: #8c959f; stroke-width: 1; fill: none; }
.grid { stroke: #e3e6ea; stroke-width: 1; }
.mark { fill: #0072b2; }
"""


@dataclass(frozen=True)
class Chart:
    """One chart: a name for files, what it shows, what to know about it, and the drawing (SVG without its style)."""

    name: str
    title: str
    note: str
    width: float
    height: float
    body: str

    @property
    def drawing(self) -> Markup:
        """The body, for a template: all text in it is escaped."""
        from markupsafe import Markup

        return Markup(self.body)  # noqa: S704  # made here, see _text

    @property
    def svg(self) -> str:
        """A whole file."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height + 20:g}" '
            f'width="{self.width:g}" height="{self.height + 20:g}"><style>{STYLE}</style>'
            f'<text x="0" y="13" class="title">{escape(self.title)}</text>'
            f'<g transform="translate(0 20)">{self.body}</g></svg>\n'
        )


def cohort_charts(findings: pd.DataFrame, scans: pd.DataFrame) -> list[Chart]:
    """Burden, size, HU and patterns; those for which there is anything to show."""
    ct = findings[findings["modality"] == "CT"] if len(findings) else findings
    made = (
        _burden(scans),
        _histogram("size", "Largest diameter", "mm", findings["max_diameter_mm"], _decades),
        _histogram("hu", "Maximum HU", "HU", ct["intensity_max"], _even),
        _patterns(findings),
    )
    return [chart for chart in made if chart is not None]


# -- parts -------------------------------------------------------------------------------------------------------------


def _text(x: float, y: float, words_: str, anchor: str = "start", kind: str = "") -> str:
    soft = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{soft}>{escape(words_)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{kind}"/>'


def _bar(x: float, y: float, width: float, height: float, tip: str) -> str:
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" class="mark">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _known(values: Any) -> NDArray[np.float64]:
    known = pd.Series(values).dropna().to_numpy(dtype=float)
    return np.asarray(known[np.isfinite(known)], dtype=np.float64)


# -- charts ------------------------------------------------------------------------------------------------------------


def _burden(scans: pd.DataFrame) -> Chart | None:
    """Total volume of each scan on a logarithmic axis, one row a scan, the largest first."""
    ct = scans[(scans["status"] == "analysed") & (scans["modality"] == "CT")]
    total = ct["total_volume_mm3"].to_numpy(dtype=float, na_value=np.nan)
    some = ct[total > 0].sort_values("total_volume_mm3", ascending=False, kind="stable")
    if some.empty:
        return None
    shown, left = some.iloc[:MOST_ROWS], 112.0
    values = shown["total_volume_mm3"].to_numpy(dtype=float)
    low, high = math.floor(math.log10(values.min()) - 1e-9), math.ceil(math.log10(values.max()) + 1e-9)
    span = (WIDTH - left - 60) / max(high - low, 1)
    bottom = TOP + ROW * len(shown)
    parts = []
    for power in range(low, high + 1):
        x = left + span * (power - low)
        parts += [
            _line(x, TOP - 4, x, bottom, "grid"),
            _text(x, bottom + 15, number(10.0**power, decimals=max(0, -power)), "middle", "soft"),
        ]
    for k, (scan_id, value, n) in enumerate(zip(shown["scan_id"], values, shown["n_findings"], strict=True)):
        x, y = left + span * (math.log10(value) - low), TOP + ROW * (k + 0.5)
        tip = f"{scan_id}: {number(value)} mm³, {n} findings"
        parts += [
            _text(left - 8, y + 4, str(scan_id)[:12], "end"),
            _line(left, y, WIDTH - 60, y, "grid"),
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="mark"><title>{escape(tip)}</title></circle>',
            _text(x + 9, y + 4, number(value), "start", "soft"),
        ]
    parts += [
        _line(left, TOP - 4, left, bottom, "axis"),
        _text((left + WIDTH - 60) / 2, bottom + 32, "mm³, logarithmic", "middle", "soft"),
    ]
    clean = int((total == 0).sum())
    notes = [f"{len(some) - len(shown)} scans with less are not shown"] if len(some) > len(shown) else []
    notes += [f"{clean} analysed CT {'scan' if clean == 1 else 'scans'} without findings"] if clean else []
    return Chart(
        "burden", "Total volume of findings by CT scan", "; ".join(notes), WIDTH, bottom + BOTTOM, "".join(parts)
    )


def _decades(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges for a logarithmic axis."""
    positive = values[values > 0]
    if not len(positive):
        return np.array([1.0, 10.0])
    powers = range(math.floor(math.log10(positive.min())) - 1, math.ceil(math.log10(positive.max())) + 1)
    edges = np.array([step * 10.0**power for power in powers for step in DECADE])
    first = int(np.searchsorted(edges, positive.min(), side="right")) - 1
    last = int(np.searchsorted(edges, positive.max(), side="right"))
    return edges[max(first, 0) : last + 1]


def _even(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of a round, equal width."""
    rough = max(float(np.ptp(values)) / MOST_BINS, float(np.abs(values).max()) / 100, 1e-6)
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(k * ten for k in (1, 2, 5, 10) if k * ten >= rough)
    first, last = math.floor(values.min() / step), math.floor(values.max() / step) + 1
    return np.arange(first, last + 1) * step


def _histogram(name: str, title: str, unit: str, column: pd.Series, edges_of: Any) -> Chart | None:
    values = _known(column)
    if not len(values):
        return None
    edges = edges_of(values)
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    n = np.bincount(which, minlength=len(edges) - 1)
    bottom, along = TOP + PLOT_HEIGHT, np.log10(edges) if edges_of is _decades else edges
    at = (LEFT + (WIDTH - LEFT - RIGHT) * (along - along[0]) / (along[-1] - along[0])).tolist()
    ticks = [_tick(edge) for edge in edges.tolist()]
    parts = _counts_axis(int(n.max()), bottom)
    for k, height in enumerate(n.tolist()):
        tall = PLOT_HEIGHT * height / _top(int(n.max()))
        if height:
            tip = f"{ticks[k]} to {ticks[k + 1]} {unit}: {height}"
            parts.append(_bar(at[k] + 1, bottom - tall, at[k + 1] - at[k] - 2, tall, tip))
            parts.append(_text((at[k] + at[k + 1]) / 2, bottom - tall - 4, str(height), "middle", "soft"))
    every = math.ceil(len(ticks) / 9)
    parts += [_text(at[k], bottom + 15, ticks[k], "middle", "soft") for k in range(0, len(ticks), every)]
    parts.append(_line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"))
    scale = ", logarithmic" if edges_of is _decades else ""
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 32, f"{unit}{scale}", "middle", "soft"))
    left_out = len(column) - len(values)
    note = f"{left_out} findings without this measure" if left_out else ""
    return Chart(name, title, note, WIDTH, bottom + BOTTOM, "".join(parts))


def _tick(value: float) -> str:
    """An edge with as many decimals as it has."""
    decimals = f"{value:.6f}".rstrip("0").partition(".")[2]
    return number(value, decimals=len(decimals))


def _top(most: int) -> int:
    """A round number a little above the largest count."""
    step = _step(most)
    return step * (math.ceil(most * 1.08 / step))


def _step(most: int) -> int:
    ten = 10 ** max(0, math.floor(math.log10(max(most, 1))))
    return max(1, next(int(k * ten / 10) or 1 for k in (2, 5, 10, 20, 50) if k * ten / 10 >= most / 5))


def _counts_axis(most: int, bottom: float) -> list[str]:
    """Lines and numbers of a count axis."""
    top, parts = _top(most), []
    for k in range(0, top + 1, _step(most)):
        y = bottom - PLOT_HEIGHT * k / top
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, "grid"), _text(LEFT - 6, y + 4, str(k), "end", "soft")]
    turned = f"translate(11 {bottom - PLOT_HEIGHT / 2:.1f}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle" class="soft">findings</text>')
    return parts


def _patterns(findings: pd.DataFrame) -> Chart | None:
    """Findings by pattern, the most frequent first."""
    if findings.empty:
        return None
    counts = findings["pattern"].fillna("not named").value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    left, bottom = 100.0, TOP + ROW * len(counts)
    parts: list[str] = []
    names: Sequence[Any] = counts.index.tolist()
    for k, (name, n) in enumerate(zip(names, counts.tolist(), strict=True)):
        y, wide = TOP + ROW * k, (WIDTH - left - 50) * n / counts.max()
        share = f"{100 * n / len(findings):.0f} %" if len(findings) else DASH
        parts += [
            _text(left - 8, y + 13, words(name), "end"),
            _bar(left, y + 3, wide, ROW - 6, f"{words(name)}: {n} ({share})"),
            _text(left + wide + 6, y + 13, str(n), "start", "soft"),
        ]
    parts += [_line(left, TOP, left, bottom, "axis"), _text(left, bottom + 18, "findings", "start", "soft")]
    return Chart("patterns", "Findings by pattern", "", WIDTH, bottom + 26, "".join(parts))
