"""What `calcimap inspect` says, and archives through the whole command."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from dicom_writer import write_dicom_series

from pipelines import Config
from pipelines.cli import main
from tests.dicom_files import STEP, enhanced, phantom, save, write_series
from tests.pipelines import phantoms


def said(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys, *arguments):
    return json.loads(said(capsys, "inspect", *arguments, "--json"))


@pytest.fixture
def folder(tmp_path):
    """Two phases in one series, a series with a gap, one whose end is cut, a text file."""
    write_series(tmp_path / "phases", name="a{}".format)
    later = lambda k: {"instance": f"b{k}", "AcquisitionNumber": 2}  # noqa: E731
    write_series(tmp_path / "phases", phantom() + 5, name="b{}".format, per_slice=later)
    write_series(tmp_path / "gap", series="gap", skip=[3])
    (tmp_path / "notes.txt").write_text("hello")
    return tmp_path


def test_for_people(folder, capsys) -> None:
    out = said(capsys, "inspect", folder)
    assert "3 series, 0 set aside, 1 files ignored" in out
    assert out.count("8 files, 8 x 24 x 20 at 1.25 x 0.7 x 0.8 mm") == 2
    assert out.count("split from others of its series by: acquisition") == 2
    assert "refused, gap: 1 slice(s) missing after position 102.50 mm" in out
    assert f"{folder / 'notes.txt'}: not_dicom" in out


def test_for_programs(folder, capsys) -> None:
    (found,) = as_json(capsys, folder)
    gap, first, second = found["series"]
    assert gap["problem"]["reason"] == "gap"
    assert gap["spacing_mm"] is None
    for one in (first, second):
        assert one["split_by"] == ["acquisition"]
        assert one["n_slices"] == one["n_files"] == 8
        assert (one["n_rows"], one["n_columns"]) == (24, 20)
        assert one["spacing_mm"] == pytest.approx([STEP, 0.7, 0.8])
        assert one["problem"] is None
    files = {f["path"]: (f["series"], f["reason"]) for f in found["files"]}
    assert len(files) == 24
    assert files["notes.txt"] == (None, "not_dicom")
    assert files["phases/a0"] == (2, None)
    assert files["phases/b0"] == (3, None)


def test_gaps_as_set(folder, capsys) -> None:
    (found,) = as_json(capsys, folder / "gap", "--set", "reading.on_gap=split")
    assert [s["split_by"] for s in found["series"]] == [["gap"], ["gap"]]
    (found,) = as_json(capsys, folder / "gap", "--set", "reading.on_gap=fill")
    assert found["series"][0]["missing_slices"] == [3]
    assert found["series"][0]["n_slices"] == 8
    assert main(["inspect", str(folder), "--set", "reading.on_gap=guess"]) == 2
    assert Config.load(None, ["reading.threads=1", "reading.assume_hu=true"]).reading.assume_hu


def test_a_file_used_by_two_series_lists_both(folder, capsys, tmp_path) -> None:
    hu = phantom(3)
    save(enhanced(hu, [0, 1, 2, 0, 1, 2], phases=[1, 1, 1, 2, 2, 2]), tmp_path / "two/x")
    (found,) = as_json(capsys, tmp_path / "two")
    assert [f["all_series"] for f in found["files"]] == [[1, 2]]


def test_a_scan_in_a_zip_is_analysed(tmp_path, capsys) -> None:
    volume = phantoms.phantom()
    write_dicom_series(volume.replace(array=np.maximum(volume.array, -1024)), tmp_path / "scan")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for file in sorted((tmp_path / "scan").iterdir()):
            archive.write(file, f"a/{file.name}")
    tables = {}
    for name in ("scan", "study.zip"):
        code = main(["run", str(tmp_path / name), "--out", str(tmp_path / f"out {name}"), "--formats", "csv,parquet"])
        capsys.readouterr()
        assert code == 0
        tables[name] = pd.read_csv(tmp_path / f"out {name}" / "findings.csv")
    pd.testing.assert_frame_equal(tables["scan"], tables["study.zip"])
    key = pd.read_csv(tmp_path / "out study.zip" / "key.csv")
    assert key["path"].tolist() == ["study.zip/a"]
    (found,) = as_json(capsys, tmp_path / "study.zip")
    assert all(f["path"].startswith("study.zip/a/") for f in found["files"])
