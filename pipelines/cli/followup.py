"""Commands for more than one time: compare, repeatability."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app

Scans = Annotated[
    list[Path],
    typer.Argument(
        metavar="BASELINE FOLLOWUP...", help="folders of runs, scans/<scan_id> folders in them, or CT scans",
        show_default=False,
    ),
]  # fmt: skip
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", help="folder that the scans of runs are found in (their input); repeatable"),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with configuration keys")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="as followup.gate_mm=15; repeatable")
]


@app.command()
def compare(
    scans: Scans,
    out: Annotated[
        Path, typer.Option("--out", help="output folder: new, empty, or of a comparison", show_default=False)
    ],
    images: Images = None,
    limits: Annotated[Path | None, typer.Option("--limits", help="limits.toml that repeatability wrote")] = None,
    interval_days: Annotated[
        list[int] | None, typer.Option("--interval-days", help="between a scan and the one before; repeatable")
    ] = None,
    sr: Annotated[
        bool, typer.Option("--sr", help="a DICOM SR for each scan as well; it carries the patient's identity")
    ] = False,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Follow-up: what is new, resolved, grown or shrunk between scans of one patient, the earliest first."""
    from imaging import NOTICE

    from .. import Config
    from .. import compare as compare_scans

    made = compare_scans(
        scans, out, images=images or (), config=Config.load(config, settings or ()), limits=limits,
        intervals=interval_days or (), sr=sr,
    )  # fmt: skip
    for exam in made.timeline.exams:
        if (own := exam.own_threshold) is not None:
            level = exam.number("threshold_grow_hu")
            print(f"{exam.scan_id} is measured above {level:.0f} HU, as the noisiest scan is, and not {own:.0f} HU")
    for c in made.timeline.comparisons:
        registration = c.registration.method.replace("_", " ")
        counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in c.counts.items())
        print(f"{c.before.scan_id} to {c.after.scan_id} ({registration}): {counts or 'no findings in either scan'}")
        if not c.comparability.comparable:
            print(f"not comparable, no change is called: {c.comparability.reason}")
    print(f"report: {made.out / 'report.html'}\n{NOTICE}")


@app.command()
def repeatability(
    scans: Annotated[
        list[Path], typer.Argument(metavar="SCAN...", help="repeated scans of one patient, or one scan to perturb")
    ],
    out: Annotated[Path, typer.Option("--out", help="output folder for limits.toml", show_default=False)],
    images: Images = None,
    repeats: Annotated[int, typer.Option("--repeats", help="perturbed copies of one scan")] = 20,
    noise: Annotated[float, typer.Option("--noise", help="noise added, in SD of the scan's own")] = 0.5,
    shift: Annotated[float, typer.Option("--shift", help="largest shift, voxels")] = 0.5,
    blur: Annotated[float, typer.Option("--blur", help="largest further blur in the plane, mm FWHM")] = 0.5,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Measure what repeats differ by, for compare --limits: from repeated scans, or from perturbations of one."""
    from imaging import Perturbation

    from .. import Config
    from .. import repeatability as measure

    how = Perturbation(repeats=repeats, noise=noise, shift_voxels=shift, blur_mm=blur, seed=seed)
    made = measure(
        scans, out, images=images or (), config=Config.load(config, settings or ()), perturbation=how
    )  # fmt: skip
    print(
        f"{made.n} repeated findings ({made.source}): volume {made.volume_sqrt:.3g} sqrt(V) and "
        f"{made.volume_relative:.1%}, diameter {made.diameter_mm:.2g} mm, integrated HU {made.integrated_relative:.1%}"
    )
    print(f"limits: {out / 'limits.toml'}")
