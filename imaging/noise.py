"""Noise and level of the soft tissue of a scan, from small blocks; and whether the scan is contrast-enhanced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coarse import block_factors
from .volume import Volume

BLOCK_MM = (4.0, 8.0, 8.0)
SOFT_TISSUE_HU = (-30.0, 110.0)
ENHANCED_TISSUE_HU = (-30.0, 250.0)
"""Mean of a block that counts as soft tissue, without and with contrast agent."""
VOXEL_RANGE_HU = (-150.0, 300.0)
"""At least 90 % of a block's voxels lie here: no air, no bone."""
SD_QUANTILE = 0.40
"""Blocks across an edge inflate their SD; the 40th percentile is below them."""
MOST_SLABS = 48
"""Slabs looked at, evenly over the scan: more blocks no longer move the estimate."""
FEWEST_BLOCKS = 8

ENHANCED_MEAN_HU = 95.0
ENHANCED_SHARE = 0.2
"""Share of homogeneous blocks above 95 HU: 0.33-0.56 in enhanced scans, at most 0.11 in others."""
HOMOGENEOUS = 1.6
"""Times the noise: the SD up to which a block is homogeneous."""


@dataclass(frozen=True)
class Noise:
    """Soft tissue of a scan.

    Parameters
    ----------
    mean, sd : float
        HU: median of the block means, 40th percentile of their standard deviations.
    enhanced : bool
        Whether large homogeneous regions lie above 95 HU.
    enhanced_share : float
        Their share of the homogeneous blocks.
    n_blocks : int
        Soft-tissue blocks used; 0 where there were too few and a robust estimate of all valid voxels stands in.
    """

    mean: float
    sd: float
    enhanced: bool
    enhanced_share: float
    n_blocks: int


def estimate_noise(volume: Volume) -> Noise:
    """Level and noise of soft tissue, HU.

    Standard deviations are taken inside blocks of about 4 x 8 x 8 mm of which 90 % is soft tissue. Where there are
    fewer than 8 such blocks, the median and 1.4826 x MAD of all voxels between -150 and 300 HU stand in.
    """
    mean, sd, share = _blocks(volume)
    tissue = share >= 0.9
    sd_all = float(np.quantile(sd[tissue], SD_QUANTILE)) if tissue.sum() >= FEWEST_BLOCKS else np.inf
    plain = (share > 0.5) & (mean > 20) & (mean < 500) & (sd < HOMOGENEOUS * sd_all)
    enhanced_share = float((mean[plain] > ENHANCED_MEAN_HU).mean()) if plain.any() else 0.0
    enhanced = enhanced_share >= ENHANCED_SHARE and int(plain.sum()) >= FEWEST_BLOCKS
    low, high = ENHANCED_TISSUE_HU if enhanced else SOFT_TISSUE_HU
    use = tissue & (mean > low) & (mean < high)
    if use.sum() < FEWEST_BLOCKS:
        return _noise_of_voxels(volume)
    sigma = max(float(np.quantile(sd[use], SD_QUANTILE)), 0.1)
    return Noise(float(np.median(mean[use])), sigma, enhanced, enhanced_share, int(use.sum()))


def _noise_of_voxels(volume: Volume) -> Noise:
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // 2_000_000)]
    sample = sample[(sample > VOXEL_RANGE_HU[0]) & (sample < VOXEL_RANGE_HU[1])].astype(float)
    if not len(sample):
        return Noise(0.0, 0.1, False, 0.0, 0)
    median = float(np.median(sample))
    return Noise(median, max(1.4826 * float(np.median(np.abs(sample - median))), 0.1), False, 0.0, 0)


def _blocks(volume: Volume) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, standard deviation and soft-tissue share of whole blocks, flat."""
    fz, fy, fx = block_factors(volume, BLOCK_MM)
    slices, rows, columns = (n // f * f for n, f in zip(volume.shape, (fz, fy, fx), strict=True))
    firsts = np.unique(np.linspace(0, slices - fz, MOST_SLABS).astype(int) // fz * fz)
    parts = []
    for first in firsts:
        slab = volume.array[first : first + fz, :rows, :columns].astype(np.float32)
        blocks = slab.reshape(fz, rows // fy, fy, columns // fx, fx)
        mean = blocks.mean(axis=(0, 2, 4))
        apart = blocks - mean[None, :, None, :, None]
        count = fz * fy * fx
        sd = np.sqrt((apart * apart).sum(axis=(0, 2, 4)) / max(count - 1, 1))
        soft = ((blocks > VOXEL_RANGE_HU[0]) & (blocks < VOXEL_RANGE_HU[1])).mean(axis=(0, 2, 4))
        parts.append(np.stack([mean.ravel(), sd.ravel(), soft.ravel()]))
    mean, sd, share = np.concatenate(parts, axis=1)
    return mean, sd, share
