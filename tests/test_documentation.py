"""The documentation is true: its code runs, its commands work, its links lead somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pipelines.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language):
    """(page, code) of every fenced block of a language."""
    found = []
    for page in PAGES:
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            found.append(pytest.param(match.group(1), id=f"{page.name}-{len(found)}"))
    return found


def marked(name):
    """The one-line command between the marks of the README."""
    (text,) = re.findall(rf"<!-- {name} -->\n```\n(.*?)\n```\n<!-- end -->", (ROOT / "README.md").read_text(), re.S)
    assert "\n" not in text
    return text


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder of one's own with the sample scans in it."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, workplace, capsys):
    exec(compile(code, "block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out


@pytest.mark.parametrize("code", blocks("console"))
def test_commands_work(code, workplace, capsys):
    for line in code.strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "calcimap"
        assert main(arguments) == 0, line
        assert capsys.readouterr().out


def test_the_two_commands_install_into_environments_of_their_own_and_the_main_job_works(workplace, capsys):
    make, install, run = marked("main command").split(" && ")
    assert make == "python3 -m venv .venv"
    assert install == ".venv/bin/pip install --quiet ."
    assert main(shlex.split(run)[1:]) == 0
    out = workplace / shlex.split(run)[-1]
    assert (out / "findings.csv").stat().st_size > 1000
    assert len(list(out.glob("scans/*/labels.nii.gz"))) == len(list(out.glob("scans/*/overview.png"))) == 5
    make, install, tests = marked("test command").split(" && ")
    assert make == "python3 -m venv .venv-test"
    assert "[test]" in install
    assert "-m pytest" in tests


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_defaults_in_the_documentation_are_those_of_the_code():
    from imaging import DetectionParams

    text = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    p = DetectionParams()
    for said in (
        f"max({p.threshold_hu:g} HU, mean + {p.grow_sd:g} SD)", f"max({p.peak_hu:g} HU, mean + {p.peak_sd:g} SD)",
        f"at most {p.candidate_max_mm3 / 1000:g} cm3 and {p.candidate_max_extent_mm:g} mm",
        f"At least {p.min_voxels} voxels and {p.min_volume_mm3:g} mm3", f"metal above {p.metal_hu:g} HU",
        f"more than {p.bone_min_mm3 / 1000:g} cm3", f"less than {p.soft_edge_drop:.0%}".replace("%", " %"),
        f"below {p.enhanced_peak_hu:g} HU", f"stand out by {p.matched_snr:g} SD", f"`skin` within {p.skin_mm:g} mm",
        f"more than {p.bone_share:.0%} of".replace("%", " %"),
    ):  # fmt: skip
        assert said in " ".join(text.split()), said
