"""Who is who: findings of two scans as partners, parts of one, or alone (clinical.md 6.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .exam import Exam
from .overlap import Overlaps, Points, overlaps
from .params import FollowupParams

BONE_MM = 2.0
"""Findings this near to bone move with it."""
NEIGHBOURS, LEAST_NEIGHBOURS, NEIGHBOURHOOD_MM = 7, 4, 60.0
"""Partners that tell where a finding lies, how few of them tell nothing, and how far away they may be."""

AMID = 0.5
"""Share of the missing volume, and of the way from the partner to the whole, that may be left with a part that only
touches its whole: most of both is explained. Judgement, as are the numbers of neighbours; measured in docs/followup.md.
"""


class Way(Protocol):
    """From places of the baseline to those of the follow-up: a registration, or several one after the other."""

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm in the follow-up scan of points of the baseline, (n, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of findings within the gate, one entry each: baseline, follow-up, what parts them, and their cost."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    distance_mm: NDArray[np.float64]
    overlap: NDArray[np.float64]
    cost: NDArray[np.float64]

    def take(self, which: NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(*(getattr(self, name)[which] for name in ("before", "after", "distance_mm", "overlap", "cost")))


@dataclass(frozen=True, eq=False)
class Matching:
    """What belongs together.

    Parameters
    ----------
    partners : Pairs
        One to one: the assignment of least cost.
    parts : (k, 2) ndarray of int
        Further findings that are a part of a finding of the other scan: (baseline, follow-up).
    cluster_before, cluster_after : (n,), (m,) ndarray of int
        Number of the cluster of every finding: partners and parts have the same one.
    places : (n, 3) ndarray
        Where the findings of the baseline lie in the follow-up, LPS mm: by the registration and their neighbours.
    shift_before, shift_after : (n, 3), (m, 3) ndarray
        What the neighbours add to the registration at each finding of either scan, mm in the follow-up.
    """

    partners: Pairs
    parts: NDArray[np.int64]
    cluster_before: NDArray[np.int64]
    cluster_after: NDArray[np.int64]
    places: NDArray[np.float64]
    shift_before: NDArray[np.float64]
    shift_after: NDArray[np.float64]


def match(before: Exam, after: Exam, registration: Way, params: FollowupParams | None = None) -> Matching:
    """Partners by the assignment of least total cost, again where their neighbours say they lie, then parts of what
    split or merged.

    Cost of a pair: distance / gate + 0.5 |ln(V1/V0)| + 0.3 |ln(HU1/HU0)| + 1 if the pattern differs + 0.5 (1 - overlap
    of the dilated masks). A finding left alone costs 1.2, so partners cost at most 2.4. Organs that are known and
    differ are no partners.

    Parameters
    ----------
    before, after : Exam
    registration : Registration, or another way
        Baseline to follow-up.
    params : FollowupParams, optional
    """
    params = params or FollowupParams()
    places = registration.apply(before.centroids)
    still = np.zeros_like(places)
    pairs = _gated(before, after, places, _overlaps(before, after, registration, still, params), params)
    partners = pairs.take(assign(pairs, params.unmatched))
    known = places[partners.before], after.centroids[partners.after]
    shift = tuple(
        neighbours_shift(where, of, known[1] - known[0], whose)
        for where, of, whose in zip((places, after.centroids), known, (partners.before, partners.after), strict=True)
    )
    shared = _overlaps(before, after, registration, shift[0], params)
    places = places + shift[0]
    pairs = _gated(before, after, places, shared, params)
    partners = pairs.take(assign(pairs, params.unmatched))
    parts = _parts(before, after, places, partners, shared, params)
    clusters = _clusters(len(before), len(after), partners, parts)
    return Matching(partners, parts, *clusters, places, shift[0], shift[1])


def neighbours_shift(
    where: NDArray[np.float64], known: NDArray[np.float64], left: NDArray[np.float64], whose: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What registration left over where each finding of a scan lies, as its neighbours show it, mm (n, 3).

    The median, axis by axis, of what is left between the nearest partners but its own: tissue moves together, and what
    the few millimetres are by which a part lies beside its whole is told by who surrounds it. Nothing where few are
    known, or where that does not tell the places of the partners better than the registration alone.

    Parameters
    ----------
    where : (n, 3) ndarray
        Places of the findings, LPS mm.
    known, left : (k, 3) ndarray
        Places of those that have partners, and from where registration takes the one of the baseline to the other, mm.
    whose : (k,) ndarray of int
        Which of the n each of the k is.
    """
    from scipy.spatial import cKDTree

    shift = np.zeros_like(where)
    if len(known) <= LEAST_NEIGHBOURS:
        return shift
    apart, near = cKDTree(known).query(where, min(NEIGHBOURS + 1, len(known)), distance_upper_bound=NEIGHBOURHOOD_MM)
    near = np.minimum(near, len(known) - 1)
    other = np.isfinite(apart) & (whose[near] != np.arange(len(where))[:, None])
    other &= np.cumsum(other, axis=1) <= NEIGHBOURS
    seen = other.sum(axis=1) >= LEAST_NEIGHBOURS
    shift[seen] = np.nanmedian(np.where(other[seen, :, None], left[near[seen]], np.nan), axis=1)
    told = left - shift[whose]
    better = np.median(np.linalg.norm(told, axis=1)) < np.median(np.linalg.norm(left, axis=1))
    return shift if better else np.zeros_like(shift)


