"""What came of a case: right, warned, refused, or silently wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from imaging import CalcimapError, Volume, find_echoes, find_series, read_clip, read_volume
from imaging.series import Found, Series

from .corpus import Expected, Truth, volume_above
from .ultrasound import Kept, Ultrasound

VOLUME_TOLERANCE = 0.005
Outcome = Literal["right", "warned", "refused", "OTHER REFUSAL", "SILENTLY WRONG"]


@dataclass(frozen=True)
class Verdict:
    """How a case ended, and in which words."""

    outcome: Outcome
    text: str


def judge(root: Path, expected: Expected) -> Verdict:
    """What calcimap makes of `root`, compared with what has to come of it."""
    given = root / expected.given
    found = find_series(given)
    accounted = unaccounted(found, given)
    if accounted:
        return Verdict("SILENTLY WRONG", f"no word about {', '.join(accounted[:3])}")
    volumes: list[Volume] = []
    refusals: list[CalcimapError] = []
    for series in found.series:
        result = read(series)
        if isinstance(result, Volume):
            volumes.append(result)
        else:
            refusals.append(result)
    waiting = list(expected.volumes)
    for volume in volumes:
        faults = {index: difference(volume, truth) for index, truth in enumerate(waiting)}
        match = next((index for index, fault in faults.items() if not fault), None)
        if match is None:
            return Verdict("SILENTLY WRONG", f"a volume that is none: {'; '.join(faults.values()) or 'none is right'}")
        del waiting[match]
    reasons = tuple(sorted(error.reason for error in refusals))
    if waiting or reasons != expected.refused:
        texts = ", ".join(f"{error.reason} ({error.message})" for error in refusals)
        return Verdict("OTHER REFUSAL", f"{len(waiting)} volume(s) not read; refused: {texts or 'nothing'}")
    left = Counter(found.ignored.values())
    if left != Counter(expected.left):
        return Verdict("OTHER REFUSAL", f"left out: {dict(left)}")
    flags = sorted({flag for volume in volumes for flag in volume.flags})
    words = ", ".join([*flags, *(f"refused: {r}" for r in reasons), *(f"{n} {r}" for r, n in sorted(left.items()))])
    return Verdict(expected.outcome, words)


def read(series: Series) -> Volume | CalcimapError:
    """The volume or the typed error, whose message neither shows a path nor a value; other exceptions pass."""
    try:
        return read_volume(series)
    except CalcimapError as error:
        caught = error
    shown = ("CANARY", *(path.name for path in series.paths), *(str(path.parent) for path in series.paths))
    assert caught.message
    assert not any(text in caught.message for text in shown)
    return caught


def unaccounted(found: Found, root: Path) -> list[str]:
    """Files that are neither used by a series nor ignored with a reason."""
    if root.is_file():
        return []
    used = {path for series in found.series for path in series.paths}
    files = {p for p in root.rglob("*") if p.is_symlink() or p.is_file()}
    folders = [p for p in found.ignored if p.is_dir() and not p.is_symlink()]
    # A whole archive is opened, and so is accounted for by its members.
    missing = files - used - set(found.ignored)
    archives = {p for p in missing if any(str(known).startswith(str(p)) for known in (*used, *found.ignored))}
    return sorted(p.name for p in missing - archives if not any(f in p.parents for f in folders))


def difference(volume: Volume, truth: Truth) -> str:
    """Where a volume is not the true one; empty if nowhere."""
    if volume.shape != truth.hu.shape:
        return f"shape {volume.shape}, not {truth.hu.shape}"
    apart = corner_distance(volume.affine, truth.affine, volume.shape)
    if apart > truth.mm_tolerance:
        return f"the grid lies {apart:.3g} mm off"
    valid = np.ones(volume.shape, bool) if volume.valid is None else volume.valid
    right = np.ones(volume.shape, bool) if truth.valid is None else truth.valid
    if not np.array_equal(valid, right):
        return f"{np.count_nonzero(valid != right)} voxels are wrongly valid or padded"
    values = volume.array.astype(np.float64)
    off = float(np.abs(values - truth.hu)[valid].max())
    if off > truth.hu_tolerance:
        return f"HU differ by up to {off:g}"
    if not valid.all() and values[~valid].min() < values[valid].min():
        return "padding is visible as HU"
    measured, real = volume_above(volume.array, volume.affine, volume.valid), truth.volume_mm3
    if abs(measured - real) > VOLUME_TOLERANCE * real:
        return f"{measured:.1f} mm3 instead of {real:.1f}"
    if set(volume.flags) != set(truth.flags):
        return f"flags {volume.flags} instead of {truth.flags}"
    return ""


def corner_distance(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """The largest distance between corresponding corners of two grids, mm."""
    corners = np.array([(*c, 1) for c in product(*((0, n - 1) for n in shape))], dtype=float)
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


@dataclass(frozen=True)
class Image:
    """What another loader made: values (slice, row, column) in any order of axes, and index -> LPS."""

    values: np.ndarray
    affine: np.ndarray


def same_as(image: Image, truth: Truth, tolerance: float = 0.05) -> str:
    """Where the image of another loader is not the true one, whatever the order and sense of its axes."""
    if image.values.ndim != 3:
        return "no grey values"
    real = truth.volume_mm3
    measured = volume_above(image.values, image.affine)
    if sorted(image.values.shape) != sorted(truth.hu.shape):
        return f"{measured:.0f} mm3 instead of {real:.0f}, {image.values.size} voxels of {truth.hu.size}"
    to_truth = np.linalg.inv(truth.affine) @ image.affine
    turn = np.rint(to_truth[:3, :3]).astype(int)
    volumes = f"{measured:.0f} mm3 instead of {real:.0f}"
    if not np.array_equal(np.abs(turn).sum(axis=0), (1, 1, 1)) or not np.array_equal(
        np.abs(turn).sum(axis=1), (1, 1, 1)
    ):
        return f"{volumes}, axes elsewhere"
    source = [
        int(np.argmax(np.abs(turn[axis]))) for axis in range(3)
    ]  # axis of the image that is each axis of the truth
    flipped = [bool(turn[axis, source[axis]] < 0) for axis in range(3)]
    values = image.values.transpose(source)
    if values.shape != truth.hu.shape:
        return f"{volumes}, axes elsewhere"
    values = values[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    exact = np.eye(4)
    exact[:3, :3] = turn
    exact[:3, 3] = [n - 1 if flip else 0 for n, flip in zip(truth.hu.shape, flipped, strict=True)]
    off = corner_distance(image.affine, truth.affine @ exact, image.values.shape)
    if off > max(tolerance, truth.mm_tolerance):
        return f"{volumes}, voxels displaced by {off:.2g} mm"
    differ = np.abs(values - truth.hu)
    worst = float((differ if truth.valid is None else differ[truth.valid]).max())
    return f"{volumes}, HU off by {worst:.0f}" if worst > max(truth.hu_tolerance, 0.01) else ""


def best(images: Iterable[Image], truths: Sequence[Truth], tolerance: float = 0.05) -> tuple[str, int]:
    """What is wrong with the images of another loader, given all that are true, and how many it made beside them.

    Images of a scout or of another series are no fault as long as every true volume is among them.
    """
    waiting, others, fault = list(truths), 0, ""
    for image in images:
        faults = [same_as(image, truth, tolerance) for truth in waiting]
        if "" in faults:
            del waiting[faults.index("")]
        else:
            others += 1
            fault = fault or (faults[0] if faults else "")
    return (fault or f"{len(waiting)} image(s) not written") if waiting else "", others


def judge_ultrasound(root: Path, expected: Ultrasound) -> Verdict:
    """What calcimap makes of an ultrasound case: every file a clip that can be decoded and measured, or refused."""
    found = find_series(root)
    if unaccounted(found, root):
        return Verdict("SILENTLY WRONG", "a file is neither used nor ignored")
    refused = []
    for series in found.series:
        if series.modality != "US":
            return Verdict("OTHER REFUSAL", f"modality {series.modality}")
        try:
            clip = read_clip(series)
            echoes = find_echoes(clip)
        except CalcimapError as error:
            refused.append(error.reason)
            continue
        calibrated = [r for r in series.regions if r.calibrated]
        steps = {(r.delta_y_mm, r.delta_x_mm) for r in calibrated} if calibrated else {(1.0, 1.0)}
        if any(beam.step not in steps or beam.calibrated != bool(calibrated) for beam in echoes.beams):
            return Verdict("SILENTLY WRONG", "measured with another size of pixel than the header gives")
    if tuple(refused) != expected.refused:
        return Verdict("OTHER REFUSAL", f"refused: {refused} instead of {expected.refused}")
    if len(found.series) != expected.series or Counter(found.ignored.values()) != Counter(dict(expected.left)):
        return Verdict("OTHER REFUSAL", f"{len(found.series)} series; left out: {found.ignored}")
    regions = [
        Kept((r.x0, r.y0, r.x1, r.y1), (r.delta_x_mm, r.delta_y_mm) if r.calibrated else None)
        for series in found.series
        for r in series.regions
    ]
    if not same_regions(regions, expected.regions):
        return Verdict("SILENTLY WRONG", f"regions {regions} instead of {expected.regions}")
    flags = {flag for series in found.series for flag in series.flags}
    if flags != set(expected.flags):
        return Verdict("SILENTLY WRONG", f"flags {flags} instead of {expected.flags}")
    measurable = sum(r.delta_mm is not None for r in regions)
    words = [f"{len(regions)} region(s), {measurable} in mm"] if expected.series else []
    words += [*refused, *sorted(flags), *(reason for reason, _ in expected.left)]
    return Verdict("refused" if refused else "read", ", ".join(words))


def same_regions(regions: Sequence[Kept], expected: Sequence[Kept]) -> bool:
    """Whether boxes are equal and steps agree to a micrometre."""
    return len(regions) == len(expected) and all(
        one.box == other.box
        and (one.delta_mm is None) == (other.delta_mm is None)
        and np.allclose(one.delta_mm or 0, other.delta_mm or 0, rtol=0, atol=1e-3)
        for one, other in zip(regions, expected, strict=True)
    )
