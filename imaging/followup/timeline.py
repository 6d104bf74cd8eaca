"""More than two scans: every finding under one name through all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import conform
from .columns import TIMELINE
from .compare import Comparison, compare
from .exam import Exam
from .matching import match
from .params import FollowupParams, Limits
from .rows import tracking

Track = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Scans of one patient in their order.

    Parameters
    ----------
    comparisons : tuple of Comparison
        Of each scan with the one before; tracking identifiers are those of the scan that showed a finding first.
    table : DataFrame
        Columns of `imaging.TIMELINE`.
    """

    comparisons: tuple[Comparison, ...]
    table: pd.DataFrame

    @property
    def exams(self) -> tuple[Exam, ...]:
        """The scans."""
        return (self.comparisons[0].before, *(c.after for c in self.comparisons))

    @property
    def days(self) -> list[int | None]:
        """Days from the first scan to each, None from where an interval is not known."""
        return _days(self.comparisons)


@dataclass(frozen=True)
class _Chain:
    """Registrations one after the other."""

    comparisons: tuple[Comparison, ...]

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        for c in self.comparisons:
            points = c.registration.apply(points)
        return points


def follow(
    exams: Sequence[Exam],
    params: FollowupParams | None = None,
    *,
    limits: Limits | None = None,
    intervals: Sequence[int | None] = (),
) -> Timeline:
    """Compare each scan with the one before, and follow findings through all of them.

    A finding that is missing at one time and back at a later one keeps its name: what is without partner is looked for
    among the findings that were lost before, through the registrations in between.

    Parameters
    ----------
    exams : sequence of Exam
        Two or more, the earliest first.
    params : FollowupParams, optional
    limits : Limits, optional
    intervals : sequence of int or None
        Days between each scan and the one before, where the exams have no dates.

    Raises
    ------
    RefusedError
        As `imaging.compare`.
    """
    params = params or FollowupParams()
    given = [*intervals, *([None] * len(exams))]
    comparisons = tuple(
        compare(a, b, params, limits=limits, interval_days=given[k]) for k, (a, b) in enumerate(pairwise(exams))
    )
    tracks = [[tracking(exams[0].measured or "1", int(i)) for i in exams[0].ids]]
    back: list[dict[int, int]] = []
    for k, c in enumerate(comparisons):
        names, returned = _named(tracks, comparisons[: k + 1], params)
        tracks.append(names)
        back.append(returned)
        assert len(names) == len(c.after)
    renamed = tuple(_renamed(c, tracks[k], tracks[k + 1], back[k]) for k, c in enumerate(comparisons))
    return Timeline(renamed, _table(renamed, tracks))


def _named(
    tracks: list[list[Track]], comparisons: tuple[Comparison, ...], params: FollowupParams
) -> tuple[list[Track], dict[int, int]]:
    """Tracks of the findings of the latest scan, and which of them were seen at an earlier time than the last."""
    latest = comparisons[-1]
    exam, known = latest.after, tracks[-1]
    names: list[Track | None] = [None] * len(exam)
    volume = latest.before.column("volume_mm3")
    links = [*zip(latest.matching.partners.before, latest.matching.partners.after, strict=True), *latest.matching.parts]
    for i, j in sorted(links, key=lambda link: volume[int(link[0])]):
        names[int(j)] = known[int(i)]  # of merged findings the largest is the last to give its name
    returned: dict[int, int] = {}
    for earlier in range(len(comparisons) - 2, -1, -1):
        since = {t for later in tracks[earlier + 1 :] for t in later} | {t for t in names if t}
        lost = [n for n, t in enumerate(tracks[earlier]) if t not in since]
        if not lost or all(names):
            continue
        found = match(comparisons[earlier].before, exam, _Chain(comparisons[earlier:]), params).partners
        for i, j in zip(found.before, found.after, strict=True):
            if int(i) in lost and names[int(j)] is None:
                names[int(j)] = tracks[earlier][int(i)]
                returned[int(j)] = earlier + 1
    own = exam.measured or str(len(tracks) + 1)
    return [t or tracking(own, int(f)) for t, f in zip(names, exam.ids, strict=True)], returned


def _renamed(c: Comparison, before: list[Track], after: list[Track], returned: dict[int, int]) -> Comparison:
    """The comparison with the names of the first scans; what came back is not new."""
    changes = c.changes.copy()
    rows = [{int(f): k for k, f in enumerate(e.ids)} for e in (c.before, c.after)]
    for index, row in changes.iterrows():
        old, new = row["baseline_finding_id"], row["followup_finding_id"]
        track = after[rows[1][int(new)]] if pd.isna(old) else before[rows[0][int(old)]]
        changes.loc[index, ["tracking_id", "tracking_uid"]] = track
        time = None if pd.isna(new) or not pd.isna(old) else returned.get(rows[1][int(new)])
        if time is not None:
            changes.loc[index, ["state", "match"]] = "not_seen"
            changes.loc[index, "reason"] = f"not seen in the baseline, and seen before at time point {time}"
    return replace(c, changes=changes)


def _days(comparisons: tuple[Comparison, ...]) -> list[int | None]:
    days: list[int | None] = [0]
    for c in comparisons:
        days.append(None if days[-1] is None or c.interval_days is None else days[-1] + c.interval_days)
    return days


def _table(comparisons: tuple[Comparison, ...], tracks: list[list[Track]]) -> pd.DataFrame:
    """One row for every track at every time from its first on."""
    exams = [comparisons[0].before, *(c.after for c in comparisons)]
    days = _days(comparisons)
    states = [dict[str, str]()] + [
        dict(zip(c.changes["tracking_id"], c.changes["state"], strict=True)) for c in comparisons
    ]
    rows = []
    for track in dict.fromkeys(t for names in tracks for t in names):
        first: float | None = None
        for k, exam in enumerate(exams):
            at = [n for n, t in enumerate(tracks[k]) if t == track]
            if not at and first is None:
                continue
            volume = float(exam.column("volume_mm3")[at].sum()) if at else float("nan")
            first = volume if first is None else first
            rows.append(
                {
                    "tracking_id": track[0],
                    "tracking_uid": track[1],
                    "time_point": k + 1,
                    "scan_id": exam.scan_id,
                    "days": days[k],
                    "finding_ids": ";".join(str(exam.ids[n]) for n in at) or None,
                    "state": states[k].get(track[0]),
                    "volume_mm3": volume,
                    "max_diameter_mm": float(exam.column("max_diameter_mm")[at[0]]) if len(at) == 1 else np.nan,
                    "volume_change_first_mm3": volume - first,
                    "volume_change_first_percent": 100 * (volume - first) / first if first > 0 else np.nan,
                }
            )
    return conform(pd.DataFrame(rows), TIMELINE)
