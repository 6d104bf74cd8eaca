"""Figures for papers, as vectors: the overview of each scan on white, and the charts of the report."""

from __future__ import annotations

from pathlib import Path

from ..results import ClipResult, ScanResult, StudyResult
from .charts import cohort_charts
from .drawing import PAPER
from .pictures import compose_overview


def write_figure(result: ScanResult | ClipResult, folder: Path) -> None:
    """``overview.svg``: what overview.png shows, on white; outlines, letters and scale bars are vectors."""
    import matplotlib as mpl

    # The same bytes every time; text stays text.
    with mpl.rc_context({"svg.hashsalt": "calcimap", "svg.fonttype": "none"}):
        compose_overview(result, PAPER).savefig(folder / "overview.svg", format="svg", metadata={"Date": None})


def write_charts(study: StudyResult) -> None:
    """``figures/``: burden, size, HU and patterns as SVG; charts of an earlier run there are replaced."""
    folder = study.out / "figures"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for chart in cohort_charts(study.findings, study.scans):
        (folder / f"{chart.name}.svg").write_text(chart.svg, encoding="utf-8", newline="\n")
