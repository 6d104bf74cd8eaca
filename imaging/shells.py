"""Large thin shells: the one kind of large dense structure that is surely not bone."""

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
