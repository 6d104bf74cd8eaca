"""compare and repeatability as commands: files in, files out."""

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

import imaging
import pipelines
from imaging.synthetic import correlated_noise
from pipelines.cli import main

from ..imaging.followup.phantoms import background, pair

NEGATIVE = "[limits]\nvolume_sqrt=-1\nvolume_relative=1\ndiameter_mm=1\nintegrated_relative=1\nsource=''\nn=3"
SAMPLES = Path(__file__).parents[2] / "sample_data"


def save(volume: imaging.Volume, file: Path) -> Path:
    """A volume as NIfTI; ITK's axes are ours in the other order."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin.tolist())
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))
    return file


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two dates of a phantom as files, and the run of each."""
    folder = tmp_path_factory.mktemp("followup")
    made = pair(6, count=25, turn_deg=4)
    files = [save(v, folder / f"date{k}" / "scan.nii.gz") for k, v in enumerate((made.before, made.after), start=1)]
    runs = [folder / f"run{k}" for k in (1, 2)]
    for file, run in zip(files, runs, strict=True):
        pipelines.run(file.parent, run)
    return files, runs


@pytest.fixture(scope="module")
def compared(scans, tmp_path_factory):
    """Output folder of a comparison of the two scans, and what it is in Python."""
    out = tmp_path_factory.mktemp("compared") / "out"
    return out, pipelines.compare(scans[0], out, intervals=[180])


def test_two_scans_are_compared(compared):
    out, made = compared
    assert [c.registration.method for c in made.timeline.comparisons] == ["rigid"]
    table = pd.read_parquet(out / "changes.parquet")
    assert list(table) == list(imaging.CHANGES)
    assert {"stable", "increased", "new", "resolved"} <= set(table["state"])
    assert (table["interval_days"] == 180).all()
    grown = table[table["state"] == "increased"]
    assert grown["volume_change_per_year_mm3"].to_numpy() == pytest.approx(
        grown["volume_change_mm3"].to_numpy() / 180 * 365.25
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "changes.csv")[["state", "limit_mm3"]], table[["state", "limit_mm3"]], check_dtype=False
    )
    told = json.loads((out / "registration.json").read_text())
    assert told["quality"]["rigid"]["agreeing_share"] > 0.9
    assert np.array(told["transform"]["baseline_to_followup_lps_mm"]).shape == (4, 4)
    assert {a["name"]: a["matches"] for a in told["comparability"]["aspects"]}["kernel"] is None
    names = {c["name"] for c in json.loads((out / "columns.json").read_text())["changes"]}
    assert names == set(imaging.CHANGES)


def test_two_runs_with_their_images_are_the_same_as_two_scans(scans, compared, tmp_path):
    files, runs = scans
    one = compared[1]
    two = pipelines.compare(runs, tmp_path / "runs", images=[f.parent for f in files], intervals=[180])
    pd.testing.assert_frame_equal(one.changes, two.changes, rtol=1e-9)
    assert [c.registration.method for c in two.timeline.comparisons] == ["rigid"]
    assert pipelines.open_exam(runs[0] / "scans" / one.timeline.exams[0].scan_id).image is None


def test_a_noisier_scan_lends_its_threshold_to_the_other(scans, compared, tmp_path, capsys):
    """Volumes fall with the threshold: without one threshold nothing could be called."""
    files, runs = scans
    quiet = sitk.GetArrayFromImage(sitk.ReadImage(str(files[0])))
    rng = np.random.default_rng(0)
    noisy = sitk.GetImageFromArray((quiet + np.rint(correlated_noise(quiet.shape, 25.0, rng))).astype(np.int16))
    noisy.CopyInformation(sitk.ReadImage(str(files[0])))
    sitk.WriteImage(noisy, str(tmp_path / "noisy.nii.gz"))
    out = tmp_path / "out"
    assert main(["compare", str(files[0]), str(tmp_path / "noisy.nii.gz"), "--out", str(out)]) == 0
    assert "is measured above" in capsys.readouterr().out
    told = json.loads((out / "registration.json").read_text())["comparability"]
    levels = {a["name"]: a for a in told["aspects"]}
    assert told["comparable"]
    assert levels["grown above, HU"]["baseline"] == levels["grown above, HU"]["followup"]
    assert levels["its own threshold, HU"]["matches"] is False
    states = pd.read_csv(out / "changes.csv")["state"].value_counts()
    assert states["stable"] >= 0.9 * states.sum()
    # What a run measured stays as it is: what is noisier is not compared with it, and takes nothing else along.
    three = [runs[0], files[1], tmp_path / "noisy.nii.gz"]
    mixed = pipelines.compare(three, tmp_path / "mixed", images=[files[0].parent]).timeline.comparisons
    assert mixed[0].counts == compared[1].timeline.comparisons[0].counts
    assert set(mixed[1].changes["state"]) <= {"not_comparable", "not_seen"}


def test_two_runs_without_images_and_frame_are_refused(scans, tmp_path, capsys):
    _, runs = scans
    assert main(["compare", *map(str, runs), "--out", str(tmp_path / "out")]) == 8
    assert "give the folder that holds them" in capsys.readouterr().err


