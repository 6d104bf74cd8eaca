"""Bone from given masks: what they decide in the detection, in place of our own estimate.

Masks overrule our estimate only where they can know better: they must stand for the whole skeleton, and hold some of
the structure a candidate was part of. The forearm beside the trunk, which most segmentations leave out, stays ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .anatomy import MOST, Anatomy, count_inside
from .components import Components
from .distance import Nearest
from .params import DetectionParams
from .volume import Volume

BESIDE_MM = 3.0
"""Masks end up to this far from the edge of the bone."""
HOLDS_BONE = 0.1
"""Share of a large dense structure that must lie in bone masks to make it skeleton."""


@dataclass(frozen=True, eq=False)
class GivenBone:
    """What bone masks say about candidates, (n,) bool each.

    Parameters
    ----------
    bone : ndarray
        More than half of it inside bone.
    beside : ndarray
        Within 3 mm of bone, and HU falls little around it: what is left of bone at the edge of a mask, or a
        calcification on it.
    cartilage : ndarray
        More than half of it inside costal cartilage.
    decides : ndarray
        The masks stand in for our own estimate.
    """

    bone: NDArray[np.bool_]
    beside: NDArray[np.bool_]
    cartilage: NDArray[np.bool_]
    decides: NDArray[np.bool_]


def given_bone(
    volume: Volume,
    anatomy: Anatomy | None,
    parts: Components,
    drop: NDArray[np.float64],
    parent: NDArray[np.int64],
    large: Components,
    params: DetectionParams,
) -> GivenBone:
    """Judge candidates by the bone masks of an anatomy; all False without any.

    Parameters
    ----------
    parts : Components
        The candidates.
    drop : (n,) ndarray
        How far HU falls around each (`Surroundings.drop`).
    parent : (n,) ndarray of int
        Number in `large` of the structure that it was split off from; -1 for none.
    large : Components
    """
    no = np.zeros(len(parts), bool)
    if anatomy is None:
        return GivenBone(no, no, no, no)
    inside = _share(parts, anatomy.bone) > MOST
    soft = np.flatnonzero(~inside & ~(drop >= params.bone_drop))
    beside = no.copy()
    if len(soft) and len(anatomy.bone):
        near = parts.take(soft)
        distance = Nearest(volume, anatomy.bone).of(near.coordinates, near.component, len(soft), BESIDE_MM)
        beside[soft] = distance <= BESIDE_MM
    decides = np.full(len(parts), anatomy.whole_skeleton)
    decides &= np.append(_share(large, anatomy.bone) >= HOLDS_BONE, True)[parent]
    return GivenBone(inside, beside, _share(parts, anatomy.cartilage) > MOST, decides)


def name_large(reason: NDArray[Any], large: Components, anatomy: Anatomy | None) -> NDArray[Any]:
    """Reasons of structures too large for a candidate, corrected by bone and cartilage masks."""
    if anatomy is None:
        return reason
    free = reason != "metal"
    skeleton = free & (_share(large, anatomy.bone) >= HOLDS_BONE)
    cartilage = free & ~skeleton & (_share(large, anatomy.cartilage) > MOST)
    return np.asarray(np.select([cartilage, skeleton], ["cartilage", "bone"], reason), "U16")


def _share(parts: Components, region: Components) -> NDArray[np.float64]:
    return np.asarray(count_inside(parts, region) / np.maximum(parts.n_voxels, 1))
