"""Confidence map of an ultrasound image: the random walk of Karamalis et al. (Medical Image Analysis 2012).

Each pixel gets the probability that a random walker that starts there reaches the probe (the first row) before the
last row. Steps along the beam are easy, steps across cost a penalty, steps over edges cost more. Own implementation
after the paper and the authors' published code; secondary evidence only (clinical.md 4.4).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .echo import Lines
from .focus import Focus

ALPHA, BETA, GAMMA, EPSILON = 2.0, 90.0, 0.05, 1e-5
LEAF = 16
"""Pixels of the parts into which nested dissection cuts a grid."""
LARGEST = 60_000
"""Samples of the reduced image on which the map is computed for the ratio behind foci."""


def confidence_map(
    image: NDArray[np.generic], alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> NDArray[np.float64]:
    """Confidence of each pixel, (rows, columns), 1 at the first and 0 at the last row.

    Parameters
    ----------
    image : (rows, columns) array_like
        One scan line per column, the probe above.
    alpha : float
        Attenuation with depth: intensities are weighted by 1 - exp(-alpha depth), depth from 0 to 1.
    beta : float
        Cost of steps over edges.
    gamma : float
        Penalty of steps across the beam, straight and diagonal.

    Raises
    ------
    UsageError
        Fewer than three rows or two columns.

    Notes
    -----
    The system is symmetric, positive definite and that of a grid: unknowns are eliminated in the order of nested
    dissection (George 1973), which fills the factors less than the general orderings of sparse solvers do.
    """
    values = np.asarray(image, dtype=float)
    if values.ndim != 2 or values.shape[0] < 3 or values.shape[1] < 2:
        raise UsageError("a confidence map needs an image of at least three rows and two columns")
    from scipy import sparse
    from scipy.sparse.linalg import splu

    rows, columns = values.shape
    first, second, weight = _edges(values, alpha, beta, gamma)
    n, inner = rows * columns, (rows - 2) * columns
    order = columns + _nested_dissection(rows - 2, columns)
    place = np.full(n, -1)
    place[order] = np.arange(inner)
    degree = np.bincount(first, weight, n) + np.bincount(second, weight, n)
    i, j = place[first], place[second]
    both = (i >= 0) & (j >= 0)
    from_probe = (first < columns) & (j >= 0)  # edges run downwards: the first end is the upper one
    source = np.bincount(j[from_probe], weight[from_probe], inner)
    i, j, w, each = i[both], j[both], -weight[both], np.arange(inner)
    values_in = np.concatenate([w, w, degree[order]])
    system = sparse.coo_array((values_in, (np.concatenate([i, j, each]), np.concatenate([j, i, each]))), (inner, inner))
    factors = splu(
        system.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0, relax=1, panel_size=8,
        options={"SymmetricMode": True},
    )  # fmt: skip
    out = np.zeros(n)
    out[:columns] = 1.0
    out[order] = factors.solve(source)
    return out.reshape(rows, columns)


def _edges(
    values: NDArray[np.float64], alpha: float, beta: float, gamma: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Edges of the 8-neighbour grid: both ends and the weight."""
    span = np.ptp(values)
    scaled = (values - values.min()) / (span if span > 0 else 1.0)
    weighted = scaled * (1 - np.exp(-alpha * np.linspace(0, 1, len(values))))[:, None]
    index = np.arange(values.size).reshape(values.shape)
    pairs = (
        (index[:-1], index[1:], 0.0),
        (index[:, :-1], index[:, 1:], gamma),
        (index[:-1, :-1], index[1:, 1:], gamma),
        (index[:-1, 1:], index[1:, :-1], gamma),
    )
    first = np.concatenate([a.ravel() for a, _, _ in pairs])
    second = np.concatenate([b.ravel() for _, b, _ in pairs])
    penalty = np.concatenate([np.full(a.size, p) for a, _, p in pairs])
    flat = weighted.ravel()
    step = _unit(np.abs(flat[first] - flat[second])) + penalty
    return first, second, np.exp(-beta * _unit(step)) + EPSILON


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    span = np.ptp(values)
    return np.asarray((values - values.min()) / (span if span > 0 else 1.0))


def _nested_dissection(rows: int, columns: int) -> NDArray[np.int64]:
    """The pixels of a grid in an order of elimination with little fill: both halves first, then the line between."""
    parts: list[NDArray[np.int64]] = []

    def cut(r0: int, r1: int, c0: int, c1: int) -> None:
        height, width = r1 - r0, c1 - c0
        if height * width <= LEAF or min(height, width) < 3:
            parts.append((np.arange(r0, r1)[:, None] * columns + np.arange(c0, c1)).ravel())
        elif height >= width:
            middle = (r0 + r1) // 2
            cut(r0, middle, c0, c1)
            cut(middle + 1, r1, c0, c1)
            parts.append(middle * columns + np.arange(c0, c1))
        else:
            middle = (c0 + c1) // 2
            cut(r0, r1, c0, middle)
            cut(r0, r1, middle + 1, c1)
            parts.append(np.arange(r0, r1) * columns + middle)

    cut(0, rows, 0, columns)
    return np.concatenate(parts)


def confidence_behind(lines: Lines, foci: list[Focus], number: int) -> list[Focus]:
    """Foci with the ratio of the confidence behind to that beside, 5 mm behind at equal depth."""
    beam, unit = lines.beam, lines.beam.unit
    factor = max(1, int(np.ceil(np.sqrt(lines.grey.size / LARGEST))))
    small = lines.grey[::factor, ::factor]
    trust = confidence_map(small)
    out = []
    for focus in foci:
        if focus.beam != number:
            out.append(focus)
            continue
        row = int(focus.box[1] + round(5 * unit / beam.depth_step)) // factor
        c0, c1 = int(focus.box[2]) // factor, max(int(focus.box[3]) // factor, int(focus.box[2]) // factor + 1)
        wide = max(c1 - c0, 2)
        ratio = np.nan
        if row < len(trust):
            sides = np.concatenate(
                [trust[row, max(c0 - 2 * wide, 0) : max(c0 - wide // 2, 0)], trust[row, c1 + wide // 2 : c1 + 2 * wide]]
            )
            if len(sides) and sides.mean() > 0:
                ratio = float(trust[row, c0:c1].mean() / sides.mean())
        out.append(replace(focus, extra=focus.extra | {"confidence_ratio": ratio}))
    return out
