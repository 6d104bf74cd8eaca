"""Where the pixels of a file stand and how they are packed: found with the header, checked before reading."""

from __future__ import annotations

from pathlib import Path

from ..errors import CalcimapError, CodecError, ReadError, TruncatedError
from ..series import Instance, PixelData
from . import codecs, palettes
from .dicomfile import DicomFile
from .elements import PIXEL_DATA, UNDEFINED, Elements, tags

TAGS = (
    tags(
        "BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit "
        "SamplesPerPixel PlanarConfiguration PhotometricInterpretation"
    )
    | palettes.TAGS
)
EXCESS_BYTES = 4096
"""Trailing bytes after native pixels that are taken for padding; more means that rows or columns are wrong."""


def locate(file: DicomFile, file_size: int, modified_ns: int) -> PixelData | None:
    """Where the integer pixels of a file are; None if it holds none."""
    if file.pixels is None or file.pixels.tag != PIXEL_DATA or file.pixels.length == 0:
        return None
    elements, place = file.elements, file.pixels
    return PixelData(
        offset=place.offset,
        length=None if place.length == UNDEFINED else place.length,
        available=file.source.size - place.offset,
        syntax=file.syntax,
        allocated=_integer(elements, "BitsAllocated"),
        stored=_integer(elements, "BitsStored"),
        high_bit=_integer(elements, "HighBit"),
        representation=_integer(elements, "PixelRepresentation"),
        padding=_padding(elements),
        file_size=file_size,
        modified_ns=modified_ns,
        samples=elements.integer("SamplesPerPixel") or 1,
        planar=elements.integer("PlanarConfiguration") or 0,
        photometric=elements.text("PhotometricInterpretation").upper(),
        palette=palettes.tables(elements),
    )


def _integer(elements: Elements, keyword: str) -> int:
    value = elements.integer(keyword)
    return -1 if value is None else value


def _padding(elements: Elements) -> tuple[float, float] | None:
    value = elements.number("PixelPaddingValue")
    limit = elements.number("PixelPaddingRangeLimit")
    return None if value is None else (value, value if limit is None else limit)


def layout(instance: Instance) -> codecs.Layout:
    """How the pixels of an image are stored.

    Raises
    ------
    ReadError
        ``no_pixels``; ``unreadable``: bits that cannot be.
    """
    pixels = _pixels(instance)
    if pixels.representation not in (0, 1):
        raise ReadError("unreadable", "the header does not say whether pixels are signed; export the series again")
    stored = pixels.allocated if pixels.stored < 0 else pixels.stored
    high = stored - 1 if pixels.high_bit < 0 else pixels.high_bit
    signed = bool(pixels.representation)
    return codecs.Layout(instance.rows, instance.columns, pixels.allocated, stored, high, signed)


def check(instance: Instance) -> CalcimapError | None:
    """What forbids reading the pixels of an image, known from its header: absent, cut off, packed otherwise."""
    try:
        pixels, shape = _pixels(instance), layout(instance)
        _check(instance, pixels, shape)
    except CalcimapError as error:
        error.path = instance.place
        return error
    return None


def _check(instance: Instance, pixels: PixelData, shape: codecs.Layout) -> None:
    if pixels.available <= 0 or (pixels.length is not None and pixels.length > pixels.available):
        raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
    syntax = codecs.syntax_of(pixels.syntax)
    if (pixels.length is None) != bool(syntax.codec):
        text = "the pixel data are not packed as their transfer syntax says; export the series again"
        raise CodecError(text)
    if pixels.length is None:
        return
    need = shape.frame_bytes * instance.frames
    if pixels.length < need:
        raise TruncatedError("the file holds fewer pixels than rows, columns and frames say; copy it again")
    if pixels.length > need + min(EXCESS_BYTES, shape.frame_bytes // 2):
        raise ReadError("unreadable", "more pixel data than rows, columns and frames say; export the series again")
    if syntax.big_endian and shape.allocated == 8:
        raise CodecError("big endian pixels of 8 bits are not read; convert to Explicit VR Little Endian")


def _pixels(instance: Instance) -> PixelData:
    if instance.pixels is None:
        raise ReadError("no_pixels", "the file holds no pixel data; export the series again with images")
    return instance.pixels


def padding_range(pixels: PixelData, shape: codecs.Layout) -> tuple[float, float] | None:
    """Padding value and range limit as stored values; a header may give the same bits signed or unsigned."""
    if pixels.padding is None:
        return None
    ends = []
    for end in pixels.padding:
        whole = int(end) + (1 << shape.stored if end < 0 else 0)
        if not 0 <= whole < 1 << shape.stored:
            return None
        bits = whole - (1 << shape.stored) if shape.signed and whole >= 1 << shape.stored - 1 else whole
        ends.append(float(bits))
    return min(ends), max(ends)


def again(error: CalcimapError, text: str, place: Path) -> CalcimapError:
    """The same error with another message."""
    return CodecError(text, place) if isinstance(error, CodecError) else ReadError(error.reason, text, place)
