"""The whole way: folders on disk in, output folder out, as a user runs it."""

import csv
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from dicom_writer import write_dicom_series

import pipelines
from imaging import FINDINGS, UsageError, find_series, read_volume
from imaging.synthetic import Ball, Thing, render
from pipelines import Config
from pipelines.cli import main
from pipelines.results import SCANS
from pipelines.writers.tables import neutral

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
FIXED = (  # the columns that other programs rely on (DESIGN section 3)
    "scan_id finding_id modality centroid_x_mm centroid_y_mm centroid_z_mm slice_index row_index column_index n_voxels "
    "volume_mm3 volume_halfmax_mm3 max_diameter_mm axial_diameter_mm axial_perpendicular_mm equivalent_diameter_mm "
    "surface_area_mm2 major_axis_mm minor_axis_mm least_axis_mm sphericity elongation flatness solidity shell_coverage "
    "shell_thickness_mm inner_occupancy intensity_mean intensity_sd intensity_min intensity_median intensity_p95 "
    "intensity_max intensity_unit edge_gradient_per_mm margin background_mean background_sd agatston "
    "agatston_definition mass_mg group_id group_size nearest_neighbour_mm organ side bone_distance_mm pattern "
    "pattern_confidence pattern_reason distribution hypothesis hypothesis_tendency flags frame depth_mm echo_width_mm "
    "shadow_width_mm shadow_auc shadow_class calibrated"
).split()
TABLES = ("findings", "scans", "excluded", "groups", "burden", "hypotheses")
QUICK = ("csv", "parquet", "nifti")


def series(folder, seed=0, leave_out=(), balls=1, **how):
    """A small series: soft tissue with balls of calcium in it."""
    things = [Thing(Ball((-12.0 + 8 * k, 0, 0), 2.0), 800.0, f"ball {k}") for k in range(balls)]
    volume = render(45.0, things, (12, 40, 40), (1.5, 1.0, 1.0), origin=(-20, -20, -8), noise_sd=10, seed=seed).volume
    write_dicom_series(volume, folder, name=f"series {seed}", leave_out=leave_out, **how)
    return volume


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("sample") / "out"
    return pipelines.run([SAMPLE_DATA], out)


