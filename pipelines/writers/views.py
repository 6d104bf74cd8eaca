"""How arrays become pictures: orientation, projections, and outlines along voxel edges. Plain numpy, nothing drawn.

Pictures follow the radiological convention whatever the acquisition: axial from the feet (patient's right on the left,
anterior on top), coronal from the front, sagittal with anterior on the left. Array axes are only swapped and reversed
for it, never resampled, so that every outline stays on the edges of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging import Components, Volume, axis_letters

_PLANES = {0: "sagittal", 1: "coronal", 2: "axial"}
_SHOWN = {"axial": ((1, 0, 0), (0, 1, 0)), "coronal": ((1, 0, 0), (0, 0, -1)), "sagittal": ((0, 1, 0), (0, 0, -1))}
"""Directions (LPS) that run to the right and downwards in a picture of each plane."""
_SECOND_LETTER = 0.35
"""Share of a direction (about 20 degrees) from which a second letter names it too, as in "LA"."""
_OPPOSITE = str.maketrans("LRPASI", "RLAPIS")
_BODY_HU = -300
_BODY_SAMPLES = 128


@dataclass(frozen=True)
class View:
    """Two axes of an array on a picture.

    Parameters
    ----------
    plane : str
        "axial", "coronal" or "sagittal": the nearest one.
    across, down : int
        Array axes (0 slice, 1 row, 2 column) that run to the right and downwards.
    flip_across, flip_down : bool
        Whether they run against the index.
    step : (mm, mm)
        Distance of voxels to the right and downwards.
    count : (int, int)
        Voxels to the right and downwards.
    letters : (left, right, top, bottom)
        Patient directions at the edges of the picture.
    """

    plane: str
    across: int
    down: int
    flip_across: bool
    flip_down: bool
    step: tuple[float, float]
    count: tuple[int, int]
    letters: tuple[str, str, str, str]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole picture, mm."""
        return self.count[0] * self.step[0], self.count[1] * self.step[1]

    def orient(self, image: NDArray[Any]) -> NDArray[Any]:
        """An image of the two axes, in the order of the array, as it is shown; a view."""
        shown = image.T if self.down > self.across else image
        return shown[:: -1 if self.flip_down else 1, :: -1 if self.flip_across else 1]

    def span(self, axis: int, low: float, high: float) -> tuple[float, float]:
        """From index `low` to one past the last, `high`, along an array axis: where that lies in the picture, mm."""
        k = (self.across, self.down).index(axis)
        if (self.flip_across, self.flip_down)[k]:
            low, high = self.count[k] - high, self.count[k] - low
        return low * self.step[k], high * self.step[k]


def view_along(volume: Volume, axis: int) -> View:
    """The picture of a volume seen along an array axis (0 gives its slices)."""
    affine = volume.affine
    plane = _planes(affine)[axis]
    # Slices of a tilted gantry are shown straight, at the distance of their planes.
    step = (volume.slice_distance, *volume.spacing[1:])
    rest = [a for a in range(3) if a != axis]
    units = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    right, downwards = (np.array(v, dtype=float) for v in _SHOWN[plane])
    across, down = max(
        ((a, b) for a, b in (rest, rest[::-1])),
        key=lambda ab: abs(units[:, ab[0]] @ right) + abs(units[:, ab[1]] @ downwards),
    )
    flips = bool(units[:, across] @ right < 0), bool(units[:, down] @ downwards < 0)
    to_right = patient_letters(units[:, across] * (-1 if flips[0] else 1))
    to_bottom = patient_letters(units[:, down] * (-1 if flips[1] else 1))
    letters = to_right.translate(_OPPOSITE), to_right, to_bottom.translate(_OPPOSITE), to_bottom
    shape = volume.shape
    return View(plane, across, down, *flips, (step[across], step[down]), (shape[across], shape[down]), letters)


def patient_letters(vector: NDArray[np.float64]) -> str:
    """The patient direction of an LPS vector; two letters, the stronger first, where it runs oblique."""
    first = axis_letters(vector)
    rest = np.where(np.abs(vector) == np.abs(vector).max(), 0.0, vector)
    oblique = np.abs(rest).max() > _SECOND_LETTER * np.linalg.norm(vector)
    return first + axis_letters(rest) if oblique else first


def is_tilted(volume: Volume) -> bool:
    """Whether the axes do not meet at right angles, so that a picture along them straightens the patient."""
    axes = volume.direction
    return not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3)


