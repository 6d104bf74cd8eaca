"""Hypotheses from the table of features. Research use only: never a diagnosis.

A classifier takes findings and gives, for each, a ranked list of what the pattern is more often described in. The rule
classifier reads its entries from ``knowledge.toml``; a trained model can stand behind the same interface.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TENDENCIES = ("benign", "concern", "indeterminate")
NOTICE = "Research use only. Not for diagnosis. Review by a qualified radiologist is required."
RANKED = 3


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


@dataclass(frozen=True)
class Entity:
    """One entry of the knowledge base; see ``knowledge.toml``."""

    name: str
    tendency: str
    evidence: str
    source: str
    requires: dict[str, list[str]]
    cues: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class RuleClassifier:
    """Ordinal evidence: the weights of the cues that fire, over the weights that could."""

    entities: tuple[Entity, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the entities."""
        return tuple(e.name for e in self.entities)

    def tendency(self, label: str) -> str:
        """Tendency of an entity."""
        return next(e.tendency for e in self.entities if e.name == label)

    def scores(self, findings: pd.DataFrame) -> NDArray[np.float64]:
        """Share of the attainable weight that fires, (n, entities); NaN where what is required is absent."""
        out = np.full((len(findings), len(self.entities)), np.nan)
        for k, entity in enumerate(self.entities):
            applies = np.ones(len(findings), bool)
            for column, words in entity.requires.items():
                applies &= findings[column].isin(words).to_numpy()
            got = sum((cue["weight"] * _fires(findings, cue) for cue in entity.cues), np.zeros(len(findings)))
            most = sum(cue["weight"] for cue in entity.cues if cue["weight"] > 0)
            out[applies, k] = got[applies] / most
        return out


def _fires(findings: pd.DataFrame, cue: dict[str, Any]) -> NDArray[np.bool_]:
    """Where a cue holds; a missing value does not fire."""
    column = findings[cue["column"]]
    if "is" in cue:
        return np.asarray(column.isin(cue["is"]).to_numpy(dtype=bool))
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(values >= cue["at_least"] if "at_least" in cue else values <= cue["at_most"])


@cache
def rule_classifier() -> RuleClassifier:
    """The classifier of the knowledge base that ships with calcimap."""
    raw = tomllib.loads(resources.files(__package__).joinpath("knowledge.toml").read_text(encoding="utf-8"))
    entities = []
    for entry in raw["entity"]:
        if entry["tendency"] not in TENDENCIES:
            raise ValueError(f"{entry['name']}: tendency must be one of {TENDENCIES}, got {entry['tendency']!r}")
        entities.append(Entity(**{**entry, "cues": tuple(entry["cues"])}))
    return RuleClassifier(tuple(entities))


def classify(findings: pd.DataFrame, classifier: Classifier | None = None) -> pd.DataFrame:
    """Rank hypotheses for every finding.

    Parameters
    ----------
    findings : DataFrame
        With patterns named (`imaging.name_patterns`).
    classifier : Classifier, optional
        The rules of the knowledge base by default.

    Returns
    -------
    DataFrame
        With ``hypothesis`` (the first of the ranking; ties keep the order of the knowledge base),
        ``hypothesis_tendency``, and ``hypotheses_ranked`` ("name (score)" of the first three, joined by '; '). Scores
        are ordinal, no probabilities. Missing where nothing applies.
    """
    model = rule_classifier() if classifier is None else classifier
    labels = model.labels
    scores = model.scores(findings)
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=1, kind="stable")
    first: list[str | None] = []
    ranked: list[str | None] = []
    for row, ranks in zip(scores, order, strict=True):
        named = [k for k in ranks[:RANKED] if np.isfinite(row[k])]
        first.append(labels[named[0]] if named else None)
        ranked.append("; ".join(f"{labels[k]} ({row[k]:.2f})" for k in named) or None)
    table = findings.copy()
    table["hypothesis"] = pd.Series(first, dtype="string", index=table.index)
    tendency = [None if name is None else model.tendency(name) for name in first]
    table["hypothesis_tendency"] = pd.Series(tendency, dtype="string", index=table.index)
    table["hypotheses_ranked"] = pd.Series(ranked, dtype="string", index=table.index)
    return table
