"""Which crops of which slices show the findings best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging import Components

from ..results import ScanResult
from .views import View, view_along

FIELD_MM = 100.0
"""Side of a crop; larger where a finding does not fit."""
_FILL = 0.8
_MOST = 300
"""So many findings, largest first, compete for crops."""


@dataclass(frozen=True)
class Crop:
    """A square part of a slice.

    Parameters
    ----------
    slice_index : int
    centre : (mm, mm)
        In the picture of the slice (`views.view_along` axis 0): to the right and downwards from its corner.
    field_mm : float
        Side of the square.
    finding_ids : tuple of int
        Findings that it shows, ascending.
    """

    slice_index: int
    centre: tuple[float, float]
    field_mm: float
    finding_ids: tuple[int, ...]


@dataclass(frozen=True)
class Sections:
    """Cuts of findings with slices, one entry each, (n,): which finding, which slice, pixels, box in the picture."""

    component: NDArray[np.int64]
    plane: NDArray[np.int64]
    area: NDArray[np.int64]
    box: NDArray[np.float64]
    """(n, 4): left, top, right, bottom, mm."""

    @classmethod
    def of(cls, parts: Components, view: View) -> Sections:
        """All sections of components, from their runs, which are sorted by component and then by slice."""
        _, rows, _ = parts.shape
        owner = np.repeat(np.arange(len(parts)), np.diff(parts.offsets))
        plane, row = np.divmod(parts.row, rows)
        new = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(plane, prepend=-1))
        if not len(new):
            return cls(owner, plane, owner, np.zeros((0, 4)))
        start = parts.start.astype(np.int64)
        low = np.stack([np.minimum.reduceat(a, new) for a in (row, start)], axis=1)
        high = np.stack([np.maximum.reduceat(a, new) for a in (row + 1, start + parts.length)], axis=1)
        area = np.add.reduceat(parts.length.astype(np.int64), new)
        box = np.empty((len(new), 4))
        for k, axis in enumerate((view.across, view.down)):
            ends = [view.span(axis, *pair) for pair in zip(low[:, axis - 1], high[:, axis - 1], strict=True)]
            box[:, [k, k + 2]] = ends
        return cls(owner[new], plane[new], area, box)

    def take(self, which: NDArray[np.bool_]) -> Sections:
        """Some of them."""
        return Sections(self.component[which], self.plane[which], self.area[which], self.box[which])


def plan_crops(result: ScanResult, limit: int = 8) -> list[Crop]:
    """At most `limit` crops that together show as many findings as possible, large ones first.

    One after the other, the crop is taken whose findings not seen yet have the largest sum of diameters; a finding
    counts in slices with at least half of its largest section.

    Returns
    -------
    list of Crop
        In the order of slices.
    """
    detection = result.detection
    view = view_along(result.volume, 0)
    every = Sections.of(detection.components, view)
    largest = np.zeros(len(detection), np.int64)
    np.maximum.at(largest, every.component, every.area)
    volume = detection.components.n_voxels
    rank = np.empty(len(detection), np.int64)
    rank[np.argsort(-volume, kind="stable")] = np.arange(len(detection))
    todo = every.take((2 * every.area >= largest[every.component]) & (rank[every.component] < _MOST))
    weight = np.cbrt(volume.astype(float))
    crops: list[Crop] = []
    while len(todo.component) and len(crops) < limit:
        members = _best(todo, weight)
        index, box = int(todo.plane[members[0]]), todo.box[members]
        low, high = box[:, :2].min(axis=0), box[:, 2:].max(axis=0)
        field = max(FIELD_MM, float((high - low).max()) / _FILL)
        centre = _within((low + high) / 2, field, view)
        here = every.take(every.plane == index)
        shown = here.component[(np.abs((here.box[:, :2] + here.box[:, 2:]) / 2 - centre) < field / 2).all(axis=1)]
        ids = sorted(int(i) for i in detection.finding_id[shown])
        crops.append(Crop(index, (float(centre[0]), float(centre[1])), field, tuple(ids)))
        whole = (todo.box[:, :2] >= centre - field / 2) & (todo.box[:, 2:] <= centre + field / 2)
        seen = (todo.plane == index) & whole.all(axis=1)
        seen[members] = True
        todo = todo.take(~np.isin(todo.component, todo.component[seen]))
    return sorted(crops, key=lambda c: (c.slice_index, c.finding_ids))


def _within(centre: NDArray[np.float64], field: float, view: View) -> NDArray[np.float64]:
    """The centre moved so that the field shows as little beyond the picture as it can."""
    size = np.array(view.size)
    reach = np.minimum(field, size) / 2
    return np.clip(centre, reach, size - reach)


def _best(sections: Sections, weight: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sections of the best crop: all round one of them, the anchor, that fit into a field together with it."""
    best, best_score = np.zeros(1, np.int64), (-1.0, 0)
    low, high = sections.box[:, :2], sections.box[:, 2:]
    middle, reach = (low + high) / 2, FIELD_MM * _FILL / 2
    order = np.argsort(sections.plane, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(sections.plane[order])) + 1):
        for anchor in group:
            fits = (low[group] > middle[anchor] - reach) & (high[group] < middle[anchor] + reach)
            members = group[fits.all(axis=1) | (group == anchor)]
            score = (float(weight[sections.component[members]].sum()), int(sections.area[members].sum()))
            if score > best_score:
                best, best_score = members, score
    return best


def middle_crops(result: ScanResult, box: tuple[slice, slice, slice], limit: int = 4) -> list[Crop]:
    """Whole slices, evenly spread over a box, for a scan without findings."""
    view = view_along(result.volume, 0)
    spans = [view.span(axis, box[axis].start, box[axis].stop) for axis in (view.across, view.down)]
    field = max(high - low for low, high in spans)
    centre = (sum(spans[0]) / 2, sum(spans[1]) / 2)
    first, last = box[0].start, box[0].stop
    places = np.linspace(first, last, limit + 2)[1:-1].astype(int) if last - first > limit else range(first, last)
    return [Crop(int(k), centre, field, ()) for k in places]
