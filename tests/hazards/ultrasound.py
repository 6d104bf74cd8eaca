"""Ultrasound hazards: calibrated regions that lie, colour, cines. Read with the right size of a pixel, or refused.

Where the loader keeps regions (`Series.regions`) they have to be what the case says: the box inside the frame, and
the size of a pixel only where lengths in mm may be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from ..dicom_files import dataset, save
from .corpus import us

US = "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTI = "1.2.840.10008.5.1.4.1.1.3.1"
ROWS, COLUMNS = 60, 80
CM, SECONDS, HERTZ, CM_PER_SECOND = 3, 4, 5, 7
DELTA_CM = 0.025


@dataclass(frozen=True)
class Kept:
    """A region that has to be kept: columns and rows of its first and last pixel, mm per pixel or None."""

    box: tuple[int, int, int, int]
    delta_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Ultrasound:
    """What has to come of an ultrasound case.

    Parameters
    ----------
    regions : sequence of Kept
        In the order of the file.
    flags : tuple of str
        Flags of the series.
    left : mapping of reason code to number of files
        What no series uses.
    series : int
        Number of series: one for each file.
    refused : tuple of str
        Reasons of those that are refused.
    """

    regions: Sequence[Kept] = ()
    flags: tuple[str, ...] = ()
    left: tuple[tuple[str, int], ...] = ()
    series: int = 1
    refused: tuple[str, ...] = ()


def region(
    box: Sequence[int | None] = (10, 5, 69, 54),
    delta: Sequence[float | None] = (DELTA_CM, DELTA_CM),
    units: Sequence[int | None] = (CM, CM),
    spatial: int | None = 1,
    data: int | None = 1,
    **elements: Any,
) -> Dataset:
    """An item of SequenceOfUltrasoundRegions; None leaves an element out."""
    item = Dataset()
    values = {
        "RegionSpatialFormat": spatial,
        "RegionDataType": data,
        "RegionFlags": 0,
        "RegionLocationMinX0": box[0],
        "RegionLocationMinY0": box[1],
        "RegionLocationMaxX1": box[2],
        "RegionLocationMaxY1": box[3],
        "PhysicalUnitsXDirection": units[0],
        "PhysicalUnitsYDirection": units[1],
        "PhysicalDeltaX": delta[0],
        "PhysicalDeltaY": delta[1],
        **elements,
    }
    for name, value in values.items():
        if value is not None:
            setattr(item, name, value)
    return item


def frame(samples: int = 1, frames: int = 1) -> np.ndarray:
    """Grey or colour, (frames, rows, columns, samples), uint8."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    grey = (40 + (x * 3 + y * 2) % 150).astype("u1")
    stack = np.stack([np.roll(grey, k, axis=1) for k in range(frames)])
    return np.repeat(stack[..., None], samples, axis=-1)


def write(
    folder: Path,
    *regions: Dataset,
    name: str = "us.dcm",
    values: np.ndarray | None = None,
    photometric: str = "MONOCHROME2",
    **elements: Any,
) -> Any:
    """An ultrasound image or cine as a file; returns its data set."""
    values = frame() if values is None else values
    frames, rows, columns, samples = values.shape
    ds = dataset(
        np.zeros((rows, columns), int),
        None,
        orientation=None,
        slope=None,
        intercept=None,
        instance=name,
        SOPClassUID=US if frames == 1 else US_MULTI,
        Modality="US",
        PixelSpacing=None,
        SliceThickness=None,
        KVP=None,
        ConvolutionKernel=None,
        PhotometricInterpretation=photometric,
    )
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit = samples, 8, 8, 7
    if samples > 1:
        ds.PlanarConfiguration = 0
    if frames > 1:
        ds.NumberOfFrames = frames
    ds.PixelData = values.tobytes()
    if regions:
        ds.SequenceOfUltrasoundRegions = DicomSequence(list(regions))
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    save(ds, folder / name)
    return ds


BOX = (10, 5, 69, 54)
GOOD = Kept(BOX, (0.25, 0.25))
PLAIN = Kept(BOX)
DROPPED = ("region_dropped",)


@us
def us_calibrated(folder: Path) -> Ultrasound:
    """One region of tissue in cm."""
    write(folder, region())
    return Ultrasound([GOOD])


@us
def us_without_regions(folder: Path) -> Ultrasound:
    """No region: nothing is known about mm."""
    write(folder)
    return Ultrasound()


@us
def us_pixel_spacing_only(folder: Path) -> Ultrasound:
    """PixelSpacing and no region: PixelSpacing is no calibration of ultrasound."""
    write(folder, PixelSpacing=[0.3, 0.3])
    return Ultrasound()


@us
def us_pixel_spacing_contradicts(folder: Path) -> Ultrasound:
    """PixelSpacing 1 mm beside a region of 0.25 mm: the region holds."""
    write(folder, region(), PixelSpacing=[1, 1])
    return Ultrasound([GOOD])


