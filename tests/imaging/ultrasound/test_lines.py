"""Grey, overlay, image area and scan lines against phantoms and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.clip import whole_frame
from imaging.synthetic.bmode import Probe, Scanner, calcification, render_bmode, vessel
from imaging.ultrasound.area import Sector, find_sector
from imaging.ultrasound.beam import Beam
from imaging.ultrasound.grey import to_grey
from imaging.ultrasound.overlay import _scales, overlay

SHARP = Scanner(axial_mm=0.3, lateral_mm=0.6)


def test_equal_channels_are_grey() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    got = to_grey(np.repeat(image[..., None], 3, axis=-1))
    assert np.array_equal(got.values, image)
    assert got.coloured is None


def test_a_tint_is_no_colour_and_doppler_is() -> None:
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 230, (120, 160)).astype(float)
    tinted = np.stack([grey - 0.04 * grey, grey, grey + 0.08 * grey], axis=-1)
    tinted[50:70, 60:90] = (200, 30, 20)
    got = to_grey(np.clip(tinted, 0, 255).astype(np.uint8))
    assert got.coloured is not None
    inside = np.zeros(grey.shape, bool)
    inside[50:70, 60:90] = True
    assert got.coloured[inside].all()
    assert not got.coloured[:45].any()
    assert np.isfinite(got.hue[inside]).all()
    assert np.abs(got.values[:45].astype(float) - grey[:45]).max() <= 2


@pytest.mark.parametrize("colour", [False, True])
def test_text_and_calipers_are_masked_and_tissue_is_not(colour) -> None:
    frame = render_bmode(
        Probe("linear", 40.0, 40.0), [calcification(0, 20, 5, 20)], pixel_mm=(0.1, 0.1), scanner=SHARP,
        text=[("KIDNEY LT", 0.3, 0.4)], calipers=[(0.6, 0.6), (0.6, 0.7)], colour=colour, seed=3,
    )  # fmt: skip
    grey = to_grey(frame.image)
    drawn = overlay(grey.values) | (np.zeros(grey.values.shape, bool) if grey.coloured is None else grey.coloured)
    x0, y0, x1, y1 = frame.box
    inside = np.zeros_like(drawn)
    inside[y0 : y1 + 1, x0 : x1 + 1] = True
    assert drawn[frame.overlay & inside].mean() > 0.95
    row, column = frame.places[0].astype(int)
    assert not drawn[row - 6 : row + 7, column - 20 : column + 21].any()
    assert (drawn & inside).sum() < 8 * (frame.overlay & inside).sum() + 50


@pytest.mark.parametrize("pixel", [(0.3, 0.3), (0.35, 0.25), (0.22, 0.34)])
@pytest.mark.parametrize("width", [45.0, 65.0])
def test_the_apex_of_a_curved_probe(pixel, width) -> None:
    probe = Probe("curved", 110.0, width, 60.0)
    frame = render_bmode(probe, pixel_mm=pixel, scanner=Scanner(axial_mm=0.7, lateral_mm=1.4), seed=4)
    sector = find_sector(frame.image, np.zeros(frame.image.shape, bool), pixel)
    assert sector.kind == "curved"
    middle = (frame.image.shape[1] / 2) * pixel[1]
    top = 40 * pixel[0] - probe.radius_mm * np.cos(probe.half_angle)
    assert sector.apex[0] == pytest.approx(middle, abs=1.5)
    assert sector.apex[1] == pytest.approx(top, abs=3.0)
    assert sector.radii[0] == pytest.approx(60.0, abs=3.0)
    assert sector.radii[1] - sector.radii[0] == pytest.approx(110.0, abs=2.5)
    assert sector.angles == pytest.approx((-probe.half_angle, probe.half_angle), abs=0.02)


def test_a_linear_probe_is_a_rectangle_to_the_pixel() -> None:
    frame = render_bmode(Probe("linear", 35.0, 30.0), pixel_mm=(0.1, 0.12), scanner=SHARP, seed=5)
    sector = find_sector(frame.image, frame.overlay, (0.1, 0.12))
    x0, y0, x1, y1 = frame.box
    assert sector.kind == "linear"
    assert sector.box == pytest.approx((x0 * 0.12, y0 * 0.1, (x1 + 1) * 0.12, (y1 + 1) * 0.1), abs=0.4)


def test_nothing_lit_has_no_area() -> None:
    black = np.zeros((100, 120), np.uint8)
    assert find_sector(black, black.astype(bool), (1.0, 1.0)) is None


def beam_of(kind: str, step=(0.3, 0.2)) -> Beam:
    region = whole_frame(400, 500, step)
    if kind == "linear":
        return Beam.of(region, Sector("linear", (10.0, 6.0, 90.0, 110.0)), step, True)
    sector = Sector("curved", (0.0, 0.0, 100.0, 120.0), (50.0, -40.0), (50.0, 150.0), (-0.4, 0.4))
    return Beam.of(region, sector, step, True)


@pytest.mark.parametrize("kind", ["linear", "curved"])
@given(depth=st.floats(0, 200), line=st.floats(0, 200))
@settings(max_examples=40, deadline=None)
def test_pixels_and_scan_lines_are_inverse(kind, depth, line) -> None:
    beam = beam_of(kind)
    at = np.array([min(depth, beam.shape[0] - 1)]), np.array([min(line, beam.shape[1] - 1)])
    back = beam.index(*beam.pixel(*at))
    assert back[0] == pytest.approx(at[0], abs=1e-6)
    assert back[1] == pytest.approx(at[1], abs=1e-6)


def test_the_step_between_lines_grows_with_the_radius() -> None:
    beam = beam_of("curved")
    row, column = beam.pixel(np.array([0.0, 0.0]), np.array([100.0, 101.0]))
    apart = np.hypot(np.diff(row) * 0.3, np.diff(column) * 0.2)[0]
    assert apart == pytest.approx(beam.line_step[0], rel=1e-3)
    assert beam.line_step[-1] / beam.line_step[0] == pytest.approx(150 / 50, rel=0.01)


def test_a_radial_image_is_constant_along_the_front() -> None:
    beam = beam_of("curved")
    y, x = np.mgrid[:400, :500]
    radius = np.hypot((x + 0.5) * 0.2 - 50.0, (y + 0.5) * 0.3 + 40.0)
    lines = beam.resample(radius.astype(np.float32))
    inside = beam.inside
    error = np.abs(lines - (50.0 + beam.depth)[:, None])
    assert error[inside][:].max() < 0.2


def test_painted_labels_have_the_area_of_their_sector() -> None:
    beam = beam_of("curved")
    labels = np.zeros(beam.shape, np.int32)
    labels[100:200, 100:180] = 3
    index, value = beam.paint(labels, (400, 500))
    r0, r1 = 50 + beam.depth[100], 50 + beam.depth[199]
    angle = beam.line[179] - beam.line[100]
    assert len(index) * 0.3 * 0.2 == pytest.approx(angle * (r1**2 - r0**2) / 2, rel=0.04)
    assert set(value.tolist()) == {3}
    assert (np.diff(index) > 0).all()


def with_scale(rows, length=7, column=12, label=True):
    """Tissue with ticks at some rows drawn over it."""
    frame = render_bmode(Probe("linear", 40.0, 36.0), pixel_mm=(0.1, 0.1), scanner=SHARP, seed=6, margin=(0, 0))
    image = np.where(frame.overlay, 60, frame.image).astype(np.uint8) // 3
    for row in rows:
        image[row : row + 3, column : column + length] = 200
    if label:
        image[rows[2] - 4 : rows[2] + 6, column + length + 5 : column + length + 9] = 210
    return image


def test_ticks_at_equal_distances_are_a_scale_also_over_tissue() -> None:
    regular, ragged = [40, 90, 140, 190, 240, 290], [40, 83, 140, 201, 240, 277]
    for rows, there in ((regular, True), (ragged, False), (regular[:3], False)):
        image = with_scale(rows)
        drawn = _scales(image)
        assert [bool(drawn[r : r + 3, 12:19].all()) for r in rows] == [there] * len(rows)
        assert bool(drawn[rows[2] + 1, 25:28].all()) == there  # the number beside it
        assert drawn.mean() < 0.01
        assert np.array_equal(_scales(image.T.copy().T), drawn)
    assert overlay(with_scale(regular).T.copy())[12:19, 41].all()  # a scale below the image
    assert not _scales(with_scale(regular)[:, 80:]).any()


@pytest.mark.parametrize(("radius", "opening"), [(3.0, 40.0), (6.0, 35.0)])
@pytest.mark.parametrize("pixel", [(0.3, 0.3), (0.35, 0.25)])
def test_the_tip_of_a_phased_probe(radius, opening, pixel) -> None:
    probe = Probe("phased", 140.0, 2 * radius * np.deg2rad(opening), radius)
    frame = render_bmode(probe, pixel_mm=pixel, scanner=Scanner(axial_mm=0.8, lateral_mm=2.5), seed=4)
    x0, y0, x1, y1 = frame.box
    part = (slice(y0, y1 + 1), slice(x0, x1 + 1))
    sector = find_sector(frame.image[part], frame.overlay[part], pixel)
    assert sector.kind == "phased"
    assert sector.radii[0] == pytest.approx(radius, abs=1.5)
    assert sector.radii[1] - sector.radii[0] == pytest.approx(140.0, abs=4.0)
    assert sector.angles == pytest.approx((-probe.half_angle, probe.half_angle), abs=0.03)
    assert sector.apex[1] == pytest.approx(-radius * np.cos(probe.half_angle), abs=2.0)


def test_a_vessel_from_side_to_side_does_not_cut_the_image() -> None:
    probe = Probe("linear", 40.0, 36.0)
    frame = render_bmode(
        probe, vessel(0.0, 16.0, 8.0, length_mm=90.0), pixel_mm=(0.1, 0.1), scanner=SHARP, margin=(0, 0)
    )
    sector = find_sector(frame.image, frame.overlay, (0.1, 0.1))
    assert sector.kind == "linear"
    assert sector.box == pytest.approx((0.0, 0.0, 36.0, 40.0), abs=0.4)


def test_what_is_cut_off_a_sector_is_no_image() -> None:
    frame = render_bmode(
        Probe("curved", 110.0, 60.0, 60.0), pixel_mm=(0.3, 0.3), scanner=Scanner(axial_mm=0.7, lateral_mm=1.4), seed=4
    )
    x0, y0, x1, y1 = frame.box
    image = frame.image[y0 : y1 + 1, x0 : x1 + 1].copy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    image[x + (image.shape[0] - y) * 0.6 < 150] = 0  # the lower left corner
    region = whole_frame(*image.shape, (0.3, 0.3))
    sector = find_sector(image, np.zeros(image.shape, bool), (0.3, 0.3))
    beam = Beam.of(region, sector, (0.3, 0.3), True)
    lit = beam.resample(image) > 0
    assert (beam.inside & ~lit).mean() < 0.005
    assert (beam.inside & lit).sum() > 0.94 * lit.sum()
    assert beam.inside.mean() < 0.97
