"""Volumes and affines: one truth, three doors."""

import pickle

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from imaging import GeometryError, UsageError, Volume, geometry

lengths = st.floats(0.1, 10)


@given(st.tuples(lengths, lengths, lengths), st.tuples(*[st.floats(-500, 500)] * 3), st.integers(0, 2**32 - 1))
def test_components_come_back_and_agree_with_simpleitk(spacing, origin, seed):
    direction = Rotation.random(random_state=seed).as_matrix()
    volume = Volume.from_components(np.zeros((3, 4, 5)), spacing=spacing, origin=origin, direction=direction)
    assert volume.spacing == pytest.approx(spacing)
    assert volume.origin == pytest.approx(origin)
    assert volume.direction == pytest.approx(direction, abs=1e-12)
    assert volume.voxel_volume_mm3 == pytest.approx(np.prod(spacing))
    image = sitk.Image(5, 4, 3, sitk.sitkInt16)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(origin)
    image.SetDirection(direction.ravel())
    index = (2, 1, 4)
    assert volume.to_world(index) == pytest.approx(image.TransformIndexToPhysicalPoint(index[::-1]), abs=1e-9)
    assert volume.to_index(volume.to_world(index)) == pytest.approx(index, abs=1e-6)


def test_axes_are_slice_row_column_and_world_is_lps():
    volume = Volume.from_components(np.zeros((2, 2, 2)), spacing=(3, 2, 1))
    assert volume.to_world([(1, 0, 0), (0, 1, 0), (0, 0, 1)]).tolist() == [[0, 0, 3], [0, 2, 0], [1, 0, 0]]
    letters = [geometry.axis_letters(volume.affine[:3, k]) for k in range(3)]
    assert letters == ["S", "P", "L"]


def test_a_sheared_grid_keeps_its_volume():
    affine = geometry.affine_from_components((2, 1, 1), (0, 0, 0), np.eye(3))
    affine[1, 0] = 2 * np.tan(np.deg2rad(15))
    volume = Volume(np.zeros((3, 3, 3), np.int16), affine)
    assert not volume.is_orthogonal
    assert volume.voxel_volume_mm3 == pytest.approx(2)
    assert volume.slice_distance == pytest.approx(2)
    assert volume.spacing[0] == pytest.approx(2 / np.cos(np.deg2rad(15)))


def test_a_crop_keeps_its_place():
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    volume = Volume.from_components(array, spacing=(3, 2, 1), origin=(7, 8, 9), valid=array > 5)
    part = volume.crop((slice(1, 3), slice(2, 4), slice(0, 2)))
    assert part.to_world((0, 0, 0)) == pytest.approx(volume.to_world((1, 2, 0)))
    assert np.array_equal(part.array, array[1:3, 2:4, :2])
    assert part.valid.all()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[[1.0, -1024.0]]]), np.int16),
        (np.array([[[1.5]]]), np.float32),
        (np.array([[[40_000]]]), np.float32),
        (np.array([[[300]]], np.uint16), np.int16),
        (np.array([[[np.nan]]]), np.float32),
        (np.array([[[True]]]), np.int16),
    ],
)
def test_integral_values_are_kept_as_int16(values, dtype):
    assert Volume.from_components(values, spacing=(1, 1, 1)).array.dtype == dtype


def test_arrays_are_read_only():
    volume = Volume.from_components(np.zeros((2, 2, 2)), spacing=(1, 1, 1))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 1


def test_a_volume_pickles():
    volume = Volume.from_components(np.ones((2, 2, 2)), spacing=(1, 2, 3)).replace(header={"kvp": 120.0})
    again = pickle.loads(pickle.dumps(volume))
    assert np.array_equal(again.affine, volume.affine)
    assert again.header["kvp"] == 120.0


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, np.nan), (1, 1)])
def test_bad_spacing_is_refused(spacing):
    with pytest.raises(GeometryError, match="spacing"):
        Volume.from_components(np.zeros((2, 2, 2)), spacing=spacing)


def test_a_singular_affine_is_refused():
    with pytest.raises(GeometryError, match="singular"):
        Volume(np.zeros((1, 1, 1), np.int16), np.diag([1.0, 1, 0, 1]))


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((0, 2, 2)), np.zeros((1, 1, 1), complex)])
def test_bad_arrays_are_refused(array):
    with pytest.raises(UsageError):
        Volume.from_components(array, spacing=(1, 1, 1))


def test_grids_are_compared_by_their_corners():
    volume = Volume.from_components(np.zeros((20, 30, 40)), spacing=(1, 1, 1))
    assert volume.same_grid(volume.shape, geometry.affine_from_components((1, 1, 1), (0, 0, 0.005), np.eye(3)))
    assert not volume.same_grid(volume.shape, geometry.affine_from_components((1.001, 1, 1), (0, 0, 0), np.eye(3)))
