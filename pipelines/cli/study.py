"""Commands on folders of scans: run, inspect, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .app import Context, Inputs, app
from .terminal import print_summary, progress, set_up_logging


@app.command()
def run(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", help="output folder: new, empty, or of calcimap", show_default=False)],
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="worker processes; by default the cores that memory and work allow"),
    ] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="address of a running Dask cluster")] = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="only this part of the scans; without it at the end, for all")
    ] = "1/1",
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
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="measure this segmentation instead: NIfTI, NRRD, DICOM SEG, one finding a label"),
    ] = None,
    context: Context = None,
    captures: Annotated[
        bool, typer.Option("--captures", help="take PNG and JPEG in folders for ultrasound screen captures")
    ] = False,
    pixel_spacing: Annotated[
        float, typer.Option("--pixel-spacing", help="mm a pixel of screen captures; without it they stay in pixels")
    ] = 0.0,
    formats: Annotated[
        str, typer.Option("--formats", help="what to write, of csv,parquet,nifti,pictures,figures,viewer,report,seg,sr")
    ] = "csv,parquet,nifti,pictures,viewer,report",
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

    from .. import Config
    from .. import run as run_study

    set_up_logging(log_level, log_file)
    study = run_study(
        inputs,
        out,
        config=Config.load(config, [*_capture_settings(captures, pixel_spacing), *(settings or ())]),
        jobs=jobs,
        scheduler=scheduler,
        shard=shard,
        formats=[name.strip() for name in formats.split(",") if name.strip()],
        roi=roi,
        anatomy=anatomy,
        labels=labels,
        context=Known.load(context or ()),
        overwrite=overwrite,
        fail_fast=fail_fast,
        keep_identifiers=keep_identifiers,
        progress=None if quiet else progress(),
    )
    if not quiet:
        print_summary(study, inputs)
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

    from .. import Config, inspection

    params = Config.load(config, [*_capture_settings(captures), *(settings or ())]).reading
    found = [find_series(root, params=params) for root in inputs]
    if as_json:
        print(json.dumps([inspection.as_json(f) for f in found], indent=1))
    else:
        for one in found:
            print("\n".join(inspection.lines(one)))
    raise typer.Exit(0 if any(f.series for f in found) else 3)


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="output folder of a run")]) -> None:
    """Write DIR/report.html again from the tables and pictures there."""
    from ..batch import load_study
    from ..writers.report import write_report

    study = load_study(folder)
    write_report(study)
    print(study.out / "report.html")


def _capture_settings(captures: bool, pixel_spacing: float = 0.0) -> list[str]:
    """The options for screen captures as settings; those that are not used change nothing."""
    used = {"reading.captures=true": captures, f"reading.pixel_spacing_mm={pixel_spacing}": pixel_spacing != 0}
    return [setting for setting, on in used.items() if on]
