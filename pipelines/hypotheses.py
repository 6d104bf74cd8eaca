"""Rank the hypotheses of a finished run again, with context that was not known then."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from imaging import HYPOTHESES, NOTICE, Classifier, Context, UsageError, conform, rank_hypotheses

from .results import StudyResult
from .writers.tables import neutral


def rank_study(
    study: StudyResult, context: Context | None = None, classifier: Classifier | None = None
) -> pd.DataFrame:
    """The long table of hypotheses of a run: what each scan's header says, and `context`, which wins.

    Parameters
    ----------
    study : StudyResult
    context : Context, optional
    classifier : Classifier, optional
        The knowledge base by default.
    """
    parts = []
    for _, scan in study.scans[study.scans["status"] == "analysed"].iterrows():
        header = {k: v for k, v in scan.items() if isinstance(v, str | bool)}
        known = Context.from_header({str(k): v for k, v in header.items()}) | (context or Context())
        rows = study.findings[study.findings["scan_id"] == scan["scan_id"]]
        parts.append(rank_hypotheses(rows, classifier, context=known))
    return conform(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), HYPOTHESES)


def write_hypotheses(table: pd.DataFrame, out: str | Path) -> None:
    """Write the long table as CSV or Parquet, by the ending of `out`."""
    out = Path(out)
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError("the output must end in .csv or .parquet", out)
    try:
        if out.suffix == ".csv":
            neutral(table).to_csv(out, index=False, lineterminator="\n")
        else:
            table.to_parquet(out, index=False)
    except OSError as error:
        raise UsageError(f"the hypotheses cannot be written ({error.strerror}); check the folder", out) from None


def lines(table: pd.DataFrame) -> list[str]:
    """The table for a terminal."""
    made = [NOTICE]
    for (scan, finding), rows in table.groupby(["scan_id", "finding_id"], sort=False):
        made.append(f"{scan} finding {finding}")
        for _, r in rows.iterrows():
            grade = f"; evidence {r['evidence_grade']}" if isinstance(r["evidence_grade"], str) else ""
            of = f" of {r['score_attainable']:g}" if pd.notna(r["score_attainable"]) else ""
            depends = "; depends on what is not known" if r["conditional"] else ""
            made.append(f"  {r['rank']}. {r['hypothesis']} [{r['tendency']}{grade}] {r['score']:g}{of}{depends}")
            for name, head in (
                ("cues_fired", "for"),
                ("cues_against", "against"),
                ("cues_missing", "not measured"),
                ("context_missing", "not known"),
            ):
                if isinstance(r[name], str) and r[name]:
                    made.append(f"       {head}: {r[name]}")
        rest = rows["not_excluded"].iloc[0]
        made.append(f"     not excluded: {rest if isinstance(rest, str) and rest else 'other causes'}")
    return made
