"""Pixel bytes of one frame -> array, for every transfer syntax that CT comes in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.uid import UID

from ..errors import CodecError, ReadError, TruncatedError

Frame = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """How pixels are stored.

    Parameters
    ----------
    rows, columns : int
    allocated, stored, high_bit : int
        BitsAllocated, BitsStored, HighBit.
    signed : bool
        PixelRepresentation is 1.
    samples : int
        Samples of a pixel: 1, or 3 for colour, which only ultrasound has.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    samples: int = 1

    def __post_init__(self) -> None:
        if self.allocated not in (8, 16, 32) or not 1 <= self.stored <= self.allocated:
            raise ReadError("unreadable", f"pixels of {self.stored} bits in {self.allocated} are not those of a CT")
        if not self.stored - 1 <= self.high_bit < self.allocated:
            raise ReadError(
                "unreadable", f"high bit {self.high_bit} does not fit {self.stored} bits in {self.allocated}"
            )

    @property
    def frame_bytes(self) -> int:
        """Length of one native frame."""
        return self.rows * self.columns * self.samples * self.allocated // 8

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a decoded frame."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)


@dataclass(frozen=True)
class Syntax:
    """A transfer syntax: its name, and which codec of imagecodecs decodes it ("" for native pixels)."""

    name: str
    codec: str = ""
    big_endian: bool = False


TRANSFER_SYNTAXES: dict[str, Syntax] = {
    "1.2.840.10008.1.2": Syntax("Implicit VR Little Endian"),
    "1.2.840.10008.1.2.1": Syntax("Explicit VR Little Endian"),
    "1.2.840.10008.1.2.1.99": Syntax("Deflated Explicit VR Little Endian"),
    "1.2.840.10008.1.2.2": Syntax("Explicit VR Big Endian", big_endian=True),
    "1.2.840.113619.5.2": Syntax("Implicit VR, pixels big endian (GE private)", big_endian=True),
    "1.2.840.10008.1.2.5": Syntax("RLE Lossless", "packbits"),
    "1.2.840.10008.1.2.4.50": Syntax("JPEG Baseline (Process 1)", "jpeg8"),
    "1.2.840.10008.1.2.4.51": Syntax("JPEG Extended (Process 2 and 4)", "jpeg8"),
    "1.2.840.10008.1.2.4.53": Syntax("JPEG Spectral Selection (Process 6 and 8), retired", "jpeg8"),
    "1.2.840.10008.1.2.4.55": Syntax("JPEG Full Progression (Process 10 and 12), retired", "jpeg8"),
    "1.2.840.10008.1.2.4.57": Syntax("JPEG Lossless (Process 14)", "ljpeg"),
    "1.2.840.10008.1.2.4.70": Syntax("JPEG Lossless, First-Order Prediction (Process 14, Selection Value 1)", "ljpeg"),
    "1.2.840.10008.1.2.4.80": Syntax("JPEG-LS Lossless", "jpegls"),
    "1.2.840.10008.1.2.4.81": Syntax("JPEG-LS Near-Lossless", "jpegls"),
    "1.2.840.10008.1.2.4.90": Syntax("JPEG 2000 (Lossless Only)", "jpeg2k"),
    "1.2.840.10008.1.2.4.91": Syntax("JPEG 2000", "jpeg2k"),
    "1.2.840.10008.1.2.4.201": Syntax("High-Throughput JPEG 2000 (Lossless Only)", "jpeg2k"),
    "1.2.840.10008.1.2.4.202": Syntax("High-Throughput JPEG 2000, RPCL (Lossless Only)", "jpeg2k"),
    "1.2.840.10008.1.2.4.203": Syntax("High-Throughput JPEG 2000", "jpeg2k"),
}
"""Every transfer syntax that is read: UID -> name and codec."""

_FALLBACKS = {"ljpeg": ("ljpeg", "jpeg8", "jpegsof3")}
"""Decoders tried one after another: where one refuses a stream the next may not. High-throughput JPEG 2000
goes through OpenJPEG: OpenJPH writes to the terminal about damaged streams."""