def _overlaps(
    before: Exam, after: Exam, registration: Way, shift: NDArray[np.float64], params: FollowupParams
) -> Overlaps:
    points = []
    for exam, move in ((before, lambda p, owner: registration.apply(p) + shift[owner]), (after, lambda p, _: p)):
        owner = exam.components.component.astype(np.int64)
        places = move(exam.components.coordinates @ exam.affine[:3, :3].T + exam.affine[:3, 3], owner)
        points.append(Points(places, owner, len(exam)))
    spacing = max(before.largest_spacing_mm, after.largest_spacing_mm)
    return overlaps(points[0], points[1], max(params.dilation_mm, min(spacing, 5.0)))


def _gated(before: Exam, after: Exam, places: NDArray[np.float64], shared: Overlaps, params: FollowupParams) -> Pairs:
    """All pairs within the gate with their costs."""
    from scipy.spatial import cKDTree

    none = np.zeros(0, np.int64)
    if not len(before) or not len(after):
        return Pairs(none, none, none.astype(float), none.astype(float), none.astype(float))
    size = [np.nan_to_num(e.column("max_diameter_mm")) for e in (before, after)]
    widest = max(params.gate_mm, params.gate_diameter * max(s.max() for s in size))
    near = cKDTree(places).sparse_distance_matrix(cKDTree(after.centroids), widest, output_type="ndarray")
    i, j, distance = near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]
    gate = np.maximum(params.gate_mm, params.gate_diameter * np.maximum(size[0][i], size[1][j]))
    bone = [e.column("bone_distance_mm") <= BONE_MM for e in (before, after)]
    gate = np.where(bone[0][i] & bone[1][j], params.gate_bone_mm, gate)
    organs = before.words("organ")[i], after.words("organ")[j]
    keep = (distance <= gate) & ((organs[0] == organs[1]) | (organs[0] == "") | (organs[1] == ""))
    i, j, distance, gate = i[keep], j[keep], distance[keep], gate[keep]
    overlap = np.asarray(shared.dilated[i, j], dtype=float).ravel() if len(i) else np.zeros(0)
    patterns = before.words("pattern")[i], after.words("pattern")[j]
    differs = (patterns[0] != patterns[1]) & (patterns[0] != "") & (patterns[1] != "")
    cost = (
        distance / gate
        + params.weight_volume * _log_ratio(before, after, i, j, "volume_mm3")
        + params.weight_intensity * _log_ratio(before, after, i, j, "intensity_mean")
        + params.weight_pattern * differs
        + params.weight_overlap * (1 - overlap)
    )
    return Pairs(i, j, distance, overlap, cost)


def _log_ratio(before: Exam, after: Exam, i: NDArray[np.int64], j: NDArray[np.int64], name: str) -> NDArray[np.float64]:
    """|ln| of the ratio of a measure; 0 where it is missing or not positive, so that it parts nobody."""
    a, b = before.column(name)[i], after.column(name)[j]
    known = (a > 0) & (b > 0)
    return np.asarray(np.abs(np.log(np.where(known, b, 1.0) / np.where(known, a, 1.0))))


