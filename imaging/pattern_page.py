"""The gallery of patterns as a page of the documentation, made from the rules."""

from __future__ import annotations

from itertools import groupby

from .pages import Section, page
from .patterns import INDETERMINATE, RULES, VOCABULARY, Condition, Rule

TITLE = "Gallery of patterns"
INTRODUCTION = """\
Every pattern as a random example of `imaging.synthetic.examples` shows it, imaged in slices of 0.8 mm with noise and
named by its rule: on the left the slice of its largest section, on the right the projection along the slices. Below
each picture stand the rules that give the name. Rules are tried in the order of `calcimap patterns`, and the first one
whose conditions all hold decides; a measure that is missing fails, unless the rule says otherwise. The measures are
those of [features.md](features.md); [patterns.md](patterns.md) says how often names are right on such objects, and what
thick slices can show."""
LEVELS = ("up to 1.5 mm", "1.5 to 3.5 mm", "above 3.5 mm")


def patterns_page() -> str:
    """The page in Markdown: `calcimap patterns --markdown`."""
    rules = sorted(RULES, key=lambda rule: VOCABULARY.index(rule.name))
    sections = []
    for name, group in groupby(rules, key=lambda rule: rule.name):
        own = list(group)
        looks = "; ".join(dict.fromkeys(rule.looks_like for rule in own))
        others = "; ".join(dict.fromkeys(rule.confounders for rule in own if rule.confounders))
        text = f"{looks[0].upper()}{looks[1:]}." + (f" Also looks like it: {others}." if others else "")
        header = ("rule", "all of these hold", "slice spacing", "source")
        sections.append(
            Section(
                name.replace("_", " "), text, header, [_row(rule) for rule in own], picture(name), f"{name}: {looks}"
            )
        )
    text = f"{INDETERMINATE.looks_like.capitalize()}: {INDETERMINATE.source}."
    sections.append(
        Section(INDETERMINATE.name, text, ("rule", "all of these hold"), [(INDETERMINATE.key, "no other rule")])
    )
    return page(TITLE, INTRODUCTION, "calcimap patterns --markdown", sections)


def picture(name: str) -> str:
    """Where the picture of a pattern lies, relative to the page."""
    return f"pictures/patterns/{name}.png"


def _row(rule: Rule) -> tuple[str, str, str, str]:
    conditions = "; ".join(condition_text(c) for c in rule.conditions)
    return (
        rule.variant or rule.name.replace("_", " "),
        conditions,
        ", ".join(LEVELS[k] for k in rule.levels),
        rule.source,
    )


def condition_text(condition: Condition) -> str:
    """A condition in words: column, sign and bound."""
    bound = condition.bound
    limit = " ".join((bound.__doc__ or "").split()).rstrip(".") if callable(bound) else f"{bound:g}"
    sign = {"<=": "≤", ">=": "≥"}[condition.sign]
    return f"`{condition.column}` {sign} {limit}" + (" or missing" if condition.or_missing else "")
