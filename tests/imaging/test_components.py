"""Components against scipy.ndimage and scikit-image: independent labelling and region properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import regionprops_table

from imaging import Components, UsageError
from imaging.components import ranges

STRUCTURES = {6: 1, 18: 2, 26: 3}
masks = hnp.arrays(bool, st.tuples(*[st.integers(1, 7)] * 3), elements=st.booleans(), fill=st.nothing())
connectivities = st.sampled_from([6, 18, 26])


def scipy_labels(mask, connectivity):
    return ndimage.label(mask, ndimage.generate_binary_structure(3, STRUCTURES[connectivity]))[0]


@settings(max_examples=300)
@given(masks, connectivities)
def test_labels_equal_scipy(mask, connectivity):
    assert np.array_equal(Components.from_mask(mask, connectivity).paint(), scipy_labels(mask, connectivity))


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("density", [0.02, 0.2, 0.5, 0.95])
def test_labels_equal_scipy_on_larger_noise(connectivity, density):
    mask = np.random.default_rng(1).random((40, 63, 57)) < density
    assert np.array_equal(Components.from_mask(mask, connectivity).paint(), scipy_labels(mask, connectivity))


def test_slabs_do_not_show(monkeypatch):
    array = np.random.default_rng(2).normal(0, 50, (31, 40, 40)).astype(np.int16)
    where = np.random.default_rng(3).random(array.shape) < 0.9
    monkeypatch.setattr("imaging.components._SLAB_VOXELS", 3 * 1600)
    assert np.array_equal(Components.above(array, 40, where=where).paint(), scipy_labels((array > 40) & where, 26))


def test_the_threshold_is_strict():
    assert len(Components.above(np.full((1, 1, 3), 100, np.int16), 100)) == 0
    assert len(Components.above(np.full((1, 1, 3), 101, np.int16), 100)) == 1


@settings(max_examples=100)
@given(masks, connectivities, st.integers(0, 2**32 - 1))
def test_reductions_equal_regionprops(mask, connectivity, seed):
    values = np.random.default_rng(seed).integers(-1000, 3000, mask.shape).astype(np.int16)
    parts = Components.from_mask(mask, connectivity)
    names = ("area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    truth = regionprops_table(scipy_labels(mask, connectivity), values, properties=names)
    inside = parts.values(values)
    mean, sd = parts.mean_and_sd(inside)
    assert np.array_equal(parts.n_voxels, truth["area"])
    assert np.array_equal(
        parts.box.transpose(0, 2, 1).reshape(-1, 6), np.stack([truth[f"bbox-{k}"] for k in range(6)], 1)
    )
    assert np.allclose(parts.centroid, np.stack([truth[f"centroid-{k}"] for k in range(3)], 1), atol=1e-12)
    assert np.allclose(mean, truth["intensity_mean"])
    assert np.allclose(sd, truth["intensity_std"], atol=1e-9)
    assert np.array_equal(parts.minimum(inside), truth["intensity_min"])
    assert np.array_equal(parts.maximum(inside), truth["intensity_max"])


def test_moments_keep_their_digits_far_from_the_corner():
    shape = (700, 500, 500)
    points = np.array([[690, 490, 490], [690, 490, 491], [690, 491, 492], [691, 492, 492]])
    parts = Components.from_voxels(np.sort(np.ravel_multi_index(points.T, shape)), shape)
    assert len(parts) == 1
    assert np.allclose(parts.covariance[0], np.cov(points.T, bias=True), atol=1e-12)


@given(masks, st.floats(0, 1))
def test_quantiles_equal_numpy(mask, q):
    values = np.random.default_rng(5).normal(size=mask.shape)
    parts = Components.from_mask(mask)
    pieces = np.split(parts.values(values), parts.voxel_offsets[1:-1]) if len(parts) else []
    assert np.allclose(parts.quantile(parts.values(values), q), [np.quantile(p, q) for p in pieces])


@given(hnp.arrays(np.int16, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(-1, 4)))
def test_labels_come_back(labels):
    parts, numbers = Components.from_labels(labels)
    assert np.array_equal(parts.paint(numbers), np.where(labels > 0, labels, 0))


@given(masks, st.data())
def test_take_and_concatenate(mask, data):
    parts = Components.from_mask(mask)
    which = data.draw(hnp.arrays(bool, len(parts)))
    both = Components.concatenate([parts.take(which), parts.take(~which)], parts.shape)
    assert len(both) == len(parts)
    assert np.array_equal(np.sort(both.voxels), np.sort(parts.voxels))
    assert np.array_equal(both.paint() > 0, mask)


def test_a_stretch_over_several_rows_is_cut():
    parts = Components.from_voxels(np.arange(3, 19), (1, 4, 5), 6)
    assert parts.row.tolist() == [0, 1, 2, 3]
    assert parts.start.tolist() == [3, 0, 0, 0]
    assert parts.length.tolist() == [2, 5, 5, 4]


def test_ranges():
    assert ranges(np.array([5, 1, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_nothing():
    parts = Components.above(np.zeros((3, 4, 5), np.int16), 100)
    assert len(parts) == 0
    assert parts.box.shape == (0, 3, 2)
    assert parts.centroid.shape == (0, 3)
    assert parts.paint().sum() == 0


def test_connectivity_is_checked():
    with pytest.raises(UsageError, match="6, 18 or 26"):
        Components.from_mask(np.ones((2, 2, 2), bool), 8)


def test_labels_must_be_whole_numbers_in_three_dimensions():
    with pytest.raises(UsageError, match="3-D array of integers"):
        Components.from_labels(np.zeros((2, 2)))
