"""Skeletons, lobes, layers, tubes and ellipsoids against closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from imaging import Detection, DetectionParams, Volume, detect, measure
from imaging.synthetic import (
    Arc,
    Ball,
    Box,
    Cylinder,
    Ellipsoid,
    Rod,
    Shell,
    Thing,
    Torus,
    Union,
    helix,
    render,
)
from imaging.topology import thinned


def masked(shape, spacing=(0.5, 0.5, 0.5), half=14.0, values=None):
    """Measurements of the voxels whose centres lie in a shape; axis 0 is z."""
    axes = [np.arange(-math.ceil(half / s), math.ceil(half / s) + 1) * s for s in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    inside = np.broadcast_to(shape.distance(x, y, z) <= 0, [len(a) for a in axes])
    array = np.where(inside, 600, 45) if values is None else values(x, y, z)
    volume = Volume.from_components(array, spacing=spacing)
    return measure(Detection.from_labels(volume, inside.astype(np.int8))).iloc[0]


def imaged(things, spacing=(1.0, 0.7, 0.7), half=16.0, noise=12.0):
    """Measurements of the largest finding of a rendered scene, the way of a scan."""
    shape = tuple(int(2 * half / s) + 1 for s in spacing)
    volume = render(45.0, things, shape, spacing, psf_fwhm_mm=0.9, noise_sd=noise, seed=5).volume
    table = measure(detect(volume, DetectionParams(separate=False)))
    return table.loc[table["n_voxels"].astype(int).idxmax()]


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.25])
def test_a_cylinder_has_its_diameter_as_stroke_and_two_ends(radius):
    row = masked(Cylinder((0.1, 0.05, 0), radius, 22, (1.0, 0.4, 0.3)))
    assert row["stroke_mm"] == pytest.approx(2 * radius, abs=0.5)
    assert (row["skeleton_ends"], row["skeleton_junctions"]) == (2, 0)
    assert row["tortuosity"] == pytest.approx(1, abs=0.03)
    assert 22 - 2 * radius - 2 < row["skeleton_length_mm"] < 23
    assert row["euler_number"] == 1


@pytest.mark.parametrize("width", [1.4, 2.6])
def test_the_stroke_of_an_imaged_line(width):
    row = imaged([Thing(Rod((-9, -3, 1), (9, 4, -3), width / 2), 900.0)])
    assert row["stroke_mm"] == pytest.approx(width, abs=0.7)  # one pixel


def test_a_ring_has_no_end_one_tunnel_and_its_radius():
    row = masked(Torus((0, 0, 0), 8.0, 1.2, (0.3, 0.5, 1.0)))
    assert (row["skeleton_ends"], row["skeleton_junctions"], row["euler_number"]) == (0, 0, 0)
    assert row["curvature_radius_mm"] == pytest.approx(8.0, abs=0.3)
    assert row["skeleton_length_mm"] == pytest.approx(2 * math.pi * 8, rel=0.06)
    assert row["ring_arc_deg"] == 360


@pytest.mark.parametrize("degrees", [120, 200])
def test_an_arc_has_its_angle_radius_and_tortuosity(degrees):
    row = masked(Arc((0, 0, 0), 9.0, 1.0, degrees))
    assert row["ring_arc_deg"] == pytest.approx(degrees, abs=31)  # a sector of 15 degrees at each end
    assert row["curvature_radius_mm"] == pytest.approx(9.0, abs=0.5)
    half = math.radians(degrees) / 2
    assert row["tortuosity"] == pytest.approx(half / math.sin(half), rel=0.1)


def test_a_helix_has_its_arc_length_and_tortuosity():
    radius, pitch, turns = 5.0, 9.0, 2.0
    row = masked(helix(radius, pitch, turns, 0.9))
    length = turns * math.hypot(2 * math.pi * radius, pitch)
    assert row["skeleton_length_mm"] == pytest.approx(length, rel=0.08)
    assert row["tortuosity"] == pytest.approx(length / (turns * pitch), rel=0.12)


Y_SHAPE = Union((Rod((-10, 0, 0), (0, 0, 0), 0.9), Rod((0, 0, 0), (7, 6, 1), 0.9), Rod((0, 0, 0), (6, -7, 2), 0.9)))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_a_fork_has_three_ends_and_one_junction_however_it_lies(order, flip):
    array = np.zeros((50, 60, 60), np.int16)
    z, y, x = np.meshgrid(*[(np.arange(n) - n / 2) * 0.5 for n in array.shape], indexing="ij")
    mask = Y_SHAPE.distance(x, y, z) <= 0
    turned = mask[:: flip[0], :: flip[1], :: flip[2]].transpose(order)
    volume = Volume.from_components(np.where(turned, 600, 45), spacing=(0.5, 0.5, 0.5))
    row = measure(Detection.from_labels(volume, turned.astype(np.int8))).iloc[0]
    assert (row["skeleton_ends"], row["skeleton_junctions"]) == (3, 1)
    total = 10 + math.sqrt(86) + math.sqrt(89)
    assert total - 4 < row["skeleton_length_mm"] < total + 2


def test_three_shells_are_three_layers():
    shells = Union(tuple(Shell((0, 0, 0), r, 1.2) for r in (4.0, 7.5, 11.0)))
    row = masked(shells)
    assert row["layers"] == pytest.approx(3, abs=0.05)
    assert row["layered_share"] == 1
    one = masked(Shell((0, 0, 0), 11.0, 1.2))
    assert one["layers"] == pytest.approx(1, abs=0.02)
    assert one["layered_share"] < 0.02


def test_a_rim_that_fades_inwards_is_told_from_a_wall():
    def fading(x, y, z):
        return 45 + 700 * np.clip(np.sqrt(x * x + y * y + z * z) / 10, 0, 1) * (np.sqrt(x * x + y * y + z * z) <= 10)

    shell = Shell((0, 0, 0), 10.0, 4.0)
    even = masked(shell, values=fading)
    # HU rise evenly: means of the outer 30 %, the middle and the inner 30 % of the way lie at 0.85, 0.5 and 0.15.
    assert even["radial_slope_hu"] == pytest.approx(700 * 0.7, rel=0.06)
    assert even["radial_fade"] == pytest.approx(0.5, abs=0.04)
    wall = masked(Shell((0, 0, 0), 10.0, 3.0))
    assert wall["radial_slope_hu"] == pytest.approx(555, rel=0.1)  # the last sample may lie beyond the wall
    assert wall["radial_fade"] == pytest.approx(0, abs=0.06)


def test_a_ball_has_no_layers_to_tell():
    row = masked(Ball((0, 0, 0), 7.0))
    assert np.isnan(row["stroke_mm"])
    assert np.isnan(row["layers"])


@pytest.mark.parametrize(("centres", "lobes"), [
    ([(-4, 0, 0), (4, 0, 0)], 2),
    ([(-5, 0, 0), (5, 0, 0), (0, 8, 0)], 3),
    ([(-5, 0, 0), (5, 0, 0), (0, 8, 0), (0, 2.5, 7)], 4),
])  # fmt: skip
def test_lobes_are_balls_between_necks(centres, lobes):
    assert masked(Union(tuple(Ball(c, 5.2 if lobes > 2 else 4.6) for c in centres)))["lobes"] == lobes


def test_crossing_bars_are_not_three_lobes():
    cross = Union((Box((0, 0, 0), (18, 5, 5)), Box((0, 0, 0), (5, 18, 5), (0, 0, 0.2))))
    assert masked(cross)["lobes"] < 3


def test_a_tube_is_hollow_round_its_axis():
    outer, inner = Cylinder((0, 0, 0), 4.0, 24, (1.0, 0.2, 0.1)), Cylinder((0, 0, 0), 3.0, 26, (1.0, 0.2, 0.1))

    class Tube:
        def distance(self, x, y, z):
            return np.maximum(outer.distance(x, y, z), -inner.distance(x, y, z))

    row = masked(Tube())
    # Distances are spread evenly over the area between both radii.
    mean = 2 / 3 * (4.0**3 - 3.0**3) / (4.0**2 - 3.0**2)
    cv = math.sqrt((4.0**2 + 3.0**2) / 2 - mean**2) / mean
    assert row["tube_cv"] == pytest.approx(cv, abs=0.02)
    assert row["tube_arc"] == 1
    assert row["tube_inside"] == 0
    rod = masked(Cylinder((0, 0, 0), 4.0, 24, (1.0, 0.2, 0.1)))
    assert rod["tube_cv"] == pytest.approx(math.sqrt(1 / 2 - 4 / 9) / (2 / 3), abs=0.02)
    assert rod["tube_inside"] == pytest.approx(1 / 9, abs=0.02)


def test_an_ellipsoid_is_found_where_a_sphere_does_not_fit():
    radii, wall = (12.0, 9.0, 8.0), 1.4
    outer, inner = Ellipsoid((0, 0, 0), radii), Ellipsoid((0, 0, 0), tuple(r - wall for r in radii))

    class Wall:
        def distance(self, x, y, z):
            return np.maximum(outer.distance(x, y, z), -inner.distance(x, y, z))

    row = masked(Wall())
    assert row["shell_axis_ratio"] == pytest.approx((8.0 - wall / 2) / (12.0 - wall / 2), abs=0.03)
    assert row["shell_coverage"] > 0.97
    assert row["shell_thickness_mm"] == pytest.approx(wall, abs=0.3)
    assert row["shell_fit_residual"] < 0.07
    assert row["inner_occupancy"] == 0
    assert masked(Shell((0, 0, 0), 9.0, 1.4))["shell_axis_ratio"] == 1


def test_slices_too_thick_for_a_skeleton_have_none():
    row = masked(Cylinder((0, 0, 0), 1.5, 22, (1.0, 0.4, 0.3)), spacing=(3.0, 0.7, 0.7))
    for name in ("stroke_mm", "skeleton_length_mm", "tortuosity"):
        assert np.isnan(row[name])


def test_a_sheared_grid_gives_the_same_skeleton():
    rod = Rod((-8, -3, -4), (8, 4, 5), 1.5)
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, 0, 0.6], [0.25, 0.6, 0], [0.8, 0, 0]]
    shape = (50, 60, 60)
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.indices(shape).reshape(3, -1).T
    x, y, z = (index @ matrix[:3, :3].T + matrix[:3, 3]).T
    mask = (rod.distance(x, y, z) <= 0).reshape(shape)
    volume = Volume(np.where(mask, 600, 45).astype(np.int16), matrix)
    row = measure(Detection.from_labels(volume, mask.astype(np.int8))).iloc[0]
    assert row["stroke_mm"] == pytest.approx(3.0, abs=0.7)
    assert (row["skeleton_ends"], row["skeleton_junctions"]) == (2, 0)
    assert row["skeleton_length_mm"] == pytest.approx(math.dist(rod.start, rod.end), abs=3)


@pytest.mark.parametrize("width", list(itertools.product(range(1, 6), range(1, 6))))
@pytest.mark.parametrize("axis", range(3))
def test_lines_of_any_width_keep_their_skeleton(width, axis):
    """`skimage.morphology.skeletonize` alone loses those of even width altogether."""
    solid = np.pad(np.ones((*width, 30), bool), 2).transpose(np.roll((0, 1, 2), axis))
    points, finer = thinned(solid, ndimage.distance_transform_edt(solid) - 0.5)
    assert 30 - 2 * max(width) <= np.ptp(points / finer, axis=0).max() + 1 <= 30
    assert np.all(solid[tuple((points // finer).T)])
