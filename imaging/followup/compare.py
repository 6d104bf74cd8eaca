"""`compare`: two scans of a patient in, one row for every finding of either out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..detection import Detection
from ..errors import RefusedError, UsageError
from .burden import burden_rows
from .coarse_view import CoarseView
from .comparability import Comparability, comparability
from .exam import Exam
from .matching import Matching, match
from .params import FollowupParams, Limits
from .registration import Registration, register
from .rows import change_rows

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
    UsageError
        The scans are not in the order of their dates.
    RefusedError
        ``registration_failed``: another patient, another part of the body, or no image to register.
    """
    params, limits = params or FollowupParams(), limits or Limits()
    one, two = (Exam.of(e) if isinstance(e, Detection) else e for e in (before, after))
    if one.acquired and two.acquired:
        interval_days = (two.acquired - one.acquired).days
    if interval_days is not None and interval_days < 0:
        raise UsageError(f"the later scan lies {-interval_days} days before the earlier one; give the earliest first")
    table = comparability(one, two)
    found = registration or register_exams(one, two, params)
    matching = match(one, two, found, params)
    changes = change_rows(one, two, found, matching, table, limits, params, interval_days)
    burden = burden_rows(one, two, changes, table, limits, interval_days, params)
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
