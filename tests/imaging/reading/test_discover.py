"""`find_series`: what is found, how it comes apart, and a reason for every file that is left out."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import zlib

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging.errors import CalcimapError, GeometryError, UsageError
from imaging.reading.discover import find_series
from imaging.reading.params import ReadParams
from imaging.reading.read import read_volume
from imaging.series import FACTS
from tests.dicom_files import ORIGIN, STEP, dataset, meta_end, phantom, save, uid, write_series

MR = "1.2.840.10008.5.1.4.1.1.4"
US = "1.2.840.10008.5.1.4.1.1.6.1"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"


def only(found):
    assert len(found.series) == 1, [s.identity for s in found.series]
    return found.series[0]


def problem(found) -> str:
    series = only(found)
    assert series.problem is not None
    with pytest.raises(type(series.problem)) as caught:
        read_volume(series)
    assert caught.value.reason == series.problem.reason
    assert "\n" not in caught.value.message
    assert "CANARY" not in caught.value.message
    return series.problem.reason


def test_nested_folders_odd_names_and_junk(tmp_path) -> None:
    names = ["a/b/c/1", "a/b/x.jpg", "a/ümlaut/bild", "z", "a/.hidden", "a/b/c/d e.nii", "0", "7.txt"]
    hu = write_series(tmp_path, name=names.__getitem__)
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.dcm").write_text("not DICOM at all, whatever its name says. " * 20)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/short").write_bytes(b"\x08")
    found = find_series(tmp_path)
    series = only(found)
    assert series.problem is None
    assert {p.relative_to(tmp_path).as_posix() for p in series.paths} == set(names)
    assert {p.relative_to(tmp_path).as_posix(): r for p, r in found.ignored.items()} == {
        "empty.dcm": "empty_file",
        "text.dcm": "not_dicom",
        "picture.png": "picture",
        "photo": "picture",
        "dir/short": "not_dicom",
    }
    assert np.array_equal(read_volume(series).array, hu)


def test_order_ignores_names_and_instance_numbers(tmp_path) -> None:
    def shuffle(ds, k):
        ds.InstanceNumber = (k * 5) % 8

    hu = write_series(tmp_path, name=lambda k: f"{(k * 3) % 8}.dcm", change=shuffle)
    volume = read_volume(only(find_series(str(tmp_path))))
    assert np.array_equal(volume.array, hu)
    assert np.allclose(volume.origin, ORIGIN)


def test_missing_instance_number_and_descending_z(tmp_path) -> None:
    hu = write_series(tmp_path, step=(0, 0, -STEP), change=lambda ds, k: delattr(ds, "InstanceNumber"))
    volume = read_volume(only(find_series(tmp_path)))
    assert np.array_equal(volume.array, hu[::-1])
    assert volume.origin[2] == pytest.approx(ORIGIN[2] - 7 * STEP)


def test_facts_are_the_allow_list_and_nothing_free(tmp_path) -> None:
    def free_text(ds, k):
        ds.Manufacturer, ds.ConvolutionKernel, ds.BodyPartExamined = "CANARY MFR", "CANARY", "CANARY"
        ds.ContrastBolusAgent, ds.PatientPosition = "CANARY 100 ml", "CANARY"

    write_series(tmp_path / "a")
    facts = dict(only(find_series(tmp_path / "a")).header)
    assert set(facts) <= set(FACTS)
    assert facts["convolution_kernel"] == "Br40d\\3"
    assert (facts["manufacturer"], facts["body_part"], facts["kvp"]) == ("Siemens", "CHEST", 120)
    assert (facts["patient_age_band"], facts["slice_thickness_mm"], facts["derived"]) == (
        "50-59",
        STEP,
        False,
    )
    assert facts["transfer_syntax"] == "Explicit VR Little Endian"
    write_series(tmp_path / "b", change=free_text)
    facts = dict(only(find_series(tmp_path / "b")).header)
    assert facts["contrast_agent"] is True
    assert "CANARY" not in str(facts)


def test_two_series_in_one_folder(tmp_path) -> None:
    write_series(tmp_path, series="one", name="a{}".format)
    write_series(tmp_path, phantom(5), series="two", name="b{}".format)
    found = find_series(tmp_path)
    assert [len(s.instances) for s in found.series] == [8, 5]
    assert found.ignored == {}
    assert len({s.identity for s in found.series}) == 2
    assert len({s.study_identity for s in found.series}) == 1


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("AcquisitionNumber", (1, 2)),
        ("ConvolutionKernel", ("B30f", "B60f")),
        ("KVP", (80, 140)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"])),
    ],
)
def test_two_acquisitions_at_the_same_positions_come_apart(tmp_path, keyword, values) -> None:
    first = write_series(tmp_path, name="a{}".format, **{keyword: values[0]})
    second = write_series(
        tmp_path, first + 5, name="b{}".format, per_slice=lambda k: {"instance": f"b{k}", keyword: values[1]}
    )
    found = find_series(tmp_path)
    assert len(found.series) == 2
    assert len({s.identity for s in found.series}) == 2
    arrays = [read_volume(s).array for s in found.series]
    assert np.array_equal(arrays[0], first)
    assert np.array_equal(arrays[1], second)


def test_two_acquisitions_that_nothing_tells_apart(tmp_path) -> None:
    write_series(tmp_path, name="a{}".format)
    write_series(tmp_path, phantom() + 5, name="b{}".format, per_slice=lambda k: {"instance": f"b{k}"})
    assert problem(find_series(tmp_path)) == "duplicate_positions"


def test_two_acquisitions_that_the_header_does_not_separate(tmp_path) -> None:
    write_series(tmp_path, name="a{}".format)
    # The numbers differ and yet both acquisitions have slices of both.
    later = lambda k: {"instance": f"b{k}", "AcquisitionNumber": 1 + k % 2}  # noqa: E731
    write_series(tmp_path, phantom() + 5, name="b{}".format, per_slice=later)
    assert problem(find_series(tmp_path)) == "mixed_acquisitions"


def test_repeated_scans_of_one_position_are_no_volumes(tmp_path) -> None:
    same = lambda k: {"AcquisitionNumber": k}  # noqa: E731
    write_series(tmp_path, step=(0, 0, 0), per_slice=same)
    assert problem(find_series(tmp_path)) == "mixed_acquisitions"


def test_an_acquisition_with_a_gap_is_refused_and_the_other_is_not(tmp_path) -> None:
    write_series(tmp_path, name="a{}".format)
    write_series(
        tmp_path,
        name="b{}".format,
        skip=[3],
        per_slice=lambda k: {"instance": f"b{k}", "AcquisitionNumber": 2},
    )
    found = find_series(tmp_path)
    assert [s.problem.reason if s.problem else "" for s in found.series] == ["", "gap"]


def test_gap_names_the_position(tmp_path) -> None:
    write_series(tmp_path, skip=[3])
    found = find_series(tmp_path)
    assert problem(found) == "gap"
    assert f"after position {ORIGIN[2] + 2 * STEP:.2f} mm" in str(found.series[0].problem)
    assert isinstance(found.series[0].problem, GeometryError)


def test_identical_copies_are_dropped_and_flagged(tmp_path) -> None:
    hu = write_series(tmp_path)
    shutil.copy(tmp_path / "IM0002.dcm", tmp_path / "copy")
    series = only(find_series(tmp_path))
    assert series.problem is None
    assert len(series.instances) == 9
    volume = read_volume(series)
    assert np.array_equal(volume.array, hu)
    assert "duplicates_removed" in volume.flags


def test_copies_that_differ_are_refused(tmp_path) -> None:
    hu = write_series(tmp_path)
    position = np.add(ORIGIN, (0, 0, 2 * STEP))
    save(dataset(hu[2] + 1, position, instance="2"), tmp_path / "copy")
    with pytest.raises(GeometryError) as caught:
        read_volume(only(find_series(tmp_path)))
    assert caught.value.reason == "duplicate_positions"


def test_one_uid_for_all_slices_is_no_copy(tmp_path) -> None:
    hu = write_series(tmp_path, per_slice=lambda k: {"SOPInstanceUID": uid("the same")})
    volume = read_volume(only(find_series(tmp_path)))
    assert np.array_equal(volume.array, hu)
    assert "duplicates_removed" not in volume.flags


def test_localizer_inside_the_series_is_set_aside(tmp_path) -> None:
    hu = write_series(tmp_path)
    scout = dataset(
        np.zeros((64, 48)),
        (0, 0, 0),
        orientation=(0, 1, 0, 0, 0, -1),
        instance="scout",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    save(scout, tmp_path / "scout")
    found = find_series(tmp_path)
    series = only(found)
    assert np.array_equal(read_volume(series).array, hu)
    assert found.ignored == {tmp_path / "scout": "localizer"}
    assert [s.set_aside for s in found.set_aside] == ["localizer"]
    with pytest.raises(UsageError):
        read_volume(found.set_aside[0])
    (tmp_path / "scout").unlink()
    assert find_series(tmp_path).series[0].identity == series.identity


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"Rows": 12, "Columns": 40}, "mixed_sizes"),
        ({"PixelSpacing": [0.5, 0.5]}, "mixed_sizes"),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, "mixed_orientations"),
        ({"orientation": None}, "no_geometry"),
        ({"ImagePositionPatient": None}, "no_geometry"),
        ({"PixelSpacing": None}, "no_geometry"),
        ({"Rows": None}, "no_pixels"),
        ({"RescaleType": "Z_EFF"}, "not_hu"),
    ],
)
def test_one_odd_slice_refuses_the_series(tmp_path, options, reason) -> None:
    write_series(tmp_path, per_slice=lambda k: options if k == 4 else {})
    found = find_series(tmp_path)
    assert problem(found) == reason
    assert found.ignored == {}


def test_no_position_anywhere_and_single_slice(tmp_path) -> None:
    write_series(tmp_path / "a", ImagePositionPatient=None)
    assert problem(find_series(tmp_path / "a")) == "no_geometry"
    hu = write_series(tmp_path / "b", phantom(1))
    volume = read_volume(only(find_series(tmp_path / "b")))
    assert volume.flags == ("single_slice",)
    assert volume.spacing == pytest.approx((STEP, 0.7, 0.8))
    assert np.array_equal(volume.array, hu)
    write_series(tmp_path / "c", phantom(1), SliceThickness=None)
    assert problem(find_series(tmp_path / "c")) == "no_geometry"


def test_tilt_oblique_and_sagittal(tmp_path) -> None:
    angle = np.deg2rad(15)
    tilted = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    hu = write_series(tmp_path / "tilt", orientation=tilted)
    volume = read_volume(only(find_series(tmp_path / "tilt")))
    assert volume.flags == ("tilted",)
    assert volume.voxel_volume_mm3 == pytest.approx(0.7 * 0.8 * STEP * np.cos(angle), rel=1e-6)
    assert np.allclose(volume.to_world((3, 0, 0)), np.add(ORIGIN, (0, 0, 3 * STEP)))
    assert np.array_equal(volume.array, hu)
    # normal of (row +y, column -z) is -x
    write_series(tmp_path / "sag", step=(-2, 0, 0), orientation=(0, 1, 0, 0, 0, -1))
    volume = read_volume(only(find_series(tmp_path / "sag")))
    assert np.array_equal(volume.array, hu)
    assert np.allclose(volume.affine[:3, :3], [[-2, 0, 0], [0, 0, 0.8], [0, -0.7, 0]])
    write_series(tmp_path / "sag2", step=(2, 0, 0), orientation=(0, 1, 0, 0, 0, -1))
    assert np.array_equal(read_volume(only(find_series(tmp_path / "sag2"))).array, hu[::-1])


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"SOPClassUID": MR, "Modality": "MR"}, "other_modality"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"}, "other_modality"),
        ({"SOPClassUID": SECONDARY}, "secondary_capture"),
        ({"SOPClassUID": SECONDARY + ".4"}, "secondary_capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"}, "seg"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7", "Modality": "SEG"}, "seg"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Modality": "SR"}, "sr"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3", "Modality": "RTSTRUCT"}, "rtstruct"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC"}, "pdf"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "Modality": "PR", "Rows": None}, "not_image"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10", "Modality": None}, "dicomdir"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}, "mip"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, "mip"),
        ({"ImageType": ["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"]}, "mip"),
    ],
)
def test_set_aside(tmp_path, elements, reason) -> None:
    hu = write_series(tmp_path, name="ct{}".format)
    save(dataset(hu[0], series="other", **elements), tmp_path / "other")
    found = find_series(tmp_path)
    assert only(found).problem is None
    assert found.ignored == {tmp_path / "other": reason}
    assert [s.set_aside for s in found.set_aside] == [reason]


def test_ultrasound_is_a_series_of_ours(tmp_path) -> None:
    save(dataset(np.zeros((8, 8)), None, orientation=None, SOPClassUID=US, Modality="US"), tmp_path / "us")
    found = find_series(tmp_path)
    assert only(found).modality == "US"
    assert only(found).problem is None
    assert found.ignored == {}


def test_derived_is_kept_and_flagged(tmp_path) -> None:
    write_series(tmp_path, ImageType=["DERIVED", "PRIMARY", "MPR"])
    assert "derived" in read_volume(only(find_series(tmp_path))).flags


def test_perfusion_map_is_not_hu(tmp_path) -> None:
    write_series(tmp_path, ImageType=["DERIVED", "PRIMARY", "PERFUSION", "RCBF"])
    assert problem(find_series(tmp_path)) == "not_hu"


def test_symlinks_are_listed_and_not_followed(tmp_path) -> None:
    write_series(tmp_path / "scan")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link.dcm").symlink_to(tmp_path / "scan/IM0000.dcm")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    found = find_series(tmp_path)
    assert len(only(found).paths) == 8
    assert {p.name: r for p, r in found.ignored.items()} == dict.fromkeys(("loop", "link.dcm", "broken"), "symlink")
    assert len(only(find_series(tmp_path / "loop" / "scan")).paths) == 8


def test_pipes_are_not_opened(tmp_path) -> None:
    write_series(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert find_series(tmp_path).ignored == {tmp_path / "pipe": "not_dicom"}


def test_own_output_and_excluded_folders(tmp_path) -> None:
    write_series(tmp_path / "scan")
    write_series(tmp_path / "out/dicom", series="other")
    write_series(tmp_path / "results/x", series="third")
    for name in ("run.json", "columns.json"):
        (tmp_path / "results" / name).write_text("{}")
    found = find_series(tmp_path, exclude=[tmp_path / "scan/../out"])
    assert len(found.series) == 1
    assert found.ignored == {tmp_path / "out": "own_output", tmp_path / "results": "own_output"}


def test_deterministic(tmp_path) -> None:
    for k in (3, 1, 2):
        write_series(tmp_path / f"s{k}", phantom(3), series=str(k))
    first, second = find_series(tmp_path), find_series(tmp_path)
    assert [s.identity for s in first.series] == [s.identity for s in second.series]
    assert [s.paths[0].parent.name for s in first.series] == ["s1", "s2", "s3"]
    assert pickle.loads(pickle.dumps(first.series[0])) == first.series[0]


def test_missing_path_is_named(tmp_path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        find_series(tmp_path / "nowhere")


def test_single_file_as_input(tmp_path) -> None:
    write_series(tmp_path)
    found = find_series(tmp_path / "IM0003.dcm")
    assert len(only(found).paths) == 1
    (tmp_path / "x.txt").write_text("no")
    assert find_series(tmp_path / "x.txt").ignored == {tmp_path / "x.txt": "not_dicom"}


def test_no_preamble_and_no_meta(tmp_path) -> None:
    hu = write_series(tmp_path)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        meta = meta_end(data)
        file.write_bytes(data[meta:] if file.name < "IM0004" else data[132:])
    series = only(find_series(tmp_path))
    volume = read_volume(series)
    assert "no_preamble" in volume.flags
    assert np.array_equal(volume.array, hu)


def test_unreadable_headers(tmp_path) -> None:
    hu = write_series(tmp_path)
    good = (tmp_path / "IM0000.dcm").read_bytes()
    (tmp_path / "cut").write_bytes(good[:150])
    (tmp_path / "prefix").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "noise").write_bytes(bytes(128) + b"DICM" + np.random.default_rng(0).bytes(500))
    found = find_series(tmp_path)
    assert np.array_equal(read_volume(only(found)).array, hu)
    assert set(found.ignored) == {tmp_path / n for n in ("cut", "prefix", "noise")}
    assert set(found.ignored.values()) <= {"unreadable", "not_dicom", "truncated"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path) -> None:
    write_series(tmp_path)
    secret, folder = tmp_path / "secret", tmp_path / "closed"
    secret.write_bytes(b"x")
    secret.chmod(0)
    folder.mkdir(mode=0)
    assert find_series(tmp_path).ignored == {secret: "unreadable", folder: "unreadable"}
    folder.chmod(0o700)


def test_missing_frame_of_reference_in_one_slice_does_not_split(tmp_path) -> None:
    write_series(tmp_path, per_slice=lambda k: {"FrameOfReferenceUID": None} if k == 7 else {})
    assert len(only(find_series(tmp_path)).paths) == 8


def test_other_frame_of_reference_or_patient_splits(tmp_path) -> None:
    write_series(tmp_path, name="a{}".format)
    write_series(tmp_path, name="b{}".format, per_slice=lambda k: {"instance": f"b{k}", "PatientID": "OTHER"})
    write_series(tmp_path, name="c{}".format, per_slice=lambda k: {"instance": f"c{k}", "FrameOfReferenceUID": "1.2"})
    found = find_series(tmp_path)
    assert [len(s.paths) for s in found.series] == [8, 8, 8]
    assert len({s.identity for s in found.series}) == 3


def test_no_uids_at_all(tmp_path) -> None:
    bare = dict.fromkeys(
        ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID", "PatientID", "FrameOfReferenceUID")
    )
    write_series(tmp_path / "a", **bare)
    write_series(tmp_path / "b", phantom() + 1, **bare)
    found = find_series(tmp_path)
    assert [len(s.paths) for s in found.series] == [8, 8]
    assert len({s.identity for s in found.series}) == 2
    assert found.series[0].patient_identity == found.series[0].study_identity == ""


def test_deflate_bomb_is_not_inflated(tmp_path) -> None:
    file = save(dataset(phantom()[0], syntax=DeflatedExplicitVRLittleEndian), tmp_path / "bomb")
    data = file.read_bytes()
    meta = meta_end(data)
    machine = zlib.compressobj(wbits=-15)
    plain = zlib.decompress(data[meta:], -15)
    packed = machine.compress(plain) + b"".join(machine.compress(bytes(1 << 20)) for _ in range(70)) + machine.flush()
    file.write_bytes(data[:meta] + packed)
    assert find_series(tmp_path).ignored == {file: "too_large"}


def test_huge_matrix_is_refused_before_decoding(tmp_path) -> None:
    write_series(tmp_path, Rows=65535, Columns=65535)
    with pytest.raises(CalcimapError) as caught:
        read_volume(only(find_series(tmp_path)), ReadParams(max_volume_gb=1))
    assert caught.value.reason == "truncated"


def test_gzip_junk_named_nifti(tmp_path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"no header" * 100))
    (tmp_path / "b.nii").write_bytes(b"short")
    (tmp_path / "c.nii.gz").write_bytes(b"\x1f\x8b garbage")
    (tmp_path / "d.nrrd").write_bytes(b"NRRD0004\nsizes: x\n\n")
    (tmp_path / "e.nrrd").write_bytes(b"nothing")
    found = find_series(tmp_path)
    assert not found.series
    assert len(found.ignored) == 5
    assert set(found.ignored.values()) <= {"unreadable", "truncated"}
