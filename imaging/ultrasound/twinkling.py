"""Colour behind and on a focus: the twinkling of rough surfaces under colour Doppler (clinical.md 4.5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .beam import Beam
from .focus import Focus

BINS = 12
REACH_MM = 10.0
FEWEST = 12


def twinkling(focus: Focus, beam: Beam, hue: NDArray[np.float32] | None, last: NDArray[np.float32] | None) -> Focus:
    """The focus with its twinkling score, where the frame holds colour.

    The score is the share of coloured samples on the focus and 10 mm behind it, times the entropy of their hues over
    its largest value: a random mosaic of all colours gives the share itself, flow of one direction near 0. With the
    frame before, hues that stay the same (a vessel) lower it by their correlation.
    """
    if hue is None:
        return focus
    d0, d1 = int(focus.box[0]), int(focus.box[1] + round(REACH_MM * beam.unit / beam.depth_step))
    depth, line = np.mgrid[d0 : min(d1, len(beam.depth)), int(focus.box[2]) : int(focus.box[3])]
    row, column = (np.rint(v).astype(int) for v in beam.pixel(depth.astype(float), line.astype(float)))
    row, column = np.clip(row, 0, hue.shape[0] - 1), np.clip(column, 0, hue.shape[1] - 1)
    here = hue[row, column]
    coloured = np.isfinite(here)
    if coloured.sum() < FEWEST:
        return replace(focus, extra=focus.extra | {"twinkling": 0.0})
    counts, _ = np.histogram(here[coloured], BINS, (-np.pi, np.pi))
    p = counts[counts > 0] / counts.sum()
    score = float(coloured.mean() * -(p * np.log(p)).sum() / np.log(BINS))
    if last is not None:
        both = coloured & np.isfinite(last[row, column])
        if both.sum() >= FEWEST:
            score *= 1 - max(0.0, float(np.cos(here[both] - last[row, column][both]).mean()))
    return replace(focus, extra=focus.extra | {"twinkling": score})
