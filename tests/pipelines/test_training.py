"""train, predict and hypotheses from files, as the command runs them."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imaging import FINDINGS, NOTICE, conform, entities
from imaging.knowledge.base import FORBIDDEN
from pipelines import Config, StudyResult, open_model, predict_table, rank_study
from pipelines.cli import main
from pipelines.results import SCANS
from pipelines.schemas import store
from pipelines.training import read_table
from pipelines.writers.tables import write_csv, write_dictionary


def folder(out, n=240, seed=0, mode="adaptive"):
    """The output folder of a run with `n` findings of n / 4 scans and n / 8 patients; size decides the label."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({
        "scan_id": [f"{k // 4:016x}" for k in range(n)], "finding_id": np.arange(n) % 4 + 1, "modality": "CT",
        "intensity_unit": "HU", "max_diameter_mm": rng.gamma(3, 3, n), "intensity_max": rng.normal(500, 100, n),
        "sphericity": rng.random(n), "pattern": rng.choice(["solid", "rim", "arc"], n), "margin": "sharp",
    })  # fmt: skip
    rows.loc[rng.random(n) < 0.1, "sphericity"] = np.nan
    scans = pd.DataFrame({"scan_id": rows["scan_id"].unique(), "status": "analysed", "body_part": "THIGH"})
    scans["patient_key"] = [f"p{k // 2}" for k in range(len(scans))]
    out.mkdir(parents=True)
    store(out, {"findings": conform(rows, FINDINGS), "scans": conform(scans, SCANS)})
    write_csv(StudyResult(out, out))
    write_dictionary(out)
    config = Config.from_flat({"detection.threshold_mode": mode}).to_dict()
    (out / "run.json").write_text(json.dumps({"config": config}))
    labels = rows[["scan_id", "finding_id"]].assign(kind=np.where(rows["max_diameter_mm"] > 8, "large", "small"))
    labels.to_csv(out.parent / f"{out.name}_labels.csv", index=False)
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("train")
    folder(place / "run")
    arguments = ["--labels", str(place / "run_labels.csv"), "--target", "kind", "--model", "linear"]
    assert main(["train", str(place / "run"), *arguments, "--out", str(place / "m" / "kind.skops")]) == 0
    return place


def test_train_writes_model_hash_card_and_evaluation(place):
    made = {p.name for p in (place / "m").iterdir()}
    pictures = {f"kind_{n}.png" for n in ("calibration", "curves", "learning")}
    assert made == {"kind.skops", "kind.skops.sha256", "kind.md", "evaluation.json", *pictures}
    evaluation = json.loads((place / "m" / "evaluation.json").read_text())
    assert evaluation["group"] == "patient_key"
    assert evaluation["n_groups"] == 30
    assert evaluation["selected"]["by_label"]["large"]["roc_auc"]["value"] > 0.95
    assert evaluation["schema"]["made"]["detection.threshold_mode"] == ['"adaptive"']
    card = (place / "m" / "kind.md").read_text()
    for said in (NOTICE, evaluation["model_sha256"], "`max_diameter_mm`, mm", "30 groups", "calibration error"):
        assert said in card
    for word in FORBIDDEN:
        assert word not in card.replace(NOTICE, "").lower()
    for picture in re.findall(r"\]\((\S+\.png)\)", card):
        assert (place / "m" / picture).stat().st_size > 5000


