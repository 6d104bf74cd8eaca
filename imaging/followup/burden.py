"""Sums over the findings of two scans, and whether they changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import conform
from .change import volume_limit
from .columns import BURDEN_CHANGES
from .comparability import Comparability
from .exam import Exam
from .params import FollowupParams, Limits
from .rows import DAYS_A_YEAR, SUMS


def burden_rows(
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
        sums = {n: [_sum(e.column(n)[u]) for e, u in zip((one, two), use, strict=True)] for n in SUMS}
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
