"""Patterns of echogenic foci, as far as a plane shows them, by the same kind of rules as on CT.

Ultrasound shows the face of a calcification that looks at the probe: what lies behind is in its shadow. So a dot, a
bent face (arc), a long bent face (rim) and the rest (coarse) are told apart, and only where lengths are in mm.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ._registry import Registry
from .patterns import IN_PLANE, INDETERMINATE, Condition, Rule

LEVELS = (IN_PLANE,)
ECHO_RULES: Registry[Rule] = Registry("ultrasound pattern")
for _rule in (
    Rule(
        "punctate", "a bright dot", "noise, a vessel wall cut across, gas",
        "clinical.md 1.4; at most 3 mm, as on CT",
        (Condition("echo_width_mm", "<=", 3.0), Condition("echo_height_mm", "<=", 3.0)),
        LEVELS,
    ),
    Rule(
        "rim", "a long bent bright face: the near side of a shell", "bone, bowel gas, a gallbladder wall",
        "clinical.md 1.4 (rim), as far as the near side shows it",
        (
            Condition("thickness_to_width", "<=", 0.25), Condition("sagitta_to_width", ">=", 0.12),
            Condition("echo_width_mm", ">=", 8.0),
        ),
        LEVELS,
    ),
    Rule(
        "arc", "a bent or straight bright face", "a specular interface, bone",
        "clinical.md 1.4 (curvilinear / arc)",
        (Condition("thickness_to_width", "<=", 0.30), Condition("echo_width_mm", ">=", 3.0)),
        LEVELS,
    ),
    Rule(
        "coarse", "a bright lump", "a fragment of bone, gas",
        "clinical.md 1.4 (coarse / clumped)",
        (Condition("echo_width_mm", ">=", 3.0),),
        LEVELS,
    ),
):  # fmt: skip
    ECHO_RULES.add(_rule.name, _rule)


def name_echo_patterns(findings: pd.DataFrame) -> pd.DataFrame:
    """Name the pattern of every ultrasound finding: the first rule of `ECHO_RULES` all of whose conditions hold.

    Returns
    -------
    DataFrame
        With ``pattern``, ``pattern_confidence`` and ``pattern_reason``, as on CT.
    """
    names, confidences, reasons = [], [], []
    for k in range(len(findings)):
        row = findings.iloc[[k]]
        rule = next((r for r in ECHO_RULES if all(c.holds(row)[0] for c in r.conditions)), None)
        if rule is None:
            known = bool(np.isfinite(float(row["echo_width_mm"].iloc[0])))
            reasons.append("no rule applies" if known else "not calibrated: no lengths in mm")
            names.append(INDETERMINATE.name)
            confidences.append(0.5)
            continue
        clarity = min(float(c.clarity(row)[0]) for c in rule.conditions)
        shadow = row["shadow_class"].iloc[0]
        told = [
            f"{c.column} {float(row[c.column].iloc[0]):.3g} {c.sign} {c.limits(row)[0]:.3g}" for c in rule.conditions
        ]
        told.append("shadow cannot be judged" if pd.isna(shadow) else f"shadow {shadow}")
        names.append(rule.name)
        confidences.append(0.5 + 0.5 * clarity)
        reasons.append("; ".join(told))
    table = findings.copy()
    table["pattern"] = pd.Series(names, dtype="string", index=table.index)
    table["pattern_confidence"] = pd.Series(confidences, dtype="float64", index=table.index)
    table["pattern_reason"] = pd.Series(reasons, dtype="string", index=table.index)
    return table
