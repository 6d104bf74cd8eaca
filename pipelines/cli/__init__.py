"""The command line: arguments in, calls to `pipelines`, text out. Nothing is decided here.

One module for each kind of command; importing it registers its commands on `app`.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from .app import app

from . import study, followup, lists, models  # isort: skip  # the order of --help

if TYPE_CHECKING:
    from imaging import CalcimapError

STOPPED = 130

__all__ = ["app", "followup", "lists", "main", "models", "study"]


def main(arguments: list[str] | None = None) -> int:
    """Entry point: one line for what a person can mend, exit codes of DESIGN section 2."""
    from imaging import CalcimapError, UsageError

    logging.getLogger("calcimap").addHandler(logging.NullHandler())
    parse_error = cast(
        "type[Exception]", typer.BadParameter.__mro__[1]
    )  # UsageError of the click that this typer uses, its own or the real one
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _stopped_by_sigterm():
            code = app(arguments or ["--help"], prog_name="calcimap", standalone_mode=False)
    except UsageError as error:
        return _complain(error, 2)
    except CalcimapError as error:
        return _complain(error, 8)
    except parse_error as error:
        text = error.format_message()  # type: ignore[attr-defined]  # of click
        print(f"calcimap: {text} See calcimap --help.", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except Exception as error:
        # Its text may hold anything, a patient's name included; its type and places do not.
        places = [
            f"  {Path(f.filename).name}:{f.lineno} in {f.name}" for f in traceback.extract_tb(error.__traceback__)
        ]
        print("\n".join(["calcimap: internal error; please report it with these lines", *places]), file=sys.stderr)
        print(f"  {type(error).__name__}", file=sys.stderr)
        return 1
    if code == STOPPED:  # some versions of typer give this code in place of the exception
        print("calcimap: stopped; finished scans are kept, run the same command again to go on", file=sys.stderr)
    return int(code or 0)


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Batch systems end a job with SIGTERM and give it some seconds: stop as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(error: CalcimapError, code: int) -> int:
    place = f"{error.path}: " if error.path else ""
    print(f"calcimap: {place}{error.message}", file=sys.stderr)
    return code
