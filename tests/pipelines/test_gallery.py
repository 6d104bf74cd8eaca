"""Pictures of the report: the right voxels, the right place, outlines on edges, nothing beside the ultrasound image."""

import base64
import io
import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imaging import Clip, Components, Detection, Volume, classify, conform, group, measure, name_patterns, score
from imaging.geometry import affine_from_components
from imaging.synthetic.bmode import Probe, Scanner, calcification, render_bmode
from pipelines.packing import pack
from pipelines.results import SCANS
from pipelines.scan import analyze
from pipelines.writers.charts import _decades, _even, _histogram, cohort_charts
from pipelines.writers.drawing import CROP_WINDOW, PROJECTION_WINDOW, Window
from pipelines.writers.echo_gallery import draw_echo_gallery, whole_window
from pipelines.writers.echo_pictures import image_area
from pipelines.writers.echo_viewer import echo_scene
from pipelines.writers.gallery import LISTED, Gallery, draw_gallery
from pipelines.writers.painting import Painter
from pipelines.writers.panels import Panel, edge_path, encode, scale_bar, windowed

from .phantoms import phantom

SHAPE, SPACING = (40, 90, 100), (2.0, 0.8, 0.5)


def pixels(panel: Panel) -> np.ndarray:
    data = base64.b64decode(panel.image.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data)))


def given(boxes, shape=SHAPE):
    """A scan of 40 HU with boxes of 500 HU, given as labels 1, 2, ..."""
    labels = np.zeros(shape, np.int32)
    for k, box in enumerate(boxes, 1):
        labels[box] = k
    affine = affine_from_components(SPACING, (0, 0, 0), np.eye(3))
    volume = Volume(np.where(labels, 500, 40).astype(np.int16), affine)
    detection = Detection.from_labels(volume, labels)
    findings = name_patterns(group(score(measure(detection), detection), detection))
    return pack(detection, classify(findings.assign(scan_id="a")), "a")


def segments(path: str) -> set[tuple[int, int, int, int]]:
    """Unit edges of a path of the form M x y h n / v n."""
    found = set()
    for x, y, way, n in re.findall(r"M(\d+) (\d+)([hv])(-?\d+)", path):
        x, y, n = int(x), int(y), int(n)
        for k in range(n):
            found.add((x + k, y, x + k + 1, y) if way == "h" else (x, y + k, x, y + k + 1))
    return found


def test_paths_run_along_the_edges_between_different_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (7, 9)).astype(np.int32)
    expected = {(x, y, x, y + 1) for y in range(7) for x in range(1, 9) if labels[y, x] != labels[y, x - 1]}
    expected |= {(x, y, x + 1, y) for y in range(1, 7) for x in range(9) if labels[y, x] != labels[y - 1, x]}
    assert segments(edge_path(labels)) == expected
    assert edge_path(np.zeros((4, 4), np.int32)) == ""


def test_a_painted_box_is_the_box_of_the_painted_scan():
    rng = np.random.default_rng(1)
    mask = rng.random((9, 12, 14)) > 0.8
    parts = Components.from_mask(mask)
    numbers = rng.permutation(len(parts)) + 1
    painter, whole = Painter(parts, numbers), parts.paint(numbers)
    for _ in range(30):
        box = tuple(tuple(sorted(rng.choice(n + 1, 2, replace=False).tolist())) for n in mask.shape)
        np.testing.assert_array_equal(painter.paint(box), whole[tuple(slice(*ends) for ends in box)])
    assert Painter(Components.empty((2, 3, 4)), np.zeros(0, int)).paint(((0, 2), (0, 3), (0, 4))).sum() == 0


def test_windows_map_their_limits_to_black_and_white():
    hu = np.array([[-150, -151, 550, 551, 200]])
    assert windowed(hu, Window(700, 200)).tolist() == [[0, 0, 255, 255, 128]]


@pytest.mark.parametrize("width", [10.0, 240.0, 460.0])
def test_scale_bars_are_as_long_as_they_say(width):
    length, text = scale_bar(2.3, width, "mm")
    value, unit = text.split()
    assert unit == "mm"
    assert length == pytest.approx(2.3 * int(value), abs=0.01)
    assert length <= 0.3 * width or int(value) == 1


