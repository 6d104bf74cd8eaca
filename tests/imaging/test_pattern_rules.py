"""Every rule: an object that gets the name, and a near miss that does not; and a small pattern benchmark."""

import sys
from pathlib import Path

import numpy as np
import pytest

from imaging import (
    RULES,
    VOCABULARY,
    DetectionParams,
    UsageError,
    detect,
    group,
    measure,
    name_patterns,
    summarize_groups,
)
from imaging.synthetic import (
    EXAMPLES,
    Arc,
    Ball,
    Box,
    Cylinder,
    Rod,
    Shell,
    Thing,
    Torus,
    example,
    render,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import bench_patterns

HU = 800.0


def solids(*shapes, hu=HU):
    return [Thing(shape, hu) for shape in shapes]


def fading(radius, low, high):
    """Nested balls whose HU change evenly from the centre (low) to the surface (high)."""
    return [Thing(Ball((0, 0, 0), radius * (1 - k / 14)), high + (low - high) * (k + 0.5) / 14) for k in range(14)]


def halves(wall):
    """Two caps of a shell with a gap of 2.4 mm between them."""
    return [Shell((0, 0, 0), 9.0, wall, 0.43, (0.0, 0.0, z)) for z in (1.0, -1.0)]


LOBES = [Ball(c, 3.0) for c in [(0, 0, 0), (4.8, 0, 0), (0, 4.8, 0), (0, 0, 4.8), (-4.5, -1.5, 0)]]
CLOUD = [Ball(c, 6.2) for c in [(0, 0, 0), (9.5, 0, 0), (-9.5, 1, 0), (0, 9.5, 1), (1, -9.5, 0), (0, 0, 9.5)]]
RODS = [Rod((-10, 0, 0), (0, 0, 0), 0.9), Rod((0, 0, 0), (8, 6, 1), 0.9), Rod((0, 0, 0), (8, -6, 2), 0.9)]
COMMAS = [
    Arc(c, 3.0, 0.8, 220, a, t)
    for c, a, t in [
        ((-9, -9, 0), (0, 0, 1), (1, 0, 0)), ((9, -9, 1), (1, 0, 1), (0, 1, 0)), ((0, 0, 0), (0, 1, 1), (1, 0, 0)),
        ((-9, 9, 0), (0, 0, 1), (0, 1, 0)), ((9, 9, -1), (1, 1, 0), (0, 0, 1)), ((0, 0, 11), (0, 0, 1), (1, 1, 0)),
    ]
]  # fmt: skip
DOTS = [Ball((x, y, 0), 1.0) for x in (-8, 0, 8) for y in (-5, 5)]
TUBE = [
    Thing(Cylinder((0, 0, 0), 4.0, 24, (1, 0.2, 0.3)), HU),
    Thing(Cylinder((0, 0, 0), 2.6, 26, (1, 0.2, 0.3)), 45.0),
]

CASES = {  # rule: (objects that it names, near miss)
    "laminated (fragments)": (
        solids(*[Shell((0, 0, 0), r, 1.2) for r in (4.0, 8.0)]), solids(Shell((0, 0, 0), 8.0, 1.2)),
    ),
    "eggshell (fragments)": (
        solids(*halves(1.4)), solids(Shell((-6, 0, 0), 5.0, 1.2), Shell((6, 0, 0), 5.0, 1.2)),
    ),
    "rim (fragments)": (
        solids(*halves(2.8)),
        solids(*[Ball((x, 0, 0), 3.5) for x in (-4.6, 4.6)]),
    ),
    "ring (fragments)": (
        solids(*[Arc((0, 0, 0), 7.0, 1.1, 150, (0.2, 0.1, 1.0), t) for t in ((1, 0, 0), (-1, 0, 0))]),
        solids(*[Arc((0, 0, 0), 9.0, 1.1, 55, (0.2, 0.1, 1.0), t) for t in ((1, 0, 0), (-1, 0, 0))]),
    ),
    "tram_track (two lines)": (
        solids(*[Rod((-9, y, 0), (9, y, 2), 0.9) for y in (-2.5, 2.5)]),
        solids(Rod((-9, -2.5, 0), (9, -2.5, 0), 0.9), Rod((0, 2.5, -9), (0, 2.5, 9), 0.9)),  # across
    ),
    "ring_and_arc (cluster)": (solids(*COMMAS), solids(*DOTS)),
    "punctate": (solids(Ball((0.2, 0, 0.1), 1.2)), solids(Ball((0, 0, 0), 2.6))),
    "laminated": (
        [*solids(*[Shell((0, 0, 0), r, 1.3) for r in (5.0, 9.0)], Rod((-8, 0, 0), (8, 0, 0), 0.8))],
        solids(Shell((0, 0, 0), 9.0, 3.0)),
    ),
    "zonal": ([*fading(9.0, 60.0, 800.0)], solids(Shell((0, 0, 0), 9.0, 3.0))),
    "ring": (solids(Torus((0, 0, 0), 7.0, 1.2, (0.5, 0.3, 1.0))), solids(Arc((0, 0, 0), 7.0, 1.2, 200))),
    "eggshell": (solids(Shell((0, 0, 0), 9.0, 1.4)), solids(Shell((0, 0, 0), 9.0, 3.0))),
    "rim": (solids(Shell((0, 0, 0), 9.0, 3.0)), solids(Ball((0, 0, 0), 9.0))),
    "tram_track (tube)": (TUBE, TUBE[:1]),
    "linear": (solids(Rod((-9, -3, 2), (9, 4, -3), 1.0)), solids(Rod((-4, 0, 0), (4, 0, 0), 2.2))),
    "arc": (solids(Shell((0, 0, 0), 10.0, 1.6, 0.25, (1, 0.4, 0.2))), solids(Shell((0, 0, 0), 10.0, 1.6, 0.55))),
    "branching": (solids(*RODS), solids(RODS[0])),
    "sheet": (
        solids(Box((0, 0, 0), (18, 15, 2), (0.3, 0.4, 0.1))), solids(Box((0, 0, 0), (18, 15, 8), (0.3, 0.4, 0.1))),
    ),
    "amorphous": (fading(9.0, 190.0, 45.0), solids(Ball((0, 0, 0), 5.0), hu=300.0)),
    "lobulated": (solids(*CLOUD, hu=500.0), solids(Ball((0, 0, 0), 12.0), hu=500.0)),
    "popcorn": (solids(*LOBES), solids(LOBES[0], LOBES[1])),
    "solid": (solids(Ball((0, 0, 0), 5.0)), solids(*LOBES)),
    "coarse": (
        solids(Box((0, 0, 0), (14, 4.5, 4.5)), Box((3, 0, 0), (4.5, 14, 4.5), (0, 0, 0.3))),
        solids(Ball((0, 0, 0), 5.0)),
    ),
    "linear (bent)": (solids(Arc((0, 0, 0), 12.0, 1.4, 130)), solids(Torus((0, 0, 0), 12.0, 1.4))),
}  # fmt: skip
THICK = {"linear (bent)": 2.5}


def table_of(things, slice_mm=0.8):
    half = 18.0
    spacing = (slice_mm, 0.7, 0.7)
    shape = tuple(int(2 * half / s) + 1 for s in spacing)
    volume = render(45.0, things, shape, spacing, psf_fwhm_mm=0.9, noise_sd=12.0, seed=3).volume
    detection = detect(volume, DetectionParams(separate=False))
    table = name_patterns(group(measure(detection), detection))
    return table, summarize_groups(table, detection)


def main_row(table):
    return table.loc[table["n_voxels"].astype(int).idxmax()]


def test_every_rule_has_its_cases():
    assert set(CASES) == set(RULES.names)
    assert {rule.name for rule in RULES} | {"indeterminate"} == set(VOCABULARY)


@pytest.mark.parametrize("key", CASES)
def test_a_rule_names_its_object_and_not_the_near_miss(key):
    things, miss = CASES[key]
    rule, slice_mm = RULES[key], THICK.get(key, 0.8)
    row = main_row(table_of(things, slice_mm)[0])
    assert row["pattern"] == rule.name, row["pattern_reason"]
    # The rule itself decided: its first condition stands in the reason.
    assert rule.conditions[0].column in row["pattern_reason"]
    other = main_row(table_of(miss, slice_mm)[0])
    assert other["pattern"] != rule.name, other["pattern_reason"]


def test_a_group_pattern_stands_on_each_member_and_on_the_group():
    table, groups = table_of(CASES["tram_track (two lines)"][0])
    assert len(table) == 2
    assert set(table["pattern"]) == {"tram_track"}
    assert table["parallel_distance_mm"].to_numpy() == pytest.approx([5.0, 5.0], abs=0.4)
    assert groups["pattern"].tolist() == ["tram_track"]
    assert "parallel_distance_mm" in groups["pattern_reason"].iloc[0]
    mixed, groups = table_of(solids(Ball((0, 0, 0), 5.0), Rod((-8, 9, 0), (8, 9, 0), 1.0)))
    assert set(mixed["pattern"]) == {"solid", "linear"}
    assert groups["pattern"].isna().all()


def test_the_union_of_fragments_is_measured_as_one():
    table, groups = table_of(CASES["ring (fragments)"][0])
    assert set(table["fragment_count"]) == {2}
    assert table["union_shell_radius_mm"].to_numpy() == pytest.approx([7.0, 7.0], abs=0.3)
    assert table["union_ring_arc_deg"].iloc[0] >= 300
    assert table["ring_arc_deg"].max() < 200
    assert groups["max_diameter_mm"].iloc[0] == pytest.approx(2 * (7.0 + 1.1), abs=1.2)
    assert groups["volume_halfmax_mm3"].iloc[0] == pytest.approx(table["volume_halfmax_mm3"].sum())


def test_a_table_without_groups_is_refused():
    detection = detect(
        render(45.0, solids(Ball((0, 0, 0), 4.0)), (20, 30, 30), (1.0, 0.8, 0.8), seed=1).volume,
        DetectionParams(separate=False),
    )
    with pytest.raises(UsageError, match=r"imaging\.group"):
        name_patterns(measure(detection))


def test_examples_are_drawn_again_from_the_same_seed_and_fit_their_box():
    for name in EXAMPLES:
        one, two = (example(name, np.random.default_rng(4), 1.0) for _ in range(2))
        assert [t.shape for t in one] == [t.shape for t in two]
        assert {t.pattern for t in one} == {name}
        assert np.abs([t.shape.bounds() for t in one]).max() <= 24


@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
def test_a_small_pattern_benchmark(slice_mm):
    """Three objects a class; the whole benchmark is tests/benchmarks/bench_patterns.py."""
    found = bench_patterns.run([slice_mm], objects=3, half="test", jobs=1)
    assert bench_patterns.scores(found)["F1"].mean() >= 0.85
