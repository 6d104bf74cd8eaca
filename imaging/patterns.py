"""Patterns by rules that say why.

A rule is a list of conditions on columns of the findings table; the first rule all of whose conditions hold names the
pattern, and the measured values that decided are the reason. To add a pattern, add a `Rule` to `RULES` in its place.

Thick slices show less, so rules are gated by slice spacing: up to 1.5 mm the whole vocabulary, up to 3.5 mm coarse
labels, above that what a thick slice shows in its plane. Sources: clinical.md sections 1.3 and 1.4 (thresholds marked
there as engineering proposals are that here too).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._registry import Registry
from .errors import UsageError
from .flags import join

FINE_MM, COARSE_MM = 1.5, 3.5
"""Slice spacing up to which the whole, and up to which the coarse vocabulary is used."""
FULL, COARSE, IN_PLANE = 0, 1, 2
VOCABULARY = (
    "punctate", "eggshell", "rim", "ring", "arc", "linear", "tram_track", "branching", "laminated", "popcorn",
    "ring_and_arc", "coarse", "solid", "amorphous", "sheet", "lobulated", "zonal", "indeterminate",
)  # fmt: skip
CLEAR_MARGIN = 0.30
"""Relative distance of a value from its bound at which a condition counts as fully clear."""

Bound = float | Callable[[pd.DataFrame], NDArray[np.float64]]


@dataclass(frozen=True)
class Condition:
    """``column <= bound`` or ``column >= bound``; a missing value fails unless `or_missing`."""

    column: str
    sign: str
    bound: Bound
    or_missing: bool = False

    def limits(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """The bound for every row."""
        return np.asarray(self.bound(table)) if callable(self.bound) else np.full(len(table), self.bound)

    def holds(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Where the condition holds."""
        values = table[self.column].to_numpy(dtype=float, na_value=np.nan)
        limit = self.limits(table)
        hit = values <= limit if self.sign == "<=" else values >= limit
        return hit | np.isnan(values) if self.or_missing else hit

    def clarity(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """0 at the bound, 1 at `CLEAR_MARGIN` or more beyond it, relative to the bound."""
        values = table[self.column].to_numpy(dtype=float, na_value=np.nan)
        limit = self.limits(table)
        apart = np.abs(values - limit) / np.maximum(np.abs(limit), 1e-9)
        return np.where(np.isnan(apart), 1.0, np.clip(apart / CLEAR_MARGIN, 0, 1))


@dataclass(frozen=True)
class Rule:
    """One pattern.

    Parameters
    ----------
    name : str
        A word of `VOCABULARY`.
    looks_like : str
        What a person sees.
    confounders : str
        What else looks like it.
    source : str
        Where the definition comes from.
    conditions : tuple of Condition
        All must hold.
    levels : tuple of int
        Vocabularies (FULL, COARSE, IN_PLANE) that the rule belongs to.
    variant : str
        Tells rules of the same pattern apart.
    """

    name: str
    looks_like: str
    confounders: str
    source: str
    conditions: tuple[Condition, ...]
    levels: tuple[int, ...] = (FULL,)
    variant: str = ""

    @property
    def key(self) -> str:
        """Name and variant: unique."""
        return f"{self.name} ({self.variant})" if self.variant else self.name


def _punctate_limit(table: pd.DataFrame) -> NDArray[np.float64]:
    """max(3 mm, 2 x the largest spacing), DESIGN section 3."""
    return np.asarray(np.maximum(3.0, 2 * table["resolution_mm"].to_numpy(dtype=float)))


def _compact_limit(table: pd.DataFrame) -> NDArray[np.float64]:
    """A compact focus is at most 1.75 times as long as its equivalent diameter may be."""
    return 1.75 * _punctate_limit(table)


def _compact_roundness(table: pd.DataFrame) -> NDArray[np.float64]:
    """0.4; 0.25 in slices above 1.5 mm, where a dot that lies in two of them looks long."""
    return np.where(table["slice_spacing_mm"].to_numpy(dtype=float) <= FINE_MM, 0.4, 0.25)


def _solid_limit(table: pd.DataFrame) -> NDArray[np.float64]:
    """0.80; 0.72 in slices above 1.5 mm, whose steps take so much from a convex body."""
    return np.where(table["slice_spacing_mm"].to_numpy(dtype=float) <= FINE_MM, 0.80, 0.72)


def _thin_wall(table: pd.DataFrame) -> NDArray[np.float64]:
    """2 mm (Jacobsen and Felson 1967), or 0.45 x the spacing where that is more."""
    return np.maximum(2.0, 0.45 * table["resolution_mm"].to_numpy(dtype=float))


def _stroke_limit(table: pd.DataFrame) -> NDArray[np.float64]:
    """3 mm plus a voxel: the width of a line, or the wall of an arc."""
    return 3.0 + table["resolution_mm"].to_numpy(dtype=float)


def _le(column: str, bound: Bound, or_missing: bool = False) -> Condition:
    return Condition(column, "<=", bound, or_missing)


def _ge(column: str, bound: Bound, or_missing: bool = False) -> Condition:
    return Condition(column, ">=", bound, or_missing)


def _closed(prefix: str = "") -> tuple[Condition, ...]:
    """A shell that is empty inside, of one finding or of the union of fragments (prefix ``union_``)."""
    return (
        _le(f"{prefix}shell_fit_residual", 0.13), _le(f"{prefix}inner_occupancy", 0.10),
        _ge(f"{prefix}shell_radius_mm", 3.0),
    )  # fmt: skip


def _annulus(prefix: str = "") -> tuple[Condition, ...]:
    """A shell fit that lies in a plane and goes round."""
    return (
        *_closed(prefix), _le(f"{prefix}flatness", 0.30, or_missing=True), _ge(f"{prefix}elongation", 0.65),
        _le(f"{prefix}solidity", 0.60), _ge(f"{prefix}ring_arc_deg", 270.0), _le(f"{prefix}shell_offset", 0.30),
    )  # fmt: skip


_EVERY = (FULL, COARSE, IN_PLANE)
_THIN = _le("stroke_mm", _stroke_limit)
_FRAGMENTS = _ge("fragment_count", 2)

RULES: Registry[Rule] = Registry("pattern")
for _rule in (
    # What several findings show together comes first, and stands on each of them.
    Rule(
        "laminated", "concentric shells, apart from each other", "two touching rims, ringing of a sharp kernel",
        "clinical.md 1.4 (laminated); Erasmus et al. 2000 for benign lung nodules",
        (_FRAGMENTS, _ge("union_layers", 1.8), _ge("union_layered_share", 0.80)), variant="fragments",
    ),
    Rule(
        "eggshell", "a thin shell in pieces", "vessel wall in cross-section, bowel with contrast, cyst wall",
        "Jacobsen and Felson 1967 (wall at most 2 mm, may be broken); clinical.md 1.4",
        (
            _FRAGMENTS, *_closed("union_"), _ge("union_shell_coverage", 0.70),
            _le("union_shell_thickness_mm", _thin_wall),
        ),
        variant="fragments",
    ),
    Rule(
        "rim", "a thick or broken shell in pieces", "a lesion with necrotic centre, a laminated focus",
        "clinical.md 1.4 (rim, interrupted rim)",
        (_FRAGMENTS, *_closed("union_"), _ge("union_shell_coverage", 0.40)), (FULL, COARSE), "fragments",
    ),
    Rule(
        "ring", "an annulus in pieces", "plaques round a vessel",
        "clinical.md 1.4; Kockelkoren et al. 2018 for the arcs of vessel rings",
        (_FRAGMENTS, *_annulus("union_")), _EVERY, "fragments",
    ),
    Rule(
        "tram_track", "two parallel lines", "a stent, a catheter, bronchial cartilage",
        "clinical.md 1.4 (tram-track)",
        (
            _ge("parallel_distance_mm", 2.0), _le("parallel_distance_mm", 15.0), _le("parallel_angle_deg", 20.0),
            _ge("parallel_overlap", 0.5),
        ),
        variant="two lines",
    ),
    Rule(
        "ring_and_arc", "many small rings, arcs and commas", "stippled, popcorn, osteoid",
        "clinical.md 1.4 (chondroid)",
        (_ge("group_size", 5), _ge("curved_share", 0.40)), variant="cluster",
    ),
    # What one finding shows.
    Rule(
        "punctate", "a single dot", "noise, a vessel end-on, a clip, a partial-volumed edge of bone",
        "DESIGN section 3; clinical.md 1.4",
        (
            _le("equivalent_diameter_mm", _punctate_limit), _le("max_diameter_mm", _compact_limit),
            _ge("elongation", _compact_roundness, or_missing=True),
        ),
        _EVERY,
    ),
    Rule(
        "laminated", "concentric shells that touch", "two touching rims, ringing of a sharp kernel",
        "clinical.md 1.4 (laminated); Erasmus et al. 2000 for benign lung nodules",
        (_ge("layers", 1.8), _ge("layered_share", 0.80), _le("solidity", 0.65)),
    ),
    Rule(
        "zonal", "a dense rim that fades into a lucent core", "a thick rim; the reverse (dense centre) is none",
        "clinical.md 1.4 (myositis ossificans)",
        (
            _ge("radial_slope_hu", 150.0), _ge("radial_fade", 0.30), _ge("shell_coverage", 0.60),
            _le("inner_occupancy", 0.50), _le("shell_fit_residual", 0.22), _ge("shell_radius_mm", 3.0),
            _le("shell_offset", 0.30),
        ),
    ),
    Rule(
        "ring", "an annulus in one plane", "a tube cut obliquely; a shell in a single thick slice",
        "clinical.md 1.4; Kockelkoren et al. 2018 for the arcs of vessel rings",
        _annulus(), _EVERY,
    ),
    Rule(
        "eggshell", "a thin closed shell", "vessel wall in cross-section, bowel with contrast, cyst wall",
        "Jacobsen and Felson 1967 (wall at most 2 mm); clinical.md 1.4",
        (*_closed(), _ge("shell_coverage", 0.70), _le("shell_thickness_mm", _thin_wall)),
    ),
    Rule(
        "rim", "a thick or broken shell", "a lesion with necrotic centre, a laminated focus",
        "clinical.md 1.4 (rim, interrupted rim)",
        (*_closed(), _ge("shell_coverage", 0.40)), (FULL, COARSE),
    ),
    Rule(
        "tram_track", "a hollow tube, or two parallel lines that touch", "a shell, a stent",
        "clinical.md 1.4 (tube / vessel wall)",
        (_le("elongation", 0.60), _le("tube_cv", 0.25), _le("tube_inside", 0.05), _ge("minor_axis_mm", 4.0)),
        variant="tube",
    ),
    Rule(
        "linear", "a line or rod", "a fissure, a catheter, a clip, a vessel wall along the slice",
        "clinical.md 1.4 (linear / rod)",
        (
            _le("elongation", 0.30, or_missing=True), _le("minor_axis_mm", _stroke_limit, or_missing=True),
            _le("skeleton_junctions", 0, or_missing=True), _le("tortuosity", 1.1, or_missing=True),
        ),
        _EVERY,
    ),
    Rule(
        "linear", "a bent line or plate: part of a shell or ring, which thick slices show as a curve",
        "capsular or pleural plaque, rib", "clinical.md 1.4 (curvilinear / arc)",
        (*_closed(), _le("shell_coverage", 0.40), _le("shell_thickness_mm", _stroke_limit)),
        (COARSE, IN_PLANE), "bent",
    ),
    Rule(
        "branching", "a tree of thin lines", "portal vein calcification, contrast in ducts",
        "clinical.md 1.4 (branching / ductal)",
        (
            _THIN, _le("solidity", 0.35), _ge("skeleton_junctions", 1), _ge("skeleton_ends", 3),
            _le("shell_coverage", 0.15, or_missing=True), _ge("intensity_mean", 150.0),
        ),
    ),
    Rule(
        "arc", "a bent plate or line: part of a shell or ring", "capsular or pleural plaque, rib",
        "clinical.md 1.4 (curvilinear / arc)",
        (*_closed(), _le("shell_coverage", 0.40), _le("shell_thickness_mm", _stroke_limit)),
    ),
    Rule(
        "sheet", "a plate along a fascia", "bone cortex, skin",
        "clinical.md 1.4 (sheet)",
        (_le("flatness", 0.25), _ge("elongation", 0.60), _le("least_axis_mm", _stroke_limit), _ge("solidity", 0.50)),
    ),
    Rule(
        "amorphous", "hazy and faint", "partial volume, iodine, haemorrhage",
        "clinical.md 1.4 (amorphous / cloud-like)",
        (_le("intensity_mean", 200.0), _le("edge_gradient_per_mm", 100.0)),
        (FULL, COARSE),
    ),
    Rule(
        "lobulated", "a large cloud of lobules with lucent septa", "heterotopic bone, calcific bursitis",
        "clinical.md 1.4 (tumoral calcinosis; 30 mm there is a proposal)",
        (_ge("max_diameter_mm", 20.0), _ge("lobes", 3), _ge("solidity", 0.60)),
    ),
    Rule(
        "popcorn", "chunky rounded lobules", "lobulated, ring-and-arc at coarse slices",
        "clinical.md 1.4 (popcorn)",
        (_ge("lobes", 3), _ge("solidity", 0.40), _ge("elongation", 0.40)),
    ),
    Rule(
        "solid", "filled and compact", "a stone, a clip, contrast",
        "clinical.md 1.4 (solid / diffuse dense)",
        (_ge("solidity", _solid_limit), _ge("sphericity", 0.69), _ge("elongation", 0.45)),
        _EVERY,
    ),
    Rule(
        "coarse", "irregular dense lumps", "a fragment of bone",
        "clinical.md 1.4 (coarse / clumped)",
        (_ge("max_diameter_mm", 5.0), _ge("solidity", 0.30), _ge("intensity_mean", 150.0)),
        (FULL, COARSE),
    ),
):  # fmt: skip
    RULES.add(_rule.key, _rule)
INDETERMINATE = Rule(
    "indeterminate", "none of the described forms", "", "no rule applies", (), _EVERY
)  # fmt: skip


def name_patterns(findings: pd.DataFrame) -> pd.DataFrame:
    """Name the pattern of every finding.

    Returns
    -------
    DataFrame
        With ``pattern``, ``pattern_confidence`` (0.5 where a deciding value lies at its bound, 1 where all lie 30 % or
        more beyond; a measure of clarity, not a probability), ``pattern_reason``, and label flags where slices are
        thick.

    Raises
    ------
    UsageError
        A column that rules need is not there.
    """
    lacking = {c.column for rule in RULES for c in rule.conditions} - set(findings.columns)
    if lacking:
        raise UsageError(f"name_patterns needs {', '.join(sorted(lacking))}: give it what imaging.group returned")
    n = len(findings)
    spacing = findings["slice_spacing_mm"].to_numpy(dtype=float)
    level = np.select([spacing <= FINE_MM, spacing <= COARSE_MM], [FULL, COARSE], IN_PLANE)
    pattern = np.full(n, INDETERMINATE.name, dtype=object)
    confidence = np.full(n, 0.5)
    reason = np.full(n, "no rule of this vocabulary applies", dtype=object)
    open_rows = np.ones(n, bool)
    for rule in RULES:
        hit = open_rows & np.isin(level, rule.levels)
        for condition in rule.conditions:
            hit &= condition.holds(findings)
        if hit.any():
            rows = findings[hit]
            clarity = np.min([c.clarity(rows) for c in rule.conditions], axis=0)
            pattern[hit], confidence[hit] = rule.name, 0.5 + 0.5 * clarity
            reason[hit] = _because(rule, rows)
            open_rows &= ~hit
    table = findings.copy()
    table["pattern"] = pd.Series(pattern, dtype="string", index=table.index)
    table["pattern_confidence"] = pd.Series(confidence, dtype="float64", index=table.index)
    table["pattern_reason"] = pd.Series(_with_level(reason, level), dtype="string", index=table.index)
    codes = np.array(["", "coarse_label", "in_plane_label"])[level] if n else []
    joined = [join(*filter(None, [*f.split(";"), c])) for f, c in zip(table["flags"], codes, strict=True)]
    table["flags"] = pd.Series(joined, dtype="string", index=table.index)
    return table


def _because(rule: Rule, rows: pd.DataFrame) -> list[str]:
    """The measured values that decided, one text per row."""
    texts: list[list[str]] = [[] for _ in range(len(rows))]
    for condition in rule.conditions:
        values = rows[condition.column].to_numpy(dtype=float, na_value=np.nan)
        for text, value, limit in zip(texts, values, condition.limits(rows), strict=True):
            if not np.isnan(value):
                text.append(f"{condition.column} {value:.3g} {condition.sign} {limit:.3g}")
    return ["; ".join(t) for t in texts]


def _with_level(reason: NDArray[np.object_], level: NDArray[np.int_]) -> list[str]:
    notes = ("", "; coarse vocabulary (slice spacing > 1.5 mm)", "; in-plane vocabulary (slice spacing > 3.5 mm)")
    return [f"{text}{notes[k]}" for text, k in zip(reason, level, strict=True)]