def test_sample_data_gives_the_truth(sample_run):
    with (SAMPLE_DATA / "truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = list(csv.DictReader(stream))
    assert sample_run.exit_code == 0
    ct = sample_run.findings[sample_run.findings["modality"] == "CT"]
    assert len(ct) == len(truth)
    ours = ct[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy()
    for row in truth:
        apart = np.linalg.norm(ours - [float(row[f"{a}_mm"]) for a in "xyz"], axis=1)
        finding = ct.iloc[apart.argmin()]
        assert apart.min() < 1.5, row["name"]
        assert finding["pattern"] == row["pattern"], row["name"]


def test_every_file_is_there(sample_run):
    out = sample_run.out
    for name in ("findings.csv", "scans.csv", "key.csv", "columns.json", "report.html", "run.json"):
        assert (out / name).is_file(), name
    for name in TABLES:
        assert (out / f"{name}.parquet").is_file(), name
    for scan in sample_run.scans["scan_id"]:
        assert (out / "scans" / scan / "labels.nii.gz").is_file()
        assert (out / "scans" / scan / "overview.png").is_file()


def test_the_fixed_columns_come_first_and_are_typed(sample_run):
    assert list(sample_run.findings.columns[: len(FIXED)]) == FIXED
    table = pd.read_parquet(sample_run.out / "findings.parquet")
    for name, column in FINDINGS.items():
        assert str(table[name].dtype) == column.dtype or column.dtype == "string", name


def test_units_stand_in_the_parquet_schema_and_the_dictionary(sample_run):
    schema = pq.read_schema(sample_run.out / "findings.parquet")
    assert schema.field("volume_mm3").metadata[b"unit"] == b"mm3"
    dictionary = json.loads((sample_run.out / "columns.json").read_text())
    assert {t: [c["name"] for c in dictionary[t]] for t in TABLES} == {
        t: pq.read_schema(sample_run.out / f"{t}.parquet").names for t in TABLES
    }
    assert all(c["definition"] and c["source"] for t in TABLES for c in dictionary[t])


def test_what_is_not_measured_is_missing(sample_run):
    modality = sample_run.findings["modality"]
    for name in ("mass_mg", "mass_integrated_mg", "organ", "side"):
        assert sample_run.findings[name].isna().all(), name
    for name in ("frame", "shadow_auc", "echo_width_mm", "calibrated"):
        assert sample_run.findings.loc[modality == "CT", name].isna().all(), name
    for name in ("centroid_x_mm", "volume_mm3", "shell_coverage", "depth_px"):
        assert sample_run.findings.loc[modality == "US", name].isna().all(), name


def test_label_maps_lie_in_the_geometry_of_the_scan(sample_run):
    key = pd.read_csv(sample_run.out / "key.csv").set_index("scan_id")["path"]
    for scan in sample_run.scans.loc[sample_run.scans["modality"] == "CT", "scan_id"]:
        found = next(s for s in find_series(SAMPLE_DATA / key[scan]).series)
        volume = read_volume(found)
        image = nibabel.load(sample_run.out / "scans" / scan / "labels.nii.gz")
        ras = np.diag([-1, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
        assert np.allclose(image.affine, ras, atol=1e-3)
        labels = np.asarray(image.dataobj).transpose(2, 1, 0)
        rows = sample_run.findings[sample_run.findings["scan_id"] == scan]
        assert sorted(set(np.unique(labels)) - {0}) == sorted(rows["finding_id"])
        for number, n in zip(rows["finding_id"], rows["n_voxels"], strict=True):
            assert (labels == number).sum() == n


def test_a_tilted_label_map_keeps_its_shear(tmp_path):
    from imaging import Volume
    from pipelines.writers.nifti import write_labels

    affine = np.array([[0, 0, 1.0, -20], [0.4, 1.0, 0, -20], [1.5, 0, 0, 0], [0, 0, 0, 1]])
    array = np.full((12, 40, 40), 45, np.int16)
    array[5:8, 18:22, 18:22] = 600
    result = pipelines.analyze(Volume(array, affine))
    assert len(result.findings) == 1
    write_labels(result, tmp_path)
    image = nibabel.load(tmp_path / "labels.nii.gz")
    assert np.allclose(image.affine, np.diag([-1, -1, 1, 1]) @ affine[:, [2, 1, 0, 3]])
    assert (np.asarray(image.dataobj) == 1).sum() == 48


def test_a_clean_scan_is_analysed_with_zero_and_a_refused_one_has_no_count(tmp_path):
    series(tmp_path / "in" / "good", 1)
    series(tmp_path / "in" / "clean", 2, balls=0)
    series(tmp_path / "in" / "gap", 3, leave_out=(5,))
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK)
    scans = study.scans.assign(name=pd.read_csv(tmp_path / "out" / "key.csv")["path"]).set_index("name")
    assert scans.loc["clean", "status"] == "analysed"
    assert scans.loc["clean", "n_findings"] == 0
    assert scans.loc["gap", ["status", "reason"]].tolist() == ["refused", "gap"]
    assert pd.isna(scans.loc["gap", "n_findings"])
    assert "missing" in scans.loc["gap", "message"]
    assert study.exit_code == 8
    text = pd.read_csv(tmp_path / "out" / "scans.csv", dtype=str, keep_default_na=False)
    assert text.set_index("reason").loc["gap", "n_findings"] == ""


def test_two_workers_give_the_same_bytes(tmp_path):
    for k in range(3):
        series(tmp_path / "in" / f"s{k}", k, balls=k + 1)
    pipelines.run(tmp_path / "in", tmp_path / "one", formats=QUICK)
    pipelines.run(tmp_path / "in", tmp_path / "two", formats=QUICK, jobs=2)
    for name in ("findings.csv", "scans.csv", "findings.parquet", "groups.parquet", "excluded.parquet", "key.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_finished_scans_are_kept_and_others_done(tmp_path):
    series(tmp_path / "in" / "a", 1)
    first = pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK)
    (scan,) = first.scans["scan_id"]
    made = (tmp_path / "out" / "scans" / scan / "labels.nii.gz").stat().st_mtime_ns
    series(tmp_path / "in" / "b", 2)
    again = pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK)
    assert len(again.scans) == 2
    assert (tmp_path / "out" / "scans" / scan / "labels.nii.gz").stat().st_mtime_ns == made
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["scans"][scan]["resumed"]
    changed = pipelines.run(
        tmp_path / "in", tmp_path / "out", formats=QUICK, config=Config.load(None, ["detection.threshold_hu=250"])
    )
    assert (changed.scans["threshold_grow_hu"] == 250).all()
    assert (tmp_path / "out" / "scans" / scan / "labels.nii.gz").stat().st_mtime_ns > made
    shutil.rmtree(tmp_path / "in" / "b")
    assert len(pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK).scans) == 1


def test_one_bad_scan_never_stops_the_batch(tmp_path, monkeypatch):
    for k in range(3):
        series(tmp_path / "in" / f"s{k}", k)
    from pipelines import task

    def analyse(volume, config, **how):
        if volume.array[0, 0, 0] == marked:
            raise RuntimeError("Doe^Jane")  # a foreign error whose text must not come out
        return original(volume, config, **how)

    original = task.analyze
    marked = read_volume(find_series(tmp_path / "in" / "s1").series[0]).array[0, 0, 0]
    monkeypatch.setattr(task, "analyze", analyse)
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=QUICK)
    assert sorted(study.scans["status"]) == ["analysed", "analysed", "failed"]
    assert study.scans["reason"].dropna().tolist() == ["internal"]
    assert not any("Jane" in f.read_text(errors="ignore") for f in (tmp_path / "out").rglob("*.*") if f.is_file())


