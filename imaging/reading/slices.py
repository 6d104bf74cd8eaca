"""One slice of a DICOM series -> HU in its place in the volume.

Native 16-bit pixels are read straight into the volume and rescaled there; everything else is decoded first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import TruncatedError
from ..series import Instance
from . import codecs, pixels
from .frames import Span, frame_bytes, frame_spans
from .source import Source
from .values import PADDING_HU, fits, is_integral, masked, padding_mask, rescaled


class Written(NamedTuple):
    """What is known of a slice after it was written: its range in HU, and where it is valid."""

    lowest: float
    highest: float
    valid: NDArray[np.bool_] | None


class Slice:
    """One image of a series, about to be read.

    Parameters
    ----------
    instance : Instance
    spans : list of spans, optional
        Its fragments, where they are known already.
    """

    def __init__(self, instance: Instance, spans: list[Span] | None = None) -> None:
        assert instance.pixels is not None  # checked when the series was found
        self.instance, self.pixels = instance, instance.pixels
        self.layout = pixels.layout(instance)
        self.syntax = codecs.syntax_of(self.pixels.syntax)
        self._spans = spans

    @property
    def factors(self) -> tuple[float, float]:
        """Slope and intercept."""
        return 1.0 if self.instance.slope is None else self.instance.slope, self.instance.intercept or 0.0

    @property
    def path(self) -> Path:
        """The file, for messages on the terminal."""
        return self.instance.place

    def stored(self, source: Source) -> NDArray[Any]:
        """Stored values, (rows, columns)."""
        if self.syntax.codec:
            spans = self._spans or frame_spans(source, self.pixels.offset, self.instance.frames)[self.instance.frame]
            return codecs.decode(frame_bytes(source, spans), self.layout, self.syntax)
        data = source.read(self._place(), self.layout.frame_bytes)
        return codecs.native(data, self.layout, self.syntax, 0)

    def write(self, source: Source, target: NDArray[Any]) -> Written | None:
        """Read the slice into `target`, (rows, columns), int16 or float32, in HU; None where int16 cannot hold it.

        Raises
        ------
        ReadError
            The pixels cannot be read or decoded.
        """
        slope, intercept = self.factors
        whole = target.dtype == np.int16 and is_integral(slope, intercept)
        if whole and not self.syntax.codec and not self.syntax.big_endian and self.layout.allocated == 16:
            self._read_into(source, target)
            written = self._rescale_in_place(target)
            if written is not None:
                return written
            stored = codecs.stored_values(target, self.layout)
        else:
            stored = self.stored(source)
            if whole and stored.dtype.itemsize == 2:
                np.copyto(target.view(stored.dtype), stored)
                written = self._rescale_in_place(target, signed=stored.dtype.kind == "i")
                if written is not None:
                    return written
        return self._write_masked(stored, target)

    def _place(self) -> int:
        return self.pixels.offset + self.instance.frame * self.layout.frame_bytes

    def _read_into(self, source: Source, target: NDArray[Any]) -> None:
        if source.readinto(self._place(), memoryview(target.reshape(-1).view(np.uint8).data)) < self.layout.frame_bytes:
            raise TruncatedError("the file ends before its pixel data do; copy it again from its source")

    def _rescale_in_place(self, target: NDArray[Any], *, signed: bool | None = None) -> Written | None:
        """Stored values in `target` -> HU there; None, with nothing changed, where it takes more than a rescale."""
        shape = self.layout
        is_signed = shape.signed if signed is None else signed
        view = target if is_signed else target.view(np.uint16)
        low, high = int(view.min()), int(view.max())
        bottom, top = (-1 << shape.stored - 1, 1 << shape.stored - 1) if is_signed else (0, 1 << shape.stored)
        if not (bottom <= low and high < top) or (signed is None and shape.high_bit != shape.stored - 1):
            return None  # overlay bits, or a sign that is not spread
        padding = pixels.padding_range(self.pixels, shape)
        if padding is not None and padding[0] <= high and padding[1] >= low:
            return None
        slope, intercept = (int(f) for f in self.factors)
        low, high = low * slope + intercept, high * slope + intercept
        if low <= PADDING_HU:
            return None
        if high > 32767:
            return None
        bits = target.view(np.uint16)  # modulo 65536, which is right for results that fit
        if slope != 1:
            bits *= np.uint16(slope)
        if intercept:
            bits += np.uint16(intercept & 0xFFFF)
        return Written(low, high, None)

    def _write_masked(self, stored: NDArray[Any], target: NDArray[Any]) -> Written | None:
        slope, intercept = self.factors
        padding = pixels.padding_range(self.pixels, self.layout)
        mask = None if padding is None else padding_mask(stored, *padding, slope, intercept)
        values, lowest, highest, valid = masked(rescaled(stored, slope, intercept), mask)
        if target.dtype == np.int16 and not fits(values):
            return None
        target[...] = values
        return Written(lowest, highest, valid)
