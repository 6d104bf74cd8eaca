"""Calcium scores: named definitions of the Agatston score, volume, density and mass, for each finding and each scan.

`definitions` holds what can be added; `lesions` and `mass` compute; `table` is the stage, `totals` the burden.
"""

from __future__ import annotations

from .definitions import SCORES, ScoreDefinition
from .mass import Calibration
from .page import scores_page
from .params import ScoreParams
from .table import REFUSALS, SCORE_COLUMNS, Scoring, score, scoring_of
from .totals import BURDEN_COLUMNS, burden

__all__ = [
    "BURDEN_COLUMNS",
    "REFUSALS",
    "SCORES",
    "SCORE_COLUMNS",
    "Calibration",
    "ScoreDefinition",
    "ScoreParams",
    "Scoring",
    "burden",
    "score",
    "scores_page",
    "scoring_of",
]
