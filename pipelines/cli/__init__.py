"""The command line: arguments in, calls to `pipelines`, text out. Nothing is decided here.

One module for each kind of command; importing it registers its commands on `app`.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import typer

from .app import app

from . import study, followup, lists, models  # isort: skip  # the order of --help

if TYPE_CHECKING:
    from imaging import CalcimapError

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
        print("calcimap: stopped; finished scans are kept, run the same command again to go on", file=sys.stderr)
        return 130
    return int(code or 0)


def _complain(error: CalcimapError, code: int) -> int:
    place = f"{error.path}: " if error.path else ""
    print(f"calcimap: {place}{error.message}", file=sys.stderr)
    return code
