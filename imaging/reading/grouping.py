"""DICOM headers -> series: what belongs together, what comes apart, and what cannot be told apart."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import CalcimapError, GeometryError, ReadError, RefusedError, TruncatedError, ValuesError
from ..series import Instance, Series
from . import clips, grids, pixels, splitting
from .headers import Header
from .kinds import ENHANCED_US
from .params import DEFAULTS, ReadParams
from .splitting import Record

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
_KEY_WORDS = ("class", "patient", "frame_of_reference", "file")
"""What may tell the parts of one SeriesInstanceUID apart before their slices are looked at."""


@dataclass(frozen=True)
class _Name:
    """What a series is called beside its UIDs, and what it was split by."""

    extra: str = ""
    split_by: tuple[str, ...] = ()

    def part(self, part: splitting.Part) -> _Name:
        extra = "|".join(filter(None, (self.extra, part.value)))
        return _Name(extra, (*self.split_by, *(n for n in part.split_by if n not in self.split_by)))


def group(headers: Iterable[Header], params: ReadParams = DEFAULTS) -> tuple[list[Series], list[Series]]:
    """Series of ours, and series that are set aside, from the headers of all files.

    Files belong together if patient, study, series, class and frame of reference agree. Two slices at one
    place come apart by what tells acquisitions apart (`imaging.reading.headers.SPLIT_KEYS`); what cannot be told
    apart is one series with a ``problem``. Matrix and orientation split a series only where each part is whole.
    """
    buckets: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    everything = list(headers)
    known = _frames_of_reference(everything)
    for header in everything:
        buckets[_key(header, known)].append(header)
    ours, aside = [], []
    siblings: dict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    for key in buckets:
        if not key[-1]:
            siblings[key[0], key[1]].append(key[2:-1])
    for key, members in buckets.items():
        # The identity names what splits a series, and only that: it stays the same if a scout is added or
        # removed.
        others = siblings[key[0], key[1]]
        varied = tuple(w for k, w in enumerate(_KEY_WORDS) if len({other[k] for other in others}) > 1)
        name = _Name("|".join(key[2:-1]), varied) if len(others) > 1 else _Name()
        if key[-1]:
            aside.append(_plain(members, name, set_aside=key[-1]))
        elif members[0].modality == "US":
            ours += _clips(members, name)
        else:
            ours += _assemble([(h, i) for h in members for i in h.images], name, params)
    return sorted(ours, key=first_path), sorted(aside, key=first_path)


def first_path(series: Series) -> tuple[str, str]:
    """Sort key of series: the path of their first file, then what splits series that share files."""
    return min(str(i.place) for i in series.instances), series.identity


def _key(header: Header, known: dict[tuple[str, str], set[str]]) -> tuple[str, ...]:
    # Without a series UID only a common folder can hold files together.
    series = header.series or f"folder {header.place.parent}"
    frames = known[header.study, header.series]
    frame = header.frame_of_reference or (next(iter(frames)) if len(frames) == 1 else "")
    return header.study, series, header.sop_class, header.patient, frame, header.single, header.aside


def _frames_of_reference(headers: list[Header]) -> dict[tuple[str, str], set[str]]:
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for header in headers:
        if not header.aside and header.frame_of_reference:
            known[header.study, header.series].add(header.frame_of_reference)
    return known


def _assemble(records: list[Record], name: _Name, params: ReadParams) -> list[Series]:
    """The series that images of one bucket make: one, several, or one with a problem."""
    problem = _obstacle(records)
    parts: list[splitting.Part] = []
    if problem is None:
        try:
            return _placed(records, name, params)
        except GeometryError as error:
            problem = error
    if problem.reason == "duplicate_positions":
        parts = splitting.by_acquisition(records)
        if not parts and isinstance(problem, GeometryError):
            problem = splitting.ambiguous(records, problem)
    elif problem.reason in ("mixed_sizes", "mixed_orientations"):
        parts = splitting.by_shape(records)
    if parts:
        return [series for part in parts for series in _part(part.records, name.part(part), params)]
    return [_series(sorted(records, key=lambda r: str(r[1].instance.place)), name, problem=problem)]


def _part(records: list[Record], name: _Name, params: ReadParams) -> list[Series]:
    """A part of a split series; it is not split again but at gaps."""
    problem: CalcimapError | None = _obstacle(records)
    if problem is None:
        try:
            return _placed(records, name, params)
        except GeometryError as error:
            problem = error
    return [_series(records, name, problem=problem)]


def _placed(records: list[Record], name: _Name, params: ReadParams) -> list[Series]:
    """Images on their grid; where slices are missing, as `ReadParams.on_gap` says.

    Raises
    ------
    GeometryError
        They make no grid.
    """
    try:
        order, grid = splitting.order(records, fill=params.on_gap == "fill")
    except GeometryError as error:
        if error.reason != "gap" or params.on_gap != "split":
            raise
        return [
            _series([part.records[i] for i in order], name.part(part), grid, flags=("gap_split",))
            for part in splitting.by_gap(records)
            for order, grid in [splitting.order(part.records)]
        ]
    return [_series([records[i] for i in order], name, grid)]


def _obstacle(records: Sequence[Record]) -> CalcimapError | None:
    """What refuses a series before its geometry is looked at."""
    instances = [image.instance for _, image in records]
    empty = [i.place for i in instances if i.rows == 0 or i.columns == 0]
    if empty:
        text = "a file without rows and columns: not an image, or cut off in its header"
        return ReadError("no_pixels", text, empty[0])
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
    parts = max(header.parts for header, _ in records)
    there = len({i.sop_instance_uid or str(i.place) for i in instances})
    if parts > there and all(header.single for header, _ in records):
        return TruncatedError(f"{parts - there} of {parts} parts of a concatenation are missing; supply all of them")
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
    return _unreadable(instances)


def _unreadable(instances: Sequence[Instance]) -> CalcimapError | None:
    """What forbids reading pixels, with the number of files that it concerns."""
    found = [(i.place, error) for i in instances if (error := pixels.check(i)) is not None]
    if not found:
        return None
    place, error = found[0]
    count, total = len({place for place, _ in found}), len({i.place for i in instances})
    text = error.message if total == 1 else f"{count} of {total} files: {error.message}"
    if isinstance(error, TruncatedError):
        return TruncatedError(text, place)
    return error if total == 1 else pixels.again(error, text, place)


def _content(records: Sequence[Record]) -> str:
    """What stands in for a missing series UID: the images themselves, by UID or else by what headers tell."""
    digest = hashlib.sha256()
    names = sorted({i.instance.sop_instance_uid or h.content for h, i in records})
    digest.update("|".join(names).encode())
    return f"content {digest.hexdigest()}"


def _clips(members: list[Header], name: _Name) -> list[Series]:
    """Ultrasound images: each file is a view of its own, with its own regions and size, so each is a series."""
    made = []
    for header in members:
        instance = header.images[0].instance
        problem: CalcimapError | None = clips.obstacle(instance)
        if header.sop_class == ENHANCED_US:
            text = "ultrasound volumes are not analysed by this version; supply B-mode images"
            problem = RefusedError("unsupported_modality", text, instance.place)
        own = name
        if len(members) > 1:
            unique = instance.sop_instance_uid or header.content or str(instance.place)
            own = _Name("|".join(filter(None, (name.extra, unique))), (*name.split_by, "file"))
        made.append(_plain([header], own, problem=problem))
    return made


def _plain(members: list[Header], name: _Name, set_aside: str = "", problem: CalcimapError | None = None) -> Series:
    records = sorted(((h, i) for h in members for i in h.images), key=lambda r: str(r[1].instance.place))
    return _series(records, name, problem=problem, set_aside=set_aside)


def _series(
    records: Sequence[Record],
    name: _Name,
    grid: grids.Grid | None = None,
    problem: CalcimapError | None = None,
    set_aside: str = "",
    flags: tuple[str, ...] = (),
) -> Series:
    first = records[0][0]
    known = {*flags, *(grid.flags if grid else ()), *(f for header, _ in records for f in header.flags)}
    if any(header.facts.get("derived") for header, _ in records):
        known.add("derived")
    if not all(header.preamble for header, _ in records):
        known.add("no_preamble")
    if any(image.rescale_type in ("HU_MOD", "US") for _, image in records):
        known.add("hu_unreliable")
    series = first.series or _content(records)
    return Series(
        kind="dicom",
        modality=first.modality,
        instances=tuple(image.instance for _, image in records),
        identity="|".join(filter(None, (f"dicom:{first.study}|{series}", name.extra))),
        study_identity=f"dicom:{first.study}" if first.study else "",
        patient_identity=f"dicom:{first.patient}" if first.patient else "",
        description=first.description,
        set_aside=set_aside,
        problem=problem,
        header=dict(first.facts),
        flags=tuple(sorted(known)),
        affine=grid.affine if grid else None,
        split_by=name.split_by,
        missing=grid.missing if grid else (),
        frame_of_reference=next((h.frame_of_reference for h, _ in records if h.frame_of_reference), ""),
        acquired=first.acquired,
    )
