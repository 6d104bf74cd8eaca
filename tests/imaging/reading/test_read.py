"""`read_volume`: HU and place, against independent readers, and every way in which files lie."""

from __future__ import annotations

import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRBigEndian

from imaging.errors import CalcimapError, GeometryError, LimitError, ReadError, TruncatedError, ValuesError
from imaging.reading.discover import find_series
from imaging.reading.params import ReadParams
from imaging.reading.read import read_volume
from tests.data import SHARED_DATA
from tests.dicom_files import (
    ENCODERS,
    NATIVE,
    ORIGIN,
    STEP,
    compress,
    dataset,
    enhanced,
    meta_end,
    phantom,
    save,
    write_series,
)


def read(path, **options):
    found = find_series(path)
    assert len(found.series) == 1, (found.series, found.ignored)
    return read_volume(found.series[0], **options)


def refused(path, kind=CalcimapError) -> str:
    with pytest.raises(kind) as caught:
        read(path)
    assert "\n" not in caught.value.message
    assert str(path) not in caught.value.message
    assert "CANARY" not in caught.value.message
    return caught.value.reason


def itk_series(folder) -> tuple[np.ndarray, np.ndarray]:
    """HU and affine (slice, row, column -> LPS) by ITK's own reader and order."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    return sitk.GetArrayFromImage(image), itk_affine(image)


def itk_affine(image) -> np.ndarray:
    matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix[:, ::-1], image.GetOrigin()
    return affine


# --- transfer syntaxes


@pytest.mark.parametrize("syntax", NATIVE)
def test_native_syntaxes(tmp_path, syntax) -> None:
    hu = write_series(tmp_path, syntax=syntax)
    volume = read(tmp_path)
    assert volume.array.dtype == np.int16
    assert volume.valid is None
    assert volume.flags == ()
    assert np.array_equal(volume.array, hu)


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize(("bits", "signed", "intercept"), [(16, False, -1024), (12, True, 0), (16, True, -1024)])
def test_compressed_syntaxes(tmp_path, syntax, bits, signed, intercept) -> None:
    def pack(ds, k):
        compress(ds, syntax, ENCODERS[syntax])

    hu = write_series(tmp_path, change=pack, bits=bits, signed=signed, intercept=intercept)
    assert np.array_equal(read(tmp_path).array, hu)


def test_unknown_syntax_is_a_codec_refusal(tmp_path) -> None:
    write_series(
        tmp_path,
        change=lambda ds, k: compress(ds, "1.2.840.10008.1.2.4.100", ENCODERS["1.2.840.10008.1.2.4.80"]),
    )
    assert refused(tmp_path) == "codec"


def test_encapsulated_pixels_called_native(tmp_path) -> None:
    def lie(ds, k):
        compress(ds, "1.2.840.10008.1.2.4.80", ENCODERS["1.2.840.10008.1.2.4.80"])

    write_series(tmp_path, change=lie)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        file.write_bytes(data.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.1\0\0\0"))
    assert refused(tmp_path) in ("codec", "unreadable", "truncated")


# --- values


def test_rescale_differs_per_slice(tmp_path) -> None:
    hu = write_series(
        tmp_path, phantom() // 6 * 6, per_slice=lambda k: {"slope": 1 + k % 3, "intercept": -1200 - 6 * k}
    )
    assert np.array_equal(read(tmp_path).array, hu)


def test_fractional_slope_gives_float32(tmp_path) -> None:
    write_series(tmp_path, slope=0.4882813, intercept=-1024.5)
    volume = read(tmp_path)
    assert volume.array.dtype == np.float32
    reference, _ = itk_series(tmp_path)
    assert np.abs(volume.array - reference).max() < 1e-3
    assert np.abs(volume.array - phantom()).max() < 0.3


def test_values_beyond_int16_become_float32_and_stay_exact(tmp_path) -> None:
    hu = phantom()
    hu[5, 3, 3] = 40000
    write_series(tmp_path, hu)
    volume = read(tmp_path)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, hu)


@pytest.mark.parametrize(
    ("bits", "signed", "intercept"), [(12, False, -1024), (12, True, 0), (16, True, 0), (16, True, -1024)]
)
def test_bit_layouts(tmp_path, bits, signed, intercept) -> None:
    hu = write_series(tmp_path, bits=bits, signed=signed, intercept=intercept)
    assert np.array_equal(read(tmp_path).array, hu)


def test_overlay_bits_above_the_stored_bits(tmp_path) -> None:
    def dirt(ds, k):
        raw = np.frombuffer(ds.PixelData, "<u2") | np.where(np.arange(24 * 20) % 3 == 0, 0xA000, 0).astype("u2")
        ds.PixelData = raw.astype("<u2").tobytes()

    hu = write_series(tmp_path, bits=12, change=dirt)
    assert np.array_equal(read(tmp_path).array, hu)


def test_monochrome1_is_not_inverted(tmp_path) -> None:
    hu = write_series(tmp_path, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read(tmp_path).array, hu)


def padded_phantom() -> tuple[np.ndarray, np.ndarray]:
    hu = phantom()
    i, j = np.ogrid[:24, :20]
    outside = np.broadcast_to((i - 12) ** 2 / 12**2 + (j - 10) ** 2 / 10**2 > 1, hu.shape)
    return hu, outside


@pytest.mark.parametrize("level", [-2000, -3024])
def test_padding_by_value_alone(tmp_path, level) -> None:
    hu, outside = padded_phantom()
    write_series(tmp_path, np.where(outside, level, hu), signed=True, intercept=-1024)
    volume = read(tmp_path)
    assert volume.flags == ("padded",)
    assert np.array_equal(volume.valid, ~outside)
    assert np.array_equal(volume.array[~outside], hu[~outside])
    assert set(volume.array[outside]) == {hu[~outside].min()}


@pytest.mark.parametrize("declared", [-2000, 63536])
def test_padding_value_signed_or_not(tmp_path, declared) -> None:
    hu, outside = padded_phantom()

    def declare(ds, k):
        ds.add_new(0x00280120, "SS" if declared < 0 else "US", declared)

    write_series(tmp_path, np.where(outside, -2000, hu), signed=True, intercept=0, change=declare)
    assert np.array_equal(read(tmp_path).valid, ~outside)


def test_padding_that_overflows_int16_after_rescale(tmp_path) -> None:
    hu, outside = padded_phantom()

    def declare(ds, k):
        ds.add_new(0x00280120, "SS", -32768)

    write_series(tmp_path, np.where(outside, -33792, hu), signed=True, intercept=-1024, change=declare)
    volume = read(tmp_path)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.valid, ~outside)


def test_padding_value_that_tissue_has_too(tmp_path) -> None:
    """PixelPaddingValue 0 is 0 HU here: the corners are padding, water inside is not."""
    hu, outside = padded_phantom()
    hu = np.where(hu == 0, 1, hu)
    hu[:, 12, 5:9] = 0
    write_series(tmp_path, np.where(outside, 0, hu), signed=True, intercept=0, PixelPaddingValue=0)
    volume = read(tmp_path)
    assert np.array_equal(volume.valid, ~outside)
    assert (volume.array[:, 12, 5:9] == 0).all()


def test_padding_value_of_tissue_without_padded_corners(tmp_path) -> None:
    hu = phantom()
    hu[:, 12, 5:9] = 0
    write_series(tmp_path, hu, signed=True, intercept=0, PixelPaddingValue=0)
    volume = read(tmp_path)
    assert volume.valid is None
    assert np.array_equal(volume.array, hu)


def test_padding_range(tmp_path) -> None:
    hu, outside = padded_phantom()
    high = np.where(outside, 3000 + np.arange(20), hu)  # bright padding of several values
    write_series(tmp_path, high, PixelPaddingValue=4024, PixelPaddingRangeLimit=4060)
    assert np.array_equal(read(tmp_path).valid, ~outside)


def test_nothing_but_padding(tmp_path) -> None:
    write_series(tmp_path, np.full((3, 4, 4), -2000), signed=True)
    assert refused(tmp_path, ValuesError) == "not_hu"


def test_rescale_absent(tmp_path) -> None:
    write_series(tmp_path / "hu", signed=True, slope=None, intercept=None)
    with pytest.raises(ValuesError, match=r"look like HU; .* set reading\.assume_hu"):
        read(tmp_path / "hu")
    write_series(tmp_path / "stored", phantom() + 1024, slope=None, intercept=None)
    assert refused(tmp_path / "stored", ValuesError) == "no_rescale"
    write_series(
        tmp_path / "padded",
        np.where(padded_phantom()[1], -2000, phantom() + 1024),
        signed=True,
        slope=None,
        intercept=None,
    )
    assert refused(tmp_path / "padded", ValuesError) == "no_rescale"


@pytest.mark.parametrize(
    "odd", [{"RescaleSlope": None}, {"RescaleIntercept": None}, {"RescaleSlope": 0}, {"RescaleSlope": -1}]
)
def test_half_a_rescale_is_refused(tmp_path, odd) -> None:
    write_series(tmp_path / "one", per_slice=lambda k: odd if k == 3 else {})
    assert refused(tmp_path / "one", ValuesError) == "no_rescale"
    write_series(tmp_path / "all", **odd)
    assert refused(tmp_path / "all", ValuesError) == "no_rescale"


def test_no_air_is_flagged(tmp_path) -> None:
    write_series(tmp_path, phantom() % 90)
    assert read(tmp_path).flags == ("hu_unreliable",)


def test_colour_is_refused(tmp_path) -> None:
    write_series(tmp_path, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    assert refused(tmp_path, ValuesError) == "not_hu"


# --- damaged files


@pytest.mark.parametrize("syntax", NATIVE[:3])
@pytest.mark.parametrize("left", [1, 100, 900])
def test_truncated_native(tmp_path, syntax, left) -> None:
    write_series(tmp_path, syntax=syntax)
    file = tmp_path / "IM0003.dcm"
    file.write_bytes(file.read_bytes()[:-left])
    assert refused(tmp_path, TruncatedError) == "truncated"


@pytest.mark.parametrize("syntax", ENCODERS)
def test_truncated_encapsulated_at_any_place(tmp_path, syntax) -> None:
    write_series(tmp_path, change=lambda ds, k: compress(ds, syntax, ENCODERS[syntax]))
    file = tmp_path / "IM0003.dcm"
    data = file.read_bytes()
    begin = data.index(b"\xe0\x7f\x10\x00")
    for length in (begin + 2, begin + 12, begin + 20, begin + 40, begin + 100, len(data) - 40, len(data) - 9):
        file.write_bytes(data[:length])
        assert refused(tmp_path, ReadError) in ("truncated", "no_pixels")


def test_truncated_deflated(tmp_path) -> None:
    write_series(tmp_path, syntax=NATIVE[3])
    file = tmp_path / "IM0007.dcm"
    file.write_bytes(file.read_bytes()[:-30])
    assert refused(tmp_path, TruncatedError) == "truncated"
    file.write_bytes(file.read_bytes()[: meta_end(file.read_bytes()) + 200])
    found = find_series(tmp_path)
    assert found.ignored == {file: "truncated"}
    assert found.series[0].flags == ("files_unreadable",)  # what is left does not say which series it was


def test_no_pixels_and_too_many(tmp_path) -> None:
    write_series(tmp_path / "none", per_slice=lambda k: {"PixelData": None} if k == 2 else {})
    assert refused(tmp_path / "none", ReadError) == "no_pixels"
    write_series(tmp_path / "many", change=lambda ds, k: setattr(ds, "PixelData", ds.PixelData + bytes(5000)))
    assert refused(tmp_path / "many", ReadError) == "unreadable"
    hu = write_series(tmp_path / "padded", change=lambda ds, k: setattr(ds, "PixelData", ds.PixelData + bytes(128)))
    assert np.array_equal(read(tmp_path / "padded").array, hu)


def test_file_gone_or_changed_between_finding_and_reading(tmp_path) -> None:
    hu = write_series(tmp_path)
    series = find_series(tmp_path).series[0]
    save(dataset(hu[3][:10], np.add(ORIGIN, (0, 0, 3 * STEP)), instance="3"), tmp_path / "IM0003.dcm")
    with pytest.raises(ReadError):
        read_volume(series)
    (tmp_path / "IM0003.dcm").unlink()
    with pytest.raises(ReadError) as caught:
        read_volume(series)
    assert caught.value.path == tmp_path / "IM0003.dcm"


def test_limit(tmp_path) -> None:
    write_series(tmp_path)
    with pytest.raises(LimitError):
        read(tmp_path, params=ReadParams(max_volume_gb=(8 * 24 * 20 * 5 - 1) / 1e9))
    read(tmp_path, params=ReadParams(max_volume_gb=8 * 24 * 20 * 5 / 1e9))


def test_mutated_files_end_typed(tmp_path) -> None:
    """400 files with broken bytes: a volume of the right shape or a typed error, never anything else."""
    rng = np.random.default_rng(5)
    write_series(tmp_path / "seed", phantom(1))
    write_series(
        tmp_path / "jls",
        phantom(1),
        change=lambda d, k: compress(d, "1.2.840.10008.1.2.4.80", ENCODERS["1.2.840.10008.1.2.4.80"]),
    )
    save(enhanced(phantom(3)), tmp_path / "enhanced/e")
    outcomes = set()
    for seed in ("seed/IM0000.dcm", "jls/IM0000.dcm", "enhanced/e"):
        good = (tmp_path / seed).read_bytes()
        for _ in range(130):
            data = bytearray(good)
            for place in rng.integers(132, min(len(data), 1800), rng.integers(1, 6)):
                data[place] = rng.integers(256)
            file = tmp_path / "mutant"
            file.write_bytes(data[: rng.integers(200, len(data))] if rng.random() < 0.2 else data)
            found = find_series(file)
            for series in found.series:
                try:
                    read_volume(series, ReadParams(max_volume_gb=0.3))
                    outcomes.add("read")
                except CalcimapError as error:
                    outcomes.add(error.reason)
    assert "read" in outcomes


# --- enhanced multi-frame CT


def test_enhanced_shuffled_frames_and_rescale_per_frame(tmp_path) -> None:
    hu = phantom(6) // 2 * 2
    save(enhanced(hu, [3, 0, 5, 1, 4, 2], slopes=[1, 2, 1, 2, 1, 2]), tmp_path / "file")
    volume = read(tmp_path)
    assert np.array_equal(volume.array, hu)
    assert np.allclose(volume.origin, ORIGIN)
    assert volume.spacing == pytest.approx((STEP, 0.7, 0.8))
    series = find_series(tmp_path).series[0]
    assert [i.frame for i in series.instances] == [1, 3, 5, 0, 4, 2]
    assert series.paths == (tmp_path / "file",)


def test_enhanced_gap_phases_and_missing_positions(tmp_path) -> None:
    hu = phantom(6)
    save(enhanced(hu, [0, 1, 2, 4, 5]), tmp_path / "gap")
    assert refused(tmp_path / "gap", GeometryError) == "gap"
    save(enhanced(hu[:3], [0, 1, 2, 0, 1, 2], phases=[1, 1, 1, 2, 2, 2]), tmp_path / "phases")
    found = find_series(tmp_path / "phases")
    assert len(found.series) == 2
    assert all(np.array_equal(read_volume(s).array, hu[:3]) for s in found.series)
    ds = enhanced(hu)
    del ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    save(ds, tmp_path / "missing")
    assert refused(tmp_path / "missing", GeometryError) == "no_geometry"
    ds = enhanced(hu)
    ds.NumberOfFrames = 7
    save(ds, tmp_path / "more")
    assert refused(tmp_path / "more", GeometryError) == "no_geometry"


def test_two_enhanced_files_of_one_series_are_two_volumes(tmp_path) -> None:
    hu = phantom(4)
    for name in ("a", "b"):
        ds = enhanced(hu)
        ds.SOPInstanceUID = f"1.2.3.{ord(name)}"
        save(ds, tmp_path / name)
    found = find_series(tmp_path)
    assert [len(s.instances) for s in found.series] == [4, 4]
    assert len({s.identity for s in found.series}) == 2


def test_plain_ct_with_frames_is_refused(tmp_path) -> None:
    ds = dataset(phantom()[0], NumberOfFrames=3)
    ds.PixelData = ds.PixelData * 3
    save(ds, tmp_path / "x")
    assert refused(tmp_path, GeometryError) == "no_geometry"


# --- independent reader of DICOM series


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"step": (0, 0, -STEP)},
        {"orientation": (0, 1, 0, 0, 0, -1), "step": (-2.0, 0, 0)},
        {"orientation": (0.8, 0.6, 0, -0.6, 0.8, 0)},
        {"slope": 0.5, "intercept": -1024},
        {"syntax": ExplicitVRBigEndian},
        {"SliceThickness": 5},
    ],
    ids=["axial", "descending", "sagittal", "oblique", "half", "big endian", "thick"],
)
def test_agrees_with_itk(tmp_path, options) -> None:
    write_series(tmp_path, **options)
    volume = read(tmp_path)
    hu, affine = itk_series(tmp_path)
    assert np.array_equal(volume.array, hu)
    assert np.abs(volume.affine - affine).max() < 1e-3


REAL = ["crlm1004", "qrm_phantom/dicom", "totalseg_aorta20", "sts/STS_021/dicom/image", "dcmqi/ct-3slice"]


@pytest.mark.parametrize("name", REAL)
def test_real_series_agree_with_itk(name) -> None:
    folder = SHARED_DATA / "ct" / name
    if not folder.is_dir():
        pytest.skip("shared data absent")
    volume = read(folder)
    names = [str(p) for p in find_series(folder).series[0].paths]
    image = sitk.ReadImage(names)
    hu = sitk.GetArrayFromImage(image)
    valid = np.ones(hu.shape, bool) if volume.valid is None else volume.valid
    assert np.array_equal(volume.array[valid], hu[valid])
    assert (hu[~valid] <= -1500).all()
    assert np.abs(volume.affine - itk_affine(image)).max() < 1e-3
    ordered = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    if ordered and len(ordered) == len(names):
        assert list(ordered) == names


NASTY = SHARED_DATA / "dicom_nasty"


@pytest.mark.skipif(not NASTY.is_dir(), reason="shared data absent")
def test_nasty_files_end_typed() -> None:
    inputs = [NASTY, *(p for p in NASTY.rglob("*"))]
    outcomes = {}
    for path in inputs:
        for series in find_series(path).series:
            try:
                outcomes[path.relative_to(NASTY).as_posix()] = str(read_volume(series).shape)
            except CalcimapError as error:
                outcomes[path.relative_to(NASTY).as_posix()] = error.reason
    assert outcomes["dicom2nifti/sliceincrement/001"] == "gap"
    assert outcomes["dicom2nifti/notavolume/001"] == "mixed_acquisitions"
    assert outcomes["dicom2nifti/gantrytilting/001"] == "(4, 512, 512)"
    assert outcomes["dicomparser/encapsulated/multi-frame/CT0012.explicit_little_endian.dcm"] == "not_hu"
    assert outcomes["dicomparser/CT1_UNC.explicit_big_endian.dcm"] == "(1, 512, 512)"


# --- NIfTI and NRRD


def nifti(path, hu, affine_ras, dtype=np.int16, **header) -> None:
    image = nibabel.Nifti1Image(hu.T.astype(dtype), affine_ras)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)


AFFINES = {
    "LPS": np.diag([-0.8, -0.7, 1.25, 1]) + np.outer([10, 20, 30, 0], [0, 0, 0, 1]),
    "RAS": np.diag([0.8, 0.7, 1.25, 1]),
    "LAS": np.diag([-0.8, 0.7, 1.25, 1]) + np.outer([10, 20, 30, 0], [0, 0, 0, 1]),
    "RAI": np.diag([0.8, 0.7, -1.25, 1]),
    "sagittal": np.array([[0, 0, 2.0, 5], [0.8, 0, 0, 6], [0, 0.7, 0, 7], [0, 0, 0, 1]]),
    "oblique": np.array([[0.64, -0.42, 0, 1], [0.48, 0.56, 0, 2], [0, 0, 1.25, 3], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_place_and_values_agree_with_nibabel(tmp_path, name, suffix) -> None:
    hu = phantom()
    nifti(tmp_path / f"ct{suffix}", hu, AFFINES[name])
    volume = read(tmp_path)
    image = nibabel.load(tmp_path / f"ct{suffix}")
    ras = np.diag([-1, -1, 1, 1]) @ image.affine
    # Every voxel stands where nibabel says, in whatever order.
    rng = np.random.default_rng(0)
    for i, j, k in rng.integers(0, (20, 24, 8), (40, 3)):
        index = volume.to_index((ras @ (i, j, k, 1))[:3])
        assert np.allclose(index, np.rint(index), atol=1e-4)
        assert volume.array[tuple(np.rint(index).astype(int))] == hu[k, j, i]
    up = np.cross(volume.affine[:3, 2], volume.affine[:3, 1])
    assert up @ volume.affine[:3, 0] > 0
    itk = sitk.ReadImage(str(tmp_path / f"ct{suffix}"))
    assert np.allclose(itk.TransformIndexToPhysicalPoint((3, 4, 5)), (ras @ (3, 4, 5, 1))[:3], atol=1e-3)


def test_nifti_qform_only_scaled_padded_and_big_endian(tmp_path) -> None:
    hu, outside = padded_phantom()
    stored = (np.where(outside, -2000, hu) + 24).T.astype(">i2")
    image = nibabel.Nifti1Image(stored, None, nibabel.Nifti1Header(endianness=">"))
    image.set_qform(AFFINES["oblique"], 1)
    image.set_sform(None, 0)
    image.header.set_slope_inter(1, 0)
    image.to_filename(tmp_path / "ct.nii")
    data = bytearray((tmp_path / "ct.nii").read_bytes())
    struct.pack_into(">ff", data, 112, 1.0, -24.0)
    (tmp_path / "ct.nii").write_bytes(data)
    volume = read(tmp_path)
    assert volume.array.dtype == np.int16
    assert volume.flags == ("padded",)
    assert np.array_equal(volume.valid, ~outside)
    assert np.array_equal(volume.array[~outside], hu[~outside])
    expected = (np.diag([-1, -1, 1, 1]) @ nibabel.load(tmp_path / "ct.nii").affine)[:3, [2, 1, 0, 3]]
    assert np.allclose(volume.affine[:3], expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_nifti_types(tmp_path, dtype) -> None:
    nifti(tmp_path / "a.nii.gz", phantom(), AFFINES["LPS"], dtype)
    volume = read(tmp_path)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, phantom())


def test_nifti_not_a_number_is_padding(tmp_path) -> None:
    hu = phantom().astype(float)
    hu[:, 0] = np.nan
    nifti(tmp_path / "a.nii.gz", hu, AFFINES["LPS"], np.float32)
    volume = read(tmp_path)
    assert not volume.valid[:, 0].any()
    assert np.isfinite(volume.array).all()


def test_label_maps_are_set_aside(tmp_path) -> None:
    nifti(tmp_path / "mask.nii.gz", phantom() > 0, AFFINES["LPS"], np.uint8)
    nifti(tmp_path / "small.nii", phantom() % 5, AFFINES["LPS"])
    found = find_series(tmp_path)
    assert not found.series
    assert set(found.ignored.values()) == {"label_map"}


def test_nifti_without_place_singular_four_dimensions_colour(tmp_path) -> None:
    nifti(tmp_path / "a.nii", phantom(), AFFINES["LPS"])
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<hh", data, 252, 0, 0)
    (tmp_path / "a.nii").write_bytes(data)
    assert refused(tmp_path / "a.nii", GeometryError) == "no_geometry"
    struct.pack_into("<hh", data, 252, 0, 1)
    struct.pack_into("<12f", data, 280, *([1.0] * 12))
    (tmp_path / "a.nii").write_bytes(data)
    assert refused(tmp_path / "a.nii", GeometryError) == "no_geometry"
    nibabel.Nifti1Image(np.full((4, 4, 4, 3), -1000, np.int16), np.eye(4)).to_filename(tmp_path / "four.nii")
    assert refused(tmp_path / "four.nii", GeometryError) == "mixed_acquisitions"
    colour = np.zeros((4, 4, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nibabel.Nifti1Image(colour, np.eye(4)).to_filename(tmp_path / "rgb.nii")
    assert refused(tmp_path / "rgb.nii", ValuesError) == "not_hu"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_nifti(tmp_path, suffix) -> None:
    file = tmp_path / f"a{suffix}"
    nifti(file, phantom(), AFFINES["LPS"])
    file.write_bytes(file.read_bytes()[:-50])
    assert refused(file, TruncatedError) == "truncated"


def test_nifti_whose_header_asks_for_everything(tmp_path) -> None:
    nifti(tmp_path / "a.nii.gz", phantom(), AFFINES["LPS"])
    data = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    struct.pack_into("<8h", data, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(data))
    assert refused(tmp_path / "a.nii.gz", LimitError) == "too_large"


def test_nifti2(tmp_path) -> None:
    nibabel.Nifti2Image(phantom().T.astype(np.int16), AFFINES["LPS"]).to_filename(tmp_path / "a.nii.gz")
    volume = read(tmp_path)
    assert np.array_equal(volume.array, phantom())
    assert np.allclose(volume.affine[:3], (np.diag([-1, -1, 1, 1]) @ AFFINES["LPS"])[:3, [2, 1, 0, 3]])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
def test_nrrd_written_by_itk(tmp_path, compressed, suffix) -> None:
    image = sitk.GetImageFromArray(phantom().astype(np.int16))
    image.SetSpacing((0.8, 0.7, 1.25))
    image.SetOrigin((1, 2, 3))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"), compressed)
    volume = read(tmp_path)
    assert np.array_equal(volume.array, phantom())
    assert np.allclose(volume.affine, itk_affine(image))
    assert find_series(tmp_path).ignored == {}


def test_nrrd_must_not_point_elsewhere(tmp_path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8))
    folder = tmp_path / "x"
    folder.mkdir()
    for target in ("../secret", str(tmp_path / "secret"), "LIST", "a%03d.raw 1 2 1"):
        text = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {target}\n\n"
        (folder / "a.nhdr").write_text(text)
        assert find_series(folder).ignored == {folder / "a.nhdr": "unreadable"}


def test_nrrd_right_anterior_superior_and_without_space(tmp_path) -> None:
    head = "NRRD0005\ntype: short\ndimension: 3\nsizes: 20 24 8\nencoding: gzip\nendian: little\n"
    place = "space: right-anterior-superior\nspace directions: (-0.8,0,0) (0,-0.7,0) (0,0,1.25)\n"
    place += "space origin: (1,2,3)\n"
    data = gzip.compress(phantom().astype("<i2").tobytes())
    (tmp_path / "a.nrrd").write_bytes((head + place + "\n").encode() + data)
    volume = read(tmp_path / "a.nrrd")
    assert np.array_equal(volume.array, phantom())
    assert np.allclose(volume.affine, [[0, 0, 0.8, -1], [0, 0.7, 0, -2], [1.25, 0, 0, 3], [0, 0, 0, 1]])
    (tmp_path / "a.nrrd").write_bytes((head + "\n").encode() + data)
    assert refused(tmp_path / "a.nrrd", GeometryError) == "no_geometry"


STS = SHARED_DATA / "ct" / "sts"


@pytest.mark.skipif(not STS.is_dir(), reason="shared data absent")
def test_real_nifti_agree_with_nibabel() -> None:
    for file in sorted(STS.rglob("CT_image.nii.gz")):
        volume = read(file)
        image = nibabel.load(file)
        values = np.asarray(image.dataobj).T
        affine = (np.diag([-1, -1, 1, 1]) @ image.affine)[:, [2, 1, 0, 3]]
        if np.cross(affine[:3, 2], affine[:3, 1]) @ affine[:3, 0] < 0:
            values = values[::-1]
            affine[:3, 3] += (len(values) - 1) * affine[:3, 0]
            affine[:3, 0] *= -1
        assert np.array_equal(volume.array, values.astype(np.float32))
        assert np.abs(volume.affine - affine).max() < 1e-3


def test_meta_end_is_what_the_helper_says(tmp_path) -> None:
    write_series(tmp_path, phantom(1))
    data = (tmp_path / "IM0000.dcm").read_bytes()
    assert data[meta_end(data) :][:2] == b"\x08\0"


def test_nothing_reaches_the_terminal_or_the_log(tmp_path, capfd, caplog) -> None:
    write_series(tmp_path / "odd")
    for file in (tmp_path / "odd").iterdir():
        data = file.read_bytes().replace(b"057Y", b"CANA").replace(b"CANARY^NAME", b"CAN\xff\xfe\\\\^MEE")
        file.write_bytes(data.replace(b"ORIGINAL", b"or!gi\xe4al").replace(b"1.2.826", b"1.r.826"))
    nifti(tmp_path / "a.nii.gz", phantom(), AFFINES["oblique"])
    for series in find_series(tmp_path).series:
        read_volume(series)
    out, err = capfd.readouterr()
    assert out == err == ""
    assert caplog.records == []
