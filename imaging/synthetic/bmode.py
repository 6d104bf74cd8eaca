"""B-mode phantoms: speckle of scatterers, attenuation, shadows, linear, curved and phased probes, burned-in text.

Scatterers are complex Gaussian noise on a grid of scan lines, weighted by their strength and blurred by the pulse
(Gaussian along and across the beam): the envelope of such a field is fully developed Rayleigh speckle (Wagner et al.
1983). What a target takes from the beam is taken, in dB, from everything behind it. The log-compressed envelope is
scan-converted to a frame whose pixels need not be square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .scene import FLAT, Motion, Probe, Target, calcification, cyst, interface, vessel

Array = NDArray[np.float64]
_AXIAL_MM = 0.06
_LINES = 384
__all__ = [
    "Bmode", "Motion", "Probe", "Scanner", "Target", "calcification", "cyst", "interface", "render_bmode", "vessel",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bmode:
    """A frame and what is true of it.

    Parameters
    ----------
    image : (rows, columns) or (rows, columns, 3) ndarray of uint8
    pixel_mm : (row, column)
        Height and width of a pixel.
    box : (x0, y0, x1, y1)
        Region of tissue, inclusive pixels, as in a DICOM header.
    probe : Probe
    targets : tuple of Target
    places : (n, 2) ndarray
        Row and column of the centre of each target.
    overlay : (rows, columns) ndarray of bool
        Text, calipers and bars.
    """

    image: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    box: tuple[int, int, int, int]
    probe: Probe
    targets: tuple[Target, ...]
    places: Array
    overlay: NDArray[np.bool_]


@dataclass(frozen=True)
class Scanner:
    """How the image is made: all in mm and dB.

    Parameters
    ----------
    axial_mm, lateral_mm : float
        Full width at half maximum of the pulse along the beam, and across it at the focus.
    dynamic_db : float
        Range between black and white.
    tissue_grey : float
        Grey of the mean of the tissue, 0 to 255.
    slope_db_per_cm : float
        What time gain compensation leaves of attenuation (positive: darker with depth).
    noise_db : float
        Electronic noise below the tissue near the probe; it grows with depth by `noise_growth_db_per_cm`.
    texture_db : float
        Spread of slow changes of echogenicity.
    """

    axial_mm: float = 0.35
    lateral_mm: float = 0.8
    dynamic_db: float = 60.0
    tissue_grey: float = 95.0
    slope_db_per_cm: float = 0.5
    noise_db: float = 45.0
    noise_growth_db_per_cm: float = 1.0
    texture_db: float = 1.5


def render_bmode(
    probe: Probe,
    targets: Sequence[Target] = (),
    *,
    pixel_mm: tuple[float, float] = (0.1, 0.1),
    scanner: Scanner | None = None,
    margin: tuple[int, int] = (40, 70),
    text: Sequence[tuple[str, float, float]] = (),
    calipers: Sequence[tuple[float, float]] = (),
    colour: bool = False,
    seed: int = 0,
) -> Bmode:
    """One frame.

    Parameters
    ----------
    probe : Probe
    targets : sequence of Target
    pixel_mm : (row, column)
        Height and width of a pixel, mm.
    scanner : Scanner, optional
    margin : (rows, columns)
        Black pixels round the field of view, which hold a scale, a grey bar and text.
    text : sequence of (text, row, column)
        Written into the frame; places as shares (0 to 1) of its size.
    calipers : sequence of (row, column)
        Plus signs, as shares.
    colour : bool
        RGB instead of grey; text and calipers are then yellow.
    seed : int
        Of the random numbers: the same frame every time.
    """
    scanner = scanner or Scanner()
    rng = np.random.default_rng(seed)
    decibels = _scan_lines(probe, targets, scanner, rng)
    grey = scanner.tissue_grey + decibels * 255.0 / scanner.dynamic_db
    rows, columns, line, depth = _pixels(probe, pixel_mm, margin)
    inside = (np.abs(line) <= 1) & (depth >= 0) & (depth <= probe.depth_mm)
    at = np.stack([depth / probe.depth_mm * (grey.shape[0] - 1), (line + 1) / 2 * (grey.shape[1] - 1)])
    frame = np.where(inside, np.clip(ndimage.map_coordinates(grey, at, order=1, mode="nearest"), 1, 255), 0)
    overlay = _overlay(rows, columns, margin, probe, pixel_mm, text, calipers)
    image = np.where(overlay, 235, np.rint(frame)).astype(np.uint8)
    if colour:
        image = np.repeat(image[..., None], 3, axis=-1)
        image[overlay] = (235, 220, 40)
    box = (margin[1], margin[0], columns - margin[1] - 1, rows - margin[0] - 1)
    places = np.array([_place(probe, t, pixel_mm, margin, columns) for t in targets]).reshape(-1, 2)
    return Bmode(image, pixel_mm, box, probe, tuple(targets), places, overlay)


def _scan_lines(probe: Probe, targets: Sequence[Target], scanner: Scanner, rng: np.random.Generator) -> Array:
    """Envelope in dB over the mean of the tissue near the probe, (depth, line)."""
    n = round(probe.depth_mm / _AXIAL_MM)
    depth = (np.arange(n) + 0.5)[:, None] * (probe.depth_mm / n)
    line: Array = np.linspace(-1, 1, _LINES)[None, :]
    slow = ndimage.gaussian_filter(rng.normal(size=(n // 8 + 1, _LINES // 8 + 1)), 6)
    slow = ndimage.zoom(slow / max(slow.std(), 1e-9), (n / slow.shape[0], _LINES / slow.shape[1]), order=1)
    strength = scanner.texture_db * slow[:n, :_LINES]
    surface, passed = np.zeros((n, _LINES)), np.zeros((n, _LINES))
    for target in targets:
        # Measured along the front at the depth of the target: what lies behind it keeps to its scan lines.
        lateral = probe.lateral_mm(line, np.full(line.shape, target.depth_mm))
        across = (lateral - target.lateral_mm) / (target.width_mm / 2) + 0 * depth
        along = (depth - target.depth_mm - target.sag_mm * (0.5 - across**2)) / (target.height_mm / 2)
        inside = across**2 + along**2 <= 1
        if target.kind in FLAT:
            inside = (np.abs(across) <= 1) & (np.abs(along) <= 1)
        strength = np.where(inside, target.echo_db + 0.3 * strength, strength)
        if target.coherent_db > -90:
            surface = np.where(inside, 10 ** (target.coherent_db / 20), surface)
        chord = np.sqrt(np.clip(1 - across**2, 0, 1))
        if target.kind in FLAT:
            chord = np.ones_like(chord)
        elif target.behind_db < 0:  # calcium shadows to its very edge
            chord = np.minimum(1.0, 4 * chord)
        passed += target.behind_db * np.where(along > 0, chord, 0) * (np.abs(across) <= 1)
    field = (rng.normal(size=(n, _LINES)) + 1j * rng.normal(size=(n, _LINES))) / np.sqrt(2)
    field = field * 10 ** (strength / 20)
    sigma = (_fwhm(scanner.axial_mm) / _AXIAL_MM, _fwhm(scanner.lateral_mm) / (probe.focus_width_mm / (_LINES - 1)))
    norm = np.sqrt(4 * np.pi * sigma[0] * sigma[1])  # keeps the power of white noise
    blurred = ndimage.gaussian_filter(field.real, sigma) + 1j * ndimage.gaussian_filter(field.imag, sigma)
    echoes = blurred * norm + ndimage.gaussian_filter(surface, sigma)
    loss = ndimage.gaussian_filter1d(10 ** (passed / 20), sigma[1], axis=1)
    gain = 10 ** (-scanner.slope_db_per_cm * depth / 10 / 20)
    noise = 10 ** ((-scanner.noise_db + scanner.noise_growth_db_per_cm * depth / 10) / 20)
    static = (rng.normal(size=(n, _LINES)) + 1j * rng.normal(size=(n, _LINES))) / np.sqrt(2) * noise
    envelope = np.abs(echoes * loss * gain + static)
    return np.asarray(20 * np.log10(np.maximum(envelope, 1e-6)))


def _fwhm(width: float) -> float:
    return width / 2.3548


def _pixels(probe: Probe, pixel_mm: tuple[float, float], margin: tuple[int, int]) -> tuple[int, int, Array, Array]:
    """Size of the frame, and line (-1 to 1) and depth, mm, of each pixel centre."""
    dy, dx = pixel_mm
    if probe.kind == "linear":
        height, width = probe.depth_mm, probe.width_mm
    else:
        far = probe.radius_mm + probe.depth_mm
        height = far - probe.radius_mm * np.cos(probe.half_angle)
        width = 2 * far * np.sin(probe.half_angle)
    rows, columns = round(height / dy) + 2 * margin[0], round(width / dx) + 2 * margin[1]
    y = (np.arange(rows)[:, None] - margin[0] + 0.5) * dy
    x = (np.arange(columns)[None, :] - (columns - 1) / 2) * dx
    if probe.kind == "linear":
        return rows, columns, x / (probe.width_mm / 2) + 0 * y, y + 0 * x
    down = y + probe.radius_mm * np.cos(probe.half_angle)
    return rows, columns, np.arctan2(x, down) / probe.half_angle, np.hypot(x, down) - probe.radius_mm


def _place(
    probe: Probe, target: Target, pixel_mm: tuple[float, float], margin: tuple[int, int], columns: int
) -> tuple[float, float]:
    """Row and column of a target's centre."""
    dy, dx = pixel_mm
    middle = (columns - 1) / 2
    if probe.kind == "linear":
        return target.depth_mm / dy + margin[0] - 0.5, target.lateral_mm / dx + middle
    radius = probe.radius_mm + target.depth_mm
    angle = target.lateral_mm / radius
    down = radius * np.cos(angle) - probe.radius_mm * np.cos(probe.half_angle)
    return down / dy + margin[0] - 0.5, radius * np.sin(angle) / dx + middle


def _overlay(
    rows: int,
    columns: int,
    margin: tuple[int, int],
    probe: Probe,
    pixel_mm: tuple[float, float],
    text: Sequence[tuple[str, float, float]],
    calipers: Sequence[tuple[float, float]],
) -> NDArray[np.bool_]:
    """Depth ticks, grey bar and device text in the margin; text and calipers wherever they are wanted."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (columns, rows))
    pen = ImageDraw.Draw(canvas)
    for cm in range(int(probe.depth_mm // 10) + 1):
        y = margin[0] + cm * 10 / pixel_mm[0]
        pen.line([(columns - margin[1] // 2, y), (columns - margin[1] // 2 + 6, y)], fill=1)
    pen.rectangle([6, margin[0], 14, margin[0] + rows // 4], fill=1)
    pen.text((4, 4), "SYNTHETIC B-MODE", fill=1)
    for words, row, column in text:
        pen.text((column * columns, row * rows), words, fill=1)
    for row, column in calipers:
        x, y = round(column * columns), round(row * rows)
        pen.line([(x - 5, y), (x + 5, y)], fill=1)
        pen.line([(x, y - 5), (x, y + 5)], fill=1)
    return np.array(canvas, dtype=bool)
