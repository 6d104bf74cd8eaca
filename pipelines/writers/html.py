"""What every page is made with: templates, values as text, and a policy that runs only what was written here."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from markupsafe import Markup

DASH = "\N{EN DASH}"
_MINUS, _THIN = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}"


def write_page(file: Path, template: str, contents: Mapping[str, Any]) -> None:
    """A page from ``pages/<template>.html.jinja`` with its own style and script in it.

    Everything in `contents` is escaped. The content security policy of the page names the hashes of this style and this
    script: nothing else runs, whatever stands in a table, and nothing is loaded.

    Parameters
    ----------
    file : Path
    template : str
        Its style and script are ``pages/<template>.css`` and ``.js``; a page may have no script.
    contents : mapping
        What the template names.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=PackageLoader(__package__, "pages"),
    )  # fmt: skip
    environment.filters |= {"number": number, "text": text, "count": count, "words": words, "unit": unit}
    style = page_source("base.css") + page_source(f"{template}.css")
    own = resources.files(__package__) / "pages" / f"{template}.js"
    script = page_source(own.name) if own.is_file() else ""
    allowed = _digest(script) if script else "none"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{allowed}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(f"{template}.html.jinja")
    parts = {"policy": policy, "style": Markup(style), "script": Markup(script)}  # noqa: S704  # our own files
    file.write_text(page.render(**parts, **contents) + "\n", encoding="utf-8", newline="\n")


def page_source(name: str) -> str:
    """The text of a file in ``pages``."""
    return resources.files(__package__).joinpath("pages", name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii")


def data_block(values: Any) -> Markup:
    """Values as JSON that can stand in a ``<script type="application/json">``: it cannot end that element."""
    from markupsafe import Markup

    plain = json.dumps(values, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        plain = plain.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(plain)  # noqa: S704  # escaped just above


# -- values as text ----------------------------------------------------------------------------------------------------


def number(value: Any, digits: int = 3, *, decimals: int | None = None) -> str:
    """A measure with so many significant digits, or decimals; an en dash where it is missing."""
    if missing(value) or not math.isfinite(value):
        return DASH
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else digits
        decimals = min(max(digits - 1 - size, 0), 4)
    return f"{value:,.{decimals}f}".replace(",", _THIN).replace("-", _MINUS)


def count(value: Any) -> str:
    """A whole number; an en dash where it is missing."""
    return number(value, decimals=0)


def text(value: Any) -> str:
    """Text; an en dash where it is missing or empty."""
    return DASH if missing(value) or value == "" else str(value)


def words(value: Any) -> str:
    """A code such as ``bone_adjacent`` in words."""
    return text(value).replace("_", " ")


def unit(value: str) -> str:
    """A unit as it is printed."""
    return value.replace("mm2", "mm²").replace("mm3", "mm³")


def missing(value: Any) -> bool:
    """Whether a value of a table is missing."""
    return value is None or bool(pd.isna(value))
