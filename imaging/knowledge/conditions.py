"""Cues as text, and where they hold: true, false, or not known. A value that is missing is never taken for false.

A cue is one of ``NAME is WORD, WORD``, ``NAME >= NUMBER``, ``NAME <= NUMBER``, ``NAME`` (true) and ``not NAME``.
A plain name is a column of findings; ``group.``, ``scan.`` and ``context.`` names stand in `GROUP_EVIDENCE`,
`SCAN_EVIDENCE` and ``context.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._registry import nearest
from ..columns import FINDINGS
from ..errors import UsageError
from ..flags import FLAGS
from ..patterns import VOCABULARY
from .context import KEYS, SITES

States = NDArray[np.int8]
FALSE, TRUE, UNKNOWN = 0, 1, -1
HIGH = ".high"
"""A number known to a range (an age band) has its upper end in a column of this ending."""

GROUP_EVIDENCE = {
    "group.count": "findings in the group",
    "group.extent_mm": "largest extent of the group's centroids along an axis, mm; missing for one finding alone",
    "group.volume_mm3": "volume of the group's detection masks",
    "group.punctate_share": "share of the group's findings that are punctate",
}
SCAN_EVIDENCE = {
    "scan.count": "findings in the scan",
    "scan.groups": "groups in the scan",
    "scan.same_pattern": "findings of the same pattern in the scan",
    "scan.same_site": "findings at the same site in the scan; missing where the site is not known",
    "scan.sides": "one or both: sides of the findings at the same site, from anatomy masks",
    "scan.sites": "sites with findings in the scan, as far as they are known",
}
_WORDS = {
    "pattern": frozenset(VOCABULARY),
    "margin": frozenset({"sharp", "blurred"}),
    "distribution": frozenset({"solitary", "grouped", "linear", "regional", "diffuse"}),
    "side": frozenset({"left", "right", "midline"}),
    "scan.sides": frozenset({"one", "both"}),
    "modality": frozenset({"CT", "US"}),
    "shadow_class": frozenset({"absent", "weak", "present", "strong"}),
    "site": frozenset(SITES),
    "flags": frozenset(FLAGS),
}
_BODIES = frozenset({"solid", "coarse", "lobulated", "laminated", "popcorn", "amorphous"})
_SHELLS = frozenset({"eggshell", "rim", "ring", "arc", "sheet"})
FACES: dict[str, frozenset[str]] = {
    "coarse": _BODIES,
    "arc": _BODIES | _SHELLS | {"linear", "tram_track"},
    "rim": _SHELLS | {"solid", "laminated"},
}
"""Patterns whose face towards the probe looks like one that ultrasound names: the rest lies in its shadow."""
_FORM = re.compile(r"(?P<no>not )?(?P<name>[a-z][a-z0-9_.]*)(?: (?P<sign>is|>=|<=) (?P<value>.+))?")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every finding, as cues ask for it: each column is turned into an array once, not for each cue.

    Parameters
    ----------
    frame : DataFrame
        One row per finding; `imaging.knowledge.evidence.gather` says which columns.
    """

    frame: pd.DataFrame
    _words: dict[str, tuple[NDArray[np.intp], list[str]]] = field(default_factory=dict, repr=False)
    _numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, name: str) -> bool:
        return name in self.frame

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where missing."""
        if name not in self._numbers:
            self._numbers[name] = self.frame[name].to_numpy(dtype=float, na_value=np.nan)
        return self._numbers[name]

    def known(self, name: str) -> NDArray[np.bool_]:
        """Where a column of words is not missing."""
        return self._kinds(name)[0] >= 0

    def where(self, name: str, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Where `holds` is true of a word; it is asked once for every kind of word. False where missing."""
        codes, kinds = self._kinds(name)
        return np.array([*map(holds, kinds), False])[codes]  # -1 is missing

    def _kinds(self, name: str) -> tuple[NDArray[np.intp], list[str]]:
        if name not in self._words:
            codes, kinds = pd.factorize(self.frame[name])
            self._words[name] = np.asarray(codes), list(kinds)
        return self._words[name]


