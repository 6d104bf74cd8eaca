"""`Clip`: ultrasound frames, decoded one at a time, and what their header says about lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .series import Region
from .volume import Volume

Image = NDArray[np.uint8]
"""A frame: (rows, columns) grey or (rows, columns, 3) RGB, 8 bits."""


class Frames(Protocol):
    """Where frames come from."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def frame(self, index: int) -> Image:
        """One frame."""
        ...

    def __iter__(self) -> Iterator[Image]:
        """All frames in order, one in memory at a time."""
        ...


@dataclass(frozen=True)
class Stored:
    """Frames that are in memory already.

    Parameters
    ----------
    array : (frames, rows, columns) or (frames, rows, columns, 3) ndarray of uint8
    """

    array: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.array)

    def frame(self, index: int) -> Image:
        """One frame."""
        return np.asarray(self.array[index])

    def __iter__(self) -> Iterator[Image]:
        return iter(self.array)


@dataclass(frozen=True, eq=False)
class Clip:
    """An ultrasound image or cine.

    Parameters
    ----------
    frames : Frames
        Decoded on demand: a cine of any length takes the memory of one frame.
    rows, columns : int
        Size of a frame.
    regions : tuple of Region
        Those of the header that lie inside the frame; lengths in mm exist in calibrated ones only.
    flags : tuple of str
        Codes of `imaging.flags.FLAGS`.
    header : mapping
        Facts of `imaging.series.FACTS`.
    """

    frames: Frames
    rows: int
    columns: int
    regions: tuple[Region, ...] = ()
    flags: tuple[str, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)

    modality = "US"

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, rows, columns)."""
        return len(self.frames), self.rows, self.columns

    @property
    def calibrated(self) -> bool:
        """Whether any region has lengths in mm."""
        return any(region.calibrated for region in self.regions)

    @classmethod
    def from_array(
        cls, array: NDArray[Any], *, pixel_mm: tuple[float, float] | None = None, flags: tuple[str, ...] = ()
    ) -> Clip:
        """Frames in memory, for notebooks.

        Parameters
        ----------
        array : (rows, columns), (frames, rows, columns) or (frames, rows, columns, 3) array of uint8
            Three axes are frames of grey.
        pixel_mm : (row, column), optional
            Height and width of a pixel, mm; without it everything is measured in pixels.
        """
        values = np.asarray(array, dtype=np.uint8)
        stack = values[None] if values.ndim == 2 else values
        rows, columns = stack.shape[1:3]
        whole = () if pixel_mm is None else (whole_frame(rows, columns, pixel_mm),)
        return cls(Stored(stack), rows, columns, whole, flags)

    @classmethod
    def from_volume(cls, volume: Volume) -> Clip:
        """An ultrasound `Volume` (`Volume.from_components` with modality "US") as a clip.

        Slices are its frames, and its row and column spacing is the size of a pixel, mm.

        Raises
        ------
        UsageError
            Not ultrasound, or grey beyond 0 to 255.
        """
        low, high = int(volume.array.min()), int(volume.array.max())
        if volume.modality != "US" or low < 0 or high > 255:
            raise UsageError("a clip is made of an ultrasound volume with grey levels from 0 to 255")
        return cls.from_array(volume.array, pixel_mm=volume.spacing[1:], flags=volume.flags)


def whole_frame(rows: int, columns: int, pixel_mm: tuple[float, float] | None) -> Region:
    """A region of tissue that covers the frame, calibrated if the size of a pixel (row, column), mm, is given."""
    dy, dx = (None, None) if pixel_mm is None else pixel_mm
    units = 0 if pixel_mm is None else 3
    return Region(1, 1, 0, 0, 0, columns - 1, rows - 1, units, units, dx, dy)
