"""calcimap's orchestration: folders in, output folders out. Research use only."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import run
    from .config import Config
    from .results import ClipResult, Failure, ScanResult, StudyResult
    from .scan import analyze

_HOME = {
    "ClipResult": "results",
    "Config": "config",
    "Failure": "results",
    "ScanResult": "results",
    "StudyResult": "results",
    "analyze": "scan",
    "run": "batch",
}

__all__ = ["ClipResult", "Config", "Failure", "ScanResult", "StudyResult", "analyze", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
