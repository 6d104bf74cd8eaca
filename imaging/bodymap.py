"""Where in the body a candidate lies: depth under the skin, share of bone around it, the layer of the ribs.

All on the blocks of the body mask (about 3 mm), looked up for the voxels of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .chestwall import ChestWall, find_chest_wall
from .coarse import CoarseMask, block_mean
from .components import Components
from .volume import Volume

BONE_HU = 200.0
SPREAD_MM = 10.0
"""Standard deviation of the Gaussian over which the share of bone is taken."""
RIB_AREA_MM2 = 800.0
"""A section of bone in a slice larger than this is no rib: spine, shoulder blade, pelvis."""
RIB_DEPTH_MM = (40.0, 50.0)
"""Median and largest depth under the skin of a section that can be a rib."""
FEWEST_RIBS = 4
"""Sections in the median slice from which there is a chest wall at all."""
N_ANGLES = 72
REACHES = (2, 5, 8)
"""Half-widths in angle bins (5 degrees) in which rib depths are pooled, the first that holds any counts."""
LAYER_MM = 9.0
"""Half the thickness of the layer."""
FAR = 1e6


@dataclass(frozen=True, eq=False)
class Ribs:
    """Blocks of sections that look like ribs: angle about the centre of the body (bins), depth (mm), structure."""

    angle: NDArray[np.int64]
    depth: NDArray[np.float32]
    structure: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BodyMap:
    """Maps on the blocks of a body mask.

    Parameters
    ----------
    body : CoarseMask
    depth : ndarray
        mm under the skin, within the slice; the border of the scan and padding are no skin.
    boneness : ndarray
        Share of the body above 200 HU within about 10 mm.
    structure : ndarray of int32
        Number of the dense structure in each block from 1, else 0.
    ribs : Ribs
        Empty where there is no chest wall.
    centre : (slices, 2) ndarray
        Centre of the body in each slice, blocks (row, column).
    wall : ChestWall
        What lies just outside the lungs.
    """

    body: CoarseMask
    depth: NDArray[np.float32]
    boneness: NDArray[np.float32]
    structure: NDArray[np.int32]
    ribs: Ribs
    centre: NDArray[np.float64]
    wall: ChestWall

    def of(self, parts: Components) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Depth (mm) and boneness at the centroid of each component, and whether it lies in the chest wall.

        That is the layer of the ribs, or just outside the lungs.
        """
        block = np.floor(parts.centroid / self.body.factors).astype(np.int64)
        block = np.clip(block, 0, np.array(self.depth.shape) - 1)
        place = tuple(block.T)
        depth = self.depth[place].astype(float)
        first = parts.coordinates[parts.voxel_offsets[:-1]] // self.body.factors
        own = self.structure[tuple(first.T)]
        angle = _bin(block[:, 1:] - self.centre[block[:, 0]])
        in_layer = self.wall.holds(parts.centroid / self.body.factors)
        # Few ever come near: candidates that passed size and noise, at the depth at which ribs can lie.
        asked = ~in_layer & (depth <= RIB_DEPTH_MM[1] + LAYER_MM) & (len(self.ribs.angle) > 0)
        for k in np.flatnonzero(asked):
            in_layer[k] = self._in_layer(int(angle[k]), float(depth[k]), int(own[k]))
        return depth, self.boneness[place].astype(float), in_layer

    def _in_layer(self, angle: int, depth: float, own: int) -> bool:
        """Whether a depth is that of the ribs at about this angle, a candidate's own structure left out of them."""
        apart = np.abs((self.ribs.angle - angle + N_ANGLES // 2) % N_ANGLES - N_ANGLES // 2)
        others = self.ribs.structure != own
        for reach in REACHES:
            near = others & (apart <= reach)
            if near.any():
                return bool(abs(float(np.median(self.ribs.depth[near])) - depth) <= LAYER_MM)
        return False


def map_body(volume: Volume, body: CoarseMask, bone: Components, thin: float) -> BodyMap:
    """Maps of one scan; `bone` are its dense structures, `thin` the share of a bone that its slab holds."""
    step = np.multiply(volume.spacing, body.factors)
    unknown = body.mask.copy()
    if volume.valid is not None:
        unknown |= block_mean(volume.valid.view(np.int8), body.factors) < 1
    depth = _in_plane_distance(unknown, step)
    mean = block_mean(volume.array, body.factors)
    dense = mean > BONE_HU
    share = _smooth(dense & body.mask, step) / np.maximum(_smooth(body.mask, step), 1e-3)
    structure = np.zeros(body.mask.shape, np.int32)
    structure[tuple((bone.coordinates // body.factors).T)] = bone.component + 1
    centre = _centres(body.mask)
    ribs, wall = _ribs(structure, depth, centre, step), find_chest_wall(body, mean, centre, step, thin)
    return BodyMap(body, depth, share.astype(np.float32), structure, ribs, centre, wall)


def _in_plane_distance(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance within the slice to the nearest block outside the mask, mm; large where the slice has none."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((float(step[2]), float(step[1]), FAR))  # other slices are far away
    far = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return np.asarray(sitk.GetArrayFromImage(far), dtype=np.float32)


def _smooth(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), SPREAD_MM / step, truncate=2.5))


def _bin(away: NDArray[np.float64]) -> NDArray[np.int64]:
    """Angle bin of offsets (row, column) from the centre."""
    angle = np.arctan2(away[..., 0], away[..., 1])
    return np.asarray((angle / (2 * np.pi) * N_ANGLES).astype(np.int64) % N_ANGLES)


def _centres(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean (row, column) of the mask in every slice."""
    count = np.maximum(mask.sum(axis=(1, 2)), 1)
    rows, columns = (np.arange(n) for n in mask.shape[1:])
    return np.stack([(mask.sum(axis=2) @ rows) / count, (mask.sum(axis=1) @ columns) / count], axis=1)


def _ribs(
    structure: NDArray[np.int32],
    depth: NDArray[np.float32],
    centre: NDArray[np.float64],
    step: NDArray[np.float64],
) -> Ribs:
    """Sections of dense structures in a slice that are small and near the skin, where a slice shows several."""
    from scipy import ndimage

    none = np.zeros(0, np.int64)
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = True
    label, n = ndimage.label(structure > 0, in_plane)
    if not n:
        return Ribs(none, none.astype(np.float32), none.astype(np.int32))
    where = np.flatnonzero(label.ravel())
    owner = label.ravel()[where]
    order = np.lexsort((depth.ravel()[where], owner))
    where, owner = where[order], owner[order]
    ends = np.cumsum(np.bincount(owner, minlength=n + 1)[1:])
    starts = np.append(0, ends[:-1])
    deep = depth.ravel()[where]
    area = (ends - starts) * step[1] * step[2]
    rib = (area < RIB_AREA_MM2) & (deep[(starts + ends) // 2] < RIB_DEPTH_MM[0]) & (deep[ends - 1] <= RIB_DEPTH_MM[1])
    of_slice = np.unravel_index(where[starts], label.shape)[0]
    if np.median(np.bincount(of_slice[rib], minlength=label.shape[0])) < FEWEST_RIBS:
        return Ribs(none, none.astype(np.float32), none.astype(np.int32))
    chosen = rib[owner - 1]
    z, y, x = np.unravel_index(where[chosen], label.shape)
    angle = _bin(np.stack((y, x), axis=1) - centre[z])
    return Ribs(angle, deep[chosen], structure.ravel()[where[chosen]])