def test_each_finding_is_shown_in_three_planes_at_its_largest_section():
    big = (slice(10, 14), slice(30, 40), slice(50, 60))
    labels = np.zeros(SHAPE, bool)
    labels[big] = True
    labels[12, 25:45, 45:65] = True  # the largest axial section
    result = given([labels])
    panels = draw_gallery(result).findings[1]
    assert [p.caption.split()[0] for p in panels] == ["axial", "coronal", "sagittal"]
    assert "slice 12 · z 24.0 mm" in panels[0].caption
    for panel, (down, across) in zip(panels, ((0.8, 0.5), (2.0, 0.5), (2.0, 0.8)), strict=True):
        scale = panel.pixel[0] / across
        assert panel.pixel[1] / down == pytest.approx(scale, rel=1e-3)
        image = pixels(panel)
        assert panel.box[2] / panel.pixel[0] == pytest.approx(image.shape[1], abs=0.01)
        assert panel.box[3] / panel.pixel[1] == pytest.approx(image.shape[0], abs=0.01)
        assert panel.bar[0] == pytest.approx(int(panel.bar[1].split()[0]) * scale, rel=1e-3)
        (stroke,) = panel.strokes
        edges = segments(stroke.d)
        # The outline separates the bright voxels from the others, nothing else: JPEG does not move an edge.
        bright = image > 100
        expected = {(x + 1, y, x + 1, y + 1) for y, x in np.argwhere(bright[:, 1:] != bright[:, :-1])}
        expected |= {(x, y + 1, x + 1, y + 1) for y, x in np.argwhere(bright[1:] != bright[:-1])}
        assert edges == expected


def test_other_findings_and_excluded_candidates_are_drawn_as_what_they_are():
    result = given([(slice(18, 22), slice(40, 44), slice(40, 46)), (slice(18, 22), slice(48, 50), slice(40, 46))])
    kinds = [s.kind for s in draw_gallery(result).findings[1][0].strokes]
    assert kinds == ["finding", "other"]
    analysed = analyze(phantom(), scan_id="b")
    panels = [p for ps in draw_gallery(analysed).findings.values() for p in ps]
    assert {s.kind for p in panels for s in p.strokes} <= {"finding", "other", "excluded"}


def test_listed_candidates_have_pictures_by_their_number():
    result = analyze(phantom(balls=((20, 12, 0), (30, 20, -30))), scan_id="b")
    near = result.excluded.loc[result.excluded["reason"].isin(LISTED), "excluded_id"].tolist()
    gallery = draw_gallery(result)
    assert sorted(gallery.excluded) == sorted(near)
    for (panel,) in gallery.excluded.values():
        assert "listed" in {s.kind for s in panel.strokes}


def test_a_scan_of_few_slices_has_one_plane_and_dense_findings_a_wide_window():
    result = given([(slice(0, 1), slice(40, 44), slice(40, 46))], shape=(1, 90, 100))
    (panel,) = draw_gallery(result).findings[1]
    assert str(CROP_WINDOW) in panel.caption
    bright = Volume(np.where(result.labels, 1400, 40).astype(np.int16), result.volume.affine)
    detection = Detection.from_labels(bright, result.labels)
    findings = name_patterns(group(score(measure(detection), detection), detection))
    (panel,) = draw_gallery(pack(detection, classify(findings.assign(scan_id="a")), "a")).findings[1]
    assert str(PROJECTION_WINDOW) in panel.caption


def test_projections_number_the_findings():
    result = given([(slice(5, 9), slice(20, 30), slice(20, 30)), (slice(30, 34), slice(60, 70), slice(70, 80))])
    overview = draw_gallery(result).overview
    assert len(overview) == 3
    for panel in overview:
        assert {label.text for label in panel.labels} == {"1", "2"}
        assert all(0 < v.x < panel.width and 0 < v.y < panel.height for v in panel.labels)
    assert overview[0].letters == ("R", "L", "A", "P")


def test_a_gallery_survives_its_file(tmp_path):
    gallery = draw_gallery(analyze(phantom(), scan_id="b"))
    file = tmp_path / "g.json"
    file.write_text(gallery.to_json())
    assert Gallery.read(file) == gallery
    assert Gallery.read(tmp_path / "none.json") == Gallery()
    assert json.loads(gallery.to_json()).keys() == {"overview", "findings", "excluded"}


def test_large_images_are_reduced_and_small_ones_are_not():
    assert pixels(Panel("", 1, 1, encode(np.zeros((600, 300), np.uint8)), (0, 0, 1, 1), (1, 1))).shape == (512, 256)
    assert pixels(Panel("", 1, 1, encode(np.zeros((60, 30), np.uint8)), (0, 0, 1, 1), (1, 1))).shape == (60, 30)


