"""Groups of echogenic foci against places that are known, and hypotheses that take an echo for what it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import pipelines
from imaging import (
    FINDINGS,
    Clip,
    Context,
    classify,
    conform,
    find_echoes,
    group_echoes,
    measure_echoes,
    name_echo_patterns,
    rank_hypotheses,
    summarize_echo_groups,
)
from imaging.knowledge.conditions import FALSE, TRUE, UNKNOWN, cue
from imaging.knowledge.evidence import gather
from imaging.synthetic.bmode import Probe, Scanner, Target, render_bmode

PROBE = Probe("linear", 36.0, 46.0)
FINE = Scanner(axial_mm=0.3, lateral_mm=0.6)
PIXEL = (0.1, 0.12)


def plate(lateral: float, depth: float = 12.0) -> Target:
    return Target(lateral, depth, 3.0, 1.2, 8.0, 26.0, -25.0, 0.0, "plate")


def clip_of(*frames: list[Target], pixel_mm=PIXEL) -> Clip:
    images = [render_bmode(PROBE, t, pixel_mm=PIXEL, scanner=FINE, seed=k).image for k, t in enumerate(frames)]
    return Clip.from_array(np.stack(images), pixel_mm=pixel_mm)


def grouped(clip: Clip):
    echoes = find_echoes(clip)
    findings = name_echo_patterns(group_echoes(measure_echoes(echoes), echoes))
    deep = findings["shadow_class"].isin(("present", "strong"))
    return findings[deep].sort_values("column_index"), summarize_echo_groups(findings, echoes)


def test_near_foci_are_a_group_edge_to_edge() -> None:
    found, groups = grouped(clip_of([plate(-14.0), plate(-6.0), plate(14.0)]))
    one, two, three = found.to_dict("records")
    assert one["group_id"] == two["group_id"] != three["group_id"]
    assert [r["group_size"] for r in (one, two, three)] == [2, 2, 1]
    assert [r["distribution"] for r in (one, two, three)] == ["grouped", "grouped", "solitary"]
    assert one["nearest_neighbour_mm"] == pytest.approx(8.0 - 3.0, abs=0.8)
    assert three["nearest_neighbour_mm"] == pytest.approx(20.0 - 3.0, abs=0.8)
    row = groups.set_index("group_id").loc[one["group_id"]]
    assert row["group_size"] == 2
    assert row["max_diameter_mm"] == pytest.approx(8.0 + 3.0, abs=1.0)
    assert row["n_voxels"] == one["n_voxels"] + two["n_voxels"]
    assert row["intensity_unit"] == "grey"
    assert sorted(groups["group_id"]) == list(range(1, len(groups) + 1))


def test_without_calibration_lengths_of_groups_are_in_pixels() -> None:
    found, groups = grouped(clip_of([plate(-14.0), plate(-8.0), plate(14.0)], pixel_mm=None))
    assert found["nearest_neighbour_mm"].isna().all()
    between = 6.0 / 0.12 - found["echo_width_px"].iloc[:2].mean()
    assert found["nearest_neighbour_px"].iloc[0] == pytest.approx(between, abs=5)
    assert found["group_size"].tolist() == [2, 2, 1]
    lengths = [c for c in groups if c.endswith(("_mm", "_mm2", "_mm3"))]
    assert groups[lengths].isna().all().all()
    assert groups["max_diameter_px"].max() == pytest.approx(9.0 / 0.12, rel=0.15)


def test_foci_that_no_frame_shows_together_are_no_group() -> None:
    apart = [[plate(-14.0)]] * 4 + [[plate(-6.0)]] * 4
    found, _ = grouped(clip_of(*apart))
    assert found["group_size"].tolist() == [1, 1]
    assert found["nearest_neighbour_mm"].isna().all()
    together, _ = grouped(clip_of(*[[plate(-14.0), plate(-6.0)]] * 4))
    assert together["group_size"].tolist() == [2, 2]


def test_a_scan_has_groups_and_hypotheses() -> None:
    result = pipelines.analyze(clip_of([plate(-14.0), plate(-6.0)]), context=Context({"organ": "kidney"}), scan_id="s")
    deep = result.findings[result.findings["shadow_class"].isin(("present", "strong"))]
    assert len(deep) == 2
    assert deep["hypothesis"].notna().all()
    assert deep["hypothesis_tendency"].notna().all()
    assert set(deep["finding_id"]) <= set(result.hypotheses["finding_id"])
    assert (result.hypotheses["scan_id"] == "s").all()
    assert "kidney stone" in set(result.hypotheses["hypothesis"])
    assert result.record["n_groups"] == len(result.groups) > 0


# -- evidence --------------------------------------------------------------------------------------------------------


def table(**columns) -> pd.DataFrame:
    return conform(pd.DataFrame([{"scan_id": "s", "finding_id": 1, "modality": "US", **columns}]), FINDINGS)


def test_grey_is_no_hounsfield_and_an_echo_no_form() -> None:
    values = {"intensity_max": 250.0, "intensity_mean": 200.0, "background_mean": 0.0, "solidity": 0.3}
    evidence = gather(table(**values), Context())
    for text in ("intensity_max >= 200", "intensity_mean <= 250", "background_mean <= 0", "solidity <= 0.6"):
        assert cue(text).states(evidence).tolist() == [UNKNOWN]
        assert cue(text).states(gather(table(**values).assign(modality="CT"), Context())).tolist() == [TRUE]


def test_a_face_rules_out_no_body_behind_it() -> None:
    evidence = gather(table(pattern="arc"), Context())
    solid, branching = cue("pattern is solid, laminated"), cue("pattern is branching")
    assert solid.states(evidence).tolist() == [UNKNOWN]
    assert solid.allowed(evidence).tolist() == [TRUE]
    assert branching.states(evidence).tolist() == branching.allowed(evidence).tolist() == [FALSE]
    on_ct = gather(table(pattern="arc").assign(modality="CT"), Context())
    assert solid.allowed(on_ct).tolist() == [FALSE]


def test_flags_are_cues_and_a_comet_tail_counts_where_nobody_says_else() -> None:
    tailed = table(flags="comet_tail;uncalibrated")
    assert cue("flags is comet_tail, bone_like").states(gather(tailed, Context())).tolist() == [TRUE]
    assert cue("flags is bone_like").states(gather(tailed, Context())).tolist() == [FALSE]
    comet = cue("context.comet_tail")
    assert comet.states(gather(tailed, Context())).tolist() == [TRUE]
    assert comet.states(gather(tailed, Context({"comet_tail": False}))).tolist() == [FALSE]
    assert comet.states(gather(table(flags=""), Context())).tolist() == [UNKNOWN]


def test_what_echoes_are_called() -> None:
    def first(**columns):
        return classify(table(pattern="coarse", **columns))["hypothesis"].iloc[0]

    assert first(shadow_class="strong", flags="") == "calcification or stone with acoustic shadow"
    assert first(shadow_class="strong", flags="bone_like;interface") == "surface of a bone"
    assert first(shadow_class="absent", flags="").startswith("echo without clear shadow")
    statement = rank_hypotheses(table(pattern="coarse", shadow_class="strong", flags=""))["statement"].iloc[0]
    assert "intensity" not in statement


def test_one_finding_in_two_regions_is_not_linked() -> None:
    one = clip_of([plate(-14.0), plate(-6.0)])
    (region,) = one.regions
    middle = int(46 / 0.12 / 2) - round(10 / 0.12) + 70
    halves = (replace(region, x1=middle), replace(region, x0=middle + 1))
    found, _ = grouped(replace(one, regions=halves))
    assert found["group_size"].max() == 1
