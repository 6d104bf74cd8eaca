"""The command's application object, and the arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find, measure and classify calcifications on CT and ultrasound. Research use only: never a diagnosis.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from ..provenance import version

        print(f"calcimap {version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # acted upon by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None: ...


Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="FILE|KEY=VALUE", help="what is known beside the images; repeatable"),
]
Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="folders, files or archives", show_default=False)
]
