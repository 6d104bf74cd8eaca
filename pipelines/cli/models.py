"""Commands for learned classifiers: train, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command()
def train(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="findings.csv, findings.parquet or folder of a run")],
    labels: Annotated[Path, typer.Option("--labels", help="table with scan_id, finding_id and the target")],
    target: Annotated[str, typer.Option("--target", help="column of the labels to learn")],
    out: Annotated[Path, typer.Option("--out", help="model file, in a folder of its own")],
    group: Annotated[
        str | None, typer.Option("--group", help="column that says whose a row is; patient_key or scan_id otherwise")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="auto, linear or boosting")] = "auto",
    features: Annotated[str | None, typer.Option("--features", help="columns to learn from, by comma")] = None,
    tendency: Annotated[
        list[str] | None, typer.Option("--tendency", metavar="LABEL=TENDENCY", help="benign, concern or indeterminate")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a model that is there")] = False,
) -> None:
    """Train a classifier on your labels, validated by patient; writes model, card and evaluation.json."""
    from imaging import NOTICE

    from ..training import train as train_files

    done = train_files(
        table, labels, target, out, group=group, family=model,  # type: ignore[arg-type]  # checked by train_model
        features=[f.strip() for f in features.split(",")] if features else None,
        tendencies=dict(t.partition("=")[::2] for t in tendency or ()), seed=seed, overwrite=overwrite,
    )  # fmt: skip
    e = done.evaluation
    print(f"{e['family']}: {e['n_rows']} findings of {e['n_groups']} groups ({e['group']}), {e['validation']}")
    for name, m in e["selected"]["by_label"].items():
        auc = m["roc_auc"]
        text = "not defined" if auc["value"] is None else f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
        print(f"  {name}: ROC area {text}, calibration error {m['calibration_error']:.3f}")
    print(f"card: {out.with_suffix('.md')}\n{NOTICE}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="findings.csv, findings.parquet or folder of a run")],
    out: Annotated[Path, typer.Option("--out", help="where to write: .csv or .parquet")],
    sha256: Annotated[str | None, typer.Option("--sha256", help="hash the model must have, from its card")] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="take a table that does not say with which settings it was made")
    ] = False,
) -> None:
    """Add predicted and probability_<label> to a table; refuses one that was made otherwise than at training."""
    from imaging import NOTICE

    from ..training import predict_table

    made = predict_table(model, table, out, sha256=sha256, unverified=unverified)
    counts = made["predicted"].value_counts()
    print(f"{len(made)} findings: {', '.join(f'{n} {name}' for name, n in counts.items())}\n{NOTICE}")
