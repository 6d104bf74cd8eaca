"""From an ultrasound clip to echogenic foci: one frame after the other, in the memory of one frame.

The way of a frame: grey -> what is drawn over it -> image area -> scan lines -> candidates -> foci with their shadow;
then foci are followed over the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..clip import Clip, whole_frame
from ..components import Components
from ..errors import UsageError
from ..series import Region
from .area import find_sector
from .beam import Beam
from .confidence import confidence_behind
from .echo import find_nodes, to_lines
from .focus import SHADOWED, Focus, measure_foci
from .grey import Grey, to_grey
from .overlay import overlay
from .params import UltrasoundParams
from .track import Track, Tracker
from .twinkling import twinkling

ECHO_REASONS: dict[str, str] = {
    "near_field": "within 2 mm of the probe, or 4 % of the depth: its own echoes and the skin",
    "edge_of_image": "at the edge of the image: nothing beside or behind that it could be compared with",
    "interface": "long, thin and smooth without a shadow: capsule, fascia, diaphragm, wall",
    "shadow_of_another": "in front of a focus whose shadow it shares: nothing is dark between the two",
    "transient": "seen in too few frames of the cine",
}
"""What may stand in ``excluded.reason`` for ultrasound."""
TISSUE, FLOW = 1, 2
SHARED = 0.5


@dataclass(frozen=True, eq=False)
class Echoes:
    """Echogenic foci of a clip.

    Parameters
    ----------
    clip : Clip
    params : UltrasoundParams
    beams : tuple of Beam
        Scan lines of each region that was analysed.
    found, excluded : tuple of Track
        Findings in the order of depth, and what is none, with its reason.
    reasons : tuple of str
        For each of `excluded`.
    n_too_small, n_noise : int
        Candidates below the minimum size, and those that are texture: neither bright enough nor with a shadow.
    flags : tuple of str
        Flag codes of the clip.
    """

    clip: Clip
    params: UltrasoundParams
    beams: tuple[Beam, ...]
    found: tuple[Track, ...]
    excluded: tuple[Track, ...]
    reasons: tuple[str, ...]
    n_too_small: int
    n_noise: int
    flags: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.found)

    @property
    def volume(self) -> Clip:
        """The clip."""
        return self.clip

    @property
    def finding_id(self) -> NDArray[np.int64]:
        """1..n."""
        return np.arange(1, len(self.found) + 1)

    @cached_property
    def components(self) -> Components:
        """The echo of every finding in all of its frames, on the grid (frames, rows, columns)."""
        return paint(self.found, self.beams, self.clip.shape)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Label image, (frames, rows, columns): `finding_id` per pixel, 0 elsewhere."""
        return self.components.paint(self.finding_id)


def paint(tracks: tuple[Track, ...], beams: tuple[Beam, ...], shape: tuple[int, int, int]) -> Components:
    """The echoes of tracks as sets of pixels."""
    voxels: list[NDArray[np.int64]] = []
    for track in tracks:
        parts = []
        for frame, focus in zip(track.frames, track.foci, strict=True):
            beam = beams[focus.beam]
            label = np.zeros(beam.shape, np.int32)
            label[focus.box[0] : focus.box[1], focus.box[2] : focus.box[3]] = focus.mask
            index, _ = beam.paint(label, shape[1:])
            parts.append(index + frame * shape[1] * shape[2])
        voxels.append(np.unique(np.concatenate(parts)))
    if not voxels:
        return Components.empty(shape)
    owner = np.repeat(np.arange(len(voxels)), [len(v) for v in voxels])
    return Components.from_sets(np.concatenate(voxels), owner, len(voxels), shape)


def find_echoes(clip: Clip, params: UltrasoundParams | None = None) -> Echoes:
    """Find echogenic foci and judge the shadow behind each.

    Parameters
    ----------
    clip : Clip
    params : UltrasoundParams, optional

    Returns
    -------
    Echoes

    Raises
    ------
    UsageError
        Not an ultrasound clip.
    ReadError
        A frame cannot be decoded.
    """
    if not isinstance(clip, Clip):
        raise UsageError("find_echoes works on an imaging.Clip; make one with imaging.read_clip or Clip.from_array")
    params = params or UltrasoundParams()
    beams: list[Beam] | None = None
    tracker = Tracker(params)
    too_small = texture = 0
    last_hue: NDArray[np.float32] | None = None
    forbidden = _off_limits(clip)
    for number, frame in enumerate(clip.frames):
        grey = to_grey(frame)
        drawn = _drawn(grey, forbidden)
        if not beams:
            beams = _beams(clip, grey, drawn)
        foci: list[Focus] = []
        for k, beam in enumerate(beams):
            lines = to_lines(beam, grey.values, drawn)
            nodes, labels, small = find_nodes(lines, params)
            measured, noise = measure_foci(lines, nodes, labels, k, params)
            foci += [twinkling(f, beam, grey.hue, last_hue) for f in measured]
            too_small, texture = too_small + small, texture + noise
            if params.confidence_map:
                foci = confidence_behind(lines, foci, k)
        tracker.add(number, foci, grey.values, [(*b.step, b.unit) for b in beams])
        last_hue = grey.hue
    found, excluded, reasons = _sorted_out(tracker.tracks(), len(clip), params)
    return Echoes(
        clip, params, tuple(beams or ()), tuple(found), tuple(excluded), tuple(reasons), too_small, texture,
        _flags(clip, beams or []),
    )  # fmt: skip


