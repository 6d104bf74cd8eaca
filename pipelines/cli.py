"""The command line: arguments in, calls to `pipelines.run`, text out. Nothing is decided here."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from imaging import CalcimapError

    from .results import StudyResult
    from .task import Outcome

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find, measure and classify calcifications on CT and ultrasound. Research use only: never a diagnosis.",
)
LEVELS = ("debug", "info", "warning", "error")


def _version(wanted: bool) -> None:
    if wanted:
        from .provenance import version

        print(f"calcimap {version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # acted upon by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None: ...


Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="FILE|KEY=VALUE", help="what is known beside the images; repeatable"),
]
Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="folders, files or archives", show_default=False)
]


@app.command()
def run(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", help="output folder: new, empty, or of calcimap", show_default=False)],
    jobs: Annotated[int, typer.Option("--jobs", help="worker processes on this machine")] = 1,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="address of a running Dask cluster")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with configuration keys")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="as detection.threshold_hu=130; repeatable")
    ] = None,
    roi: Annotated[
        Path | None,
        typer.Option("--roi", help="masks that restrict the search: NIfTI, NRRD, DICOM SEG, RTSTRUCT, or a folder"),
    ] = None,
    anatomy: Annotated[
        Path | None,
        typer.Option(
            "--anatomy", help="organ masks of the same kinds, used for every scan: of one patient and position"
        ),
    ] = None,
    context: Context = None,
    captures: Annotated[
        bool, typer.Option("--captures", help="take PNG and JPEG in folders for ultrasound screen captures")
    ] = False,
    pixel_spacing: Annotated[
        float, typer.Option("--pixel-spacing", help="mm a pixel of screen captures; without it they stay in pixels")
    ] = 0.0,
    formats: Annotated[
        str, typer.Option("--formats", help="what to write, of csv,parquet,nifti,pictures,report")
    ] = "csv,parquet,nifti,pictures,report",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="analyse again what is finished")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop at the first refusal or failure")] = False,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="put DICOM identifiers into key.csv (mode 0600)")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print errors only")] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error")] = "warning",
    log_file: Annotated[Path | None, typer.Option("--log-file", help="write the log there")] = None,
) -> None:
    """Find every CT and ultrasound series, analyse each, write tables, label maps, pictures and a report."""
    from imaging import Context as Known

    from . import Config
    from . import run as run_study

    _set_up_logging(log_level, log_file)
    study = run_study(
        inputs,
        out,
        config=Config.load(config, [*_capture_settings(captures, pixel_spacing), *(settings or ())]),
        jobs=jobs,
        scheduler=scheduler,
        formats=[name.strip() for name in formats.split(",") if name.strip()],
        roi=roi,
        anatomy=anatomy,
        context=Known.load(context or ()),
        overwrite=overwrite,
        fail_fast=fail_fast,
        keep_identifiers=keep_identifiers,
        progress=None if quiet else _progress(),
    )
    if not quiet:
        _print_summary(study, inputs)
    raise typer.Exit(study.exit_code)


@app.command()
def inspect(
    inputs: Inputs,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    captures: Annotated[
        bool, typer.Option("--captures", help="take PNG and JPEG in folders for ultrasound screen captures")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with configuration keys")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="as reading.on_gap=split; repeatable")
    ] = None,
) -> None:
    """Show what is there: series, how they split and why, every ignored file with its reason."""
    from imaging import find_series

    from . import Config, inspection

    params = Config.load(config, [*_capture_settings(captures), *(settings or ())]).reading
    found = [find_series(root, params=params) for root in inputs]
    if as_json:
        print(json.dumps([inspection.as_json(f) for f in found], indent=1))
    else:
        for one in found:
            print("\n".join(inspection.lines(one)))
    raise typer.Exit(0 if any(f.series for f in found) else 3)


@app.command()
def features(
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
) -> None:
    """List what is measured: name, unit, definition, source."""
    from imaging import FEATURES, features_page

    if markdown:
        print(features_page(), end="")
        return
    for f in FEATURES:
        print(f"{f.name}  [{f.unit or '-'}]\n    {f.definition}\n    {f.source}")


@app.command()
def patterns() -> None:
    """List the rules that name patterns, in the order in which they are tried."""
    from imaging import RULES

    levels = ("up to 1.5 mm", "1.5 to 3.5 mm", "above 3.5 mm")
    for rule in RULES:
        print(f"{rule.key}: {rule.looks_like}")
        for c in rule.conditions:
            bound = " ".join((c.bound.__doc__ or "").split()) if callable(c.bound) else f"{c.bound:g}"
            print(f"    {c.column} {c.sign} {bound}{' (or missing)' if c.or_missing else ''}")
        print(f"    slice spacing: {', '.join(levels[k] for k in rule.levels)}")
        print(f"    also looks like it: {rule.confounders}\n    {rule.source}")


@app.command()
def scores() -> None:
    """List the definitions of the calcium score: parameters by tube voltage, source."""
    from imaging import SCORES

    for s in SCORES:
        print(f"{s.name}: {s.definition}\n    {s.connectivity}-connected in the slice, {s.size_rule}")
        for kvp, limits in sorted(s.limits_hu.items()):
            own = f"; volume and mass from {s.volume_hu[kvp]:g} HU" if kvp in s.volume_hu else ""
            print(f"    {kvp:g} kV: weights 1/2/3/4 from {'/'.join(f'{v:g}' for v in limits)} HU{own}")
        print(f"    {s.source}")


@app.command()
def hypotheses(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="output folder of a run")] = None,
    context: Context = None,
    model: Annotated[Path | None, typer.Option("--model", help="a trained model in place of the rules")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the table there: .csv or .parquet")] = None,
) -> None:
    """List the knowledge base; with DIR, rank the hypotheses of a run again, with --context."""
    from imaging import NOTICE, entities, listing
    from imaging import Context as Known

    if folder is None:
        print(NOTICE)
        for entry in entities():
            print("\n".join(listing(entry)))
        return
    from .batch import load_study
    from .hypotheses import lines, rank_study, write_hypotheses
    from .training import open_model

    table = rank_study(load_study(folder), Known.load(context or ()), open_model(model) if model else None)
    print("\n".join(lines(table)))
    if out is not None:
        write_hypotheses(table, out)


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

    from .training import train as train_files

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

    from .training import predict_table

    made = predict_table(model, table, out, sha256=sha256, unverified=unverified)
    counts = made["predicted"].value_counts()
    print(f"{len(made)} findings: {', '.join(f'{n} {name}' for name, n in counts.items())}\n{NOTICE}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="output folder of a run")]) -> None:
    """Write DIR/report.html again from the tables and pictures there."""
    from .batch import load_study
    from .writers.report import write_report

    study = load_study(folder)
    write_report(study)
    print(study.out / "report.html")


@app.command()
def doctor() -> None:
    """Show versions, and which transfer syntaxes can be decoded here."""
    from imaging import decoders

    from .provenance import versions

    for name, number in versions().items():
        print(f"{name:14} {number}")
    print("\ntransfer syntaxes")
    rows = decoders()
    for row in rows:
        print(f"  {'yes' if row['available'] else 'NO ':4} {row['name']}  ({row['uid']}; {row['codec']})")
    raise typer.Exit(0 if all(r["available"] for r in rows) else 1)


def main(arguments: list[str] | None = None) -> int:
    """Entry point: one line for what a person can mend, exit codes of DESIGN section 2."""
    from imaging import CalcimapError, UsageError

    logging.getLogger("calcimap").addHandler(logging.NullHandler())
    parse_error = cast(
        "type[Exception]", typer.BadParameter.__mro__[1]
    )  # UsageError of the click that this typer uses, its own or the real one
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(arguments or ["--help"], prog_name="calcimap", standalone_mode=False)
    except UsageError as error:
        return _complain(error, 2)
    except CalcimapError as error:
        return _complain(error, 8)
    except parse_error as error:
        text = error.format_message()  # type: ignore[attr-defined]  # of click
        print(f"calcimap: {text} See calcimap --help.", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("calcimap: stopped; finished scans are kept, run the same command again to go on", file=sys.stderr)
        return 130
    return int(code or 0)


def _complain(error: CalcimapError, code: int) -> int:
    place = f"{error.path}: " if error.path else ""
    print(f"calcimap: {place}{error.message}", file=sys.stderr)
    return code


def _set_up_logging(level: str, file: Path | None) -> None:
    from imaging import UsageError

    if level not in LEVELS:
        raise UsageError(f"--log-level must be one of {', '.join(LEVELS)}, got {level!r}")
    logger = logging.getLogger("calcimap")
    logger.setLevel(level.upper())
    try:
        handler = logging.StreamHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the log file cannot be written ({error.strerror}); give another path", file) from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)


def _capture_settings(captures: bool, pixel_spacing: float = 0.0) -> list[str]:
    """The options for screen captures as settings; those that are not used change nothing."""
    used = {"reading.captures=true": captures, f"reading.pixel_spacing_mm={pixel_spacing}": pixel_spacing != 0}
    return [setting for setting, on in used.items() if on]


def _progress() -> Callable[[int, int, Outcome | None], None] | None:
    """A progress bar for people; nothing where the output is no terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("scans"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("scans", total=None, note="")
    bar.start()

    def tell(done: int, total: int, outcome: Outcome | None) -> None:
        note = "" if outcome is None else f"{outcome.scan_id} {outcome.record['status']}"
        bar.update(task, completed=done, total=total, note=note)
        if done >= total:
            bar.stop()

    return tell


def _print_summary(study: StudyResult, inputs: list[Path]) -> None:
    counts = study.counts
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {len(study.findings)} findings")
    if not len(study.scans):
        print(f"no image series found under {', '.join(map(str, inputs))}; `calcimap inspect` lists every file")
    import pandas as pd

    paths = dict(pd.read_csv(study.out / "key.csv", dtype=str)[["scan_id", "path"]].to_numpy())
    bad = study.scans[study.scans["status"].isin(["refused", "failed"])]
    for status, name, reason, message in bad[["status", "scan_id", "reason", "message"]].to_numpy():
        print(f"{status} {name} ({paths[name]}): {reason}: {message}")
    if (study.out / "report.html").exists():
        print(f"report: {study.out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
