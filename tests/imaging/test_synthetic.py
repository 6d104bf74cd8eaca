"""Phantoms against their formulas: volume, partial volume, blur, slice profile, noise, geometry."""

import math

import numpy as np
import pytest
from scipy import ndimage

from imaging import geometry
from imaging.errors import UsageError
from imaging.synthetic import (
    Arc,
    Ball,
    Box,
    Column,
    CurvedSheet,
    Cylinder,
    Ellipsoid,
    Rod,
    Shell,
    Thing,
    Torus,
    Union,
    correlated_noise,
    enhanced_vessel,
    limb,
    path,
    render,
    table,
    torso,
)

AT = (0.3, 0.2, -0.4)
SHAPES = {
    "ball": Ball(AT, 5.0),
    "punctate": Ball(AT, 1.25),
    "ellipsoid": Ellipsoid(AT, (2.0, 4.0, 6.0), (0.3, 0.2, 0.7)),
    "shell": Shell(AT, 8.0, 1.5),
    "cap": Shell(AT, 8.0, 1.5, 0.6, (1.0, 1.0, 1.0)),
    "small cap": Shell(AT, 8.0, 1.5, 0.25, (0.0, 1.0, 1.0)),
    "torus": Torus(AT, 6.0, 1.2, (0.1, 0.05, 1.0)),
    "steep torus": Torus(AT, 6.0, 0.8, (1.0, 0.5, 1.0)),
    "arc": Arc(AT, 6.0, 1.0, 200.0, (0.0, 1.0, 1.0)),
    "short arc": Arc(AT, 6.0, 1.0, 80.0, (0.2, 0.0, 1.0), (0.0, 1.0, 0.0)),
    "rod": Rod((-7.0, -3.0, 1.0), (5.0, 4.0, 3.0), 0.9),
    "sheet": Box(AT, (10.0, 8.0, 1.2), (0.3, 0.2, 0.5)),
    "cylinder": Cylinder(AT, 2.0, 8.0, (1.0, 2.0, 1.0)),
    "column": Column(AT, (3.0, 5.0), 4.0),
    "lump": Union((Ball((0, 0, 0), 3.0), Ball((4, 0, 1), 2.5), Ball((6, 3, 0), 2.0))),
    "cluster": Union((Ball((-5, 0, 0), 1.5), Ball((5, 0, 1), 1.5), Rod((0, 6, -3), (0, 6, 3), 1.0))),
}
SCANNERS = {
    "thin": ((1.0, 1.3, 1.3), 1.0),
    "thick": ((3.0, 0.7, 0.7), 3.0),
    "overlapping": ((1.25, 0.8, 0.8), 2.5),
}


def points(shape, count=400_000):
    rng = np.random.default_rng(5)
    low, high = shape.bounds()
    return rng.uniform(low, high, (count, 3)), float(np.prod(high - low))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_volume_and_centroid_agree_with_random_points(shape):
    drawn, box = points(shape)
    inside = shape.contains(drawn)
    share = inside.mean()
    error = math.sqrt(share * (1 - share) / drawn.shape[0]) / share
    assert share * box / shape.volume_mm3 == pytest.approx(1, abs=4 * error)
    apart = drawn[inside].mean(axis=0) - shape.centroid_mm
    assert np.abs(apart).max() < 5 * drawn[inside].std(axis=0).max() / math.sqrt(inside.sum())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_bounds_hold_the_whole_shape(shape):
    low, high = shape.bounds()
    rng = np.random.default_rng(6)
    around = rng.uniform(low - 3, high + 3, (200_000, 3))
    outside = np.any((around < low) | (around > high), axis=1)
    assert not shape.contains(around[outside]).any()


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.diameter_mm is not None])
def test_diameter_is_the_longest_distance_of_two_points(name):
    shape = SHAPES[name]
    drawn, _ = points(shape)
    inside = drawn[shape.contains(drawn)]
    directions = np.random.default_rng(7).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    longest = np.ptp(inside @ directions.T, axis=0).max()
    assert shape.diameter_mm * 0.96 < longest <= shape.diameter_mm + 1e-9


