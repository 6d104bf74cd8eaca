"""In which organ a finding lies, on which side, and how far from bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..anatomy import union
from ..components import Components
from ..distance import Nearest
from ..foci import Array, Foci
from .registry import feature

BONE_HU = 180.0
BONE_MM3 = 5000.0
"""Without bone masks: structures excluded as bone that hold at least this volume above 180 HU."""
METAL_HU, NEAR_METAL_MM = 1000.0, 15.0
"""Voxels of an object excluded as metal that count as metal, and how far its streaks are expected."""


@feature("organ", unit="", dtype="string", source="anatomy masks")
def organ(f: Foci) -> Array:
    """Mask that holds most of the finding, at least half; of nested ones the smallest; missing elsewhere."""
    return f.located[0]


@feature("side", unit="", dtype="string", source="names of anatomy masks")
def side(f: Foci) -> Array:
    """Left, right or midline as the organ's name says; the lobe for the liver; missing where the name does not say."""
    return f.located[1]


@feature("bone_distance_mm", unit="mm", source="anatomy masks, else large structures excluded as bone, above 180 HU")
def bone_distance(f: Foci) -> Array:
    """From the surface of the half-maximum mask to the nearest bone voxel, centre to centre; missing without bone."""
    bone = _own_bone(f) if f.detection.anatomy is None else f.detection.anatomy.bone
    if f.detection.anatomy is not None and not len(bone):
        bone = _own_bone(f)
    surface = f.packed.open_sides().any(axis=1)
    distance = Nearest(f.volume, bone).of(f.shape.coordinates[surface], f.shape.component[surface], len(f))
    return np.where(np.isfinite(distance), distance, np.nan)


def near_metal(f: Foci) -> NDArray[np.bool_]:
    """Which findings lie within 15 mm of metal: streaks may have changed their HU, or made them."""
    left = f.detection.excluded
    parts = left.components.take(left.reason == "metal")
    voxels = np.sort(parts.voxels[parts.values(f.volume.array) > METAL_HU])
    metal = union(Components.from_voxels(voxels, f.volume.shape))
    near = Nearest(f.volume, metal).of(f.mask.coordinates, f.mask.component, len(f), NEAR_METAL_MM)
    return np.asarray(near <= NEAR_METAL_MM)


def _own_bone(f: Foci) -> Components:
    """Our estimate: large dense structures that the detection left out as bone, without the findings themselves."""
    left, shape = f.detection.excluded, f.volume.shape
    parts = left.components.take(left.reason == "bone")
    parts = parts.take(parts.n_voxels * f.voxel_mm3 >= BONE_MM3)
    if not len(parts) or not len(f):
        return Components.empty(shape)
    voxels = np.sort(parts.voxels[parts.values(f.volume.array) > BONE_HU], kind="stable")  # disjoint, each in order
    findings = np.concatenate([f.mask.voxels, f.shape.voxels])
    place = np.searchsorted(voxels, findings)
    inside = place < len(voxels)
    own = place[inside][voxels[place[inside]] == findings[inside]]
    dense = Components.from_voxels(np.delete(voxels, own), shape)
    return union(dense.take(dense.n_voxels * f.voxel_mm3 >= BONE_MM3))