@dataclass(frozen=True)
class Cue:
    """One condition on one name of the evidence.

    Parameters
    ----------
    text : str
        As it is written in the knowledge base.
    name : str
    sign : str
        ``is``, ``>=``, ``<=``, or empty for a flag.
    words : tuple of str
    number : float
    wanted : bool
        False for ``not NAME``.
    """

    text: str
    name: str
    sign: str
    words: tuple[str, ...] = ()
    number: float = float("nan")
    wanted: bool = True

    def states(self, evidence: Evidence) -> States:
        """TRUE, FALSE or UNKNOWN for every row; UNKNOWN throughout where the evidence lacks the name."""
        if self.name not in evidence:
            return np.full(len(evidence), UNKNOWN, np.int8)
        if self.sign == "is":
            known = evidence.known(self.name)
            holds = evidence.where(self.name, self._is_one)
            if self.name == "pattern":  # not named: not known to be another
                known = known & (holds | evidence.where("pattern", lambda word: word != "indeterminate"))
                known = known & (holds | ~self._faces(evidence))
            return _three(holds, known)
        values = evidence.numbers(self.name)
        if not self.sign:
            return _three((values > 0) == self.wanted, np.isfinite(values))
        upper = evidence.numbers(self.name + HIGH) if self.name + HIGH in evidence else values
        if self.sign == ">=":
            sure, no = values >= self.number, upper < self.number
        else:
            sure, no = upper <= self.number, values > self.number
        return _three(sure, sure | no)

    def allowed(self, evidence: Evidence) -> States:
        """The same for what an entry requires: a face that fits is enough."""
        states = self.states(evidence)
        return np.where(self._faces(evidence), TRUE, states).astype(np.int8) if self.name == "pattern" else states

    def _is_one(self, word: str) -> bool:
        """Whether a word is one of those asked for; flags are several, joined."""
        return word in self.words if self.name != "flags" else not set(self.words).isdisjoint(word.split(";"))

    def _faces(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Findings of ultrasound that may be one of the words, seen from the probe."""
        if "modality" not in evidence or "pattern" not in evidence:
            return np.zeros(len(evidence), bool)
        may = {face for face, bodies in FACES.items() if bodies & set(self.words)}
        echo = evidence.where("modality", lambda modality: modality == "US")
        return evidence.where("pattern", may.__contains__) & echo


def _three(holds: NDArray[np.bool_], known: NDArray[np.bool_]) -> States:
    return np.where(known, np.where(holds, TRUE, FALSE), UNKNOWN).astype(np.int8)


@cache
def cue(text: str) -> Cue:
    """The cue that a text stands for.

    Raises
    ------
    UsageError
        Not of the form, an unknown name (its neighbours are named), or a word that the name cannot have.
    """
    match = _FORM.fullmatch(text)
    if match is None or (match["no"] and match["sign"]):
        raise UsageError(f"cue {text!r} must be NAME is WORDS, NAME >= NUMBER, NAME <= NUMBER, NAME or not NAME")
    name, sign, value = match["name"], match["sign"] or "", match["value"] or ""
    _check_name(name, sign)
    if sign == "is":
        words = tuple(w.strip() for w in value.split(","))
        allowed = _WORDS.get(name) or (frozenset(KEYS[name[8:]].values) if name.startswith("context.") else None)
        for word in words if allowed else ():
            if word not in allowed:  # type: ignore[operator]  # not None inside this loop
                raise UsageError(f"cue {text!r}: {name} is never {word!r}; {nearest(word, sorted(allowed or ()))}")
        return Cue(text, name, sign, words)
    if sign:
        try:
            return Cue(text, name, sign, number=float(value))
        except ValueError:
            raise UsageError(f"cue {text!r}: {value!r} is no number") from None
    return Cue(text, name, "", wanted=not match["no"])


def _check_name(name: str, sign: str) -> None:
    """The name exists and can be compared in this way."""
    level, dot, rest = name.partition(".")
    if not dot:
        known = FINDINGS.get(name)
        if known is None and name != "site":
            raise UsageError(f"unknown column {name!r}: {nearest(name, list(FINDINGS))}")
        numeric = known is not None and known.dtype != "string"
        if numeric == (sign == "is") or not sign:
            raise UsageError(f"{name} is {'a number: use >= or <=' if numeric else 'a word: use is'}")
    elif level in ("group", "scan"):
        table = GROUP_EVIDENCE | SCAN_EVIDENCE
        if name not in table:
            raise UsageError(f"unknown evidence {name!r}: {nearest(name, list(table))}")
    elif level == "context":
        if rest not in KEYS:
            raise UsageError(f"unknown context key {rest!r}: {nearest(rest, list(KEYS))}")
        form = {"flag": "", "word": "is", "number": "<>"}[KEYS[rest].kind]
        if (sign[:1] not in form or not sign) if form == "<>" else sign != form:
            raise UsageError(f"context.{rest} is a {KEYS[rest].kind}: it cannot be used with {sign or 'nothing'!r}")
    else:
        raise UsageError(f"unknown evidence {name!r}: names are columns, group., scan. and context. names")
