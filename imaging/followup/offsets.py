"""Where to begin: translations under which two scans look alike, over all there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .coarse_view import CoarseView

STEP_MM = 8.0
WINDOWS_HU = ((-400.0, 400.0), (100.0, 500.0))
"""The body, and bone."""
LEAST_OVERLAP = 0.25
"""Share of the smaller scan that both must hold."""
APART = 3
"""Steps between two candidates: vertebrae are 30 to 40 mm apart."""


def offsets(before: CoarseView, after: CoarseView, most: int = 2) -> list[NDArray[np.float64]]:
    """The best translations, (4, 4) each: peaks of the masked normalised cross-correlation, `most` of either kind.

    Once of the body, whose outline tells where across the axis it lies, and once of dense bone, which tells how far
    along it. Several, since the body repeats itself along the spine. Cross-correlation of two images of which each is
    known in part only, by Fourier transform (Padfield, IEEE Trans Image Process 2012;21:2706).
    """
    factor = max(1, round(STEP_MM / before.step))
    masks = [_shrunk(v.inside.astype(np.float32), factor) > 0.5 for v in (before, after)]
    found = []
    for window in WINDOWS_HU:
        one, two = (_shrunk(np.clip(v.values, *window), factor) for v in (before, after))
        for shift in _peaks(*_masked_correlation(one, masks[0], two, masks[1]), np.array(two.shape), most):
            matrix = np.eye(4)
            matrix[:3, 3] = after.origin - before.origin - shift[::-1] * factor * before.step
            found.append(matrix)
    return found


def _peaks(
    correlation: NDArray[np.float64], overlap: NDArray[np.float64], shape: NDArray[np.int64], most: int
) -> list[NDArray[np.int64]]:
    """Shifts (z, y, x) of the highest peaks; element (n - 1) of each axis is no shift."""
    from skimage.feature import peak_local_max

    # A torso looks like its own neighbour: in a small overlap it may do so by chance.
    score = correlation * np.sqrt(overlap)
    peaks = peak_local_max(score, min_distance=APART, threshold_abs=0.0, num_peaks=most, exclude_border=False)
    return [peak - (shape - 1) for peak in peaks]


def _masked_correlation(
    a: NDArray[np.float32], mask_a: NDArray[np.bool_], b: NDArray[np.float32], mask_b: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation coefficient of `a` and shifted `b` over what both masks hold, for every shift; 0 where it is too
    little.

    Element s of an axis stands for the shift s - (n - 1), n the length of `b`.
    """
    from scipy.signal import fftconvolve

    def correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(fftconvolve(x, y[::-1, ::-1, ::-1]))

    weight_a, weight_b = mask_a.astype(float), mask_b.astype(float)
    x = (a - a[mask_a].mean()) * weight_a if mask_a.any() else weight_a
    y = (b - b[mask_b].mean()) * weight_b if mask_b.any() else weight_b
    n = np.rint(correlate(weight_a, weight_b))
    enough = n >= max(LEAST_OVERLAP * min(mask_a.sum(), mask_b.sum()), 1)
    n = np.maximum(n, 1)
    sum_x, sum_y = correlate(x, weight_b), correlate(weight_a, y)
    var_x = correlate(x * x, weight_b) - sum_x**2 / n
    var_y = correlate(weight_a, y * y) - sum_y**2 / n
    product = np.maximum(var_x, 0) * np.maximum(var_y, 0)
    known = enough & (product > 1e-6 * product.max(initial=0))
    covariance = correlate(x, y) - sum_x * sum_y / n
    overlap = n / max(min(mask_a.sum(), mask_b.sum()), 1)
    return np.where(known, covariance / np.sqrt(np.where(known, product, 1)), 0.0), overlap


def _shrunk(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of cubes of voxels; what is left over at the ends is repeated."""
    padded = np.pad(values, [(0, -n % factor) for n in values.shape], mode="edge")
    z, y, x = (n // factor for n in padded.shape)
    return np.asarray(padded.reshape(z, factor, y, factor, x, factor).mean(axis=(1, 3, 5)))