def test_diameter_of_a_cluster_is_not_made_up():
    assert SHAPES["cluster"].diameter_mm is None


def test_volume_of_overlaps_without_closed_form_is_none():
    three = Union((Ball((0, 0, 0), 3.0), Ball((2, 0, 0), 3.0), Ball((1, 1, 0), 3.0)))
    assert three.volume_mm3 is None
    assert three.centroid_mm is None
    assert path([(0, 0, 0), (5, 0, 0), (5, 5, 0)], 1.0).volume_mm3 is None


def test_a_ball_inside_a_ball_adds_nothing():
    assert Union((Ball((0, 0, 0), 3.0), Ball((1, 0, 0), 1.0))).volume_mm3 == pytest.approx(36 * math.pi)


@pytest.mark.parametrize("spacing_thickness", SCANNERS.values(), ids=SCANNERS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_integrated_contrast_is_contrast_times_volume(shape, spacing_thickness):
    spacing, thickness = spacing_thickness
    size = tuple(int(44 / s) for s in spacing)
    phantom = render(40.0, [Thing(shape, 840.0)], size, spacing, slice_thickness_mm=thickness)
    volume = phantom.volume
    total = (volume.array.astype(float) - 40).sum() * volume.voxel_volume_mm3
    assert total / 800 == pytest.approx(shape.volume_mm3, rel=0.01)


def test_integrated_contrast_with_a_tilted_gantry_and_a_turned_patient():
    tilt = math.radians(15)
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    affine = geometry.affine_from_components((1.5, 0.8, 0.8), (0, 0, 0), turn)
    affine[:3, 0] += affine[:3, 1] / 0.8 * 1.5 * math.tan(tilt)
    affine[:3, 3] = -geometry.to_world(affine, (14, 24, 24))
    phantom = render(0.0, [Thing(Shell(AT, 8.0, 1.5), 500.0)], (29, 49, 49), (1, 1, 1), affine=affine)
    volume = phantom.volume
    weights = volume.array.astype(float)
    total = weights.sum() * volume.voxel_volume_mm3
    assert total / 500 == pytest.approx(SHAPES["shell"].volume_mm3, rel=0.01)
    index = np.argwhere(weights > 100)
    centre = weights[weights > 100] @ volume.to_world(index) / weights[weights > 100].sum()
    assert centre == pytest.approx(AT, abs=0.1)


def test_objects_nest_without_a_seam_and_later_covers_earlier():
    nested = [Thing(Ball(AT, 8.0), 640.0), Thing(Ball(AT, 6.5), 40.0)]
    hollow = [Thing(Shell(AT, 8.0, 1.5), 640.0)]
    size, spacing = (24, 32, 32), (1.0, 0.9, 0.9)
    two, one = (render(40.0, things, size, spacing).volume.array.astype(int) for things in (nested, hollow))
    assert np.abs(two - one).max() <= 6
    assert two.sum() == pytest.approx(one.sum(), rel=0.002)


def test_tiles_do_not_show(monkeypatch):
    things = [Thing(Ball(AT, 8.0), 640.0), Thing(Rod((-12, -9, -6), (12, 9, 6), 1.0), 900.0)]
    body = [Thing(Column((0, 0, 0), (22.0, 18.0)), 40.0)]
    whole = render(body, things, (20, 40, 40), (1.5, 1.2, 1.2)).volume.array
    monkeypatch.setattr("imaging.synthetic.rendering.TILE", (3, 7, 9))
    monkeypatch.setattr("imaging.synthetic.rendering.SAMPLES_AT_ONCE", 50_000)
    pieces = render(body, things, (20, 40, 40), (1.5, 1.2, 1.2)).volume.array
    # Another tile, another sampling: edges differ by quadrature error only.
    assert np.abs(whole.astype(int) - pieces).max() < 0.03 * 1900
    assert np.abs(whole.astype(int) - pieces).mean() < 0.3


def test_inside_a_large_ball_the_true_hu_stands_and_far_outside_the_background():
    volume = render(40.0, [Thing(Ball((0, 0, 0), 8.0), 700.0)], (21, 41, 41), (1.0, 0.8, 0.8)).volume
    assert volume.array[10, 20, 20] == 700
    assert volume.array[0, 0, 0] == 40


def test_point_spread_has_the_width_asked_for():
    """A small ball far below the pixel size spreads as pixel box, Gaussian and ball together."""
    fwhm, pixel, radius = 3.0, 0.5, 0.3
    ball = Thing(Ball((0, 0, 0), radius), 3000.0)
    volume = render(0.0, [ball], (5, 61, 61), (2.0, pixel, pixel), psf_fwhm_mm=fwhm).volume
    image = volume.array[2].astype(float)
    place = (np.arange(61) - 30) * pixel
    variance = image.sum(axis=0) @ place**2 / image.sum()
    expected = (fwhm / math.sqrt(8 * math.log(2))) ** 2 + pixel**2 / 12 + radius**2 / 5
    assert variance == pytest.approx(expected, rel=0.1)


def test_slice_profile_is_a_box_of_the_slice_thickness():
    plate = Thing(Box((0, 0, 0), (60.0, 60.0, 1.0)), 1000.0)
    volume = render(0.0, [plate], (41, 21, 21), (0.5, 1.0, 1.0), slice_thickness_mm=4.0).volume
    image = volume.array[:, 10, 10]
    z = (np.arange(41) - 20) * 0.5
    expected = np.clip((np.minimum(z + 2, 0.5) - np.maximum(z - 2, -0.5)) / 4, 0, None) * 1000
    assert np.abs(image - expected).max() < 20


def test_noise_has_the_sd_asked_for_everywhere_and_is_correlated():
    noise = correlated_noise((40, 96, 96), 12.0, np.random.default_rng(3))
    assert noise.std() == pytest.approx(12, rel=0.02)
    assert noise[0].std() == pytest.approx(12, rel=0.06)
    assert noise[:, 0].std() == pytest.approx(12, rel=0.06)
    assert abs(noise.mean()) < 0.3

    def correlation(axis):
        first, second = np.delete(noise, -1, axis), np.delete(noise, 0, axis)
        return np.corrcoef(first.ravel(), second.ravel())[0, 1]

    assert correlation(1) == pytest.approx(math.exp(-1 / 4), abs=0.02)
    assert correlation(2) == pytest.approx(math.exp(-1 / 4), abs=0.02)
    assert 0.2 < correlation(0) < 0.4


def test_noise_depends_on_the_seed_only():
    def image(seed):
        return render(40.0, [], (4, 20, 20), (1, 1, 1), noise_sd=10, seed=seed).volume.array

    assert np.array_equal(image(1), image(1))
    assert not np.array_equal(image(1), image(2))
    assert image(1).dtype == np.int16


def test_air_without_noise_stays_as_it_is():
    body = [Thing(Column((0, 0, 0), (10.0, 10.0)), 40.0)]
    image = render(body, [], (4, 40, 40), (1, 1, 1), noise_sd=10, noise_in_air=False).volume.array
    assert np.all(image[:, :5] == -1000)
    assert image[:, 18:22, 18:22].std() > 5


def test_background_may_be_an_image():
    ramp = np.broadcast_to(np.arange(40.0) * 2, (20, 40, 40))
    ball = Ball(AT, 5.0)
    image = render(ramp, [Thing(ball, 600.0)], (20, 40, 40), (1, 1, 1)).volume.array.astype(float)
    assert image[0, 0, 7] == 14
    lifted = (image - ramp).sum()
    # Beneath the ball the ramp is, on average, the ramp at its centre.
    assert lifted == pytest.approx((600 - 2 * (19.5 + AT[0])) * ball.volume_mm3, rel=0.01)


def test_truth_names_what_was_put_in():
    thing = Thing(SHAPES["cap"], 700.0, "one", "eggshell")
    (truth,) = render(40.0, [thing], (20, 20, 20), (1, 1, 1)).truth
    assert (truth.name, truth.shape, truth.pattern, truth.hu) == ("one", "shell", "eggshell", 700.0)
    assert truth.volume_mm3 == SHAPES["cap"].volume_mm3
    assert truth.centroid_mm == SHAPES["cap"].centroid_mm


def test_hu_that_no_scanner_stores_is_refused():
    with pytest.raises(UsageError, match="HU lies outside"):
        Thing(SHAPES["ball"], 5000.0)


def test_the_middle_of_the_image_is_the_origin_unless_said_otherwise():
    assert render(0.0, [], (5, 7, 9), (1, 2, 3)).volume.to_world((2, 3, 4)) == pytest.approx([0, 0, 0])
    assert render(0.0, [], (5, 7, 9), (1, 2, 3), origin=(1, 2, 3)).volume.origin == pytest.approx([1, 2, 3])


@pytest.fixture(scope="module")
def trunk():
    scene = [*table(90.0), *torso((-20, 20))]
    return render(scene, [], (20, 80, 96), (2.0, 2.8, 2.8), origin=(-133, -97, -19)).volume


def test_table_and_body_are_apart(trunk):
    labels, _ = ndimage.label(trunk.array > -500)
    index = np.rint(trunk.to_index([[0, -40, 0], [0, 90.8, 0]])).astype(int)
    body, board = labels[tuple(index.T)]
    assert body > 0
    assert board > 0
    assert body != board


def test_torso_holds_the_tissues_of_a_torso(trunk):
    def hu(x, y, z=0.0):
        return trunk.array[tuple(np.rint(trunk.to_index((x, y, z))).astype(int))]

    assert hu(0, -95) == -1000
    assert -110 < hu(0, -78) < -60
    assert 30 < hu(-30, -20) < 70
    assert 150 < hu(0, 18) < 220
    assert trunk.array.max() > 350
    # Each rib in the slab is a piece of its own, apart from the spine.
    assert ndimage.label(trunk.array > 200, np.ones((3, 3, 3)))[1] >= 5


def test_limb_has_a_femur_with_fatty_marrow():
    volume = render(limb(), [], (5, 100, 100), (3.0, 1.6, 1.6)).volume

    def hu(x, y):
        return volume.array[tuple(np.rint(volume.to_index((x, y, 0))).astype(int))]

    assert hu(8, -6) == pytest.approx(-50, abs=5)
    assert hu(18.6, -6) > 1000
    assert hu(-20, 30) == pytest.approx(55, abs=3)


def test_lungs_and_vessels_on_request():
    scene = [*torso((-5, 5), lungs=True), enhanced_vessel([(0, -30, -20), (5, -25, 20)], 6.0, 300.0)]
    volume = render(scene, [], (5, 80, 96), (2.0, 2.8, 2.8)).volume

    def hu(x, y):
        return volume.array[tuple(np.rint(volume.to_index((x, y, 0))).astype(int))]

    assert hu(45, 0) < -800
    assert hu(-45, 0) < -800
    assert hu(2.5, -27.5) == pytest.approx(300, abs=10)


def test_a_table_is_a_thin_skin_round_foam():
    sheet = CurvedSheet((0, 98, 0), 320.0, 16.0, 150.0)
    low, high = sheet.bounds()
    rng = np.random.default_rng(8)
    around = rng.uniform((-200, 0, -1), (200, 140, 1), (200_000, 3))
    inside = around[sheet.contains(around)]
    assert np.all((inside >= low) & (inside <= high))
    area = inside.shape[0] / around.shape[0] * 400 * 140
    assert area == pytest.approx(16 * 320 * 2 * math.asin(150 / 320), rel=0.03)
