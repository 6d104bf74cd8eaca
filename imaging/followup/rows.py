"""The table of changes: a row for each pair, each part and each finding alone."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import conform
from .change import Measured, call, relative
from .columns import CHANGES
from .comparability import Comparability
from .exam import Exam
from .matching import Matching
from .params import FollowupParams, Limits
from .registration import Registration
from .visibility import hidden

DAYS_A_YEAR = 365.25
SUMS = ("volume_mm3", "integrated_hu_mm3", "agatston", "mass_mg")
"""Measures that are summed over the parts of a split or merged finding."""


def tracking(scan_id: str, finding_id: int) -> tuple[str, str]:
    """Tracking identifier and UID of a finding, from the scan that showed it first: the same whenever it is asked.

    The scan is named by `Exam.measured`: measured above another threshold it has other findings under its numbers.
    """
    digest = hashlib.sha256(f"calcimap tracking\0{scan_id}\0{finding_id}".encode()).hexdigest()
    return f"T-{digest[:12]}", f"2.25.{int(digest[:32], 16)}"


def change_rows(
    one: Exam,
    two: Exam,
    registration: Registration,
    matching: Matching,
    table: Comparability,
    limits: Limits,
    params: FollowupParams,
    interval: int | None,
) -> pd.DataFrame:
    """Columns of `imaging.CHANGES`: a row for each pair, part and finding alone, of all findings of both scans."""
    rows = []
    links = [tuple(map(int, p)) for p in zip(matching.partners.before, matching.partners.after, strict=True)]
    links += [(int(a), int(b)) for a, b in matching.parts]
    pairs = matching.partners
    detail = {
        (int(i), int(j)): {"distance_mm": d, "overlap": o, "cost": c}
        for i, j, d, o, c in zip(pairs.before, pairs.after, pairs.distance_mm, pairs.overlap, pairs.cost, strict=True)
    }
    spacing = max(one.largest_spacing_mm, two.largest_spacing_mm)
    for i, j in sorted(links):
        wholes = np.flatnonzero(matching.cluster_before == matching.cluster_before[i])
        parts = np.flatnonzero(matching.cluster_after == matching.cluster_before[i])
        row = _pair(one, two, i, j, wholes, parts, spacing, limits)
        rows.append(row | detail.get((i, j), {}))
    partnered = {i for i, _ in links}, {j for _, j in links}
    alone = [(i, None) for i in range(len(one)) if i not in partnered[0]]
    alone += [(None, j) for j in range(len(two)) if j not in partnered[1]]  # type: ignore[misc]
    rows += [_single(one, two, i, j, registration, matching, params) for i, j in alone]
    for row in rows:
        if not table.comparable and row["state"] != "not_seen":
            found = {"new": "in the follow-up only; ", "resolved": "in the baseline only; "}.get(row["match"], "")
            row |= {"state": "not_comparable", "change": None, "reason": found + table.reason}
    return _finished(rows, one, two, interval, params)


def _pair(
    one: Exam, two: Exam, i: int, j: int, wholes: NDArray[Any], parts: NDArray[Any], spacing: float, limits: Limits
) -> dict[str, Any]:
    """A pair, or one link of a cluster, whose sizes are those of the cluster as a whole."""
    single = len(wholes) == len(parts) == 1
    values = {n: (one.column(n)[wholes].sum(), two.column(n)[parts].sum()) for n in SUMS}
    diameters = (one.column("max_diameter_mm")[i], two.column("max_diameter_mm")[j]) if single else (np.nan, np.nan)
    as_arrays = [
        tuple(np.array([v]) for v in p) for p in (values["volume_mm3"], diameters, values["integrated_hu_mm3"])
    ]
    calls = call(Measured(*as_arrays), spacing, limits)  # type: ignore[arg-type]
    if single:
        kind, reason = "matched", str(calls.reason[0])
    else:
        kind = "split" if len(parts) > len(wholes) else "merged"
        ids = ", ".join(map(str, (two.ids[parts] if kind == "split" else one.ids[wholes])))
        whole = one.ids[wholes] if kind == "split" else two.ids[parts]
        how = "became" if kind == "split" else "is what was"
        reason = f"{', '.join(map(str, whole))} {how} {ids}; together: {calls.reason[0]}"
    change: str | None = str(calls.state[0])
    cut = [
        name
        for exam, which, name in ((one, wholes, "baseline"), (two, parts, "follow-up"))
        if any("touches_border" in flags.split(";") for flags in exam.words("flags")[which])
    ]
    state = change if single else kind
    if cut:
        state, change, reason = "not_comparable", None, f"cut off at the border of the {' and the '.join(cut)}"
    longest = np.fmax(one.column("max_diameter_mm")[i], two.column("max_diameter_mm")[j])
    return {
        "i": i,
        "j": j,
        "match": kind,
        "state": state,
        "change": change,
        "reason": reason,
        "limit_mm3": calls.limit_mm3[0],
        "diameter_limit_mm": calls.diameter_limit_mm[0] if single else np.nan,
        "diameter_change_mm": diameters[1] - diameters[0],
        "size_limited": bool(spacing > longest / 3),
        **{f"{n}_before": v[0] for n, v in values.items()},
        **{f"{n}_after": v[1] for n, v in values.items()},
    }


def _single(
    one: Exam,
    two: Exam,
    i: int | None,
    j: int | None,
    registration: Registration,
    matching: Matching,
    params: FollowupParams,
) -> dict[str, Any]:
    """A finding without partner: new, resolved, or not seen."""
    is_new = i is None
    finder, other, k = (two, one, j) if is_new else (one, two, i)
    assert k is not None
    part = finder.components
    at = part.coordinates[part.voxel_offsets[k] : part.voxel_offsets[k + 1]]
    places = at @ finder.affine[:3, :3].T + finder.affine[:3, 3]
    there = (
        registration.invert(places - matching.shift_after[k])
        if is_new
        else registration.apply(places) + matching.shift_before[k]
    )
    why = hidden(finder, k, other, there, is_new, params)
    state = "not_seen" if why else "new" if is_new else "resolved"
    seen, missing = ("follow-up", "baseline") if is_new else ("baseline", "follow-up")
    when = "after" if is_new else "before"
    spacing = max(one.largest_spacing_mm, two.largest_spacing_mm)
    return {
        "i": i,
        "j": j,
        "match": state,
        "state": state,
        "change": None,
        "reason": why or f"in the {seen} only; the {missing} would have shown it",
        "size_limited": bool(spacing > finder.column("max_diameter_mm")[k] / 3),
        **{f"{n}_{when}": finder.column(n)[k] for n in SUMS},
    }


def _finished(
    rows: list[dict[str, Any]], one: Exam, two: Exam, interval: int | None, params: FollowupParams
) -> pd.DataFrame:
    """The table of changes: what every row has, taken from both tables of findings."""
    table = pd.DataFrame(rows, columns=None if rows else ["i", "j"])
    i, j = (table[n].to_numpy(dtype=float, na_value=np.nan) if rows else np.zeros(0) for n in ("i", "j"))
    for name in SUMS:
        for when in ("before", "after"):
            table[f"{name}_{when}"] = table.get(f"{name}_{when}", np.nan)
    out: dict[str, Any] = {
        "baseline_finding_id": _taken(one.column("finding_id"), i),
        "followup_finding_id": _taken(two.column("finding_id"), j),
        "baseline_scan_id": one.scan_id,
        "followup_scan_id": two.scan_id,
        "interval_days": interval,
        "pattern_before": _words(one.words("pattern"), i),
        "pattern_after": _words(two.words("pattern"), j),
        "organ": np.where(
            _words(two.words("organ"), j) == "", _words(one.words("organ"), i), _words(two.words("organ"), j)
        ),
        "diameter_before_mm": _taken(one.column("max_diameter_mm"), i),
        "diameter_after_mm": _taken(two.column("max_diameter_mm"), j),
    }
    names = {"volume_mm3": "volume_{}_mm3", "integrated_hu_mm3": "integrated_{}_hu_mm3", "agatston": "agatston_{}",
             "mass_mg": "mass_{}_mg"}  # fmt: skip
    sizes = {n: tuple(table[f"{n}_{w}"].to_numpy(dtype=float) for w in ("before", "after")) for n in SUMS}
    scored = one.fact("score_definition") == two.fact("score_definition")
    for n, form in names.items():
        for when, values in zip(("before", "after"), sizes[n], strict=True):
            out[form.format(when)] = values
        if n in ("volume_mm3", "agatston", "mass_mg"):
            comparable = n == "volume_mm3" or scored
            out[form.format("change")] = sizes[n][1] - sizes[n][0] if comparable else np.nan
    out["volume_change_percent"] = 100 * relative(*sizes["volume_mm3"])
    out["integrated_change_percent"] = 100 * relative(*sizes["integrated_hu_mm3"])
    if interval is not None and interval >= params.annual_from_days:
        out["volume_change_per_year_mm3"] = out["volume_change_mm3"] / interval * DAYS_A_YEAR
    for exam, index, when in ((one, i, "before"), (two, j, "after")):
        for k, a in enumerate("xyz"):
            out[f"{when}_{a}_mm"] = _taken(exam.centroids[:, k], index)
    ids = [_tracked(one, two, a, b) for a, b in zip(i, j, strict=True)]
    out |= {"tracking_id": [t[0] for t in ids], "tracking_uid": [t[1] for t in ids]}
    made = pd.DataFrame(out, index=table.index).assign(
        **{c: table[c] for c in table.columns if c in CHANGES and c not in out}
    )
    for name in ("pattern_before", "pattern_after", "organ"):
        made[name] = made[name].replace("", None)
    return conform(made, CHANGES)


def _tracked(one: Exam, two: Exam, i: float, j: float) -> tuple[str, str]:
    """A finding is tracked under the name of its baseline, or under its own where it is new."""
    exam, k = (two, j) if math.isnan(i) else (one, i)
    return tracking(exam.measured, int(exam.ids[int(k)]))


def _taken(values: NDArray[np.float64], index: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at places, NaN where the place is."""
    out = np.full(len(index), np.nan)
    known = ~np.isnan(index)
    out[known] = values[index[known].astype(int)]
    return out


def _words(values: NDArray[np.object_], index: NDArray[np.float64]) -> NDArray[np.object_]:
    out = np.full(len(index), "", object)
    known = ~np.isnan(index)
    out[known] = values[index[known].astype(int)]
    return out