@pytest.fixture(scope="module")
def echoes():
    """A stone with its shadow; white writing beside the image, where names are burned in."""
    picture = render_bmode(
        Probe("linear", 36.0, 34.0), [calcification(0, 14, 6, 25)], pixel_mm=(0.12, 0.15),
        scanner=Scanner(axial_mm=0.3, lateral_mm=0.6), margin=(40, 60), seed=1,
    )  # fmt: skip
    frame = picture.image.copy()
    frame[4:14, 5:50:3] = 255
    return analyze(Clip.from_array(frame, pixel_mm=(0.12, 0.15)), scan_id="u")


def test_ultrasound_pictures_show_nothing_beside_the_scan_lines(echoes):
    outside = ~image_area(echoes.echoes)
    assert outside[:14, :50].all()
    top, bottom, left, right = whole_window(echoes.echoes)
    shown = echoes.echoes.clip.frames.frame(0).copy()
    assert shown[:14, :50].max() == 255
    shown[outside] = 0
    assert shown[:top].max(initial=0) == shown[bottom:].max(initial=0) == 0
    assert shown[:, :left].max(initial=0) == shown[:, right:].max(initial=0) == 0
    shown = shown[top:bottom, left:right]
    np.testing.assert_array_equal(echo_scene(echoes).image(0), shown)
    image = pixels(draw_echo_gallery(echoes).overview[0])
    assert image.shape == shown.shape
    assert np.abs(image.astype(int) - shown).mean() < 4


def test_ultrasound_findings_have_their_shadow_and_scan_lines(echoes):
    gallery = draw_echo_gallery(echoes)
    deep = echoes.findings.loc[echoes.findings["shadow_class"].isin(("present", "strong")), "finding_id"]
    assert len(deep)
    for number in deep:
        close, *rest = gallery.findings[number]
        assert all("whole image" in p.caption for p in rest)
        assert {"beam", "shadow", "finding"} <= {s.kind for s in close.strokes}
        assert close.bar[1].endswith("mm")
        assert "depth" in close.caption
    assert {label.text for label in gallery.overview[0].labels} == {str(n) for n in echoes.findings["finding_id"]}


def test_without_calibration_the_scale_is_in_pixels(echoes):
    clip = Clip.from_array(echoes.echoes.clip.frames.frame(0))
    gallery = draw_echo_gallery(analyze(clip, scan_id="u"))
    assert gallery.overview[0].bar[1].endswith("px")


def test_charts_say_what_the_tables_hold():
    result = analyze(phantom(), scan_id="scan<1>")
    scans = conform(pd.DataFrame([dict(result.record)]), SCANS)
    charts = {c.name: c for c in cohort_charts(result.findings, scans)}
    assert list(charts) == ["burden", "size", "hu", "patterns"]
    assert "scan<1>" not in charts["burden"].body
    assert "scan&lt;1&gt;" in charts["burden"].body
    for name in ("size", "hu", "patterns"):
        n = sum(int(k) for k in re.findall(r"<title>[^<]*: (\d+)", charts[name].body))
        assert n == len(result.findings)
    for chart in charts.values():
        root = ET.fromstring(chart.svg)
        assert root.tag.endswith("svg")
    assert cohort_charts(result.findings.iloc[:0], scans.iloc[:0]) == []


def test_bins_hold_every_value_at_their_edges():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = np.round(np.exp(rng.normal(1, 2, 30)), 2) + 0.01
        for edges_of in (_decades, _even):
            edges = edges_of(values)
            assert edges[0] <= values.min()
            assert edges[-1] >= values.max()
            assert (np.diff(edges) > 0).all()
    assert len(_even(np.array([100.0]))) >= 2
    assert pd.Series(_decades(np.array([1.0, 10.0]))).is_monotonic_increasing


def test_ticks_of_a_logarithmic_axis_stand_where_they_belong():
    values = pd.Series([0.12, 0.16, 1.2, 30.0])
    body = _histogram("size", "Size", "mm", values, _decades).body
    at = {float(text): float(x) for x, text in re.findall(r'x="([\d.]+)" y="199.0"[^>]*>([\d.]+)<', body)}
    assert len(at) > 3
    edges, places = np.log10(list(at)), np.array(list(at.values()))
    slope = np.diff(places) / np.diff(edges)
    np.testing.assert_allclose(slope, slope[0], rtol=0.02)
