"""`read_clip`: an ultrasound image or cine, its frames decoded one at a time to grey or RGB of 8 bits."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..clip import Clip, Image, whole_frame
from ..errors import CalcimapError, CodecError, ReadError, RefusedError, TruncatedError, UsageError
from ..series import Instance, PixelData, Region, Series
from . import codecs, palettes
from .frames import Span, frame_bytes, frame_spans
from .guard import typed
from .limits import check_voxels
from .opened import OpenedFiles
from .params import DEFAULTS, ReadParams
from .source import Source

TWO_DIMENSIONAL, MOST_DATA_TYPE = 1, 2
_RED, _GREEN = (0.0, 1.402), (-0.344136, -0.714136)
_BLUE = (1.772, 0.0)
PICTURE_FORMATS = ("PNG", "JPEG")
LARGEST_SIDE = 1 << 14


def read_clip(series: Series, params: ReadParams | None = None) -> Clip:
    """The frames of an ultrasound series, to be decoded on demand.

    Parameters
    ----------
    series : Series
        Ultrasound, from `imaging.find_series`.
    params : ReadParams, optional

    Returns
    -------
    Clip

    Raises
    ------
    RefusedError
        No region of two-dimensional tissue among its regions; a volume; larger than the limits.
    ReadError
        Files that cannot be read or decoded.
    """
    params = DEFAULTS if params is None else params
    if series.set_aside:
        raise UsageError(f"the series was set aside ({series.set_aside}); it is no image series of ours")
    if series.problem is not None:
        raise copy.copy(series.problem)
    if series.modality != "US":
        raise UsageError(f"read_clip reads ultrasound, got {series.modality}; use read_volume")
    instance = series.instances[0]
    check_voxels(3 * instance.rows * instance.columns, params, instance.place)
    if series.kind == "picture":
        pixel_mm = params.pixel_spacing_mm or None
        regions: tuple[Region, ...] = ()
        if pixel_mm:
            regions = (whole_frame(instance.rows, instance.columns, (pixel_mm, pixel_mm)),)
        flags = (*series.flags, *(("spacing_given",) if pixel_mm else ()))
        return Clip(PictureFrames(instance.path), instance.rows, instance.columns, regions, flags, series.header)
    frames = DicomFrames(instance, params)
    return Clip(frames, instance.rows, instance.columns, instance.regions, series.flags, series.header)


def obstacle(instance: Instance) -> CalcimapError | None:
    """What forbids analysing an ultrasound image, known from its header."""
    error: CalcimapError | None = None
    try:
        if instance.rows == 0 or instance.columns == 0 or instance.pixels is None:
            raise ReadError("no_pixels", "the file holds no image; export the series again with images")
        _check(instance, instance.pixels)
    except CalcimapError as found:
        error = found
    if error is None and instance.regions and not any(map(is_tissue, instance.regions)):
        text = "its regions hold traces, Doppler or graphics and no two-dimensional tissue"
        error = RefusedError("no_tissue", f"{text}; supply B-mode images")
    if error is not None:
        error.path = instance.place
    return error


def is_tissue(region: Region) -> bool:
    """Whether a region shows two-dimensional tissue or flow, calibrated or not; silence counts as yes."""
    return region.spatial_format in (0, TWO_DIMENSIONAL) and region.data_type <= MOST_DATA_TYPE


def _layout(instance: Instance, pixels: PixelData) -> codecs.Layout:
    stored = pixels.allocated if pixels.stored < 0 else pixels.stored
    high = stored - 1 if pixels.high_bit < 0 else pixels.high_bit
    if pixels.samples not in (1, 3):
        raise CodecError(f"{pixels.samples} samples a pixel are not read; export the images as grey or RGB")
    if pixels.allocated not in (8, 16):
        raise CodecError(f"ultrasound pixels of {pixels.allocated} bits are not read; export the images again")
    signed = pixels.representation == 1 and pixels.samples == 1
    return codecs.Layout(instance.rows, instance.columns, pixels.allocated, stored, high, signed, pixels.samples)


def _halved(instance: Instance, pixels: PixelData, layout: codecs.Layout) -> bool:
    """Whether native pixels are 4:2:2: two samples a pixel stored where three are announced."""
    if pixels.photometric != "YBR_FULL_422" or pixels.length is None or pixels.allocated != 8:
        return False
    return pixels.length < layout.frame_bytes * instance.frames


def _frame_bytes(instance: Instance, pixels: PixelData, layout: codecs.Layout) -> int:
    return layout.frame_bytes * 2 // 3 if _halved(instance, pixels, layout) else layout.frame_bytes


def _check(instance: Instance, pixels: PixelData) -> None:
    if pixels.available <= 0 or (pixels.length is not None and pixels.length > pixels.available):
        raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
    syntax, layout = codecs.syntax_of(pixels.syntax), _layout(instance, pixels)
    if (pixels.length is None) != bool(syntax.codec):
        raise CodecError("the pixel data are not packed as their transfer syntax says; export the series again")
    if pixels.length is not None and pixels.length < _frame_bytes(instance, pixels, layout) * instance.frames:
        raise TruncatedError("the file holds fewer pixels than rows, columns and frames say; copy it again")
    if pixels.photometric == "PALETTE COLOR" and len(pixels.palette) != 3:
        raise CodecError("the colour palette is absent or segmented; export the images as RGB")


@dataclass(frozen=True)
class DicomFrames:
    """Frames of a DICOM image."""

    instance: Instance
    params: ReadParams

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        """NumberOfFrames; where it is absent, as many whole frames as the native pixels hold."""
        instance, pixels = self.instance, self.instance.pixels
        assert pixels is not None  # checked when the series was found
        if instance.frames > 1 or pixels.length is None:
            return instance.frames
        return max(1, pixels.length // _frame_bytes(instance, pixels, _layout(instance, pixels)))

    def frame(self, index: int) -> Image:
        """One frame.

        Raises
        ------
        ReadError
            It cannot be read or decoded.
        """
        return next(self._frames(range(index, index + 1)))

    def __iter__(self) -> Iterator[Image]:
        return self._frames(range(len(self)))

    def _frames(self, wanted: range) -> Iterator[Image]:
        instance, pixels = self.instance, self.instance.pixels
        assert pixels is not None  # checked when the series was found
        layout, syntax = _layout(instance, pixels), codecs.syntax_of(pixels.syntax)
        files = OpenedFiles((instance,), self.params)
        with files.source(instance) as source:
            spans = frame_spans(source, pixels.offset, instance.frames) if syntax.codec else None
            for index in wanted:
                yield self._decoded(source, pixels, layout, syntax, None if spans is None else spans[index], index)

    def _decoded(
        self,
        source: Source,
        pixels: PixelData,
        layout: codecs.Layout,
        syntax: codecs.Syntax,
        spans: list[Span] | None,
        index: int,
    ) -> Image:
        if spans is not None:
            data = frame_bytes(source, spans)
            stored = codecs.decode(data, layout, syntax, **_jpeg_options(data, pixels, syntax))
            converted = syntax.codec in ("jpeg8", "jpeg2k")
        else:
            size = _frame_bytes(self.instance, pixels, layout)
            data = source.read(pixels.offset + index * size, size)
            if len(data) < size:
                raise TruncatedError("the file ends before its pixel data do; copy it again from its source")
            if syntax.big_endian and layout.allocated == 8 and source.read(pixels.offset - 8, 2) == b"OW":
                # Bytes in words: their order is turned round with that of the words.
                data = np.frombuffer(data, np.uint8).reshape(-1, 2)[:, ::-1].tobytes()
            if size < layout.frame_bytes:
                stored = _doubled(data, layout)
            elif layout.samples == 3 and pixels.planar == 1:
                planes = replace(layout, rows=3 * layout.rows, samples=1)
                stored = np.moveaxis(codecs.native(data, planes, syntax, 0).reshape(3, *layout.shape[:2]), 0, 2)
            else:
                stored = codecs.native(data, layout, syntax, 0)
            converted = False
        return to_8_bits(stored, pixels, layout, converted=converted)


@dataclass(frozen=True)
class PictureFrames:
    """The one frame of a PNG or JPEG file."""

    path: Path

    def __len__(self) -> int:
        return 1

    def frame(self, index: int) -> Image:
        """The picture.

        Raises
        ------
        ReadError
            It cannot be decoded.
        """
        from PIL import Image as Pictures

        if index:
            raise IndexError(index)
        with typed(self.path), Pictures.open(self.path, formats=PICTURE_FORMATS) as picture:
            grey = picture.mode in ("L", "1", "I;16", "I")
            if picture.mode in ("I;16", "I"):
                deep = np.asarray(picture, dtype=np.int64)
                return np.asarray(np.clip(deep >> 8, 0, 255), dtype=np.uint8)
            return np.array(picture.convert("L" if grey else "RGB"))

    def __iter__(self) -> Iterator[Image]:
        yield self.frame(0)


def picture_series(path: Path, identity: str) -> Series:
    """A PNG or JPEG file as an ultrasound series without calibration.

    Raises
    ------
    ReadError
        No such picture, or one that is damaged.
    LimitError
        Larger than any screen.
    """
    from PIL import Image as Pictures

    with typed(path), Pictures.open(path, formats=PICTURE_FORMATS) as picture:
        columns, rows = picture.size
    if max(rows, columns) > LARGEST_SIDE or min(rows, columns) < 2:
        raise ReadError("unreadable", "the picture is too large or too small for a screen capture", path)
    instance = Instance(path, rows, columns, 1, None, None, None, None, None)
    return Series("picture", "US", (instance,), identity, flags=("capture",))


def _jpeg_options(data: bytes, pixels: PixelData, syntax: codecs.Syntax) -> dict[str, str]:
    """RGB in a JPEG stream without a marker is taken for YCbCr by decoders: the header knows better."""
    head = data[:1024]
    if syntax.codec != "jpeg8" or pixels.samples == 1 or b"Adobe" in head or b"JFIF" in head:
        return {}
    return {"colorspace": "RGB" if pixels.photometric == "RGB" else "YCBCR", "outcolorspace": "RGB"}


def _doubled(data: bytes, layout: codecs.Layout) -> Image:
    """4:2:2 as stored, Y Y Cb Cr for each pair of pixels, to one triple a pixel."""
    pairs = np.frombuffer(data, np.uint8).reshape(-1, 4)
    triples = np.empty((len(pairs), 2, 3), np.uint8)
    triples[:, :, 0] = pairs[:, :2]
    triples[:, :, 1:] = pairs[:, None, 2:]
    return triples.reshape(layout.shape)


def to_8_bits(stored: codecs.Frame, pixels: PixelData, layout: codecs.Layout, *, converted: bool) -> Image:
    """Stored values as grey or RGB of 8 bits; `converted` where the decoder gave RGB."""
    if pixels.photometric == "PALETTE COLOR":
        return palettes.expand(stored, pixels.palette)
    values = stored
    if layout.signed:
        values = values.astype(np.int32) + (1 << (layout.stored - 1))
    if layout.stored > 8:
        values = values >> (layout.stored - 8)
    eight = np.clip(values, 0, 255).astype(np.uint8)
    if layout.samples == 1:
        return 255 - eight if pixels.photometric == "MONOCHROME1" else eight
    if pixels.photometric.startswith("YBR_FULL") and not converted:
        return _rgb(eight)
    return eight


def _rgb(ybr: Image) -> Image:
    """YBR_FULL to RGB (PS3.3 C.7.6.3.1.2)."""
    y, cb, cr = (ybr[..., k].astype(np.float32) - (128 if k else 0) for k in range(3))
    mixed = [y + b * cb + r * cr for b, r in (_RED, _GREEN, _BLUE)]
    return np.asarray(np.clip(np.rint(np.stack(mixed, axis=-1)), 0, 255), dtype=np.uint8)
