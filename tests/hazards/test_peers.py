"""HU and place are those of SimpleITK and dcm2niix wherever a series is well-formed."""

import shutil
from pathlib import Path

import pytest

from imaging import Volume, find_series, read_volume
from tests.data import SHARED_DATA

from . import CASES
from .corpus import Truth
from .judge import best
from .peers import Made, dcm2niix_images, dcm2niix_program, itk_images

WELL_FORMED = """
    well_formed implicit big_endian rle rle_signed jpeg_lossless_57 jpeg_lossless_70 jpeg_ls jpeg_2000 jpeg_2000_signed
    htj2k fragments_with_offset_table fragments_without_offset_table mixed_syntaxes oblique sagittal coronal
    feet_first_prone head_first_turned_over wide_pixels tall_pixels far_from_the_origin overlapping_slices two_slices
    two_series_in_a_folder rescale_varies slope_of_a_half slope_with_many_digits fractional_intercept
    twelve_bits_unsigned twelve_bits_signed sixteen_bits_signed garbage_above_the_stored_bits rescale_type_hu
    enhanced_multi_frame legacy_converted enhanced_without_offset_table private_elements shuffled_names
""".split()
NOT_ITS_STRENGTH = {"far_from_the_origin"}
"""dcm2niix keeps positions as 32-bit floats: 1e-3 mm at 12 m."""
MM = 1e-3
"""At every corner of the grid."""
REAL_MM = 2e-3
"""Of real series with positions rounded to 0.001 mm: dcm2niix takes one step of many, which adds up to the corner."""


def agreement(volumes: list[Volume], made: Made, mm: float = MM) -> str:
    truths = [Truth(v.array, v.affine, valid=v.valid, hu_tolerance=0.01, mm_tolerance=0) for v in volumes]
    assert made.images, made.words
    return best(made.images, truths, mm)[0]


def read_all(folder: Path) -> list[Volume]:
    return [read_volume(series) for series in find_series(folder).series]


@pytest.mark.parametrize("name", WELL_FORMED)
def test_agrees_with_simpleitk(name, tmp_path):
    CASES[name].make(tmp_path)
    assert agreement(read_all(tmp_path), itk_images(tmp_path)) == ""


@pytest.mark.skipif(dcm2niix_program() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("name", [n for n in WELL_FORMED if n not in NOT_ITS_STRENGTH])
def test_agrees_with_dcm2niix(name, tmp_path):
    CASES[name].make(tmp_path)
    assert agreement(read_all(tmp_path), dcm2niix_images(tmp_path)) == ""


FOLDERS = {path.parent for path in (SHARED_DATA / "ct").rglob("*.dcm")} | {SHARED_DATA / "ct/qrm_phantom/dicom"}
REAL = sorted(folder.relative_to(SHARED_DATA).as_posix() for folder in FOLDERS)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("peer", [itk_images, dcm2niix_images])
def test_real_series(name, peer, tmp_path):
    folder = SHARED_DATA / name
    if not folder.exists():
        pytest.skip("real data not present (set CALCIMAP_SHARED_DATA to its folder)")
    if peer is dcm2niix_images and dcm2niix_program() is None:
        pytest.skip("dcm2niix is not installed")
    series = [s for s in find_series(folder).series if s.problem is None and s.modality == "CT" and s.kind == "dicom"]
    if not series:
        pytest.skip("no CT series that is well-formed")
    for number, one in enumerate(series):
        place = tmp_path / str(number)
        place.mkdir()
        for k, path in enumerate(one.paths):
            shutil.copy(path, place / f"{k:04d}.dcm")
        assert agreement([read_volume(one)], peer(place), MM if peer is itk_images else REAL_MM) == ""
