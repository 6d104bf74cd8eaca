"""Hypotheses from the table of features. Research use only: never a diagnosis.

A classifier takes findings and gives a score for every label. The rules of the knowledge base (`imaging.knowledge`) are
the default; a model that researchers trained (`imaging.train_model`) stands behind the same interface.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .columns import HYPOTHESES, conform
from .knowledge.base import TENDENCIES, VERSION
from .knowledge.context import Context
from .knowledge.rules import APPLIES, RuleClassifier, rule_classifier
from .knowledge.wording import NOTICE, line, not_excluded

RANKED = 3
"""Hypotheses named in ``hypotheses_ranked``."""
LISTED = 5
"""Hypotheses of a finding in the long table."""


class Classifier(Protocol):
    """What `classify` needs: a score for every finding and label."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What findings can be, in a fixed order."""
        ...

    def scores(self, findings: pd.DataFrame) -> NDArray[np.float64]:
        """Score of every label, (n findings, n labels); NaN where a label does not apply."""
        ...

    def tendency(self, label: str) -> str:
        """One of `TENDENCIES`."""
        ...


def classify(
    findings: pd.DataFrame, classifier: Classifier | None = None, *, context: Context | None = None
) -> pd.DataFrame:
    """Rank hypotheses for every finding.

    Parameters
    ----------
    findings : DataFrame
        With patterns named (`imaging.name_patterns`).
    classifier : Classifier, optional
        The rules of the knowledge base by default; a trained `imaging.Model`, or one of your own.
    context : Context, optional
        What is known beside the findings; for the rules of the knowledge base.

    Returns
    -------
    DataFrame
        With ``hypothesis`` (the first of the ranking; ties keep the order of the labels), ``hypothesis_tendency``,
        ``hypotheses_ranked`` ("name (score)" of the first three, joined by '; '), ``mechanism`` and
        ``not_excluded``. Scores of the rules are points, no probabilities. Missing where nothing applies; entries
        that depend on a site or fact which is not known are ranked behind, marked '?', and are never the
        ``hypothesis``.
    """
    model = _with_context(classifier, context)
    labels = model.labels
    if isinstance(model, RuleClassifier):
        a = model.assess(findings)
        order, scores = a.order, np.where(np.isnan(model.points(a)), np.nan, a.points)
    else:
        scores = model.scores(findings)
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=1, kind="stable")
    values: dict[str, list[Any]] = {name: [] for name in _WIDE}
    for row in range(len(findings)):
        named = [int(k) for k in order[row] if np.isfinite(scores[row, k])][:RANKED]
        first = named[0] if named else None
        if first is not None and isinstance(model, RuleClassifier) and a.status[row, first] != APPLIES:
            first = None  # what depends on something that is not known is listed, and no more
        values["hypothesis"].append(None if first is None else labels[first])
        values["hypothesis_tendency"].append(None if first is None else model.tendency(labels[first]))
        mechanism = others = None
        if isinstance(model, RuleClassifier):
            sure = [a.status[row, k] == APPLIES for k in named]
            texts = [f"{labels[k]} ({scores[row, k]:.0f}{'' if s else '?'})" for k, s in zip(named, sure, strict=True)]
            if first is not None:
                mechanism = model.entities[first].mechanism or None
                others = "; ".join(not_excluded(model, a, row, first)) or None
        else:
            texts = [f"{labels[k]} ({scores[row, k]:.2f})" for k in named]
        values["hypotheses_ranked"].append("; ".join(texts) or None)
        values["mechanism"].append(mechanism)
        values["not_excluded"].append(others)
    table = findings.copy()
    for name in _WIDE:
        table[name] = pd.Series(values[name], dtype="string", index=table.index)
    return table


_WIDE = ("hypothesis", "hypothesis_tendency", "hypotheses_ranked", "mechanism", "not_excluded")


def rank_hypotheses(
    findings: pd.DataFrame, classifier: Classifier | None = None, *, context: Context | None = None, most: int = LISTED
) -> pd.DataFrame:
    """The long table of hypotheses: one row per finding and rank, with the evidence in words.

    Parameters
    ----------
    findings, classifier, context
        As for `classify`.
    most : int
        Ranks listed.

    Returns
    -------
    DataFrame
        Columns of `imaging.HYPOTHESES`; no row for a finding that nothing applies to.
    """
    model = _with_context(classifier, context)
    rows = _explained(findings, model, most) if isinstance(model, RuleClassifier) else _scored(findings, model, most)
    made = pd.DataFrame(rows, columns=list(HYPOTHESES) if not rows else None)
    return conform(made, HYPOTHESES)


def _with_context(classifier: Classifier | None, context: Context | None) -> Classifier:
    if classifier is None:
        return rule_classifier(context)
    if context is not None and isinstance(classifier, RuleClassifier):
        return RuleClassifier(classifier.entities, classifier.context | context)
    return classifier


def _identities(findings: pd.DataFrame) -> list[dict[str, Any]]:
    table = pd.DataFrame({name: findings.get(name) for name in ("scan_id", "finding_id")}, index=findings.index)
    return table.to_dict("records")  # type: ignore[return-value]  # names of columns are texts


def _explained(findings: pd.DataFrame, model: RuleClassifier, most: int) -> list[dict[str, Any]]:
    a = model.assess(findings)
    rows = []
    cues = {c.name for e in model.entities for c, _ in (*e.supports, *e.opposes)}
    measured = findings[[name for name in findings if name in cues or name == "modality"]].to_dict("records")
    for row, (identity, values) in enumerate(zip(_identities(findings), measured, strict=True)):
        for rank, k in enumerate(a.ranked(row, most), 1):
            e, text = model.entities[k], line(model, a, row, k, values)
            rows.append(
                {
                    **identity, "rank": rank, "hypothesis": e.name, "tendency": e.tendency,
                    "mechanism": e.mechanism or None, "score": float(a.points[row, k]),
                    "score_attainable": float(e.attainable), "conditional": a.status[row, k] != APPLIES,
                    "cues_fired": text.cues_fired, "cues_against": text.cues_against,
                    "cues_missing": text.cues_missing, "context_missing": text.context_missing,
                    "not_excluded": text.not_excluded, "evidence_grade": e.evidence, "note": e.note or None,
                    "source": e.source, "statement": text.statement, "classifier": f"knowledge base {VERSION}",
                }
            )  # fmt: skip
    return rows


def _scored(findings: pd.DataFrame, model: Classifier, most: int) -> list[dict[str, Any]]:
    scores = model.scores(findings)
    rows = []
    for row, identity in enumerate(_identities(findings)):
        order = np.argsort(-np.nan_to_num(scores[row], nan=-np.inf), kind="stable")[:most]
        for rank, k in enumerate(order[np.isfinite(scores[row, order])], 1):
            label = model.labels[k]
            said = f"Score of the given classifier for {label}: {scores[row, k]:.2f} among {', '.join(model.labels)}."
            rows.append(
                {
                    **identity, "rank": rank, "hypothesis": label, "tendency": model.tendency(label),
                    "score": float(scores[row, k]), "conditional": False, "statement": f"{said} {NOTICE}",
                    "classifier": type(model).__name__,
                }
            )  # fmt: skip
    return rows


__all__ = [
    "LISTED", "NOTICE", "RANKED", "TENDENCIES", "Classifier", "Context", "RuleClassifier", "classify",
    "rank_hypotheses", "rule_classifier",
]  # fmt: skip
