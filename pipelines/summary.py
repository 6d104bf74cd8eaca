"""What a run says of itself: how each scan ended, ``key.csv`` and ``run.json``."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from . import memory, provenance
from .files import replacing
from .place import RUN
from .plan import IDENTIFIERS, Conditions, Entry, Plan
from .results import StudyResult
from .task import Outcome
from .writers.tables import neutral


class Notes:
    """How each scan ended, on disk: in memory is only where to look.

    Parameters
    ----------
    file : Path
        Lies in the folder for what is not finished.
    """

    def __init__(self, file: Path) -> None:
        self.started = time.time()
        self._stream = file.open("w+", encoding="utf-8")
        self._places: dict[str, int] = {}
        self.peak_bytes = 0
        """The most memory that this process held."""

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    @property
    def done(self) -> int:
        """Number of scans that ended, one way or another."""
        return len(self._places)

    def add(self, outcome: Outcome) -> None:
        """Note how a scan ended."""
        self.peak_bytes = max(self.peak_bytes, memory.peak_bytes() or 0)  # each scan in this process sets it back
        self._stream.seek(0, 2)
        self._places[outcome.scan_id] = self._stream.tell()
        kept = {"record": outcome.record, "seconds": outcome.seconds, "resumed": outcome.resumed}
        self._stream.write(json.dumps(kept | {"peak_mb": outcome.peak_mb}, default=float) + "\n")

    def read(self, scan_id: str) -> dict[str, Any] | None:
        """What was noted; None where the scan did not end."""
        if scan_id not in self._places:
            return None
        self._stream.seek(self._places[scan_id])
        noted: dict[str, Any] = json.loads(self._stream.readline())
        return noted

    def row(self, scan_id: str) -> dict[str, Any] | None:
        """The scan's row in ``scans``."""
        noted = self.read(scan_id)
        return None if noted is None else noted["record"]


def write_key(folder: Path, entries: list[Entry], keep_identifiers: bool) -> None:
    """``key.csv``, readable by its owner only: scan_id and path relative to the input."""
    names = ["scan_id", "path", *(IDENTIFIERS if keep_identifiers else ())]
    rows = [(e.scan_id, e.path, *(e.identifiers if keep_identifiers else ())) for e in entries]
    table = neutral(pd.DataFrame(rows, columns=names, dtype="string"))
    with replacing(folder / "key.csv", permissions=0o600) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")


def write_run(
    folder: Path, plan: Plan, conditions: Conditions, notes: Notes, study: StudyResult, *, finished: bool
) -> None:
    """``run.json``: versions, configuration, hashes of inputs, timings and memory. No paths.

    The scans come last and one by one, so that there may be very many.
    """
    stages: dict[str, list[float]] = defaultdict(list)
    peak = 0.0
    for entry in plan.wanted:
        noted = notes.read(entry.scan_id) or {"seconds": {}, "peak_mb": None}
        peak = max(peak, noted["peak_mb"] or 0.0)
        for stage, seconds in noted["seconds"].items():
            stages[stage].append(seconds)
    own = max(notes.peak_bytes, memory.peak_bytes() or 0)
    record = {
        "finished": finished,
        "started_unix_s": round(notes.started, 3),
        "seconds": round(time.time() - notes.started, 3),
        "versions": provenance.versions(),
        "config": conditions.config.to_dict(),
        "config_sha256": conditions.config.digest(),
        "formats": list(conditions.formats),
        "context": conditions.context.to_dict(),
        "counts": study.counts,
        "ignored_files": dict(sorted(Counter(plan.ignored.values()).items())),
        "stages": {
            name: {"scans": len(s), "sum_s": round(sum(s), 3), "median_s": round(sorted(s)[len(s) // 2], 4),
                   "max_s": round(max(s), 4)}
            for name, s in stages.items()
        },
        "peak_mb": {"coordinator": round(own / 1e6, 1) or None, "scan": peak or None},
    }  # fmt: skip
    with replacing(folder / RUN) as stream:
        stream.write(json.dumps(record, indent=1).removesuffix("\n}") + ',\n "scans": {')
        for k, text in enumerate(_scans(plan, notes)):
            stream.write(("," if k else "") + "\n  " + text)
        stream.write("\n }\n}\n")


def _scans(plan: Plan, notes: Notes) -> Iterator[str]:
    for entry in plan.wanted:
        noted = notes.read(entry.scan_id)
        if noted is not None:
            facts = {
                "input_sha256": entry.fingerprint,
                "seconds": {k: round(v, 4) for k, v in noted["seconds"].items()},
                "peak_mb": noted["peak_mb"],
                "resumed": noted["resumed"],
            }
            yield f"{json.dumps(entry.scan_id)}: {json.dumps(facts)}"