def _drawn(grey: Grey, forbidden: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    drawn = overlay(grey.values)
    for more in (grey.coloured, forbidden):
        drawn = drawn if more is None else drawn | more
    return drawn


def _off_limits(clip: Clip) -> NDArray[np.bool_] | None:
    """Pixels of traces, bars and other regions that are no tissue, and those to which two regions give two sizes."""
    mask = np.zeros((clip.rows, clip.columns), bool)
    step = np.zeros((clip.rows, clip.columns, 2))
    for region in clip.regions:
        part = (slice(region.y0, region.y1 + 1), slice(region.x0, region.x1 + 1))
        if region.data_type > FLOW or region.spatial_format > 1:
            mask[part] = True
        elif region.delta_y_mm is not None and region.delta_x_mm is not None:
            own = (region.delta_y_mm, region.delta_x_mm)
            known = step[part].any(axis=2)
            mask[part] |= known & ~np.isclose(step[part], own, rtol=1e-3).all(axis=2)
            step[part][~known] = own
    return mask if mask.any() else None


def _beams(clip: Clip, grey: Grey, drawn: NDArray[np.bool_]) -> list[Beam]:
    """Scan lines of each region; a region in which nothing is lit has none."""
    found = []
    for region in _regions(clip):
        part = (slice(region.y0, region.y1 + 1), slice(region.x0, region.x1 + 1))
        mm = region.delta_y_mm, region.delta_x_mm
        step = (mm[0], mm[1]) if mm[0] is not None and mm[1] is not None else (1.0, 1.0)
        sector = find_sector(grey.values[part], drawn[part], step, region.calibrated)
        if sector is not None:
            beam = Beam.of(region, sector, step, region.calibrated)
            if min(beam.shape) >= 16:
                found.append(beam)
    return found


def _regions(clip: Clip) -> list[Region]:
    """Regions of tissue in mm; else those of tissue without; else the whole frame. Each rectangle once."""
    calibrated = [r for r in clip.regions if r.calibrated]
    tissue = calibrated or [r for r in clip.regions if r.spatial_format in (0, 1) and r.data_type in (TISSUE, FLOW)]
    if not calibrated and len(tissue) != 1:
        return [whole_frame(clip.rows, clip.columns, None)]
    return list({(r.x0, r.y0, r.x1, r.y1): r for r in tissue}.values())


def _flags(clip: Clip, beams: list[Beam]) -> tuple[str, ...]:
    codes = {
        "uncalibrated": not clip.calibrated,
        "no_image_area": not beams,
        "scan_lines_assumed": any(not b.sector.certain for b in beams),
    }
    return tuple(sorted({*clip.flags, *(code for code, holds in codes.items() if holds)}))


def _sorted_out(
    tracks: list[Track], n_frames: int, params: UltrasoundParams
) -> tuple[list[Track], list[Track], list[str]]:
    """Findings by depth, and the rest with their reasons."""
    found, excluded, reasons = [], [], []
    shadowing = [t for t in tracks if not t.focus.reason and t.focus.shadow.name in SHADOWED]
    for track in tracks:
        reason = track.focus.reason
        if not reason and not track.lasts(n_frames, params):
            reason = "transient"
        if not reason and any(_inherits(track, other) for other in shadowing):
            reason = "shadow_of_another"
        if reason:
            excluded.append(track)
            reasons.append(reason)
        else:
            found.append(track)
    order = np.argsort([t.focus.depth for t in found], kind="stable")
    return [found[k] for k in order], excluded, reasons


def _inherits(track: Track, other: Track) -> bool:
    """Whether a focus lies in front of another on the same lines, in most frames of both, and has the worse shadow."""
    if track is other or track.focus.shadow.name not in SHADOWED or track.focus.merit >= other.focus.merit:
        return False
    both = sorted(set(track.frames) & set(other.frames))
    pairs = [(track.foci[track.frames.index(k)], other.foci[other.frames.index(k)]) for k in both]
    return bool(pairs) and sum(_in_front(a, b) for a, b in pairs) > len(pairs) / 2


def _in_front(a: Focus, b: Focus) -> bool:
    """Whether the lines of one focus meet the other behind it."""
    common = min(a.box[3], b.box[3]) - max(a.box[2], b.box[2])
    narrower = min(a.box[3] - a.box[2], b.box[3] - b.box[2])
    return bool(a.beam == b.beam and a.box[0] < b.box[0] and common >= SHARED * narrower)
