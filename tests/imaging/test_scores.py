"""Calcium scores: by hand, at every boundary, against an independent implementation, and whatever the slices are."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops

from imaging import (
    SCORES,
    Anatomy,
    Calibration,
    Detection,
    DetectionParams,
    GeometryError,
    ScoreParams,
    UsageError,
    Volume,
    detect,
    measure,
    score,
    scoring_of,
)
from imaging.scores.definitions import ScoreDefinition

NAMES = SCORES.names
NEIGHBOURS = {4: 1, 8: 2}  # of scikit-image


def ct(array, spacing=(3.0, 0.5, 0.5), kvp=120.0, **header):
    volume = Volume.from_components(np.asarray(array), spacing=spacing)
    return volume.replace(header={"kvp": kvp, **header} if kvp else header)


def scored(volume, labels=None, definition="literature", anatomy=None, calibration=None, **params):
    """Scores of a given segmentation; of everything from 90 HU on by default."""
    labels = np.asarray(volume.array >= 90).astype(int) if labels is None else labels
    detection = Detection.from_labels(volume, labels, anatomy=anatomy)
    params = ScoreParams(definition=definition, **params)
    return score(measure(detection), detection, params, calibration=calibration)


def flat(hu, rows=3, columns=3, slices=1, shape=(5, 16, 16)):
    """A box of one HU in soft tissue of 40 HU."""
    array = np.full(shape, 40)
    array[1 : 1 + slices, 4 : 4 + rows, 5 : 5 + columns] = hu
    return array


def test_disc_by_hand():
    # A disc of 112 pixels of 0.25 mm2 and 350 HU (weight 3) in two slices of 3 mm, peak 450 HU (weight 4) in a third.
    z, y, x = np.ogrid[:5, :30, :30]
    disc = ((y - 14.5) ** 2 + (x - 14.5) ** 2 < 6.0**2) & (z >= 1) & (z < 4)
    assert disc[2].sum() == 112
    array = np.where(disc, 350, 40)
    array[3, 14, 14] = 450
    row = scored(ct(array), mass_factor_mg_per_cm3_per_hu=0.8).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(28 * 3 + 28 * 3 + 28 * 4)
    assert row["agatston"] == row["weighted_area_score"]
    assert row["volume_score_mm3"] == pytest.approx(3 * 28 * 3)
    assert row["density_score"] == pytest.approx(10 / 3)
    # 252 mm3 of 350 HU, one voxel of 0.75 mm3 100 HU more; 0.8 mg/cm3/HU = 0.0008 mg/mm3/HU.
    assert row["mass_mg"] == pytest.approx(0.0008 * (252 * 350 + 0.75 * 100))
    assert row["agatston_definition"].startswith(
        "literature: >= 130 HU, weights 1/2/3/4 from 130/200/300/400 HU (120 kV), 4-connected in the slice, "
        "area >= 1 mm2, x increment / 3 mm"
    )


@pytest.mark.parametrize("definition", NAMES)
@pytest.mark.parametrize(
    ("hu", "weight"), [(129, 0), (130, 1), (199, 1), (200, 2), (299, 2), (300, 3), (399, 3), (400, 4), (3000, 4)]
)
def test_every_weight_boundary_at_120_kv(definition, hu, weight):
    row = scored(ct(flat(hu)), definition=definition).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(9 * 0.25 * weight)
    assert row["density_score"] == weight if weight else np.isnan(row["density_score"])


def boundaries():
    for entry in SCORES:
        for kvp, limits in entry.limits_hu.items():
            for k, hu in enumerate(limits):
                yield entry.name, kvp, hu - 1, k
                yield entry.name, kvp, hu, k + 1


@pytest.mark.parametrize(("definition", "kvp", "hu", "weight"), list(boundaries()))
def test_every_boundary_of_every_table(definition, kvp, hu, weight):
    row = scored(ct(flat(hu), kvp=kvp), definition=definition).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(9 * 0.25 * weight)
    assert row["score_threshold_hu"] == SCORES[definition].limits_hu[kvp][0]


def test_tables_are_the_published_ones():
    assert {name: SCORES[name].limits_hu[120] for name in NAMES} == dict.fromkeys(NAMES, (130, 200, 300, 400))
    assert all(SCORES[n].limits_hu[100][0] == 147 for n in NAMES if n != "kv_adapted")
    assert SCORES["kv_adapted"].limits_hu[70] == (207, 318, 477, 636)


@pytest.mark.parametrize(("kvp", "hu"), [(135, 260), (120, 280), (100, 310), (80, 400)])
def test_values_of_calciumscoring_jl(kvp, hu):
    # Its own test: 4 x 3 pixels of 0.5 mm in two slices of 0.5 mm score 12, without the factor increment / 3 mm.
    volume = ct(flat(hu, 4, 3, slices=2), spacing=(0.5, 0.5, 0.5), kvp=kvp)
    row = scored(volume, definition="kv_adapted").iloc[0]
    assert row["weighted_area_score"] * 3 / 0.5 == pytest.approx(12)


@pytest.mark.parametrize(
    ("definition", "rows", "columns", "spacing", "counts"),
    [
        ("literature", 2, 2, 0.5, True), ("literature", 1, 3, 0.5, False), ("ge", 1, 3, 0.5, False),
        ("fqm", 2, 2, 0.5, False), ("fqm", 1, 5, 0.5, True), ("fqm", 1, 1, 1.0, False), ("literature", 1, 1, 1.0, True),
        ("siemens", 1, 1, 0.3, True), ("philips", 1, 2, 0.5, True), ("philips", 1, 1, 0.5, False),
        ("canon", 1, 2, 0.9, False), ("canon", 1, 3, 0.2, True), ("kv_adapted", 1, 3, 0.5, False),
    ],
)  # fmt: skip
def test_minimum_area(definition, rows, columns, spacing, counts):
    volume = ct(flat(250, rows, columns), spacing=(3.0, spacing, spacing))
    row = scored(volume, definition=definition).iloc[0]
    area = rows * columns * spacing**2
    assert row["weighted_area_score"] == pytest.approx(2 * area if counts else 0)
    assert row["volume_score_mm3"] == pytest.approx(3 * area if counts else 0)


@pytest.mark.parametrize("definition", NAMES)
def test_connectivity(definition):
    # Two squares of 3 x 3 pixels that touch at a corner, one of weight 1, one of weight 4.
    array = flat(150)
    array[1, 7:10, 8:11] = 500
    row = scored(ct(array), definition=definition).iloc[0]
    joined = SCORES[definition].connectivity == 8
    assert row["weighted_area_score"] == pytest.approx(2.25 * (8 if joined else 5))


def test_the_weight_is_that_of_the_lesion_in_its_slice():
    array = flat(150, slices=3)
    array[2, 5, 6] = 450
    row = scored(ct(array)).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(2.25 * (1 + 4 + 1))


def random_scan(seed, spacing, smooth):
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    array = ndimage.gaussian_filter(rng.standard_normal((6, 24, 26)), (smooth, smooth, smooth))
    return ct(np.rint(60 + 160 * array / array.std()), spacing=spacing)


SPACINGS = st.tuples(st.floats(0.4, 5), st.floats(0.3, 1.3), st.floats(0.3, 1.3))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32), spacing=SPACINGS, smooth=st.sampled_from([0, 0.5, 1.0]))
def test_like_an_independent_implementation(name, seed, spacing, smooth):
    volume = random_scan(seed, spacing, smooth)
    regions = label(volume.array >= 100, connectivity=3)
    table = scored(volume, regions, name, on_enhanced="score")  # noise may look like enhanced tissue
    d = SCORES[name]
    pixel = spacing[1] * spacing[2]
    wanted = dict.fromkeys(range(1, regions.max() + 1), 0.0)
    for k, number in itertools.product(range(len(volume.array)), wanted):
        lesions = label((regions[k] == number) & (volume.array[k] >= 130), connectivity=NEIGHBOURS[d.connectivity])
        for one in regionprops(lesions, volume.array[k]):
            area = round(one.num_pixels * pixel, 9)  # an area at its minimum counts, whatever the last digit
            small = area <= d.min_area_mm2 if d.exceeds else area < d.min_area_mm2
            if not small and one.num_pixels >= d.min_pixels:
                wanted[number] += area * min(4, one.intensity_max // 100) * spacing[0] / 3
    assert table["weighted_area_score"].to_numpy() == pytest.approx(list(wanted.values()))


@pytest.mark.parametrize("definition", NAMES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), spacing=SPACINGS, kvp=st.sampled_from([120.0, 100.0]))
def test_halved_slices_change_nothing(definition, seed, spacing, kvp):
    volume = random_scan(seed, spacing, 0.7)
    halves = ct(np.repeat(volume.array, 2, axis=0), (spacing[0] / 2, *spacing[1:]))
    names = ["weighted_area_score", "agatston", "volume_score_mm3", "density_score", "mass_mg"]
    tables = [
        scored(v, None, definition, kvp=kvp, on_enhanced="score", mass_factor_mg_per_cm3_per_hu=0.7)
        for v in (volume, halves)
    ]
    assert np.isfinite(tables[0]["weighted_area_score"]).all()
    for name in names:
        assert tables[1][name].to_numpy() == pytest.approx(tables[0][name].to_numpy(), nan_ok=True), name


@pytest.mark.parametrize("definition", NAMES)
def test_halved_slices_change_nothing_where_the_score_reaches_beyond_the_mask(definition):
    rng = np.random.default_rng(3)
    array = flat(400, 6, 7, slices=2, shape=(6, 40, 40)) + np.rint(18 * rng.standard_normal((6, 40, 40)))
    array[1:3, 3:12, 4:13] = np.maximum(array[1:3, 3:12, 4:13], 150)  # a rim between the score's threshold and the mask
    params = DetectionParams(threshold_mode="fixed", threshold_hu=200, separate=False)
    found = []
    for repeat in (1, 2):
        volume = ct(np.repeat(array, repeat, axis=0), (3 / repeat, 0.5, 0.5))
        detection = detect(volume, params)
        assert len(detection) == 1
        found.append(score(measure(detection), detection, ScoreParams(definition)).iloc[0])
    assert found[0]["volume_score_mm3"] >= 2 * 81 * 0.25 * 3  # the rim counts
    assert "score_grown" in found[0]["flags"]
    assert found[0]["volume_score_mm3"] > 1.5 * found[0]["volume_mm3"]
    for name in ("weighted_area_score", "volume_score_mm3"):
        assert found[1][name] == pytest.approx(found[0][name])


def test_no_growth_into_another_finding_or_another_slice_or_beyond_2_mm():
    array = np.full((5, 30, 60), 40)
    array[2, 15, 10:40] = 160  # a bridge between two findings, and on to the right
    array[2, 12:18, 8:14] = array[2, 12:18, 18:24] = 500
    array[3, 12:18, 8:14] = 150  # the next slice, below the level of the masks
    detection = detect(ct(array), DetectionParams(threshold_mode="fixed", threshold_hu=200, separate=False))
    table = score(measure(detection), detection, ScoreParams("siemens"))
    pixels = table["volume_score_mm3"] / (0.25 * 3)
    assert pixels.to_list() == pytest.approx([36 + 4, 36 + 4])  # 4 of the bridge; 4 pixels of 0.5 mm to the right


@pytest.mark.parametrize("level", [100, 129, 130])
def test_a_mask_from_the_threshold_itself_or_below_counts_the_same(level):
    array = flat(130, slices=2)
    array[1:3, 5, 6] = 450  # a mask of what exceeds 130 HU holds this voxel alone
    params = DetectionParams(threshold_mode="fixed", threshold_hu=level, separate=False, min_voxels=1, min_volume_mm3=0)
    detection = detect(ct(array), params)
    row = score(measure(detection), detection).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(2 * 2.25 * 4)
    assert "score_grown" not in row["flags"]


def test_what_is_split_off_a_larger_structure_is_a_lower_bound():
    array = np.full((12, 90, 90), 40)
    array[2:10, 30:80, 30:80] = 220  # a large bright structure
    array[5:7, 24:32, 50:58] = 700  # and something much denser on its surface
    volume = ct(array, (3.0, 0.6, 0.6))
    params = DetectionParams(candidate_max_mm3=2000, keep=("bone_adjacent", "chest_wall", "skin"), skin_mm=0)
    detection = detect(volume, params)
    split = detection.found.split
    assert split.any(), "the phantom must give a finding that was split off"
    table = score(measure(detection), detection)
    assert table.loc[split, "flags"].str.contains("score_cut").all()
    assert (table.loc[split, "volume_score_mm3"] <= table.loc[split, "volume_mm3"] * (1 + 1e-9)).all()
    assert table.loc[split, "mass_integrated_mg"].isna().all()


def test_zero_is_zero_and_missing_is_missing():
    row = scored(ct(flat(120)), mass_factor_mg_per_cm3_per_hu=0.8).iloc[0]
    assert row["weighted_area_score"] == row["agatston"] == row["volume_score_mm3"] == row["mass_mg"] == 0
    assert np.isnan(row["density_score"])
    plain = scored(ct(flat(500))).iloc[0]
    assert plain["agatston"] > 0
    assert plain[["mass_mg", "mass_integrated_mg", "mass_volume_fraction_mg"]].isna().all()
    empty = scored(ct(np.full((3, 9, 9), 40)))
    assert len(empty) == 0
    assert str(empty["agatston"].dtype) == "float64"
    assert str(empty["agatston_definition"].dtype) == "string"


SCORE_VALUES = ["agatston", "weighted_area_score", "volume_score_mm3", "density_score", "mass_mg", "mass_integrated_mg"]


def test_enhanced_scans_are_refused():
    enhanced = np.full((12, 80, 80), 160) + np.random.default_rng(0).normal(0, 8, (12, 80, 80))
    enhanced[4:6, 30:36, 30:36] = 600
    for volume in (ct(np.rint(enhanced)), ct(flat(500), contrast_agent=True)):
        labels = (volume.array >= 400).astype(int)
        row = scored(volume, labels, mass_factor_mg_per_cm3_per_hu=0.8).iloc[0]
        assert row[SCORE_VALUES].isna().all()
        assert "contrast-enhanced" in row["agatston_definition"]
        assert "not_scored" in row["flags"]
        asked = scored(volume, labels, on_enhanced="score").iloc[0]
        assert asked["weighted_area_score"] > 0
        assert "score_enhanced" in asked["flags"]


def test_tube_voltages_without_published_limits_are_refused():
    row = scored(ct(flat(500), kvp=140)).iloc[0]
    assert row[SCORE_VALUES].isna().all()
    assert "tube voltage" in row["agatston_definition"]
    given = scored(ct(flat(130), kvp=140), hu_limits=(120, 185, 277, 369)).iloc[0]
    assert given["weighted_area_score"] == pytest.approx(2.25)
    assert "120/185/277/369 HU (limits given, 140 kV)" in given["agatston_definition"]
    assert scored(ct(flat(500), kvp=140), kvp=120.0)["agatston"].iloc[0] == pytest.approx(9)


def test_an_unknown_tube_voltage_is_said():
    row = scored(ct(flat(500), kvp=None)).iloc[0]
    assert row["agatston"] == pytest.approx(9)
    assert "score_kvp_assumed" in row["flags"]
    assert "tube voltage unknown, taken as 120 kV" in row["agatston_definition"]


def test_values_that_are_no_hu_are_refused():
    volume = ct(flat(500)).replace(flags=("hu_unreliable",))
    assert scored(volume)["agatston"].isna().all()
    ultrasound = Volume.from_components(flat(200), spacing=(1, 1, 1), modality="US")
    detection = Detection.from_labels(ultrasound, (ultrasound.array > 100).astype(int))
    assert scoring_of(detection).refused == "not_hu"


@pytest.mark.parametrize(
    ("organ", "agatston"),
    [("heart", True), ("aorta", True), ("coronary_arteries", True), ("atrial_appendage_left", True), ("liver", False),
     ("kidney_left", False), ("pulmonary_vein", False), ("iliac_artery_left", False)],
)  # fmt: skip
def test_agatston_in_heart_and_aorta_weighted_area_elsewhere(organ, agatston):
    volume = ct(flat(500))
    anatomy = Anatomy.from_masks(volume, {organ: np.ones(volume.shape, bool)})
    row = scored(volume, anatomy=anatomy).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(9)
    assert bool(np.isfinite(row["agatston"])) == agatston
    assert ("weighted area score only" in row["agatston_definition"]) != agatston
    assert scored(volume)["agatston_definition"].iloc[0].endswith("organ not known")


def test_philips_takes_volume_and_mass_from_another_threshold():
    array = flat(120, slices=1)
    array[2] = array[1]
    array[2, 4:7, 5:8] = 300
    row = scored(ct(array), definition="philips", mass_factor_mg_per_cm3_per_hu=1.0).iloc[0]
    assert row["weighted_area_score"] == pytest.approx(2.25 * 3)
    assert row["volume_score_mm3"] == pytest.approx(2 * 2.25 * 3)
    assert row["mass_mg"] == pytest.approx(2.25 * 3 * (120 + 300) / 1000)
    assert "volume and mass from 112.5 HU" in row["agatston_definition"]
    other = scored(ct(array, kvp=100), definition="philips", mass_factor_mg_per_cm3_per_hu=1.0).iloc[0]
    assert other["weighted_area_score"] > 0
    assert np.isnan(other["volume_score_mm3"])
    assert np.isnan(other["mass_mg"])


# -- mass --------------------------------------------------------------------------------------------------------------


def test_calibration_from_a_rod():
    volume = ct(np.concatenate([flat(280), flat(5)]))
    rod, water = volume.array == 280, volume.array == 5
    assert Calibration.from_rod(volume, rod, 220.0).factor_mg_per_cm3_per_hu == pytest.approx(220 / 280)
    both = Calibration.from_rod(volume, rod, 220.0, water=water)
    assert both.factor_mg_per_cm3_per_hu == pytest.approx(220 / 275)
    row = scored(volume, rod.astype(int), calibration=both).iloc[0]
    assert row["mass_mg"] == pytest.approx(0.8 / 1000 * 280 * 9 * 0.75)
    with pytest.raises(UsageError, match="which mask is the rod"):
        Calibration.from_rod(volume, water, 200.0, water=rod)
    with pytest.raises(UsageError, match="positive"):
        Calibration.from_rod(volume, rod, 0.0)
    with pytest.raises(GeometryError, match="no voxel"):
        Calibration.from_rod(volume, np.zeros(volume.shape, bool), 200.0)
    with pytest.raises(UsageError, match="positive"):
        Calibration(-1.0)


@pytest.mark.parametrize("spacing", [(1.0, 0.6, 0.6), (2.5, 0.8, 0.8)])
@pytest.mark.parametrize(("diameter", "hu"), [(3.0, 600.0), (5.0, 400.0), (8.0, 900.0)])
def test_integrated_mass_keeps_what_blur_moves(spacing, diameter, hu):
    from imaging.synthetic import Ball, Thing, render

    things = [Thing(Ball((0.4, -0.3, 0.2), diameter / 2), hu, "ball")]
    shape = tuple(int(36 / s) for s in spacing)
    volume = render(40.0, things, shape, spacing, origin=(-18, -18, -18), noise_sd=4.0, seed=1).volume
    detection = detect(volume, DetectionParams(separate=False))
    table = score(measure(detection), detection, ScoreParams(mass_factor_mg_per_cm3_per_hu=0.8))
    row = table.iloc[table["volume_mm3"].argmax()]
    true = 0.0008 * (hu - 40) * np.pi / 6 * diameter**3
    assert row["mass_integrated_mg"] == pytest.approx(true, rel=0.08)
    assert row["mass_volume_fraction_mg"] <= row["mass_integrated_mg"]
    assert row["mass_volume_fraction_mg"] == pytest.approx(true, rel=0.12)


def test_what_lies_between_two_findings_is_shared():
    array = np.full((9, 40, 40), 40)
    array[3:6, 15:20, 10:15] = array[3:6, 15:20, 17:22] = 500
    volume = ct(array, (1.0, 1.0, 1.0))
    labels = np.zeros(volume.shape, int)
    labels[array == 500] = 1
    labels[3:6, 15:20, 17:22] *= 2
    blurred = volume.replace(array=np.where(labels > 0, array, 60).astype(np.int16))  # all around 20 HU above 40
    detection = Detection.from_labels(blurred, labels)
    findings = measure(detection).assign(background_mean=40.0)
    integrated = score(findings, detection)["integrated_hu_mm3"]
    assert integrated.iloc[0] == pytest.approx(integrated.iloc[1])
    alone = Detection.from_labels(blurred, (labels == 1).astype(int))
    single = score(measure(alone).assign(background_mean=40.0), alone)["integrated_hu_mm3"].iloc[0]
    assert 75 * 460 < integrated.iloc[0] < single


# -- calls -------------------------------------------------------------------------------------------------------------


def test_mistakes_are_named():
    with pytest.raises(UsageError, match="did you mean siemens"):
        ScoreParams(definition="simens")
    with pytest.raises(UsageError, match="known: literature"):
        ScoreParams(definition="xyz")
    for bad in ((1, 2, 3), (4, 3, 2, 1), (1, 2, 3, np.nan)):
        with pytest.raises(UsageError, match="four ascending"):
            ScoreParams(hu_limits=bad)
    with pytest.raises(UsageError, match="positive"):
        ScoreParams(mass_factor_mg_per_cm3_per_hu=0.0)
    with pytest.raises(UsageError, match="refuse or score"):
        ScoreParams(on_enhanced="maybe")
    volume = ct(flat(500))
    detection = Detection.from_labels(volume, (volume.array > 100).astype(int))
    with pytest.raises(UsageError, match="table of measure"):
        score(pd.DataFrame(), detection)
    with pytest.raises(ValueError, match="ascend"):
        ScoreDefinition("wrong", "", "", {120: (4, 3, 2, 1)}, connectivity=4)


def test_every_definition_has_a_source():
    for entry in SCORES:
        assert entry.definition.endswith(".")
        assert len(entry.source) > 20
        if entry.name in ("ge", "siemens", "philips", "canon"):
            assert "not from the vendor" in entry.source


def test_the_documentation_has_the_tables_of_the_registry():
    lines = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8").splitlines()
    told = {line.split("`")[1]: [c.strip() for c in line.split("|")] for line in lines if line.startswith("| `")}
    assert set(NAMES) < set(told)
    for entry in SCORES:
        _, _, connected, size, at_120, at_100, other, _ = told[entry.name]
        limits = {kvp: "/".join(f"{v:g}" for v in values) for kvp, values in entry.limits_hu.items()}
        assert (connected, size) == (str(entry.connectivity), entry.size_rule)
        assert (at_120, at_100) == (limits.pop(120), limits.pop(100))
        assert all(f"{kvp:g} kV {text}" in other for kvp, text in limits.items())
        assert all(f"from {hu:g} HU, at {kvp:g} kV" in other for kvp, hu in entry.volume_hu.items())
