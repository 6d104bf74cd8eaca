"""The whole way of one scan, on one screen. A modality is one entry of `MODALITIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imaging import (
    Anatomy,
    Clip,
    Context,
    Detection,
    ReadParams,
    RefusedError,
    Series,
    UsageError,
    Volume,
    classify,
    detect,
    find_echoes,
    group,
    group_echoes,
    measure,
    measure_echoes,
    name_echo_patterns,
    name_patterns,
    read_anatomy,
    read_clip,
    read_label_map,
    read_volume,
    score,
)

from .config import Config
from .packing import pack, pack_echoes
from .results import ClipResult, ScanResult

Scan = Volume | Clip
Mask = ArrayLike | Volume | Anatomy | None


@dataclass(frozen=True, eq=False)
class Beside:
    """What is given beside the image: masks, a segmentation, context for the hypotheses, and the name of the scan."""

    roi: Mask
    anatomy: Anatomy | None
    labels: ArrayLike | Volume | None
    context: Context | None
    scan_id: str


def analyze(
    volume: Scan,
    config: Config | None = None,
    *,
    roi: Mask = None,
    anatomy: Anatomy | None = None,
    labels: ArrayLike | Volume | None = None,
    scan_id: str = "",
    context: Context | None = None,
) -> ScanResult | ClipResult:
    """Find, measure, name and classify the calcifications of one scan.

    Parameters
    ----------
    volume : Volume or Clip
        CT in HU, or ultrasound.
    config : Config, optional
    roi : array_like, Volume or Anatomy, optional
        Region of interest on the grid of a CT scan.
    anatomy : Anatomy, optional
        Organ masks on the grid of a CT scan (`imaging.read_anatomy`): they name organ and side, and tell what is bone.
    labels : array_like of int, or Volume, optional
        A segmentation of a CT scan, on its grid: nothing is searched for, each label is a finding, measured as given.
    scan_id : str, optional
        Stands in the first column of every table.
    context : Context, optional
        What is known beside the image, for the hypotheses; what the header says stands behind it.

    Raises
    ------
    CalcimapError
        Whatever a stage refuses, with its reason code.
    """
    if isinstance(volume, Volume) and volume.modality == "US":
        volume = Clip.from_volume(volume)
    modality = MODALITIES[volume.modality]
    if not modality.masks and any(given is not None for given in (roi, anatomy, labels)):
        raise UsageError("masks are for CT: an ultrasound image has no place in the patient")
    if roi is not None and labels is not None:
        raise UsageError("a region of interest restricts the search; nothing is searched for where labels are given")
    return modality.way(volume, config or Config(), Beside(roi, anatomy, labels, context, scan_id))


def _tomography(volume: Scan, config: Config, beside: Beside) -> ScanResult:
    assert isinstance(volume, Volume)
    if beside.labels is None:
        detection = detect(volume, config.detection, roi=beside.roi, anatomy=beside.anatomy)
    else:
        detection = Detection.from_labels(volume, beside.labels, anatomy=beside.anatomy)
    findings = measure(detection)
    findings = score(findings, detection, config.scores)
    findings = group(findings, detection)
    findings = name_patterns(findings)
    known = Context.from_header(volume.header) | (beside.context or Context())
    findings = classify(findings.assign(scan_id=beside.scan_id), context=known)
    return pack(detection, findings, beside.scan_id, config.scores, known)


def _ultrasound(clip: Scan, config: Config, beside: Beside) -> ClipResult:
    assert isinstance(clip, Clip)
    echoes = find_echoes(clip, config.ultrasound)
    findings = measure_echoes(echoes)
    findings = group_echoes(findings, echoes)
    findings = name_echo_patterns(findings)
    known = Context.from_header(clip.header) | (beside.context or Context())
    findings = classify(findings.assign(scan_id=beside.scan_id), context=known)
    return pack_echoes(echoes, findings, beside.scan_id, known)


@dataclass(frozen=True)
class Modality:
    """How a kind of scan is read and analysed, and whether it takes masks."""

    read: Callable[[Series, ReadParams], Scan]
    way: Callable[[Scan, Config, Beside], ScanResult | ClipResult]
    masks: bool


MODALITIES = {"CT": Modality(read_volume, _tomography, True), "US": Modality(read_clip, _ultrasound, False)}


def read(series: Series, params: ReadParams) -> Scan:
    """The scan of a series, by its modality; CT's reader refuses what is neither."""
    return MODALITIES.get(series.modality, MODALITIES["CT"]).read(series, params)


def read_masks(paths: Mapping[str, Path], scan: Scan) -> dict[str, Anatomy | NDArray[np.int32]]:
    """What files hold for a scan, on its grid, by the parameter of `analyze` that takes it: roi, anatomy, labels.

    Raises
    ------
    RefusedError
        Masks for a modality that takes none.
    """
    if isinstance(scan, Volume):
        return {name: MASK_READERS[name](path, scan) for name, path in paths.items()}
    if paths:
        raise RefusedError("geometry_mismatch", "masks are for CT: an ultrasound image has no place in the patient")
    return {}


MASK_READERS: dict[str, Callable[[Path, Volume], Anatomy | NDArray[np.int32]]] = {
    "roi": read_anatomy,
    "anatomy": read_anatomy,
    "labels": read_label_map,
}
