"""Foci of a cine: the same one in many frames is one finding.

The image moves under the probe: its translation from frame to frame is measured by phase correlation and taken out;
then foci are assigned to tracks at the least total distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .focus import Focus
from .params import UltrasoundParams

REDUCED = 160
"""Pixels along the longer side of the images that are registered."""
LEAST_FRAMES = 3
FAR = 1e6


@dataclass(frozen=True, eq=False)
class Track:
    """One focus over the frames in which it was seen.

    Parameters
    ----------
    frames : tuple of int
        Ascending.
    foci : tuple of Focus
        One for each.
    """

    frames: tuple[int, ...]
    foci: tuple[Focus, ...]

    @property
    def key(self) -> int:
        """Index of the key frame in `frames`: the brightest echo with the clearest shadow."""
        return int(np.argmax([f.merit - FAR * bool(f.reason) for f in self.foci]))

    @property
    def focus(self) -> Focus:
        """The focus in its key frame."""
        return self.foci[self.key]

    @property
    def persistence(self) -> float:
        """Share of the frames from the first to the last in which it was seen."""
        return len(self.frames) / (self.frames[-1] - self.frames[0] + 1)

    def lasts(self, n_frames: int, params: UltrasoundParams) -> bool:
        """Whether it was seen often enough in a clip of so many frames."""
        return len(self.frames) >= min(LEAST_FRAMES, n_frames) and self.persistence >= params.persistence


class Tracker:
    """Assigns the foci of one frame after the other; holds tracks and the last reduced image only."""

    def __init__(self, params: UltrasoundParams) -> None:
        self._params = params
        self._last: NDArray[np.float32] | None = None
        self._shift = np.zeros(2)
        self._tracks: list[list[tuple[int, Focus, NDArray[np.float64]]]] = []

    def add(
        self, frame: int, foci: list[Focus], grey: NDArray[np.uint8], steps: list[tuple[float, float, float]]
    ) -> None:
        """The foci of the next frame.

        Parameters
        ----------
        frame : int
        foci : list of Focus
        grey : (rows, columns) ndarray
            The frame, to measure its motion.
        steps : list of (row, column, unit)
            For each region: height and width of a pixel, and the unit of distances.
        """
        self._follow(grey)
        live = [k for k, t in enumerate(self._tracks) if frame - t[-1][0] <= self._params.track_gap + 1]
        cost = np.full((len(live), len(foci)), FAR)
        places = [np.array([f.row, f.column]) - self._shift for f in foci]
        for i, k in enumerate(live):
            _, last, at = self._tracks[k][-1]
            for j, (focus, place) in enumerate(zip(foci, places, strict=True)):
                dy, dx, unit = steps[focus.beam]
                distance = float(np.hypot(*((place - at) * (dy, dx)))) / unit
                reach = self._params.track_mm + 0.25 * min(focus.width, last.width) / unit
                if focus.beam == last.beam and distance <= reach:
                    cost[i, j] = distance
        taken = set()
        if cost.size:
            from scipy.optimize import linear_sum_assignment

            for i, j in zip(*linear_sum_assignment(cost), strict=True):
                if cost[i, j] < FAR:
                    self._tracks[live[i]].append((frame, foci[j], places[j]))
                    taken.add(int(j))
        self._tracks += [[(frame, f, p)] for j, (f, p) in enumerate(zip(foci, places, strict=True)) if j not in taken]

    def tracks(self) -> list[Track]:
        """All tracks, in the order of their first frame and place."""
        return [Track(tuple(f for f, _, _ in t), tuple(x for _, x, _ in t)) for t in self._tracks]

    def _follow(self, grey: NDArray[np.uint8]) -> None:
        """Add the translation since the last frame, pixels; nothing where it cannot be told."""
        factor = max(1, max(grey.shape) // REDUCED)
        small = grey[: grey.shape[0] // factor * factor, : grey.shape[1] // factor * factor].astype(np.float32)
        rows, columns = small.shape[0] // factor, small.shape[1] // factor
        small = small.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
        if self._last is not None and small.std() > 1 and self._last.std() > 1:
            from skimage.registration import phase_cross_correlation

            window = np.outer(np.hanning(rows), np.hanning(columns)).astype(np.float32)
            shift, _, _ = phase_cross_correlation(
                self._last * window, small * window, upsample_factor=10, normalization=None
            )
            if np.abs(shift).max() <= 0.1 * max(rows, columns):
                self._shift = self._shift - np.asarray(shift) * factor
        self._last = small
