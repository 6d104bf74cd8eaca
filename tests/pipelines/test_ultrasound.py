"""Ultrasound from files to files: the same folder, tables and pictures as CT, and no millimetre without calibration."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ultrasound_writer import write_ultrasound

import pipelines
from imaging import Clip, UsageError
from imaging.synthetic.bmode import Probe, Scanner, calcification, render_bmode
from pipelines.cli import main

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
DEEP = ("present", "strong")
ALL = ("csv", "parquet", "nifti", "pictures", "report")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    inputs = [SAMPLE_DATA / name for name in ("us_still", "us_cine")]
    return pipelines.run(inputs, tmp_path_factory.mktemp("us") / "out", formats=ALL)


def frame(seed=1):
    return render_bmode(
        Probe("linear", 36.0, 34.0), [calcification(0, 14, 6, 25)], pixel_mm=(0.12, 0.15),
        scanner=Scanner(axial_mm=0.3, lateral_mm=0.6), margin=(20, 30), seed=seed,
    )  # fmt: skip


def scan_of(study, name):
    key = pd.read_csv(study.out / "key.csv").set_index("path")["scan_id"]
    return next(scan for path, scan in key.items() if name in path)


def test_the_sample_scans_give_the_truth(study):
    with (SAMPLE_DATA / "truth_ultrasound.csv").open(encoding="utf-8", newline="") as stream:
        truth = [row for row in csv.DictReader(stream) if row["kind"] == "calcification"]
    assert study.exit_code == 0
    deep = study.findings[study.findings["shadow_class"].isin(DEEP)]
    assert len(deep) == len({(row["series"], row["name"]) for row in truth}) == 3
    for _, finding in deep.iterrows():
        series = "us_still" if finding["scan_id"] == scan_of(study, "us_still") else "us_cine"
        rows = [r for r in truth if r["series"] == series and int(r["frame"]) == finding["frame"]]
        off = [
            np.hypot(float(r["row"]) - finding["row_index"], float(r["column"]) - finding["column_index"]) for r in rows
        ]
        true = rows[int(np.argmin(off))]
        assert min(off) < 12
        assert finding["depth_mm"] == pytest.approx(float(true["depth_mm"]), abs=2.0)
        assert finding["shadow_width_mm"] == pytest.approx(float(true["width_mm"]), rel=0.25)
        assert finding["n_frames"] == (1 if series == "us_still" else 6)
        assert finding["calibrated"]


def test_the_scan_rows(study):
    scans = study.scans.set_index("scan_id")
    still, cine = scans.loc[scan_of(study, "us_still")], scans.loc[scan_of(study, "us_cine")]
    assert (still["modality"], still["image_area"], cine["image_area"]) == ("US", "curved", "linear")
    assert (still["row_spacing_mm"], still["column_spacing_mm"]) == pytest.approx((0.42, 0.36))
    assert cine["n_slices"] == 6
    assert pd.isna(still["threshold_grow_hu"])
    assert still["n_findings"] == (study.findings["scan_id"] == still.name).sum()


def test_label_maps_have_the_size_of_a_pixel(study):
    for name, shape, step in (("us_still", (505, 325), (0.36, 0.42)), ("us_cine", (262, 238, 1, 6), (0.14, 0.14))):
        scan = scan_of(study, name)
        image = nibabel.load(study.out / "scans" / scan / "labels.nii.gz")
        assert image.shape == shape
        assert image.header.get_zooms()[:2] == pytest.approx(step)
        rows = study.findings[study.findings["scan_id"] == scan]
        labels = np.asarray(image.dataobj)
        assert sorted(set(np.unique(labels)) - {0}) == sorted(rows["finding_id"])
        for _, row in rows.iterrows():
            plane = labels if labels.ndim == 2 else labels[:, :, 0, row["frame"]]
            assert (plane == row["finding_id"]).sum() == row["n_voxels"]


def test_pictures_and_report(study):
    for scan in study.scans["scan_id"]:
        picture = np.asarray(Image.open(study.out / "scans" / scan / "overview.png"))
        assert picture.shape[1] >= 1300  # a frame of 1300 pixels, or two side by side
        assert (np.ptp(picture.astype(int), axis=2) > 60).sum() > 200  # outlines and shadow bands in colour
    assert "shadow" in (study.out / "report.html").read_text(encoding="utf-8")


def test_without_calibration_there_is_no_nifti_and_no_millimetre(tmp_path):
    made = frame()
    write_ultrasound(made.image[None], tmp_path / "in" / "us.dcm", pixel_mm=None)
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=ALL)
    (scan,) = study.scans["scan_id"]
    folder = tmp_path / "out" / "scans" / scan
    assert not (folder / "labels.nii.gz").exists()
    labels = np.asarray(Image.open(folder / "labels.png"))
    assert labels.shape == made.image.shape
    deep = study.findings[study.findings["shadow_class"].isin(DEEP)]
    assert len(deep) == 1
    lengths = [c for c in study.findings if c.endswith(("_mm", "_mm2", "_mm3"))]
    assert study.findings[lengths].isna().all().all()
    assert not study.findings["calibrated"].any()
    assert np.isnan(study.scans["row_spacing_mm"].iloc[0])
    assert "uncalibrated" in study.scans["flags"].iloc[0]
    assert (labels == deep["finding_id"].iloc[0]).sum() == deep["n_voxels"].iloc[0]


def test_captures_and_their_pixel_spacing(tmp_path, capsys):
    made = frame()
    (tmp_path / "in").mkdir()
    Image.fromarray(made.image).save(tmp_path / "in" / "screen.png")
    assert main(["run", str(tmp_path / "in"), "--out", str(tmp_path / "a"), "--formats", "csv"]) == 3
    options = ["--captures", "--pixel-spacing", "0.1", "--formats", "csv,nifti"]
    assert main(["run", str(tmp_path / "in"), "--out", str(tmp_path / "b"), *options]) == 0
    capsys.readouterr()
    table = pd.read_csv(tmp_path / "b" / "findings.csv")
    deep = table[table["shadow_class"].isin(DEEP)].iloc[0]
    assert deep["shadow_width_mm"] == pytest.approx(6.0 * 0.1 / 0.15, rel=0.12)
    assert list((tmp_path / "b" / "scans").glob("*/labels.nii.gz"))


def test_ct_and_ultrasound_in_one_folder(tmp_path):
    made = frame()
    write_ultrasound(made.image[None], tmp_path / "in" / "us.dcm", pixel_mm=made.pixel_mm, box=made.box)
    study = pipelines.run([tmp_path / "in", SAMPLE_DATA / "ct_clean"], tmp_path / "out", formats=("parquet",))
    assert sorted(study.scans["modality"]) == ["CT", "US"]
    assert study.counts["analysed"] == 2


@pytest.mark.parametrize("colour", [False, True])
def test_pictures_hide_what_is_burned_in_beside_the_image(tmp_path, colour):
    """A name in the margin: the picture is the same as without it, pixel by pixel."""
    made = frame()
    named = made.image.copy()
    assert made.box[1] >= 12
    named[2:10, 10:60:2] = 255
    pictures = []
    for k, image in enumerate((made.image, named)):
        image = np.repeat(image[..., None], 3, axis=2) if colour else image
        write_ultrasound(image[None], tmp_path / str(k) / "us.dcm", pixel_mm=made.pixel_mm, box=made.box)
        study = pipelines.run(tmp_path / str(k), tmp_path / f"out{k}", formats=("pictures",))
        (file,) = study.out.rglob("overview.png")
        pictures.append(np.asarray(Image.open(file))[120:])  # below the line with the name of the scan
    assert pictures[0].max() > 200
    assert np.array_equal(*pictures)


def test_masks_are_for_ct(tmp_path):
    made = frame()
    write_ultrasound(made.image[None], tmp_path / "in" / "us.dcm", pixel_mm=made.pixel_mm, box=made.box)
    mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    nibabel.save(mask, tmp_path / "mask.nii.gz")
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=("parquet",), roi=tmp_path / "mask.nii.gz")
    assert study.scans[["status", "reason"]].iloc[0].tolist() == ["refused", "geometry_mismatch"]
    assert pd.isna(study.scans["n_findings"].iloc[0])
    with pytest.raises(UsageError, match="masks are for CT"):
        pipelines.analyze(Clip.from_array(made.image), roi=np.ones((1, 2, 3)))


def test_settings_reach_the_detection(tmp_path):
    made = frame()
    write_ultrasound(made.image[None], tmp_path / "in" / "us.dcm", pixel_mm=made.pixel_mm, box=made.box)
    config = pipelines.Config.load(settings=["ultrasound.present_auc=0.999", "ultrasound.strong_auc=1.0"])
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=("parquet",), config=config)
    assert not study.findings["shadow_class"].isin(DEEP).any()
