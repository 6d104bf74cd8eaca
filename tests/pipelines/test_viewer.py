"""The viewer of a scan: every voxel of every label, the right HU, places in the patient, within its size."""

import base64
import html as html_module
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipelines
from imaging import Clip, Detection, Volume, classify, group, measure, name_patterns, score
from imaging.geometry import affine_from_components
from pipelines.packing import pack
from pipelines.scan import analyze
from pipelines.writers import viewer
from pipelines.writers.viewer import CODES, encode_slices, scan_scene, write_viewer
from pipelines.writers.views import view_along

from .htmlpage import Page, check_policy
from .phantoms import phantom

SHAPE, SPACING = (12, 50, 60), (2.0, 0.8, 0.5)
DIRECTIONS = {
    "axial": np.eye(3),
    "feet first, prone": np.eye(3) * (-1, -1, 1),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
    "turned in its plane": np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], float),
}


def scan(direction, seed=0):
    """Random HU, and labels 1 to 3 at random places."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.int32)
    for k in range(1, 4):
        z, y, x = (int(rng.integers(0, n - 8)) for n in SHAPE)
        labels[z : z + 3, y : y + 5, x : x + 7] = k * (rng.random((3, 5, 7)) > 0.3)
    array = np.where(labels, 700, rng.integers(-50, 100, SHAPE)).astype(np.int16)
    volume = Volume(array, affine_from_components(SPACING, (5, -7, 11), direction))
    detection = Detection.from_labels(volume, labels)
    findings = name_patterns(group(score(measure(detection), detection), detection))
    return pack(detection, classify(findings.assign(scan_id="a")), "a")


def painted(runs, numbers, shape):
    image = np.zeros(shape, np.int64)
    for (s, r, c, n), number in zip(runs.tolist(), numbers.tolist(), strict=True):
        image[s, r, c : c + n] = number
    return image


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_labels_images_and_places_agree_with_the_scan(direction):
    result = scan(direction)
    scene, view = scan_scene(result), view_along(result.volume, 0)
    values, shape = scene.values, scene.shape
    shown = painted(*scene.found, shape)
    # Each shown pixel knows its index in the scan, and its place in the patient.
    s, r, c = (a.astype(float) for a in np.indices(shape))
    base, strides = np.array(values["index"]), np.array(values["strides"])
    row, column = (base[k] + s * strides[0][k] + r * strides[1][k] + c * strides[2][k] for k in (0, 1))
    index = [np.rint(a).astype(int) for a in (s + values["first"], row, column)]
    np.testing.assert_array_equal(shown, result.labels[tuple(index)])
    world = np.array(values["origin"]) + np.stack([s, r, c], -1) @ np.array(values["steps"])
    np.testing.assert_allclose(world, result.volume.to_world(np.stack(index, -1)), atol=1e-3)
    for k in range(shape[0]):
        hu = CODES[scene.image(k)]
        np.testing.assert_allclose(hu, result.volume.array[tuple(a[k] for a in index)], atol=10)
    assert values["letters"] == list(view.letters)
    for number in (1, 2, 3):
        at, row, column, _ = values["places"][str(number)]
        section = [np.count_nonzero(result.labels[k] == number) for k in range(SHAPE[0])]
        assert section[int(at) + values["first"]] == max(section)
        rows, columns = np.nonzero(shown[int(at)] == number)
        middle = [(a.min() + a.max() + 1) / 2 for a in (rows, columns)]
        assert [row, column] == pytest.approx(middle, abs=0.01)


def test_levels_are_finest_where_tissue_is():
    assert CODES[0] == -1024
    assert CODES[255] == 3071
    steps = np.diff(CODES)
    assert (steps > 0).all()
    soft = (CODES[:-1] >= -200) & (CODES[:-1] < 299)
    assert steps[soft].max() < 3.5
    assert steps[(CODES[:-1] >= 300) & (CODES[:-1] < 1290)].max() < 18


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    result = analyze(phantom(), scan_id="0123456789abcdef")
    folder = tmp_path_factory.mktemp("scan")
    write_viewer(result, folder)
    return result, (folder / "viewer.html").read_text(encoding="utf-8")


def test_the_page_holds_every_slice_and_every_label(page):
    result, html = page
    check_policy(html)
    parsed = Page(html)
    assert parsed.open == []
    data = json.loads(next(text for a, text in parsed.raw if a.get("id") == "data"))
    slices = [text for a, text in parsed.raw if re.fullmatch(r"s\d+", a.get("id") or "")]
    assert len(slices) == data["slices"]
    image = Image.open(io.BytesIO(base64.b64decode(slices[0])))
    assert (image.height, image.width) == (data["rows"], data["columns"])
    for name, parts in (("findings", result.detection.components), ("excluded", result.detection.excluded.components)):
        runs = np.frombuffer(base64.b64decode(data[name]["runs"]), "<u2").reshape(-1, 4)
        assert runs[:, 3].sum() == parts.n_voxels.sum()
        assert (np.diff(runs[:, 0].astype(int)) >= 0).all()
    assert [int(k) for k in re.findall(r'data-finding="(\d+)"', html)] == result.findings["finding_id"].tolist()
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert (attributes.get("href") or "#").startswith(("#", "../../report.html"))
    assert "https:" not in html.replace("//www.w3.org", "")


def test_text_is_escaped(tmp_path):
    result = analyze(phantom(), scan_id="</script><script>alert(1)</script>")
    result.findings["pattern"] = "<img src=x onerror=alert(2)>"
    write_viewer(result, tmp_path)
    html = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    check_policy(html)
    assert "<script>alert" not in html
    assert html_module.escape("<script>alert(1)") in html
    assert "img" not in {tag for tag, _ in Page(html).tags}


def test_quality_then_resolution_go_down_until_it_fits():
    rng = np.random.default_rng(0)
    slices = rng.integers(0, 255, (6, 200, 160)).astype(np.uint8)
    sizes = {}
    for room in (10**9, 150_000, 60_000, 20_000):
        coded, shrink, quality = encode_slices(slices.__getitem__, slices.shape, room)
        assert sum(map(len, coded)) <= room
        image = Image.open(io.BytesIO(base64.b64decode(coded[0])))
        assert image.height == pytest.approx(200 / shrink, abs=1)
        sizes[room] = shrink, quality
    assert sizes[10**9] == (1, 88)
    assert sizes[20_000][0] > 1
    with pytest.raises(ValueError, match="do not fit"):
        encode_slices(slices.__getitem__, slices.shape, 100)


def test_the_page_says_that_it_was_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "MOST_BYTES", 330_000)
    result = analyze(phantom(), scan_id="a")
    write_viewer(result, tmp_path)
    assert "pixels joined" in (tmp_path / "viewer.html").read_text(encoding="utf-8")


def test_of_too_many_runs_the_largest_components_go_and_the_page_says_so(tmp_path, monkeypatch):
    runs = np.zeros((10, 4), np.int64)
    numbers = np.array([1, 2, 2, 2, 2, 2, 3, 3, 4, 4])
    kept, left = viewer._within(runs, numbers, 5)
    assert left.tolist() == [1, 3, 3, 4, 4]
    assert len(kept) == 5
    monkeypatch.setattr(viewer._within, "__defaults__", (5,))
    write_viewer(analyze(phantom(), scan_id="a"), tmp_path)
    assert "outlines of the largest" in (tmp_path / "viewer.html").read_text(encoding="utf-8")


def test_frames_of_a_cine_are_in_it(tmp_path):
    rng = np.random.default_rng(0)
    frames = np.clip(rng.rayleigh(40, (4, 120, 100)), 1, 255).astype(np.uint8)
    write_viewer(analyze(Clip.from_array(frames), scan_id="u"), tmp_path)
    html = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    check_policy(html)
    data = json.loads(next(text for a, text in Page(html).raw if a.get("id") == "data"))
    assert data["slices"] == 4
    assert data["ultrasound"]
    assert data["axis"] == -1
    assert "<select" not in html


def test_a_run_writes_viewers_by_default_and_figures_on_request(tmp_path):
    sample = Path(__file__).parents[2] / "sample_data" / "ct_thigh"
    study = pipelines.run(sample, tmp_path / "a")
    (scan_id,) = study.scans["scan_id"]
    folder = study.out / "scans" / scan_id
    assert (folder / "viewer.html").is_file()
    assert f"scans/{scan_id}/viewer.html#finding=1" in (study.out / "report.html").read_text(encoding="utf-8")
    assert not (study.out / "figures").exists()
    study = pipelines.run(sample, tmp_path / "b", formats=("figures",))
    assert {f.stem for f in (study.out / "figures").glob("*.svg")} == {"burden", "size", "hu", "patterns"}
    overview = (study.out / "scans" / scan_id / "overview.svg").read_bytes()
    assert b"Research use only" in overview  # text, not outlines of letters
    assert b"<dc:date>" not in overview
