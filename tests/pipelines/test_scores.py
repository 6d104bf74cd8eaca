"""Calcium scores on the whole way: configuration, listing, burden table."""

import numpy as np
import pandas as pd
import pytest

from imaging import BURDEN, FINDINGS, SCORES, Anatomy, UsageError
from pipelines import Config, analyze
from pipelines.batch import load_study
from pipelines.cli import main

from .phantoms import SPACING, phantom
from .test_report import study_of


def config(*settings):
    return Config.load(None, settings)


def with_header(volume, **header):
    return volume.replace(header=header)


@pytest.fixture(scope="module")
def result():
    asked = config("scores.definition=siemens", "scores.mass_factor_mg_per_cm3_per_hu=0.75")
    return analyze(with_header(phantom(), kvp=120.0), asked, scan_id="a" * 16)


def test_the_definition_and_its_parameters_stand_on_each_row(result):
    assert len(result.findings) > 0
    assert result.findings["agatston_definition"].str.startswith("siemens: >= 130 HU, weights 1/2/3/4 from").all()
    assert (result.findings["agatston"] > 0).all()
    assert (result.findings["mass_mg"] > 0).all()
    assert result.record["score_definition"].startswith("siemens: ")
    assert result.record["score_refused"] is None


def test_settings(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[scores]\ndefinition = "fqm"\nhu_limits = [120, 180, 270, 360]\nkvp = 140\n')
    params = config("scores.definition=canon").scores
    assert params.definition == "canon"
    assert Config.load(file).scores.hu_limits == (120, 180, 270, 360)
    assert config("scores.hu_limits=[120, 180, 270, 360]").scores.hu_limits == (120, 180, 270, 360)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("scores.definition=literture", "did you mean literature"),
        ("scores.defintion=fqm", "scores.definition"),
        ("scores.mass_factor_mg_per_cm3_per_hu=-1", "positive"),
        ("scores.on_enhanced=maybe", "on_enhanced"),
        ("scores.hu_limits=[1, 2]", "four ascending"),
    ],
)
def test_mistakes_are_named(setting, said):
    with pytest.raises(UsageError, match=said):
        config(setting)


def test_an_unknown_definition_ends_with_2(tmp_path, capsys):
    assert main(["run", str(tmp_path), "--out", str(tmp_path / "out"), "--set", "scores.definition=fmq"]) == 2
    assert "did you mean fqm" in capsys.readouterr().err


def test_the_listing_holds_every_definition_with_its_tables_and_source(capsys):
    assert main(["scores"]) == 0
    out = capsys.readouterr().out
    for entry in SCORES:
        assert f"{entry.name}: {entry.definition}" in out
        assert entry.source in out
    assert "70 kV: weights 1/2/3/4 from 207/318/477/636 HU" in out
    assert "volume and mass from 112.5 HU" in out


def test_burden_sums_the_findings(result):
    (everything,) = result.burden[result.burden["organ"] == "(all)"].to_dict("records")
    for name in ("agatston", "weighted_area_score", "volume_score_mm3", "mass_mg", "mass_integrated_mg", "volume_mm3"):
        assert everything[name] == pytest.approx(result.findings[name].sum()), name
    assert everything["n_findings"] == everything["n_scored"] == len(result.findings)
    assert list(result.burden.columns) == list(BURDEN)
    assert result.burden["organ"].to_list() == ["(all)", "(unknown)"]


def test_burden_by_organ():
    volume = with_header(phantom(), kvp=120.0)
    x = (np.arange(volume.shape[2]) - (volume.shape[2] - 1) / 2) * SPACING[2]
    left = np.broadcast_to(x > 0, volume.shape)
    anatomy = Anatomy.from_masks(volume, {"heart": ~left, "liver": left})
    result = analyze(volume, anatomy=anatomy, scan_id="b" * 16)
    table = result.burden.set_index("organ")
    assert set(table.index) == {"(all)", "heart", "liver"}
    assert np.isnan(table.loc["liver", "agatston"])
    assert table.loc["liver", "weighted_area_score"] > 0
    assert table.loc["(all)", "agatston"] == pytest.approx(table.loc["heart", "agatston"])
    both = table.loc[["heart", "liver"], "weighted_area_score"].sum()
    assert table.loc["(all)", "weighted_area_score"] == pytest.approx(both)
    areas = [table.loc[o, "weighted_area_score"] / table.loc[o, "density_score"] for o in ("heart", "liver")]
    assert table.loc["(all)", "density_score"] == pytest.approx(both / sum(areas))
    assert table["mass_mg"].isna().all()


def test_nothing_found_is_zero_and_not_scored_is_missing():
    quiet = with_header(phantom(balls=()), kvp=120.0)
    (row,) = analyze(quiet, scan_id="c" * 16).burden.to_dict("records")
    assert (row["n_findings"], row["agatston"], row["weighted_area_score"], row["volume_score_mm3"]) == (0, 0, 0, 0)
    assert np.isnan(row["mass_mg"])
    assert np.isnan(row["density_score"])
    calibrated = analyze(quiet, config("scores.mass_factor_mg_per_cm3_per_hu=0.8")).burden.iloc[0]
    assert calibrated["mass_mg"] == 0
    for volume in (quiet, phantom()):
        refused = analyze(with_header(volume, kvp=120.0, contrast_agent=True), scan_id="d" * 16)
        row = refused.burden.iloc[0]
        assert row["score_refused"] == "contrast_enhanced"
        assert row[["agatston", "weighted_area_score", "volume_score_mm3", "n_scored", "mass_mg"]].isna().all()
        assert refused.findings["agatston"].isna().all()


def test_the_tables_are_written_and_read_again(result, tmp_path):
    from pipelines.writers.tables import write_csv, write_parquet

    study = study_of(tmp_path, [result])
    write_csv(study)
    write_parquet(study)
    (tmp_path / "run.json").write_text("{}")
    table = pd.read_csv(tmp_path / "burden.csv")
    assert list(table.columns) == list(BURDEN)
    assert table["agatston"].iloc[0] == pytest.approx(result.findings["agatston"].sum())
    pd.testing.assert_frame_equal(load_study(tmp_path).burden, study.burden)


def test_scans_that_were_not_analysed_have_no_burden(result, tmp_path):
    refused = {"scan_id": "f" * 16, "status": "refused", "reason": "gap", "modality": "CT"}
    study = study_of(tmp_path, [result], [refused])
    assert set(study.burden["scan_id"]) == {result.scan_id}
    assert len(study_of(tmp_path, []).burden) == 0


def test_scores_stand_in_the_data_dictionary():
    for name in ("weighted_area_score", "volume_score_mm3", "mass_integrated_mg", "agatston"):
        assert FINDINGS[name].definition
    assert "not measured" not in FINDINGS["agatston"].definition
