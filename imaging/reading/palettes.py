"""Lookup tables of PALETTE COLOR images (PS3.3 C.7.9): stored values are indices, not grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError
from .elements import Elements, Value, tags

_COLOURS = ("Red", "Green", "Blue")
_TABLE = "PaletteColorLookupTable"
TAGS = tags(" ".join(f"{c}{_TABLE}{part}" for c in _COLOURS for part in ("Descriptor", "Data")))
_DATA_TAGS = (0x00281201, 0x00281202, 0x00281203)


def tables(elements: Elements) -> tuple[tuple[int, bytes], ...]:
    """First stored value and bytes of the red, green and blue table; empty where one is absent or segmented."""
    found = []
    for colour, tag in zip(_COLOURS, _DATA_TAGS, strict=True):
        described = elements.numbers(f"{colour}{_TABLE}Descriptor", 3)
        data = elements.values.get(tag)
        if described is None or not isinstance(data, Value) or not data.data:
            return ()
        entries = int(described[0]) & 0xFFFF or 1 << 16
        raw = data.data
        if len(raw) >= 2 * entries and not elements.little:
            raw = np.frombuffer(raw, ">u2", entries).astype("<u2").tobytes()
        found.append((int(described[1]), raw[: 2 * entries] if len(raw) >= 2 * entries else raw[:entries]))
    return tuple(found)


def expand(indices: NDArray[Any], palette: tuple[tuple[int, bytes], ...], entries_bytes: int = 2) -> NDArray[np.uint8]:
    """RGB of palette indices, (..., 3) uint8.

    Entries are words of 16 bits (the top 8 are taken, unless none is used: some writers fill the low ones), or bytes.

    Raises
    ------
    CodecError
        No palette, or one that is packed in segments.
    """
    if len(palette) != 3:
        raise CodecError("the colour palette is absent or segmented; export the images as RGB")
    lengths = {len(data) for _, data in palette}
    words = all(len(data) % 2 == 0 and len(data) >= 2 * 256 for _, data in palette) and entries_bytes == 2
    columns = [np.frombuffer(data, "<u2" if words else "u1") for _, data in palette]
    if len(lengths) != 1 or not lengths.pop():
        raise CodecError("the tables of the colour palette differ in length; export the images as RGB")
    if words and max(int(c.max()) for c in columns) > 255:
        columns = [c >> 8 for c in columns]
    first = palette[0][0]
    index = np.clip(indices.astype(np.int64) - first, 0, len(columns[0]) - 1)
    return np.stack([c.astype(np.uint8)[index] for c in columns], axis=-1)