def decoders() -> list[dict[str, str | bool]]:
    """For each transfer syntax: uid, name, codec, and whether it can be decoded here."""
    table: list[dict[str, str | bool]] = []
    for uid, syntax in TRANSFER_SYNTAXES.items():
        names = _FALLBACKS.get(syntax.codec, (syntax.codec,)) if syntax.codec else ()
        usable = not names or any(_available(name) for name in names)
        table.append({"uid": uid, "name": syntax.name, "codec": syntax.codec or "native", "available": usable})
    return table


def syntax_of(uid: str) -> Syntax:
    """The entry of `TRANSFER_SYNTAXES`.

    Raises
    ------
    CodecError
        Not in the table; names the syntax where it is a standard one.
    """
    syntax = TRANSFER_SYNTAXES.get(uid)
    if syntax is None:
        name = UID(uid, config.IGNORE).name if uid else ""  # no warning that shows it
        known = name if name and name != uid else "a private or unknown transfer syntax"
        raise CodecError(f"no decoder for {known}; convert the series to Explicit VR Little Endian")
    return syntax


def native(data: bytes, layout: Layout, syntax: Syntax, index: int) -> Frame:
    """Frame `index` of native (not encapsulated) pixel data, as stored values.

    Raises
    ------
    TruncatedError
        The data end before the frame does.
    """
    begin = index * layout.frame_bytes
    if len(data) < begin + layout.frame_bytes:
        raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
    kind = np.dtype(f"{'>' if syntax.big_endian else '<'}u{layout.allocated // 8}")
    flat = np.frombuffer(data, kind, layout.rows * layout.columns * layout.samples, begin)
    return stored_values(flat.reshape(layout.shape), layout)


def decode(data: bytes, layout: Layout, syntax: Syntax, **options: Any) -> Frame:
    """One encapsulated frame as stored values; `options` go to the codec.

    Raises
    ------
    CodecError
        The decoder refuses the data, or they are not an image of this layout.
    TruncatedError
        The compressed data end too early.
    """
    if syntax.codec == "packbits":
        return stored_values(_rle(data, layout), layout)
    precision, is_signed = _check_stream(data, layout)
    frame = _run(data, syntax, **options)
    if frame.shape != layout.shape:
        raise CodecError("the compressed image has another size than its header says; get the file again")
    if is_signed and not layout.signed:
        # The codestream knows what was compressed; a header that calls negative values unsigned is wrong.
        return frame
    return stored_values(_widen(frame, precision, layout), layout)


def stored_values(frame: Frame, layout: Layout) -> Frame:
    """Stored bits as numbers: overlay bits masked away, sign extended.

    Parameters
    ----------
    frame : ndarray of unsigned or signed integers
        Values whose low ``high_bit + 1`` bits hold the pixel.

    Returns
    -------
    ndarray
        int16 or uint16 for up to 16 bits, int32 or uint32 above; native byte order.
    """
    wide = 16 if layout.allocated <= 16 else 32
    unsigned, signed = np.dtype(f"u{wide // 8}"), np.dtype(f"i{wide // 8}")
    bits = frame.astype(unsigned)
    shift = layout.high_bit + 1 - layout.stored
    if not layout.signed:
        plain = bits if layout.stored == wide else (bits >> shift) & unsigned.type((1 << layout.stored) - 1)
        return np.asarray(plain)
    # To the top, so that the sign bit is the sign; the arithmetic shift back spreads it.
    top = wide - 1 - layout.high_bit
    moved = (bits << top).view(signed) if top else bits.view(signed)
    values = moved >> (wide - layout.stored) if layout.stored < wide else moved
    assert (
        values.size == 0 or -(1 << layout.stored - 1) <= int(values.min()) <= int(values.max()) < 1 << layout.stored - 1
    )
    return np.asarray(values)


def _widen(frame: Frame, precision: int, layout: Layout) -> Frame:
    """Values of a codestream as they would stand in native pixels: shifted to the high bit, sign spread."""
    unsigned = np.dtype("u2" if layout.allocated <= 16 else "u4")
    bits = frame.astype(unsigned)
    if layout.signed and frame.dtype.kind == "u" and precision < layout.stored:
        # Two's complement of fewer bits than the header says: the sign is that of the codestream.
        spare = unsigned.itemsize * 8 - precision
        bits = ((bits << spare).view(f"i{unsigned.itemsize}") >> spare).view(unsigned)
    return bits << (layout.high_bit + 1 - layout.stored) if layout.high_bit + 1 > layout.stored else bits


