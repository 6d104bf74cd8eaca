"""Every hazard ends right, right with a named warning, or in a typed refusal; never silently wrong."""

from pathlib import Path

import pytest

from . import CASES
from .judge import judge, judge_ultrasound

CT = [name for name, case in CASES.items() if case.kind == "ct"]
US = [name for name, case in CASES.items() if case.kind == "us"]


@pytest.mark.parametrize("name", CT)
def test_ct(name, tmp_path):
    expected = CASES[name].make(tmp_path)
    verdict = judge(tmp_path, expected)
    assert verdict.outcome == expected.outcome, f"{CASES[name].about} {verdict.text}"


@pytest.mark.parametrize("name", US)
def test_ultrasound(name, tmp_path):
    expected = CASES[name].make(tmp_path)
    verdict = judge_ultrasound(tmp_path, expected)
    assert verdict.outcome in ("read", "refused"), f"{CASES[name].about} {verdict.text}"


def test_the_corpus_is_as_large_as_promised():
    assert len(CT) >= 60
    assert len(US) >= 20


def test_the_corpus_is_text():
    for file in Path(__file__).parent.iterdir():
        assert file.suffix in (".py", "") or file.name == "__pycache__"
