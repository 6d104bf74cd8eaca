"""Draws an example of every pattern for docs/gallery.md: python docs/pictures/patterns.py"""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection
from PIL import Image

from imaging import VOCABULARY, DetectionParams, detect, group, measure, name_patterns
from imaging.synthetic import example, render
from pipelines.writers.views import outlines, projected_labels, slice_labels

HERE = Path(__file__).parent / "patterns"
SPACING = (0.8, 0.7, 0.7)
FIELD_MM = 44.0
ORANGE = "#ff8c3a"


def named(pattern):
    """The first random example whose every larger finding gets the name of its pattern: detection and volume."""
    for seed in range(40):
        things = example(pattern, np.random.default_rng(seed), SPACING[0])
        volume = render(45.0, things, (76, 90, 90), SPACING, noise_sd=12.0, seed=seed).volume
        detection = detect(volume, DetectionParams(separate=False))
        findings = name_patterns(group(measure(detection), detection))
        large = findings[findings["volume_mm3"] > 0.2 * findings["volume_mm3"].max()]
        if len(large) and (large["pattern"] == pattern).all():
            return detection
    raise SystemExit(f"no example of {pattern} gets its name")


def show(ax, image, labels, title, centre, bar):
    """A grey picture with outlines, in mm."""
    step = SPACING[2], SPACING[1]
    size = image.shape[1] * step[0], image.shape[0] * step[1]
    ax.imshow(image, cmap="gray", vmin=-150, vmax=900, extent=(0, size[0], size[1], 0), interpolation="bicubic")
    ax.add_collection(LineCollection(list(outlines(labels, step)), colors=ORANGE, linewidths=0.8))
    half = FIELD_MM / 2
    ax.set_xlim(centre[0] - half, centre[0] + half)
    ax.set_ylim(centre[1] + half, centre[1] - half)
    ax.set_axis_off()
    ax.text(0.03, 0.97, title, transform=ax.transAxes, color="white", fontsize=7, va="top")
    if bar:
        x, y = centre[0] + half - 3, centre[1] + half - 2.5
        ax.plot([x - 10, x], [y, y], color="white", lw=2, solid_capstyle="butt")
        ax.text(x - 5, y - 1.2, "10 mm", color="white", fontsize=7, ha="center", va="bottom")


def draw(pattern):
    """The slice of the largest section, and the projection along the slices."""
    detection = named(pattern)
    volume, parts = detection.volume, detection.components
    numbers = np.ones(len(parts), np.int64)
    at = parts.coordinates
    best = int(np.bincount(at[:, 0]).argmax())
    middle = (at.min(axis=0) + at.max(axis=0) + 1) / 2
    centre = middle[2] * SPACING[2], middle[1] * SPACING[1]
    fig, axes = plt.subplots(1, 2, figsize=(4.8, 2.4), facecolor="black")
    show(axes[0], volume.array[best], slice_labels(parts, numbers, best), "slice", centre, True)
    show(axes[1], volume.array.max(axis=0), projected_labels(parts, numbers, 0), "projection", centre, False)
    fig.subplots_adjust(0, 0, 1, 1, 0.01, 0)
    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=100, facecolor="black")
    plt.close(fig)
    Image.open(buffer).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(
        HERE / f"{pattern}.png", optimize=True
    )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for pattern in VOCABULARY[:-1]:
        draw(pattern)
