"""Reading the knowledge base: every entry is checked when it is loaded, and an error names entry and key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .._registry import nearest
from ..errors import UsageError
from .conditions import Cue, cue
from .context import SITES

VERSION = 2
TENDENCIES = ("benign", "concern", "indeterminate")
MECHANISMS = ("dystrophic", "metastatic", "tumoral", "idiopathic")
GRADES = {"A": "guideline, lexicon or large series", "B": "small series or review", "C": "textbook"}
STRONGEST = 3
"""Weights are ordinal: 1 fits, 2 speaks for it, 3 is what it is known by."""
_REQUIRED = frozenset({"name", "tendency", "evidence", "source", "for"})
_OPTIONAL = frozenset({"site", "mechanism", "requires", "against", "note"})
FORBIDDEN = ("diagnos", "malignan", "follow-up", "follow up", "treatment", "survival", "prognos", "cancer-free")
"""Words that no text of the knowledge base may hold."""


@dataclass(frozen=True)
class Entity:
    """One thing that a pattern can be.

    Parameters
    ----------
    name : str
    tendency : str
        One of `TENDENCIES`.
    evidence : str
        One of `GRADES`.
    source : str
    sites : tuple of str
        Words of `SITES` that it is bound to; empty: anywhere.
    mechanism : str
        One of `MECHANISMS`, or empty: stones, cartilage and bone matrix, physiologic calcification.
    requires : tuple of Cue
        Known to be false: it is not considered. Not known: it comes after everything that applies.
    supports, opposes : tuple of (Cue, int)
        With weights from 1 to `STRONGEST`.
    note : str
        What a reader should know.
    """

    name: str
    tendency: str
    evidence: str
    source: str
    sites: tuple[str, ...] = ()
    mechanism: str = ""
    requires: tuple[Cue, ...] = ()
    supports: tuple[tuple[Cue, int], ...] = ()
    opposes: tuple[tuple[Cue, int], ...] = ()
    note: str = ""

    @property
    def attainable(self) -> int:
        """Points if everything for it is so and nothing against it; a site it is bound to counts one."""
        return sum(weight for _, weight in self.supports) + bool(self.sites)


@cache
def entities() -> tuple[Entity, ...]:
    """The knowledge base that ships with calcimap, in the order of its files."""
    folder = resources.files(__package__).joinpath("entries")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    found = tuple(e for f in files for e in parse(f.read_text(encoding="utf-8"), f.name))
    _unique(found)
    return found


def load_entities(file: Path) -> tuple[Entity, ...]:
    """A knowledge base of one's own, in the form of ``imaging/knowledge/entries``.

    Raises
    ------
    UsageError
        The message names entry and key.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the knowledge base cannot be read ({type(error).__name__})", file) from None
    found = parse(text, file.name)
    _unique(found)
    return found


def parse(text: str, name: str) -> tuple[Entity, ...]:
    """Entries of one file.

    Raises
    ------
    UsageError
        No TOML, another version, or an entry that is not valid; the message names entry and key.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no valid TOML: {error}") from None
    if raw.get("version") != VERSION:
        raise UsageError(f"{name}: key 'version' must be {VERSION}, got {raw.get('version')!r}")
    entries = raw.get("entity")
    if set(raw) - {"version", "entity"} or not isinstance(entries, list) or not entries:
        raise UsageError(f"{name} holds version and [[entity]] tables, got {', '.join(map(str, raw))}")
    return tuple(_entity(entry, name) for entry in entries)


def _unique(found: tuple[Entity, ...]) -> None:
    seen: set[str] = set()
    for e in found:
        if e.name in seen:
            raise UsageError(f"entity {e.name!r}: key 'name' is taken by another entry")
        seen.add(e.name)


def _entity(entry: dict[str, Any], file: str) -> Entity:
    label = entry.get("name", "without name")

    def wrong(key: str, why: str) -> UsageError:
        return UsageError(f"{file}: entity {label!r}: key {key!r} {why}")

    for key in sorted(_REQUIRED - entry.keys()):
        raise wrong(key, "is absent")
    for key in sorted(entry.keys() - _REQUIRED - _OPTIONAL):
        raise wrong(key, f"is unknown; {nearest(key, sorted(_REQUIRED | _OPTIONAL))}")
    _check_texts(entry, wrong)
    for key, allowed in (("tendency", TENDENCIES), ("evidence", GRADES), ("mechanism", ("", *MECHANISMS))):
        if entry.get(key, "") not in allowed:
            raise wrong(key, f"must be one of {', '.join(filter(None, allowed))}, got {entry[key]!r}")
    sites = tuple(entry.get("site", "").split())
    for site in sites:
        if site not in SITES:
            raise wrong("site", f"names {site!r}; {nearest(site, list(SITES))}")
    requires = entry.get("requires", [])
    if not isinstance(requires, list):
        raise wrong("requires", "must be a list of cues")
    return Entity(
        entry["name"], entry["tendency"], entry["evidence"], entry["source"], sites, entry.get("mechanism", ""),
        tuple(_cue(text, "requires", wrong) for text in requires),
        _weighted(entry["for"], "for", wrong), _weighted(entry.get("against", {}), "against", wrong),
        entry.get("note", ""),
    )  # fmt: skip


def _check_texts(entry: dict[str, Any], wrong: Any) -> None:
    """Texts are texts, and say nothing that they must not."""
    for key in ("name", "source", "tendency", "evidence", "site", "mechanism", "note"):
        value = entry.get(key, "")
        if not isinstance(value, str) or (key in _REQUIRED and not value.strip()):
            raise wrong(key, f"must be text, got {value!r}")
        for word in FORBIDDEN if key in ("name", "note") else ():
            if word in value.lower():
                raise wrong(key, f"must not say {word!r}: research use only")


def _weighted(table: Any, key: str, wrong: Any) -> tuple[tuple[Cue, int], ...]:
    if not isinstance(table, dict) or (key == "for" and not table):
        raise wrong(key, "must be a table of cue = weight")
    for text, weight in table.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= STRONGEST:
            raise wrong(key, f"gives {text!r} the weight {weight!r}; weights are whole numbers from 1 to {STRONGEST}")
    return tuple((_cue(text, key, wrong), weight) for text, weight in table.items())


def _cue(text: Any, key: str, wrong: Any) -> Cue:
    try:
        return cue(str(text))
    except UsageError as error:
        raise wrong(key, f"has a bad cue: {error.message}") from None