@pytest.mark.parametrize("table", ["run", "run/findings.csv", "run/findings.parquet"])
@pytest.mark.parametrize("out", ["p.csv", "p.parquet"])
def test_predict_adds_columns(place, table, out, tmp_path, capsys):
    assert main(["predict", str(place / "m" / "kind.skops"), str(place / table), "--out", str(tmp_path / out)]) == 0
    assert NOTICE in capsys.readouterr().out
    made = pd.read_csv(tmp_path / out) if out.endswith("csv") else pd.read_parquet(tmp_path / out)
    labels = pd.read_csv(place / "run_labels.csv")
    assert (made["predicted"].to_numpy() == labels["kind"].to_numpy()).mean() > 0.95
    assert made[["probability_large", "probability_small"]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_table_made_with_other_settings_is_refused(place, tmp_path, capsys):
    other = folder(tmp_path / "fixed", mode="fixed")
    call = ["predict", str(place / "m" / "kind.skops"), str(other), "--out", str(tmp_path / "p.csv")]
    assert main(call) == 8
    assert 'threshold_mode is "fixed"' in capsys.readouterr().err
    (other / "run.json").unlink()
    assert main(call) == 8
    assert "--unverified" in capsys.readouterr().err
    assert main([*call, "--unverified"]) == 0
    assert not (tmp_path / "nothing").exists()


def test_a_dictionary_with_another_unit_is_refused(place, tmp_path, capsys):
    other = folder(tmp_path / "cm")
    text = (other / "columns.json").read_text()
    rows = json.loads(text)
    next(r for r in rows["findings"] if r["name"] == "max_diameter_mm")["unit"] = "cm"
    (other / "columns.json").write_text(json.dumps(rows))
    table = str(other / "findings.csv")
    assert main(["predict", str(place / "m" / "kind.skops"), table, "--out", str(tmp_path / "p.csv")]) == 8
    assert "max_diameter_mm (unit cm, was mm)" in capsys.readouterr().err


def test_a_changed_model_is_refused(place, tmp_path, capsys):
    for file in (place / "m").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = tmp_path / "kind.skops"
    assert open_model(model).labels == ("large", "small")
    model.write_bytes(model.read_bytes() + b"\0")
    assert main(["predict", str(model), str(place / "run"), "--out", str(tmp_path / "p.csv")]) == 8
    assert "SHA-256" in capsys.readouterr().err
    model.with_name("kind.skops.sha256").unlink()
    call = ["predict", str(model), str(place / "run"), "--out", str(tmp_path / "p.csv"), "--sha256", "00"]
    assert main(call) == 8


def test_places_that_cannot_be_used(place, tmp_path, capsys):
    arguments = ["--labels", str(place / "run_labels.csv"), "--target", "kind"]
    assert main(["train", str(place / "run"), *arguments, "--out", str(place / "m" / "kind.skops")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "none"), *arguments, "--out", str(tmp_path / "x.skops")]) == 2
    assert main(["train", str(place / "run"), *arguments, "--out", str(tmp_path)]) == 2
    model = str(place / "m" / "kind.skops")
    assert main(["predict", model, str(place / "run"), "--out", str(tmp_path / "p.xlsx")]) == 2
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    assert main(["predict", model, str(tmp_path / "bad.csv"), "--out", str(tmp_path / "p.csv")]) == 2
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    assert main(["predict", model, str(tmp_path / "bad.parquet"), "--out", str(tmp_path / "p.csv")]) == 2


def test_hypotheses_lists_the_base_and_ranks_a_run(place, tmp_path, capsys):
    assert main(["hypotheses"]) == 0
    listed = capsys.readouterr().out
    assert NOTICE in listed
    for entity in entities():
        assert entity.name in listed
        assert f"source: {entity.source}" in listed
    out = tmp_path / "h.csv"
    call = ["hypotheses", str(place / "run"), "--context", "soft_tissue_mass=true", "--out", str(out)]
    assert main(call) == 0
    shown = capsys.readouterr().out
    table = pd.read_csv(out)
    assert NOTICE in shown
    assert set(table["hypothesis"]) <= {e.name for e in entities()}
    assert set(table[~table["conditional"]]["hypothesis"]) & {e.name for e in entities() if "soft_tissue" in e.sites}
    assert main(["hypotheses", str(place / "run"), "--context", "organ=moon"]) == 2
    model = str(place / "m" / "kind.skops")
    assert main(["hypotheses", str(place / "run"), "--model", model]) == 0
    assert "large [indeterminate]" in capsys.readouterr().out


def test_python_entry_points(place, tmp_path):
    table = read_table(place / "run")
    assert table.made["detection.threshold_mode"] == '"adaptive"'
    assert table.rows["patient_key"].nunique() == 30
    assert len(predict_table(place / "m" / "kind.skops", place / "run", tmp_path / "p.parquet")) == 240
    from pipelines.batch import load_study

    (place / "run" / "run.json").exists()
    assert set(rank_study(load_study(place / "run"))["scan_id"]) == set(table.rows["scan_id"])


def test_a_run_takes_context(tmp_path, capsys):
    context = tmp_path / "c.toml"
    context.write_text('organ = "liver"\nendemic_echinococcosis = true\n')
    sample = Path(__file__).parents[2] / "sample_data" / "ct_abdomen"
    call = ["run", str(sample), "--out", str(tmp_path / "out"), "--formats", "csv,parquet"]
    assert main([*call, "--context", str(context)]) == 0
    table = pd.read_csv(tmp_path / "out" / "hypotheses.csv")
    assert "cystic echinococcosis of the liver" in set(table["hypothesis"])
    assert not table["conditional"].any()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["context"]["organ"] == "liver"
    assert main([*call, "--context", "oragn=liver"]) == 2
    assert "organ" in capsys.readouterr().err
    assert main(call) == 0  # another context: analysed again, not resumed
    again = pd.read_csv(tmp_path / "out" / "hypotheses.csv")
    assert again["conditional"].any()
