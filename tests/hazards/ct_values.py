"""CT hazards of value: rescale, bits, padding, what is not HU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement

from .corpus import Expected, Stack, ct, truth, write

STACK = Stack()
NOT_HU = ("not_hu",)
NO_RESCALE = ("no_rescale",)


def _words(ds: Any) -> Any:
    return np.frombuffer(ds.PixelData, "<u2")


@ct
def rescale_absent_and_stored_hu(folder: Path) -> Expected:
    """No rescale; the stored values are HU: their histogram says so, the header does not."""
    found = write(folder, slope=None, intercept=None, signed=True)
    return Expected(refused=NO_RESCALE, physical=[found])


@ct
def rescale_absent_and_stored_hu_plus_1024(folder: Path) -> Expected:
    """No rescale; the stored values are HU + 1024: everything would be above 100 HU."""
    found = write(folder, slope=None, intercept=None, hu=STACK.hu() + 1024)
    return Expected(refused=NO_RESCALE, physical=[replace(found, hu=STACK.hu())])


@ct
def rescale_absent_in_one_slice(folder: Path) -> Expected:
    """One slice has no rescale."""
    found = write(folder, change=lambda ds, k: ds.__delattr__("RescaleIntercept") if k == 8 else None)
    return Expected(refused=NO_RESCALE, physical=[found])


@ct
def rescale_varies(folder: Path) -> Expected:
    """Slope and intercept differ from slice to slice."""
    hu = STACK.hu() // 2 * 2
    return Expected([write(folder, hu=hu, each=lambda k: {"slope": 1 + k % 2, "intercept": -1024 - 2 * k})])


@ct
def slope_of_a_half(folder: Path) -> Expected:
    """Slope 0.5: two stored steps are one HU."""
    return Expected([write(folder, hu=STACK.hu() + 0.5, slope=0.5)])


@ct
def slope_with_many_digits(folder: Path) -> Expected:
    """A slope that is no binary fraction."""

    def stored(ds: Any, k: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = "0.0246", "-1024"

    found = write(
        folder, hu=np.rint(np.rint((STACK.hu() + 1024) / 0.0246)) * 0.0246 - 1024, slope=0.0246, change=stored
    )
    return Expected([replace(found, hu_tolerance=1e-4)])  # float32 of values up to 1424


@ct
def fractional_intercept(folder: Path) -> Expected:
    """Slope 1, intercept -1024.5."""
    return Expected([write(folder, hu=STACK.hu() + 0.5, intercept=-1024.5)])


@ct
def slope_zero(folder: Path) -> Expected:
    """Slope 0 makes every voxel the same."""
    found = write(folder, change=lambda ds, k: setattr(ds, "RescaleSlope", 0))
    return Expected(refused=NO_RESCALE, physical=[found])


@ct
def slope_negative(folder: Path) -> Expected:
    """Slope -1 turns the image inside out."""
    found = write(folder, change=lambda ds, k: setattr(ds, "RescaleSlope", -1))
    return Expected(refused=NO_RESCALE, physical=[found])


@ct
def rescale_with_a_decimal_comma(folder: Path) -> Expected:
    """RescaleIntercept is "-1024,0"."""

    def comma(ds: Any, k: int) -> None:
        ds["RescaleIntercept"] = DataElement(0x00281052, "LO", "-1024,0")

    return Expected(refused=NO_RESCALE, physical=[write(folder, change=comma)])


@ct
def rescale_that_is_none(folder: Path) -> Expected:
    """Slope 1, intercept 0 on stored values of HU + 1024: the histogram gives the wrong intercept away."""
    found = write(folder, hu=STACK.hu() + 1024, intercept=0)
    return Expected(refused=NOT_HU, physical=[replace(found, hu=STACK.hu())])


@ct
def negative_values_called_unsigned(folder: Path) -> Expected:
    """HU stored signed, PixelRepresentation says unsigned: air becomes 64536."""
    found = write(folder, signed=True, intercept=0, PixelRepresentation=0)
    return Expected(refused=NOT_HU, physical=[found])


@ct
def twelve_bits_unsigned(folder: Path) -> Expected:
    """12 of 16 bits stored, unsigned."""
    return Expected([write(folder, bits=12)])


@ct
def twelve_bits_signed(folder: Path) -> Expected:
    """12 of 16 bits stored, signed: the sign is in bit 11."""
    return Expected([write(folder, bits=12, signed=True, intercept=0)])


@ct
def sixteen_bits_signed(folder: Path) -> Expected:
    """HU stored signed in 16 bits, intercept 0."""
    return Expected([write(folder, signed=True, intercept=0)])


@ct
def garbage_above_the_stored_bits(folder: Path) -> Expected:
    """The four bits above the stored twelve hold noise."""
    rng = np.random.default_rng(4)

    def garbage(ds: Any, k: int) -> None:
        stored = _words(ds)
        ds.PixelData = (stored | (rng.integers(0, 16, stored.shape) << 12).astype("<u2")).tobytes()

    return Expected([write(folder, bits=12, change=garbage)])


@ct
def overlay_in_the_high_bits(folder: Path) -> Expected:
    """An overlay plane in bit 15 of the pixels of 12 signed bits, as old scanners draw it."""

    def overlay(ds: Any, k: int) -> None:
        stored = _words(ds)
        plane = (np.arange(stored.size) % 7 == 0).astype("<u2") << 15
        ds.PixelData = (stored | plane.astype("<u2")).tobytes()
        ds.add_new(0x60000010, "US", ds.Rows)
        ds.add_new(0x60000011, "US", ds.Columns)
        ds.add_new(0x60000040, "CS", "G")
        ds.add_new(0x60000100, "US", 16)
        ds.add_new(0x60000102, "US", 15)

    return Expected([write(folder, bits=12, signed=True, intercept=0, change=overlay)])


@ct
def high_bit_fifteen(folder: Path) -> Expected:
    """12 bits stored at the top of 16."""

    def shifted(ds: Any, k: int) -> None:
        ds.PixelData = (_words(ds) << 4).astype("<u2").tobytes()
        ds.HighBit = 15

    return Expected([write(folder, bits=12, change=shifted)])


@ct
def thirty_two_bits(folder: Path) -> Expected:
    """32 bits allocated and stored."""

    def wide(ds: Any, k: int) -> None:
        ds.PixelData = _words(ds).astype("<u4").tobytes()
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31

    return Expected([write(folder, change=wide)])


@ct
def float_pixels(folder: Path) -> Expected:
    """FloatPixelData instead of PixelData: not an encoding of CT."""

    def floating(ds: Any, k: int) -> None:
        values = _words(ds).astype("<f4").tobytes()
        del ds.PixelData
        ds.add_new(0x7FE00008, "OF", values)
        ds.BitsAllocated = 32

    return Expected(refused=("no_pixels",), physical=[write(folder, change=floating)])


OUTSIDE = np.hypot(*np.mgrid[-19.5:20, -17.5:18]) > 17
"""Corners that the round field of view does not reach."""


def _padded(level: int) -> Any:
    return np.where(OUTSIDE, level, STACK.hu())


def _padded_truth(level: int) -> Any:
    valid = np.broadcast_to(~OUTSIDE, STACK.shape)
    return truth(STACK, "padded", hu=_padded(level), valid=valid)


@ct
def padding_minus_2000(folder: Path) -> Expected:
    """Corners are filled with stored -2000, which the rescale makes -3024 HU; no tag says so."""
    write(folder, hu=_padded(-3024), signed=True)
    return Expected([_padded_truth(-3024)])


@ct
def padding_value(folder: Path) -> Expected:
    """PixelPaddingValue names the fill of the corners, -1024 HU."""
    write(folder, hu=_padded(-1024), PixelPaddingValue=0)
    return Expected([_padded_truth(-1024)])


@ct
def padding_value_given_unsigned(folder: Path) -> Expected:
    """Signed pixels, PixelPaddingValue written as the unsigned 63536."""
    write(folder, hu=_padded(-2000), signed=True, intercept=0, change=lambda ds, k: ds.add_new(0x00280120, "US", 63536))
    return Expected([_padded_truth(-2000)])


@ct
def padding_range(folder: Path) -> Expected:
    """PixelPaddingValue and PixelPaddingRangeLimit name a range."""
    hu = np.where(OUTSIDE, -1500 + np.arange(36) % 7, STACK.hu())

    def named(ds: Any, k: int) -> None:
        ds.add_new(0x00280120, "SS", -1500)
        ds.add_new(0x00280121, "SS", -1490)

    write(folder, hu=hu, signed=True, intercept=0, change=named)
    return Expected([replace(_padded_truth(-1500), hu=hu)])


@ct
def padding_value_that_tissue_has(folder: Path) -> Expected:
    """PixelPaddingValue is stored 1064, which is the 40 HU of the body: only corners can be padding, and here
    they are not.
    """
    return Expected([write(folder, PixelPaddingValue=1064)])


@ct
def padding_value_of_the_sphere(folder: Path) -> Expected:
    """PixelPaddingValue is the stored value of the sphere, which must not vanish."""
    return Expected([write(folder, PixelPaddingValue=1424)])


@ct
def nothing_but_padding(folder: Path) -> Expected:
    """Every pixel is -2000."""
    write(folder, hu=np.full(STACK.shape, -2000), signed=True, intercept=0)
    return Expected(refused=NOT_HU)


@ct
def monochrome1(folder: Path) -> Expected:
    """PhotometricInterpretation MONOCHROME1 says how to show the values, not what they are."""
    return Expected([write(folder, PhotometricInterpretation="MONOCHROME1")])


@ct
def colour(folder: Path) -> Expected:
    """A colour rendering in a CT series."""

    def painted(ds: Any, k: int) -> None:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit = 7
        ds.PixelData = bytes(3 * ds.Rows * ds.Columns)

    write(folder, change=painted)
    return Expected(refused=NOT_HU)


@ct
def palette(folder: Path) -> Expected:
    """PALETTE COLOR in a CT series: pixels are indices."""
    write(folder, PhotometricInterpretation="PALETTE COLOR")
    return Expected(refused=NOT_HU)


@ct
def rescale_type_hu(folder: Path) -> Expected:
    """RescaleType HU."""
    return Expected([write(folder, RescaleType="HU")])


@ct
def rescale_type_misspelt(folder: Path) -> Expected:
    """RescaleType in other words for HU."""
    names = ("hu", "Hounsfield", "HOUNSFIELD UNITS", "HU ", "H.U.", "Hounsfield Unit", "HU's", "[HU]")
    return Expected([write(folder, each=lambda k: {"RescaleType": names[k % len(names)]})])


@ct
def rescale_type_unspecified(folder: Path) -> Expected:
    """RescaleType US (unspecified), which some scanners write for plain CT: read, and called doubtful."""
    return Expected([replace(write(folder, RescaleType="US"), flags=("hu_unreliable",))])


@ct
def rescale_type_other(folder: Path) -> Expected:
    """RescaleType says mg/ml."""
    write(folder, RescaleType="MGML")
    return Expected(refused=NOT_HU)


@ct
def electron_density(folder: Path) -> Expected:
    """An electron density image by ImageType."""
    write(folder, ImageType=["DERIVED", "PRIMARY", "AXIAL", "ELECTRON_DENSITY"])
    return Expected(refused=NOT_HU)


@ct
def effective_atomic_number(folder: Path) -> Expected:
    """A map of effective atomic numbers by RescaleType, as dual-energy scanners write it."""
    write(folder, RescaleType="Z_EFF", ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    return Expected(refused=NOT_HU)


@ct
def perfusion_map(folder: Path) -> Expected:
    """A map of blood flow, by ImageType."""
    write(folder, ImageType=["DERIVED", "SECONDARY", "AXIAL", "CBF"])
    return Expected(refused=NOT_HU)


@ct
def material_map(folder: Path) -> Expected:
    """An iodine map of a dual-energy scanner, by ImageType."""
    write(folder, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MAT_SPECIFIC"])
    return Expected(refused=NOT_HU)


@ct
def virtual_monoenergetic(folder: Path) -> Expected:
    """A virtual monoenergetic image: HU, and computed."""
    image_type = ["DERIVED", "PRIMARY", "AXIAL", "ENERGY_PROP_WT"]
    return Expected([replace(write(folder, ImageType=image_type), flags=("derived",))])


@ct
def cone_beam_by_image_type(folder: Path) -> Expected:
    """Cone-beam CT of a linear accelerator: grey values are not calibrated HU."""
    found = write(folder, ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "CBCT"])
    return Expected([replace(found, flags=("hu_unreliable",))])


@ct
def cone_beam_by_maker(folder: Path) -> Expected:
    """Cone-beam CT of a dental maker."""
    found = write(folder, Manufacturer="Planmeca", ManufacturerModelName="ProMax 3D Mid")
    return Expected([replace(found, flags=("hu_unreliable",))])


@ct
def derived_reformation(folder: Path) -> Expected:
    """A reformatted series with valid geometry: analysed, and says so."""
    found = write(folder, ImageType=["DERIVED", "SECONDARY", "MPR"])
    return Expected([replace(found, flags=("derived",))])


@ct
def maximum_intensity_projection(folder: Path) -> Expected:
    """Slabs of maximum intensity beside the slices, in a series of their own."""
    found = write(folder)
    write(folder / "mip", series="mip", ImageType=["DERIVED", "SECONDARY", "MIP"])
    return Expected([found], left={"mip": 16})


@ct
def minimum_intensity_projection_in_the_series(folder: Path) -> Expected:
    """Three MinIP slabs in the series itself."""
    found = write(folder)
    image_type = ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MINIP"]
    write(folder / "mip", skip=range(3, 16), ImageType=image_type, each=lambda k: {"instance": f"m{k}"})
    return Expected([found], left={"mip": 3})


@ct
def no_air_in_the_image(folder: Path) -> Expected:
    """A field of view within the body and no air: HU cannot be told from other values, and it says so."""
    hu = np.maximum(STACK.hu(), -150)
    return Expected([replace(write(folder, hu=hu), flags=("hu_unreliable",))])
