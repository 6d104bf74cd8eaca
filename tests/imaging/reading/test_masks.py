"""`read_mask`: where a mask lies decides, whatever the order of its axes."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from imaging.errors import GeometryError, UsageError, ValuesError
from imaging.reading.masks import read_mask
from imaging.volume import Volume
from tests.data import SHARED_DATA

SHAPE = (6, 9, 11)
RAS = np.diag([-1.0, -1, 1, 1])


def scan(direction=None) -> Volume:
    return Volume.from_components(
        np.zeros(SHAPE, np.int16), spacing=(2, 0.7, 0.8), origin=(5, -6, 7), direction=direction
    )


def labels() -> np.ndarray:
    values = np.zeros(SHAPE, np.int16)
    values[1:3, 2:5, 6:9] = 1
    values[4, 7, 1] = 3
    return values


def write(path, array, affine_lps) -> None:
    """`affine_lps` maps (slice, row, column); nibabel wants (column, row, slice) to RAS."""
    nibabel.Nifti1Image(array.T, RAS @ affine_lps[:, [2, 1, 0, 3]]).to_filename(path)


def test_same_grid(tmp_path) -> None:
    volume = scan()
    write(tmp_path / "m.nii.gz", labels(), volume.affine)
    found = read_mask(tmp_path / "m.nii.gz", volume)
    assert found.dtype == np.int32
    assert np.array_equal(found, labels())
    write(tmp_path / "b.nii.gz", (labels() == 1).astype("u1") * 255, volume.affine)
    assert np.array_equal(read_mask(str(tmp_path / "b.nii.gz"), volume), labels() == 1)
    assert read_mask(tmp_path / "b.nii.gz", volume).dtype == bool


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_any_order_and_flip_of_axes(tmp_path, order, flips) -> None:
    volume = scan([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    array, affine = labels().transpose(order), volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, order]
    for axis in np.flatnonzero(flips):
        array = np.flip(array, axis)
        affine[:3, 3] += (array.shape[axis] - 1) * affine[:3, axis]
        affine[:3, axis] *= -1
    write(tmp_path / "m.nii", array, affine)
    assert np.array_equal(read_mask(tmp_path / "m.nii", volume), labels())


def test_crop_and_finer_grid_agree_with_itk(tmp_path) -> None:
    volume = scan()
    image = sitk.GetImageFromArray(np.repeat(np.repeat(labels()[1:], 2, 1), 2, 2))
    image.SetSpacing((0.4, 0.35, 2))
    image.SetOrigin((5 - 0.2, -6 - 0.175, 9))
    sitk.WriteImage(image, str(tmp_path / "m.nrrd"), True)
    reference = sitk.GetImageFromArray(np.zeros(SHAPE, np.int16))
    reference.SetSpacing((0.8, 0.7, 2))
    reference.SetOrigin((5, -6, 7))
    expected = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor))
    found = read_mask(tmp_path / "m.nrrd", volume)
    assert np.array_equal(found, labels())
    assert np.array_equal(found, expected)


def test_sheared_scan_takes_the_label_at_its_voxel_centres(tmp_path) -> None:
    volume = scan()
    affine = volume.affine.copy()
    affine[:3, 0] += (0, 0.7, 0)  # one row per slice
    sheared = volume.replace(affine=affine)
    write(tmp_path / "m.nii.gz", labels(), volume.affine)
    found = read_mask(tmp_path / "m.nii.gz", sheared)
    for index in np.argwhere(labels()):
        moved = index - (0, index[0], 0)
        if moved[1] >= 0:
            assert found[tuple(moved)] == labels()[tuple(index)]


def test_refusals(tmp_path) -> None:
    volume = scan()
    write(tmp_path / "empty.nii", np.zeros(SHAPE, np.uint8), volume.affine)
    far = volume.affine.copy()
    far[:3, 3] += 500
    write(tmp_path / "far.nii", labels(), far)
    write(tmp_path / "soft.nii", labels() * np.float32(0.5), volume.affine)
    for name, kind, reason in [
        ("empty.nii", GeometryError, "empty_mask"),
        ("far.nii", GeometryError, "geometry_mismatch"),
        ("soft.nii", ValuesError, "not_mask"),
        ("none.nii", UsageError, "usage"),
    ]:
        with pytest.raises(kind) as caught:
            read_mask(tmp_path / name, volume)
        assert caught.value.reason == reason
    (tmp_path / "x.txt").write_text("no")
    with pytest.raises(UsageError):
        read_mask(tmp_path / "x.txt", volume)


STS = SHARED_DATA / "ct" / "sts" / "STS_021"


@pytest.mark.skipif(not STS.is_dir(), reason="shared data absent")
def test_real_mask_on_the_dicom_scan() -> None:
    from imaging.reading.discover import find_series
    from imaging.reading.read import read_volume

    volume = read_volume(find_series(STS / "dicom" / "image").series[0])
    mask = read_mask(STS / "CT_mask.nii.gz", volume)
    image = nibabel.load(STS / "CT_mask.nii.gz")
    points = np.argwhere(np.asarray(image.dataobj))
    world = (RAS @ image.affine @ np.c_[points, np.ones(len(points))].T)[:3].mean(axis=1)
    ours = volume.to_world(np.argwhere(mask)).mean(axis=0)
    assert np.abs(world - ours).max() < 1.0
