"""Whether two scans may be measured against each other: the table of what matches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .exam import Exam

SPACING_RATIO = 1.25
THRESHOLD = "grown above, HU"
SAME_THRESHOLD_HU = 10.0
"""Growth thresholds that differ by more give other volumes: a blurred edge of 500 HU moves by a fiftieth of its width
for every 10 HU."""
TISSUE_HU = 20.0
"""Tissue of another level than this has another phase of contrast agent."""


@dataclass(frozen=True)
class Aspect:
    """One line of the table.

    Parameters
    ----------
    name : str
    before, after : str
        As shown; "unknown" where the header does not tell.
    matches : bool or None
        None where one of them is unknown.
    rule : str
        What matching means.
    decides : bool
        Whether a mismatch forbids calls of change.
    """

    name: str
    before: str
    after: str
    matches: bool | None
    rule: str
    decides: bool = True


@dataclass(frozen=True)
class Comparability:
    """The table, and what it means for calls of change."""

    aspects: tuple[Aspect, ...]

    @property
    def mismatches(self) -> tuple[Aspect, ...]:
        """Aspects that differ and decide."""
        return tuple(a for a in self.aspects if a.decides and a.matches is False)

    @property
    def unknown(self) -> tuple[Aspect, ...]:
        """Aspects that decide and of which one side is not known."""
        return tuple(a for a in self.aspects if a.decides and a.matches is None)

    @property
    def comparable(self) -> bool:
        """Whether changes may be called: nothing that decides is known to differ."""
        return not self.mismatches

    @property
    def same_but_for_threshold(self) -> bool:
        """Whether one threshold for both would make them comparable, if they are not."""
        return all(a.name == THRESHOLD for a in self.mismatches)

    @property
    def reason(self) -> str:
        """What differs, in words, and what helps; empty where nothing does."""
        told = "; ".join(f"{a.name} differs: {a.before}, then {a.after}" for a in self.mismatches)
        helps = "; both measured above the higher one (detection.threshold_hu) would be comparable"
        return told + helps if told and self.same_but_for_threshold else told


def comparability(before: Exam, after: Exam) -> Comparability:
    """The preconditions of clinical.md 6.1, each with both values.

    Notes
    -----
    What a header does not tell is unknown and listed; it does not forbid calls. Contrast agent is looked at twice: as
    the header has it and as the image shows it (flag ``contrast_enhanced``, level of tissue).
    """
    aspects = [
        _text(before, after, "modality", "modality", "the same"),
        _number(before, after, "tube voltage, kV", "kvp", "the same", lambda a, b: a == b),
        _kernel(before, after),
        _truth(before, after, "contrast agent by the header", "contrast_agent"),
        _flag(before, after, "contrast agent in the image", "contrast_enhanced"),
        _number(
            before, after, "level of tissue, HU", "tissue_mean_hu", f"within {TISSUE_HU:g} HU",
            lambda a, b: abs(a - b) <= TISSUE_HU,
        ),
    ]  # fmt: skip
    ratio = f"ratio of at most {SPACING_RATIO:g}"
    for name, column in (
        ("slice spacing, mm", "slice_spacing_mm"),
        ("row spacing, mm", "row_spacing_mm"),
        ("column spacing, mm", "column_spacing_mm"),
        ("slice thickness, mm", "slice_thickness_mm"),
    ):
        aspects.append(_number(before, after, name, column, ratio, _alike))
    aspects += [
        _text(before, after, "threshold mode", "threshold_mode", "the same"),
        _number(
            before, after, THRESHOLD, "threshold_grow_hu", f"within {SAME_THRESHOLD_HU:g} HU",
            lambda a, b: abs(a - b) <= SAME_THRESHOLD_HU,
        ),
        *_raised(before, after),
        _number(before, after, "noise, HU", "noise_sd_hu", f"ratio of at most {2 * SPACING_RATIO:g}", _similar, False),
        _text(before, after, "manufacturer", "manufacturer", "the same", False),
        _text(before, after, "body part", "body_part", "the same", False),
    ]  # fmt: skip
    return Comparability(tuple(aspects))


def _raised(before: Exam, after: Exam) -> list[Aspect]:
    """Levels of their own, of scans that were measured above the threshold of a noisier one."""
    if before.own_threshold is None and after.own_threshold is None:
        return []
    one, two = (e.number("threshold_grow_hu") if e.own_threshold is None else e.own_threshold for e in (before, after))
    rule = "for information: scans are measured above the highest threshold among them"
    same = abs(one - two) <= SAME_THRESHOLD_HU
    return [_aspect("its own threshold, HU", one, two, lambda *_: same, rule, decides=False)]


def _alike(a: float, b: float) -> bool:
    return max(a, b) <= SPACING_RATIO * min(a, b) * (1 + 1e-9)


def _similar(a: float, b: float) -> bool:
    return max(a, b) <= 2 * SPACING_RATIO * min(a, b)


def _aspect(name: str, a: Any, b: Any, same: Callable[[Any, Any], bool], rule: str, decides: bool = True) -> Aspect:
    matches = None if a is None or b is None else bool(same(a, b))
    shown = ["unknown" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v) for v in (a, b)]
    return Aspect(name, shown[0], shown[1], matches, rule, decides)


def _text(before: Exam, after: Exam, name: str, column: str, rule: str, decides: bool = True) -> Aspect:
    return _aspect(name, before.fact(column), after.fact(column), lambda a, b: a == b, rule, decides)


def _number(
    before: Exam,
    after: Exam,
    name: str,
    column: str,
    rule: str,
    same: Callable[[float, float], bool],
    decides: bool = True,
) -> Aspect:
    a, b = (None if math.isnan(v) else v for v in (before.number(column), after.number(column)))
    return _aspect(name, a, b, same, rule, decides)


def _kernel(before: Exam, after: Exam) -> Aspect:
    """Kernels are the same by name; what follows a backslash is the strength of the iterations, and counts as well."""
    a, b = before.fact("convolution_kernel"), after.fact("convolution_kernel")
    return _aspect("kernel", a, b, lambda x, y: str(x).casefold() == str(y).casefold(), "the same")


def _truth(before: Exam, after: Exam, name: str, column: str) -> Aspect:
    values = [None if (v := e.fact(column)) is None else "yes" if v else "no" for e in (before, after)]
    return _aspect(name, values[0], values[1], lambda a, b: a == b, "the same")


def _flag(before: Exam, after: Exam, name: str, flag: str) -> Aspect:
    def told(exam: Exam) -> str | None:
        if math.isnan(exam.number("tissue_mean_hu")):
            return None  # a given segmentation: nobody looked
        return "yes" if flag in str(exam.fact("flags") or "").split(";") else "no"

    return _aspect(name, told(before), told(after), lambda a, b: a == b, "the same")
