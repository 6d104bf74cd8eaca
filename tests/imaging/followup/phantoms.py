"""Pairs of scans with known motion and known fate of every focus: what follow-up is tested and measured on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from imaging import Comparison, Volume
from imaging.synthetic import Ball, Thing, correlated_noise, render, torso

SHAPE, SPACING = (72, 116, 158), (2.0, 1.5, 1.5)
HALF_WIDTH, HALF_DEPTH = 110.0, 78.0
APART_MM = 15.0
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Focus:
    """A ball of one scan: place (LPS mm), diameter (mm), HU, and what it stems from."""

    place: tuple[float, float, float]
    diameter: float
    hu: float
    parent: int

    @property
    def volume(self) -> float:
        return math.pi / 6 * self.diameter**3


@dataclass(frozen=True)
class Pair:
    """Two scans, their foci, and what became of every focus of the baseline (or came): state by parent."""

    before: Volume
    after: Volume
    foci_before: list[Focus]
    foci_after: list[Focus]
    fate: dict[int, str]
    forward: Callable[[Points], Points]


@dataclass(frozen=True)
class Motion:
    """Rotation and translation of the patient, and a smooth shift of soft tissue that spares the spine.

    Tissue far from the spine moves by up to `amplitude` mm, mostly along z and y, as with another depth of breath.
    """

    turn: Rotation
    shift: tuple[float, float, float]
    amplitude: float
    waves: tuple[tuple[float, float, float], tuple[float, float, float]]

    @classmethod
    def drawn(cls, rng: np.random.Generator, shift_mm: float, turn_deg: float, amplitude: float) -> Motion:
        axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        lengths, phases = rng.uniform(140, 260, 3), rng.uniform(0, 2 * np.pi, 3)
        return cls(
            Rotation.from_rotvec(axis * np.radians(turn_deg)), tuple(way * shift_mm), amplitude,
            (tuple(lengths), tuple(phases)),
        )  # fmt: skip

    def breath(self, x: Points) -> Points:
        spine = np.hypot(x[..., 0], x[..., 1] - 25.0)
        weight = 1 - np.exp(-((np.maximum(spine - 25, 0) / 35) ** 2))
        lengths, phases = self.waves
        wave = sum(np.cos(2 * np.pi * x[..., k] / lengths[k] + phases[k]) for k in range(3)) / 3
        return (self.amplitude * weight * wave)[..., None] * np.array([0.15, 0.4, 0.9])

    def forward(self, x: Points) -> Points:
        x = np.asarray(x, float)
        moved = (x + self.breath(x)).reshape(-1, 3)
        return (self.turn.apply(moved) + self.shift).reshape(x.shape)

    def backward(self, y: Points) -> Points:
        target = self.turn.inv().apply((np.asarray(y, float) - self.shift).reshape(-1, 3)).reshape(np.shape(y))
        x = target
        for _ in range(12):
            x = target - self.breath(x)
        return x


@cache
def background(kind: int, shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = SPACING) -> Volume:
    """A torso without noise; another `kind` is another patient."""
    rng = np.random.default_rng(100 + kind)
    width, depth = (1.0, 1.0) if kind == 0 else rng.uniform(0.82, 1.0, 2)
    half = shape[0] * spacing[0] / 2 + 40
    body = torso((-half, half), half_width=HALF_WIDTH * width, half_depth=HALF_DEPTH * depth)
    return render(body, [], shape, spacing).volume


def warped(volume: Volume, motion: Motion) -> NDArray[np.float32]:
    """The volume after the motion, on its own grid; the inverse is found every 6 voxels and interpolated."""
    step = 6
    axes = [np.arange(-step, n + step, step) for n in volume.shape]
    lattice = volume.to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    source = volume.to_index(motion.backward(lattice))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij")) / step + 1
    places = np.stack([ndimage.map_coordinates(source[..., k], index, order=1) for k in range(3)])
    return ndimage.map_coordinates(volume.array.astype(np.float32), places, order=1, mode="nearest")


def scattered(rng: np.random.Generator, count: int, z_mm: float) -> list[tuple[float, float, float]]:
    """Places in soft tissue, apart from each other and from bone."""
    found: list[tuple[float, float, float]] = []
    for _ in range(count * 200):
        if len(found) == count:
            break
        x, y, z = rng.uniform(-1, 1, 3) * (HALF_WIDTH - 36, HALF_DEPTH - 36, z_mm)
        if (x / (HALF_WIDTH - 36)) ** 2 + (y / (HALF_DEPTH - 36)) ** 2 > 1 or (abs(x) < 40 and y > -6):
            continue
        if all(math.dist((x, y, z), p) > APART_MM for p in found):
            found.append((x, y, z))
    return found


def grown(volume: float, times: float = 2.0) -> float:
    """A volume that exceeds another one by so many times the limit of the literature."""
    return volume + times * max(3.445 * math.sqrt(volume), 0.25 * volume)


def pair(
    seed: int,
    *,
    count: int = 40,
    shift_mm: float = 20.0,
    turn_deg: float = 10.0,
    amplitude: float = 0.0,
    changes: bool = True,
    noise: float = 12.0,
    kind: int = 0,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    diameters: tuple[float, float] = (3.5, 9.0),
) -> Pair:
    """A pair of scans of one phantom: foci that stay, grow by twice the limit, vanish, appear, split and merge."""
    rng = np.random.default_rng(seed)
    ground = background(kind, shape, spacing)
    places = scattered(rng, count, shape[0] * spacing[0] / 2 - 8)
    motion = Motion.drawn(rng, shift_mm, turn_deg, amplitude)
    before, after, fate = [], [], {}
    for n, place in enumerate(places):
        focus = Focus(place, float(rng.uniform(*diameters)), float(rng.uniform(350, 900)), n)
        state = "stable"
        if changes:
            state = str(rng.choice(
                ["stable", "increased", "new", "resolved", "split", "merged"], p=[0.54, 0.16, 0.1, 0.1, 0.05, 0.05]
            ))  # fmt: skip
        if state in ("split", "merged") or (state == "resolved" and focus.diameter < 4.5):
            focus = replace(focus, diameter=max(focus.diameter, 6.0))
        fate[n] = state
        whole, parts = [focus], _parts(focus, rng)
        if state != "new":
            before += parts if state == "merged" else whole
        if state == "increased":
            after.append(replace(focus, diameter=float(np.cbrt(6 / np.pi * grown(focus.volume)))))
        elif state != "resolved":
            after += parts if state == "split" else whole
    moved = _moved(after, motion)
    images = [
        render(image.astype(np.float32), [_thing(f) for f in foci], shape, spacing).volume.array
        for image, foci in ((ground.array, before), (warped(ground, motion), moved))
    ]
    volumes = [ground.replace(array=np.rint(i + correlated_noise(shape, noise, rng)).astype(np.int16)) for i in images]
    return Pair(volumes[0], volumes[1], before, moved, fate, motion.forward)


def _parts(focus: Focus, rng: np.random.Generator) -> list[Focus]:
    """Two balls of half the volume each, 4.5 mm from surface to surface: far enough to be two components."""
    small = focus.diameter / 2 ** (1 / 3)
    axis = rng.normal(size=3) * (1, 1, 0.3)
    axis *= (small + 4.5) / 2 / np.linalg.norm(axis)
    return [replace(focus, place=tuple(np.add(focus.place, s * axis)), diameter=small) for s in (-1, 1)]


def _moved(foci: list[Focus], motion: Motion) -> list[Focus]:
    if not foci:
        return []
    places = motion.forward(np.array([f.place for f in foci]))
    return [replace(f, place=tuple(p)) for f, p in zip(foci, places, strict=True)]


def _thing(focus: Focus) -> Thing:
    return Thing(Ball(focus.place, focus.diameter / 2), focus.hu)


def recognised(centroids: Points, foci: list[Focus], within_mm: float = 4.0) -> NDArray[np.int64]:
    """Which focus each finding is, -1 where it is none."""
    if not foci or not len(centroids):
        return np.full(len(centroids), -1)
    apart = np.linalg.norm(centroids[:, None] - np.array([f.place for f in foci]), axis=-1)
    nearest = apart.argmin(axis=1)
    return np.where(apart.min(axis=1) <= within_mm, nearest, -1)


def judged(made: Pair, comparison: Comparison) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Who is who against the truth (right, wrong, missed), and (fate, state) of every row that is one of the foci."""
    before, after, matching = comparison.before, comparison.after, comparison.matching
    parents = []
    for exam, foci in ((before, made.foci_before), (after, made.foci_after)):
        parents.append(np.array([foci[k].parent if k >= 0 else -1 for k in recognised(exam.centroids, foci)], int))
    truth = {(i, j) for i, a in enumerate(parents[0]) for j, b in enumerate(parents[1]) if a == b >= 0}
    found = {(int(i), int(j)) for i, j in zip(matching.partners.before, matching.partners.after, strict=True)}
    found |= {(int(i), int(j)) for i, j in matching.parts}
    known = {(i, j) for i, j in found if parents[0][i] >= 0 and parents[1][j] >= 0}
    hit = len(known & truth)
    states = []
    numbers = [{int(f): k for k, f in enumerate(e.ids)} for e in (before, after)]
    for old, new, state in comparison.changes[["baseline_finding_id", "followup_finding_id", "state"]].to_numpy():
        parent = parents[1][numbers[1][int(new)]] if old is pd.NA else parents[0][numbers[0][int(old)]]
        if parent >= 0:
            states.append((made.fate[int(parent)], str(state)))
    return np.array([hit, len(known) - hit, len(truth) - hit]), states