def test_a_region_of_interest_from_a_file(tmp_path):
    import SimpleITK

    volume = series(tmp_path / "in", 4, balls=3)
    mask = np.zeros(volume.shape, np.uint8)
    mask[:, :, :13] = 1
    image = SimpleITK.GetImageFromArray(mask)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(tuple(volume.origin))
    SimpleITK.WriteImage(image, str(tmp_path / "roi.nii.gz"))
    whole = pipelines.run(tmp_path / "in", tmp_path / "a", formats=QUICK)
    part = pipelines.run(tmp_path / "in", tmp_path / "b", formats=QUICK, roi=tmp_path / "roi.nii.gz")
    assert len(whole.findings) == 3
    assert len(part.findings) == 1
    assert part.excluded["reason"].tolist().count("outside_roi") == 2


def test_organ_masks_from_a_folder_name_organ_and_side(tmp_path, capsys):
    """Also read again when a mask has changed: finished scans are kept only with the same masks."""
    import SimpleITK

    volume = series(tmp_path / "in", 4, balls=3)

    def write(name, columns):
        mask = np.zeros(volume.shape, np.uint8)
        mask[:, :, columns] = 1
        image = SimpleITK.GetImageFromArray(mask)
        image.SetSpacing(volume.spacing[::-1])
        image.SetOrigin(tuple(volume.origin))
        SimpleITK.WriteImage(image, str(tmp_path / "masks" / f"{name}.nii.gz"))

    (tmp_path / "masks").mkdir()
    write("kidney_right", slice(0, 13))
    write("femur_left", slice(39, 40))
    arguments = ("run", tmp_path / "in", "--out", tmp_path / "out", "--formats", "csv,parquet")
    assert command(capsys, *arguments, "--anatomy", tmp_path / "masks")[0] == 0
    findings = pd.read_parquet(tmp_path / "out" / "findings.parquet").sort_values("centroid_x_mm")
    assert findings["organ"].fillna("-").tolist() == ["kidney_right", "-", "-"]
    assert findings["side"].fillna("-").tolist() == ["right", "-", "-"]
    assert findings["bone_distance_mm"].is_monotonic_decreasing
    write("kidney_right", slice(0, 22))
    assert command(capsys, *arguments, "--anatomy", tmp_path / "masks")[0] == 0
    findings = pd.read_parquet(tmp_path / "out" / "findings.parquet").sort_values("centroid_x_mm")
    assert findings["organ"].fillna("-").tolist() == ["kidney_right", "kidney_right", "-"]


