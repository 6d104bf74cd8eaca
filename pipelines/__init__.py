"""calcimap's orchestration: folders in, output folders out. Research use only."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import run
    from .config import Config
    from .exams import open_exam
    from .followup import compare, repeatability
    from .hypotheses import rank_study
    from .results import ClipResult, Failure, FollowupResult, ScanResult, StudyResult
    from .scan import analyze
    from .training import open_model, predict_table, train, write_model

_HOME = {
    "ClipResult": "results",
    "Config": "config",
    "Failure": "results",
    "FollowupResult": "results",
    "ScanResult": "results",
    "StudyResult": "results",
    "analyze": "scan",
    "compare": "followup",
    "open_exam": "exams",
    "open_model": "training",
    "predict_table": "training",
    "rank_study": "hypotheses",
    "repeatability": "followup",
    "run": "batch",
    "train": "training",
    "write_model": "training",
}

__all__ = [
    "ClipResult",
    "Config",
    "Failure",
    "FollowupResult",
    "ScanResult",
    "StudyResult",
    "analyze",
    "compare",
    "open_exam",
    "open_model",
    "predict_table",
    "rank_study",
    "repeatability",
    "run",
    "train",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
