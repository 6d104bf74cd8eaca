"""Draws the pictures of docs/features.md from phantoms: python docs/pictures/draw.py"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.spatial import ConvexHull

mpl.use("Agg")
import matplotlib.pyplot as plt

from imaging import DetectionParams, detect, measure
from imaging.foci import Foci
from imaging.synthetic import Ball, Shell, Thing, Union, render

HERE = Path(__file__).parent
RED, BLUE, GREEN = "#c0392b", "#2471a3", "#1e8449"
BACKGROUND = 40.0


def show(ax, image, title):
    """A slice in grey, without axes."""
    ax.imshow(image, cmap="gray", vmin=-100, vmax=700)
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()


def outline(ax, mask, colour, **style):
    """The edge of a mask, along its voxels."""
    big = np.kron(mask, np.ones((10, 10)))
    ax.contour(big, [0.5], colors=colour, extent=(-0.5, mask.shape[1] - 0.5, -0.5, mask.shape[0] - 0.5), **style)


def find(things, shape=(30, 40, 40), spacing=(0.7, 0.7, 0.7), noise=12.0):
    """The findings of a phantom."""
    volume = render(BACKGROUND, things, shape, spacing, noise_sd=noise, seed=1).volume
    return Foci(detect(volume, DetectionParams(separate=False)))


def largest(parts):
    """Mask of the largest component, its middle slice."""
    k = int(np.argmax(parts.n_voxels))
    mask = parts.take([k]).paint() > 0
    middle = int(np.rint(parts.centroid[k][0]))
    return mask, middle


def size():
    """The two masks, and diameters of an oblong finding."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(6, 3.2))
    f = find([Thing(Ball((0, 0, 0), 3.0), 900.0)], shape=(20, 24, 24))
    mask, z = largest(f.mask)
    show(left, f.volume.array[z], "detection (red), half-maximum (blue)")
    outline(left, mask[z], RED)
    outline(left, largest(f.shape)[0][z], BLUE)
    parts = Union((Ball((-3, -2, 0), 3.5), Ball((2, 1.5, 0), 4.5)))
    f = find([Thing(parts, 900.0)])
    mask, z = largest(f.shape)
    show(right, f.volume.array[z], "axial diameter and perpendicular")
    outline(right, mask[z], BLUE)
    at = np.argwhere(mask[z])[:, ::-1].astype(float)
    angles = np.deg2rad(np.arange(180))
    extent = [np.ptp(at @ (np.cos(a), np.sin(a))) for a in angles]
    long = angles[int(np.argmax(extent))]
    for direction, colour in ((long, RED), (long + np.pi / 2, GREEN)):
        u = np.array((np.cos(direction), np.sin(direction)))
        along = at @ u
        middle, half = at.mean(axis=0), (along.max() - along.min()) / 2
        middle = middle + u * ((along.max() + along.min()) / 2 - middle @ u)
        right.plot(*np.stack((middle - half * u, middle + half * u), axis=1), color=colour, lw=2)
    fig.savefig(HERE / "size.png", dpi=110, bbox_inches="tight")


def form():
    """Hull, box and ellipsoid round a branched outline."""
    y, x = np.indices((48, 48))
    mask = np.zeros((48, 48), bool)
    for cy, cx, r in ((16, 14, 7), (26, 22, 6), (34, 34, 8), (22, 34, 5)):
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r * r
    fig, ax = plt.subplots(figsize=(3.4, 3.4))
    show(ax, mask * 450, "hull (red), box (green), ellipsoid (blue)")
    at = np.argwhere(mask)[:, ::-1].astype(float)
    points = np.concatenate([at + step for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))])
    hull = ConvexHull(points)
    ring = np.append(hull.vertices, hull.vertices[0])
    ax.plot(*points[ring].T, color=RED)
    (x0, y0), (x1, y1) = at.min(axis=0) - 0.5, at.max(axis=0) + 0.5
    ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=GREEN)
    values, vectors = np.linalg.eigh(np.cov(at.T))
    t = np.linspace(0, 2 * np.pi, 200)
    ax.plot(*(at.mean(axis=0)[:, None] + vectors @ (2 * np.sqrt(values)[:, None] * (np.cos(t), np.sin(t)))), color=BLUE)
    fig.savefig(HERE / "form.png", dpi=110, bbox_inches="tight")


def shell():
    """A broken shell and what the fit sees."""
    f = find([Thing(Shell((0, 0, 0), 9.0, 1.6, 0.7, (0, 1, 0)), 900.0)])
    k = int(np.argmax(f.shape.n_voxels))
    mask, _ = largest(f.shape)
    radius = f.sphere.radius[k]
    middle = np.array(f.volume.shape)[1:] / 2 - 0.5
    z = f.volume.shape[0] // 2
    fig, ax = plt.subplots(figsize=(3.4, 3.4))
    show(ax, f.volume.array[z], f"coverage {f.sphere.coverage[k]:.2f}, inside {f.sphere.inner_occupancy[k]:.2f}")
    t = np.linspace(0, 2 * np.pi, 200)
    for share, style in ((1.0, "-"), (0.6, ":")):
        r = share * radius / f.volume.spacing[1]
        ax.plot(middle[1] + r * np.cos(t), middle[0] + r * np.sin(t), color=BLUE, ls=style)
    for angle in np.deg2rad(np.arange(0, 360, 12)):
        ray = np.arange(radius - 1, radius + 1.01, 0.2)[:, None] * (np.sin(angle), np.cos(angle)) / f.volume.spacing[1]
        where = np.rint(middle + ray).astype(int)
        colour = GREEN if mask[z][tuple(where.T)].any() else RED
        ax.plot(*(middle + ray[[0, -1]]).T[::-1], color=colour, lw=2)
    fig.savefig(HERE / "shell.png", dpi=110, bbox_inches="tight")


def hu():
    """Depth, profile, and two edges."""
    from scipy import ndimage
    from scipy.special import ndtr

    f = find([Thing(Ball((0, 0, 0), 8.0), 900.0)])
    mask, z = largest(f.shape)
    fig, axes = plt.subplots(1, 3, figsize=(9, 2.9))
    depth = ndimage.distance_transform_edt(mask, sampling=f.volume.spacing)[z]
    axes[0].imshow(np.where(mask[z], np.floor(np.minimum(depth / depth.max(), 0.999) * 5) + 1, np.nan), cmap="viridis")
    axes[0].set_title("five shells of depth", fontsize=9)
    axes[0].set_axis_off()
    row = measure(f.detection).sort_values("n_voxels").iloc[-1]
    axes[1].plot(range(1, 6), [row[f"depth_hu_{k}"] for k in range(1, 6)], "o-", color=BLUE)
    axes[1].axhline(row["plateau_hu"], color=GREEN, ls=":")
    axes[1].set_title("depth_hu_1 to 5, plateau", fontsize=9)
    x = np.linspace(-8, 8, 400)
    for sigma, colour, name in ((0.6, BLUE, "sharp"), (2.5, RED, "blurred")):
        axes[2].plot(x, 40 + 860 * ndtr(-x / sigma), color=colour, label=name)
        width = sigma * np.sqrt(2 * np.pi)
        axes[2].plot([-width / 2, width / 2], [900, 40], color=colour, ls=":")
    axes[2].set_title("edge width: the base of the tangent", fontsize=9)
    axes[2].set_xlabel("mm across the edge", fontsize=8)
    axes[2].legend(fontsize=8)
    fig.savefig(HERE / "hu.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    for draw in (size, form, shell, hu):
        draw()