def test_nothing_leaves_the_output_folder_and_identities_stay_inside_key_csv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    volume = series(tmp_path / "Patient Name Canary", 1)
    study = pipelines.run("Patient Name Canary", "out", keep_identifiers=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Patient Name Canary", "out"]
    (found,) = find_series("Patient Name Canary").series
    secrets = ["Canary", found.patient_identity, "Synthetic^Phantom", str(tmp_path)]
    secrets += [i.sop_instance_uid for i in found.instances]
    for file in study.out.rglob("*"):
        if file.is_file() and file.name != "key.csv":
            data = file.read_bytes()
            assert not any(s.encode() in data for s in secrets if s), file
    mode = stat.S_IMODE((study.out / "key.csv").stat().st_mode)
    assert mode == 0o600
    assert volume.shape


def test_formulas_are_neutralised():
    table = pd.DataFrame(
        {"a": pd.Series(["=HYPERLINK(1)", "+1", "-x", "@y", "fine", None], dtype="string"), "b": [-1.0] * 6}
    )
    safe = neutral(table)
    assert safe["a"].tolist()[:5] == ["'=HYPERLINK(1)", "'+1", "'-x", "'@y", "fine"]
    assert safe["b"].tolist() == [-1.0] * 6


def test_run_from_a_plain_script_without_main_guard(tmp_path):
    for k in range(2):
        series(tmp_path / "in" / f"s{k}", k)
    script = tmp_path / "script.py"
    script.write_text(
        "import pipelines\n"
        f"study = pipelines.run([{str(tmp_path / 'in')!r}], out={str(tmp_path / 'out')!r}, jobs=2, formats=('csv',))\n"
        "print(len(study.findings))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"


# -- the command -------------------------------------------------------------------------------------------------------


def command(capsys, *arguments):
    code = main([str(a) for a in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def one_line(text):
    assert len(text.strip().splitlines()) == 1, text
    assert "Traceback" not in text
    return text


def test_run_says_counts_refusals_and_the_report(tmp_path, capsys):
    series(tmp_path / "in" / "good", 1)
    series(tmp_path / "in" / "gap", 2, leave_out=(4,))
    code, out, _ = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 8
    assert "1 analysed, 1 refused" in out
    assert "(gap): gap: 1 slice" in out
    assert "report.html" in out


def test_an_empty_folder_is_3_with_empty_tables(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    code, out, _ = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 3
    assert "no image series" in out
    assert list(pd.read_csv(tmp_path / "out" / "findings.csv").columns[: len(FIXED)]) == FIXED
    assert list(pd.read_parquet(tmp_path / "out" / "scans.parquet").columns) == list(SCANS)


def test_a_file_that_is_no_dicom_is_ignored_and_the_rest_analysed(tmp_path, capsys):
    series(tmp_path / "in", 1)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    assert command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out", "--formats", "csv")[0] == 0
    assert command(capsys, "run", tmp_path / "in" / "notes.txt", "--out", tmp_path / "o2", "--formats", "csv")[0] == 3
    code, out, _ = command(capsys, "inspect", tmp_path / "in", "--json")
    files = {f["path"]: f["reason"] for f in json.loads(out)[0]["files"]}
    assert code == 0
    assert files["notes.txt"] == "not_dicom"
    assert len(files) == 13


def test_a_truncated_file_is_refused_and_the_rest_analysed(tmp_path, capsys):
    series(tmp_path / "in" / "good", 1)
    series(tmp_path / "in" / "bad", 2)
    victim = sorted((tmp_path / "in" / "bad").iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:-300])
    code, out, _ = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out", "--formats", "csv,parquet")
    assert code == 8
    assert "truncated" in out
    assert pd.read_csv(tmp_path / "out" / "scans.csv")["status"].tolist() == ["refused", "analysed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "detection.treshold_hu=3"], "did you mean detection.threshold_hu"),
        (["--nonsense"], "--nonsense"),
        (["--formats", "csv,xml"], "unknown format 'xml'"),
        (["--roi", "x.nii.gz", "--labels", "x.nii.gz"], "does not exist"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--jobs", "two"], "'--jobs'"),
        (["--log-level", "loud"], "--log-level must be one of"),
        (["--config", "nowhere.toml"], "nowhere.toml: the configuration file cannot be read"),
        (["--roi", "nowhere.nii.gz"], "nowhere.nii.gz"),
        (["--anatomy", "nowhere"], "nowhere"),
    ],
)
def test_usage_mistakes_are_2_in_one_line(tmp_path, capsys, arguments, said):
    series(tmp_path / "in", 1)
    code, _, err = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert said in one_line(err)


def test_a_missing_input_is_2(tmp_path, capsys):
    code, _, err = command(capsys, "run", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "nowhere" in one_line(err)


def test_output_folders_that_are_not_ours_are_2(tmp_path, capsys):
    series(tmp_path / "in", 1)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("x")
    for out, said in (("theirs", "not empty and not written by calcimap"), ("file", "is a file"), ("file/in", "file")):
        code, _, err = command(capsys, "run", tmp_path / "in", "--out", tmp_path / out)
        assert code == 2
        assert said in one_line(err)
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission_is_2(tmp_path, capsys):
    series(tmp_path / "in", 1)
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, err = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "locked")
    assert code == 2
    assert "permissions" in one_line(err)


def test_the_output_folder_inside_the_input_is_not_read_again(tmp_path, capsys):
    series(tmp_path / "in", 1)
    for _ in range(2):
        code, out, _ = command(capsys, "run", tmp_path / "in", "--out", tmp_path / "in" / "out")
        assert code == 0
        assert "1 analysed" in out


def test_fail_fast_stops_and_says_so(tmp_path):
    series(tmp_path / "in" / "a", 1, leave_out=(4,))
    series(tmp_path / "in" / "b", 2)
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=("csv",), fail_fast=True)
    assert study.scans["reason"].tolist() == ["gap", "stopped"]


def test_listings(capsys):
    assert "volume_mm3  [mm3]" in command(capsys, "features")[1]
    assert "eggshell: a thin closed shell" in command(capsys, "patterns")[1]
    code, out, _ = command(capsys, "doctor")
    assert code == 0
    assert "JPEG Lossless" in out


def test_the_report_can_be_written_again(tmp_path, capsys):
    series(tmp_path / "in", 1)
    command(capsys, "run", tmp_path / "in", "--out", tmp_path / "out")
    before = (tmp_path / "out" / "report.html").read_bytes()
    (tmp_path / "out" / "report.html").unlink()
    assert command(capsys, "report", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "report.html").read_bytes() == before
    assert command(capsys, "report", tmp_path)[0] == 2


def test_help_starts_quickly_enough_to_import_nothing_heavy(capsys):
    assert command(capsys, "--help")[0] == 0


def test_bad_call_of_run():
    with pytest.raises(UsageError):
        pipelines.run("nowhere at all", "out")
