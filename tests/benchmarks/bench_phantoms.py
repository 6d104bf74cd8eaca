"""Detection on randomised phantoms with known truth; and on noise alone.

    python tests/benchmarks/bench_phantoms.py [--scans 100] [--noise-scans 100] [--seed 1] [--ablation]

Torsos (spine, ribs, organs, table) and limbs; slices of 0.7 to 5 mm, noise of 8 to 35 HU, without and with contrast
agent (organs at 100 HU, aorta at 180 to 320 HU with plaque on its wall). Calcifications: balls of 2 to 12 mm, shells,
rods, at least 6 mm from bone and 8 mm from skin. Recall counts those whose noiseless peak stands at least 7.5 noise SD
above their surroundings; the rest is printed by contrast to noise. A finding that touches no object is false.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging import Components, DetectionParams, Volume, detect
from imaging.synthetic import Arc, Ball, Rod, Shape, Shell, Thing, limb, render, table, torso
from imaging.synthetic.anatomy import VISCERA_HU
from imaging.synthetic.rendering import correlated_noise

SLICES_MM = (0.7, 1.0, 1.5, 2.5, 3.0, 5.0)
SLAB_MM = 60.0
CLEAR = 7.5
NEAR_BONE_MM = 3.0
"""Plaque closer to bone is counted apart."""
PLAIN = DetectionParams(threshold_mode="fixed", separate=False)
NOISE = DetectionParams(separate=False)
PLACE = ("outside_body", "skin")
BONE = ("bone", "bone_adjacent", "chest_wall", "cartilage", "metal")


def _steps(volume: Volume) -> dict[str, Components]:
    """What would be reported after each step; what a later step takes out still counts."""
    whole = detect(volume)
    reason = whole.excluded.reason
    place = np.isin(reason, PLACE)
    bone = place | np.isin(reason, BONE)

    def with_those(left: NDArray[np.bool_]) -> Components:
        return Components.concatenate([whole.excluded.components.take(left), whole.components], volume.shape)

    return {
        "plain > 100 HU": detect(volume, PLAIN).components,
        "+ noise": detect(volume, NOISE).components,
        "+ body (large structures split)": with_those(~place),
        "+ bone, chest wall, metal": with_those(~bone),
        DEFAULT: whole.components,
    }


DEFAULT = "+ contrast (default)"


@dataclass(frozen=True)
class Scan:
    """One phantom: the image without noise, what is in it, and how it was made."""

    clean: Volume
    empty: Volume
    things: list[Thing]
    spacing_mm: float
    noise: float
    enhanced: bool


def make(rng: np.random.Generator, with_objects: bool = True) -> Scan:
    """A random phantom."""
    spacing = (float(rng.choice(SLICES_MM)), *(2 * [float(rng.choice([0.8, 1.0, 1.2]))]))
    trunk = bool(rng.random() < 0.7)
    enhanced = bool(trunk and rng.random() < 0.4)
    half = SLAB_MM / 2
    if trunk:
        body, table_top, limits = torso((-half - 4, half + 4)), 90.0, (75.0, 50.0)
    else:
        body, table_top, limits = limb(), 75.0, (44.0, 46.0)
    lumen = float(rng.uniform(180, 320))
    if enhanced:
        body = [_with_contrast(t, lumen) for t in body]
    bones = [t.shape for t in body if t.hu >= 90 and not (enhanced and t.hu in (100.0, lumen))]
    things: list[Thing] = []
    if with_objects:
        things = [_random_thing(rng, limits, bones) for _ in range(int(rng.integers(3, 9)))]
        if enhanced:
            z = float(rng.uniform(-half / 2, half / 2))
            angle = float(rng.uniform(0, 2 * np.pi))
            towards = (np.cos(angle), np.sin(angle), 0.0)
            arc = Arc((8.0, -8.0, z), 9.5, 1.3, 80.0, towards=towards)
            name = "plaque" if _gap(arc, bones) > NEAR_BONE_MM else "plaque near bone"
            things.append(Thing(arc, 900.0, name))
    things = _apart(things)
    shape = (max(int(SLAB_MM / spacing[0]), 4), int(200 / spacing[1]), int(264 / spacing[2]))
    origin = (-132.0, -92.0, -(shape[0] - 1) / 2 * spacing[0])
    empty = render([*table(table_top), *body], [], shape, spacing, origin=origin, psf_fwhm_mm=1.1).volume
    clean = render(empty.array.astype(np.float32), things, shape, spacing, origin=origin, psf_fwhm_mm=1.1).volume
    return Scan(clean, empty, things, spacing[0], float(rng.uniform(8, 35)), enhanced)


def _gap(shape: Shape, bones: Iterable[Shape]) -> float:
    """Smallest distance of the points of a shape to bone, mm, to about half a millimetre."""
    low, high = shape.bounds()
    grid = [g.ravel() for g in np.meshgrid(*(np.arange(a, b, 0.5) for a, b in zip(low, high, strict=True)))]
    own = [g[shape.distance(*grid) <= 0] for g in grid]
    return min(float(np.min(bone.distance(*own))) for bone in bones)


def _with_contrast(thing: Thing, lumen: float) -> Thing:
    aorta = thing.hu == 40.0
    hu = lumen if aorta else 100.0 if thing.hu in (58.0, 50.0, 32.0, VISCERA_HU) else thing.hu
    return Thing(thing.shape, hu, thing.name, thing.pattern)


def _random_thing(rng: np.random.Generator, limits: tuple[float, float], bones: Iterable[Shape]) -> Thing:
    """A calcification at least 6 mm from bone, within an ellipse of the body."""
    for _ in range(500):
        angle, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        x, y = limits[0] * away * np.cos(angle), limits[1] * away * np.sin(angle)
        z = rng.uniform(-SLAB_MM / 2 + 8, SLAB_MM / 2 - 8)
        r = float(rng.choice([1.0, 1.5, 2.0, 3.0, 4.5, 6.0]))
        if min(float(np.min(b.distance(np.array([x]), np.array([y]), np.array([z])))) for b in bones) > r + 6:
            break
    centre, hu = (float(x), float(y), float(z)), float(rng.uniform(300, 1200))
    kind = rng.random()
    if kind < 0.2 and r >= 4:
        return Thing(Shell(centre, r + 2, 1.5), hu, "shell")
    if kind < 0.35:
        return Thing(Rod((x - 4, y, z - 2), (x + 4, y + 2, z + 2), 1.2), hu, "rod")
    return Thing(Ball(centre, r), hu, "ball")


def _apart(things: list[Thing]) -> list[Thing]:
    """Those whose boxes do not come near an earlier one."""
    chosen: list[Thing] = []
    for thing in things:
        low, high = thing.shape.bounds()
        if all((low > b[1] + 6).any() or (high < b[0] - 6).any() for b in (t.shape.bounds() for t in chosen)):
            chosen.append(thing)
    return chosen


def image(scan: Scan, rng: np.random.Generator) -> Volume:
    """The scan with noise, white in one case of three."""
    sigma = (0.0, 0.0, 0.0) if rng.random() < 0.33 else (0.5, 0.8, 0.8)
    noisy = scan.clean.array + correlated_noise(scan.clean.shape, scan.noise, rng, sigma)
    return scan.clean.replace(array=np.clip(noisy, -1024, 3071).round().astype(np.int16))


def judge(scan: Scan, found: Components) -> tuple[list[tuple[str, float, bool]], int]:
    """For each object its name, contrast to noise of its noiseless peak, whether it was found; and false findings."""
    labels = found.paint()
    added = scan.clean.array.astype(float) - scan.empty.array
    touched: set[int] = set()
    out = []
    for thing in scan.things:
        low, high = (scan.clean.to_index(b)[::1] for b in thing.shape.bounds())
        low, high = np.minimum(low, high), np.maximum(low, high)
        box = tuple(
            slice(max(int(a) - 1, 0), min(int(np.ceil(b)) + 2, n))
            for a, b, n in zip(low, high, scan.clean.shape, strict=True)
        )
        part, near = labels[box], added[box] > 0.2 * added[box].max()
        hit = set(np.unique(part[near])) - {0}
        touched |= set(np.unique(part[added[box] > 5])) - {0}
        out.append((thing.name, float(added[box].max() / scan.noise), bool(hit)))
    return out, len(found) - len(touched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--noise-scans", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ablation", action="store_true", help="also the plain definition and the steps between")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    recall: dict[tuple[str, str], list[bool]] = defaultdict(list)
    false: dict[tuple[str, str], list[int]] = defaultdict(list)
    for _ in range(options.scans):
        scan = make(rng)
        volume = image(scan, rng)
        kinds = (
            "all", f"slice {scan.spacing_mm:g} mm", f"noise from {int(scan.noise // 9) * 9} HU",
            "enhanced" if scan.enhanced else "unenhanced",
        )  # fmt: skip
        steps = _steps(volume) if options.ablation else {DEFAULT: detect(volume).components}
        for step, found in steps.items():
            objects, wrong = judge(scan, found)
            for kind in kinds:
                false[step, kind].append(wrong)
            for name, contrast, hit in objects:
                clear = contrast >= CLEAR
                for kind in kinds if clear and "near bone" not in name else ():
                    recall[step, kind].append(hit)
                recall[
                    step, f"{name}, clear" if clear else f"contrast to noise {int(contrast // 2.5) * 2.5:g}+"
                ].append(hit)
    for step in dict.fromkeys(s for s, _ in false):
        print(f"\n{step}\n{'':28} objects  recall   scans  false/scan")
        for kind in sorted({k for s, k in [*recall, *false] if s == step}):
            hits, wrong = recall[step, kind], false[step, kind]
            rate = f"{np.mean(hits):7.3f}" if hits else "      -"
            per = f"{len(wrong):7d} {np.mean(wrong):11.2f}" if wrong else ""
            print(f"{kind:28} {len(hits):7d} {rate} {per}")
    counts: dict[bool, list[int]] = defaultdict(list)
    for _ in range(options.noise_scans):
        scan = make(rng, with_objects=False)
        counts[scan.enhanced].append(len(detect(image(scan, rng))))
    for enhanced, per_scan in counts.items():
        kind = "enhanced" if enhanced else "unenhanced"
        print(f"noise alone, {kind}: {np.mean(per_scan):.2f} findings a scan ({len(per_scan)} scans)")


if __name__ == "__main__":
    main()
