"""What the name of a mask says: bone, cartilage, side, part of the liver. The words stand in ``structures.toml``.

Names are those of TotalSegmentator, and what people write: "Kidney L", "LeftKidney", "lung_upper_lobe_right".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

_LIVER_SEGMENT = re.compile(r"seg[a-z]*[^a-z0-9]*([1-8])", re.IGNORECASE)
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("structures.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _set(key: str) -> frozenset[str]:
    return frozenset(_table()[key].split())


def total_classes() -> tuple[str, ...]:
    """Names of labels 1 to 117 of TotalSegmentator's task "total", version 2."""
    return tuple(_table()["total"].split())


def words(name: str) -> frozenset[str]:
    """The words of a name, in small letters, without digits."""
    return frozenset(w.lower() for w in _PIECES.findall(name))


def is_bone(name: str) -> bool:
    """Whether a mask of this name is bone."""
    return bool(words(name) & _set("bone")) and not words(name) & _set("not_bone")


def is_cartilage(name: str) -> bool:
    """Whether a mask of this name is costal cartilage."""
    return {"cartilage", "cartilages"} & words(name) != set() and words(name) >= _set("cartilage")


def is_heart(name: str) -> bool:
    """Whether a mask of this name is the heart, a part of it, a coronary artery, or the aorta."""
    return bool(words(name) & _set("heart")) and not words(name) & _set("not_heart")


def is_patient(name: str) -> bool:
    """Whether a mask of this name is the whole patient."""
    return bool(words(name) & _set("patient"))


def is_liver(name: str) -> bool:
    """Whether a mask of this name is the liver or a part of it, not a vessel or lesion in it."""
    return "liver" in words(name) and words(name) <= {"liver", "lobe", "left", "right", "segment", "seg", "l", "r"}


def names_skeleton(names: Iterable[str]) -> bool:
    """Whether masks of these names stand for the whole skeleton."""
    known = [words(n) for n in names if is_bone(n)]
    if any(w <= _set("whole") for w in known):
        return True
    return all(any(w & set(part.split()) for w in known) for part in _table()["skeleton"])


def side_of(name: str) -> str | None:
    """left, right, midline (unpaired structures in the middle), or None where the name does not say."""
    letters = {w for w in re.split(r"[^A-Za-z0-9]+", name) if w in ("L", "R", "l", "r")}
    sides = (
        {"left", "lt"} & words(name) or {"L", "l"} & letters,
        {"right", "rt"} & words(name) or {"R", "r"} & letters,
    )
    if sides[0] and sides[1]:
        return None
    if sides[0] or sides[1]:
        return "left" if sides[0] else "right"
    segment = _LIVER_SEGMENT.search(name) if "liver" in words(name) else None
    if segment:  # Couinaud: 2 to 4 left, 5 to 8 right; 1 is the caudate lobe
        return {"1": None, "2": "left", "3": "left", "4": "left"}.get(segment.group(1), "right")
    return "midline" if words(name) & _set("midline") and not words(name) & {"artery", "vein"} else None
