"""One DICOM file, opened safely: sniffed by content, inflated within bounds, its header walked, its pixels placed."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ..errors import CalcimapError, LimitError, ReadError, TruncatedError
from .elements import CHUNK, LONG_VR, SHORT_VR, Elements, Pixels, Walk
from .params import ReadParams
from .source import MemorySource, Source

INFLATE_RATIO = 200
INFLATE_FLOOR = 64 << 20
"""A deflated file may grow 200-fold, at least 64 MiB are allowed, never more than `ReadParams.max_inflated_mb`
(1 MB can hold 1 GB).
"""

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, GE_PRIVATE = "1.2.840.10008.1.2.1.99", "1.2.840.113619.5.2"
_MEDIA_CLASS, _SYNTAX = (0x0002, 0x0002), (0x0002, 0x0010)


@dataclass(frozen=True)
class DicomFile:
    """What one pass over a file gives.

    Parameters
    ----------
    source : Source
        The data set, inflated where the file is deflated: places of pixels count from its start.
    elements : Elements
        The elements that were asked for; those before the damage where there is a `problem`.
    syntax : str
        UID of the transfer syntax, inferred where the file does not name one.
    media_class : str
        MediaStorageSOPClassUID.
    preamble : bool
        Whether the file has one.
    pixels : Pixels or None
        Where the pixel data stand.
    problem : CalcimapError, optional
        What ended the pass early.
    """

    source: Source
    elements: Elements
    syntax: str
    media_class: str
    preamble: bool
    pixels: Pixels | None
    problem: CalcimapError | None


def is_dicom(start: bytes) -> bool:
    """Whether the first bytes of a file (132 or more) are those of a DICOM file, with or without preamble.

    Without preamble only a file that begins with a low element of group 0002 or 0008, with a value
    representation or a plausible length, is taken: nothing else is ever parsed as DICOM.
    """
    return has_preamble(start) or _starts_with_element(start)


def has_preamble(start: bytes) -> bool:
    """Whether the first bytes hold the 128 bytes of preamble and the prefix DICM."""
    return start[128:132] == b"DICM"


def _starts_with_element(start: bytes) -> bool:
    if len(start) < 16:
        return False
    group, element = struct.unpack_from("<HH", start)
    if group not in (0x0002, 0x0008) or element > 0x0070:
        return False
    if start[4:6] in SHORT_VR or start[4:6] in LONG_VR:
        return True
    (length,) = struct.unpack_from("<I", start, 4)
    return bool(group == 0x0008 and length <= 256 and length % 2 == 0)


def open_dicom(source: Source, wanted: frozenset[int], params: ReadParams) -> DicomFile:
    """The header of a file for which `is_dicom` holds.

    Raises
    ------
    ReadError
        Not a single element can be read.
    LimitError
        Larger than the limits, as a file or inflated.
    """
    if source.size > params.file_bytes:
        raise LimitError("too_large", f"the file is larger than {params.max_file_gb:g} GB; not opened")
    start = source.read(0, CHUNK)
    preamble = has_preamble(start)
    place, meta = _meta(start, 132 if preamble else 0)
    syntax = meta.get(_SYNTAX, "")
    problem: CalcimapError | None = None
    if syntax == DEFLATED:
        source, problem = _inflated(source, place, params)
        place, start = 0, source.read(0, CHUNK)
    explicit, little = _encoding(start[place : place + 8], syntax)
    walk = Walk(source, little=little, wanted=wanted, max_depth=params.max_depth, start=start)
    early = walk.run(place, explicit=explicit)
    if problem is None or walk.pixels is not None:
        problem = early or problem
    if not syntax:
        syntax = IMPLICIT if not explicit else EXPLICIT if little else BIG_ENDIAN
    return DicomFile(source, walk.found, syntax, meta.get(_MEDIA_CLASS, ""), preamble, walk.pixels, problem)


def data_set(source: Source, syntax: str, params: ReadParams) -> Source:
    """The data set of a file whose transfer syntax is known: inflated where it is deflated, else the file itself.

    Raises
    ------
    LimitError, ReadError
        It inflates beyond the bounds, or has changed.
    """
    if syntax != DEFLATED:
        return source
    start = source.read(0, CHUNK)
    place, _ = _meta(start, 132 if has_preamble(start) else 0)
    return _inflated(source, place, params)[0]


def _meta(start: bytes, place: int) -> tuple[int, dict[tuple[int, int], str]]:
    """Where the data set begins, and the UIDs of the meta group, which is explicit little endian in every file.

    The length that the group states is not used: some writers count wrong.
    """
    found: dict[tuple[int, int], str] = {}
    while place + 8 <= len(start) and start[place : place + 2] == b"\x02\0":
        group, element, code, length = struct.unpack_from("<HH2sH", start, place)
        head = 8
        if code in LONG_VR and place + 12 <= len(start):
            (length,) = struct.unpack_from("<I", start, place + 8)
            head = 12
        elif code not in SHORT_VR:
            (length,) = struct.unpack_from("<I", start, place + 4)
        if place + head + length > len(start):
            if code in LONG_VR or length > 256:
                raise ReadError("unreadable", "the meta header is damaged; get the file again from its source")
            raise TruncatedError("the file ends within its header; copy it again from its source")
        if element in (0x0002, 0x0010):
            found[group, element] = start[place + head : place + head + length].decode("latin-1").strip("\0 ")
        place += head + length
    return place, found


def _encoding(first: bytes, syntax: str) -> tuple[bool, bool]:
    """Whether a data set is explicit and little endian: by its first element, whatever the syntax says of the VR."""
    little = syntax != BIG_ENDIAN
    if not syntax and len(first) >= 2:
        little = struct.unpack_from("<H", first)[0] < 0x0400
    explicit = first[4:6] in SHORT_VR or first[4:6] in LONG_VR
    if len(first) < 8:
        explicit = syntax not in (IMPLICIT, GE_PRIVATE)
    return explicit, little


def _inflated(source: Source, place: int, params: ReadParams) -> tuple[MemorySource, CalcimapError | None]:
    """The data set of a deflated file; with an error, as far as it goes.

    Raises
    ------
    LimitError
        It grows beyond the bounds.
    """
    packed = source.size - place
    bound = min(params.inflated_bytes, max(INFLATE_FLOOR, INFLATE_RATIO * packed))
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = bytearray()
    problem: CalcimapError | None = None
    while not machine.eof:
        block = machine.unconsumed_tail or source.read(place, 1 << 20)
        if not block:
            problem = TruncatedError("the file ends before its deflated data do; copy it again from its source")
            break
        if not machine.unconsumed_tail:
            place += len(block)
        try:
            plain += machine.decompress(block, min(1 << 20, bound + 1 - len(plain)))
        except zlib.error:
            problem = ReadError("unreadable", "the deflated data are damaged; get the file again from its source")
            break
        if len(plain) > bound:
            raise LimitError("too_large", f"inflates to more than {bound // 10**6} MB; not opened")
    return MemorySource(plain, source.modified_ns), problem
