"""Hypotheses in words: cues for and against with what was measured, what is not known, what is not excluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from .base import GRADES, Entity
from .conditions import FACES, FALSE, TRUE, UNKNOWN, Cue
from .context import KEYS
from .evidence import only_ct
from .rules import Assessment, RuleClassifier

NOTICE = "Research use only. Not for diagnosis. Review by a qualified radiologist is required."
MOST_NAMED = 5
ULTRASOUND = ("shadow_class", "shadow_auc", "shadow_clean", "shadow_width_mm", "echo_width_mm", "twinkling")


@dataclass(frozen=True)
class Line:
    """One hypothesis for one finding, in words; the columns of the same names in ``hypotheses``."""

    cues_fired: str
    cues_against: str
    cues_missing: str
    context_missing: str
    not_excluded: str
    statement: str


@cache
def describe(cue: Cue, wanted: bool | None = None) -> str:
    """A cue as a person reads it."""
    name = cue.name.removeprefix("context.")
    flag = cue.wanted if wanted is None else wanted
    if not cue.sign:
        return f"{'' if flag else 'no '}{name.replace('_', ' ')}"
    words = " or ".join(w.replace("_", " ") for w in cue.words)
    sign = {"is": words, ">=": f"at least {cue.number:g}", "<=": f"at most {cue.number:g}"}[cue.sign]
    return f"{name.replace('group.', 'group ').replace('scan.', 'scan ')} {sign}"


def line(classifier: RuleClassifier, a: Assessment, row: int, k: int, values: Mapping[Any, Any]) -> Line:
    """Entry `k` for finding `row`; `values` are the finding's columns."""
    e = classifier.entities[k]
    fired = [_measured(c, values) for c, _ in e.supports if a.states[c.text][row] == TRUE]
    if e.sites and a.site_known[row]:
        fired.insert(0, f"site {_sites(e)}")
    against = [_measured(c, values) for c, _ in e.opposes if a.states[c.text][row] == TRUE]
    unknown = [c for c, _ in (*e.supports, *e.opposes) if a.states[c.text][row] == UNKNOWN]
    absent = [c for c, _ in e.supports if a.states[c.text][row] == FALSE]
    missing = [describe(c) for c in unknown if not _is_context(c) and not _of_another_modality(c, values)]
    context = [describe(c, wanted=True) for c in unknown if _is_context(c)]
    needs = [describe(c) for c in e.requires if a.states[c.text][row] == UNKNOWN and not _face(c, values)]
    if e.sites and not a.site_known[row]:
        needs.insert(0, f"site {_sites(e)}")
    others = not_excluded(classifier, a, row, k)
    text = f"Pattern more often described in: {e.name} ({a.points[row, k]} of {e.attainable} points, "
    text += f"evidence {e.evidence}: {GRADES[e.evidence]})."
    for head, items in (
        ("Only if", needs), ("For it", fired), ("Against it", against), ("Not seen", [describe(c) for c in absent]),
        ("Not known", [*missing, *context]),
    ):  # fmt: skip
        if items:
            text += f" {head}: {', '.join(items)}."
    text += f" Not excluded: {', '.join(others) or 'other causes'}."
    return Line(
        "; ".join(fired), "; ".join(against), "; ".join(missing), "; ".join([*needs, *context]),
        "; ".join(others), f"{text} {NOTICE}",
    )  # fmt: skip


def not_excluded(classifier: RuleClassifier, a: Assessment, row: int, k: int) -> list[str]:
    """Entries of concern that nothing known rules out and something speaks for, other than `k`, best first.

    Where the site is not known, one that is bound to a site is named with it.
    """
    stands = a.stands[row]
    found = [j for j in a.order[row] if j != k and stands[j] and classifier.entities[j].tendency == "concern"]
    named = [classifier.entities[j] for j in found[:MOST_NAMED]]
    names = [f"{e.name} (if in {_sites(e)})" if e.sites and not a.site_known[row] else e.name for e in named]
    return [*names, f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else names


def _of_another_modality(cue: Cue, values: Mapping[Any, Any]) -> bool:
    """The cue is none that the modality of the finding could have."""
    modality = values.get("modality")
    return (cue.name in ULTRASOUND and modality == "CT") or (only_ct(cue.name) and modality == "US")


def _face(cue: Cue, values: Mapping[Any, Any]) -> bool:
    """A pattern that ultrasound shows the face of."""
    return cue.name == "pattern" and values.get("modality") == "US" and values.get("pattern") in FACES


def _sites(entity: Entity) -> str:
    return " or ".join(s.replace("_", " ") for s in entity.sites)


def _is_context(cue: Cue) -> bool:
    return cue.name.startswith("context.")


def _measured(cue: Cue, values: Mapping[Any, Any]) -> str:
    """The cue, with the value that was measured where it is a number of the finding."""
    value: Any = values.get(cue.name)
    if cue.sign in ("", "is") or value is None or pd.isna(value):
        word = f" {str(value).replace('_', ' ')}" if cue.sign == "is" and isinstance(value, str) else ""
        return f"{cue.name}{word}" if word else describe(cue)
    return f"{cue.name} {float(value):.3g} ({describe(cue).removeprefix(cue.name).strip()})"


def listing(entity: Entity) -> list[str]:
    """An entry as ``calcimap hypotheses`` lists it."""
    lines = [f"{entity.name}  [{entity.tendency}; evidence {entity.evidence}]"]
    if entity.sites:
        lines.append(f"    site: {', '.join(entity.sites)}")
    if entity.mechanism:
        lines.append(f"    mechanism: {entity.mechanism}")
    for head, cues in (("requires", entity.requires),):
        lines += [f"    {head}: {c.text}" for c in cues]
    lines += [f"    +{w} {c.text}{_meaning(c)}" for c, w in entity.supports]
    lines += [f"    -{w} {c.text}{_meaning(c)}" for c, w in entity.opposes]
    if entity.note:
        lines.append(f"    note: {entity.note}")
    return [*lines, f"    source: {entity.source}"]


def _meaning(cue: Cue) -> str:
    return f"  ({KEYS[cue.name[8:]].meaning})" if _is_context(cue) else ""
