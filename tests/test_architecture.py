"""Imports run one way, public names are what they say, modules stay small."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import imaging
import pipelines

ROOT = Path(__file__).parents[1]
LARGEST_MODULE = 400  # lines; most are under 350


def test_imports_run_one_way():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", [imaging, pipelines])
def test_public_names_exist_and_are_listed_once(package):
    assert sorted(package.__all__) == sorted(set(package._HOME))
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert not isinstance(getattr(package, name), type(sys)), f"{name} is a module"


def test_pipelines_uses_public_names_of_imaging_only():
    for file in (ROOT / "pipelines").rglob("*.py"):
        assert "from imaging." not in file.read_text(encoding="utf-8"), file


def test_the_library_neither_prints_nor_writes_outputs():
    for file in (ROOT / "imaging").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "print(" not in text, file
        assert ".write_text(" not in text, file


def test_modules_are_small():
    for package in ("imaging", "pipelines"):
        for file in (ROOT / package).rglob("*.py"):
            assert len(file.read_text(encoding="utf-8").splitlines()) <= LARGEST_MODULE, file


def test_the_import_names_are_ours():
    owners = metadata.packages_distributions()
    if "imaging" not in owners:
        pytest.skip("an editable install lists no top-level names")
    assert set(owners["imaging"]) == {"calcimap"}
    assert set(owners["pipelines"]) == {"calcimap"}


def test_importing_is_light():
    code = "import sys, imaging, pipelines, pipelines.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {
        "numpy",
        "scipy",
        "pandas",
        "sklearn",
        "skops",
        "matplotlib",
        "SimpleITK",
        "distributed",
        "pydicom",
        "skimage",
    }
    assert not heavy & set(done.stdout.split())
