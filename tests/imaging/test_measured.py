"""Truth of size, volume, wall and margin on rendered phantoms with fixed seeds; the tables: bench_measure.py."""

import numpy as np
import pytest
from scipy import ndimage

from imaging import Detection, Volume, detect, measure
from imaging.distance import squared_distance
from imaging.synthetic import Ball, Thing, render

from .measured import ball, egg, hazy, largest, plaques, sharp, shell

SLICES = (0.7, 1.0, 1.5, 2.5, 3.0)


@pytest.mark.parametrize("slice_mm", SLICES)
@pytest.mark.parametrize("seed", range(2))
def test_half_maximum_volume_is_within_10_percent_from_8_voxels_on(slice_mm, seed):
    diameter = 8 * max(slice_mm, 0.9)
    row = largest(ball(np.random.default_rng(seed), slice_mm, diameter))
    truth = np.pi / 6 * diameter**3
    assert row["volume_halfmax_mm3"] == pytest.approx(truth, rel=0.10)
    assert row["volume_mm3"] > 1.1 * truth  # the detection mask swells: that is why there are two
    assert row["volume_integrated_mm3"] == pytest.approx(truth, rel=0.04)


@pytest.mark.parametrize("slice_mm", SLICES)
@pytest.mark.parametrize("steps", [2.5, 4, 8])
def test_longest_diameter_is_within_a_voxel_diagonal(slice_mm, steps):
    diameter = steps * max(slice_mm, 0.9)
    volume = ball(np.random.default_rng(int(steps)), slice_mm, diameter)
    row = largest(volume)
    assert row["max_diameter_mm"] == pytest.approx(diameter, abs=np.linalg.norm(volume.spacing))
    assert row["axial_diameter_mm"] == pytest.approx(diameter, abs=np.linalg.norm(volume.spacing[1:]))


