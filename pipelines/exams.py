"""What `calcimap compare` is given, as exams: output folders of runs, or scans that are analysed on the way."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imaging import (
    EXCLUDED,
    FINDINGS,
    SAME_THRESHOLD_HU,
    Components,
    Exam,
    Series,
    UsageError,
    Volume,
    comparability,
    conform,
    find_series,
    read_volume,
)

from . import provenance
from .batch import load_study
from .config import Config
from .place import RUN
from .results import ScanResult
from .scan import analyze


@dataclass(frozen=True)
class _Source:
    """The image behind an exam, and what its header says of place and day."""

    volume: Volume
    series: Series


def open_exam(place: str | Path, images: Sequence[str | Path] = (), config: Config | None = None) -> Exam:
    """The exam that a path stands for.

    Parameters
    ----------
    place : path
        The output folder of a run with one analysed CT scan, the folder ``scans/<scan_id>`` of one scan in it, or a CT
        scan (folder or file of one series), which is analysed.
    images : sequence of path
        Folders that the scans of runs are looked for in, by their scan_id: what was given to `calcimap run`.
    config : Config, optional
        For scans; and ``privacy.salt`` must be that of the runs.

    Raises
    ------
    UsageError
        Nothing there, or more than one CT scan; no label map.
    CalcimapError
        As the analysis.
    """
    config, folder = config or Config(), Path(place)
    if not folder.exists():
        raise UsageError("there is no such file or folder; check the path", folder)
    if (folder / RUN).is_file():
        return _of_run(folder, None, images, config)
    if folder.parent.name == "scans" and (folder.parent.parent / RUN).is_file():
        return _of_run(folder.parent.parent, folder.name, images, config)
    return _of_scan(folder, config)


def open_exams(places: Sequence[str | Path], images: Sequence[str | Path], config: Config) -> list[Exam]:
    """Several exams of one patient (`open_exam`), measured above one threshold where they are analysed here.

    The adaptive threshold rises with the noise, and volumes fall with it. Scans after one another that differ in
    nothing else that decides are measured above the highest threshold among them, if theirs differs by more than
    follow-up forgives; the scan's own level stays in its facts, ``threshold_own_hu``. What a run measured is left as it
    is, and nothing is raised above it.
    """
    exams = [open_exam(place, images, config) for place in places]
    if config.detection.threshold_mode != "adaptive":
        return exams
    alike = [comparability(a, b).same_but_for_threshold for a, b in itertools.pairwise(exams)]
    part = np.cumsum([0, *(not same for same in alike)])
    levels = np.array([exam.number("threshold_grow_hu") for exam in exams])
    fixed = np.array([_is_run(Path(place)) for place in places])
    made = []
    for k, exam in enumerate(exams):
        beside = (part == part[k]) & np.isfinite(levels)  # given labels have no level
        bounds = levels[beside & fixed]
        level = bounds.min() if len(bounds) else levels[beside].max(initial=0)
        raised = not fixed[k] and level - levels[k] > SAME_THRESHOLD_HU
        made.append(_raised(exam, float(level), config) if raised else exam)
    return made


def _raised(exam: Exam, level: float, config: Config) -> Exam:
    """A scan that was analysed here, measured above a threshold that is not its own."""
    assert exam.image is not None
    assert exam.series is not None
    higher = dataclasses.replace(config.detection, threshold_hu=level)
    again = _analysed(exam.image, exam.series, dataclasses.replace(config, detection=higher))
    return again.raised_from(exam.number("threshold_grow_hu"))


def _is_run(place: Path) -> bool:
    return (place / RUN).is_file() or (place.parent.name == "scans" and (place.parent.parent / RUN).is_file())


def _of_scan(place: Path, config: Config) -> Exam:
    """A scan, analysed here."""
    series = [s for s in find_series(place, params=config.reading).series if s.modality == "CT"]
    if len(series) != 1:
        found = "no CT series" if not series else f"{len(series)} CT series"
        raise UsageError(f"{found} in there; give the folder or file of one (calcimap inspect lists them)", place)
    return _analysed(read_volume(series[0], config.reading), series[0], config)


def _analysed(volume: Volume, series: Series, config: Config) -> Exam:
    name = provenance.scan_id(series, config.privacy.salt, {})
    result = analyze(volume, config, scan_id=name)
    assert isinstance(result, ScanResult)
    exam = Exam.of(
        result.detection, result.findings, scan_id=name, frame=_frame(series, config), acquired=series.acquired
    )
    facts = {**exam.facts, "score_definition": result.record["score_definition"]}
    return exam.replace(facts=facts, series=series)


def _of_run(out: Path, scan_id: str | None, images: Sequence[str | Path], config: Config) -> Exam:
    """A scan of a finished run: its tables and labels, and its image where that is found."""
    study = load_study(out)
    rows = study.scans[(study.scans["status"] == "analysed") & (study.scans["modality"] == "CT")]
    if scan_id is not None:
        rows = rows[rows["scan_id"] == scan_id]
    if len(rows) != 1:
        names = ", ".join(f"scans/{name}" for name in rows["scan_id"].head(6))
        hint = f"give one of {names}" if len(rows) else "follow-up compares CT"
        raise UsageError(f"{len(rows)} analysed CT scans in this output folder; {hint}", out)
    row = {str(k): v for k, v in rows.iloc[0].items()}
    name = str(row["scan_id"])
    source = _image(out, name, images, config)
    components, labels, affine = _labels(out / "scans" / name / "labels.nii.gz", source)
    mine = study.findings[study.findings["scan_id"] == name].set_index("finding_id", drop=False).reindex(labels)
    if mine["scan_id"].isna().any():
        raise UsageError("labels and findings of a scan do not agree; run calcimap again with --overwrite", out)
    frame = row["frame_key"]
    return Exam(
        components,
        affine,
        conform(mine.reset_index(drop=True), FINDINGS),
        conform(study.excluded[study.excluded["scan_id"] == name].reset_index(drop=True), EXCLUDED),
        row,
        None if source is None else source.volume,
        name,
        "" if pd.isna(frame) else str(frame),
        None if source is None else source.series.acquired,
        None if source is None else source.series,
    )


def _labels(file: Path, source: _Source | None) -> tuple[Components, np.ndarray[Any, np.dtype[np.int64]], Any]:
    """Findings of a label map, their numbers, and the grid: that of the image, which a shear cannot bend."""
    import SimpleITK as sitk

    if not file.is_file():
        raise UsageError("the run wrote no label maps; run it with --formats csv,parquet,nifti", file.parent)
    image = sitk.ReadImage(str(file))
    components, labels = Components.from_labels(sitk.GetArrayViewFromImage(image))
    if source is not None:
        if components.shape != source.volume.shape:
            raise UsageError("the image and the labels of a scan differ in size; was the image changed?", file)
        return components, labels, source.volume.affine
    grid = Volume.from_components(
        np.zeros((1, 1, 1)),
        spacing=image.GetSpacing()[::-1],
        origin=image.GetOrigin(),
        direction=np.reshape(image.GetDirection(), (3, 3)),
    )
    return components, labels, grid.affine


def _image(out: Path, scan_id: str, images: Sequence[str | Path], config: Config) -> _Source | None:
    """The scan behind a scan_id, in the folders given: where key.csv says, else anywhere in them."""
    wanted = re.sub(r"-\d+$", "", scan_id)
    try:
        key = pd.read_csv(out / "key.csv", dtype=str).set_index("scan_id")["path"].to_dict()
    except (OSError, ValueError, KeyError):
        key = {}
    for folder in map(Path, images):
        if not folder.exists():
            raise UsageError("the folder of images does not exist; check its path", folder)
        places = [folder / key[scan_id]] if scan_id in key and folder.is_dir() else []
        for place in [*(p for p in places if p.exists()), folder]:
            for series in find_series(place, params=config.reading).series:
                if provenance.key(series.identity, config.privacy.salt) == wanted:
                    return _Source(read_volume(series, config.reading), series)
    return None


def _frame(series: Series, config: Config) -> str:
    return provenance.key(series.frame_of_reference, config.privacy.salt)
