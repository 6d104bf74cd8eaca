"""Foci on phantoms with known truth, through cines, and on real images looked at by eye."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import pipelines
from imaging import (
    Clip,
    UltrasoundParams,
    UsageError,
    Volume,
    find_echoes,
    find_series,
    measure_echoes,
    name_echo_patterns,
)
from imaging import read_clip as read
from imaging.clip import whole_frame
from imaging.synthetic.bmode import (
    Motion,
    Probe,
    Scanner,
    Target,
    calcification,
    cyst,
    interface,
    render_bmode,
    vessel,
)
from tests.data import shared

LINEAR = Probe("linear", 40.0, 40.0)
CURVED = Probe("curved", 110.0, 56.0, 60.0)
FINE = Scanner(axial_mm=0.3, lateral_mm=0.6)
COARSE = Scanner(axial_mm=0.6, lateral_mm=0.9)
DEEP = ("present", "strong")


def clip_of(frame) -> Clip:
    made = Clip.from_array(frame.image[None], pixel_mm=frame.pixel_mm)
    x0, y0, x1, y1 = frame.box
    return replace(made, regions=(replace(made.regions[0], x0=x0, y0=y0, x1=x1, y1=y1),))


def at(table, place, pixel_mm, within_mm=3.0):
    dy, dx = pixel_mm
    off = np.hypot((table["row_index"] - place[0]) * dy, (table["column_index"] - place[1]) * dx).to_numpy(float)
    return table[off <= within_mm]


@pytest.mark.parametrize("pixel", [(0.09, 0.09), (0.12, 0.08), (0.08, 0.13)])
def test_lengths_of_a_linear_probe(pixel) -> None:
    target = Target(-4.0, 16.0, 6.0, 1.2, 8.0, 26.0, -25.0, 0.0, "plate")
    frame = render_bmode(LINEAR, [target], pixel_mm=pixel, scanner=FINE, seed=1)
    row = at(measure_echoes(find_echoes(clip_of(frame))), frame.places[0], pixel).iloc[0]
    assert row["shadow_class"] == "strong"
    assert row["echo_width_mm"] == pytest.approx(6.0, rel=0.10)
    assert row["shadow_width_mm"] == pytest.approx(6.0, rel=0.10)
    assert row["depth_mm"] == pytest.approx(16.0 - 0.6, abs=0.4)
    assert row["calibrated"]
    assert np.isnan(row["echo_width_px"])


@pytest.mark.parametrize("pixel", [(0.25, 0.25), (0.35, 0.25), (0.25, 0.33)])
@pytest.mark.parametrize("lateral", [0.0, 24.0])
def test_lengths_of_a_curved_probe(pixel, lateral) -> None:
    target = Target(lateral, 55.0, 12.0, 2.5, 8.0, 26.0, -25.0, 0.0, "plate")
    frame = render_bmode(CURVED, [target], pixel_mm=pixel, scanner=COARSE, seed=2)
    row = at(measure_echoes(find_echoes(clip_of(frame))), frame.places[0], pixel, 4.0).iloc[0]
    assert row["shadow_class"] in DEEP
    assert row["echo_width_mm"] == pytest.approx(12.0, rel=0.10)
    # Ten millimetres behind, the shadow has opened with the scan lines.
    assert row["shadow_width_mm"] == pytest.approx(12.0 * (60 + 55 + 11) / (60 + 55), rel=0.10)
    assert row["depth_mm"] == pytest.approx(55.0 - 1.25, abs=2.5)


def test_hard_negatives() -> None:
    targets = [cyst(-10.0, 14.0, 8.0, 7.0), interface(6.0, 22.0, 14.0), interface(-8.0, 30.0, 12.0, sag_mm=1.0)]
    for seed in range(4):
        frame = render_bmode(
            LINEAR, targets, pixel_mm=(0.09, 0.1), scanner=FINE, text=[("LIVER", 0.2, 0.6)],
            calipers=[(0.5, 0.3), (0.5, 0.7)], colour=bool(seed % 2), seed=seed,
        )  # fmt: skip
        table = measure_echoes(find_echoes(clip_of(frame)))
        assert not table["shadow_class"].isin(DEEP).any()
        for k in range(len(table)):
            r, c = int(table["row_index"].iloc[k]), int(table["column_index"].iloc[k])
            assert not frame.overlay[r - 2 : r + 3, c - 2 : c + 3].any()


@pytest.mark.parametrize("length", [0.0, 90.0], ids=["across", "along"])
@pytest.mark.parametrize("wall", ["near", "far"])
def test_plaque_in_the_wall_of_a_vessel_which_is_as_bright(length, wall) -> None:
    tube = vessel(0.0, 16.0, 7.0, length_mm=length, gain_db_per_mm=0.7, wall_db=18.0)
    plaque = calcification(0.0, 16.0 + (2.9 if wall == "far" else -2.9), 4.5, 22.0, height_mm=1.0, echo_db=18.0)
    for seed in range(3):
        frames = [
            render_bmode(LINEAR, t, pixel_mm=(0.09, 0.09), scanner=FINE, seed=seed) for t in (tube, [*tube, plaque])
        ]
        bare, calcified = (measure_echoes(find_echoes(clip_of(frame))) for frame in frames)
        assert not bare["shadow_class"].isin(DEEP).any()
        found = at(calcified, frames[1].places[-1], (0.09, 0.09), 2.0)
        assert found["shadow_class"].isin(DEEP).any()


def test_a_phased_probe_gives_depth_and_shadow() -> None:
    probe = Probe("phased", 140.0, 2 * 4.0 * np.deg2rad(40), 4.0)
    targets = [Target(-20.0, 60.0, 12.0, 2.5, 8.0, 26.0, -25.0, 0.0, "plate"), cyst(25.0, 70.0, 14.0, 7.0)]
    frame = render_bmode(probe, targets, pixel_mm=(0.3, 0.3), scanner=Scanner(axial_mm=0.7, lateral_mm=2.2), seed=1)
    table = measure_echoes(find_echoes(clip_of(frame)))
    deep = table[table["shadow_class"].isin(DEEP)]
    (row,) = deep.to_dict("records")
    assert len(at(deep, frame.places[0], (0.3, 0.3), 5.0)) == 1
    assert row["depth_mm"] == pytest.approx(60.0 - 1.25, abs=2.0)
    assert row["shadow_width_mm"] == pytest.approx(12.0 * (4 + 60 + 11) / (4 + 60), rel=0.15)


def test_without_calibration_there_is_no_millimetre() -> None:
    plate = Target(0.0, 16.0, 6.0, 1.2, 8.0, 26.0, -25.0, 0.0, "plate")
    frame = render_bmode(LINEAR, [plate], pixel_mm=(0.1, 0.1), scanner=FINE, seed=1)
    echoes = find_echoes(Clip.from_array(frame.image))
    table = name_echo_patterns(measure_echoes(echoes))
    row = at(table, frame.places[0], (0.1, 0.1)).iloc[0]
    assert row["shadow_class"] in DEEP
    assert not row["calibrated"]
    lengths = [c for c in table.columns if c.endswith(("_mm", "_mm2", "_mm3"))]
    assert table[lengths].isna().all().all()
    assert row["echo_width_px"] == pytest.approx(60, rel=0.15)
    assert "uncalibrated" in row["flags"]
    assert "uncalibrated" in echoes.flags
    assert row["pattern"] == "indeterminate"


def test_two_regions_keep_their_own_steps() -> None:
    one = render_bmode(
        LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.1, 0.1), scanner=FINE, seed=1, margin=(10, 10)
    )
    two = render_bmode(
        LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.1, 0.2), scanner=FINE, seed=2, margin=(10, 10)
    )
    image = np.concatenate([one.image, two.image], axis=1)
    split = one.image.shape[1]
    boxes = [one.box, tuple(np.add(two.box, (split, 0, split, 0)))]
    whole = [whole_frame(*image.shape, f.pixel_mm) for f in (one, two)]
    regions = tuple(replace(w, x0=b[0], y0=b[1], x1=b[2], y1=b[3]) for w, b in zip(whole, boxes, strict=True))
    table = measure_echoes(find_echoes(replace(Clip.from_array(image), regions=regions)))
    deep = table[table["shadow_class"].isin(DEEP)].sort_values("column_index")
    assert len(deep) == 2
    assert deep["shadow_width_mm"].to_numpy(float) == pytest.approx([6.0, 6.0], rel=0.12)
    assert deep["column_index"].iloc[0] < split < deep["column_index"].iloc[1]


def test_where_two_regions_disagree_and_in_traces_nothing_is_found() -> None:
    frame = render_bmode(LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.1, 0.1), scanner=FINE, seed=1)
    clip = clip_of(frame)
    (one,) = clip.regions
    assert measure_echoes(find_echoes(clip))["shadow_class"].isin(DEEP).sum() == 1
    row = int(frame.places[0][0])
    other = replace(one, y0=row - 30, y1=row + 30, delta_x_mm=0.2, delta_y_mm=0.2)
    trace = replace(one, y0=row - 30, y1=row + 30, spatial_format=3, data_type=3, delta_x_mm=None, delta_y_mm=None)
    for more in (other, trace):
        table = measure_echoes(find_echoes(replace(clip, regions=(one, more))))
        assert at(table, frame.places[0], (0.1, 0.1)).empty


def test_a_volume_of_ultrasound_is_a_clip() -> None:
    frame = render_bmode(LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.1, 0.12), scanner=FINE, seed=1)
    volume = Volume.from_components(frame.image[None], spacing=(1.0, 0.1, 0.12), modality="US")
    table = pipelines.analyze(volume).findings
    assert at(table, frame.places[0], (0.1, 0.12)).iloc[0]["shadow_width_mm"] == pytest.approx(6.0, rel=0.12)
    with pytest.raises(UsageError):
        Clip.from_volume(Volume.from_components(frame.image[None], spacing=(1.0, 0.1, 0.12)))


def cine(frames: int, motion: Motion, **options):
    target = calcification(-3.0, 14.0, 4.0, 22.0)
    return [
        render_bmode(LINEAR, [motion.at(target, k)], pixel_mm=(0.14, 0.14), scanner=FINE, seed=k, **options)
        for k in range(frames)
    ]


def test_a_moving_focus_is_one_row_with_its_key_frame() -> None:
    made = cine(7, Motion(lateral_mm=0.8))
    clip = Clip.from_array(np.stack([f.image for f in made]), pixel_mm=(0.14, 0.14))
    echoes = find_echoes(clip)
    table = measure_echoes(echoes)
    deep = table[table["shadow_class"].isin(DEEP)]
    assert len(deep) == 1
    row = deep.iloc[0]
    assert row["n_frames"] == 7
    assert row["persistence"] == 1.0
    assert len(at(deep, made[int(row["frame"])].places[0], (0.14, 0.14))) == 1
    for k, frame in enumerate(made):
        r, c = frame.places[0].astype(int)
        assert row["finding_id"] in echoes.labels[k, r - 6 : r + 7, c - 6 : c + 7]


def test_what_is_seen_once_is_left_out() -> None:
    made = [f.image for f in cine(6, Motion())]
    made[3] = render_bmode(
        LINEAR, [calcification(-3.0, 14.0, 4.0, 22.0), calcification(9.0, 12.0, 5.0, 25.0)], pixel_mm=(0.14, 0.14),
        scanner=FINE, seed=3,
    ).image  # fmt: skip
    echoes = find_echoes(Clip.from_array(np.stack(made), pixel_mm=(0.14, 0.14)))
    deep = [t for t in echoes.found if t.focus.shadow.name in DEEP]
    assert len(deep) == 1
    once = [t for t, r in zip(echoes.excluded, echoes.reasons, strict=True) if r == "transient"]
    assert any(t.frames == (3,) and t.focus.shadow.name in DEEP for t in once)


class Repeated:
    """The same frame over and over, made when it is asked for."""

    def __init__(self, image, n):
        self.image, self.n = image, n

    def __len__(self):
        return self.n

    def frame(self, index):
        return self.image.copy()

    def __iter__(self):
        return (self.frame(k) for k in range(self.n))


def test_a_cine_of_any_length_takes_the_memory_of_a_frame() -> None:
    image = render_bmode(LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.2, 0.2), scanner=FINE, seed=1).image
    region = whole_frame(*image.shape, (0.2, 0.2))
    peaks = []
    for n in (5, 40):
        tracemalloc.start()
        find_echoes(Clip(Repeated(image, n), *image.shape, (region,)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 8 * image.size  # 35 frames more as float32 would be 140 times


def test_twinkling_needs_many_colours() -> None:
    rng = np.random.default_rng(1)
    frame = render_bmode(LINEAR, [calcification(0, 16, 6, 25)], pixel_mm=(0.1, 0.1), scanner=FINE, seed=1)
    row, column = frame.places[0].astype(int)
    scores = []
    for mosaic in (True, False):
        image = np.repeat(frame.image[..., None], 3, axis=-1)
        spot = (slice(row + 12, row + 60), slice(column - 20, column + 20))
        colours = rng.integers(0, 256, (48, 40, 3)) if mosaic else np.broadcast_to((220, 20, 20), (48, 40, 3))
        image[spot] = colours
        table = measure_echoes(find_echoes(Clip.from_array(image[None], pixel_mm=(0.1, 0.1))))
        scores.append(float(at(table, frame.places[0], (0.1, 0.1), 5.0)["twinkling"].max()))
    assert scores[0] > 0.15 > scores[1]
    plain = measure_echoes(find_echoes(Clip.from_array(frame.image, pixel_mm=(0.1, 0.1))))
    assert plain["twinkling"].isna().all()


def test_a_comet_tail_is_told_by_its_repeats() -> None:
    head = Target(0.0, 12.0, 2.0, 0.4, 0.0, 28.0, 0.0, 0.0, "interface")
    tail = [replace(head, depth_mm=12 + 1.3 * k, coherent_db=26 - 1.5 * k, width_mm=2 - 0.1 * k) for k in range(1, 7)]
    for seed in range(3):
        flagged = []
        for targets in ([head], [head, *tail]):
            frame = render_bmode(LINEAR, targets, pixel_mm=(0.08, 0.1), scanner=FINE, seed=seed)
            table = measure_echoes(find_echoes(Clip.from_array(frame.image, pixel_mm=(0.08, 0.1))))
            assert not table["shadow_class"].isin(DEEP).any()
            flagged.append(table["flags"].str.contains("comet_tail").any())
        assert flagged == [False, True]


def test_the_confidence_ratio_on_request() -> None:
    frame = render_bmode(LINEAR, [calcification(0, 12, 8, 30)], pixel_mm=(0.15, 0.15), scanner=FINE, seed=1)
    table = measure_echoes(find_echoes(clip_of(frame), UltrasoundParams(confidence_map=True)))
    row = at(table, frame.places[0], (0.15, 0.15)).iloc[0]
    assert 0 <= row["confidence_ratio"] < 1.0


def test_patterns() -> None:
    frame = render_bmode(
        LINEAR, [calcification(-9, 12, 2.0, 20), Target(6, 14, 6.0, 4.5, 10.0, 26.0, -25.0, 0.0, "calcification")],
        pixel_mm=(0.09, 0.09), scanner=FINE, seed=4,
    )  # fmt: skip
    table = name_echo_patterns(measure_echoes(find_echoes(clip_of(frame))))
    names = [at(table, place, frame.pixel_mm).iloc[0]["pattern"] for place in frame.places]
    assert names == ["punctate", "coarse"]
    assert at(table, frame.places[0], frame.pixel_mm).iloc[0]["pattern_reason"].startswith("echo_width_mm")


def test_black_frames_are_flagged_and_empty() -> None:
    echoes = find_echoes(Clip.from_array(np.zeros((2, 90, 120), np.uint8)))
    assert len(echoes) == 0
    assert "no_image_area" in echoes.flags
    assert measure_echoes(echoes).empty


def test_only_clips() -> None:
    with pytest.raises(UsageError, match="read_clip"):
        find_echoes(np.zeros((3, 3)))  # type: ignore[arg-type]


# -- real images, by eye ----------------------------------------------------------------------------------------------


def shadows(name: str):
    (series,) = find_series(shared(f"us/{name}")).series
    table = measure_echoes(find_echoes(read(series)))
    return table[table["shadow_class"].isin(DEEP)]


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("carotid_kostelansky/201501061011050145VAS.png", 401, 540),
        ("kidney_stone_samsung/10388.png", 195, 284),
        ("kidney_stone_samsung/10564.png", 203, 279),
    ],
)
def test_known_foci_are_found_with_their_shadow(name, row, column) -> None:
    found = shadows(name)
    assert len(found) == 1
    off = np.hypot(found["row_index"] - row, found["column_index"] - column)
    assert off.min() < 20


def test_the_femur_is_a_shadowing_surface_like_bone() -> None:
    (row,) = shadows("confidence_map_monai/femur_input.png").to_dict("records")
    assert {"bone_like", "interface"} <= set(row["flags"].split(";"))
    assert 190 < row["row_index"] < 270
    assert row["echo_width_px"] > 150


@pytest.mark.parametrize(
    "name",
    ["carotid_kostelansky/201902120820080009VAS.png", "deid_blank/GREYSCALE_IMAGE.dcm", "US-YBR_FULL_422-EVRLE.dcm"],
)
def test_negatives_give_nothing_with_shadow(name) -> None:
    assert shadows(name).empty
