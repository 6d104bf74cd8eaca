"""Regions of an ultrasound image: where it may be measured in mm, and where it may not.

Lengths in mm exist only inside a region of two-dimensional tissue whose units are cm and whose steps are positive
(PS3.3 C.8.5.5); PixelSpacing is not trusted, and nothing is assumed where the header is silent.
"""

from __future__ import annotations

from ..series import Region
from .elements import Elements, tags

TAGS = tags(
    "SequenceOfUltrasoundRegions RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0 "
    "RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1 ReferencePixelX0 ReferencePixelY0 "
    "PhysicalUnitsXDirection PhysicalUnitsYDirection PhysicalDeltaX PhysicalDeltaY"
)
TWO_DIMENSIONAL, TISSUE, CENTIMETRES = 1, 1, 3
MOST_REGIONS = 64
LARGEST_PIXEL_MM = 10.0
"""A pixel larger than this is no pixel of an ultrasound image: the step is damaged."""
OFF_BY_ONE = 1
"""Pixels by which a region may reach beyond the frame: some writers give the size for the last pixel."""


def regions(elements: Elements, rows: int, columns: int) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """The regions of an image that lie inside its frame, and flags.

    Parameters
    ----------
    elements : Elements
        The header, with `TAGS`.
    rows, columns : int
        Size of the frame.

    Returns
    -------
    regions : tuple of Region
        In the order of the file. Calibrated ones carry the size of a pixel in mm, others do not.
    flags : tuple of str
        ``region_clamped`` where one reached a pixel too far, ``region_dropped`` where one was not usable.
    """
    items = elements.items("SequenceOfUltrasoundRegions")
    kept = [region for item in items[:MOST_REGIONS] if (region := _region(item, rows, columns)) is not None]
    flags = ["region_clamped"] if any(region.clamped for region in kept) else []
    if len(kept) < len(items):
        flags.append("region_dropped")
    return tuple(kept), tuple(flags)


def _region(item: Elements, rows: int, columns: int) -> Region | None:
    """One region, or None if it is not one of this frame."""
    place = [item.integer(f"RegionLocation{end}") for end in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    if any(v is None for v in place):
        return None
    x0, y0, x1, y1 = (v for v in place if v is not None)
    beyond = max(x1 - (columns - 1), y1 - (rows - 1), -x0, -y0)
    if beyond > OFF_BY_ONE:
        return None
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, columns - 1), min(y1, rows - 1)
    if x0 >= x1 or y0 >= y1:
        return None
    spatial, data = item.integer("RegionSpatialFormat"), item.integer("RegionDataType")
    units = [item.integer(f"PhysicalUnits{axis}Direction") for axis in "XY"]
    deltas = [item.number(f"PhysicalDelta{axis}") for axis in "XY"]
    reference = item.integer("ReferencePixelX0"), item.integer("ReferencePixelY0")
    measurable = (spatial, data) == (TWO_DIMENSIONAL, TISSUE) and units == [CENTIMETRES, CENTIMETRES]
    lengths = [10 * d for d in deltas if d is not None and 0 < 10 * d <= LARGEST_PIXEL_MM]
    known = measurable and len(lengths) == 2
    return Region(
        spatial_format=spatial or 0,
        data_type=data or 0,
        flags=item.integer("RegionFlags") or 0,
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        units_x=units[0] or 0,
        units_y=units[1] or 0,
        delta_x_mm=lengths[0] if known else None,
        delta_y_mm=lengths[1] if known else None,
        clamped=beyond > 0,
        reference=(reference[0], reference[1]) if reference[0] is not None and reference[1] is not None else None,
    )
