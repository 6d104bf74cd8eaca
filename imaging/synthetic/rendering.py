"""Images of solids as a CT scanner would make them, with the truth beside them.

The scene is sampled on a finer grid, tile by tile, and only where something is painted: memory stays bounded
whatever the volume. A sample half covered counts half (from the signed distance); samples are averaged over
the slice thickness, blurred in the plane by a Gaussian point spread, and averaged over the pixel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from imaging import geometry
from imaging.errors import UsageError
from imaging.volume import Volume

from .base import Shape, Vector

TILE = (16, 48, 48)
"""Slices, rows and columns worked on at once, before the finer sampling."""
SAMPLES_AT_ONCE = 4_000_000
"""Largest finer grid held in memory."""
SAMPLES_PER_FEATURE = 10.0
"""Samples across the thinnest part of a shape; the soft edge makes up for the rest."""
THINGS_LIMITS, BACKGROUND_LIMITS = (3, 16), (2, 3)
"""Fewest and most samples along the edge of a pixel."""
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
NOISE_SIGMA = (0.5, 1.0, 1.0)
"""Correlation of the noise: Gaussian sigma in slices, rows and columns (voxels)."""
LOWEST_HU, HIGHEST_HU = -1024, 3071


@dataclass(frozen=True)
class Thing:
    """A shape of one material.

    Parameters
    ----------
    shape : Shape
        Where it is.
    hu : float
        What it is made of.
    name : str
        What the truth calls it.
    pattern : str
        The pattern (DESIGN section 3) that it is an example of.
    """

    shape: Shape
    hu: float
    name: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        if not LOWEST_HU <= self.hu <= HIGHEST_HU:
            raise UsageError(f"{self.hu} HU lies outside {LOWEST_HU} to {HIGHEST_HU}")


@dataclass(frozen=True)
class Truth:
    """What is known about a `Thing` from its formula.

    Parameters
    ----------
    name, shape, pattern : str
        Its name, the kind of its shape, the pattern it is an example of.
    centroid_mm : (x, y, z)
        LPS mm; None, as volume and diameter, where the shape has no closed form.
    volume_mm3 : float
        Volume.
    diameter_mm : float
        Longest distance between two of its points.
    hu : float
        HU of the material before blur and noise.
    """

    name: str
    shape: str
    pattern: str
    centroid_mm: Vector | None
    volume_mm3: float | None
    diameter_mm: float | None
    hu: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """An image (int16 HU) and the truth of what was put into it."""

    volume: Volume
    truth: tuple[Truth, ...]


def render(
    background: float | ArrayLike | Sequence[Thing],
    things: Sequence[Thing],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    *,
    origin: Vector | None = None,
    direction: ArrayLike | None = None,
    affine: ArrayLike | None = None,
    slice_thickness_mm: float | None = None,
    psf_fwhm_mm: float = 1.2,
    noise_sd: float = 0.0,
    noise_in_air: bool = True,
    seed: int = 0,
) -> Phantom:
    """An image of `things` in front of `background`.

    Parameters
    ----------
    background : float, (slices, rows, columns) array_like, or sequence of Thing
        HU; an image on the same grid; or solids, painted in order onto air (-1000 HU) with modest sampling.
    things : sequence of Thing
        Painted in order, later over earlier, with sampling as fine as their thinnest parts ask for. The truth
        lists them.
    shape : (slices, rows, columns)
        Size of the image.
    spacing : (dz, dy, dx)
        mm; dz is the distance between slices.
    origin : (x, y, z), optional
        LPS mm of voxel (0, 0, 0); by default the middle of the image lies at LPS (0, 0, 0).
    direction : (3, 3) array_like, optional
        As in `Volume.from_components`; an axial scan by default.
    affine : (4, 4) array_like, optional
        Instead of spacing, origin and direction: for a tilted gantry.
    slice_thickness_mm : float, optional
        Width of the slice profile (a box), mm; the slice distance by default. Larger: overlapping slices.
    psf_fwhm_mm : float
        Full width at half maximum of the in-plane point spread, mm.
    noise_sd : float
        HU.
    noise_in_air : bool
        False: pure air stays as it is, which compresses well.
    seed : int
        Of the noise.

    Returns
    -------
    Phantom
        The image, clipped to -1024 to 3071 HU as scanners do, and one `Truth` per thing.
    """
    matrix = _grid(shape, spacing, origin, direction) if affine is None else geometry.check_affine(affine)
    thickness = geometry.slice_distance(matrix) if slice_thickness_mm is None else slice_thickness_mm
    scanner = _Scanner(matrix, thickness, psf_fwhm_mm / FWHM_PER_SIGMA)
    image = np.full(shape, -1000.0, dtype=np.float32)
    if _are_things(background):
        _paint(image, background, scanner, BACKGROUND_LIMITS)  # type: ignore[arg-type]  # narrowed by _are_things
    else:
        image[...] = np.asarray(background, dtype=np.float32)
    _paint(image, things, scanner, THINGS_LIMITS)
    if noise_sd > 0:
        noise = correlated_noise(shape, noise_sd, np.random.default_rng(seed))
        if not noise_in_air:
            noise[image < -990] = 0
        image += noise
    values = np.clip(np.rint(image), LOWEST_HU, HIGHEST_HU).astype(np.int16)
    return Phantom(Volume(values, matrix), tuple(_truth(thing) for thing in things))


def correlated_noise(
    shape: tuple[int, int, int],
    sd: float,
    rng: np.random.Generator,
    sigma_voxels: tuple[float, float, float] = NOISE_SIGMA,
) -> NDArray[np.float32]:
    """Gaussian noise of standard deviation `sd` HU, correlated as after a soft reconstruction kernel.

    White noise filtered by a Gaussian and scaled by the exact factor that the filter takes away, so that any
    part of a volume has the same spread.
    """
    noise: NDArray[np.float32] = rng.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma_voxels, mode="wrap")
    impulse = np.zeros(2 * math.ceil(4 * max(sigma_voxels)) + 3)
    impulse[impulse.size // 2] = 1
    kernels = [ndimage.gaussian_filter1d(impulse, sigma) for sigma in sigma_voxels if sigma > 0]
    lost = math.prod(float(np.linalg.norm(kernel)) for kernel in kernels)
    noise *= np.float32(sd / lost)
    return noise


@dataclass(frozen=True, eq=False)
class _Scanner:
    """How points become voxels: grid, slice thickness (mm) and sigma of the point spread (mm)."""

    affine: geometry.Affine
    thickness: float
    sigma: float

    @property
    def reach(self) -> NDArray[np.float64]:
        """How far, in voxels along each axis, a point can show."""
        _, dy, dx = geometry.spacing(self.affine)
        z = self.thickness / 2 / geometry.slice_distance(self.affine)
        return np.array([z, 4 * self.sigma / dy + 1, 4 * self.sigma / dx + 1])


@dataclass(frozen=True, eq=False)
class _Layer:
    """One part of a thing: shape, HU and the index box (2, 3) it lies in."""

    shape: Shape
    hu: float
    box: NDArray[np.float64]


def _grid(
    shape: Sequence[int], spacing: Sequence[float], origin: Vector | None, direction: ArrayLike | None
) -> geometry.Affine:
    axes = np.eye(3) if direction is None else direction
    matrix = geometry.affine_from_components(spacing, (0, 0, 0), axes)
    middle = geometry.to_world(matrix, (np.array(shape) - 1) / 2)
    matrix[:3, 3] = -middle if origin is None else origin
    return matrix


def _are_things(background: object) -> bool:
    return isinstance(background, Sequence) and all(isinstance(item, Thing) for item in background)


def _truth(thing: Thing) -> Truth:
    shape, kind = thing.shape, type(thing.shape).__name__.lower()
    return Truth(thing.name, kind, thing.pattern, shape.centroid_mm, shape.volume_mm3, shape.diameter_mm, thing.hu)


def _paint(image: NDArray[np.float32], things: Sequence[Thing], scanner: _Scanner, limits: tuple[int, int]) -> None:
    """Paint `things` onto `image` in place, tile by tile."""
    parts = [(part, thing.hu) for thing in things for part in thing.shape.parts]
    layers = [_Layer(part, hu, _index_box(part, scanner.affine)) for part, hu in parts]
    if not layers:
        return
    base = image.copy()
    boxes = np.stack([layer.box for layer in layers])
    boxes[:, 0] -= scanner.reach
    boxes[:, 1] += scanner.reach
    tiles = itertools.product(*(range(0, n, step) for n, step in zip(image.shape, TILE, strict=True)))
    for start in tiles:
        low = np.array(start)
        high = np.minimum(low + TILE, image.shape)
        here = np.flatnonzero(np.all((boxes[:, 0] <= high - 1) & (boxes[:, 1] >= low), axis=1))
        if here.size == 0:
            continue
        low = np.maximum(low, np.floor(boxes[here, 0].min(axis=0))).astype(int)
        high = np.minimum(high, np.ceil(boxes[here, 1].max(axis=0)) + 1).astype(int)
        found = [layers[i] for i in here]
        samples = _samples(found, scanner, limits)
        for first, last in _slabs(low, high, samples):
            change = _change(base, found, scanner, samples, (first, low[1], low[2]), (last, high[1], high[2]))
            image[first:last, low[1] : high[1], low[2] : high[2]] += change


def _index_box(shape: Shape, affine: geometry.Affine) -> NDArray[np.float64]:
    bounds = np.clip(shape.bounds(), -1e5, 1e5)
    corners = np.array(list(itertools.product(*bounds.T)))
    index = geometry.to_index(affine, corners)
    return np.stack([index.min(axis=0), index.max(axis=0)])


def _samples(layers: Sequence[_Layer], scanner: _Scanner, limits: tuple[int, int]) -> tuple[int, int]:
    """Samples per slice and per pixel edge that the finest layer and the point spread ask for."""
    _, dy, dx = geometry.spacing(scanner.affine)
    step = min(layer.shape.feature_mm for layer in layers) / SAMPLES_PER_FEATURE
    if scanner.sigma > 0:
        step = min(step, scanner.sigma)
    few, most = limits
    across = min(max(few, math.ceil(max(dy, dx) / step)), most)
    most_through = most * max(1, math.ceil(scanner.thickness / max(dy, dx)))
    return min(max(few, math.ceil(scanner.thickness / step)), most_through), across


def _slabs(low: NDArray[Any], high: NDArray[Any], samples: tuple[int, int]) -> Iterator[tuple[int, int]]:
    through, across = samples
    per_slice = through * int(high[1] - low[1] + 8) * int(high[2] - low[2] + 8) * across**2
    step = max(1, SAMPLES_AT_ONCE // per_slice)
    for first in range(int(low[0]), int(high[0]), step):
        yield first, min(first + step, int(high[0]))


def _change(
    base: NDArray[np.float32],
    layers: Sequence[_Layer],
    scanner: _Scanner,
    samples: tuple[int, int],
    start: tuple[int, int, int],
    stop: tuple[int, int, int],
) -> NDArray[np.float32]:
    """What painting `layers` adds to base[start:stop]; the finer grid reaches past it as far as the blur."""
    through, across = samples
    pad = np.ceil(scanner.reach[1:]).astype(int)
    row0, column0 = start[1] - pad[0], start[2] - pad[1]
    rows, columns = stop[1] - start[1] + 2 * pad[0], stop[2] - start[2] + 2 * pad[1]
    slices = stop[0] - start[0]
    x, y, z = _coordinates(scanner, samples, (start[0], row0, column0), (slices, rows, columns))
    _, dy, dx = geometry.spacing(scanner.affine)
    step = float(np.cbrt(scanner.thickness / through * dy * dx / across**2))

    cover = np.zeros((slices * through, rows * across, columns * across), dtype=np.float32)
    value = np.zeros_like(cover)
    corner = np.array([start[0], row0, column0])
    per_voxel = np.array([through, across, across])
    extra = np.array([scanner.reach[0], 1.0, 1.0])
    for layer in layers:
        low = np.floor((np.maximum(layer.box[0] - extra - corner, 0)) * per_voxel).astype(int)
        high = np.minimum(np.ceil((layer.box[1] + extra + 1 - corner) * per_voxel), cover.shape).astype(int)
        if np.any(high <= low):
            continue
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        where = [_open_crop(c, part) for c in (x, y, z)]
        inside = np.clip(np.float32(0.5) - layer.shape.distance(*where) / np.float32(step), 0, 1)
        cover[part] += inside * (1 - cover[part])
        value[part] += inside * (np.float32(layer.hu) - value[part])

    fine = value.reshape(slices, through, *value.shape[1:]).mean(axis=1)
    share = cover.reshape(slices, through, *cover.shape[1:]).mean(axis=1)
    below = _edge_crop(base, start[0], (row0, column0), (slices, rows, columns))
    fine -= share * below.repeat(across, axis=1).repeat(across, axis=2)
    if scanner.sigma > 0:
        sigma = (0.0, scanner.sigma * across / dy, scanner.sigma * across / dx)
        fine = ndimage.gaussian_filter(fine, sigma, mode="nearest")
    change = fine.reshape(slices, rows, across, columns, across).mean(axis=(2, 4))
    return np.asarray(change[:, pad[0] : rows - pad[0], pad[1] : columns - pad[1]], dtype=np.float32)


def _coordinates(
    scanner: _Scanner, samples: tuple[int, int], corner: tuple[int, int, int], size: tuple[int, int, int]
) -> list[NDArray[np.float32]]:
    """x, y, z (LPS mm) of the samples, each an array that broadcasts to (slice samples, rows, columns)."""
    through, across = samples
    matrix = scanner.affine
    offsets = ((np.arange(through) + 0.5) / through - 0.5) * scanner.thickness
    slices = np.arange(corner[0], corner[0] + size[0])
    rows = corner[1] - 0.5 + (np.arange(size[1] * across) + 0.5) / across
    columns = corner[2] - 0.5 + (np.arange(size[2] * across) + 0.5) / across
    normal = geometry.normal(matrix)
    found = []
    for axis in range(3):
        deep = (matrix[axis, 0] * slices[:, None] + normal[axis] * offsets + matrix[axis, 3]).ravel()
        terms = [deep[:, None, None], matrix[axis, 1] * rows[:, None], matrix[axis, 2] * columns]
        used = [t for t in terms if np.any(t != t.flat[0])]
        rest = sum(float(t.flat[0]) for t in terms if not np.any(t != t.flat[0]))
        total = np.full((1, 1, 1), rest)
        for term in used:
            total = total + term
        found.append(total.astype(np.float32))
    return found


def _open_crop(values: NDArray[np.float32], part: tuple[slice, ...]) -> NDArray[np.float32]:
    """`values[part]`, where axes of length one stand for any length."""
    return values[tuple(p if n > 1 else slice(None) for p, n in zip(part, values.shape, strict=True))]


def _edge_crop(
    image: NDArray[np.float32], first: int, corner: tuple[int, int], size: tuple[int, int, int]
) -> NDArray[np.float32]:
    """A crop that may reach past rows and columns; the edge is repeated there."""
    rows = np.clip(np.arange(corner[0], corner[0] + size[1]), 0, image.shape[1] - 1)
    columns = np.clip(np.arange(corner[1], corner[1] + size[2]), 0, image.shape[2] - 1)
    return image[first : first + size[0], rows[:, None], columns]
