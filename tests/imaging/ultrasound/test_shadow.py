"""The measures of a shadow against brute force, scikit-learn and phantoms of known attenuation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import sparse
from scipy.sparse.linalg import spsolve
from sklearn.metrics import roc_auc_score

from imaging import Clip, UltrasoundParams, UsageError, confidence_map, find_echoes
from imaging.synthetic.bmode import Probe, Scanner, calcification, cyst, render_bmode
from imaging.ultrasound.confidence import _edges, _nested_dissection
from imaging.ultrasound.echo import rank_rows
from imaging.ultrasound.shadow import _auc, classify
from tests.data import shared

SCANNER = Scanner(axial_mm=0.3, lateral_mm=0.7, slope_db_per_cm=0.3, noise_db=50.0, noise_growth_db_per_cm=0.3)
LEVELS = arrays.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 255))


def histogram(values):
    return np.bincount(values, minlength=256)[None].astype(float)


@given(bright=LEVELS, dark=LEVELS)
def test_rank_contrast_is_the_area_under_the_curve(bright, dark) -> None:
    got = _auc(histogram(bright), histogram(dark))[0]
    truth = np.r_[np.ones(len(bright)), np.zeros(len(dark))]
    assert got == pytest.approx(roc_auc_score(truth, np.r_[bright, dark]))


@given(image=arrays.arrays(np.uint8, (6, 9)))
def test_ranks_do_not_depend_on_the_grey_map(image) -> None:
    valid = np.ones(image.shape, bool)
    half = (image // 2).astype(np.float32)
    squared = np.floor(half**2 / 127).astype(np.float32)
    ranks = rank_rows(half, valid)
    for row, rank in zip(half, ranks, strict=True):
        below = [(np.sum(row < v) + np.sum(row == v) / 2) / len(row) for v in row]
        assert rank == pytest.approx(below, abs=1e-5)
    distinct = [len(np.unique(s)) == len(np.unique(h)) for s, h in zip(squared, half, strict=True)]
    assert np.allclose(rank_rows(squared, valid)[distinct], ranks[distinct], atol=1e-5)


def shadow_of(loss_db: float, seed: int = 0, width: float = 6.0):
    target = calcification(0.0, 12.0, width, loss_db, echo_db=22.0)
    frame = render_bmode(Probe("linear", 42.0, 40.0), [target], pixel_mm=(0.1, 0.1), scanner=SCANNER, seed=seed)
    clip = Clip.from_array(frame.image, pixel_mm=(0.1, 0.1))
    row, column = frame.places[0]
    found = [t.focus for t in find_echoes(clip, UltrasoundParams(bright_z=3.0)).found]
    near = [f for f in found if np.hypot(f.row - row, f.column - column) < 40]
    return max(near, key=lambda f: f.width).shadow


def test_every_measure_follows_the_attenuation() -> None:
    shadows = [shadow_of(loss) for loss in (0, 5, 10, 20, 30)]
    aucs = [s.auc for s in shadows]
    assert aucs == sorted(aucs)
    # clinical.md 4.3, simulation: -10 dB 0.90, -20 dB 0.99, -30 dB 1.0; without attenuation one half
    assert aucs[0] == pytest.approx(0.5, abs=0.12)
    assert aucs[2] == pytest.approx(0.90, abs=0.06)
    assert aucs[3] == pytest.approx(0.99, abs=0.03)
    ratios = [s.ratio for s in shadows]
    assert ratios == sorted(ratios, reverse=True)
    assert [s.name for s in shadows] in (
        ["absent", "weak", "present", "strong", "strong"], ["absent", "absent", "present", "strong", "strong"],
    )  # fmt: skip
    assert shadows[-1].clean > 0.5 > shadows[1].clean
    assert shadows[-1].foroughi < 0.5 * shadows[0].foroughi
    assert shadows[-1].reaches_end


def test_contrast_in_grey_is_the_attenuation_in_decibels() -> None:
    grey_per_db = 255 / 60
    for loss in (8.0, 14.0):
        assert shadow_of(loss, seed=3).contrast / grey_per_db == pytest.approx(loss, abs=2.0)


@pytest.mark.parametrize("width", [4.0, 8.0])
def test_the_width_of_a_shadow(width) -> None:
    assert shadow_of(25.0, seed=5, width=width).width == pytest.approx(width, rel=0.10)


def test_fluid_gives_the_opposite_sign() -> None:
    frame = render_bmode(
        Probe("linear", 40.0, 38.0), [cyst(0.0, 14.0, 8.0, 9.0), calcification(0.0, 18.6, 6.0, 0.0)],
        pixel_mm=(0.1, 0.1), scanner=SCANNER, seed=2,
    )  # fmt: skip
    echoes = find_echoes(Clip.from_array(frame.image, pixel_mm=(0.1, 0.1)))
    row, column = frame.places[1]
    (focus,) = (t.focus for t in echoes.found if np.hypot(t.focus.row - row, t.focus.column - column) < 30)
    assert focus.shadow.auc < 0.3
    assert focus.shadow.contrast < 0
    assert "distal_enhancement" in focus.flags
    assert focus.shadow.name == "absent"


PLAIN = {"auc": 0.97, "auc_side": 0.9, "ratio": 0.3, "length": 10.0, "onset": 0.9}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "strong"), ({"ratio": 0.5}, "present"), ({"auc": 0.85}, "present"), ({"auc": 0.7}, "weak"),
        ({"auc": 0.6}, "absent"), ({"length": 3.0}, "weak"), ({"onset": 0.2}, "weak"), ({"auc_side": 0.6}, "weak"),
        ({"auc_side": np.nan}, "weak"), ({"ratio": 0.8}, "weak"),
    ],
)  # fmt: skip
def test_classes(changes, name) -> None:
    assert classify(PLAIN | changes, 1.0, UltrasoundParams()) == name


@pytest.mark.parametrize(
    "wrong", [{"weak_auc": 0.9}, {"peak_z": -1.0}, {"strong_auc": 1.2}, {"shadow_from_mm": 30.0}, {"track_mm": np.nan}]
)
def test_parameters_that_cannot_be(wrong) -> None:
    with pytest.raises(UsageError):
        UltrasoundParams(**wrong)


# -- confidence map ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gamma"), [("femur", 0.06), ("neck", 0.03)])
def test_confidence_equals_the_official_maps(name, gamma) -> None:
    image = np.asarray(Image.open(shared(f"us/confidence_map_monai/{name}_input.png")))
    official = np.load(shared(f"us/confidence_map_monai/{name}_result.npy"))
    assert np.abs(confidence_map(image, 2.0, 90.0, gamma) - official).max() < 1e-4


def test_confidence_is_the_solution_of_its_system() -> None:
    image = np.random.default_rng(1).integers(0, 256, (23, 17))
    first, second, weight = _edges(image.astype(float), 2.0, 90.0, 0.05)
    n = image.size
    graph = sparse.coo_array((np.r_[weight, weight], (np.r_[first, second], np.r_[second, first])), (n, n)).tocsr()
    laplacian = (sparse.diags_array(graph.sum(axis=1)) - graph).tocsr()
    inner = np.arange(17, n - 17)
    plain = spsolve(laplacian[inner][:, inner].tocsc(), -laplacian[inner][:, :17].sum(axis=1))
    assert np.allclose(confidence_map(image)[1:-1].ravel(), plain, atol=1e-9)


def test_a_uniform_image_is_trusted_less_with_depth() -> None:
    got = confidence_map(np.full((30, 12), 100.0))
    assert np.allclose(got, np.linspace(1, 0, 30)[:, None], atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 5), (7, 7), (20, 33)])
def test_nested_dissection_is_a_permutation(shape) -> None:
    assert sorted(_nested_dissection(*shape).tolist()) == list(range(shape[0] * shape[1]))


@pytest.mark.parametrize("shape", [(2, 5), (5, 1), (4,)])
def test_images_without_a_confidence_map(shape) -> None:
    with pytest.raises(UsageError):
        confidence_map(np.zeros(shape))
