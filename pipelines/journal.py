"""What happens during a run, as it happens: ``run.log`` for people, ``events.jsonl`` for programs. No identities.

Scans stand there by their scan_id; there are no paths, no header values and no texts of foreign errors.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from imaging import UsageError

from .files import appending
from .task import Outcome

log = logging.getLogger("calcimap")
LOG, EVENTS = "run.log", "events.jsonl"


class Journal:
    """Both files of a run, written line by line so that they are whole whatever happens.

    Parameters
    ----------
    folder : Path
        Where they lie; a second run in the same folder is written behind the first.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._log = appending(folder / LOG)
            with contextlib.ExitStack() as held:
                held.enter_context(self._log)
                self._events = appending(folder / EVENTS)
                held.pop_all()
        except OSError:
            text = f"{LOG} or {EVENTS} in the output folder is a link or a file that cannot be written; remove it"
            raise UsageError(text, folder) from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._log.close()
        self._events.close()

    def event(self, name: str, level: int = logging.INFO, text: str = "", **facts: Any) -> None:
        """Something happened: one line in each file, and in the log of Python."""
        now = time.time()
        line = json.dumps({"time_unix_s": round(now, 3), "event": name} | facts, allow_nan=False)
        self._events.write(line + "\n")
        self._events.flush()
        said = text or ", ".join(f"{k} {v}" for k, v in facts.items())
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        self._log.write(f"{stamp} {logging.getLevelName(level)} {name.replace('_', ' ')}: {said}\n")
        self._log.flush()
        log.log(level, "%s: %s", name.replace("_", " "), said)

    def outcome(self, outcome: Outcome) -> None:
        """A scan is done, one way or another."""
        status, reason = outcome.record["status"], outcome.record.get("reason") or ""
        facts: dict[str, Any] = {"scan_id": outcome.scan_id, "status": status, "reason": reason}
        facts |= {"resumed": outcome.resumed, "seconds": {k: round(v, 4) for k, v in outcome.seconds.items()}}
        facts |= {"peak_mb": outcome.peak_mb, "n_findings": outcome.record.get("n_findings")}
        took = sum(outcome.seconds.values())
        text = f"{outcome.scan_id} {status} {reason}".rstrip() + (" (kept)" if outcome.resumed else f", {took:.1f} s")
        self.event("scan", logging.INFO, text, **facts)
        if outcome.trace:
            self.event("error", logging.ERROR, f"{outcome.scan_id}\n{outcome.trace}", scan_id=outcome.scan_id)
