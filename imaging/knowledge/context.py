"""What is known about a patient or place beside the image: from the header, and from the user. Never guessed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .._registry import nearest
from ..errors import UsageError
from ..structures import words

OLDEST = 130


@dataclass(frozen=True)
class Key:
    """One thing that can be known: a flag, a word of `values`, or a number.

    Parameters
    ----------
    name, kind, meaning : str
    values : tuple of str
        For words.
    seen : bool
        Something a person sees on the images and calcimap cannot measure, not a fact of the history.
    """

    name: str
    kind: str
    meaning: str
    values: tuple[str, ...] = ()
    seen: bool = False


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


_PLACES = _read("sites.toml")
SITES: dict[str, str] = {name: entry["meaning"] for name, entry in _PLACES["site"].items()}
"""Where an entry of the knowledge base can be, and what that means."""
REGIONS: dict[str, tuple[str, ...]] = {name: tuple(text.split()) for name, text in _PLACES["region"].items()}
"""Sites that each region of the body can hold."""
BODY_PARTS: dict[str, str] = {part: r for r, text in _PLACES["body_part"].items() for part in text.split()}
"""Region of a DICOM body part."""
_RAW = _read("context.toml")
KEYS: dict[str, Key] = {
    "organ": Key("organ", "word", "where the findings lie; a site, or the name of an organ"),
    "body_part": Key("body_part", "word", "DICOM body part examined (0018,0015)", tuple(BODY_PARTS)),
    "region": Key("region", "word", "region of the body; from the body part where it is known", tuple(REGIONS)),
    "age": Key("age", "number", "age in years, or a band such as 50-59"),
    "sex": Key("sex", "word", "female or male", ("female", "male")),
    "contrast": Key("contrast", "flag", "intravenous contrast agent was given"),
    **{k: Key(k, "flag", text) for k, text in _RAW["history"].items()},
    **{k: Key(k, "flag", text, seen=True) for k, text in _RAW["seen"].items()},
}
"""Everything that context can say."""


@dataclass(frozen=True)
class Context:
    """Facts by key; where a key is absent, nothing is known about it.

    Parameters
    ----------
    values : mapping
        For every finding.
    scans : mapping of str to Context, optional
        For the findings of one scan, by ``scan_id``; they win over `values`.
    findings : mapping of int to mapping, optional
        For one finding, by ``finding_id``; they win over both.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    scans: Mapping[str, Context] = field(default_factory=dict)
    findings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", {k: _checked(k, v) for k, v in self.values.items()})
        ours = {int(n): {k: _checked(k, v) for k, v in facts.items()} for n, facts in self.findings.items()}
        object.__setattr__(self, "findings", ours)

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Context:
        """What `Volume.header` (or a row of ``scans``) says: body part, contrast agent, age band."""
        given = {
            "body_part": header.get("body_part"),
            "contrast": header.get("contrast_agent"),
            "age": header.get("patient_age_band"),
        }
        known = {k: v for k, v in given.items() if isinstance(v, str | bool)}
        if known.get("body_part") not in BODY_PARTS:
            known.pop("body_part", None)
        return cls(known)

    @classmethod
    def load(cls, given: str | Path | Iterable[str | Path]) -> Context:
        """Context from TOML files and ``key=value`` texts, the later ones win.

        A file holds keys for every finding, and tables ``[scans.SCAN_ID]`` and ``[scans.SCAN_ID.findings.N]``.

        Raises
        ------
        UsageError
            An unknown key or value, or a file that cannot be read.
        """
        made = cls()
        for one in [given] if isinstance(given, str | Path) else given:
            key, equals, text = ("", "", "") if Path(one).is_file() else str(one).partition("=")
            made = made | (cls({key.strip(): _literal(text.strip())}) if equals else cls._from_file(Path(one)))
        return made

    @classmethod
    def _from_file(cls, file: Path) -> Context:
        try:
            raw = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            text = f"the context cannot be read ({error.strerror}); give a TOML file or key=value"
            raise UsageError(text, file) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"the context file is no valid TOML: {error}", file) from None
        scans = {}
        for name, entry in raw.pop("scans", {}).items():
            scans[name] = cls({k: v for k, v in entry.items() if k != "findings"}, findings=entry.get("findings", {}))
        return cls(raw, scans)

    def __or__(self, other: Context) -> Context:
        """Both; what `other` says wins."""
        both = {k: self.scans.get(k, Context()) | other.scans.get(k, Context()) for k in {*self.scans, *other.scans}}
        findings = {**self.findings}
        for n, facts in other.findings.items():
            findings[n] = {**findings.get(n, {}), **facts}
        return Context({**self.values, **other.values}, both, findings)

    def of(self, scan_id: str, finding_id: int) -> dict[str, Any]:
        """All that is known about one finding."""
        scan = self.scans.get(scan_id, _NOTHING)
        return {
            **self.values, **scan.values, **self.findings.get(finding_id, {}), **scan.findings.get(finding_id, {}),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for run.json and for telling one context from another."""
        return {
            **self.values,
            **({"scans": {k: v.to_dict() for k, v in sorted(self.scans.items())}} if self.scans else {}),
            **({"findings": {str(n): dict(f) for n, f in self.findings.items()}} if self.findings else {}),
        }


_NOTHING = Context()


@cache
def site_of(organ: str) -> str | None:
    """Site that the name of an organ or mask stands for; None where it says nothing."""
    found = words(organ) | {organ.lower()}
    return next((name for name, entry in _PLACES["site"].items() if found & set(entry["words"].split())), None)


def age_range(age: Any) -> tuple[float, float]:
    """Lowest and highest age that a number or band such as ``50-59`` or ``90+`` stands for, years."""
    if isinstance(age, str):
        match = re.fullmatch(r"(\d+)(?:-(\d+)|(\+))?", age.strip())
        if match is None:
            raise UsageError(f"context age must be years or a band such as 50-59, got {age!r}")
        low = float(match[1])
        return low, float(match[2]) if match[2] else float(OLDEST) if match[3] else low
    return float(age), float(age)


def _checked(key: str, value: Any) -> Any:
    """`value` if `key` can have it."""
    if key not in KEYS:
        raise UsageError(f"unknown context key {key!r}: {nearest(key, list(KEYS))}")
    known = KEYS[key]
    if key == "age":
        low, high = age_range(value) if not isinstance(value, bool) else (-1.0, -1.0)
        if not 0 <= low <= high <= OLDEST:
            raise UsageError(f"context age must be years or a band such as 50-59, got {value!r}")
    elif known.kind == "flag" and not isinstance(value, bool):
        raise UsageError(f"context {key} must be true or false, got {value!r}")
    elif key == "organ" and (not isinstance(value, str) or site_of(value) is None):
        raise UsageError(
            f"context organ {value!r} is no organ that the knowledge base knows; sites: {', '.join(SITES)}"
        )
    elif key == "body_part" and isinstance(value, str):
        value = value.strip().upper()
    if known.values and value not in known.values:
        raise UsageError(f"context {key} {value!r} is not known: {nearest(str(value), list(known.values))}")
    return value


def _literal(text: str) -> Any:
    """true, false and numbers as such, else text."""
    if text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    try:
        return float(text)
    except ValueError:
        return text
