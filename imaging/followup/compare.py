"""`compare`: two scans of a patient in, one row for every finding of either out."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import conform
from ..detection import Detection
from ..errors import RefusedError
from .change import Measured, call, relative, volume_limit
from .coarse_view import CoarseView
from .columns import BURDEN_CHANGES, CHANGES
from .comparability import Comparability, comparability
from .exam import Exam
from .matching import Matching, match
from .params import FollowupParams, Limits
from .registration import Registration, register
from .visibility import hidden

DAYS_A_YEAR = 365.25
_SUMS = ("volume_mm3", "integrated_hu_mm3", "agatston", "mass_mg")
DEFAULT_TISSUE_HU = 40.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """What became of the findings of one scan in a later one.

    Parameters
    ----------
    before, after : Exam
    registration : Registration
    comparability : Comparability
    matching : Matching
    changes : DataFrame
        Columns of `imaging.CHANGES`.
    burden : DataFrame
        Columns of `imaging.BURDEN_CHANGES`.
    limits : Limits
    params : FollowupParams
    interval_days : int, optional
    """

    before: Exam
    after: Exam
    registration: Registration
    comparability: Comparability
    matching: Matching
    changes: pd.DataFrame
    burden: pd.DataFrame
    limits: Limits = field(default_factory=Limits)
    params: FollowupParams = field(default_factory=FollowupParams)
    interval_days: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Rows by state."""
        return {str(state): int(n) for state, n in self.changes["state"].value_counts().items()}


def compare(
    before: Exam | Detection,
    after: Exam | Detection,
    params: FollowupParams | None = None,
    *,
    limits: Limits | None = None,
    registration: Registration | None = None,
    interval_days: int | None = None,
) -> Comparison:
    """Compare two scans of one patient.

    Registers them, finds partners, and calls new, resolved and changed findings, each with the limit that decided.
    Where the scans differ in what sizes depend on (kernel, contrast agent, slice thickness, ...) everything is listed
    and nothing called.

    Parameters
    ----------
    before, after : Exam or Detection
        Baseline and follow-up; findings of a `Detection` are measured first.
    params : FollowupParams, optional
    limits : Limits, optional
        What repeats differ by; the literature's by default.
    registration : Registration, optional
        Where the places of the baseline lie in the follow-up, if it is known already.
    interval_days : int, optional
        Between the scans, where the dates of the exams do not say.

    Raises
    ------
    RefusedError
        ``registration_failed``: another patient, another part of the body, or no image to register.
    """
    params, limits = params or FollowupParams(), limits or Limits()
    one, two = (Exam.of(e) if isinstance(e, Detection) else e for e in (before, after))
    table = comparability(one, two)
    found = registration or register_exams(one, two, params)
    matching = match(one, two, found, params)
    if one.acquired and two.acquired:
        interval_days = (two.acquired - one.acquired).days
    rows = _rows(one, two, found, matching, table, limits, params)
    changes = _finished(rows, one, two, interval_days, params)
    burden = _burden(one, two, changes, table, limits, interval_days, params)
    return Comparison(one, two, found, table, matching, changes, burden, limits, params, interval_days)


def register_exams(before: Exam, after: Exam, params: FollowupParams | None = None) -> Registration:
    """The registration of two exams: by their images, or by their common frame of reference where there are none.

    Raises
    ------
    RefusedError
        ``registration_failed``.
    """
    params = params or FollowupParams()
    same_frame = bool(before.frame) and before.frame == after.frame
    views = []
    for exam in (before, after):
        if exam.image is not None:
            tissue = exam.number("tissue_mean_hu")
            level = DEFAULT_TISSUE_HU if math.isnan(tissue) else tissue
            views.append(CoarseView.of(exam.image, exam.components, level, params.step_mm))
    if len(views) == 2:
        return register(views[0], views[1], same_frame, params)
    if same_frame:
        return Registration(np.eye(4), "frame_of_reference")
    raise RefusedError(
        "registration_failed",
        "the images are needed to register scans of different frames of reference; give the folder that holds them",
    )


def tracking(scan_id: str, finding_id: int) -> tuple[str, str]:
    """Tracking identifier and UID of a finding, from the scan that showed it first: the same whenever it is asked."""
    digest = hashlib.sha256(f"calcimap tracking\0{scan_id}\0{finding_id}".encode()).hexdigest()
    return f"T-{digest[:12]}", f"2.25.{int(digest[:32], 16)}"


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(
    one: Exam,
    two: Exam,
    registration: Registration,
    matching: Matching,
    table: Comparability,
    limits: Limits,
    params: FollowupParams,
) -> list[dict[str, Any]]:
    """A row for each pair, part and finding alone, with what is special about it."""
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
    rows += [_single(one, two, i, j, registration, params) for i, j in alone]
    for row in rows:
        if not table.comparable and row["state"] != "not_seen":
            found = {"new": "in the follow-up only; ", "resolved": "in the baseline only; "}.get(row["match"], "")
            row |= {"state": "not_comparable", "change": None, "reason": found + table.reason}
    return rows