@us
def us_two_regions_of_tissue(folder: Path) -> Ultrasound:
    """Two images side by side, with steps of their own."""
    write(folder, region((0, 0, 39, 59)), region((40, 0, 79, 59), (0.05, 0.04)))
    return Ultrasound([Kept((0, 0, 39, 59), (0.25, 0.25)), Kept((40, 0, 79, 59), (0.5, 0.4))])


@us
def us_overlapping_regions(folder: Path) -> Ultrasound:
    """Two regions that share pixels and contradict each other."""
    write(folder, region((0, 0, 59, 59)), region((40, 0, 79, 59), (0.05, 0.05)))
    return Ultrasound([Kept((0, 0, 59, 59), (0.25, 0.25)), Kept((40, 0, 79, 59), (0.5, 0.5))])


@us
def us_region_one_pixel_too_large(folder: Path) -> Ultrasound:
    """The last pixel is given as the size of the frame: off by one, clamped."""
    write(folder, region((0, 0, COLUMNS, ROWS)))
    return Ultrasound([Kept((0, 0, COLUMNS - 1, ROWS - 1), (0.25, 0.25))], ("region_clamped",))


@us
def us_region_far_outside(folder: Path) -> Ultrasound:
    """A region of a larger image, as after a resize that forgot it."""
    write(folder, region((0, 0, 594, 413)))
    return Ultrasound(flags=DROPPED)


@us
def us_region_beside_the_frame(folder: Path) -> Ultrasound:
    """A region that begins right of the image."""
    write(folder, region((200, 5, 260, 54)))
    return Ultrasound(flags=DROPPED)


@us
def us_region_inside_out(folder: Path) -> Ultrasound:
    """First and last pixel swapped."""
    write(folder, region((69, 54, 10, 5)))
    return Ultrasound(flags=DROPPED)


@us
def us_region_of_one_pixel(folder: Path) -> Ultrasound:
    """A region without extent."""
    write(folder, region((10, 10, 10, 10)))
    return Ultrasound(flags=DROPPED)


@us
def us_region_without_box(folder: Path) -> Ultrasound:
    """A region that does not say where it ends."""
    write(folder, region((10, 5, None, 54)))
    return Ultrasound(flags=DROPPED)


@us
def us_region_beyond_32_bits(folder: Path) -> Ultrasound:
    """A region that ends at pixel 4294967295."""
    write(folder, region((0, 0, 2**32 - 1, 2**32 - 1)))
    return Ultrasound(flags=DROPPED)


@us
def us_units_none(folder: Path) -> Ultrasound:
    """A region of tissue whose units are none."""
    write(folder, region(units=(0, 0)))
    return Ultrasound([PLAIN])


@us
def us_units_differ(folder: Path) -> Ultrasound:
    """Units cm along x, seconds along y."""
    write(folder, region(units=(CM, SECONDS)))
    return Ultrasound([PLAIN])


@us
def us_units_missing(folder: Path) -> Ultrasound:
    """A region without units."""
    write(folder, region(units=(None, None)))
    return Ultrasound([PLAIN])


@us
def us_deltas_missing(folder: Path) -> Ultrasound:
    """A region in cm without steps."""
    write(folder, region(delta=(None, None)))
    return Ultrasound([PLAIN])


@us
def us_delta_zero(folder: Path) -> Ultrasound:
    """A step of 0 cm."""
    write(folder, region(delta=(0.0, DELTA_CM)))
    return Ultrasound([PLAIN])


@us
def us_delta_negative(folder: Path) -> Ultrasound:
    """A negative step."""
    write(folder, region(delta=(DELTA_CM, -DELTA_CM)))
    return Ultrasound([PLAIN])


@us
def us_delta_not_a_number(folder: Path) -> Ultrasound:
    """A step that is no number."""
    write(folder, region(delta=(float("nan"), float("inf"))))
    return Ultrasound([PLAIN])


@us
def us_delta_absurd(folder: Path) -> Ultrasound:
    """A step of 25 cm a pixel: metres were written as cm."""
    write(folder, region(delta=(25.0, 25.0)))
    return Ultrasound([PLAIN])


@us
def us_not_square(folder: Path) -> Ultrasound:
    """Pixels twice as high as wide."""
    write(folder, region(delta=(0.02, 0.04)))
    return Ultrasound([Kept(BOX, (0.2, 0.4))])


@us
def us_m_mode(folder: Path) -> Ultrasound:
    """An M-mode trace: seconds across, cm down."""
    write(folder, region(spatial=2, units=(SECONDS, CM)))
    return Ultrasound([PLAIN], refused=("no_tissue",))


@us
def us_m_mode_called_cm(folder: Path) -> Ultrasound:
    """An M-mode trace that claims cm in both directions."""
    write(folder, region(spatial=2))
    return Ultrasound([PLAIN], refused=("no_tissue",))


