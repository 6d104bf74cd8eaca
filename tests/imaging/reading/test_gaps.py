"""Missing slices: refused, split or filled as asked; losses at the ends of a series; planes and matrices apart."""

from __future__ import annotations

import numpy as np
import pytest

from imaging import ReadParams, UsageError
from imaging.errors import GeometryError, ReadError, TruncatedError
from imaging.reading.discover import find_series
from imaging.reading.read import read_volume
from tests.dicom_files import ENCODERS, ORIGIN, STEP, compress, dataset, enhanced, meta_end, phantom, save, write_series

SPLIT, FILL = ReadParams(on_gap="split"), ReadParams(on_gap="fill")


def only(found):
    assert len(found.series) == 1, [s.identity for s in found.series]
    return found.series[0]


def test_refused_unless_asked(tmp_path) -> None:
    write_series(tmp_path, skip=[3])
    series = only(find_series(tmp_path))
    assert series.problem.reason == "gap"
    assert "on_gap" in series.problem.message
    with pytest.raises(GeometryError):
        read_volume(series, FILL)  # decided when series are found
    with pytest.raises(UsageError, match="on_gap"):
        ReadParams(on_gap="ignore")


def test_split_at_each_gap(tmp_path) -> None:
    hu = write_series(tmp_path, phantom(12), skip=[3, 8])
    found = find_series(tmp_path, params=SPLIT)
    assert [s.n_slices for s in found.series] == [3, 4, 3]
    assert len({s.identity for s in found.series}) == 3
    for series, first in zip(found.series, (0, 4, 9), strict=True):
        volume = read_volume(series)
        assert series.split_by == ("gap",)
        assert volume.flags == ("gap_split",)
        assert volume.origin[2] == pytest.approx(ORIGIN[2] + first * STEP)
        assert volume.slice_distance == pytest.approx(STEP)
        assert np.array_equal(volume.array, hu[first : first + len(volume.array)])


def test_a_part_of_one_slice_is_a_single_slice(tmp_path) -> None:
    write_series(tmp_path, skip=[1])
    found = find_series(tmp_path, params=SPLIT)
    assert [s.flags for s in found.series] == [("gap_split", "single_slice"), ("gap_split",)]


@pytest.mark.parametrize("missing", [[3], [2, 3, 4], [1, 6]])
def test_filled_linearly(tmp_path, missing) -> None:
    hu = phantom()
    hu += 10 * np.arange(8)[:, None, None]
    write_series(tmp_path, hu, skip=missing)
    series = only(find_series(tmp_path, params=FILL))
    volume = read_volume(series)
    assert series.missing == tuple(missing)
    assert series.n_slices == 8
    assert volume.flags == ("gap_filled",)
    assert volume.slice_distance == pytest.approx(STEP)
    there = np.setdiff1d(np.arange(8), missing)
    assert np.array_equal(volume.array[there], hu[there])
    for k in missing:
        below, above = there[there < k].max(), there[there > k].min()
        share = (k - below) / (above - below)
        assert np.abs(volume.array[k] - ((1 - share) * hu[below] + share * hu[above])).max() <= 0.5


def test_filled_with_padding_and_copies(tmp_path) -> None:
    hu = phantom()
    hu[:, :3] = -2000
    hu[5, 10:12] = -2000
    write_series(tmp_path, hu, skip=[4], signed=True)
    (tmp_path / "copy").write_bytes((tmp_path / "IM0006.dcm").read_bytes())
    volume = read_volume(only(find_series(tmp_path, params=FILL)))
    assert volume.flags == ("duplicates_removed", "gap_filled", "padded")
    assert np.array_equal(volume.valid[4], volume.valid[3] & volume.valid[5])
    assert np.array_equal(volume.array[volume.valid & (np.arange(8) != 4)[:, None, None]], hu[
        volume.valid & (np.arange(8) != 4)[:, None, None]])  # fmt: skip


