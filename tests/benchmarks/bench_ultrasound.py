"""What the ultrasound way finds on random phantoms with known truth, and how long it takes.

    python tests/benchmarks/bench_ultrasound.py [IMAGES]

Then the same for a third as many of phased probes, and of vessels cut across or along with plaques on their walls.

Each phantom holds up to three calcifications of 1 to 15 mm with shadows of 3 to 30 dB, cysts with enhancement,
specular lines, bright lesions without a shadow, text and calipers, on a linear or a curved probe, with random gain,
attenuation and pixels that are not square. Printed: recall of shadowing calcifications of at least 3 mm at 10 dB or
more, false shadowing findings per image, area under the curve of shadow present against absent, errors of width and
depth, and how many texts or calipers were reported.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections import Counter

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from imaging import Clip, UltrasoundParams, confidence_map, find_echoes, measure_echoes
from imaging.clip import whole_frame
from imaging.synthetic.bmode import Bmode, Probe, Scanner, Target, calcification, cyst, interface, render_bmode, vessel
from imaging.ultrasound.area import find_sector
from imaging.ultrasound.beam import Beam
from imaging.ultrasound.confidence import _edges
from imaging.ultrasound.echo import to_lines
from imaging.ultrasound.grey import to_grey
from imaging.ultrasound.overlay import overlay
from imaging.ultrasound.shadow import measure_shadow


def phantom(seed: int, kind: str = "") -> Bmode:
    """A random frame: of a linear or a curved probe, or of `kind`; "vessel" is a linear one over a vessel."""
    rng = np.random.default_rng(seed)
    linear = bool(rng.random() < 0.5)
    if kind:
        linear = kind == "vessel"
    if kind == "phased":
        depth, radius = rng.uniform(110, 170), rng.uniform(3, 6)
        probe = Probe("phased", depth, 2 * radius * np.deg2rad(rng.uniform(35, 45)), radius)
        scanner = Scanner(axial_mm=rng.uniform(0.6, 1.0), lateral_mm=rng.uniform(2.0, 3.5))
        pixel = rng.uniform(0.25, 0.35, 2)
    elif linear:
        depth = rng.uniform(30, 50)
        probe = Probe("linear", depth, rng.uniform(36, 50))
        scanner = Scanner(axial_mm=rng.uniform(0.25, 0.45), lateral_mm=rng.uniform(0.6, 1.1))
        pixel = rng.uniform(0.07, 0.11, 2)
    else:
        depth = rng.uniform(90, 150)
        probe = Probe("curved", depth, rng.uniform(50, 65), 60.0)
        scanner = Scanner(axial_mm=rng.uniform(0.5, 0.9), lateral_mm=rng.uniform(1.2, 2.0))
        pixel = rng.uniform(0.22, 0.32, 2)
    scanner = Scanner(
        scanner.axial_mm, scanner.lateral_mm, rng.uniform(50, 70), rng.uniform(70, 120), rng.uniform(-0.2, 0.8),
        rng.uniform(40, 55), rng.uniform(0.3, 1.0), rng.uniform(0.5, 2.5),
    )  # fmt: skip
    placed = _vessel(rng, probe) if kind == "vessel" else _targets(rng, probe, linear)
    text = [("LIVER LT", rng.uniform(0.15, 0.8), rng.uniform(0.25, 0.6))] if rng.random() < 0.5 else []
    marks = [tuple(rng.uniform(0.25, 0.75, 2)) for _ in range(2)] if rng.random() < 0.5 else []
    return render_bmode(
        probe, placed, pixel_mm=(float(pixel[0]), float(pixel[1])), scanner=scanner, text=text, calipers=marks,
        colour=bool(rng.random() < 0.3), seed=seed,
    )  # fmt: skip


def _vessel(rng: np.random.Generator, probe: Probe) -> list[Target]:
    """A vessel across or along the image, in half of them with a plaque on its near or far wall."""
    size = float(rng.uniform(5, 9))
    depth = float(rng.uniform(0.25, 0.5)) * probe.depth_mm + size / 2
    x = float(rng.uniform(-0.3, 0.3)) * probe.width_mm
    along = bool(rng.random() < 0.4)
    # Two ways, 0.35 dB/cm/MHz less in blood than in tissue, at a frequency that reaches the depth of the image.
    gain = 0.07 * float(rng.uniform(7, 12))
    length = 2.5 * probe.width_mm if along else 0.0
    made = vessel(0.0 if along else x, depth, size, length_mm=length, gain_db_per_mm=gain,
                  wall_db=float(rng.uniform(10, 20)))  # fmt: skip
    if rng.random() < 0.5:
        width = float(rng.uniform(3, 6)) if along else float(rng.uniform(0.45, 0.8)) * size
        far = bool(rng.random() < 0.6)
        at = depth + (0.42 if far else -0.42) * size
        loss, echo = float(rng.uniform(10, 30)), float(rng.uniform(14, 26))
        made.append(calcification(x, at, width, loss, height_mm=1.0, echo_db=echo))
    return made


def _targets(rng: np.random.Generator, probe: Probe, linear: bool) -> list[Target]:
    """Calcifications and what may be mistaken for them, none on the lines of another."""
    depth = probe.depth_mm
    placed: list[Target] = []

    def place(width: float, height: float) -> tuple[float, float] | None:
        """A free place: nothing on the same lines, and room behind for a shadow."""
        for _ in range(60):
            d = rng.uniform(0.12 * depth + height / 2, 0.7 * depth)
            half = float(probe.lateral_mm(np.array(1.0), np.array(d)))
            room = 0.85 * half - width / 2 - 2
            if room <= 0:
                continue
            x = rng.uniform(-room, room)
            span = [(t.lateral_mm / lateral_at(t), t.width_mm / lateral_at(t)) for t in placed]
            own = x / half, width / half
            if all(abs(own[0] - c) > (own[1] + w) / 2 + 0.09 for c, w in span):
                return x, d
        return None

    def lateral_at(target: Target) -> float:
        return float(probe.lateral_mm(np.array(1.0), np.array(target.depth_mm)))

    makers = []
    scale = 1.0 if linear else 1.6
    for _ in range(int(rng.integers(0, 4))):
        width = float(np.exp(rng.uniform(np.log(1.0), np.log(8.0 if linear else 15.0))))
        makers.append(
            (
                width,
                width / 3,
                lambda x, d, w=width: calcification(
                    x, d, w, float(rng.uniform(3, 30)), echo_db=float(rng.uniform(12, 26))
                ),
            )
        )
    for _ in range(int(rng.integers(0, 2))):
        size = float(rng.uniform(4, 9)) * scale
        makers.append((size, size, lambda x, d, s=size: cyst(x, d, s, float(rng.uniform(3, 9)))))
    for _ in range(int(rng.integers(0, 3))):
        length = float(rng.uniform(5, 14)) * scale
        makers.append(
            (
                length,
                1.0,
                lambda x, d, n=length: interface(x, d, n, float(rng.uniform(8, 20)), float(rng.uniform(-1, 1))),
            )
        )
    for _ in range(int(rng.integers(0, 2))):
        size = float(rng.uniform(3, 8)) * scale
        makers.append(
            (size, size, lambda x, d, s=size: Target(x, d, s, 0.8 * s, float(rng.uniform(4, 10)), kind="lesion"))
        )
    for width, height, make in makers:
        at = place(width, height)
        if at is not None:
            placed.append(make(*at))
    return placed


def clip_of(frame: Bmode) -> Clip:
    """The frame as a calibrated image."""
    image = frame.image[None]
    rows, columns = image.shape[1:3]
    region = whole_frame(rows, columns, frame.pixel_mm)
    made = Clip.from_array(image, pixel_mm=frame.pixel_mm)
    from dataclasses import replace

    x0, y0, x1, y1 = frame.box
    return replace(made, regions=(replace(region, x0=x0, y0=y0, x1=x1, y1=y1),))


def shadows_at_truth(frame: Bmode, clip: Clip, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Rank contrast behind every true target, found or not, and behind one random piece of tissue.

    Returns those of calcifications of at least 3 mm and 10 dB, and those of everything that casts no shadow.
    """
    grey = to_grey(frame.image)
    drawn = overlay(grey.values)
    drawn = drawn if grey.coloured is None else drawn | grey.coloured
    (region,) = clip.regions
    part = (slice(region.y0, region.y1 + 1), slice(region.x0, region.x1 + 1))
    sector = find_sector(grey.values[part], drawn[part], frame.pixel_mm)
    beam = Beam.of(region, sector, frame.pixel_mm, True)
    lines = to_lines(beam, grey.values, drawn)
    nothing = np.zeros(beam.shape, bool)
    positive, negative = [], []
    tissue = Target(0.0, float(rng.uniform(0.15, 0.7)) * frame.probe.depth_mm, float(rng.uniform(3, 8)), 1.0)
    for target, place in [*zip(frame.targets, frame.places, strict=True), (tissue, None)]:
        if place is None:
            depth, line = tissue.depth_mm / beam.depth_step, float(rng.uniform(0.15, 0.85)) * beam.shape[1]
        else:
            depth, line = (float(v[0]) for v in beam.index(*(np.array([v]) for v in place)))
        if not (0 <= depth < beam.shape[0] and 0 <= line < beam.shape[1]):
            continue
        half = target.width_mm / 2 / float(beam.line_step[int(depth)])
        high = target.height_mm / 2 / beam.depth_step
        box = np.array([depth - high, depth + high + 1, line - half, line + half + 1]).astype(np.int64)
        box = np.clip(box, 0, [beam.shape[0], beam.shape[0], beam.shape[1], beam.shape[1]])
        if box[1] - box[0] < 1 or box[3] - box[2] < 2:
            continue
        mask = np.ones((box[1] - box[0], box[3] - box[2]), bool)
        value = measure_shadow(lines, box, mask, nothing, 200.0, UltrasoundParams()).auc
        if not np.isfinite(value):
            continue
        if target.kind == "calcification":
            if target.width_mm >= 3 and target.behind_db <= -10:
                positive.append(value)
        else:
            negative.append(value)
    return positive, negative