@us
def us_spectral_doppler(folder: Path) -> Ultrasound:
    """Tissue above, a pulsed-wave Doppler trace below."""
    trace = region((0, 40, 79, 59), spatial=3, data=3, units=(SECONDS, CM_PER_SECOND))
    write(folder, region((0, 0, 79, 39)), trace)
    return Ultrasound([Kept((0, 0, 79, 39), (0.25, 0.25)), Kept((0, 40, 79, 59))])


@us
def us_colour_flow(folder: Path) -> Ultrasound:
    """A colour-flow box within the tissue: its colours are no echo."""
    write(folder, region(), region((20, 10, 50, 40), data=2), values=frame(3), photometric="RGB")
    return Ultrasound([GOOD, Kept((20, 10, 50, 40))])


@us
def us_graphics_region(folder: Path) -> Ultrasound:
    """A grey bar as a region of graphics."""
    write(folder, region((0, 0, 5, 59), spatial=5, data=0xA, units=(0, 0)), region())
    return Ultrasound([Kept((0, 0, 5, 59)), GOOD])


@us
def us_rgb(folder: Path) -> Ultrasound:
    """RGB."""
    write(folder, region(), values=frame(3), photometric="RGB")
    return Ultrasound([GOOD])


@us
def us_ybr_full_422(folder: Path) -> Ultrasound:
    """YBR_FULL_422 uncompressed: two samples a pixel in the file where three are announced."""
    values = np.repeat(frame(1)[:, :, : COLUMNS // 2], 4, axis=-1).reshape(1, -1)
    ds = write(folder, region(), values=frame(3), photometric="YBR_FULL_422")
    ds.PixelData = values.tobytes()
    save(ds, folder / "us.dcm")
    return Ultrasound([GOOD])


@us
def us_palette(folder: Path) -> Ultrasound:
    """PALETTE COLOR: pixels are indices."""
    table = (np.arange(256, dtype="<u2") * 257).tobytes()
    names = [f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")]
    write(folder, region(), photometric="PALETTE COLOR", **{n: [256, 0, 16] if "Desc" in n else table for n in names})
    return Ultrasound([GOOD])


@us
def us_cine(folder: Path) -> Ultrasound:
    """Twelve frames."""
    write(folder, region(), values=frame(1, 12))
    return Ultrasound([GOOD])


@us
def us_cine_without_frame_count(folder: Path) -> Ultrasound:
    """Twelve frames, and NumberOfFrames is absent."""
    write(folder, region(), values=frame(1, 12), NumberOfFrames=None)
    return Ultrasound([GOOD])


@us
def us_cine_rle_colour(folder: Path) -> Ultrasound:
    """A colour cine of RLE frames without segments."""
    ds = write(folder, region(), values=frame(3, 3), photometric="RGB")
    ds.PixelData = encapsulate([bytes(64) for _ in range(3)])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = RLELossless
    save(ds, folder / "us.dcm")
    return Ultrasound([GOOD], refused=("codec",))


@us
def us_jpeg(folder: Path) -> Ultrasound:
    """JPEG Baseline in colour."""
    ds = write(folder, region(), values=frame(3), photometric="YBR_FULL_422")
    ds.PixelData = encapsulate([imagecodecs.jpeg8_encode(frame(3)[0])])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    save(ds, folder / "us.dcm")
    return Ultrasound([GOOD])


@us
def us_reference_pixel_outside(folder: Path) -> Ultrasound:
    """The reference pixel lies above the region, where a curved probe has its centre."""
    write(folder, region(ReferencePixelX0=30, ReferencePixelY0=-12))
    return Ultrasound([GOOD])


@us
def us_two_images(folder: Path) -> Ultrasound:
    """Two images of one series with other steps: regions belong to images."""
    write(folder, region(), name="a.dcm")
    write(folder, region(delta=(0.05, 0.05)), name="b.dcm")
    return Ultrasound([GOOD, Kept(BOX, (0.5, 0.5))], series=2)


@us
def us_volume(folder: Path) -> Ultrasound:
    """An enhanced ultrasound volume."""
    write(folder, values=frame(1, 4), SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2")
    return Ultrasound(refused=("unsupported_modality",))


@us
def us_called_ct(folder: Path) -> Ultrasound:
    """An ultrasound object whose Modality says CT: the class decides."""
    write(folder, region(), Modality="CT")
    return Ultrasound([GOOD])


@us
def us_many_regions(folder: Path) -> Ultrasound:
    """A thousand regions: no image has them."""
    write(folder, *[region() for _ in range(1000)])
    return Ultrasound([GOOD], DROPPED)


@us
def us_truncated(folder: Path) -> Ultrasound:
    """The file ends within its pixels."""
    write(folder, region())
    file = folder / "us.dcm"
    file.write_bytes(file.read_bytes()[:-2000])
    return Ultrasound([GOOD], refused=("truncated",))


@us
def us_screen_capture(folder: Path) -> Ultrasound:
    """A screen capture of an ultrasound machine as Secondary Capture."""
    write(folder, region(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    return Ultrasound(left=(("secondary_capture", 1),), series=0)