def slice_position(volume: Volume, index: int, axis: int = 0) -> str:
    """Where a plane lies: the patient coordinate of its centre along the nearest axis, such as "z -312.5 mm"."""
    middle = [(n - 1) / 2 for n in volume.shape]
    middle[axis] = index
    centre = volume.to_world(middle)
    axis = next(k for k, plane in _PLANES.items() if plane == _planes(volume.affine)[axis])
    return f"{'xyz'[axis]} {centre[axis]:.1f} mm".replace("-", "\N{MINUS SIGN}")


def _planes(affine: NDArray[np.float64]) -> tuple[str, str, str]:
    """The plane seen along each array axis: a patient axis each, the assignment with the largest cosines."""
    units = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    best = max(permutations(range(3)), key=lambda p: units[p[0], 0] + units[p[1], 1] + units[p[2], 2])
    return _PLANES[best[0]], _PLANES[best[1]], _PLANES[best[2]]


def body_box(volume: Volume, keep: Components) -> tuple[slice, slice, slice]:
    """Box round the patient, without most of table and air, that holds all of `keep`; from a coarse sample."""
    from scipy import ndimage

    strides = [max(1, n // _BODY_SAMPLES) for n in volume.shape]
    dense = volume.array[tuple(slice(None, None, s) for s in strides)] > _BODY_HU
    dense = ndimage.binary_opening(dense, np.ones((1, 3, 3), bool))  # table tops are thin
    label, n = ndimage.label(dense)
    if n == 0:
        return slice(0, volume.shape[0]), slice(0, volume.shape[1]), slice(0, volume.shape[2])
    largest = 1 + int(np.argmax(np.bincount(label.ravel())[1:]))
    found = ndimage.find_objects(label, largest)[largest - 1]
    box = []
    for axis, (part, stride, count) in enumerate(zip(found, strides, volume.shape, strict=True)):
        low, high = (part.start - 2) * stride, (part.stop + 2) * stride
        if len(keep):
            low, high = min(low, keep.box[:, axis, 0].min() - 2), max(high, keep.box[:, axis, 1].max() + 2)
        box.append(slice(max(0, int(low)), min(count, int(high))))
    return box[0], box[1], box[2]


def slice_labels(components: Components, numbers: NDArray[np.int64], index: int) -> NDArray[np.int32]:
    """Label image of one slice, (rows, columns): ``numbers[k]`` where component k lies; from its runs alone."""
    _, rows, columns = components.shape
    image = np.zeros((rows, columns), np.int32)
    here = np.flatnonzero(components.row // rows == index)
    owner = np.searchsorted(components.offsets, here, side="right") - 1
    first = (components.row[here] - index * rows) * columns + components.start[here]
    length = components.length[here]
    before = np.cumsum(length) - length
    flat = np.repeat(first - before, length) + np.arange(length.sum())
    image.reshape(-1)[flat] = np.repeat(numbers[owner], length)
    return image


def projected_labels(components: Components, numbers: NDArray[np.int64], axis: int) -> NDArray[np.int32]:
    """Label image of all components projected along an array axis; where they overlap the later one stands."""
    rest = [a for a in range(3) if a != axis]
    image = np.zeros([components.shape[a] for a in rest], np.int32)
    at = components.coordinates
    image[at[:, rest[0]], at[:, rest[1]]] = numbers[components.component]
    return image


def outlines(labels: NDArray[np.int32], step: tuple[float, float]) -> NDArray[np.float64]:
    """Borders of a label image along the edges of its pixels, (n, 2 ends, xy) in mm from its corner.

    An edge is a border where the labels on its two sides differ; edges in line are joined.
    """
    padded = np.pad(labels, 1)
    upright = _stretches(padded[1:-1, 1:] != padded[1:-1, :-1], along=0)  # edge c lies left of pixel c
    level = _stretches(padded[1:, 1:-1] != padded[:-1, 1:-1], along=1)[:, :, ::-1]
    return np.concatenate([upright, level])[:, :, ::-1] * step


def _stretches(edges: NDArray[np.bool_], along: int) -> NDArray[np.float64]:
    """Stretches of True along an axis as segments, (n, 2, (position along, position across))."""
    lines = edges.T if along == 0 else edges
    change = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    line, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    return np.stack([np.stack([start, line], axis=1), np.stack([stop, line], axis=1)], axis=1).astype(float)
