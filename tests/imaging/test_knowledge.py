"""The knowledge base: every entry is sound, comes first where it should, and says nothing that it must not."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging import FINDINGS, HYPOTHESES, NOTICE, Context, UsageError, classify, conform, entities, rank_hypotheses
from imaging.classification import RuleClassifier, rule_classifier
from imaging.knowledge.base import FORBIDDEN, MECHANISMS, TENDENCIES, load_entities, parse
from imaging.knowledge.conditions import FALSE, TRUE, UNKNOWN, Evidence, cue
from imaging.knowledge.context import KEYS, SITES, site_of
from imaging.knowledge.evidence import gather
from imaging.knowledge.wording import listing
from tests.imaging.vignettes import VIGNETTES

ENTITIES = {e.name: e for e in entities()}


def table(columns, n=1, scan="s"):
    """`n` findings of one scan and one group that are alike."""
    row = {"modality": "CT", "group_id": 1, **columns}
    made = pd.DataFrame([{**row, "scan_id": scan, "finding_id": k + 1} for k in range(n)])
    if n > 1:
        made["centroid_x_mm"] = np.linspace(0, 60, n)
        made["group_size"] = n
    return conform(made, FINDINGS)


def first(columns, context=(), n=1):
    return classify(table(columns, n), context=Context(dict(context))).iloc[0]


# -- every entry ---------------------------------------------------------------------------------------------------


def test_every_entry_has_a_vignette():
    assert [v[0] for v in VIGNETTES] == list(ENTITIES)
    assert len(ENTITIES) >= 80


@pytest.mark.parametrize(("name", "columns", "context", "n"), VIGNETTES, ids=[v[0] for v in VIGNETTES])
def test_vignette_ranks_its_entry_first(name, columns, context, n):
    row = first(columns, context, n)
    assert row["hypothesis"] == name, row["hypotheses_ranked"]
    assert row["hypothesis_tendency"] == ENTITIES[name].tendency
    assert (row["mechanism"] if isinstance(row["mechanism"], str) else "") == ENTITIES[name].mechanism


@pytest.mark.parametrize(("name", "columns", "context", "n"), VIGNETTES, ids=[v[0] for v in VIGNETTES])
def test_another_place_or_form_does_not_name_the_entry(name, columns, context, n):
    entity = ENTITIES[name]
    if entity.sites:
        other = columns | {"organ": "prostate" if "prostate" not in entity.sites else "thyroid"}
    else:
        other = columns | {"pattern": "branching" if name != "arterial wall calcification" else "amorphous"}
    listed = rank_hypotheses(table(other, n), context=Context(context), most=200)
    assert name not in set(listed["hypothesis"])


def test_all_sections_of_the_reference_are_covered():
    sites = {s for e in ENTITIES.values() for s in e.sites}
    assert sites == set(SITES)
    assert {e.mechanism for e in ENTITIES.values()} == {"", *MECHANISMS}
    assert {e.tendency for e in ENTITIES.values()} == set(TENDENCIES)


def test_no_text_says_what_it_must_not():
    texts = [line for e in ENTITIES.values() for line in listing(e)] + [k.meaning for k in KEYS.values()]
    for _, columns, context, n in VIGNETTES:
        shown = rank_hypotheses(table(columns, n), context=Context(context), most=200)
        wide = classify(table(columns, n), context=Context(context))
        texts += shown["statement"].str.replace(NOTICE, "").tolist()
        assert shown["statement"].str.endswith(NOTICE).all()
        for c in ("hypothesis", "hypotheses_ranked", "not_excluded", "mechanism"):
            texts += wide[c].dropna().tolist()
    assert len(texts) > 500
    for text in texts:
        for word in FORBIDDEN:
            assert word not in text.lower(), text


# -- missing things ------------------------------------------------------------------------------------------------


def test_a_site_that_is_not_known_is_never_guessed():
    row = first({"pattern": "popcorn"})
    assert not ENTITIES[row["hypothesis"]].sites
    listed = rank_hypotheses(table({"pattern": "popcorn"}), most=200).set_index("hypothesis")
    hamartoma = listed.loc["lung hamartoma"]
    assert hamartoma["conditional"]
    assert hamartoma["context_missing"].startswith("site lung")
    assert listed["conditional"].is_monotonic_increasing  # what applies comes before what depends
    assert first({"pattern": "popcorn", "organ": "lung_lower_lobe_left"})["hypothesis"] == "lung hamartoma"
    assert first({"pattern": "popcorn"}, {"organ": "lung"})["hypothesis"] == "lung hamartoma"


def test_body_part_rules_out_and_names_limbs_only():
    listed = rank_hypotheses(table({"pattern": "popcorn"}), context=Context({"body_part": "HEAD"}), most=200)
    assert not {"lung hamartoma", "uterine leiomyoma"} & set(listed["hypothesis"])
    thigh = rank_hypotheses(table({"pattern": "amorphous"}), context=Context({"body_part": "THIGH"}), most=200)
    sure = thigh[~thigh["conditional"].astype(bool)]
    assert "dystrophic soft-tissue calcification" in set(sure["hypothesis"])
    chest = gather(table({"pattern": "solid"}), Context({"body_part": "CHEST"}))
    assert chest.frame["site"].isna().all()


def test_missing_cues_are_listed_and_false_ones_count_for_nothing():
    finding = table({"organ": "muscle", "pattern": "ring_and_arc"})
    row = rank_hypotheses(finding, most=200).set_index("hypothesis").loc["chondrosarcoma"]
    for said in ("bone destruction", "soft tissue mass", "pain"):
        assert said in row["context_missing"]
    assert "bone_distance_mm at most 10" in row["cues_missing"]
    assert "pattern ring and arc" in row["cues_fired"]
    told = Context({"bone_destruction": False, "pain": True})
    again = rank_hypotheses(finding, context=told, most=200).set_index("hypothesis").loc["chondrosarcoma"]
    assert "bone destruction" not in again["context_missing"]
    assert again["score"] == row["score"] + 1


def test_an_opposing_cue_takes_points_and_is_named():
    base = {"organ": "muscle", "pattern": "lobulated", "max_diameter_mm": 80}
    plain = rank_hypotheses(table(base), most=200).set_index("hypothesis").loc["tumoral calcinosis"]
    bad = rank_hypotheses(table(base), context=Context({"bone_destruction": True}), most=200)
    bad = bad.set_index("hypothesis").loc["tumoral calcinosis"]
    assert bad["score"] == plain["score"] - 3
    assert bad["cues_against"] == "bone destruction"


def test_concern_is_named_as_not_excluded():
    row = first({"organ": "muscle", "pattern": "amorphous", "margin": "blurred"}, {"injection": True})
    assert row["hypothesis_tendency"] == "benign"
    assert "synovial sarcoma" in row["not_excluded"]
    assert "extraskeletal osteosarcoma" in row["not_excluded"]


def test_a_pattern_that_was_not_named_is_not_known():
    assert cue("pattern is solid").states(Evidence(table({"pattern": "indeterminate"})))[0] == UNKNOWN
    assert cue("pattern is solid, indeterminate").states(Evidence(table({"pattern": "indeterminate"})))[0] == TRUE
    row = first({"pattern": "indeterminate", "margin": "sharp", "max_diameter_mm": 3})
    assert row["hypothesis"] == "dystrophic calcification"
    row = first({"pattern": "popcorn", "margin": "blurred", "intensity_mean": 500.0, "organ": "eye"})
    assert row["hypothesis"] == "calcified cartilage or chondroid tumour"


def test_what_depends_on_something_unknown_is_listed_and_never_the_hypothesis():
    row = first({"pattern": "zonal"})
    assert "?" in row["hypotheses_ranked"]
    assert pd.isna(row["hypothesis"])
    assert pd.isna(row["hypothesis_tendency"])


def test_nothing_found_and_nothing_known():
    empty = table({}).iloc[:0]
    assert len(rank_hypotheses(empty)) == 0
    assert list(rank_hypotheses(empty).columns) == list(HYPOTHESES)
    assert classify(empty)["hypothesis"].dtype == "string"
    bare = classify(pd.DataFrame({"pattern": pd.Series(["solid"], dtype="string")}))
    assert isinstance(bare["hypothesis"].iloc[0], str)


# -- cues ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value", "state"), [
    ("max_diameter_mm <= 10", 10.0, TRUE), ("max_diameter_mm <= 10", 10.1, FALSE),
    ("max_diameter_mm >= 10", 10.0, TRUE), ("max_diameter_mm >= 10", np.nan, UNKNOWN),
])  # fmt: skip
def test_numbers(text, value, state):
    assert cue(text).states(Evidence(table({"max_diameter_mm": value})))[0] == state


@pytest.mark.parametrize(("band", "text", "state"), [
    ("50-59", "context.age >= 50", TRUE), ("50-59", "context.age >= 60", FALSE),
    ("50-59", "context.age >= 55", UNKNOWN),
    ("50-59", "context.age <= 59", TRUE), ("50-59", "context.age <= 49", FALSE), ("90+", "context.age >= 80", TRUE),
    (57, "context.age >= 55", TRUE),
])  # fmt: skip
def test_age_bands_say_no_more_than_they_know(band, text, state):
    assert cue(text).states(gather(table({}), Context({"age": band})))[0] == state


@given(st.lists(st.sampled_from(sorted(KEYS)), max_size=6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_more_context_never_adds_missing_context(keys, value):
    facts = {k: value for k in keys if KEYS[k].kind == "flag"}
    one = table({"organ": "liver", "pattern": "coarse"})
    before = rank_hypotheses(one, most=500).set_index("hypothesis")["context_missing"]
    after = rank_hypotheses(one, context=Context(facts), most=500).set_index("hypothesis")["context_missing"]
    for name in before.index.intersection(after.index):
        assert set(after[name].split("; ")) <= set(before[name].split("; ")) | {""}


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_order_of_rows_does_not_matter(order):
    rows = [table(c, 1).assign(finding_id=k + 1) for k, (_, c, _, _) in enumerate(VIGNETTES[:6])]
    whole = pd.concat(rows, ignore_index=True)
    plain = classify(whole).set_index("finding_id")["hypotheses_ranked"]
    mixed = classify(whole.iloc[list(order)].reset_index(drop=True)).set_index("finding_id")["hypotheses_ranked"]
    assert mixed.loc[plain.index].equals(plain)


def test_evidence_of_group_and_scan():
    left, right = (
        table({"organ": "kidney_left", "side": "left", "pattern": "punctate"}, 3),
        table({"organ": "kidney_right", "side": "right", "pattern": "solid"}, 1).assign(finding_id=4, group_id=2),
    )
    found = gather(pd.concat([left, right], ignore_index=True), Context()).frame
    assert found["scan.count"].tolist() == [4] * 4
    assert found["scan.groups"].tolist() == [2] * 4
    assert found["scan.sides"].tolist() == ["both"] * 4
    assert found["scan.same_site"].tolist() == [4] * 4
    assert found["scan.same_pattern"].tolist() == [3, 3, 3, 1]
    assert found["group.count"].tolist() == [3, 3, 3, 1]
    assert found["group.extent_mm"].tolist()[:3] == [60] * 3
    assert np.isnan(found["group.extent_mm"].iloc[3])
    assert found["group.punctate_share"].tolist() == [1, 1, 1, 0]
    two = pd.concat([table({"pattern": "solid"}, 2, "a"), table({"pattern": "solid"}, 1, "b")])
    apart = gather(two, Context()).frame
    assert apart["scan.count"].tolist() == [2, 2, 1]


@pytest.mark.parametrize(("name", "site"), [
    ("liver", "liver"), ("liver_segment_3", "liver"), ("portal_vein_and_splenic_vein", "vessel"),
    ("lung_upper_lobe_left", "lung"), ("urinary_bladder", "bladder"), ("Kidney L", "kidney"),
    ("gallbladder", "gallbladder"),
    ("gluteus_maximus_left", "soft_tissue"), ("renal_artery", "vessel"), ("heart_atrium_left", "heart"),
    ("lesion", None),
])  # fmt: skip
def test_sites_of_mask_names(name, site):
    assert site_of(name) == site


# -- context -------------------------------------------------------------------------------------------------------


def test_context_from_header_and_file(tmp_path):
    file = tmp_path / "c=1.toml"
    file.write_text('organ = "liver"\n[scans.s]\nage = 61\n[scans.s.findings.2]\norgan = "kidney"\ntrauma = true\n')
    header = {"body_part": "ABDOMEN", "contrast_agent": True, "patient_age_band": "60-69", "kvp": 120.0}
    known = Context.from_header(header) | Context.load([file, "pain=yes", "age=62"])
    assert known.of("s", 1) == {"body_part": "ABDOMEN", "contrast": True, "age": 61, "organ": "liver", "pain": True}
    assert known.of("s", 2)["organ"] == "kidney"
    assert known.of("other", 2)["age"] == 62
    assert known.of("other", 2)["organ"] == "liver"
    assert Context.from_header({"body_part": "UMBILICUS", "contrast_agent": None}).values == {}


@pytest.mark.parametrize(("given_text", "said"), [
    ("oragn=liver", "organ"), ("organ=spaceship", "sites"), ("pain=perhaps", "true or false"), ("age=200", "years"),
    ("body_part=TIHGH", "THIGH"), ("age=old", "years"), ("sex=7", "female"),
])  # fmt: skip
def test_context_that_is_not_understood_is_refused(given_text, said):
    with pytest.raises(UsageError, match=said):
        Context.load(given_text)


def test_context_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Context.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("organ =")
    with pytest.raises(UsageError, match="valid TOML"):
        Context.load(tmp_path / "bad.toml")


# -- loading -------------------------------------------------------------------------------------------------------

GOOD = """version = 2
[[entity]]
name = "thing"
tendency = "benign"
evidence = "B"
source = "a paper"
requires = ["pattern is solid"]
[entity.for]
"max_diameter_mm <= 10" = 2
"""


@pytest.mark.parametrize(("old", "new", "said"), [
    ('tendency = "benign"', 'tendency = "fine"', "'thing'.*'tendency'.*benign"),
    ('evidence = "B"', 'evidence = "D"', "'thing'.*'evidence'"),
    ('source = "a paper"', "", "'thing'.*'source' is absent"),
    ('source = "a paper"', 'source = " "', "'thing'.*'source'"),
    ('name = "thing"', "", "without name.*'name' is absent"),
    ('name = "thing"', 'name = "malignant thing"', "'name'.*malignan"),
    ('source = "a paper"', 'source = "a paper"\nsuorce = "x"', "'suorce' is unknown.*source"),
    ('source = "a paper"', 'source = "a paper"\nsite = "livre"', "'site'.*livre.*liver"),
    ('source = "a paper"', 'source = "a paper"\nmechanism = "magic"', "'mechanism'"),
    ('10" = 2', '10" = 7', "'for'.*weight 7"), ("10\" = 2", "10\" = true", "'for'.*True"),
    ("10\" = 2", "10\" = 1.5", "'for'.*1.5"),
    ("max_diameter_mm", "max_diametre_mm", "'for'.*max_diametre_mm.*max_diameter_mm"),
    ("<= 10", "is 10", "'for'.*number"), ("<= 10", "<= ten", "'for'.*no number"), ("<= 10", "< 10", "'for'.*must be"),
    ("pattern is solid", "pattern is sollid", "'requires'.*sollid.*solid"),
    ("pattern is solid", "pattern", "'requires'.*word"),
    ("pattern is solid", "context.pian", "'requires'.*pian.*pain"),
    ("pattern is solid", "context.pain >= 2", "'requires'.*flag"),
    ("pattern is solid", "scan.cuont >= 2", "'requires'.*scan.count"),
    ("pattern is solid", "patient.age >= 2", "'requires'.*unknown evidence"),
    ("version = 2", "version = 1", "'version'"), ("[[entity]]", "[entity]", "must|entity"),
    ("version = 2", "version =", "TOML"),
])  # fmt: skip
def test_an_entry_that_is_wrong_is_named_with_its_key(old, new, said):
    assert old in GOOD
    with pytest.raises(UsageError, match=said):
        parse(GOOD.replace(old, new, 1), "mine.toml")


def test_a_base_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    own = RuleClassifier(load_entities(file))
    row = classify(table({"pattern": "solid", "max_diameter_mm": 4}), own).iloc[0]
    assert row["hypothesis"] == "thing"
    assert row["hypotheses_ranked"] == "thing (2)"
    file.write_text(GOOD + GOOD.removeprefix("version = 2\n"))
    with pytest.raises(UsageError, match="'name' is taken"):
        load_entities(file)
    with pytest.raises(UsageError, match="cannot be read"):
        load_entities(tmp_path / "none.toml")


def test_points_are_the_weights_that_fire():
    (entity,) = parse(GOOD, "x")
    entity = dataclasses.replace(entity, opposes=((cue("margin is blurred"), 1),))
    own = RuleClassifier((entity,))
    rows = pd.concat([
        table({"pattern": "solid", "max_diameter_mm": d, "margin": m})
        for d, m in ((4, "sharp"), (4, "blurred"), (40, "sharp"), (np.nan, "sharp"))
    ], ignore_index=True)  # fmt: skip
    assert own.assess(rows).points[:, 0].tolist() == [2, 1, 0, 0]
    assert np.isnan(own.scores(rows)[:, 0]).tolist() == [False, False, True, True]
    assert rule_classifier().tendency("stone") == "benign"


def test_nobody_else_has_these_columns():
    assert not {c for c in HYPOTHESES if c in FINDINGS} - {
        "scan_id", "finding_id", "hypothesis", "mechanism", "not_excluded",
    }  # fmt: skip


def test_every_source_stands_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "classifier.md").read_text(encoding="utf-8")
    for e in ENTITIES.values():
        row = f"| {e.name} | {', '.join(e.sites) or 'anywhere'} | {e.tendency} | {e.evidence} | {e.source} |"
        assert row in text, row
