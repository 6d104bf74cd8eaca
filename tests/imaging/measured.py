"""Random phantoms with known size, wall and edge, and what calcimap measures on them: for tests and benchmarks."""

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from imaging import Detection, DetectionParams, Volume, detect, measure
from imaging.components import Components
from imaging.detection import Candidates
from imaging.synthetic import Ball, Box, Cylinder, Ellipsoid, Shell, Thing, correlated_noise, render

BACKGROUND_HU = 40.0
FWHM = np.sqrt(8 * np.log(2))


def largest(volume):
    """Measurements of the largest finding, thresholds by default, nothing left out; None without any."""
    detection = detect(volume, DetectionParams(separate=False))
    if not len(detection):
        return None
    table = measure(largest_only(detection))
    return table.iloc[0]


def largest_only(detection):
    """The detection with its largest component only: noise far away is not what is measured."""
    k = int(np.argmax(detection.components.n_voxels))
    found = detection.found.take(np.array([k]))
    return Detection(
        detection.volume, found, Candidates.plain(Components.empty(detection.volume.shape)), np.array([1]),
        detection.params, detection.thresholds,
    )  # fmt: skip


def axis(rng):
    """A random direction."""
    v = rng.normal(size=3)
    return tuple(float(c) for c in v / np.linalg.norm(v))


def scan(rng, thing, half_mm, slice_mm, pixel=(0.5, 0.9), psf=(0.7, 1.5), noise=(10.0, 20.0)):
    """An image of one thing with random pixel size, point spread and noise."""
    px = rng.uniform(*pixel)
    spacing = (slice_mm, px, px)
    shape = tuple(int(np.ceil(2 * (half_mm + 10) / s)) for s in spacing)
    return render(
        BACKGROUND_HU, [thing], shape, spacing, psf_fwhm_mm=rng.uniform(*psf), noise_sd=rng.uniform(*noise),
        seed=int(rng.integers(1 << 31)),
    ).volume  # fmt: skip


def centre(rng):
    """A place within the middle voxels."""
    return tuple(float(c) for c in rng.uniform(-1, 1, 3))


def ball(rng, slice_mm, diameter):
    """A ball, 300 to 1300 HU."""
    return scan(rng, Thing(Ball(centre(rng), diameter / 2), rng.uniform(300, 1300)), diameter / 2, slice_mm)


def plaques(rng, slice_mm, diameter, hu):
    """Four balls whose centres lie half a millimetre outside an enhanced vessel of 320 HU, in front of a spine."""
    px = rng.uniform(0.6, 0.8)
    spacing = (slice_mm, px, px)
    shape = tuple(round(mm / s) for mm, s in zip((100, 130, 130), spacing, strict=True))
    body = ((0, 0, 58), BACKGROUND_HU), ((-5, 0, 11), 320), ((0, 40, 9), 250)
    tissue = [Thing(Cylinder((x, y, 0), radius, 200), level) for (x, y, radius), level in body]
    turns = zip((-30, -10, 10, 30), rng.uniform(0, 2 * np.pi, 4), strict=True)
    balls = [Ball((-5 + 11.5 * np.cos(a), 11.5 * np.sin(a), z + rng.uniform(-1, 1)), diameter / 2) for z, a in turns]
    return render(
        tissue, [Thing(ball, hu) for ball in balls], shape, spacing, psf_fwhm_mm=rng.uniform(0.9, 1.5),
        noise_sd=rng.uniform(10, 15), seed=int(rng.integers(1 << 31)),
    ).volume  # fmt: skip


def shell(rng, slice_mm, wall, coverage):
    """A shell of 4 to 12 mm radius, and its outer radius."""
    radius = rng.uniform(max(4.0, 2 * wall + 1), 12.0)
    shape = Shell(centre(rng), radius, wall, coverage, axis(rng))
    return scan(rng, Thing(shape, rng.uniform(400, 1200)), radius, slice_mm), radius


def egg(rng, slice_mm, wall):
    """A whole ellipsoidal shell, longest semi-axis 7 to 12 mm, axis ratio 0.5 to 0.85, and that ratio.

    The semi-axes of its two surfaces differ by `wall`. Imaging is linear: the inner ellipsoid is taken off the outer.
    """
    longest, ratio, px, fwhm = rng.uniform(7, 12), rng.uniform(0.5, 0.85), rng.uniform(0.5, 0.9), rng.uniform(0.7, 1.5)
    radii = np.array([longest, longest * rng.uniform(ratio, 1.0), longest * ratio])
    place, turn, hu = centre(rng), tuple(rng.normal(size=3)), rng.uniform(400, 1200)
    shape = tuple(int(np.ceil(2 * (longest + 10) / s)) for s in (slice_mm, px, px))
    full, hollow = (
        render(
            0.0, [Thing(Ellipsoid(place, tuple(size), turn), hu)], shape, (slice_mm, px, px), psf_fwhm_mm=fwhm
        ).volume
        for size in (radii, radii - wall)
    )
    values = BACKGROUND_HU + full.array - hollow.array + correlated_noise(shape, rng.uniform(10, 20), rng)
    return Volume(values.round().astype(np.int16), full.affine), ratio


def sharp(rng, slice_mm):
    """Ball, box or cylinder of at least 5 mm with a border that only the scanner blurs."""
    place, radius = centre(rng), rng.uniform(2.5, 10)
    kind = rng.integers(3)
    if kind == 0:
        shape = Ball(place, radius)
    elif kind == 1:
        shape = Box(place, tuple(rng.uniform(5, 16, 3)), tuple(rng.normal(size=3)))
    else:
        shape = Cylinder(place, radius, rng.uniform(5, 20), axis(rng))
    return scan(rng, Thing(shape, rng.uniform(250, 1500)), 15, slice_mm, pixel=(0.4, 1.0), psf=(0.6, 1.8))


def hazy(rng, slice_mm, radius=None):
    """A ball whose border is a Gaussian ramp of 2 to 4 mm standard deviation: 5 to 10 mm from 10 to 90 %."""
    radius = rng.uniform(4, 10) if radius is None else radius
    sigma, px = rng.uniform(2, 4), rng.uniform(0.4, 1.0)
    fine, n = 5, [int(np.ceil(60 / s)) for s in (slice_mm, px, px)]
    z, y, x = (
        (np.arange(m) - (m - 1) / 2) * s - c
        for m, s, c in zip((n[0] * fine, n[1], n[2]), (slice_mm / fine, px, px), centre(rng), strict=True)
    )
    image = rng.uniform(250, 1500) * ndtr((radius - np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)) / sigma)
    image = image.reshape(n[0], fine, n[1], n[2]).mean(axis=1)  # the slice profile
    blur = rng.uniform(0.6, 1.8) / FWHM / px
    image = ndimage.gaussian_filter(image, (0, blur, blur)) + BACKGROUND_HU
    image += correlated_noise(image.shape, rng.uniform(5, 20), rng)
    return Volume.from_components(image.round().astype(np.int16), spacing=(slice_mm, px, px))
