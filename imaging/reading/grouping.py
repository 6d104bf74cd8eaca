"""DICOM headers -> series: what belongs together, what comes apart, and what cannot be told apart."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from ..errors import CalcimapError, GeometryError, ReadError, RefusedError, ValuesError
from ..series import Instance, Series
from . import grids
from .headers import SPLIT_KEYS, Header, Image

_HU_TYPES = frozenset({"", "HU", "HU_MOD", "US"})
"""RescaleType values under which HU are possible; US is "unspecified", which some scanners write for plain
CT.
"""

_MAPS = frozenset(
    [
        "RCBF",
        "RCBV",
        "CBF",
        "CBV",
        "MTT",
        "TTP",
        "TMAX",
        "PBF",
        "PBV",
        "PERMEABILITY",
        "QUANTITY",
        "ADDITION",
        "DIVISION",
        "MULTIPLICATION",
        "SUBTRACTION",
        "MAT_SPECIFIC",
        "MAT_FRACTIONAL",
        "ELECTRON_DENSITY",
        "EFF_ATOMIC_NUM",
    ]
)
"""ImageType values of maps that come as CT and hold no HU: perfusion, arithmetic, materials."""
_WORDS = dict(zip(SPLIT_KEYS, ("acquisition number", "kernel", "kVp", "temporal position", "image type"), strict=True))

Record = tuple[Header, Image]


def group(headers: Iterable[Header]) -> tuple[list[Series], list[Series]]:
    """Series of ours, and series that are set aside, from the headers of all files.

    Files belong together if patient, study, series, class and frame of reference agree. Two slices at one
    place come apart by what tells acquisitions apart (`imaging.headers.SPLIT_KEYS`); what cannot be told
    apart is one series with a ``problem``. Matrix and orientation never split a series: half a series would
    pass for a whole one.
    """
    buckets: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    everything = list(headers)
    known = _frames_of_reference(everything)
    for header in everything:
        buckets[_key(header, known)].append(header)
    ours, aside = [], []
    siblings: dict[tuple[str, str], int] = defaultdict(int)
    for key in buckets:
        if not key[-1]:
            siblings[key[0], key[1]] += 1
    for key, members in buckets.items():
        # The identity names what splits a series, and only that: it stays the same if a scout is added or
        # removed.
        extra = "|".join(key[2:-1]) if siblings[key[0], key[1]] > 1 else ""
        if key[-1]:
            aside.append(_plain(members, extra, set_aside=key[-1]))
        elif members[0].modality == "US":
            message = "ultrasound is not analysed by this version; the files are left as they are"
            ours.append(_plain(members, extra, problem=RefusedError("unsupported_modality", message)))
        else:
            ours += _assemble([(h, i) for h in members for i in h.images], extra)
    return sorted(ours, key=first_path), sorted(aside, key=first_path)


def first_path(series: Series) -> tuple[str, str]:
    """Sort key of series: the path of their first file, then what splits series that share files."""
    return min(str(p) for p in series.paths), series.identity


def _key(header: Header, known: dict[tuple[str, str], set[str]]) -> tuple[str, ...]:
    # Without a series UID only a common folder can hold files together.
    series = header.series or f"folder {header.images[0].instance.path.parent}"
    frames = known[header.study, header.series]
    frame = header.frame_of_reference or (next(iter(frames)) if len(frames) == 1 else "")
    return header.study, series, header.sop_class, header.patient, frame, header.single, header.aside


def _frames_of_reference(headers: list[Header]) -> dict[tuple[str, str], set[str]]:
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for header in headers:
        if not header.aside and header.frame_of_reference:
            known[header.study, header.series].add(header.frame_of_reference)
    return known


def _assemble(records: list[Record], extra: str) -> list[Series]:
    problem = _obstacle(records)
    if problem is None:
        try:
            return [_ordered(records, extra)]
        except GeometryError as error:
            problem = error
            if error.reason == "duplicate_positions":
                parts = _split(records)
                if parts:
                    return [s for value, part in parts for s in _assemble_part(part, extra, value)]
                problem = _ambiguous(records, error)
    return [_series(sorted(records, key=lambda r: str(r[1].instance.path)), extra, problem=problem)]


def _assemble_part(records: list[Record], extra: str, value: str) -> list[Series]:
    name = "|".join(filter(None, (extra, value)))
    try:
        return [_ordered(records, name)]
    except GeometryError as error:
        return [_series(records, name, problem=error)]


def _ordered(records: Sequence[Record], extra: str) -> Series:
    order, grid = _order(records)
    return _series([records[i] for i in order], extra, grid)


def _obstacle(records: Sequence[Record]) -> CalcimapError | None:
    """What refuses a series before its geometry is looked at."""
    instances = [image.instance for _, image in records]
    if any(i.rows == 0 or i.columns == 0 for i in instances):
        path = next(i.path for i in instances if i.rows == 0 or i.columns == 0)
        return ReadError("no_pixels", "a file without rows and columns: not an image, or cut off in its header", path)
    if any(header.colour for header, _ in records):
        return ValuesError("not_hu", "colour images hold no HU; supply the original CT series")
    types = {image.rescale_type for _, image in records}
    if not types <= _HU_TYPES:
        return ValuesError(
            "not_hu", "the values are not Hounsfield units by RescaleType; supply the original CT series"
        )
    if any(_MAPS.intersection(image.split[-1].upper().split("\\")) for _, image in records):
        return ValuesError("not_hu", "a computed map by ImageType, not Hounsfield units; supply the original CT series")
    if any(not h.single and i.instance.frames > 1 for h, i in records):
        return GeometryError(
            "no_geometry", "a multi-frame file without positions of its frames; export it as enhanced CT"
        )
    if any(h.single and len(h.images) != h.images[0].instance.frames for h, _ in records):
        return GeometryError("no_geometry", "fewer frames are described than there are; export the series again")
    if len({(i.rows, i.columns) for i in instances}) > 1:
        # Different matrix in different planes is a matter of orientation.
        if all(i.orientation for i in instances):
            try:
                grids.one_orientation([i.orientation for i in instances])
            except GeometryError as error:
                return error
        return GeometryError(
            "mixed_sizes", "slices of one series differ in rows or columns; export them as separate series"
        )
    return None


def _order(records: Sequence[Record]) -> tuple[list[int], grids.Grid]:
    """Indices by position, copies of one image next to each other, and the grid."""
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
    )
    return [i for k in grid.order for i in copies[k]], grid


def same_image(instance: Instance, index: int) -> tuple[object, ...]:
    """A key under which copies of one image meet; `index` keeps images without UID apart."""
    uid = instance.sop_instance_uid
    return (uid, instance.frame, instance.position) if uid else (index,)


def _split(records: list[Record]) -> list[tuple[str, list[Record]]]:
    """The parts of a series that holds several acquisitions; empty if nothing tells them apart.

    The fewest keys that leave no two slices at one place; among them those that leave regular grids. Repeated
    scans of a single position (bolus tracking) stay one refused series: they are no volumes.
    """
    fallback: list[tuple[str, list[Record]]] = []
    for count in (1, 2):
        for keys in combinations(range(len(SPLIT_KEYS)), count):
            parts: dict[tuple[str, ...], list[Record]] = defaultdict(list)
            for record in records:
                parts[tuple(record[1].split[k] for k in keys)].append(record)
            if len(parts) < 2 or all(len(part) == 1 for part in parts.values()):
                continue
            errors = [_error(part) for part in parts.values()]
            named = [
                ("|".join(f"{SPLIT_KEYS[k]}={v}" for k, v in zip(keys, value, strict=True)), parts[value])
                for value in sorted(parts)
            ]
            if not any(errors):
                return named
            if "duplicate_positions" not in errors and not fallback:
                fallback = named
    return fallback


def _error(records: Sequence[Record]) -> str:
    try:
        _order(records)
    except GeometryError as error:
        return error.reason
    return ""


def _ambiguous(records: Sequence[Record], error: GeometryError) -> GeometryError:
    varied = [_WORDS[name] for k, name in enumerate(SPLIT_KEYS) if len({i.split[k] for _, i in records}) > 1]
    if not varied:
        return error
    message = (
        f"several acquisitions in one series that differ in {', '.join(varied)} and cannot be told apart by it; "
        "export each as a series of its own"
    )
    return GeometryError("mixed_acquisitions", message)


def _content(instances: Sequence[Instance]) -> str:
    """What stands in for a missing series UID: the images themselves, by UID or else by content."""
    digest = hashlib.sha256()
    names = sorted({i.sop_instance_uid or hashlib.sha256(i.path.read_bytes()).hexdigest() for i in instances})
    digest.update("|".join(names).encode())
    return f"content {digest.hexdigest()}"


def _plain(members: list[Header], extra: str, set_aside: str = "", problem: CalcimapError | None = None) -> Series:
    records = sorted(((h, i) for h in members for i in h.images), key=lambda r: str(r[1].instance.path))
    return _series(records, extra, problem=problem, set_aside=set_aside)


def _series(
    records: Sequence[Record],
    extra: str,
    grid: grids.Grid | None = None,
    problem: CalcimapError | None = None,
    set_aside: str = "",
) -> Series:
    first = records[0][0]
    known = set(grid.flags if grid else ())
    if any(header.facts.get("derived") for header, _ in records):
        known.add("derived")
    if not all(header.preamble for header, _ in records):
        known.add("no_preamble")
    if any(image.rescale_type in ("HU_MOD", "US") for _, image in records):
        known.add("hu_unreliable")
    series = first.series or _content([image.instance for _, image in records])
    return Series(
        kind="dicom",
        modality=first.modality,
        instances=tuple(image.instance for _, image in records),
        identity="|".join(filter(None, (f"dicom:{first.study}|{series}", extra))),
        study_identity=f"dicom:{first.study}" if first.study else "",
        patient_identity=f"dicom:{first.patient}" if first.patient else "",
        description=first.description,
        set_aside=set_aside,
        problem=problem,
        header=dict(first.facts),
        flags=tuple(sorted(known)),
        affine=grid.affine if grid else None,
    )
