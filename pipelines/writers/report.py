"""The report of a run: one HTML file that needs nothing else, made from tables and galleries in the folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imaging import ECHO_REASONS, EXCLUSION_REASONS, FINDINGS, FLAGS, NOTICE, REASONS

from ..config import Config
from ..results import SCANS, StudyResult
from .charts import cohort_charts
from .gallery import FILE, LISTED, Gallery
from .html import missing, write_page

STATUS = {
    "analysed": "analysed",
    "refused": "refused: understood, and not safe to measure",
    "failed": "failed: an error",
    "ignored": "ignored: not an image series of ours",
}
MOST_ROWS = 5000
"""Findings in the table of the report, the largest; findings.csv has all."""
MOST_SCANS = 1000
"""With more scans than that the report has no section for each: the summary, charts and the table of findings."""
CANDIDATE = ["scan_id", "excluded_id", "reason", "volume_mm3", "intensity_max", "hu_drop"]
MOST_CARDS = 1000
"""Findings with a card of their own, the largest."""
MOST_STATIC, MOST_STATIC_ROWS = 80, 200
"""Cards and rows that stand in the page as they are; its script unfolds the others when they come into sight."""
BUDGET = 14_000_000
"""Bytes of pictures: what does not fit is left out, the smallest findings first, and the report says so."""
VIEWER = "viewer.html"


def write_report(study: StudyResult) -> None:
    """``report.html``: what was run, what was not analysed and why, charts, the findings, and each scan with pictures.

    One script, allowed by its hash, sorts and filters; without it everything is still there to read. Nothing refers to
    anything outside the folder, and there are no paths and no identifiers. What is missing in a table is an en dash in
    the report, never 0.

    Parameters
    ----------
    study : StudyResult
        Its tables; ``gallery.json`` and ``viewer.html`` in ``study.out/scans/<scan_id>`` where they were written, and
        ``run.json``.
    """
    write_page(study.out / "report.html", "report", _contents(study))


def _contents(study: StudyResult) -> dict[str, Any]:
    """Everything that the template names."""
    scans, findings = study.scans, study.findings
    analysed = scans[scans["status"] == "analysed"]
    left_out = scans[scans["status"].isin(("refused", "failed"))]
    listed = scans if len(analysed) <= MOST_SCANS else scans[:0]
    tables = {
        "findings": dict(tuple(findings.groupby("scan_id"))),
        "excluded": dict(tuple(study.columns("excluded", CANDIDATE).groupby("scan_id"))) if len(listed) else {},
        "burden": dict(tuple(study.burden.groupby("scan_id"))),
    }
    flags = sorted({flag for table in (scans, findings) for flag in _split(table["flags"])})
    places = {scan_id: k for k, scan_id in enumerate(scans["scan_id"], 1)}
    names = listed.loc[listed["status"] == "analysed", "scan_id"]
    folders = {name: folder for name in names if (folder := _folder(study.out, name)) is not None}
    galleries, unshown = _galleries(study, folders)
    evidence = _evidence(study.hypotheses) if len(listed) else {}
    table = _largest(findings, MOST_ROWS)
    cards = set(_largest(findings, MOST_CARDS).index) if len(listed) else set()
    sections = [
        _scan(row, k, {n: t.get(row["scan_id"]) for n, t in tables.items()}, galleries.get(row["scan_id"], Gallery()))
        for k, row in enumerate(map(_row, _rows(listed)), 1)
    ]
    for scan in sections:
        scan["viewer"] = _viewer(study.out, scan["scan_id"])
        for row in scan["rows"]:
            row["evidence"] = evidence.get((row["scan_id"], row["finding_id"]), {})
        scan["cards"] = [row for row in scan["rows"] if row["index"] in cards]
    for k, row in enumerate((row for scan in sections for row in scan["cards"]), 1):
        row["card_number"] = k
    return {
        "notice": NOTICE,
        "ran": _ran(study.out),
        "statuses": [(name, STATUS[name], n) for name, n in study.counts.items() if n or name == "analysed"],
        "n_scans": len(scans),
        "n_findings": len(findings),
        "n_with": int((analysed["n_findings"] > 0).sum()),
        "n_without": int((analysed["n_findings"] == 0).sum()),
        "left_out": [_row(row) for row in _rows(left_out)],
        "ignored": sorted(pd.Series(list(study.ignored.values()), dtype="object").value_counts().items()),
        "set_aside": _counted(scans.loc[scans["status"] == "ignored", ["modality", "reason"]]),
        "scans": sections,
        "too_many": len(listed) < len(scans),
        "n_cards": len(cards),
        "most_static": MOST_STATIC,
        "most_rows": MOST_STATIC_ROWS,
        "table": [
            _finding(row) | {"place": places.get(row["scan_id"], 0), "card": row.name in cards} for row in _rows(table)
        ],
        "patterns": sorted(findings["pattern"].dropna().unique()) if len(findings) else [],
        "columns": {name: bool(len(findings)) and bool(findings[name].notna().any()) for name in ("organ", "agatston")},
        "burden": [_row(row) for row in _rows(study.burden) if row["organ"] == "(all)"],
        "places": places,
        "unshown": unshown,
        "listed": LISTED,
        "charts": cohort_charts(findings, scans),
        "units": {name: column.unit for name, column in (FINDINGS | SCANS).items()},
        "definitions": {name: column.definition for name, column in (FINDINGS | SCANS).items()},
        "reasons": REASONS,
        "exclusions": EXCLUSION_REASONS | ECHO_REASONS,
        "flags": [(flag, FLAGS.get(flag, "")) for flag in flags],
        "meanings": FLAGS,
    }


# -- what was run ------------------------------------------------------------------------------------------------------


def _ran(out: Path) -> dict[str, Any]:
    """Version, time, and every setting that is not the default, from run.json; empty where there is none."""
    try:
        run = json.loads((out / "run.json").read_text(encoding="utf-8"))
        plain = Config().to_dict()
        changed = {
            f"{group}.{key}": value
            for group, entries in run["config"].items()
            for key, value in entries.items()
            if json.loads(json.dumps(plain.get(group, {}).get(key))) != value
        }
        started = datetime.fromtimestamp(float(run["started_unix_s"]), UTC)
        return {
            "versions": {str(k): str(v) for k, v in run["versions"].items()},
            "started": f"{started:%Y-%m-%d %H:%M} UTC",
            "changed": sorted((key, json.dumps(value)) for key, value in changed.items()),
            "context": sorted((str(k), str(v)) for k, v in run.get("context", {}).items()),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(table: pd.DataFrame) -> Iterator[pd.Series]:
    return (row for _, row in table.iterrows())


def _row(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()} | {"index": row.name}


def _finding(row: pd.Series) -> dict[str, Any]:
    """A finding for the template: its flags one by one, and whether its diameter is an upper bound."""
    own = _row(row)
    own["flags"] = _split([own["flags"]])
    resolved = own["resolution_mm"]
    # A long thin finding may be below the resolution in its volume; its length is measured all the same.
    short = not missing(own["max_diameter_mm"]) and not missing(resolved) and own["max_diameter_mm"] < 3 * resolved
    own["upper_bound"] = short and "below_resolution" in own["flags"]
    return own


def _split(column: Iterable[Any]) -> list[str]:
    """Flags of a column, one by one."""
    return [flag for value in column if not missing(value) for flag in str(value).split(";") if flag]


def _largest(findings: pd.DataFrame, most: int) -> pd.DataFrame:
    """The largest so many findings, in their order."""
    if len(findings) <= most:
        return findings
    size = findings["volume_mm3"].fillna(findings["n_voxels"].astype(float))
    return findings.loc[size.sort_values(ascending=False, kind="stable").index[:most]].sort_index()


def _counted(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Rows that are alike, counted."""
    groups = table.fillna("").groupby(list(table.columns)).size().reset_index(name="n")
    return [(str(modality), str(reason), int(n)) for modality, reason, n in groups.itertuples(index=False)]


