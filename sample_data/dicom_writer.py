"""Writes a `Volume` as a CT series: one CT Image Storage object per slice, the same bytes every time."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from imaging import geometry
from imaging.volume import Volume

INTERCEPT = -1024
TRANSFER_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless)


def write_dicom_series(
    volume: Volume,
    folder: Path,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    name: str = "phantom",
    series_number: int = 1,
    slice_thickness_mm: float | None = None,
    body_part: str = "ABDOMEN",
    patient_name: str = "Synthetic^Phantom",
    leave_out: Collection[int] = (),
    changes: Dataset | None = None,
) -> list[Path]:
    """Write `volume` (CT, int16 HU from -1024 up) as DICOM files ``slice_0001.dcm`` ... in `folder`.

    Parameters
    ----------
    volume : Volume
        HU; any affine, also with a tilted gantry.
    folder : Path
        Made if it does not exist.
    transfer_syntax : str
        UID of Explicit or Implicit VR Little Endian, or of JPEG-LS Lossless.
    name : str
        Patient ID and series description; all UIDs are derived from it.
    series_number : int
        Also part of what the UIDs are derived from.
    slice_thickness_mm : float, optional
        The slice distance by default.
    body_part, patient_name : str
        Header values.
    leave_out : collection of int
        Slices that are not written.
    changes : Dataset, optional
        Elements that replace those of every slice, to make what real archives hold.

    Returns
    -------
    list of Path
        One per slice written, in slice order.
    """
    if transfer_syntax not in TRANSFER_SYNTAXES:
        raise ValueError(f"{transfer_syntax} is not written here")
    stored = volume.array.astype(np.int32) - INTERCEPT
    if stored.min() < 0 or stored.max() > 0xFFFF:
        raise ValueError(f"HU must lie within {INTERCEPT} and {0xFFFF + INTERCEPT}")
    pixels = stored.astype("<u2")
    # A JPEG-LS stream of 16-bit samples says 16 bits, and the header must agree with it.
    bits = 12 if transfer_syntax != JPEGLSLossless and pixels.max() < 4096 else 16
    thickness = volume.slice_distance if slice_thickness_mm is None else slice_thickness_mm
    common = _common(volume, name, series_number, thickness, body_part, patient_name, bits)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(pixels.shape[0]):
        if index in leave_out:
            continue
        slice_ = _slice(common, volume, pixels, index, UID(transfer_syntax))
        if changes is not None:
            slice_.update(changes)
        file = folder / f"slice_{index + 1:04d}.dcm"
        slice_.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def _uid(*sources: object) -> UID:
    return generate_uid(entropy_srcs=["calcimap", *map(str, sources)])


def _numbers(values: NDArray[np.float64]) -> list[str]:
    """As decimal strings of at most 16 characters, never minus zero."""
    return [format_number_as_ds(float(v) + 0.0) for v in np.where(np.abs(values) < 1e-10, 0.0, values)]


def _common(
    volume: Volume,
    name: str,
    series_number: int,
    thickness: float,
    body_part: str,
    patient_name: str,
    bits: int,
) -> Dataset:
    """What all slices share: patient, study, series, equipment and image type."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.Modality = "CT"
    ds.Manufacturer = "calcimap"
    ds.ManufacturerModelName = "synthetic phantom"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic phantom, no patient"
    ds.SeriesDescription = name
    ds.PatientName = patient_name
    ds.PatientID = f"SYNTHETIC-{name}"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic: no patient was scanned"
    ds.BodyPartExamined = body_part
    ds.SliceThickness = format_number_as_ds(float(thickness))
    ds.KVP = "120"
    ds.ConvolutionKernel = "SOFT"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = _uid(name, "study")
    ds.SeriesInstanceUID = _uid(name, "series", series_number)
    ds.FrameOfReferenceUID = _uid(name, "frame of reference")
    ds.StudyID = "1"
    ds.SeriesNumber = series_number
    ds.AcquisitionNumber = 1
    ds.PositionReferenceIndicator = ""
    _, dy, dx = volume.spacing
    axes = volume.direction
    ds.ImageOrientationPatient = _numbers(np.concatenate([axes[:, 0], axes[:, 1]]))
    ds.PixelSpacing = _numbers(np.array([dy, dx]))
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = volume.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.BurnedInAnnotation = "NO"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "50", "400"
    return ds


def _slice(
    common: Dataset, volume: Volume, pixels: NDArray[np.uint16], index: int, transfer_syntax: UID
) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(common.SeriesInstanceUID, "slice", index)
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "CALCIMAP"
    ds = FileDataset("", common, preamble=b"\0" * 128, file_meta=meta)
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.InstanceNumber = index + 1
    place = geometry.to_world(volume.affine, (index, 0, 0))
    ds.ImagePositionPatient = _numbers(place)
    ds.SliceLocation = _numbers(np.array([place @ geometry.normal(volume.affine)]))[0]
    if transfer_syntax == JPEGLSLossless:
        ds.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(pixels[index]))], has_bot=False)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    else:
        ds.PixelData = pixels[index].tobytes()
        ds["PixelData"].VR = "OW"
    return ds
