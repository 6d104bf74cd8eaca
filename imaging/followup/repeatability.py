"""What repeats of one scan differ by: limits measured on the scanner and the protocol at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..detection import detect
from ..errors import UsageError
from ..noise import estimate_noise
from ..params import DetectionParams
from ..volume import Volume
from .change import relative
from .exam import Exam
from .matching import match
from .params import FollowupParams, Limits
from .registration import Registration

FEWEST = 20
"""Repeated measures from which a limit is estimated; 95 % of fewer is no number to rely on."""
SHARE = 0.95
SMALL_MM3 = 190.0
"""Where 3.445 sqrt(V) and 25 % of V cross: below, the limit follows the root of the volume, above the volume itself."""
NOISE_SIGMA = (0.5, 1.0, 1.0)
"""Correlation of the noise that is added, voxels, as after a soft kernel."""


@dataclass(frozen=True)
class Perturbation:
    """How copies of a scan differ from it, at random up to these.

    Parameters
    ----------
    repeats : int
    noise : float
        Noise added, in units of the scan's own; the sum is sqrt(1 + noise^2) as noisy.
    shift_voxels : float
        Largest shift along each axis.
    blur_mm : float
        Largest further point spread, full width at half maximum in the plane.
    seed : int
    """

    repeats: int = 20
    noise: float = 0.5
    shift_voxels: float = 0.5
    blur_mm: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.repeats < 1 or min(self.noise, self.shift_voxels, self.blur_mm) < 0:
            raise UsageError("perturbations need at least one repeat, and noise, shift and blur of at least 0")


def perturbed(
    volume: Volume, how: Perturbation, sd: float, rng: np.random.Generator
) -> tuple[Volume, NDArray[np.float64]]:
    """A copy of a scan as if taken again, and by how much (x, y, z mm) everything in it was moved."""
    from scipy import ndimage

    shift = rng.uniform(-how.shift_voxels, how.shift_voxels, 3)
    values = ndimage.shift(volume.array.astype(np.float32), shift, order=3, mode="nearest", prefilter=True)
    blur = rng.uniform(0, how.blur_mm) / np.sqrt(8 * np.log(2))
    ndimage.gaussian_filter(values, (0, *(blur / s for s in volume.spacing[1:])), output=values)
    values += _noise(volume.shape, how.noise * sd, rng)
    array = np.rint(values).astype(np.int16) if volume.array.dtype == np.int16 else values
    return volume.replace(array=array), volume.affine[:3, :3] @ shift


def _noise(shape: tuple[int, int, int], sd: float, rng: np.random.Generator) -> NDArray[np.float32]:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), NOISE_SIGMA, mode="wrap")
    spread = float(noise.std())
    return np.asarray(noise * np.float32(sd / spread if spread > 0 else 0))


def repeats_of(
    volume: Volume,
    detection: DetectionParams | None = None,
    how: Perturbation | None = None,
    params: FollowupParams | None = None,
) -> pd.DataFrame:
    """Sizes of the findings of a scan and of the same findings in perturbed copies of it.

    Returns
    -------
    DataFrame
        One row for each finding and copy in which it has a partner: ``repeat, finding_id, volume_before_mm3,
        volume_after_mm3, diameter_before_mm, ...``, as `differences` makes them.
    """
    how = how or Perturbation()
    rng = np.random.default_rng(how.seed)
    first = Exam.of(detect(volume, detection))
    sd = estimate_noise(volume).sd
    tables = []
    for k in range(how.repeats):
        copy, moved = perturbed(volume, how, sd, rng)
        matrix = np.eye(4)
        matrix[:3, 3] = moved
        tables.append(
            differences(first, Exam.of(detect(copy, detection)), Registration(matrix, "known"), params).assign(repeat=k)
        )
    return pd.concat(tables, ignore_index=True)


def differences(one: Exam, two: Exam, registration: Registration, params: FollowupParams | None = None) -> pd.DataFrame:
    """Sizes of findings that have a partner in a repeated scan; those that reach the border are left out."""
    pairs = match(one, two, registration, params).partners
    i, j = pairs.before, pairs.after
    whole = np.array(
        [
            "touches_border" not in f"{a};{b}".split(";")
            for a, b in zip(one.words("flags")[i], two.words("flags")[j], strict=True)
        ],
        dtype=bool,
    )
    i, j = i[whole], j[whole]
    table = {"finding_id": one.ids[i]}
    for name, column in (
        ("volume_{}_mm3", "volume_mm3"),
        ("diameter_{}_mm", "max_diameter_mm"),
        ("integrated_{}_hu_mm3", "integrated_hu_mm3"),
    ):
        table |= {name.format("before"): one.column(column)[i], name.format("after"): two.column(column)[j]}
    return pd.DataFrame(table)


def estimate_limits(repeats: pd.DataFrame | Sequence[pd.DataFrame], source: str) -> Limits:
    """Limits that 95 % of repeated measures keep within.

    The coefficient of sqrt(V) from findings below 190 mm3, the share of V from those above; where there are fewer than
    20 of either kind, both coefficients of the literature are scaled by what 95 % of all findings keep within.

    Parameters
    ----------
    repeats : DataFrame or sequence of DataFrame
        As of `repeats_of` or `differences`.
    source : str
        What the limits say of where they come from.

    Raises
    ------
    UsageError
        Fewer than 20 repeated measures.
    """
    table = repeats if isinstance(repeats, pd.DataFrame) else pd.concat(list(repeats), ignore_index=True)
    v0, v1 = (table[f"volume_{w}_mm3"].to_numpy(dtype=float) for w in ("before", "after"))
    n = len(v0)
    if n < FEWEST:
        raise UsageError(f"{n} repeated findings; {FEWEST} are needed for limits: give more scans or more repeats")
    change = np.abs(v1 - v0)
    small = v0 < SMALL_MM3
    standard = Limits()
    factor = _quantile(change / np.maximum(standard.volume_sqrt * np.sqrt(v0), standard.volume_relative * v0))
    roots, shares = change[small] / np.sqrt(v0[small]), change[~small] / v0[~small]
    wider = np.abs(_difference(table, "diameter_{}_mm"))
    denser = np.abs(relative(*(table[f"integrated_{w}_hu_mm3"].to_numpy(dtype=float) for w in ("before", "after"))))
    return Limits(
        volume_sqrt=_quantile(roots) if len(roots) >= FEWEST else standard.volume_sqrt * factor,
        volume_relative=_quantile(shares) if len(shares) >= FEWEST else standard.volume_relative * factor,
        diameter_mm=_quantile(wider),
        integrated_relative=_quantile(denser),
        source=source,
        n=n,
    )


def _difference(table: pd.DataFrame, form: str) -> NDArray[np.float64]:
    after, before = (table[form.format(w)].to_numpy(dtype=float) for w in ("after", "before"))
    return np.asarray(after - before)


def _quantile(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, SHARE, method="higher")) if len(known) else 0.0