def _evidence(hypotheses: pd.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    """What speaks for and against the first hypothesis of each finding."""
    first = hypotheses[hypotheses["rank"] == 1]
    return {(row["scan_id"], int(row["finding_id"])): _row(row) for row in _rows(first)}


def _scan(
    scan: dict[str, Any], place: int, tables: Mapping[str, pd.DataFrame | None], gallery: Gallery
) -> dict[str, Any]:
    """One scan for the template: its row, and what belongs to it."""
    findings, excluded, burden = (tables[name] for name in ("findings", "excluded", "burden"))
    rows = [] if findings is None else [_finding(row) for row in _rows(findings)]
    for row in rows:
        row["panels"] = gallery.findings.get(int(row["finding_id"]), [])
    reasons: list[tuple[Any, int, float]] = []
    listed: list[dict[str, Any]] = []
    if excluded is not None:
        groups = excluded.groupby("reason")["volume_mm3"].agg(["count", "size", "sum"])
        groups = groups.sort_values("size", ascending=False, kind="stable")
        reasons = [
            (reason, int(n), float(volume) if known else float("nan"))
            for reason, known, n, volume in groups.itertuples()
        ]
        near = excluded[excluded["reason"].isin(LISTED)].sort_values("volume_mm3", ascending=False, kind="stable")
        listed = [_row(row) | {"panels": gallery.excluded.get(int(row["excluded_id"]), [])} for row in _rows(near)]
    organs = (
        [] if burden is None else [_row(row) for row in _rows(burden) if row["organ"] not in ("(all)", "(unknown)")]
    )
    own = {"flags": _split([scan["flags"]]), "rows": rows, "reasons": reasons, "listed": listed, "organs": organs}
    return scan | own | {"place": place, "overview": gallery.overview}


# -- pictures ----------------------------------------------------------------------------------------------------------


def _folder(out: Path, scan_id: Any) -> Path | None:
    """The folder of a scan. The tables may have been edited since: a scan_id is a plain name, or it leads nowhere."""
    return out / "scans" / str(scan_id) if not missing(scan_id) and re.fullmatch(r"[\w-]+", str(scan_id)) else None


def _viewer(out: Path, scan_id: Any) -> str:
    """The address of a scan's viewer relative to the report; empty where there is none."""
    folder = _folder(out, scan_id)
    return f"scans/{scan_id}/{VIEWER}" if folder is not None and (folder / VIEWER).is_file() else ""


def _galleries(study: StudyResult, folders: Mapping[Any, Path]) -> tuple[dict[Any, Gallery], int]:
    """Galleries by scan within the budget, and how many candidates lost their pictures to it.

    Overviews come first, then findings from the largest of the run down, then what is listed. Files are read one at a
    time, first for their sizes and again for what is shown: no more than the budget is held.
    """
    kept = {scan_id: Gallery() for scan_id in folders}
    sizes: dict[str, dict[tuple[Any, int], int]] = {"findings": {}, "excluded": {}}
    spent = unshown = 0
    for scan_id, folder in folders.items():
        gallery = Gallery.read(folder / FILE)
        if spent + (size := Gallery.size(gallery.overview)) <= BUDGET:
            kept[scan_id].overview.extend(gallery.overview)
            spent += size
        for name, known in sizes.items():
            known |= {(scan_id, k): Gallery.size(panels) for k, panels in getattr(gallery, name).items() if panels}
    shown: dict[Any, list[tuple[str, int]]] = {}
    for name, number in (("findings", "finding_id"), ("excluded", "excluded_id")):
        table = study.columns(name, ["scan_id", number, "volume_mm3"])
        table = table.sort_values("volume_mm3", ascending=False, kind="stable")
        for scan_id, k in table[["scan_id", number]].itertuples(index=False):
            size = sizes[name].get((scan_id, int(k)), 0)
            if size and spent + size <= BUDGET:
                shown.setdefault(scan_id, []).append((name, int(k)))
                spent += size
            elif size:
                unshown += 1
    for scan_id, chosen in shown.items():
        gallery = Gallery.read(folders[scan_id] / FILE)
        for name, k in chosen:
            getattr(kept[scan_id], name)[k] = getattr(gallery, name)[k]
    return kept, unshown
