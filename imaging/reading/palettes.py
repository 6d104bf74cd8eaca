"""Lookup tables of PALETTE COLOR images (PS3.3 C.7.9): stored values are indices, not grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError
from .elements import Elements, Value, tags

_COLOURS = ("Red", "Green", "Blue")
_TABLE = "PaletteColorLookupTable"
_WHOLE = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
TAGS = tags(
    " ".join(f"{c}{_TABLE}{part}" for c in _COLOURS for part in ("Descriptor", "Data"))
    + " "
    + " ".join(f"Segmented{c}{_TABLE}Data" for c in _COLOURS)
)


def tables(elements: Elements) -> tuple[tuple[int, bytes], ...]:
    """First stored value and entries of the red, green and blue table, as bytes or words (little endian) of the file;
    empty where one is absent or damaged.
    """
    found = []
    for colour, whole, segmented in zip(_COLOURS, _WHOLE, _SEGMENTED, strict=True):
        described = elements.numbers(f"{colour}{_TABLE}Descriptor", 3)
        if described is None:
            return ()
        entries = int(described[0]) & 0xFFFF or 1 << 16
        data = elements.values.get(whole)
        if isinstance(data, Value) and data.data:
            raw = _little(data.data, elements) if len(data.data) >= 2 * entries else data.data
            raw = raw[: 2 * entries] if len(raw) >= 2 * entries else raw[:entries]
        else:
            packed = elements.values.get(segmented)
            if not isinstance(packed, Value):
                return ()
            try:
                values = _unpacked([int(v) for v in np.frombuffer(_little(packed.data, elements), "<u2")], entries)
            except (IndexError, ValueError):
                return ()
            raw = np.array(values[:entries], "<u2").tobytes()
        found.append((int(described[1]), raw))
    return tuple(found)


def _little(data: bytes, elements: Elements) -> bytes:
    return data if elements.little else np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()


def _unpacked(words: list[int], entries: int, depth: int = 0) -> list[int]:
    """The entries of a segmented table (PS3.3 C.7.9.2): runs of values, straight lines, and segments given before."""
    out: list[int] = []
    place = 0
    while place < len(words) and len(out) < entries:
        code, count = words[place], words[place + 1]
        if code == _DISCRETE:
            out += words[place + 2 : place + 2 + count]
            place += 2 + count
        elif code == _LINEAR:
            last, end = out[-1], words[place + 2]
            out += [round(last + (end - last) * k / count) for k in range(1, count + 1)]
            place += 3
        elif code == _INDIRECT and depth == 0:
            offset = words[place + 2] | words[place + 3] << 16
            out += _unpacked(words[offset : offset + _length(words[offset:], count)], entries, 1)
            place += 4
        else:
            raise ValueError("unknown segment")
    return out


def _length(words: list[int], segments: int) -> int:
    """Words that so many segments take."""
    place = 0
    for _ in range(segments):
        place += 2 + words[place + 1] if words[place] == _DISCRETE else 3
    return place


def expand(indices: NDArray[Any], palette: tuple[tuple[int, bytes], ...]) -> NDArray[np.uint8]:
    """RGB of palette indices, (..., 3) uint8.

    Entries are words of 16 bits (the top 8 are taken, unless none is used: some writers fill the low ones), or bytes.

    Raises
    ------
    CodecError
        No palette, or one whose tables differ in length.
    """
    lengths = {len(data) for _, data in palette}
    if len(palette) != 3 or len(lengths) != 1 or lengths == {0}:
        raise CodecError("the colour palette is absent or damaged; export the images as RGB")
    size = lengths.pop()
    words = size % 2 == 0 and size >= 2 * 256
    columns = [np.frombuffer(data, "<u2" if words else "u1") for _, data in palette]
    if words and max(int(c.max()) for c in columns) > 255:
        columns = [c >> 8 for c in columns]
    index = np.clip(indices.astype(np.int64) - palette[0][0], 0, len(columns[0]) - 1)
    return np.stack([c.astype(np.uint8)[index] for c in columns], axis=-1)
