"""`imaging.grids`: order, step, shear, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import GeometryError
from imaging.geometry import normal, spacing, voxel_volume_mm3
from imaging.reading.grids import regular_grid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SPACING = (0.7, 0.8)


def grid(heights, cosines=AXIAL, step=(0.0, 0.0, 1.0), **options):
    places = [tuple(np.multiply(step, h)) for h in heights]
    return regular_grid(places, [cosines] * len(places), [SPACING] * len(places), **options)


def refused(heights, **options) -> GeometryError:
    with pytest.raises(GeometryError) as caught:
        grid(heights, **options)
    assert "\n" not in caught.value.message
    return caught.value


def test_order_is_by_position_and_the_affine_starts_at_the_lowest() -> None:
    found = grid([5.0, -1.25, 2.5, 0.0, 3.75, 1.25])
    assert found.order == (1, 3, 5, 2, 4, 0)
    assert np.allclose(found.affine, [[0, 0, 0.8, 0], [0, 0.7, 0, 0], [1.25, 0, 0, -1.25], [0, 0, 0, 1]])
    assert found.flags == ()


@pytest.mark.parametrize(
    ("cosines", "step"),
    [
        ((0, 1, 0, 0, 0, -1), (1, 0, 0)),  # sagittal: the normal points to the right
        ((1, 0, 0, 0, 0, -1), (0, 1, 0)),  # coronal
        ((0.8, 0.6, 0, -0.6, 0.8, 0), (0, 0, 1)),
    ],
)
def test_ascending_along_the_cross_product_of_row_and_column(cosines, step) -> None:
    found = grid([3.0, 1.0, 2.0, 0.0], cosines, step)
    assert np.cross(cosines[:3], cosines[3:]) @ found.affine[:3, 0] > 0
    assert np.allclose(np.abs(normal(found.affine)), np.abs(step))
    assert np.allclose(spacing(found.affine), (1.0, 0.7, 0.8))


def test_tilt_keeps_shear_and_volume_is_the_determinant() -> None:
    angle = np.deg2rad(15)
    cosines = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle)))
    found = grid([0, 1.25, 2.5, 3.75], cosines)
    assert found.flags == ("tilted",)
    assert np.allclose(found.affine[:3, 0], (0, 0, 1.25))
    assert voxel_volume_mm3(found.affine) == pytest.approx(0.7 * 0.8 * 1.25 * np.cos(angle))


def test_one_missing_slice_is_named() -> None:
    error = refused([0, 1.25, 2.5, 5.0, 6.25])
    assert error.reason == "gap"
    assert "1 slice(s) missing after position 2.50 mm" in error.message


def test_three_missing_slices_in_two_gaps() -> None:
    error = refused([0, 1, 2, 4, 5, 8, 9])
    assert error.reason == "gap"
    assert "3 slice(s) missing after position 2.00, 5.00 mm" in error.message


def test_gap_among_three_slices() -> None:
    assert refused([0, 1, 3]).reason == "gap"


@pytest.mark.parametrize("heights", [[0, 1, 2, 3.4, 4.4], [0, 1, 2, 3, 3.5, 4.5, 5.5], [0, 1, 1.6, 2.6]])
def test_uneven(heights) -> None:
    assert refused(heights).reason == "uneven_spacing"


def test_drift_in_the_plane_is_uneven() -> None:
    places = [(0.0, 0.0, 0.0), (0.0, 0.3, 1.0), (0.0, 0.0, 2.0), (0.0, 0.0, 3.0)]
    with pytest.raises(GeometryError) as caught:
        regular_grid(places, [AXIAL] * 4, [SPACING] * 4)
    assert caught.value.reason == "uneven_spacing"


@pytest.mark.parametrize("heights", [[0, 1, 1, 2], [0, 0, 0, 0], [0, 0], [0, 0.001, 1, 2]])
def test_duplicates(heights) -> None:
    assert refused(heights).reason == "duplicate_positions"


def test_jitter_within_tolerance_is_flagged_or_not_worth_a_word() -> None:
    assert grid([0, 1.005, 2, 3, 4]).flags == ("spacing_jitter",)
    assert grid([0, 1.0005, 2, 3, 4]).flags == ()


def test_orientation_noise_is_accepted_and_other_orientation_refused() -> None:
    noisy = [(1.0, 1e-5 * k, 0.0, 0.0, 1.0, 0.0) for k in range(4)]
    places = [(0.0, 0.0, float(k)) for k in range(4)]
    assert regular_grid(places, noisy, [SPACING] * 4).order == (0, 1, 2, 3)
    other = [AXIAL, AXIAL, AXIAL, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)]
    with pytest.raises(GeometryError) as caught:
        regular_grid(places, other, [SPACING] * 4)
    assert caught.value.reason == "mixed_orientations"


@pytest.mark.parametrize("cosines", [None, (1, 0, 0, 1, 0, 0), (0, 0, 0, 0, 0, 0), (2, 0, 0, 0, 1, 0)])
def test_useless_orientation(cosines) -> None:
    assert refused([0, 1, 2], cosines=cosines).reason == "no_geometry"


def test_missing_position_and_spacing() -> None:
    with pytest.raises(GeometryError) as caught:
        regular_grid([(0, 0, 0), None, (0, 0, 2)], [AXIAL] * 3, [SPACING] * 3)
    assert caught.value.reason == "no_geometry"
    with pytest.raises(GeometryError) as caught:
        regular_grid([(0, 0, 0), (0, 0, 1)], [AXIAL] * 2, [SPACING, None])
    assert caught.value.reason == "no_geometry"
    with pytest.raises(GeometryError) as caught:
        regular_grid([(0, 0, 0), (0, 0, 1)], [AXIAL] * 2, [SPACING, (0.7, 0.9)])
    assert caught.value.reason == "mixed_sizes"


def test_single_slice_counts_for_what_the_header_says() -> None:
    found = grid([7.0], single_step_mm=5.0)
    assert found.flags == ("single_slice",)
    assert np.allclose(found.affine[:3, 0], (0, 0, 5))
    assert refused([7.0]).reason == "no_geometry"


def test_thickness_is_compared_and_never_used() -> None:
    assert grid([0, 2, 4], thickness_mm=3.0).flags == ()
    apart = grid([0, 10, 20], thickness_mm=1.0)
    assert apart.flags == ("slices_apart",)
    assert spacing(apart.affine)[0] == pytest.approx(10)


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(9)),
    st.floats(0.3, 8.0),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.2),
    st.floats(0, 6.28),
)
def test_any_shuffled_oblique_stack_comes_back(shuffled, step, axis, angle) -> None:
    k = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    cosines = tuple(float(v) for v in (*turn[:, 0], *turn[:, 1]))
    places = [tuple(turn @ (10, 20, 30 + step * s)) for s in shuffled]
    found = regular_grid(places, [cosines] * 9, [SPACING] * 9)
    assert [shuffled[i] for i in found.order] == list(range(9))
    assert np.allclose(found.affine[:3, 0], step * turn[:, 2], atol=1e-6)
    assert np.allclose(found.affine[:3, 3], turn @ (10, 20, 30), atol=1e-6)
