"""Ultrasound frames: every colour model to grey or RGB as pydicom gives it, frame by frame; captures; limits."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_color_lut

from imaging import CalcimapError, ReadParams, UsageError, find_series, read_clip
from tests.data import shared
from tests.hazards.ultrasound import frame, region, write

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
MORE = Path(pydicom.__file__).parents[1] / "data_store" / "data"
SPACINGS = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": 0.25477, "OBXXXX1A.dcm": 0.26229, "OBXXXX1A_2frame.dcm": 0.26229,
    "OBXXXX1A_expb.dcm": 0.26229, "OBXXXX1A_expb_2frame.dcm": 0.26229, "OBXXXX1A_rle.dcm": 0.26229,
    "OBXXXX1A_rle_2frame.dcm": 0.26229, "color3d_jpeg_baseline.dcm": 0.51050, "gdcm-US-ALOKA-16.dcm": 0.38265,
    "gdcm-US-ALOKA-16_big.dcm": 0.38265,
}  # fmt: skip
"""mm a pixel that the headers of pydicom-data give; what is not here has no usable calibration."""


def clip_of(path):
    (series,) = find_series(path).series
    return read_clip(series)


def ultrasound_samples():
    files = [*SAMPLES.glob("*.dcm"), *(MORE.glob("*") if MORE.is_dir() else ())]
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in sorted(files):
            try:
                if pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") == "US":
                    found.append(file)
            except (pydicom.errors.InvalidDicomError, OSError):
                continue
    return found


@pytest.mark.parametrize("path", ultrasound_samples(), ids=lambda p: p.name)
def test_samples_end_in_the_right_spacing_or_uncalibrated(path) -> None:
    clip = clip_of(path)
    steps = {round(r.delta_x_mm, 5) for r in clip.regions if r.calibrated}
    assert steps == ({SPACINGS[path.name]} if path.name in SPACINGS else set())


@pytest.mark.parametrize("path", ultrasound_samples(), ids=lambda p: p.name)
def test_frames_agree_with_pydicom(path) -> None:
    clip = clip_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path)
        try:
            theirs = ds.pixel_array
        except RuntimeError:
            pytest.skip("pydicom has no decoder here")
        theirs = theirs[0] if len(clip) > 1 else theirs
        if ds.PhotometricInterpretation == "PALETTE COLOR":
            theirs = apply_color_lut(theirs, ds)
            theirs = theirs >> 8 if theirs.max() > 255 else theirs
    if path.name.startswith("OBXXXX1A_expb"):  # 8 bits in words of 16, whose bytes pydicom leaves turned round
        plain = clip_of(path.with_name(path.name.replace("_expb", ""))).frames.frame(0)
        assert np.array_equal(clip.frames.frame(0), plain)
        return
    assert np.array_equal(clip.frames.frame(0), theirs)
    assert sum(1 for _ in clip.frames) == len(clip)


def test_palette_words_and_offsets(tmp_path) -> None:
    table = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
    names = [f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")]
    values = {n: [256, 0, 16] if "Desc" in n else table for n in names}
    write(tmp_path, region(), photometric="PALETTE COLOR", **values)
    got = clip_of(tmp_path).frames.frame(0)
    assert np.array_equal(got, np.repeat(255 - frame()[0], 3, axis=-1))


def test_monochrome1_is_turned_round(tmp_path) -> None:
    write(tmp_path, region(), photometric="MONOCHROME1")
    assert np.array_equal(clip_of(tmp_path).frames.frame(0), 255 - frame()[0, :, :, 0])


def test_frames_without_their_number_are_counted(tmp_path) -> None:
    write(tmp_path, region(), values=frame(1, 12), NumberOfFrames=None)
    clip = clip_of(tmp_path)
    assert len(clip) == 12
    assert all(np.array_equal(a, b) for a, b in zip(clip.frames, frame(1, 12)[..., 0], strict=True))


def test_only_pictures_that_are_named_or_asked_for(tmp_path) -> None:
    image = np.arange(60 * 80, dtype=np.uint32).reshape(60, 80).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "screen.png")
    found = find_series(tmp_path)
    assert (found.series, list(found.ignored.values())) == ([], ["picture"])
    named = clip_of(tmp_path / "screen.png")
    assert not named.calibrated
    assert np.array_equal(named.frames.frame(0), image)
    (series,) = find_series(tmp_path, params=ReadParams(captures=True)).series
    clip = read_clip(series, ReadParams(pixel_spacing_mm=0.2))
    assert [(r.delta_x_mm, r.delta_y_mm) for r in clip.regions] == [(0.2, 0.2)]
    assert {"capture", "spacing_given"} <= set(clip.flags)


@pytest.mark.parametrize("value", [-1.0, float("nan"), 11.0])
def test_pixel_spacing_that_cannot_be(value) -> None:
    with pytest.raises(UsageError):
        ReadParams(pixel_spacing_mm=value)


def test_a_damaged_picture_is_ignored_with_its_reason(tmp_path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    found = find_series(tmp_path, params=ReadParams(captures=True))
    assert found.series == []
    assert list(found.ignored.values()) == ["unreadable"]


def test_a_frame_that_is_cut_off_is_known_before_reading(tmp_path) -> None:
    write(tmp_path, region())
    file = tmp_path / "us.dcm"
    file.write_bytes(file.read_bytes()[:-500])
    (series,) = find_series(tmp_path).series
    with pytest.raises(CalcimapError) as error:
        read_clip(series)
    assert error.value.reason == "truncated"


def test_a_real_422_frame() -> None:
    clip = clip_of(shared("us/US-YBR_FULL_422-EVRLE.dcm"))
    ds = pydicom.dcmread(shared("us/US-YBR_FULL_422-EVRLE.dcm"))
    assert np.array_equal(clip.frames.frame(0), ds.pixel_array)