def _pair(
    one: Exam, two: Exam, i: int, j: int, wholes: NDArray[Any], parts: NDArray[Any], spacing: float, limits: Limits
) -> dict[str, Any]:
    """A pair, or one link of a cluster, whose sizes are those of the cluster as a whole."""
    single = len(wholes) == len(parts) == 1
    values = {n: (one.column(n)[wholes].sum(), two.column(n)[parts].sum()) for n in _SUMS}
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
    one: Exam, two: Exam, i: int | None, j: int | None, registration: Registration, params: FollowupParams
) -> dict[str, Any]:
    """A finding without partner: new, resolved, or not seen."""
    is_new = i is None
    finder, other, k = (two, one, j) if is_new else (one, two, i)
    assert k is not None
    part = finder.components
    at = part.coordinates[part.voxel_offsets[k] : part.voxel_offsets[k + 1]]
    places = at @ finder.affine[:3, :3].T + finder.affine[:3, 3]
    why = hidden(
        finder, k, other, registration.invert(places) if is_new else registration.apply(places), is_new, params
    )
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
        **{f"{n}_{when}": finder.column(n)[k] for n in _SUMS},
    }


def _finished(
    rows: list[dict[str, Any]], one: Exam, two: Exam, interval: int | None, params: FollowupParams
) -> pd.DataFrame:
    """The table of changes: what every row has, taken from both tables of findings."""
    table = pd.DataFrame(rows, columns=None if rows else ["i", "j"])
    i, j = (table[n].to_numpy(dtype=float, na_value=np.nan) if rows else np.zeros(0) for n in ("i", "j"))
    for name in _SUMS:
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
    sizes = {n: tuple(table[f"{n}_{w}"].to_numpy(dtype=float) for w in ("before", "after")) for n in _SUMS}
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
    return tracking(exam.scan_id, int(exam.ids[int(k)]))


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


# -- burden ------------------------------------------------------------------------------------------------------------


def _burden(
    one: Exam,
    two: Exam,
    changes: pd.DataFrame,
    table: Comparability,
    limits: Limits,
    interval: int | None,
    params: FollowupParams,
) -> pd.DataFrame:
    """Sums over what both scans hold: the whole, then each organ that is known."""
    outside = changes["reason"].str.startswith("outside the field of view").fillna(False).to_numpy(dtype=bool)
    kept = [
        ~np.isin(e.ids, changes.loc[outside, name].dropna().to_numpy(dtype=np.int64))
        for e, name in ((one, "baseline_finding_id"), (two, "followup_finding_id"))
    ]
    organs: list[str | None] = [None, *sorted({*one.words("organ"), *two.words("organ")} - {""})]
    rows = []
    for organ in organs:
        of = [np.ones(len(e), bool) if organ is None else e.words("organ") == organ for e in (one, two)]
        use = [o & k for o, k in zip(of, kept, strict=True)]
        sums = {n: [_sum(e.column(n)[u]) for e, u in zip((one, two), use, strict=True)] for n in _SUMS}
        v0, v1 = sums["volume_mm3"]
        limit = float(volume_limit(np.array([v0]), limits)[0])
        beyond = abs(v1 - v0) > limit
        state = "not_comparable" if not table.comparable else "stable" if not beyond else (
            "increased" if v1 > v0 else "decreased"
        )  # fmt: skip
        reason = table.reason or f"volume {v1 - v0:+.1f} mm3 {'exceeds' if beyond else 'is within'} {limit:.1f} mm3"
        yearly = interval is not None and interval >= params.annual_from_days
        rows.append(
            {
                "organ": organ,
                "n_before": int(use[0].sum()),
                "n_after": int(use[1].sum()),
                "n_outside": int(sum((o & ~k).sum() for o, k in zip(of, kept, strict=True))),
                "volume_before_mm3": v0,
                "volume_after_mm3": v1,
                "volume_change_mm3": v1 - v0,
                "volume_change_percent": 100 * (v1 - v0) / v0 if v0 > 0 else np.nan,
                "limit_mm3": limit,
                "state": state,
                "reason": reason,
                **{
                    f"integrated_{w}_hu_mm3": v
                    for w, v in zip(("before", "after"), sums["integrated_hu_mm3"], strict=True)
                },
                **{f"agatston_{w}": v for w, v in zip(("before", "after"), sums["agatston"], strict=True)},
                **{f"mass_{w}_mg": v for w, v in zip(("before", "after"), sums["mass_mg"], strict=True)},
                "interval_days": interval,
                "volume_change_per_year_mm3": (v1 - v0) / interval * DAYS_A_YEAR if yearly and interval else np.nan,
            }
        )
    return conform(pd.DataFrame(rows), BURDEN_CHANGES)


def _sum(values: NDArray[np.float64]) -> float:
    """Sum of what is known; missing where findings are and nothing is known of any, 0 without findings."""
    return float(np.nansum(values)) if len(values) == 0 or not np.isnan(values).all() else float("nan")