def test_never_more_filled_than_there_is(tmp_path) -> None:
    write_series(tmp_path, skip=[1, 2, 3, 4, 5])
    assert only(find_series(tmp_path, params=FILL)).problem.reason in ("gap", "uneven_spacing")
    write_series(tmp_path / "b", skip=[2, 3, 4, 5])
    assert only(find_series(tmp_path / "b", params=FILL)).problem.reason == "gap"


def test_uneven_is_no_gap(tmp_path) -> None:
    write_series(tmp_path, per_slice=lambda k: {"ImagePositionPatient": [0, 0, k * STEP + (0.5 if k > 4 else 0)]})
    for params in (None, SPLIT, FILL):
        assert only(find_series(tmp_path, params=params)).problem.reason == "uneven_spacing"


def test_gap_in_one_of_two_acquisitions_and_in_a_multi_frame_file(tmp_path) -> None:
    write_series(tmp_path / "a", name="a{}".format)
    later = {"AcquisitionNumber": 2}
    write_series(tmp_path / "a", name="b{}".format, skip=[3], per_slice=lambda k: {"instance": f"b{k}", **later})
    found = find_series(tmp_path / "a", params=SPLIT)
    assert [(s.split_by, s.n_slices) for s in found.series] == [
        (("acquisition",), 8),
        (("acquisition", "gap"), 3),
        (("acquisition", "gap"), 4),
    ]
    hu = phantom(6)
    save(enhanced(hu, [5, 0, 1, 3, 4]), tmp_path / "b/file")
    found = find_series(tmp_path / "b", params=SPLIT)
    assert [s.n_slices for s in found.series] == [2, 3]
    assert np.array_equal(read_volume(found.series[1]).array, hu[3:])
    volume = read_volume(only(find_series(tmp_path / "b", params=FILL)))
    assert np.array_equal(volume.array[[0, 1, 3, 4, 5]], hu[[0, 1, 3, 4, 5]])


# --- losses that positions cannot show


@pytest.mark.parametrize("victim", [0, 4, 7])
def test_a_file_cut_in_its_header_refuses_its_series(tmp_path, victim) -> None:
    write_series(tmp_path / "one", series="one")
    write_series(tmp_path / "two", series="two")
    file = tmp_path / "one" / f"IM{victim:04d}.dcm"
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"\x28\0\x10\0US") + 3])  # behind its UIDs, before its rows
    for folder in (tmp_path / "two").rename(tmp_path / "one/two").parent, tmp_path:
        found = find_series(folder)
        assert found.ignored == {file: "truncated"}
        states = {s.paths[0].parent.name: s for s in found.series}
        assert states["two"].problem is None
        assert states["two"].flags == ()
        problem = states["one"].problem
        assert isinstance(problem, TruncatedError)
        assert problem.message.startswith("1 of 8 files")
        assert states["one"].affine is None


def test_a_file_cut_between_two_elements_refuses_its_series(tmp_path) -> None:
    write_series(tmp_path)
    file = tmp_path / "IM0007.dcm"
    data = file.read_bytes()
    for tag in (b"\x28\0\x10\0US", b"\x28\0\x52\x10", b"\xe0\x7f\x10\0"):
        file.write_bytes(data[: data.index(tag)])
        assert only(find_series(tmp_path)).problem.reason == "no_pixels"


def test_pixels_cut_off_are_known_without_reading(tmp_path) -> None:
    write_series(tmp_path)
    for name in ("IM0003.dcm", "IM0007.dcm"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-10])
    problem = only(find_series(tmp_path)).problem
    assert isinstance(problem, TruncatedError)
    assert problem.message.startswith("2 of 8 files")


def test_damage_that_names_no_series_is_flagged(tmp_path) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", series="other")
    data = (tmp_path / "a/IM0007.dcm").read_bytes()
    (tmp_path / "a/IM0007.dcm").write_bytes(data[: meta_end(data) + 20])
    states = {s.paths[0].parent.name: s.flags for s in find_series(tmp_path).series}
    assert states == {"a": ("files_unreadable",), "b": ()}


