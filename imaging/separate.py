"""Telling calcification from everything else above the threshold: candidates, and one list of rules.

The first rule that hits names the reason; what no rule hits is a finding. Nothing disappears: every candidate that
passes the size and noise tests is either a finding or stands in `excluded` with its reason.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .body import body_mask
from .bodymap import map_body
from .candidates import BONE_LEVEL_HU, EVEN_SD, LUMEN_MOST_HU, Tree, grow_tree, homogeneous_level
from .coarse import CoarseMask
from .components import Components
from .params import DetectionParams, Thresholds
from .shells import kept_large
from .skeleton import given_bone, name_large
from .surroundings import Surroundings, look_around, matched_snr
from .volume import Volume

EXCLUSION_REASONS: dict[str, str] = {
    "outside_roi": "less than half of it inside the given region of interest",
    "outside_body": "outside the body outline: table, cushion, clothing",
    "metal": "above 2500 HU",
    "bone": "part of a large dense structure, and HU falls little around it",
    "bone_adjacent": "part of a large dense structure, yet HU falls steeply around it: on bone, or a spur of it",
    "skin": "within 5 mm of the skin: dressing, electrode, or calcinosis cutis",
    "chest_wall": "in the layer of the ribs or just outside the lungs: rib, cartilage, or calcified chest wall",
    "cartilage": "more than half of it in a given mask of costal cartilage",
    "contrast": "a soft edge, or below the level of contrast agent in an enhanced scan: vessel, bowel, urinary tract",
}
"""What may stand in ``excluded.reason``, in the order of the rules."""


BONE_SECTION_MM3 = 500.0
"""Dense structures of at least this volume at 180 HU show where the ribs lie: a rib in a slab is 1 to 5 cm3."""


THIN_SCAN_MM = 15.0
"""Thinner slabs (`few_slices`) do not show how large a structure is."""
FLUID_CLEAR_SD = 4.0
"""Noise standard deviations by which the top of a plateau exceeds the level at which the candidate was taken."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything above the threshold that passes size and noise; one entry each, (n,).

    Parameters
    ----------
    components : Components
    reason : ndarray of str
        '' for a finding, a key of `EXCLUSION_REASONS` for the rest.
    level : ndarray
        HU above which the component was taken.
    drop, background : ndarray
        `Surroundings.drop` and ``background_mean``; NaN where they were not needed.
    split : ndarray of bool
        Split off from a larger structure.
    kept : ndarray of str
        Flag under which a large structure is a finding (``shell_kept``, ``mass_kept``), else ''.
    n_too_small, n_noise : int
        Components that fail the minimum size, or the noise test.
    body_found : bool
        Whether the body could be outlined.
    """

    components: Components
    reason: NDArray[np.str_]
    level: NDArray[np.float64]
    drop: NDArray[np.float64]
    background: NDArray[np.float64]
    split: NDArray[np.bool_]
    kept: NDArray[np.str_]
    n_too_small: int
    n_noise: int
    body_found: bool

    @classmethod
    def plain(cls, components: Components, level: float = np.nan, n_too_small: int = 0, n_noise: int = 0) -> Candidates:
        """Components as findings, without anything known about their surroundings."""
        n = len(components)
        unknown, none, no = np.full(n, np.nan), np.full(n, "", "U16"), np.zeros(n, bool)
        return cls(components, none, np.full(n, level), unknown, unknown, no, none, n_too_small, n_noise, True)

    @property
    def apart_above(self) -> NDArray[np.float64]:
        """HU up to which each is one with what it was split from, (n,); -inf for what stands alone."""
        return np.where(self.split, self.level, -np.inf)

    def take(self, which: NDArray[Any]) -> Candidates:
        """The entries in a mask, or in an order."""
        names = ("reason", "level", "drop", "background", "split", "kept")
        columns = {name: getattr(self, name)[which] for name in names}
        return dataclasses.replace(self, components=self.components.take(which), **columns)

    def named(self, reason: NDArray[np.str_]) -> Candidates:
        """The same entries with other reasons."""
        return dataclasses.replace(self, reason=reason)

    def in_raster_order(self) -> Candidates:
        """The entries sorted by their first voxel."""
        return self.take(np.argsort(self.components.voxels[self.components.voxel_offsets[:-1]], kind="stable"))


def large_enough(volume: Volume, parts: Components, params: DetectionParams) -> NDArray[np.bool_]:
    """The minimum size: voxels and mm3, (n,) bool. The factor forgives the rounding of spacings in headers."""
    big = parts.n_voxels * volume.voxel_volume_mm3 >= params.min_volume_mm3 * (1 - 1e-9)
    return np.asarray((parts.n_voxels >= params.min_voxels) & big)


def reaches(volume: Volume, parts: Components, hu: float) -> NDArray[np.bool_]:
    """Which components have a voxel above `hu`, (n,) bool."""
    return np.asarray(parts.maximum(parts.values(volume.array)) > hu)


def separate(
    volume: Volume,
    floor: Components,
    thresholds: Thresholds,
    params: DetectionParams,
    anatomy: Anatomy | None = None,
) -> Candidates:
    """Split what is above the threshold into candidates and name the reason of those that are no calcification."""
    noise = thresholds.noise
    body = body_mask(volume)
    inside, outside = _cut(floor, body, params.connectivity)
    outside = outside.take(large_enough(volume, outside, params))
    outside = outside.take(reaches(volume, outside, thresholds.peak_hu))

    tree = grow_tree(
        volume, inside, thresholds.grow_hu,
        max_volume_mm3=params.candidate_max_mm3, max_extent_mm=params.candidate_max_extent_mm,
        min_persistence_hu=max(params.split_hu, params.split_sd * noise.sd), min_voxels=params.min_voxels,
        connectivity=params.connectivity, noise_sd=noise.sd, enhanced=noise.enhanced,
    )  # fmt: skip
    kept = kept_large(volume, tree.large, noise)
    size = large_enough(volume, tree.small, params)
    peak = reaches(volume, tree.small, thresholds.peak_hu)
    apart = tree.parent < 0
    in_kept = ~apart & np.append(kept != "", False)[tree.parent]
    small = np.flatnonzero(size & peak & ~in_kept)

    reason, drop, background = _judge(volume, tree, small, body, thresholds, params, anatomy)
    even = np.isfinite(homogeneous_level(volume, tree.large, noise.sd))
    metal = reaches(volume, tree.large, params.metal_hu)
    large_reason = np.select([metal, even], ["metal", "contrast"], "bone").astype("U16")
    large_reason = name_large(large_reason, tree.large, anatomy)
    large_reason[kept != ""] = ""
    n_large, n_outside = len(tree.large), len(outside)
    rest = n_large + n_outside
    is_noise = np.append(reason == "noise", np.zeros(rest, bool))
    every = Candidates(
        components=Components.concatenate([tree.small.take(small), tree.large, outside], volume.shape),
        reason=np.concatenate([reason, large_reason, np.full(n_outside, "outside_body")]),
        level=np.concatenate([tree.level[small], np.full(rest, thresholds.grow_hu)]),
        drop=np.append(drop, np.full(rest, np.nan)),
        background=np.append(background, np.full(rest, np.nan)),
        split=np.append(~apart[small], np.zeros(rest, bool)),
        kept=np.concatenate([np.full(len(small), ""), kept, np.full(n_outside, "")]),
        # Pieces of a larger structure that fail a test are texture of it, neither small findings nor noise.
        n_too_small=int((apart & ~size).sum()),
        n_noise=int((apart & size & ~peak).sum() + is_noise.sum()),
        body_found=body is not None,
    )
    return every.take(~is_noise)


def _cut(floor: Components, body: CoarseMask | None, connectivity: int) -> tuple[Components, Components]:
    """Components inside the body and outside, those that cross its outline cut there."""
    if body is None:
        return floor, Components.empty(floor.shape)
    whole = body.covers(floor)
    voxels = np.sort(floor.take(~whole).voxels)
    within = body.at(voxels)
    inner, outer = (Components.from_voxels(voxels[k], floor.shape, connectivity) for k in (within, ~within))
    return Components.concatenate([floor.take(whole), inner], floor.shape), outer


def _judge(
    volume: Volume,
    tree: Tree,
    small: NDArray[np.int64],
    body: CoarseMask | None,
    thresholds: Thresholds,
    params: DetectionParams,
    anatomy: Anatomy | None,
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    """Reason ('' for a finding), drop and background of the small candidates.

    The rules are those of separation.md section 9 but for sheetness, and the second list of DESIGN 7.
    """
    noise = thresholds.noise
    parts = tree.small.take(small)
    peak = parts.maximum(parts.values(volume.array))
    around = look_around(volume, parts, thresholds.grow_hu)
    drop, near300 = around.drop, around.near300
    depth, share, in_layer = _place(volume, tree, parts, body)
    # On the wall of a lumen HU falls to the lumen on one side, so such a candidate is compared with the lumen instead.
    lumen = tree.lumen_hu[small]
    on_wall = np.isfinite(lumen)
    fall = drop * (around.p95 - around.background_mean) / np.maximum(around.p95 - lumen, 1.0)
    above_lumen = (peak >= lumen + max(params.plaque_hu, params.plaque_sd * noise.sd)) & (fall >= params.plaque_drop)
    in_skeleton = tree.parent_mm3[small] > params.bone_min_mm3 * _thin(volume)
    bone = (in_skeleton & ~(drop >= params.bone_drop)) | (near300 > params.bone_near300) | (share > params.bone_share)
    bone &= ~on_wall
    given = given_bone(volume, anatomy, parts, drop, tree.parent[small], tree.large, params)
    bone = given.bone | (bone & ~given.decides)
    adjacent = bone & (drop >= params.adjacent_drop) & (near300 < params.adjacent_near300)
    adjacent |= given.beside & ~bone & ~on_wall
    # A faint spot in an enhanced scan is a vessel, unless it stands clearly alone in even tissue.
    even = around.background_sd <= params.even_sd * noise.sd
    alone = even & (drop >= params.alone_drop) & (peak >= around.background_mean + params.alone_sd * noise.sd)
    faint = noise.enhanced & (peak < params.enhanced_peak_hu) & ~alone
    soft_edge = (drop < params.soft_edge_drop) | (
        _is_fluid(volume, parts, tree.level[small], noise.sd, params) & (drop < params.fluid_drop)
    )
    rules: dict[str, NDArray[np.bool_]] = {
        "noise": _is_noise(volume, parts, peak, around, thresholds, params),
        "metal": peak > params.metal_hu,
        "skin": depth < params.skin_mm,
        "cartilage": given.cartilage,
        "bone_adjacent": adjacent,
        "bone": bone,
        "chest_wall": in_layer & ~given.decides,
        "contrast": np.where(on_wall, ~above_lumen, soft_edge | faint),
    }
    return np.select(list(rules.values()), list(rules), "").astype("U16"), drop, around.background_mean


def _thin(volume: Volume) -> float:
    """Factor of volumes that tell bone: a slab thinner than 15 mm holds a part of each bone only."""
    return min(1.0, volume.shape[0] * volume.slice_distance / THIN_SCAN_MM)


def _is_fluid(
    volume: Volume, parts: Components, level: NDArray[np.float64], noise_sd: float, params: DetectionParams
) -> NDArray[np.bool_]:
    """Whether a candidate is a plateau of noise alone: contrast agent in a loop of bowel. (n,) bool.

    The upper part of its values spreads like noise. The plateau must stand clear of the level at which the candidate
    was taken: near it the level cuts the values, and faint calcification in noise looks the same.
    """
    values = parts.values(volume.array)
    high, top = parts.quantile(values, 0.75), parts.quantile(values, 0.95)
    large = parts.n_voxels * volume.voxel_volume_mm3 >= params.fluid_min_mm3
    return np.asarray(
        large & (top <= LUMEN_MOST_HU) & (top - level >= FLUID_CLEAR_SD * noise_sd) & (top - high <= EVEN_SD * noise_sd)
    )


def _place(
    volume: Volume, tree: Tree, parts: Components, body: CoarseMask | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Depth under the skin (mm), share of bone around, and whether in the layer of the ribs, for each candidate."""
    if body is None:
        return np.full(len(parts), np.inf), np.zeros(len(parts)), np.zeros(len(parts), bool)
    every = Components.concatenate([tree.small, tree.large], volume.shape)
    voxels = np.sort(every.voxels[every.values(volume.array) > BONE_LEVEL_HU])
    voxels = voxels[np.append(True, np.diff(voxels) > 0)] if len(voxels) else voxels  # pieces lie inside their parents
    dense = Components.from_voxels(voxels, volume.shape)
    bone = dense.take(dense.n_voxels * volume.voxel_volume_mm3 >= BONE_SECTION_MM3 * _thin(volume))
    return map_body(volume, body, bone, _thin(volume)).of(parts)


def _is_noise(
    volume: Volume,
    parts: Components,
    peak: NDArray[Any],
    around: Surroundings,
    thresholds: Thresholds,
    params: DetectionParams,
) -> NDArray[np.bool_]:
    """Whether a candidate fails its local peak test or, where it is faint in a noisy scan, the matched filter."""
    noise = thresholds.noise
    if params.threshold_mode == "fixed":
        return np.zeros(len(parts), bool)
    # The candidate's own surroundings must be exceeded as well; their spread is capped, since an edge is no noise.
    local = around.background_mean + params.peak_sd * np.minimum(around.background_sd, 1.6 * noise.sd)
    fails = np.asarray(peak < local)
    # Beside a lumen or fat the filter misleads, so it judges only faint candidates in noisy scans without contrast.
    if not noise.enhanced and noise.sd > params.noisy_sd:
        clear = peak >= around.background_mean + params.clear_sd * np.fmax(noise.sd, around.background_sd)
        faint = np.flatnonzero((peak < params.faint_hu) & ~fails & ~clear)
        background = np.where(np.isnan(around.background_mean), noise.mean, around.background_mean)[faint]
        fails[faint] = matched_snr(volume, parts.take(faint), background) < params.matched_snr
    return fails
