"""Where the patient is: table, cushions, air and what lies beside the skin are outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .coarse import CoarseMask, block_factors, block_mean
from .components import Components
from .volume import Volume

BLOCK_MM = 3.0
THICK_SLICE_MM = 1.4
"""Slices thicker than this are not averaged."""
AIR_HU = -300.0
"""Between lung or air (below -500 HU) and fat (-120 HU)."""
OPENING_MM = 6.0
"""Radius of the in-plane disc; a table top is thinner, an arm is thicker."""
SMALLEST_MM3 = 20_000.0
SMALLEST_SHARE = 0.02
"""Parts of the body (arms, the other leg) are at least this large, absolutely and beside the largest."""


def body_mask(volume: Volume) -> CoarseMask | None:
    """The body on blocks of about 3 mm, or None where no part is large enough to be one.

    Block means above -300 HU are opened in every slice by a disc of 6 mm. In-plane, because a table is a sheet along
    the slice axis which a ball on thick slices would not remove; with the border repeated outwards, because a crop
    whose body touches the border would be eaten from there. Connected parts that are large enough stay, and holes
    within a slice (lung, bowel gas) are filled.
    """
    from scipy import ndimage

    slice_block = BLOCK_MM if volume.spacing[0] <= THICK_SLICE_MM else volume.spacing[0]
    factors = block_factors(volume, (slice_block, BLOCK_MM, BLOCK_MM))
    dense = block_mean(volume.array, factors) > AIR_HU
    step = np.multiply(volume.spacing, factors)
    disc = _disc(OPENING_MM, step[1], step[2])
    pad = [(0, 0), *((n // 2, n // 2) for n in disc.shape[1:])]
    padded = np.pad(dense, pad, mode="edge")
    # A block beyond the padding counts as the border's own value: erosion must not start from there.
    opened = ndimage.binary_dilation(ndimage.binary_erosion(padded, disc, border_value=1), disc)
    opened = opened[:, pad[1][0] : pad[1][0] + dense.shape[1], pad[2][0] : pad[2][0] + dense.shape[2]] & dense
    parts = Components.from_mask(np.ascontiguousarray(opened), 6)
    size = parts.n_voxels * volume.voxel_volume_mm3 * np.prod(factors)
    # A single slice or a small crop holds less than 20 cm3 of body; its largest part is the body then.
    small_scan = volume.voxel_volume_mm3 * volume.array.size <= 20 * SMALLEST_MM3
    if not len(parts) or (size.max() < SMALLEST_MM3 and not small_scan):
        return None
    keep = parts.take(size >= max(min(SMALLEST_MM3, size.max()), SMALLEST_SHARE * size.max()))
    return CoarseMask(fill_in_plane(keep.paint(np.ones(len(keep)), np.uint8) > 0), factors, volume.shape)


def _disc(radius_mm: float, row_mm: float, column_mm: float) -> NDArray[np.bool_]:
    """A disc in the plane of the slice as a (1, rows, columns) structuring element."""
    half = [int(radius_mm // step) for step in (row_mm, column_mm)]
    y, x = np.ogrid[-half[0] : half[0] + 1, -half[1] : half[1] + 1]
    return np.asarray(((y * row_mm) ** 2 + (x * column_mm) ** 2 <= radius_mm**2)[None])


def fill_in_plane(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what a slice does not connect to its border."""
    from scipy import ndimage

    cross = np.zeros((3, 3, 3), bool)
    cross[1] = ndimage.generate_binary_structure(2, 1)
    holes, n = ndimage.label(~mask, structure=cross)
    border = [holes[:, 0], holes[:, -1], holes[:, :, 0], holes[:, :, -1]]
    outside = np.zeros(n + 1, bool)
    outside[np.unique(np.concatenate([b.ravel() for b in border]))] = True
    outside[0] = False
    return np.asarray(~outside[holes])
