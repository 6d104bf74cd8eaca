"""A picture in a page: grey pixels as they were measured, and over them lines that stay lines at every size.

The grey image is embedded at the resolution of the scan and stretched by the browser; outlines are paths along the
edges of its pixels, so that a page can show, hide and colour them. Panels are plain values: they go through JSON, and a
template turns them into SVG.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drawing import Window
from .views import outlines

QUALITY = 90
MOST_PIXELS = 512
"""Larger images are reduced to so many pixels along their longer side."""
BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
BAR_SHARE = 0.3
"""A scale bar takes at most this share of the width."""
_IMAGE = re.compile(r"data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+=*")
_PATH = re.compile(r"[MLHVmlhvZz0-9 .,-]*")


@dataclass(frozen=True)
class Stroke:
    """Lines over an image: ``kind`` says what they are (finding, other, excluded, shadow, beam), ``d`` where (SVG)."""

    kind: str
    d: str


@dataclass(frozen=True)
class Label:
    """The number of a finding beside it, px."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Panel:
    """One picture of a scan.

    Parameters
    ----------
    caption : str
        Plane, place and window.
    width, height : float
        Size as designed, px; a page may show it smaller or larger.
    image : str
        Data URI.
    box : (left, top, width, height)
        Where the image lies, px.
    pixel : (float, float)
        Size of a pixel of the scan, px: strokes count in pixels of the scan from the corner of the image.
    strokes : tuple of Stroke
    letters : tuple of str
        Patient directions at the left, right, top and bottom; empty where they are not known.
    bar : (float, str)
        Length of the scale bar, px, and what it stands for.
    labels : tuple of Label
    """

    caption: str
    width: float
    height: float
    image: str
    box: tuple[float, float, float, float]
    pixel: tuple[float, float]
    strokes: tuple[Stroke, ...] = ()
    letters: tuple[str, ...] = ()
    bar: tuple[float, str] = (0.0, "")
    labels: tuple[Label, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Panel:
        """A panel from plain values that may have been edited since.

        Raises
        ------
        ValueError, KeyError, TypeError
            Not a panel, or an image or path that is none.
        """
        image, strokes = values["image"], tuple(Stroke(str(s["kind"]), str(s["d"])) for s in values["strokes"])
        if not _IMAGE.fullmatch(image):
            raise ValueError("not an image")
        if not all(_PATH.fullmatch(s.d) and re.fullmatch("[a-z]+", s.kind) for s in strokes):
            raise ValueError("not a path")
        left, top, wide, high = map(float, values["box"])
        across, down = map(float, values["pixel"])
        length, meaning = values["bar"]
        return cls(
            str(values["caption"]),
            float(values["width"]),
            float(values["height"]),
            image,
            (left, top, wide, high),
            (across, down),
            strokes,
            tuple(str(letter) for letter in values["letters"]),
            (float(length), str(meaning)),
            tuple(Label(str(v["text"]), float(v["x"]), float(v["y"])) for v in values["labels"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def windowed(image: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """HU as grey levels of a window."""
    low, high = window.limits
    grey = (image.astype(np.float32) - low) * (255 / (high - low))
    return np.asarray(np.rint(np.clip(grey, 0, 255)), np.uint8)


def encode(image: NDArray[np.uint8], quality: int = QUALITY, most: int = MOST_PIXELS) -> str:
    """A grey or RGB image as a data URI of a JPEG."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    shrink = max(picture.size) / most
    if shrink > 1:
        size = (max(1, round(picture.width / shrink)), max(1, round(picture.height / shrink)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def edge_path(labels: NDArray[np.int32]) -> str:
    """The borders of a label image along the edges of its pixels, but not along the edge of the image itself."""
    if not labels.any():
        return ""
    down, across = labels.shape
    lines = outlines(labels, (1.0, 1.0)).astype(np.int64)
    first, last = lines[:, 0], lines[:, 1]
    upright = first[:, 0] == last[:, 0]
    inner = np.where(upright, (first[:, 0] % across) != 0, (first[:, 1] % down) != 0)
    parts = [
        f"M{x} {y}v{v - y}" if u == x else f"M{x} {y}h{u - x}"
        for (x, y), (u, v) in zip(first[inner].tolist(), last[inner].tolist(), strict=True)
    ]
    return "".join(parts)


def line_path(x: Sequence[float] | NDArray[Any], y: Sequence[float] | NDArray[Any]) -> str:
    """A line through points, pixels."""
    return "M" + "L".join(f"{u:.1f} {v:.1f}" for u, v in zip(x, y, strict=True))


def scale_bar(px_per_unit: float, width: float, unit: str) -> tuple[float, str]:
    """The longest bar of a round length that takes at most `BAR_SHARE` of the width."""
    length = max((n for n in BARS if n * px_per_unit <= BAR_SHARE * width), default=BARS[0])
    return round(length * px_per_unit, 2), f"{length} {unit}"