def assign(pairs: Pairs, unmatched: float) -> NDArray[np.bool_]:
    """Which pairs are partners: least total cost, `unmatched` for every finding left alone.

    Each connected part of the gated graph is a problem of its own, so that thousands of findings stay small matrices.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    chosen = np.zeros(len(pairs.cost), bool)
    worth = pairs.cost - 2 * unmatched
    useful = np.flatnonzero(worth < 0)
    if not len(useful):
        return chosen
    i, j = pairs.before[useful], pairs.after[useful]
    n, m = int(i.max()) + 1, int(j.max()) + 1
    graph = coo_array((np.ones(len(useful)), (i, j + n)), shape=(n + m, n + m))
    part = connected_components(graph, directed=False)[1][i]
    order = np.argsort(part, kind="stable")
    for members in np.split(useful[order], np.flatnonzero(np.diff(part[order])) + 1):
        rows, row = np.unique(pairs.before[members], return_inverse=True)
        columns, column = np.unique(pairs.after[members], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row, column] = worth[members]
        taken = np.zeros(gain.shape, bool)
        taken[linear_sum_assignment(gain)] = True
        chosen[members] = taken[row, column]
    return chosen


# -- split and merged --------------------------------------------------------------------------------------------------


def _parts(
    before: Exam,
    after: Exam,
    places: NDArray[np.float64],
    partners: Pairs,
    shared: Overlaps,
    params: FollowupParams,
) -> NDArray[np.int64]:
    """Findings without partner that are a part of one of the other scan: (baseline, follow-up) each."""
    volumes = before.column("volume_mm3"), after.column("volume_mm3")
    whole, split = _Side(volumes[0], places), _Side(volumes[1], after.centroids)
    found = np.concatenate([
        _part_of(shared.after_inside, shared.core, partners.before, partners.after, whole, split, params.part_share),
        _part_of(
            shared.before_inside.T.tocsr(), shared.core.T.tocsr(), partners.after, partners.before, split, whole,
            params.part_share,
        )[:, ::-1],
    ])  # fmt: skip
    return np.unique(found, axis=0) if len(found) else found


@dataclass(frozen=True, eq=False)
class _Side:
    """Volumes, mm3, and places in the follow-up, LPS mm, of the findings of one scan."""

    volume: NDArray[np.float64]
    place: NDArray[np.float64]


def _part_of(
    inside: csr_array,
    core: csr_array,
    whole_of: NDArray[np.int64],
    partner: NDArray[np.int64],
    wholes: _Side,
    parts: _Side,
    least: float,
) -> NDArray[np.int64]:
    """(whole, part): parts without partner that belong to a whole of the other scan, largest first.

    A neighbour that is new lies beside, too, where masks are dilated. A part lies in the mask itself; or in the dilated
    mask, and the whole is explained better with it than without; or touches that, and makes up for most of the volume
    that is missing and most of the way from the partner to the whole, which lies amid its parts.
    """
    links = inside.tocoo()
    alone = ~np.isin(links.col, partner)
    i, j, share = links.row[alone], links.col[alone], links.data[alone]
    core_share = np.asarray(core[i, j], dtype=float).ravel() if len(i) else np.zeros(0)
    explained = np.zeros(len(wholes.volume))
    explained[whole_of] = parts.volume[partner]
    moment = np.zeros((len(explained), 3))
    moment[whole_of] = parts.volume[partner, None] * (parts.place[partner] - wholes.place[whole_of])
    found, taken = [], set()
    for k in np.lexsort((-share, -parts.volume[j])):  # the largest parts first: what they leave is for the small ones
        a, b = int(i[k]), int(j[k])
        more = explained[a] + parts.volume[b]
        rest, left = abs(wholes.volume[a] - explained[a]), abs(wholes.volume[a] - more)
        with_it = moment[a] + parts.volume[b] * (parts.place[b] - wholes.place[a])
        off = np.linalg.norm(moment[a]) / explained[a] if explained[a] else 0.0
        amid = left <= AMID * rest and np.linalg.norm(with_it) / more <= AMID * off
        fits = core_share[k] >= least or left < rest
        if b not in taken and ((share[k] >= least and fits) or amid):
            taken.add(b)
            explained[a], moment[a] = more, with_it
            found.append((a, b))
    return np.array(found, np.int64).reshape(-1, 2)


def _clusters(n: int, m: int, partners: Pairs, parts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i = np.concatenate([partners.before, parts[:, 0]])
    j = np.concatenate([partners.after, parts[:, 1]])
    graph = coo_array((np.ones(len(i)), (i, j + n)), shape=(n + m, n + m))
    label = connected_components(graph, directed=False)[1].astype(np.int64)
    return label[:n], label[n:]
