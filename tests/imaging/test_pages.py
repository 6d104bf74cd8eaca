"""Pages made from registries: well-formed, and equal to what lies in docs/."""

import re
from pathlib import Path

import pytest

from imaging import FEATURES, RULES, SCORES, VOCABULARY, features_page, patterns_page, scores_page
from imaging.pages import Section, page
from imaging.pattern_page import picture
from pipelines.cli import main
from pipelines.writers.tables import SCHEMAS, columns_page

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


@pytest.mark.parametrize(
    ("name", "command", "made"),
    [
        ("gallery", "patterns", patterns_page),
        ("columns", "columns", columns_page),
        ("score_definitions", "scores", scores_page),
    ],
)
def test_pages_are_those_of_the_registry(name, command, made, capsys):
    assert main([command, "--markdown"]) == 0
    assert capsys.readouterr().out == made()
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == made(), f"run: calcimap {command} --markdown"


def test_every_rule_stands_in_the_gallery_with_a_picture_and_what_else_looks_like_it():
    text = patterns_page()
    for rule in RULES:
        (section,) = re.findall(rf"^## {rule.name.replace('_', ' ')}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        assert rule.looks_like.lower() in section.lower()
        assert rule.confounders in section
        assert all(f"`{c.column}`" in section for c in rule.conditions)
    for name in {rule.name for rule in RULES}:
        assert (DOCS / picture(name)).is_file()
    assert set(VOCABULARY) == {name.replace(" ", "_") for name in re.findall(r"^## (.+)$", text, re.M)}


def test_every_column_of_every_table_stands_in_the_dictionary(capsys):
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", columns_page(), re.M | re.S))
    assert list(sections) == list(SCHEMAS)
    for name, schema in SCHEMAS.items():
        assert re.findall(r"^\| `(\w+)` \|", sections[name], re.M) == list(schema)
    assert main(["columns"]) == 0
    said = capsys.readouterr().out
    assert all(column in said for schema in SCHEMAS.values() for column in schema)


def test_every_definition_of_the_score_stands_on_its_page_with_limits_and_source():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", scores_page(), re.M | re.S))
    assert list(sections) == [s.name for s in SCORES]
    for s in SCORES:
        assert s.source in sections[s.name]
        for kvp, limits in s.limits_hu.items():
            assert f"| {kvp:g} | {' | '.join(f'{v:g}' for v in limits)} |" in sections[s.name]