@pytest.mark.parametrize(("name", "flagged"), [("IM0008.dcm", True), ("done.txt", False), ("finished", False)])
def test_empty_files_among_slices(tmp_path, name, flagged) -> None:
    write_series(tmp_path)
    (tmp_path / name).touch()
    assert ("files_unreadable" in only(find_series(tmp_path)).flags) is flagged


def test_a_slice_overwritten_with_zeros_is_flagged(tmp_path) -> None:
    write_series(tmp_path)
    (tmp_path / "IM0007.dcm").write_bytes(bytes(2000))
    series = only(find_series(tmp_path))
    assert "files_unreadable" in read_volume(series).flags


def test_a_compressed_slice_cut_off_refuses_the_volume(tmp_path) -> None:
    syntax = "1.2.840.10008.1.2.4.80"
    write_series(tmp_path, change=lambda ds, k: compress(ds, syntax, ENCODERS[syntax]))
    file = tmp_path / "IM0000.dcm"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(ReadError) as caught:
        read_volume(only(find_series(tmp_path)))
    assert caught.value.reason == "truncated"
    assert caught.value.path == file


# --- planes and matrices in one series


def test_planes_come_apart_where_each_is_whole(tmp_path) -> None:
    axial = write_series(tmp_path, name="a{}".format)
    sagittal = write_series(
        tmp_path, phantom(5), name="s{}".format, step=(-2, 0, 0), orientation=(0, 1, 0, 0, 0, -1),
        per_slice=lambda k: {"instance": f"s{k}"},
    )  # fmt: skip
    found = find_series(tmp_path)
    assert [s.split_by for s in found.series] == [("orientation",)] * 2
    assert len({s.identity for s in found.series}) == 2
    assert np.array_equal(read_volume(found.series[0]).array, axial)
    assert np.array_equal(read_volume(found.series[1]).array, sagittal)


def test_two_matrices_over_the_same_range_come_apart(tmp_path) -> None:
    one = write_series(tmp_path, name="a{}".format)
    two = write_series(
        tmp_path, phantom(8, 32, 36), name="b{}".format, PixelSpacing=[0.4, 0.4],
        per_slice=lambda k: {"instance": f"b{k}"},
    )  # fmt: skip
    found = find_series(tmp_path)
    assert [s.split_by for s in found.series] == [("matrix",)] * 2
    assert [read_volume(s).shape for s in found.series] == [one.shape, two.shape]


def test_half_a_series_of_another_matrix_is_refused(tmp_path) -> None:
    small = {"Rows": 12, "Columns": 40}
    write_series(tmp_path, per_slice=lambda k: small if k > 3 else {})
    assert only(find_series(tmp_path)).problem.reason == "mixed_sizes"


def test_what_splits_buckets_is_told(tmp_path) -> None:
    write_series(tmp_path, name="a{}".format)
    write_series(tmp_path, name="b{}".format, per_slice=lambda k: {"instance": f"b{k}", "FrameOfReferenceUID": "1.2"})
    assert [s.split_by for s in find_series(tmp_path).series] == [("frame_of_reference",)] * 2


# --- rescale on request


def test_assume_hu(tmp_path) -> None:
    hu = write_series(tmp_path, np.full((4, 24, 20), 40) + phantom(4) % 9, slope=None, intercept=None)
    series = only(find_series(tmp_path))
    with pytest.raises(Exception, match="assume_hu"):
        read_volume(series)
    volume = read_volume(series, ReadParams(assume_hu=True))
    assert np.array_equal(volume.array, hu)
    assert "hu_assumed" in volume.flags


def test_one_plain_slice_written_by_hand(tmp_path) -> None:
    save(dataset(phantom(1)[0]), tmp_path / "x")
    series = only(find_series(tmp_path))
    assert (series.n_slices, series.split_by, series.missing) == (1, (), ())
    assert series.spacing == pytest.approx((STEP, 0.7, 0.8))
