"""The definitions of the Agatston score as a page of the documentation, made from the registry."""

from __future__ import annotations

from ..pages import Section, page
from .definitions import SCORES, ScoreDefinition

TITLE = "Definitions of the Agatston score"
INTRODUCTION = """\
Every definition that `scores.definition` names: which slice-lesions count, and from which HU on their peak weighs 1, 2,
3 and 4, by tube voltage. For every one of them the score of a slice-lesion is area x weight x slice distance / 3 mm,
without unit, summed over the slices of a finding; [scores.md](scores.md) has the other scores, what each needs, an
example by hand, and what was measured. At a voltage that is not listed a scan is not scored.

![One slice of a finding: two slice-lesions with their area, peak and weight](scores.png)"""


def scores_page() -> str:
    """The page in Markdown: `calcimap scores --markdown`."""
    return page(TITLE, INTRODUCTION, "calcimap scores --markdown", [_section(s) for s in SCORES])


def _section(score: ScoreDefinition) -> Section:
    rows = [
        (f"{kvp:g}", *(f"{v:g}" for v in limits), _volume(score, kvp, limits[0]))
        for kvp, limits in sorted(score.limits_hu.items())
    ]
    header = ("kV", "weight 1 from HU", "2", "3", "4", "volume and mass from HU")
    text = f"{score.definition} {score.connectivity}-connected in the slice, {score.size_rule}. Source: {score.source}."
    return Section(score.name, text, header, rows)


def _volume(score: ScoreDefinition, kvp: float, threshold: float) -> str:
    if not score.volume_hu:
        return f"{threshold:g}"
    return f"{score.volume_hu[kvp]:g}" if kvp in score.volume_hu else "missing"
