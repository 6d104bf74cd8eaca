"""The loop of editing: findings written, changed by other programs, measured again with the same numbers."""

from __future__ import annotations

import highdicom as hd
import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk

import pipelines
from imaging import CalcimapError, GeometryError, UsageError, ValuesError, find_series, read_label_map, read_volume
from imaging.features import FEATURES
from pipelines.cli import main
from tests.pipelines.test_dicom import ball_series

OWN = [f.name for f in FEATURES if f.name not in ("bone_distance_mm", "threshold_hu")]
"""Columns that a finding has by itself, whatever the others are."""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A series with three findings, the folder of its objects, and the findings measured from its own SEG."""
    base = tmp_path_factory.mktemp("scan")
    ball_series(base / "in")
    first = pipelines.run(base / "in", base / "out", formats=("parquet", "nifti", "seg"))
    [folder] = (base / "out" / "scans").iterdir()
    again = pipelines.run(base / "in", base / "again", formats=("parquet",), labels=folder / "seg.dcm")
    return base / "in", folder, first.findings, again.findings


def test_an_unchanged_segmentation_gives_the_same_findings(scan):
    """Masks are measured as they are given: counts, HU and volume are those of the detection masks."""
    _, _, first, again = scan
    same = ["finding_id", "n_voxels", "volume_mm3", "intensity_mean", "intensity_max", "centroid_x_mm", "centroid_z_mm"]
    pd.testing.assert_frame_equal(first[same], again[same])
    assert (again["flags"].str.contains("given")).all()
    assert (again["volume_halfmax_mm3"] == again["volume_mm3"]).all()


def erased_by_highdicom(source, folder, out):
    """Without segment 2, as a BINARY object by highdicom, whose segments must be numbered anew: 1, 2."""
    images = sorted((pydicom.dcmread(f) for f in source.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    found = hd.seg.segread(folder / "seg.dcm")
    stack = found.get_pixels_by_source_instance(
        [d.SOPInstanceUID for d in images], assert_missing_frames_are_empty=True
    )
    kept = [found.get_segment_description(k) for k in (1, 3)]
    for k, segment in enumerate(kept, 1):
        segment.SegmentNumber = k
    made = hd.seg.Segmentation(
        images, stack[..., [0, 2]].astype(np.uint8), "BINARY", kept, hd.UID(), 5, hd.UID(), 1, "m", "m", "1", "1"
    )
    made.save_as(out / "edited.dcm")
    return out / "edited.dcm"


def erased_by_pydicom(source, folder, out):
    """The frames of segment 2 set to zero; the segment is still described."""
    ds = pydicom.dcmread(folder / "seg.dcm")
    bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
    size = ds.Rows * ds.Columns
    for k, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2:
            bits[k * size : (k + 1) * size] = 0
    ds.PixelData = np.packbits(bits, bitorder="little").tobytes()
    ds.save_as(out / "edited.dcm")
    return out / "edited.dcm"


def erased_by_simpleitk(source, folder, out):
    """In labels.nii.gz, written as NRRD."""
    image = sitk.ReadImage(str(folder / "labels.nii.gz"))
    sitk.WriteImage(sitk.ChangeLabel(image, {2: 0}), str(out / "edited.nrrd"))
    return out / "edited.nrrd"


@pytest.mark.parametrize("erase", [erased_by_highdicom, erased_by_pydicom, erased_by_simpleitk])
def test_a_finding_erased_elsewhere_leaves_the_table(scan, tmp_path, erase):
    source, folder, _, before = scan
    edited = erase(source, folder, tmp_path)
    after = pipelines.run(source, tmp_path / "out", formats=("parquet", "nifti", "seg", "sr"), labels=edited).findings
    assert after["finding_id"].tolist() == [1, 3]
    rest = before[before["finding_id"] != 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(after[OWN], rest[OWN])
    # And round again: the numbers outlive objects whose segments count from 1.
    [written] = (tmp_path / "out" / "scans").rglob("seg.dcm")
    assert hd.seg.segread(written).segment_numbers == [1, 2]
    third = pipelines.run(source, tmp_path / "third", formats=("parquet",), labels=written).findings
    assert third["finding_id"].tolist() == [1, 3]


def test_a_voxel_painted_elsewhere_is_counted(scan, tmp_path):
    source, folder, _, before = scan
    image = nibabel.load(folder / "labels.nii.gz")
    values = np.asarray(image.dataobj).copy()
    place = np.argwhere(values == 1)[0]
    values[tuple(place - [1, 0, 0])] = 1
    values[30:32, 5, 3] = 9
    nibabel.Nifti1Image(values, image.affine).to_filename(tmp_path / "edited.nii.gz")
    after = pipelines.run(source, tmp_path / "out", formats=("parquet",), labels=tmp_path / "edited.nii.gz").findings
    assert after["finding_id"].tolist() == [1, 2, 3, 9]
    grown = after["n_voxels"].to_numpy() - [*before["n_voxels"], 0]
    assert grown.tolist() == [1, 0, 0, 2]


def test_the_command_takes_labels_and_measures_again_when_they_change(scan, tmp_path, capsys):
    source, folder, _, _ = scan
    edited = erased_by_simpleitk(source, folder, tmp_path)
    arguments = ["run", str(source), "--out", str(tmp_path / "out"), "--formats", "csv", "--labels", str(edited)]
    assert main(arguments) == 0
    assert "2 findings" in capsys.readouterr().out
    sitk.WriteImage(sitk.ReadImage(str(folder / "labels.nii.gz")), str(edited))
    assert main(arguments) == 0
    assert "3 findings" in capsys.readouterr().out
    assert main([*arguments, "--roi", str(edited)]) == 2
    assert "nothing is searched for" in capsys.readouterr().err
    assert main([*arguments[:-1], "nowhere.nrrd"]) == 2


def test_labels_of_another_scan_are_refused(scan, tmp_path):
    _, folder, _, _ = scan
    moved = ball_series(tmp_path / "in", name="another")
    image = sitk.ReadImage(str(folder / "labels.nii.gz"))
    image.SetOrigin([500.0, 0.0, 0.0])
    sitk.WriteImage(image, str(tmp_path / "far.nrrd"))
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=("csv",), labels=tmp_path / "far.nrrd")
    assert study.scans["status"].tolist() == ["refused"]
    assert study.scans["reason"].tolist() == ["geometry_mismatch"]
    assert moved.shape == (12, 40, 41)


def rewritten(folder, out, change):
    ds = pydicom.dcmread(folder / "seg.dcm")
    change(ds)
    ds.save_as(out / "changed.dcm")
    return out / "changed.dcm"


def test_segments_that_share_voxels_are_refused(scan, tmp_path):
    source, folder, _, _ = scan
    volume = read_volume(find_series(source).series[0])

    def fill(ds):
        ds.PixelData = b"\xff" * len(ds.PixelData)

    with pytest.raises(ValuesError, match="shares voxels with finding 1") as caught:
        read_label_map(rewritten(folder, tmp_path, fill), volume)
    assert caught.value.reason == "overlap"


def test_numbers_come_from_tracking_then_segment_then_the_next_free(scan, tmp_path):
    source, folder, _, _ = scan
    volume = read_volume(find_series(source).series[0])

    def rename(ds):
        for segment, name in zip(ds.SegmentSequence, ("", "calcimap finding 1", "somebody's"), strict=True):
            segment.TrackingID = name

    plain = read_label_map(folder / "seg.dcm", volume)
    found = read_label_map(rewritten(folder, tmp_path, rename), volume)
    assert [np.unique(found[plain == k]).tolist() for k in (1, 2, 3)] == [[2], [1], [3]]


@pytest.mark.parametrize(
    ("values", "error", "reason"),
    [
        (np.zeros((12, 40, 41), np.int16), GeometryError, "empty_mask"),
        (np.full((12, 40, 41), -1, np.int16), ValuesError, "not_mask"),
        (np.full((12, 40, 41), 0.5, np.float32), ValuesError, "not_mask"),
    ],
)
def test_files_that_are_no_label_maps(scan, tmp_path, values, error, reason):
    volume = read_volume(find_series(scan[0]).series[0])
    affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
    nibabel.Nifti1Image(values.T, affine).to_filename(tmp_path / "m.nii.gz")
    with pytest.raises(error) as caught:
        read_label_map(tmp_path / "m.nii.gz", volume)
    assert caught.value.reason == reason
    assert isinstance(caught.value, CalcimapError)


def test_a_scan_or_a_folder_is_no_label_map(scan, tmp_path):
    volume = read_volume(find_series(scan[0]).series[0])
    for place in (next(scan[0].iterdir()), tmp_path):
        with pytest.raises(UsageError):
            read_label_map(place, volume)
