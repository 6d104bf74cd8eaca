"""Large dense structures that are no bone: thin shells round soft tissue, and solid masses without marrow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .body import fill_in_plane
from .components import Components
from .noise import Noise
from .volume import Volume

LARGEST_BOX_MM = 160.0
"""A box longer than this is skeleton or bowel, not a calcified wall; it is not looked at (cost)."""
CONTENT_HU = (-20.0, 100.0)
"""What a calcified wall encloses: fluid or soft tissue; not the marrow fat of a long bone."""
CONTENT_SD = 1.4
"""Times the noise: marrow is textured, fluid is not."""
THICKEST_WALL_MM = 4.5


LARGEST_MASS_MM = 80.0
DENSEST_PART = 0.6
"""The core of a mass: what lies at least this share of its largest depth below the surface."""
MASS_HU = 300.0
MASS_CORE = 0.85
"""Median of the core over the 90th percentile of the whole: bone has a dense rim round a lighter core, a stone none."""
COMPACT = 0.45
"""Largest thickness over the diameter of the ball of the same volume: plates and branches are less."""


def kept_large(volume: Volume, large: Components, noise: Noise) -> NDArray[np.str_]:
    """For each large component the flag under which it is a finding, '' for the others, (n,)."""
    shell, mass = thin_shells(volume, large, noise), solid_masses(volume, large, noise)
    return np.select([shell, mass], ["shell_kept", "mass_kept"], "").astype("U16")


def solid_masses(volume: Volume, large: Components, noise: Noise) -> NDArray[np.bool_]:
    """Which of the large components are compact solid masses within the scan, (n,) bool.

    Not cut by the border, median at least 300 HU, as thick as a compact body is, and densest in the core; none in a
    scan with contrast agent, where a bladder looks the same.
    """
    from scipy import ndimage

    found = np.zeros(len(large), bool)
    if noise.enhanced or not len(large):
        return found
    box = large.box
    whole = ((box[:, :, 0] > 0) & (box[:, :, 1] < volume.shape)).all(axis=1)
    small = (np.diff(box, axis=2)[:, :, 0] * volume.spacing <= LARGEST_MASS_MM).all(axis=1)
    values = large.values(volume.array)
    dense = large.quantile(values, 0.5) >= MASS_HU
    bright = large.quantile(values, 0.9)
    for k in np.flatnonzero(whole & small & dense):
        own = slice(*large.voxel_offsets[k : k + 2])
        place = tuple((large.coordinates[own] - box[k, :, 0] + 1).T)
        mask = np.zeros(box[k, :, 1] - box[k, :, 0] + 2, bool)
        mask[place] = True
        depth = ndimage.distance_transform_edt(mask, sampling=volume.spacing)[place]
        ball = np.cbrt(6 * large.n_voxels[k] * volume.voxel_volume_mm3 / np.pi)
        core = np.median(values[own][depth >= DENSEST_PART * depth.max()])
        found[k] = 2 * depth.max() >= COMPACT * ball and core >= MASS_CORE * bright[k]
    return found


def thin_shells(volume: Volume, large: Components, noise: Noise) -> NDArray[np.bool_]:
    """Which of the large components are thin shells round soft tissue, (n,) bool.

    In-plane holes of the component hold soft tissue (median between -20 and 100 HU, spread at most 1.4 times the
    noise), are at least as large as the wall, and the wall is nowhere thicker than 4.5 mm. On real scans no bone met
    all of these (separation.md section 4).
    """
    from scipy import ndimage

    found = np.zeros(len(large), bool)
    extent = np.diff(large.box, axis=2)[:, :, 0] * volume.spacing
    for k in np.flatnonzero((extent <= LARGEST_BOX_MM).all(axis=1)):
        box = large.box[k]
        wall = np.zeros(box[:, 1] - box[:, 0], bool)
        inside = slice(*large.voxel_offsets[k : k + 2])
        wall[tuple((large.coordinates[inside] - box[:, 0]).T)] = True
        holes = fill_in_plane(wall) & ~wall
        if holes.sum() < wall.sum():
            continue
        crop = volume.array[tuple(slice(a, b) for a, b in box)]
        # One voxel away from the wall: its partial volume is no property of the content.
        content = crop[holes & ~ndimage.binary_dilation(wall)].astype(float)
        if len(content) < 20:
            continue
        median = np.median(content)
        spread = 1.4826 * np.median(np.abs(content - median))
        thickest = 2 * ndimage.distance_transform_edt(np.pad(wall, 1), sampling=volume.spacing).max()
        found[k] = CONTENT_HU[0] <= median <= CONTENT_HU[1] and spread <= CONTENT_SD * noise.sd
        found[k] &= thickest < max(THICKEST_WALL_MM, 2 * max(volume.spacing))
    return found
