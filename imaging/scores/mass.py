"""Calcium mass: the calibration from HU to density, and mass that is aware of partial volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..detection import Detection
from ..errors import GeometryError, UsageError
from ..volume import Volume, as_mask

HALO_MM = 2.0
"""The blurred edge of a finding lies within this distance of its mask, and at least one voxel around it."""
ROUNDING = 1e-9
"""Relative; forgives the rounding of that distance."""


@dataclass(frozen=True)
class Calibration:
    """How much hydroxyapatite a HU stands for.

    Parameters
    ----------
    factor_mg_per_cm3_per_hu : float
        Density per HU, about 0.7 to 0.85 at 120 kV.
    """

    factor_mg_per_cm3_per_hu: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.factor_mg_per_cm3_per_hu) and self.factor_mg_per_cm3_per_hu > 0):
            raise UsageError(f"a mass calibration must be positive, got {self.factor_mg_per_cm3_per_hu!r}")

    @classmethod
    def from_rod(
        cls,
        volume: Volume,
        rod: ArrayLike | Volume,
        density_mg_per_cm3: float,
        *,
        water: ArrayLike | Volume | None = None,
        water_hu: float = 0.0,
    ) -> Calibration:
        """Calibration from a rod of known density in the scan: density / (HU of the rod - HU of water).

        Parameters
        ----------
        volume : Volume
            CT in HU.
        rod : (slices, rows, columns) array_like of bool, or Volume
            A region well inside the rod: its blurred edge must not be in it.
        density_mg_per_cm3 : float
            Hydroxyapatite in the rod.
        water : mask, optional
            The same inside water or a water-equivalent rod.
        water_hu : float
            HU of water, where no mask is given.

        Raises
        ------
        UsageError
            A density that is not positive, or a rod that is not denser than water.
        GeometryError
            A mask on another grid, or without a voxel.
        """
        if not (np.isfinite(density_mg_per_cm3) and density_mg_per_cm3 > 0):
            raise UsageError(f"the density of the rod must be positive, got {density_mg_per_cm3!r} mg/cm3")
        base = water_hu if water is None else _mean(volume, water, "water")
        rise = _mean(volume, rod, "rod") - base
        if rise <= 0:
            raise UsageError(f"the rod is {-rise:g} HU below water; check which mask is the rod")
        return cls(density_mg_per_cm3 / rise)


def _mean(volume: Volume, mask: ArrayLike | Volume, name: str) -> float:
    inside = as_mask(mask, volume, name)
    if volume.valid is not None:
        inside = inside & volume.valid
    if not inside.any():
        raise GeometryError("empty_mask", f"the {name} mask holds no voxel of the scan")
    return float(volume.array[inside].mean(dtype=float))


def integrated_hu(
    detection: Detection, background: NDArray[np.float64], plateau: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """HU above the background, summed over each finding and its blurred edge, HU mm3, (n,) each.

    Blurring moves HU from the inside to the edge and keeps their sum, so the sum tells mass where a threshold does
    not. The edge is what lies within 2 mm of the mask, and at least one voxel around it; a voxel near two findings
    counts for the nearer one. What exceeds the growth threshold outside the mask belongs to something else.

    Parameters
    ----------
    background : (n,) ndarray
        HU of the tissue around each finding.
    plateau : (n,) ndarray
        HU inside it, where it is not blurred: the second sum takes no voxel for more than that (volume fractions
        of at most 1).

    Returns
    -------
    integrated, capped : ndarray
        Missing where the background is, and for findings split off a larger structure: what is around those is not
        background.
    """
    volume, mask = detection.volume, detection.components
    index, owner = _with_edge(detection)
    above = volume.array[np.unravel_index(index, volume.shape)].astype(float) - background[owner]
    capped = np.minimum(above, (plateau - background)[owner])
    cubic = volume.voxel_volume_mm3
    out = np.stack([np.bincount(owner, a, len(mask)) * cubic for a in (above, capped)])
    out[:, detection.found.split] = np.nan
    out[1, ~(plateau > background)] = np.nan
    return out[0], out[1]


def _with_edge(detection: Detection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat index and finding of all voxels of the findings and their edges, each voxel once."""
    from scipy import ndimage

    volume, mask = detection.volume, detection.components
    used = detection.thresholds
    ceiling = np.inf if used is None else used.grow_hu
    # Steps longer than 2 mm / sqrt(3) count as that, so that all 26 neighbours of a voxel are within reach.
    steps = np.minimum(volume.spacing, HALO_MM / np.sqrt(3))
    margin = (HALO_MM / steps).astype(int)
    index, owner, distance = [mask.voxels], [mask.component.astype(np.int64)], [np.zeros(len(mask.voxels))]
    for k, box in enumerate(mask.box):  # findings only, each on its own crop
        low = np.maximum(box[:, 0] - margin, 0)
        high = np.minimum(box[:, 1] + margin, volume.shape)
        crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = np.zeros(high - low, bool)
        inside[tuple((mask.coordinates[slice(*mask.voxel_offsets[k : k + 2])] - low).T)] = True
        away = ndimage.distance_transform_edt(~inside, sampling=steps)
        edge = ~inside & (away <= HALO_MM * (1 + ROUNDING)) & (volume.array[crop] <= ceiling)
        if volume.valid is not None:
            edge &= volume.valid[crop]
        index.append(np.ravel_multi_index(tuple(np.argwhere(edge).T + low[:, None]), volume.shape))
        owner.append(np.full(len(index[-1]), k))
        distance.append(away[edge])
    voxels, owners = np.concatenate(index), np.concatenate(owner)
    order = np.lexsort((np.concatenate(distance), voxels))
    first = order[np.append(True, np.diff(voxels[order]) > 0)] if len(order) else order
    return voxels[first], owners[first]
