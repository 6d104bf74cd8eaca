"""Overviews: right way round, outlines on voxel edges, the same bytes every time, nothing that identifies."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from imaging import Components, Detection, Volume, classify, group, measure, name_patterns
from imaging.geometry import affine_from_components
from pipelines.packing import pack
from pipelines.results import ScanResult
from pipelines.scan import analyze
from pipelines.writers.crops import FIELD_MM, Crop, middle_crops, plan_crops
from pipelines.writers.drawing import EXCLUDED_COLOUR, FINDING_COLOUR, draw_crop, place_labels
from pipelines.writers.pictures import draw_overview, write_overview
from pipelines.writers.views import (
    body_box,
    outlines,
    patient_letters,
    projected_labels,
    slice_labels,
    slice_position,
    view_along,
)

from .phantoms import SPACING, phantom

SHAPES = (4, 5, 6)
AXIAL = np.eye(3)
"""Columns: directions of column, row and slice axis."""
SAGITTAL = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float)
CORONAL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return analyze(phantom(), scan_id="0123456789abcdef")


def volume_with(direction: np.ndarray) -> Volume:
    return Volume(np.zeros(SHAPES, np.int16), affine_from_components((3, 2, 1), (0, 0, 0), direction))


def near(image: np.ndarray, colour: str, tolerance: int = 12) -> np.ndarray:
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return (np.abs(image.astype(int) - wanted) <= tolerance).all(axis=-1)


# -- orientation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "plane", "letters"),
    [
        (AXIAL, "axial", ("R", "L", "A", "P")),
        (AXIAL * (-1, 1, 1), "axial", ("R", "L", "A", "P")),
        (AXIAL * (-1, -1, 1), "axial", ("R", "L", "A", "P")),  # prone: the array runs to R and A
        (SAGITTAL, "sagittal", ("A", "P", "S", "I")),
        (CORONAL, "coronal", ("R", "L", "S", "I")),
    ],
)
def test_slices_are_shown_by_the_radiological_convention(direction, plane, letters):
    view = view_along(volume_with(direction), 0)
    assert (view.plane, view.letters) == (plane, letters)


def test_the_three_projections_of_any_series_are_the_three_planes():
    for direction in (AXIAL, SAGITTAL, CORONAL):
        volume = volume_with(direction)
        assert sorted(view_along(volume, k).plane for k in range(3)) == ["axial", "coronal", "sagittal"]


def test_a_flipped_array_gives_the_same_picture():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 99, SHAPES).astype(np.int16)
    straight = Volume(array, affine_from_components((3, 2, 1), (0, 0, 0), AXIAL))
    affine = straight.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (SHAPES[2] - 1)
    affine[:3, 2] *= -1
    flipped = Volume(np.ascontiguousarray(array[:, :, ::-1]), affine)
    for axis in range(3):
        views = view_along(straight, axis), view_along(flipped, axis)
        pictures = [v.orient(w.array.max(axis=axis)) for v, w in zip(views, (straight, flipped), strict=True)]
        np.testing.assert_array_equal(*pictures)
        assert views[0].letters == views[1].letters


def test_transposed_axes_keep_their_step_and_place():
    view = view_along(volume_with(SAGITTAL[:, [1, 0, 2]]), 0)  # rows run to posterior, columns to inferior
    assert (view.across, view.down, view.step, view.count) == (1, 2, (2.0, 1.0), (5, 6))
    image = np.arange(30).reshape(5, 6)
    assert view.orient(image).shape == (6, 5)
    left, right = view.span(1, 1, 2)
    assert (left, right) == (2.0, 4.0)
    assert view.orient(image)[0, int(left / 2)] == image[1, 0]


@pytest.mark.parametrize(
    ("vector", "letters"),
    [((1, 0, 0), "L"), ((0.99, 0.1, 0), "L"), ((0.9, 0, -0.43), "LI"), ((-0.5, 0.86, 0), "PR")],
)
def test_oblique_directions_have_two_letters(vector, letters):
    assert patient_letters(np.array(vector)) == letters


def test_position_is_along_the_axis_of_the_slices():
    assert slice_position(volume_with(AXIAL), 2) == "z 6.0 mm"
    assert slice_position(volume_with(SAGITTAL), 1) == "x 3.0 mm"


# -- outlines ----------------------------------------------------------------------------------------------------------


def test_outlines_follow_the_edges_of_pixels():
    labels = np.zeros((4, 5), np.int32)
    labels[1, 1:3] = 1
    lines = {tuple(map(tuple, line)) for line in outlines(labels, (0.5, 2.0)).tolist()}
    assert lines == {
        ((0.5, 2.0), (0.5, 4.0)), ((1.5, 2.0), (1.5, 4.0)), ((0.5, 2.0), (1.5, 2.0)), ((0.5, 4.0), (1.5, 4.0)),
    }  # fmt: skip


def test_outlines_have_the_length_of_the_border():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (12, 9)).astype(np.int32)
    padded = np.pad(labels, 1)
    border = (np.diff(padded, axis=0) != 0).sum() + (np.diff(padded, axis=1) != 0).sum()
    lines = outlines(labels, (1.0, 1.0))
    assert np.abs(np.diff(lines, axis=1)).sum() == border
    assert outlines(np.zeros((3, 3), np.int32), (1.0, 1.0)).shape == (0, 2, 2)


def test_labels_from_runs_are_those_of_the_painted_image(result):
    parts, numbers = result.detection.excluded.components, np.arange(len(result.detection.excluded.components)) + 5
    painted = parts.paint(numbers)
    for k in range(0, parts.shape[0], 3):
        np.testing.assert_array_equal(slice_labels(parts, numbers, k), painted[k])
    for axis in range(3):
        projected = projected_labels(parts, numbers, axis)
        np.testing.assert_array_equal(projected > 0, painted.max(axis=axis) > 0)


# -- crops -------------------------------------------------------------------------------------------------------------


def many(n: int, slices: int = 40) -> ScanResult:
    """A given segmentation with `n` findings of growing size, scattered."""
    rng = np.random.default_rng(3)
    labels = np.zeros((slices, 150, 150), np.int32)
    for k in range(n):
        z, y, x = rng.integers(0, (slices - 3, 140, 140))
        labels[z : z + 2, y : y + 2 + k % 5, x : x + 2] = k + 1
    volume = Volume.from_components(np.where(labels > 0, 400, 40), spacing=(3, 2, 2))
    detection = Detection.from_labels(volume, labels)
    return pack(detection, classify(name_patterns(group(measure(detection), detection))), "many")


def test_crops_show_every_finding_where_they_can():
    result = many(6)
    crops = plan_crops(result, 8)
    assert {i for crop in crops for i in crop.finding_ids} == set(result.detection.finding_id)
    assert [c.slice_index for c in crops] == sorted(c.slice_index for c in crops)
    for crop in crops:
        assert set(crop.finding_ids) <= set(np.unique(result.labels[crop.slice_index]))


def test_crops_are_bounded_and_count_what_they_leave_out():
    result = many(60)
    crops = plan_crops(result, 8)
    assert len(crops) == 8
    seen = {i for crop in crops for i in crop.finding_ids}
    assert 8 < len(seen) < len(result.findings)


def test_a_large_finding_gets_a_large_field():
    labels = np.zeros((3, 200, 200), np.int32)
    labels[1, 20:180, 90] = 1
    volume = Volume.from_components(np.where(labels > 0, 400, 40), spacing=(1, 1, 1))
    detection = Detection.from_labels(volume, labels)
    found = ScanResult("x", None, None, None, {}, detection)
    (crop,) = plan_crops(found)
    assert crop.field_mm == pytest.approx(200)
    assert crop.field_mm > FIELD_MM


def test_without_findings_there_are_middle_slices():
    volume = Volume.from_components(np.full((9, 30, 30), 40), spacing=(5, 1, 1))
    clean = analyze(volume, scan_id="clean")
    assert plan_crops(clean) == []
    box = body_box(volume, Components.empty(volume.shape))
    crops = middle_crops(clean, box)
    assert [c.slice_index for c in crops] == [1, 3, 5, 7]


def test_the_body_box_leaves_out_the_table_and_holds_every_finding():
    array = np.full((10, 120, 100), -1000, np.int16)
    array[:, 20:80, 20:80] = 40
    array[:, 110, :] = 200  # table
    table = Components.from_mask(array == 200)
    volume = Volume.from_components(array, spacing=(3, 1, 1))
    box = body_box(volume, Components.empty(volume.shape))
    assert box[1].start <= 20
    assert 80 <= box[1].stop < 100
    assert body_box(volume, table)[1].stop > 110


# -- drawing -----------------------------------------------------------------------------------------------------------


def test_a_crop_is_outlined_where_the_finding_is(result):
    detection = result.detection
    first = detection.components.take([0])
    z = int(first.box[0, 0].mean())
    view = view_along(result.volume, 0)
    row, column = first.centroid[0, 1:]
    centre = (column + 0.5) * SPACING[2], (row + 0.5) * SPACING[1]
    figure = Figure(figsize=(4, 4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_crop(axes, result.detection, Crop(z, centre, 40.0, (1,)))
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[:, :, :3]
    down, across = np.nonzero(near(image, FINDING_COLOUR))
    assert len(down)
    px = 400 / 40
    mask = view.orient(slice_labels(first, np.array([1]), z)) > 0
    rows, columns = np.nonzero(mask)
    low_x = 200 + (columns.min() * SPACING[2] - centre[0]) * px
    high_x = 200 + ((columns.max() + 1) * SPACING[2] - centre[0]) * px
    low_y = 200 + (rows.min() * SPACING[1] - centre[1]) * px
    high_y = 200 + ((rows.max() + 1) * SPACING[1] - centre[1]) * px
    np.testing.assert_allclose((across.min(), across.max() + 1), (low_x, high_x), atol=2)
    np.testing.assert_allclose((down.min(), down.max() + 1), (low_y, high_y), atol=2)


def test_every_finding_is_outlined_and_excluded_candidates_too(result):
    image = draw_overview(result)
    shown = {i for crop in plan_crops(result) for i in crop.finding_ids}
    assert shown == set(result.findings["finding_id"])
    assert near(image, FINDING_COLOUR).sum() > 100
    assert near(image, EXCLUDED_COLOUR, 40).sum() > 100


def test_labels_do_not_overlap_and_stay_inside():
    rng = np.random.default_rng(5)
    findings = {str(k): rng.uniform(10, 90, 2) + rng.normal(0, 1, (6, 2)) for k in range(40)}
    bounds, px = (0.0, 0.0, 100.0, 100.0), 4.5
    placed = place_labels(findings, bounds, [], px)
    assert len(placed) > 35
    boxes = []
    for name, (x, y) in placed.items():
        half = (4.3 * len(name) + 1.5) / px, 7.0 / px
        boxes.append((x - half[0], y - half[1], x + half[0], y + half[1]))
    for k, one in enumerate(boxes):
        assert one[0] > 0
        assert one[3] < 100
        for other in boxes[:k]:
            assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


def test_a_finding_out_of_sight_has_no_label():
    assert place_labels({"1": np.array([[500.0, 5.0]])}, (0, 0, 100, 100), [], 4.0) == {}


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_overview_is_a_picture_and_always_the_same(result, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_overview(result, tmp_path / name)
    first, second = ((tmp_path / name / "overview.png").read_bytes() for name in ("a", "b"))
    assert first == second
    with Image.open(tmp_path / "a" / "overview.png") as image:
        assert image.width == 1800
        assert 600 < image.height < 2400
        assert image.info == {}


def test_overviews_are_drawn_in_threads(result, tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(draw_overview, [result] * 4))
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])


@pytest.mark.parametrize(
    ("shape", "spacing", "direction"),
    [
        ((1, 64, 64), (5, 1, 1), AXIAL),
        ((3, 64, 48), (5, 1, 1), AXIAL),
        ((40, 30, 64), (1, 3, 1), SAGITTAL),
        ((40, 30, 64), (1, 3, 1), CORONAL),
        ((2, 5, 1), (1, 1, 1), AXIAL),
    ],
)
@pytest.mark.parametrize("bright", [False, True])
def test_any_shape_can_be_drawn(shape, spacing, direction, bright):
    rng = np.random.default_rng(2)
    array = (40 + 8 * rng.standard_normal(shape)).astype(np.int16)
    labels = np.zeros(shape, np.int32)
    if bright:
        labels[0, 2:5, 0:4] = 7
        array[labels > 0] = 500
    valid = np.ones(shape, bool)
    valid[:, 0] = False
    volume = Volume.from_components(array, spacing=spacing, direction=direction, valid=valid)
    detection = Detection.from_labels(volume, labels)
    result = pack(detection, classify(name_patterns(group(measure(detection), detection))), "any")
    image = draw_overview(result)
    assert image.shape[1] == 1800
    assert near(image, FINDING_COLOUR).sum() > (60 if bright else 0)


def test_a_tilted_float_volume_can_be_drawn():
    volume = phantom()
    affine = volume.affine.copy()
    affine[:3, 0] += (0, 0.6, 0)
    result = analyze(Volume(volume.array.astype(np.float32) + np.float32(0.25), affine), scan_id="tilted")
    assert near(draw_overview(result), FINDING_COLOUR).any()