def _run(data: bytes, syntax: Syntax, **options: Any) -> Frame:
    failure = "no codec"
    for name in _FALLBACKS.get(syntax.codec, (syntax.codec,)):
        if not _available(name):
            continue
        import imagecodecs

        decoder: Callable[..., Frame] = getattr(imagecodecs, f"{name}_decode")
        try:
            return decoder(data, **options)
        except MemoryError:
            raise
        except Exception as error:  # every codec has exceptions of its own
            failure = type(error).__name__
    raise CodecError(f"{syntax.name}: the decoder refuses the data ({failure}); get the file again from its source")


def _available(name: str) -> bool:
    try:
        import imagecodecs

        return bool(getattr(imagecodecs, name.upper()).available)
    except (ImportError, AttributeError):
        return False


def _rle(data: bytes, layout: Layout) -> Frame:
    """RLE of PS3.5 Annex G: byte planes, most significant first, each PackBits."""
    import imagecodecs

    bytes_each = layout.allocated // 8
    planes = layout.samples * bytes_each
    if len(data) < 64:
        raise TruncatedError("the RLE data end within their header; copy the file again from its source")
    count, *offsets = struct.unpack_from("<16I", data)
    if count != planes:
        raise CodecError(f"RLE data of {count} segments where {planes} are expected; get the file again")
    size = layout.rows * layout.columns
    frame = np.zeros((layout.samples, size), f"u{bytes_each}")
    bounds = [*offsets[:planes], len(data)]
    for plane in range(planes):
        begin, end = bounds[plane : plane + 2]
        if not 64 <= begin <= end <= len(data):
            raise TruncatedError("the RLE data end before their segments do; copy the file again from its source")
        try:
            part = imagecodecs.packbits_decode(data[begin:end])
        except Exception as error:
            raise CodecError(
                f"RLE Lossless: the data are damaged ({type(error).__name__}); get the file again"
            ) from None
        if len(part) < size:
            raise TruncatedError("the RLE data hold too few pixels; copy the file again from its source")
        sample, byte = divmod(plane, bytes_each)
        frame[sample] |= np.frombuffer(part, "u1", size).astype(frame.dtype) << (8 * (bytes_each - 1 - byte))
    return frame.T.reshape(layout.shape)


def _check_stream(data: bytes, layout: Layout) -> tuple[int, bool]:
    """Precision and signedness of a JPEG, JPEG-LS or JPEG 2000 stream, after its size and end were checked.

    Decoders allocate what the stream asks for and some fill up what is missing with grey: both are settled
    here.
    """
    if not data.rstrip(b"\0").endswith((b"\xff\xd9", b"\xff\xd9\xff")):  # some pad to even length with FF
        raise TruncatedError("the compressed image has no end; copy the file again from its source")
    j2k = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if j2k >= 0 and len(data) >= j2k + 43:
        width, height, x0, y0 = struct.unpack_from(">4I", data, j2k + 8)
        columns, rows = width - x0, height - y0
        components = struct.unpack_from(">H", data, j2k + 40)[0]
        depth = data[j2k + 42]
        precision, is_signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    else:
        precision, rows, columns, components = _start_of_frame(data)
        is_signed = False
    if (rows, columns) != (layout.rows, layout.columns) or components != layout.samples:
        raise CodecError("the compressed image has another size than its header says; get the file again")
    if precision > layout.allocated:
        raise CodecError("the compressed image has more bits than its header says; get the file again")
    return precision, is_signed


def _start_of_frame(data: bytes) -> tuple[int, int, int, int]:
    """Precision, rows, columns and components of a JPEG or JPEG-LS stream."""
    place = 2
    while place + 10 <= len(data):
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, place + 4)
            return precision, rows, columns, components
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    raise CodecError("the compressed data are no JPEG image; get the file again from its source")
