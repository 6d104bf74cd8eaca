"""Patterns, groups and hypotheses on rendered objects of known form."""

import numpy as np
import pytest

from imaging import (
    FLAGS,
    RULES,
    VOCABULARY,
    Detection,
    Volume,
    classify,
    detect,
    group,
    measure,
    name_patterns,
    summarize_groups,
)
from imaging.synthetic import Ball, Rod, Shell, Thing, Torus, render

SHAPES = {
    "punctate": [Ball((0, 0, 0), 1.2), Ball((0.3, 0.2, 0.4), 1.4)],
    "solid": [Ball((0, 0, 0), 5.0), Ball((0.3, 0.4, 0.2), 8.0)],
    "eggshell": [Shell((0, 0, 0), 8.0, 1.5), Shell((0.2, 0.4, 0.1), 11.0, 1.2), Shell((0, 0.3, 0), 9.0, 1.5, 0.85)],
    "rim": [Shell((0, 0, 0), 10.0, 3.0), Shell((0, 0, 0.4), 8.5, 3.0)],
    "ring": [Torus((0, 0, 0), 7.0, 1.2), Torus((0, 0.3, 0.2), 9.0, 1.4, (0.5, 0.3, 1.0))],
    "linear": [Rod((-9, 0, 0), (9, 2, 1), 1.0), Rod((0, -8, -6), (0, 8, 6), 1.1)],
    "arc": [Shell((0, 0, 0), 11.0, 1.8, 0.2), Shell((0, 0, 0), 10.0, 1.5, 0.3, (1.0, 0.4, 0.2))],
}
CASES = [(name, k) for name, shapes in SHAPES.items() for k in range(len(shapes))]


def image(things, spacing=(0.8, 0.7, 0.7), half=18.0, noise=12.0, seed=0):
    shape = tuple(int(2 * half / s) + 1 for s in spacing)
    origin = tuple(-(n - 1) / 2 * s for n, s in zip(shape[::-1], spacing[::-1], strict=True))
    return render(45.0, things, shape, spacing, origin=origin, psf_fwhm_mm=0.9, noise_sd=noise, seed=seed).volume


def named(things, **how):
    detection = detect(image(things, **how))
    return classify(name_patterns(group(measure(detection), detection))), detection


@pytest.mark.parametrize(("pattern", "k"), CASES, ids=[f"{n}-{k}" for n, k in CASES])
@pytest.mark.parametrize("spacing", [(0.8, 0.7, 0.7), (1.25, 0.8, 0.8)])
def test_pattern_of_one_object(pattern, k, spacing):
    table, _ = named([Thing(SHAPES[pattern][k], 750.0)], spacing=spacing)
    assert len(table) == 1
    row = table.iloc[0]
    assert row["pattern"] == pattern, row["pattern_reason"]
    assert 0.5 <= row["pattern_confidence"] <= 1
    assert row["pattern_reason"]


def test_the_reason_names_the_values_that_decided():
    row = named([Thing(SHAPES["eggshell"][0], 750.0)])[0].iloc[0]
    for column in ("shell_coverage", "shell_thickness_mm", "inner_occupancy", "shell_fit_residual"):
        assert f"{column} {row[column]:.3g}" in row["pattern_reason"]


@pytest.mark.parametrize(("spacing", "flag", "allowed"), [
    (2.5, "coarse_label", {"punctate", "solid", "rim", "ring", "linear", "coarse", "amorphous", "indeterminate"}),
    (5.0, "in_plane_label", {"punctate", "ring", "linear", "solid", "indeterminate"}),
])  # fmt: skip
def test_thick_slices_give_coarser_labels(spacing, flag, allowed):
    for shapes in SHAPES.values():
        table, _ = named([Thing(shapes[0], 750.0)], spacing=(spacing, 0.8, 0.8), half=20.0)
        assert set(table["pattern"]) <= allowed
        assert table["flags"].str.contains(flag).all()


def test_rules_use_known_columns_and_words():
    detection = detect(image([Thing(Ball((0, 0, 0), 5.0), 700.0)]))
    table = group(measure(detection), detection)
    for rule in RULES:
        assert rule.name in VOCABULARY
        assert rule.source
        assert rule.looks_like
        assert all(c.column in table for c in rule.conditions)


def test_groups_by_distance_between_surfaces():
    spots = [(-12, 0, 0), (-5, 0, 0), (12, 8, 0)]
    table, detection = named([Thing(Ball(c, 1.5), 800.0) for c in spots])
    assert len(table) == 3
    by_x = table.sort_values("centroid_x_mm")
    assert by_x["group_id"].iloc[0] == by_x["group_id"].iloc[1] != by_x["group_id"].iloc[2]
    assert by_x["group_size"].tolist() == [2, 2, 1]
    assert by_x["distribution"].tolist() == ["grouped", "grouped", "solitary"]
    gap = 7 - 2 * 1.5  # between surfaces; voxel centres on them are up to a voxel inside or outside
    assert by_x["nearest_neighbour_mm"].iloc[0] == pytest.approx(gap, abs=1.6)
    groups = summarize_groups(table, detection)
    assert groups["group_size"].sum() == 3
    assert groups["volume_mm3"].sum() == pytest.approx(table["volume_mm3"].sum())
    assert groups["n_voxels"].sum() == table["n_voxels"].sum()


def test_a_line_of_dots_is_linear():
    table, _ = named([Thing(Ball((x, x / 2, 0), 1.3), 800.0) for x in (-12, -6, 0, 6, 12)])
    assert set(table["distribution"]) == {"linear"}


def test_one_finding_has_no_neighbour():
    table, _ = named([Thing(Ball((0, 0, 0), 3.0), 800.0)])
    assert np.isnan(table["nearest_neighbour_mm"].iloc[0])
    assert table["distribution"].iloc[0] == "solitary"


def test_nothing_found_goes_the_whole_way():
    detection = Detection.from_labels(
        Volume.from_components(np.zeros((3, 4, 4)), spacing=(1, 1, 1)), np.zeros((3, 4, 4), int)
    )
    table = classify(name_patterns(group(measure(detection), detection)))
    assert len(table) == 0
    assert len(summarize_groups(table, detection)) == 0
    assert str(table["pattern"].dtype) == "string"


def test_a_classifier_of_ones_own_stands_behind_the_same_interface():
    class Size:
        labels = ("small", "large")

        def scores(self, findings):
            large = findings["max_diameter_mm"].to_numpy() > 5
            return np.stack([~large, large], axis=1).astype(float)

        def tendency(self, label):
            return "indeterminate"

    table, _ = named([Thing(Ball((0, 0, 0), 5.0), 700.0)])
    assert classify(table, Size())["hypothesis"].iloc[0] == "large"


def test_flags_are_known():
    table, _ = named([Thing(Ball((0, 0, 0), 1.0), 900.0)], spacing=(2.5, 0.8, 0.8))
    for flag in ";".join(table["flags"]).split(";"):
        assert flag in FLAGS
