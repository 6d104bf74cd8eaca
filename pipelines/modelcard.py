"""The card of a trained model: what it is, on whom it was trained, what was measured, and pictures of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imaging import NOTICE

MOST_FEATURES = 20


def write_card(evaluation: dict[str, Any], model: Path) -> None:
    """Write ``<model>.md`` and its pictures beside the model file.

    Parameters
    ----------
    evaluation : dict
        `imaging.Training.evaluation` with ``model_sha256``.
    model : Path
        The model file.
    """
    pictures = {
        "calibration": f"{model.stem}_calibration.png",
        "curves": f"{model.stem}_curves.png",
        "learning": f"{model.stem}_learning.png",
    }
    _calibration(evaluation, model.with_name(pictures["calibration"]))
    _curves(evaluation, model.with_name(pictures["curves"]))
    _learning(evaluation, model.with_name(pictures["learning"]))
    text = "\n".join(_lines(evaluation, pictures))
    model.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


def _lines(e: dict[str, Any], pictures: dict[str, str]) -> list[str]:
    chosen = ", ".join(f"{k} {v:g}" for k, v in e["setting"].items())
    lines = [
        f"# Model card: {e['target']}", "", f"**{NOTICE}**", "",
        f"File `{e['model_file']}`, SHA-256 `{e['model_sha256']}`.", "",
        "## What it is", "",
        f"- Predicts `{e['target']}`: {', '.join(f'{k} ({n} rows)' for k, n in e['labels'].items())}.",
        f"- Family {e['family']} ({chosen}), chosen and calibrated on held-out patients; seed {e['seed']}.",
        f"- Trained on {e['n_rows']} findings of {e['n_groups']} groups (`{e['group']}`).",
        f"- {e['n_unlabelled']} findings without label were left out.",
        f"- Versions: {', '.join(f'{k} {v}' for k, v in e['versions'].items())}.", "",
        "## What was measured", "",
        f"Validation: {e['validation']}. Intervals: 95 %, by resampling groups. Areas are means within folds.", "",
    ]  # fmt: skip
    if e["group"] == "scan_id":
        lines += ["**Grouped by scan: patients with several scans may be on both sides of a split.**", ""]
    lines += [
        "| label | share | ROC area | average precision | Brier score | calibration error |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, m in e["selected"]["by_label"].items():
        cells = [f"{m['prevalence']:.3f}", *(_cell(m[k]) for k in ("roc_auc", "average_precision", "brier"))]
        lines.append(f"| {name} | {' | '.join(cells)} | {m['calibration_error']:.3f} |")
    lines += ["", "By family, ROC area:", ""]
    for family, m in e["by_family"].items():
        lines.append(f"- {family}: " + ", ".join(f"{k} {_cell(v['roc_auc'])}" for k, v in m["by_label"].items()))
    lines += [
        "", f"![Calibration]({pictures['calibration']})", "", f"![ROC and precision-recall]({pictures['curves']})", "",
        f"![Learning curve]({pictures['learning']})", "", "## What it looks at", "",
        "Loss of mean ROC area when a feature is shuffled among held-out rows:", "", "| feature | loss | SD |",
        "|---|---|---|",
    ]  # fmt: skip
    for row in e["importance"][:MOST_FEATURES]:
        lines.append(f"| {row['feature']} | {row['auc_drop']:.4f} | {row['sd']:.4f} |")
    lines += ["", "## What it needs", "", "Features with their units; a table with another definition is refused:", ""]
    for f in e["schema"]["features"]:
        words = f" (words: {', '.join(f['levels'])})" if f["levels"] else ""
        lines.append(f"- `{f['name']}`{', ' + f['unit'] if f['unit'] else ''}{words}")
    lines += ["", "Made with:", ""]
    lines += [f"- `{k}`: {' or '.join(v)}" for k, v in e["schema"]["made"].items()] or ["- not known"]
    return [
        *lines, "", "## Limits", "",
        "- It knows the patients it was trained on: other scanners and populations need their own validation.",
        "- Probabilities are calibrated to the shares of the training labels.",
        "- Labels decide: it repeats their mistakes.",
    ]  # fmt: skip


def _cell(m: dict[str, float | None]) -> str:
    if m["value"] is None:
        return "not defined"
    return f"{m['value']:.3f} ({m['low']:.3f} to {m['high']:.3f})"


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * columns, 4.0), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _calibration(e: dict[str, Any], file: Path) -> None:
    figure, (axis,) = _figure(1)
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, m in e["selected"]["by_label"].items():
        points = [(b["predicted"], b["observed"]) for b in m["calibration"]]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    axis.set(xlabel="predicted probability", ylabel="observed share", title="Calibration, held-out patients")
    axis.legend(frameon=False)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _curves(e: dict[str, Any], file: Path) -> None:
    figure, (roc, precision) = _figure(2)
    for name, m in e["selected"]["by_label"].items():
        if m["roc"]:
            roc.plot(*zip(*m["roc"], strict=True), label=f"{name}: {_cell(m['roc_auc'])}")
            precision.plot(*zip(*m["precision_recall"], strict=True), label=name)
    roc.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    roc.set(xlabel="false positive rate", ylabel="sensitivity", title="ROC")
    precision.set(xlabel="recall", ylabel="precision", title="Precision-recall", ylim=(0, 1.02))
    roc.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _learning(e: dict[str, Any], file: Path) -> None:
    figure, (axis,) = _figure(1)
    curve = e["learning_curve"]
    axis.errorbar(
        [p["groups"] for p in curve], [p["roc_auc"] for p in curve], [p["roc_auc_sd"] for p in curve], marker="o",
        markersize=4, capsize=3,
    )  # fmt: skip
    axis.set(
        xlabel=f"training groups ({e['group']})", ylabel="mean ROC area", title="Learning curve (bars: SD of folds)"
    )
    figure.savefig(file, dpi=110, metadata={"Software": None})