def test_a_run_and_itself_share_a_frame_of_reference(tmp_path, capsys):
    run = tmp_path / "run"
    pipelines.run(SAMPLES / "ct_thigh", run)
    assert main(["compare", str(run), str(run), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "(frame of reference)" in printed
    assert "stable" in printed
    told = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert told["transform"]["method"] == "frame_of_reference"
    assert told["quality"]["checked"] is False
    assert set(pd.read_csv(tmp_path / "out" / "changes.csv")["state"]) == {"stable"}
    assert "No pictures" in (tmp_path / "out" / "report.html").read_text()


def test_other_anatomy_is_refused_and_nothing_is_called(tmp_path, capsys):
    assert main(["compare", str(SAMPLES / "ct_thigh"), str(SAMPLES / "ct_abdomen"), "--out", str(tmp_path / "o")]) == 8
    assert "do not agree" in capsys.readouterr().err
    assert not (tmp_path / "o" / "changes.csv").exists()


def test_the_report_needs_nothing_and_tells_nobody(compared):
    html = (compared[0] / "report.html").read_text()
    policy = unescape(html)
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert html.count('class="pair"') > 5
    assert "/" + compared[0].parent.name not in html
    assert "Not known whether comparable" in html  # NIfTI tells no kernel


def test_more_than_two_times_make_a_timeline(scans, tmp_path):
    files, _ = scans
    made = pipelines.compare([files[0], files[1], files[0]], tmp_path / "out", intervals=[100, 100])
    table = pd.read_parquet(tmp_path / "out" / "timeline.parquet")
    assert sorted(table["time_point"].unique()) == [1, 2, 3]
    whole = table.pivot_table(index="tracking_id", columns="time_point", values="volume_mm3")
    same = whole.dropna(subset=[1, 3])
    assert len(same) > 15
    assert np.mean(np.isclose(same[1], same[3])) > 0.9  # the first scan again
    assert (tmp_path / "out" / "timeline.png").stat().st_size > 5000
    assert len(json.loads((tmp_path / "out" / "registration.json").read_text())["pairs"]) == 2
    assert len(made.timeline.comparisons) == 2


def test_limits_of_a_perturbed_scan_are_used(scans, tmp_path, capsys):
    files, _ = scans
    limits = tmp_path / "limits"
    assert main(["repeatability", str(files[0]), "--out", str(limits), "--repeats", "2"]) == 0
    assert "repeated findings (2 copies of one scan" in capsys.readouterr().out
    made = pipelines.followup.read_limits(limits / "limits.toml")
    assert 0 < made.volume_sqrt < 3.445
    assert made.n == len(pd.read_csv(limits / "repeats.csv"))
    done = pipelines.compare(files, tmp_path / "out", limits=limits / "limits.toml")
    told = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert told["limits"]["volume_sqrt"] == made.volume_sqrt
    v0 = done.changes["volume_before_mm3"]
    expected = np.maximum(made.volume_sqrt * np.sqrt(v0), made.volume_relative * v0)
    known = done.changes["limit_mm3"].notna()
    np.testing.assert_allclose(done.changes["limit_mm3"][known], expected[known])


def test_repeated_scans_give_limits(scans, tmp_path):
    made = pipelines.repeatability([scans[0][0]] * 2, tmp_path / "limits")
    assert (made.volume_sqrt, made.diameter_mm) == (0, 0)  # the same scan twice
    assert made.source == "2 repeated scans"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no limits"),
        ("[limits]\nvolume_sqrt = 1.0", "exactly the keys"),
        (NEGATIVE, "least 0"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_limits_is_refused(text, says, tmp_path):
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(imaging.UsageError, match=says):
        pipelines.followup.read_limits(tmp_path / "limits.toml")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{here}/nothing", "{here}/nothing"], "no such file"),
        (["{samples}", "{samples}"], "CT series in there"),
        (["{samples}/ct_thigh"], "two scans or more"),
        (["{samples}/ct_thigh", "{samples}/ct_thigh", "--interval-days", "1", "--interval-days", "2"], "1 intervals"),
        (["{samples}/us_still", "{samples}/us_still"], "no CT series"),
    ],
)
def test_mistakes_are_told(arguments, says, tmp_path, capsys):
    filled = [a.format(here=tmp_path, samples=SAMPLES) for a in arguments]
    assert main(["compare", *filled, "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err


def test_an_output_folder_of_a_run_is_left_alone(scans, capsys):
    files, runs = scans
    assert main(["compare", *map(str, files), "--out", str(runs[0])]) == 2
    assert "not written by calcimap" in capsys.readouterr().err


def test_another_patient_is_told(tmp_path, capsys):
    one, other = background(0), background(0)
    turned = other.replace(array=np.ascontiguousarray(other.array.transpose(1, 0, 2)[:72]))
    rows = min(one.shape[1], turned.shape[1])
    files = [
        save(v.crop((slice(None), slice(0, rows), slice(None))), tmp_path / n / "a.nii.gz")
        for v, n in ((one, "a"), (turned, "b"))
    ]
    assert main(["compare", *map(str, files), "--out", str(tmp_path / "out")]) == 8
    assert "do not agree" in capsys.readouterr().err
