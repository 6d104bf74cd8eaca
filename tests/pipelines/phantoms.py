"""A phantom for the writers: a soft-tissue cylinder with a bone block and bright balls."""

import numpy as np

from imaging import Volume

SPACING = (2.0, 0.9, 0.9)


def phantom(balls: tuple[tuple[float, float, float], ...] = ((20, -25, 10), (30, 20, -30)), seed: int = 0) -> Volume:
    """Balls of 3 mm radius and 700 HU at (z, y, x), mm from the axis of the cylinder; noise of 8 HU."""
    rng = np.random.default_rng(seed)
    shape = (25, 130, 130)
    z, y, x = (np.arange(n) * s for n, s in zip(shape, SPACING, strict=True))
    z, y, x = np.meshgrid(z, y - y.mean(), x - x.mean(), indexing="ij")
    array = np.where(y**2 + x**2 < 50**2, 40.0, -1000.0)
    array[(np.abs(x) < 14) & (y > 18) & (y < 40)] = 600
    for cz, cy, cx in balls:
        array[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 3**2] = 700
    return Volume.from_components(np.rint(array + 8 * rng.standard_normal(shape)), spacing=SPACING)