def auc(positive: list[float], negative: list[float]) -> float:
    """Mann-Whitney."""
    a, b = np.array(positive), np.array(negative)
    return float(((a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum()) / (a.size * b.size))


def _group(target: Target, frame: Bmode, kind: str) -> str:
    """What calcifications are counted together."""
    first = frame.targets[0]
    if kind == "vessel":
        return f"{'far' if target.depth_mm > first.depth_mm else 'near'} wall, {first.kind}"
    return f"{'>=3' if target.width_mm >= 3 else '<3'} mm, {'>=10' if target.behind_db <= -10 else '<10'} dB"


def main(count: int, kind: str = "") -> None:
    """Print the figures."""
    hits = Counter()
    totals = Counter()
    weak = Counter()
    false_weak = 0
    false, on_text, findings = 0, 0, 0
    positive: list[float] = []
    negative: list[float] = []
    widths: list[float] = []
    shadow_widths: list[float] = []
    depths: list[float] = []
    kinds = Counter()
    missed = []
    seconds = []
    for seed in range(count):
        frame = phantom(seed, kind)
        clip = clip_of(frame)
        started = time.perf_counter()
        echoes = find_echoes(clip)
        seconds.append(time.perf_counter() - started)
        table = measure_echoes(echoes)
        table["shadow_class"] = table["shadow_class"].fillna("none")
        findings += len(table)
        used = set()
        more, less = shadows_at_truth(frame, clip, np.random.default_rng(seed))
        positive += more
        negative += less
        for target, (row, column) in zip(frame.targets, frame.places, strict=True):
            dy, dx = frame.pixel_mm
            off = np.hypot((table["row_index"] - row) * dy, (table["column_index"] - column) * dx).to_numpy(float)
            reach = max(2.0, 0.6 * target.width_mm)
            near = [k for k in np.argsort(off) if off[k] <= reach]
            if target.kind != "calcification":
                continue
            loss, group = -target.behind_db, _group(target, frame, kind)
            shadowing = [k for k in near if table["shadow_class"].iloc[k] in ("present", "strong")]
            best = shadowing[:1] or near[:1]
            used |= set(near)
            totals[group] += 1
            hits[group] += bool(shadowing)
            weak[group] += not shadowing and any(table["shadow_class"].iloc[k] == "weak" for k in near)
            if target.width_mm >= 3 and loss >= 10:
                if not shadowing:
                    missed.append(
                        (
                            seed,
                            frame.probe.kind,
                            round(target.width_mm, 1),
                            round(loss, 1),
                            round(target.depth_mm),
                            bool(near),
                        )
                    )
                if best:
                    value = table.iloc[best[0]]
                    widths.append(float(value["echo_width_mm"]) / target.width_mm)
                    shadow_widths.append(float(value["shadow_width_mm"]) / target.width_mm)
                    depths.append(float(value["depth_mm"]) - (target.depth_mm - target.height_mm / 2))
        for k in range(len(table)):
            row, column = int(table["row_index"].iloc[k]), int(table["column_index"].iloc[k])
            if k not in used:
                on_text += bool(frame.overlay[row - 1 : row + 2, column - 1 : column + 2].any())
                name = table["shadow_class"].iloc[k]
                false_weak += name == "weak"
                if name in ("present", "strong"):
                    false += 1
                    kinds[seed] += 1
    print(f"{kind or 'linear and curved'}: {count} images, {findings} findings, {np.median(seconds):.3f} s (median)")
    for group in sorted(totals):
        share = hits[group] / totals[group]
        print(f"  found with a shadow, {group}: {hits[group]} of {totals[group]} ({share:.3f}), weak {weak[group]}")
    print(f"  false shadowing findings per image: {false / count:.3f}  {dict(kinds.most_common(12))}")
    print(f"  false weak findings per image: {false_weak / count:.3f}")
    print(
        f"  shadow present against absent, AUC: {auc(positive, negative):.3f} ({len(positive)} against {len(negative)})"
    )
    for name, values in (
        ("echo width / truth", widths),
        ("shadow width / truth", shadow_widths),
        ("depth error, mm", depths),
    ):
        q = np.nanpercentile(values, [5, 25, 50, 75, 95])
        print(f"  {name}: " + " ".join(f"{v:.2f}" for v in q) + " (5, 25, 50, 75, 95 %)")
    print(f"  findings on text or calipers: {on_text}")
    print(f"  missed: {missed[:20]}")


def cine() -> None:
    """Peak memory of a cine of 10 and of 100 frames, and time of one frame of 600 x 800."""
    frame = render_bmode(
        Probe("linear", 50.0, 66.0), [calcification(0, 20, 5, 20)], pixel_mm=(0.1, 0.1), margin=(50, 70)
    )
    image = np.zeros((600, 800), np.uint8)
    image[: frame.image.shape[0], : frame.image.shape[1]] = frame.image[:600, :800]

    class Repeated:
        def __init__(self, n: int) -> None:
            self.n = n

        def __len__(self) -> int:
            return self.n

        def frame(self, index: int) -> np.ndarray:
            return np.roll(image, index % 3, axis=1)

        def __iter__(self):
            return (self.frame(k) for k in range(self.n))

    one = Clip.from_array(image, pixel_mm=(0.1, 0.1))
    find_echoes(one)
    best = min(_timed(lambda: find_echoes(one)) for _ in range(5))
    print(f"one frame of 600 x 800: {best:.3f} s")
    for n in (10, 100):
        clip = Clip(Repeated(n), 600, 800, one.regions)
        tracemalloc.start()
        echoes = find_echoes(clip)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"cine of {n} frames: peak {peak:.0f} MB, {len(echoes)} findings")


def confidence() -> None:
    """Time of the confidence map against SciPy's default direct solve of the same system, side by side."""
    image = render_bmode(Probe("linear", 40.0, 40.0), [calcification(0, 15, 8, 30)], pixel_mm=(0.08, 0.08)).image[
        :, :500
    ]
    values = image.astype(float)
    rows, columns = values.shape
    first, second, weight = _edges(values, 2.0, 90.0, 0.05)
    n = values.size
    graph = sparse.coo_array((np.r_[weight, weight], (np.r_[first, second], np.r_[second, first])), (n, n)).tocsr()
    laplacian = (sparse.diags_array(graph.sum(axis=1)) - graph).tocsr()
    inner = np.arange(columns, n - columns)
    system, source = laplacian[inner][:, inner].tocsc(), -laplacian[inner][:, :columns].sum(axis=1)
    ours, theirs = _timed(lambda: confidence_map(image)), _timed(lambda: spsolve(system, source))
    print(f"confidence map of {rows} x {columns}: {ours:.2f} s, spsolve {theirs:.2f} s, ratio {ours / theirs:.2f}")


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    main(number)
    main(number // 3, "phased")
    main(number // 3, "vessel")
    cine()
    confidence()
