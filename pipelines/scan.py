"""The whole way of one scan, on one screen. A modality is one entry of `MODALITIES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from imaging import (
    Anatomy,
    Clip,
    Context,
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
    """What is given beside the image: masks, context for the hypotheses, and the name of the scan."""

    roi: Mask
    anatomy: Anatomy | None
    context: Context | None
    scan_id: str


def analyze(
    volume: Scan,
    config: Config | None = None,
    *,
    roi: Mask = None,
    anatomy: Anatomy | None = None,
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
    if not modality.masks and (roi is not None or anatomy is not None):
        raise UsageError("masks are for CT: an ultrasound image has no place in the patient")
    return modality.way(volume, config or Config(), Beside(roi, anatomy, context, scan_id))


def _tomography(volume: Scan, config: Config, beside: Beside) -> ScanResult:
    assert isinstance(volume, Volume)
    detection = detect(volume, config.detection, roi=beside.roi, anatomy=beside.anatomy)
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


def read_masks(paths: Sequence[Path | None], scan: Scan) -> list[Anatomy | None]:
    """Masks on the grid of a scan.

    Raises
    ------
    RefusedError
        Masks for a modality that takes none.
    """
    if isinstance(scan, Clip) and any(paths):
        raise RefusedError("geometry_mismatch", "masks are for CT: an ultrasound image has no place in the patient")
    return [read_anatomy(p, scan) if p is not None and isinstance(scan, Volume) else None for p in paths]