@pytest.mark.parametrize("wall", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("coverage", [1.0, 0.75, 0.5])
@pytest.mark.parametrize("slice_mm", [0.6, 1.0])
def test_shell_coverage_and_thickness(slice_mm, wall, coverage):
    volume, _ = shell(np.random.default_rng(int(10 * wall)), slice_mm, wall, coverage)
    row = largest(volume)
    assert row["shell_coverage"] == pytest.approx(coverage, abs=0.08)
    assert row["shell_thickness_mm"] == pytest.approx(wall, abs=0.4)


@pytest.mark.parametrize("wall", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_ellipsoidal_shell(wall, seed):
    volume, ratio = egg(np.random.default_rng(seed), 1.0, wall)
    row = largest(volume)
    assert row["shell_coverage"] == pytest.approx(1, abs=0.08)
    assert row["shell_thickness_mm"] == pytest.approx(wall, abs=0.4)
    assert row["shell_axis_ratio"] == pytest.approx(ratio, abs=0.06)


@pytest.mark.parametrize("slice_mm", [0.5, *SLICES])
def test_margin_is_sharp_at_any_slice_spacing_and_blurred_where_it_is_a_ramp(slice_mm):
    for seed in range(4):
        rng = np.random.default_rng((seed, int(10 * slice_mm)))
        assert largest(sharp(rng, slice_mm))["margin"] == "sharp", seed
        assert largest(hazy(rng, slice_mm))["margin"] == "blurred", seed


def test_a_wall_of_one_voxel_has_an_edge():
    row = largest(shell(np.random.default_rng(5), 1.0, 1.0, 1.0)[0])
    assert row["margin"] == "sharp"


def test_a_hazy_object_has_no_plateau_and_no_integrated_volume():
    for seed in range(3):
        row = largest(hazy(np.random.default_rng(seed), 1.0, radius=4.0))  # at most two standard deviations of the ramp
        assert np.isnan(row["plateau_hu"])
        assert np.isnan(row["volume_integrated_mm3"])
        assert "no_plateau" in row["flags"].split(";")
        # Ramps up to the middle: HU rise from shell to shell.
        assert np.all(np.diff([row[f"depth_hu_{k}"] for k in range(1, 6)]) > 0)


def test_core_plateau_and_profile_of_a_ball_without_noise():
    volume = render(40.0, [Thing(Ball((0.2, 0.1, 0.3), 7.0), 840.0)], (36, 48, 48), (0.7, 0.7, 0.7)).volume
    row = largest(volume)
    assert row["plateau_hu"] == pytest.approx(840, abs=1)
    assert row["depth_hu_5"] == pytest.approx(840, abs=1)
    assert row["depth_hu_1"] < 750  # the surface is shared with the background
    assert row["core_mean"] > row["intensity_mean"]
    # Half of 840 lies at 440 HU: what exceeds 400 is about the half-maximum mask.
    assert row["fraction_above_400"] == pytest.approx(row["volume_halfmax_mm3"] / row["volume_mm3"], rel=0.05)
    assert row["fraction_above_1000"] == 0


def test_neighbours_are_left_out_of_the_integral():
    things = [Thing(Ball((-4.5, 0, 0), 4.0), 840.0), Thing(Ball((4.5, 0, 0), 4.0), 840.0)]
    volume = render(40.0, things, (30, 48, 60), (0.7, 0.7, 0.7)).volume
    labels = np.zeros(volume.shape, int)
    high = volume.array > 440
    labels[:, :, :30], labels[:, :, 30:] = 1 * high[:, :, :30], 2 * high[:, :, 30:]
    table = measure(Detection.from_labels(volume, labels))
    assert table["volume_integrated_mm3"].to_numpy() == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.04)


def test_no_background_means_no_integrated_volume_and_no_margin():
    volume = Volume.from_components(np.full((9, 9, 9), 700), spacing=(1, 1, 1))
    row = measure(Detection.from_labels(volume, np.ones((9, 9, 9), int))).iloc[0]
    for name in ("background_mean", "volume_integrated_mm3", "edge_gradient_per_mm", "edge_width_mm", "edge_blur"):
        assert np.isnan(row[name]), name
    assert row.isna()["margin"]


@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
@pytest.mark.parametrize("hu", [500, 600, 1000])
def test_plaque_in_the_wall_of_an_enhanced_vessel_does_not_run_into_the_lumen(hu, slice_mm):
    """Half of 600 HU over soft tissue is the level of the lumen: the mask was four times the plaque."""
    rng, spacing, radius = np.random.default_rng(0), np.array((slice_mm, 0.7, 0.7)), 2.5
    shape = (int(90 / slice_mm), 190, 190)
    z, y, x = np.meshgrid(
        *((np.arange(n) - n / 2) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij", sparse=True
    )
    array = np.full(shape, 40.0)
    array[np.broadcast_to((y / 55) ** 2 + (x / 60) ** 2 >= 1, shape)] = -1000
    array[np.broadcast_to(np.hypot(y, x + 5) < 11, shape)] = 320
    array[np.broadcast_to(np.hypot(y - 40, x) < 9, shape)] = 250
    for at, angle in ((-20, 1.0), (0, 3.0), (20, 5.0)):
        away = np.sqrt((z - at) ** 2 + (y - 11.5 * np.sin(angle)) ** 2 + (x + 5 - 11.5 * np.cos(angle)) ** 2)
        share = np.clip((radius - away) / 0.7 + 0.5, 0, 1)
        array = array * (1 - share) + hu * share
    array = ndimage.gaussian_filter(array, (0.3 / slice_mm, 0.9, 0.9)) + rng.normal(0, 12, shape)
    table = measure(detect(Volume.from_components(array.round().astype(np.int16), spacing=tuple(spacing))))
    assert len(table) == 3
    assert (table["volume_halfmax_mm3"] / (4 / 3 * np.pi * radius**3)).between(0.75, 1.45).all()
    assert ((table["max_diameter_mm"] - 2 * radius).abs() <= 1.5 * np.linalg.norm(spacing)).all()


@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
@pytest.mark.parametrize("hu", [500, 600, 1000])
def test_plaque_has_no_strings_of_noise_from_the_lumen(hu, slice_mm):
    """Correlated noise and slices that average: some were 4 to 8 mm too long."""
    volume = plaques(np.random.default_rng(0), slice_mm, 8.0, hu)
    table = measure(detect(volume))
    assert len(table) == 4
    assert (table["volume_halfmax_mm3"] / (np.pi / 6 * 8.0**3)).between(0.75, 1.2).all()
    assert ((table["max_diameter_mm"] - 8.0).abs() <= np.linalg.norm(volume.spacing)).all()


@pytest.mark.parametrize("shape", [(5, 6, 7), (9, 60, 12)], ids=["line by line", "large"])
def test_distances_equal_those_of_a_general_transform(shape):
    rng = np.random.default_rng(1)
    for spacing in ((1.0, 1.0, 1.0), (2.5, 0.7, 0.6)):
        mask = rng.random(shape) < 10 / np.prod(shape)
        before, after = rng.integers(0, 6, (2, 3))
        whole = np.pad(mask, list(zip(before, after, strict=True)))
        truth = ndimage.distance_transform_edt(~whole, sampling=spacing)
        assert np.sqrt(squared_distance(mask, before, after, spacing)) == pytest.approx(truth, abs=1e-5)
