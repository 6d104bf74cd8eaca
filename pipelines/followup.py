"""Follow-up from paths to files: `calcimap compare` and `calcimap repeatability`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from imaging import (
    Exam,
    Limits,
    Perturbation,
    Registration,
    UsageError,
    differences,
    estimate_limits,
    follow,
    register_exams,
    repeats_of,
)

from . import provenance
from .config import Config
from .exams import open_exams
from .place import claim
from .results import FollowupResult
from .writers.dicom.followup import identities, write_followup_sr
from .writers.followup import write_followup
from .writers.followup_report import write_followup_report

MARK, LIMITS, REPEATS = "compare.json", "limits.toml", "repeats.csv"


def compare(
    scans: Sequence[str | Path],
    out: str | Path,
    *,
    images: Sequence[str | Path] = (),
    config: Config | None = None,
    limits: str | Path | Limits | None = None,
    intervals: Sequence[int] = (),
    sr: bool = False,
) -> FollowupResult:
    """Compare scans of one patient, the earliest first, and write the output folder.

    Parameters
    ----------
    scans : sequence of path
        Two or more: output folders of runs, ``scans/<scan_id>`` folders in them, or CT scans (see `open_exam`).
    out : path
        New, empty, or an output folder of a comparison.
    images : sequence of path
        Folders that the scans of runs are looked for in.
    config : Config, optional
    limits : path or Limits, optional
        What `calcimap repeatability` wrote; the literature's by default.
    intervals : sequence of int
        Days between each scan and the one before, where headers do not say.
    sr : bool
        Write a DICOM SR for each scan as well. It carries the identity of its patient.

    Raises
    ------
    UsageError
        Fewer than two scans, not in the order of their dates, or a path that is none.
    RefusedError
        ``registration_failed``: another patient, another part of the body, or no image to register;
        ``no_dicom_source``: an SR is asked for, and a scan is no DICOM.
    """
    if len(scans) < 2:
        raise UsageError("a comparison takes two scans or more, the earliest first")
    if intervals and len(intervals) != len(scans) - 1:
        raise UsageError(f"{len(scans)} scans have {len(scans) - 1} intervals, got {len(intervals)}")
    config = config or Config()
    used = limits if isinstance(limits, Limits) else Limits() if limits is None else read_limits(limits)
    folder = claim(Path(out), MARK)
    (folder / MARK).write_text('{"finished": false}\n', encoding="utf-8")
    for old in folder.glob("sr_*.dcm"):  # of another comparison: they would say what is no longer in the tables
        old.unlink()
    exams = open_exams(scans, images, config)
    who = identities(exams, config) if sr else []
    timeline = follow(exams, config.followup, limits=used, intervals=list(intervals))
    result = FollowupResult(folder, timeline)
    write_followup(result)
    write_followup_report(result)
    if sr:
        write_followup_sr(result, who, config)
    record = {
        "finished": True,
        "versions": provenance.versions(),
        "config": config.to_dict(),
        "limits": dataclasses.asdict(used),
        "scans": [e.scan_id for e in exams],
        "counts": [c.counts for c in timeline.comparisons],
    }
    (folder / MARK).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return result


def repeatability(
    scans: Sequence[str | Path],
    out: str | Path,
    *,
    images: Sequence[str | Path] = (),
    config: Config | None = None,
    perturbation: Perturbation | None = None,
) -> Limits:
    """Limits of change from repeats: two or more scans of one patient taken without time in between, or one scan
    perturbed.

    Writes ``limits.toml``, which `compare` takes, and ``repeats.csv``, what they were estimated from.

    Parameters
    ----------
    scans : sequence of path
        As of `compare`; one is perturbed (noise, sub-voxel shift, blur), of more every pair is a repeat.
    out : path
    images, config
        As of `compare`.
    perturbation : Perturbation, optional

    Raises
    ------
    UsageError
        Fewer than 20 repeated findings; one scan without its image.
    """
    config = config or Config()
    exams = open_exams(scans, images, config)
    if len(exams) == 1:
        repeats, source = _perturbed(exams[0], config, perturbation or Perturbation())
    else:
        tables = [_repeat(a, b, config) for a, b in itertools.combinations(exams, 2)]
        repeats = pd.concat(tables, ignore_index=True)
        source = f"{len(exams)} repeated scans"
    made = estimate_limits(repeats, source)
    folder = claim(Path(out), LIMITS)
    repeats.to_csv(folder / REPEATS, index=False, lineterminator="\n")
    (folder / LIMITS).write_text(_toml(made), encoding="utf-8")
    return made


def _perturbed(exam: Exam, config: Config, how: Perturbation) -> tuple[pd.DataFrame, str]:
    if exam.image is None:
        raise UsageError(
            "perturbing a scan needs its image; give the folder that holds it (--images), or the scan itself"
        )
    source = (
        f"{how.repeats} copies of one scan, noise {how.noise:g} SD, shift {how.shift_voxels:g} voxels, blur "
        f"{how.blur_mm:g} mm, seed {how.seed}"
    )
    return repeats_of(exam.image, config.detection, how, config.followup), source


def _repeat(one: Exam, two: Exam, config: Config) -> pd.DataFrame:
    registration: Registration = register_exams(one, two, config.followup)
    return differences(one, two, registration, config.followup)


def read_limits(file: str | Path) -> Limits:
    """The limits in a file that `repeatability` wrote.

    Raises
    ------
    UsageError
        No such file, no TOML, an unknown or missing key, or a value that is no limit.
    """
    from pydantic import TypeAdapter, ValidationError

    path = Path(file)
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["limits"]
    except OSError as error:
        raise UsageError(f"the limits cannot be read ({error.strerror}); check the path", path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError):
        raise UsageError(
            "no limits: a TOML file with a table [limits], as calcimap repeatability writes it", path
        ) from None
    known = {f.name for f in dataclasses.fields(Limits)}
    if not isinstance(values, dict) or set(values) != known:
        raise UsageError(f"limits need exactly the keys {', '.join(sorted(known))}", path)
    try:
        return TypeAdapter(Limits).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"limit {'.'.join(map(str, first['loc']))}: {first['msg']}", path) from None


def _toml(limits: Limits) -> str:
    lines = ["# What repeats differ by: 95 % keep within. For calcimap compare --limits.", "[limits]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in dataclasses.asdict(limits).items()]
    return "\n".join(lines) + "\n"
