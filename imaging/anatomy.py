"""`Anatomy`: named masks on the grid of a scan, as runs. They name organ and side, and say where bone is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import geometry, structures
from .components import Components, Indices
from .errors import GeometryError, UsageError
from .volume import Volume, as_mask

MOST = 0.5
"""Share of its voxels that a component must have in a mask to belong to it."""
LEFT_LOBE = 0.4
"""A finding in the left 40 % of the left-right extent of a plain liver mask is taken to lie in the left lobe."""
_SLAB_VOXELS = 1 << 22


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Masks of organs, by name; they may overlap.

    Parameters
    ----------
    names : tuple of str
        Name of each mask.
    masks : Components
        One entry for each name, never empty; its grid is the scan's.
    affine : (4, 4) ndarray
        Of the scan.
    absent : tuple of str
        Structures that were looked for and have no voxel in the scan.
    """

    names: tuple[str, ...]
    masks: Components
    affine: geometry.Affine
    absent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.masks):
            raise UsageError(f"anatomy has {len(self.names)} names for {len(self.masks)} masks")

    def __len__(self) -> int:
        return len(self.names)

    # -- making ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_labels(cls, volume: Volume, labels: ArrayLike, names: Mapping[int, str]) -> Anatomy:
        """Anatomy from a label image on the grid of the scan.

        Parameters
        ----------
        volume : Volume
            The scan.
        labels : (slices, rows, columns) array_like of int
            0 is no structure.
        names : mapping of int to str
            Name of each label; others are called "label N".

        Raises
        ------
        GeometryError
            Another shape (``geometry_mismatch``).
        """
        image = np.asarray(labels)
        if image.shape != volume.shape or image.dtype.kind not in "iub":
            text = f"anatomy labels are whole numbers of shape {volume.shape}, got {image.dtype} of {image.shape}"
            raise GeometryError("geometry_mismatch", text)
        masks, values = encode(image, (0, 0, 0), volume.shape)
        present = tuple(names.get(v, f"label {v}") for v in values.tolist())
        absent = tuple(name for v, name in names.items() if v not in values)
        return cls(present, masks, volume.affine, absent)

    @classmethod
    def from_masks(cls, volume: Volume, masks: Mapping[str, ArrayLike | Volume]) -> Anatomy:
        """Anatomy from boolean masks by name, each on the grid of the scan; they may overlap.

        Raises
        ------
        GeometryError
            A mask lies on another grid (``geometry_mismatch``).
        """
        parts = {name: encode(as_mask(mask, volume, name), (0, 0, 0), volume.shape)[0] for name, mask in masks.items()}
        present = tuple(name for name, part in parts.items() if len(part))
        return cls(
            present, Components.concatenate([parts[n] for n in present], volume.shape), volume.affine,
            tuple(name for name in parts if name not in present),
        )  # fmt: skip

    def check(self, volume: Volume) -> None:
        """Refuse a scan on another grid.

        Raises
        ------
        GeometryError
            ``geometry_mismatch``.
        """
        if not volume.same_grid(self.masks.shape, self.affine):
            raise GeometryError("geometry_mismatch", "the anatomy masks do not lie on the grid of the scan")

    # -- regions ---------------------------------------------------------------------------------------------------

    def region(self, chosen: NDArray[np.bool_] | None = None) -> Components:
        """Union of the chosen masks (all by default) as one component with disjoint runs in raster order."""
        return union(self.masks if chosen is None else self.masks.take(chosen))

    @cached_property
    def bone(self) -> Components:
        """Union of all masks that are bone by their name; no component where there is none."""
        return self.region(np.array([structures.is_bone(n) for n in self.names], bool))

    @cached_property
    def cartilage(self) -> Components:
        """Union of all masks of costal cartilage."""
        return self.region(np.array([structures.is_cartilage(n) for n in self.names], bool))

    @property
    def whole_skeleton(self) -> bool:
        """Whether the masks stand for the whole skeleton: vertebrae, ribs and hips, or one mask of all bones."""
        return len(self.bone) > 0 and structures.names_skeleton([*self.names, *self.absent])

    def mask(self) -> NDArray[np.bool_]:
        """Union of all masks, (slices, rows, columns) bool."""
        return np.asarray(self.masks.paint(np.ones(len(self)), bool))

    # -- places ----------------------------------------------------------------------------------------------------

    def share(self, parts: Components) -> NDArray[np.float64]:
        """Share of the voxels of each component in each mask, (n, masks)."""
        inside = np.zeros((len(parts), len(self)))
        for k in range(len(self)):
            mask = self.masks.take([k])
            apart = (parts.box[:, :, 0] >= mask.box[0, :, 1]) | (parts.box[:, :, 1] <= mask.box[0, :, 0])
            near = np.flatnonzero(~apart.any(axis=1))
            inside[near, k] = count_inside(parts.take(near), mask)
        return inside / np.maximum(parts.n_voxels, 1)[:, None]

    def locate(self, parts: Components) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Organ, side, and whether the side is an estimate, of each component.

        Returns
        -------
        organ : (n,) ndarray of object
            Name of the mask that holds most of the component's voxels, at least half; of several that hold as many
            the smallest, which is the most specific. None elsewhere.
        side : (n,) ndarray of object
            left, right or midline as the name of the organ says; the lobe for the liver. None where it says nothing.
        estimated : (n,) ndarray of bool
            The lobe was estimated from the position in a liver mask without lobes.
        """
        organ = np.full(len(parts), None, object)
        side = organ.copy()
        estimated = np.zeros(len(parts), bool)
        use = np.array([not structures.is_patient(n) for n in self.names], bool)
        if not len(parts) or not use.any():
            return organ, side, estimated
        order = np.flatnonzero(use)[np.argsort(self.masks.n_voxels[use], kind="stable")]  # argmax takes the smallest
        share = self.share(parts)[:, order]
        names = np.array(self.names, object)[order]
        best = share.argmax(axis=1)
        held = share[np.arange(len(parts)), best] >= MOST
        organ[held] = names[best[held]]
        for k in np.flatnonzero(held):
            side[k] = structures.side_of(organ[k])
            if structures.is_liver(organ[k]) and side[k] is None and organ[k].lower() == "liver":
                lobes = [j for j in np.flatnonzero(share[k] >= MOST) if structures.is_liver(names[j])]
                known = [s for j in lobes if (s := structures.side_of(names[j])) is not None]
                side[k] = known[0] if known else self._lobe(names[best[k]], parts.take([k]))
                estimated[k] = not known
        return organ, side, estimated

    def _lobe(self, liver: str, part: Components) -> str:
        """Left or right by the position of the centroid in the left-right extent of a liver mask."""
        mask = self.masks.take([self.names.index(liver)])
        plane, row = np.divmod(mask.row, mask.shape[1])
        ends = [np.stack([plane, row, x], axis=1) for x in (mask.start, mask.start + mask.length - 1)]
        x = geometry.to_world(self.affine, np.concatenate(ends))[:, 0]  # LPS: x grows to the left
        centre = geometry.to_world(self.affine, part.centroid)[0, 0]
        return "left" if centre > x.max() - LEFT_LOBE * (x.max() - x.min()) else "right"


def encode(
    labels: NDArray[Any], start: tuple[int, int, int], shape: tuple[int, int, int]
) -> tuple[Components, Indices]:
    """A label image, or a part of one, as one component for each label that is not 0, and the labels, ascending.

    Parameters
    ----------
    labels : (slices, rows, columns) ndarray of int or bool
    start : (slice, row, column)
        Where its first voxel lies in the whole grid.
    shape : (slices, rows, columns)
        The whole grid.
    """
    image = labels.view(np.uint8) if labels.dtype == bool else labels
    slices, rows, columns = image.shape
    step = max(1, _SLAB_VOXELS // (rows * columns))
    pieces = [_label_runs(image[first : first + step], first) for first in range(0, slices, step)]
    plane, row, column, length, value = (np.concatenate([p[i] for p in pieces]) for i in range(5))
    values, number = np.unique(value, return_inverse=True)
    order = np.argsort(number, kind="stable")
    offsets = np.concatenate(([0], np.cumsum(np.bincount(number, minlength=len(values))))).astype(np.int64)
    runs = Components(
        shape, ((plane + start[0]) * shape[1] + row + start[1])[order], (column + start[2])[order].astype(np.int32),
        length[order].astype(np.int32), offsets,
    )  # fmt: skip
    return runs, values.astype(np.int64)


def _label_runs(image: NDArray[Any], first: int) -> tuple[NDArray[Any], ...]:
    """Plane, row, column, length and label of every stretch of one label in a slab."""
    change = np.ones(image.shape, bool)
    np.not_equal(image[:, :, 1:], image[:, :, :-1], out=change[:, :, 1:])
    at = np.flatnonzero(change)
    value = image.reshape(-1)[at]
    length = np.diff(np.append(at, image.size))
    kept = value != 0
    plane, row, column = np.unravel_index(at[kept], image.shape)
    return plane + first, row, column, length[kept], value[kept]


def union(masks: Components) -> Components:
    """All components as one, with disjoint runs in raster order; no component where there is no voxel."""
    if not len(masks.row):
        return Components.empty(masks.shape)
    columns = masks.shape[2]
    first = masks.row * columns + masks.start
    order = np.argsort(first, kind="stable")
    first, end = first[order], (first + masks.length)[order]
    reach = np.maximum.accumulate(end)
    begins = np.flatnonzero(np.append(True, first[1:] >= reach[:-1]))
    start, stop = first[begins], np.append(reach[begins[1:] - 1], reach[-1])
    row, column = np.divmod(start, columns)
    length = (stop - start).astype(np.int32)
    return Components(masks.shape, row, column.astype(np.int32), length, np.array([0, len(begins)], np.int64))


def count_inside(parts: Components, region: Components) -> Indices:
    """Voxels of each component that lie in `region` (disjoint runs in raster order), (n,)."""
    if not len(parts) or not len(region):
        return np.zeros(len(parts), np.int64)
    columns = parts.shape[2]
    first = region.row * columns + region.start
    before = np.concatenate(([0], np.cumsum(region.length, dtype=np.int64)))

    def below(index: Indices) -> Indices:
        """How many voxels of the region have a smaller flat index."""
        k = np.searchsorted(first, index, side="right") - 1
        in_run = np.minimum(index - first[k], region.length[k])
        return np.asarray(np.where(k >= 0, before[k] + in_run, 0), np.int64)

    start = parts.row * columns + parts.start
    return np.asarray(np.add.reduceat(below(start + parts.length) - below(start), parts.offsets[:-1]), np.int64)
