"""What comes apart inside one series: acquisitions at the same places, planes, matrices, and parts between gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..errors import GeometryError
from ..series import Instance
from . import grids
from .headers import SPLIT_KEYS, Header, Image

Record = tuple[Header, Image]

_WORDS = dict(zip(SPLIT_KEYS, ("acquisition number", "kernel", "kVp", "temporal position", "image type"), strict=True))
FEWEST = 3
"""A plane or matrix that fewer slices have is a mistake in a series, not a series."""


@dataclass(frozen=True)
class Part:
    """A part of a series: what it differs in (codes of `imaging.series.Series.split_by`), its values of that, and its
    images.
    """

    split_by: tuple[str, ...]
    value: str
    records: list[Record]


def order(records: Sequence[Record], *, fill: bool = False) -> tuple[list[int], grids.Grid]:
    """Indices by position, copies of one image next to each other, and the grid.

    Raises
    ------
    GeometryError
        As `grids.regular_grid`.
    """
    places: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, (_, image) in enumerate(records):
        places[same_image(image.instance, index)].append(index)
    copies = list(places.values())
    instances = [records[same[0]][1].instance for same in copies]
    header = records[0][0]
    grid = grids.regular_grid(
        [i.position for i in instances],
        [i.orientation for i in instances],
        [i.pixel_spacing for i in instances],
        header.slice_thickness_mm,
        header.single_step_mm,
        fill=fill,
    )
    return [i for k in grid.order for i in copies[k]], grid


def same_image(instance: Instance, index: int) -> tuple[object, ...]:
    """A key under which copies of one image meet; `index` keeps images without UID apart."""
    uid = instance.sop_instance_uid
    return (uid, instance.frame, instance.position) if uid else (index,)


def by_acquisition(records: list[Record]) -> list[Part]:
    """The parts of a series that holds several acquisitions; empty if nothing tells them apart.

    The fewest keys that leave no two slices at one place; among them those that leave regular grids. Repeated
    scans of a single position (bolus tracking) stay one refused series: they are no volumes.
    """
    fallback: list[Part] = []
    for count in (1, 2):
        for keys in combinations(range(len(SPLIT_KEYS)), count):
            parts: dict[tuple[str, ...], list[Record]] = defaultdict(list)
            for record in records:
                parts[tuple(record[1].split[k] for k in keys)].append(record)
            if len(parts) < 2 or all(len(part) == 1 for part in parts.values()):
                continue
            names = tuple(SPLIT_KEYS[k] for k in keys)
            found = [
                Part(names, "|".join(f"{n}={v}" for n, v in zip(names, value, strict=True)), parts[value])
                for value in sorted(parts)
            ]
            errors = [_error(part.records) for part in found]
            if not any(errors):
                return found
            if "duplicate_positions" not in errors and not fallback:
                fallback = found
    return fallback


def by_shape(records: list[Record]) -> list[Part]:
    """The parts of a series that holds several planes or matrices; empty unless each is whole by itself.

    Each part has at least `FEWEST` slices on a regular grid, and parts of one plane reach over each other: half a
    series would pass for a whole one otherwise.
    """
    parts: list[list[Record]] = []
    for record in records:
        for part in parts:
            if _same_shape(part[0][1].instance, record[1].instance):
                part.append(record)
                break
        else:
            parts.append([record])
        if len(parts) > 16:
            return []
    if len(parts) < 2 or min(map(len, parts)) < FEWEST or any(_error(part) for part in parts):
        return []
    firsts = [part[0][1].instance for part in parts]
    planes = [k for k, f in enumerate(firsts) if not any(_same_plane(f, g) for g in firsts[:k])]
    for k in planes:
        ranges = [_range(part, firsts[k]) for part, f in zip(parts, firsts, strict=True) if _same_plane(f, firsts[k])]
        if max(low for low, _ in ranges) > min(high for _, high in ranges):
            return []
    names = (("orientation",) if len(planes) > 1 else ()) + (("matrix",) if len(planes) < len(parts) else ())
    return [Part(names, _shape(part[0][1].instance), part) for part in parts]


def by_gap(records: list[Record]) -> list[Part]:
    """The parts of a series on both sides of each gap, lowest first."""
    instances = [image.instance for _, image in records]
    images: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, instance in enumerate(instances):
        images[same_image(instance, index)].append(index)
    copies = list(images.values())
    firsts = [instances[same[0]] for same in copies]
    found = grids.parts_between_gaps([i.position for i in firsts], [i.orientation for i in firsts])
    return [
        Part(("gap",), f"part={k} of {len(found)}", [records[i] for c in part for i in copies[c]])
        for k, part in enumerate(found, 1)
    ]


def ambiguous(records: Sequence[Record], error: GeometryError) -> GeometryError:
    """The error that names what varies in acquisitions that nothing tells apart."""
    varied = [_WORDS[name] for k, name in enumerate(SPLIT_KEYS) if len({i.split[k] for _, i in records}) > 1]
    if not varied:
        return error
    message = (
        f"several acquisitions in one series that differ in {', '.join(varied)} and cannot be told apart by it; "
        "export each as a series of its own"
    )
    return GeometryError("mixed_acquisitions", message)


def _error(records: Sequence[Record]) -> str:
    try:
        order(records)
    except GeometryError as error:
        return error.reason
    return ""


def _same_plane(one: Instance, other: Instance) -> bool:
    a, b = one.orientation, other.orientation
    return a is not None and b is not None and max(abs(x - y) for x, y in zip(a, b, strict=True)) <= grids.ORIENTATION


def _same_shape(one: Instance, other: Instance) -> bool:
    a, b = one.pixel_spacing, other.pixel_spacing
    if (one.rows, one.columns) != (other.rows, other.columns) or a is None or b is None:
        return False
    return _same_plane(one, other) and max(abs(x / y - 1) for x, y in zip(a, b, strict=True)) <= grids.PIXEL_SPACING


def _range(records: Sequence[Record], plane: Instance) -> tuple[float, float]:
    """Lowest and highest position along the normal of a plane, mm."""
    cosines = np.array(plane.orientation, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    heights = [float(normal @ np.array(i.instance.position, dtype=float)) for _, i in records]
    return min(heights), max(heights)


def _shape(instance: Instance) -> str:
    spacing, cosines = instance.pixel_spacing or (), instance.orientation or ()
    numbers = ",".join([*(f"{v:.3f}" for v in spacing), *(f"{v + 0.0:.2f}" for v in cosines)])
    return f"shape={instance.rows}x{instance.columns},{numbers}"
