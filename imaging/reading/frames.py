"""The frames of encapsulated pixel data: which fragments make which frame. Places only; nothing is decoded here."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from ..errors import CodecError, TruncatedError
from .source import Source

Span = tuple[int, int]
"""Place and length of a fragment."""

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", *(bytes([n, 0, 0, 0, 64, 0, 0, 0]) for n in (1, 2, 3, 4)))
"""How an image begins: JPEG and JPEG-LS, JPEG 2000, RLE by its number of segments."""
_LOOKED_AT = 1000
MOST_FRAGMENTS = 1_000_000
_TOGETHER = 1 << 16


def frame_spans(source: Source, offset: int, count: int) -> list[list[Span]]:
    """The fragments of each of `count` frames.

    Parameters
    ----------
    source : Source
    offset : int
        Where the value of PixelData begins: at the item of the basic offset table.
    count : int
        Number of frames.

    Raises
    ------
    TruncatedError
        The file ends within them, or holds fewer than `count`.
    CodecError
        Frames cannot be told apart.
    """
    table, spans = _fragments(source, offset)
    if count == 1:
        if any(source.read(place, 8).startswith(_STARTS) for place, _ in spans[1:_LOOKED_AT]):
            raise CodecError("the file holds more frames than its header says; export the series again")
        frames = [spans]
    elif len(spans) == count:
        frames = [[span] for span in spans]  # one for each, whatever the table says
    elif len(spans) < count:
        raise TruncatedError("the file holds fewer frames than its header says; copy it again from its source")
    else:
        frames = _by_table(table, spans) if len(table) == count else _by_end(source, spans)
    if len(frames) != count or not all(frames):
        raise CodecError("the frames of the pixel data cannot be told apart; get the file again from its source")
    return frames


def frame_bytes(source: Source, spans: Sequence[Span]) -> bytes:
    """The bytes of one frame.

    Raises
    ------
    TruncatedError
        The file is shorter than it was.
    """
    data = b"".join(source.read(place, length) for place, length in spans)
    if len(data) < sum(length for _, length in spans):
        raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
    return data


def _fragments(source: Source, place: int) -> tuple[list[int], list[Span]]:
    """Basic offset table and fragments."""
    table: list[int] | None = None
    spans: list[Span] = []
    window, base = b"", 0
    while True:
        if place == source.size and spans:
            break  # every fragment is whole: only the delimiter is missing
        if not base <= place <= base + len(window) - 8:
            window, base = source.read(place, _TOGETHER if source.size < 1 << 20 else 8), place
        head = window[place - base : place - base + 8]
        if len(head) < 8:
            raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
        (length,) = struct.unpack_from("<I", head, 4)
        if head[:4] == _END:
            break
        if head[:4] != _ITEM or length == 0xFFFFFFFF:
            raise CodecError("the pixel data are no fragments; get the file again from its source")
        place += 8
        if place + length > source.size:
            raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
        if table is None:
            data = source.read(place, length - length % 4)
            table = list(struct.unpack(f"<{len(data) // 4}I", data))
        else:
            spans.append((place, length))
        if len(spans) > MOST_FRAGMENTS:
            raise CodecError("the pixel data hold more than a million fragments; not read")
        place += length
    if not spans:
        raise TruncatedError("the pixel data hold no frame; copy the file again from its source")
    return table or [], spans


def _by_table(table: list[int], spans: list[Span]) -> list[list[Span]]:
    """Fragments by the basic offset table, which counts from the first fragment's item."""
    first = spans[0][0] - 8
    begins = {place - 8 - first: k for k, (place, _) in enumerate(spans)}
    cuts = [begins.get(offset, -1) for offset in table]
    if cuts[0] != 0 or any(a >= b for a, b in pairwise(cuts)):
        return []
    return [spans[a:b] for a, b in zip(cuts, [*cuts[1:], len(spans)], strict=True)]


def _by_end(source: Source, spans: list[Span]) -> list[list[Span]]:
    """Fragments by the marker that ends each JPEG image."""
    frames: list[list[Span]] = [[]]
    for place, length in spans:
        frames[-1].append((place, length))
        tail = source.read(place + max(0, length - 16), min(length, 16)).rstrip(b"\0")
        if tail.endswith(b"\xff\xd9"):
            frames.append([])
    return [frame for frame in frames if frame]
