"""Ranking by rules: the points of the cues that hold, less those that speak against; nothing becomes a percentage.

An entry whose site or required cues are known to be otherwise is not considered. Where they are not known, it is
*conditional*: it comes after every entry that applies, and what it depends on is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .base import Entity, entities
from .conditions import FALSE, TRUE, UNKNOWN, Cue, Evidence, States
from .context import Context
from .evidence import gather

OUT, CONDITIONAL, APPLIES = 0, 1, 2
CONDITIONAL_COST = 100.0
"""Points that an entry loses in `scores` while what it requires is not known: more than any entry can have."""
LEAST = 1
"""Points from which an entry is a hypothesis: something must speak for it."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """All entries against all findings.

    Parameters
    ----------
    status : (n, entries) ndarray of int
        OUT, CONDITIONAL or APPLIES.
    points : (n, entries) ndarray of int
        What speaks for it less what speaks against it; a site that it is bound to counts one.
    supported : (n, entries) ndarray of bool
        Something beside the site speaks for it, and the points are positive.
    order : (n, entries) ndarray of int
        Entries from the first of the ranking to the last.
    states : dict of str to (n,) ndarray
        TRUE, FALSE or UNKNOWN by the text of the cue.
    site_known : (n,) ndarray of bool
    """

    status: NDArray[np.int8]
    points: NDArray[np.int64]
    supported: NDArray[np.bool_]
    order: NDArray[np.int64]
    states: dict[str, States]
    site_known: NDArray[np.bool_]

    @cached_property
    def stands(self) -> NDArray[np.bool_]:
        """(n, entries): not ruled out, and something speaks for it."""
        return np.asarray((self.status != OUT) & self.supported)

    def ranked(self, row: int, most: int) -> list[int]:
        """The first hypotheses of a finding: what is not ruled out and has something for it."""
        return [int(k) for k in self.order[row] if self.stands[row, k]][:most]


@dataclass(frozen=True)
class RuleClassifier:
    """The knowledge base as a `imaging.Classifier`.

    Parameters
    ----------
    entities : tuple of Entity
    context : Context
        What is known beside the findings table.
    """

    entities: tuple[Entity, ...] = field(default_factory=entities)
    context: Context = field(default_factory=Context)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the entries."""
        return tuple(e.name for e in self.entities)

    def tendency(self, label: str) -> str:
        """Tendency of an entry."""
        return next(e.tendency for e in self.entities if e.name == label)

    def scores(self, findings: pd.DataFrame) -> NDArray[np.float64]:
        """Points, (n, entries), `CONDITIONAL_COST` less where conditional; NaN where nothing speaks for it."""
        return self.points(self.assess(findings))

    def points(self, a: Assessment) -> NDArray[np.float64]:
        """`scores` of an assessment."""
        points = np.where(a.status == CONDITIONAL, a.points - CONDITIONAL_COST, a.points)
        return np.where(a.stands, points, np.nan)

    def assess(self, findings: pd.DataFrame) -> Assessment:
        """Every cue of every entry for every finding."""
        evidence = gather(findings, self.context)
        every = [c for e in self.entities for c in (*e.requires, *(c for c, _ in (*e.supports, *e.opposes)))]
        states = {c.text: c.states(evidence) for c in {c.text: c for c in every}.values()}
        shape = (len(evidence), len(self.entities))
        status, points = np.full(shape, APPLIES, np.int8), np.zeros(shape, np.int64)
        supported = np.zeros(shape, bool)
        at_site = _at_site(evidence, self.entities)
        for k, entity in enumerate(self.entities):
            needed = [c.allowed(evidence) if c.name == "pattern" else states[c.text] for c in entity.requires]
            needed += [at_site[:, k]] if entity.sites else []
            for state in needed:
                status[state == UNKNOWN, k] = np.minimum(status[state == UNKNOWN, k], CONDITIONAL)
                status[state == FALSE, k] = OUT
            points[:, k] = (at_site[:, k] == TRUE) if entity.sites else 0
            support = _sum(entity.supports, states, len(evidence))
            supported[:, k] = support >= LEAST
            points[:, k] += support
            points[:, k] -= _sum(entity.opposes, states, len(evidence))
        supported &= points >= LEAST
        share = points / np.array([max(e.attainable, 1) for e in self.entities])
        index = np.broadcast_to(np.arange(shape[1]), shape)
        stands = supported & (status != OUT)
        order = np.lexsort((index, -share, -points, -status, ~stands), axis=1)
        known = evidence.frame["site"].notna().to_numpy(bool)
        return Assessment(status, points, supported, order, states, known)


def rule_classifier(context: Context | None = None) -> RuleClassifier:
    """The classifier of the knowledge base that ships with calcimap."""
    return RuleClassifier(context=context or Context())


def _sum(weighted: Iterable[tuple[Cue, int]], states: dict[str, States], n: int) -> NDArray[np.int64]:
    total = np.zeros(n, np.int64)
    for cue, weight in weighted:
        total += weight * (states[cue.text] == TRUE)
    return total


def _at_site(evidence: Evidence, entries: tuple[Entity, ...]) -> States:
    """TRUE where the finding lies at a site of the entry, FALSE where it cannot."""
    made = np.full((len(evidence), len(entries)), UNKNOWN, np.int8)
    known = [s if isinstance(s, str) else None for s in evidence.frame["site"]]
    places = list(zip(known, evidence.frame["possible_sites"], strict=True))
    kinds = {place: k for k, place in enumerate(dict.fromkeys(places))}
    index = np.array([kinds[place] for place in places], np.int64)
    for (site, allowed), k in kinds.items():
        made[index == k] = [_place(e, site, allowed) for e in entries]
    return made


def _place(entity: Entity, site: str | None, allowed: frozenset[str] | None) -> int:
    if not entity.sites:
        return TRUE
    if site is not None:
        return TRUE if site in entity.sites else FALSE
    return FALSE if allowed is not None and not allowed & set(entity.sites) else UNKNOWN
