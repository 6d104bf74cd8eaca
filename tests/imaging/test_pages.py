"""Pages made from registries: well-formed, and equal to what lies in docs/."""

import re
from pathlib import Path

import pytest

from imaging import FEATURES, features_page
from imaging.pages import Section, page
from pipelines.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_features_is_that_of_the_registry(capsys):
    assert main(["features", "--markdown"]) == 0
    made = capsys.readouterr().out
    assert made == features_page()
    assert (DOCS / "features.md").read_text(encoding="utf-8") == made, "run: calcimap features --markdown"


def test_every_feature_stands_on_it_once_with_unit_source_and_code():
    lines = features_page().splitlines()
    for f in FEATURES:
        (line,) = [row for row in lines if row.startswith(f"| `{f.name}` |")]
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        _, unit, definition, source, codes = cells
        assert definition.startswith(f.definition)
        assert unit in (f.unit, "count")
        assert source == f.source
        assert all(f"IBSI {code}" in f.source for code in codes.split(", ") if code)


def test_pages_keep_tables_whole():
    made = page("T", "intro", "do it", [Section("S", "", ("a", "b"), [("x|y", "two\nlines")], "p.png", "what")])
    assert made.splitlines()[0] == "<!-- made by `do it`; change the registry, not this page -->"
    assert r"| x\|y | two lines |" in made
    assert "![what](p.png)" in made
    with pytest.raises(ValueError, match="cells"):
        page("T", "", "", [Section("S", "", ("a",), [("x", "y")])])
