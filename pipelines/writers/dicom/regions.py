"""Where findings are, for a report that refers to no segmentation: ellipsoids in the patient, outlines in an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging import Components, geometry


def ellipsoids(parts: Components, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends of the three axes of the ellipsoid that has the centroid and second moments of each mask, (n, 6, 3) LPS mm.

    Voxels count with their extent (1/12 of a step squared along each axis), so that one voxel has a body too. A solid
    ellipsoid of semi-axis a has the variance a^2 / 5 along it.
    """
    steps = affine[:3, :3]
    moments = steps @ (parts.covariance + np.eye(3) / 12) @ steps.T
    variance, axes = np.linalg.eigh(moments)
    arms = (np.sqrt(5 * variance)[:, None, :] * axes).transpose(0, 2, 1)[:, ::-1]  # (n, axis, xyz), longest first
    centre = geometry.to_world(affine, parts.centroid).reshape(-1, 1, 3)
    return np.stack([centre - arms, centre + arms], axis=2).reshape(len(parts), 6, 3)


def outline(parts: Components, k: int, frame: int) -> NDArray[np.float64]:
    """The outer outline of component `k` in one frame as a closed polyline of (column, row), from the corner of the
    image: the first pixel reaches from 0 to 1. Of several pieces the one with the longest outline.
    """
    from skimage.measure import find_contours

    mine = parts.coordinates[parts.voxel_offsets[k] : parts.voxel_offsets[k + 1]]
    here = mine[mine[:, 0] == frame, 1:]
    low = here.min(axis=0)
    mask = np.zeros(np.ptp(here, axis=0) + 3)
    mask[tuple((here - low + 1).T)] = 1
    longest = max(find_contours(mask, 0.5), key=len)
    inside = np.clip(longest + low - 1 + 0.5, 0, np.array(parts.shape[1:]))
    return np.asarray(inside[:, ::-1])
