"""Writes B-mode frames as one ultrasound object with a calibrated region, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

CM, TWO_DIMENSIONAL, TISSUE = 3, 1, 1


def write_ultrasound(
    frames: NDArray[np.uint8],
    file: Path,
    *,
    pixel_mm: tuple[float, float] | None,
    box: tuple[int, int, int, int] | None = None,
    name: str = "phantom",
    frame_time_ms: float = 50.0,
    compressed: bool = True,
) -> Path:
    """Write frames as DICOM.

    Parameters
    ----------
    frames : (frames, rows, columns) or (frames, rows, columns, 3) ndarray of uint8
        Grey or RGB.
    file : Path
        Its folder is made if need be.
    pixel_mm : (row, column), or None
        Height and width of a pixel; None writes no region.
    box : (x0, y0, x1, y1), optional
        The region, inclusive pixels; the whole frame by default.
    name : str
        Patient ID and series description; all UIDs are derived from it.
    frame_time_ms : float
        Between frames of a cine.
    compressed : bool
        Grey frames as JPEG-LS.
    """
    count, rows, columns = frames.shape[:3]
    colour = frames.ndim == 4
    packed = compressed and not colour
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if count > 1 else UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(name, "instance")
    meta.TransferSyntaxUID = JPEGLSLossless if packed else ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "CALCIMAP"
    ds = FileDataset("", Dataset(), preamble=b"\0" * 128, file_meta=meta)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.PatientBirthDate = ds.PatientSex = ""
    ds.Modality, ds.Manufacturer = "US", "calcimap"
    ds.StudyDescription, ds.SeriesDescription = "Synthetic phantom, no patient", name
    ds.PatientName, ds.PatientID = "Synthetic^Phantom", f"SYNTHETIC-{name}"
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "Synthetic: no patient was scanned"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(name, "study"), _uid(name, "series")
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, 1
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.BurnedInAnnotation = "YES"
    if count > 1:
        ds.NumberOfFrames = count
        ds.FrameTime = f"{frame_time_ms:g}"
    if pixel_mm is not None:
        ds.SequenceOfUltrasoundRegions = Sequence([_region(pixel_mm, box or (0, 0, columns - 1, rows - 1))])
    if packed:
        ds.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(frame)) for frame in frames])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    else:
        ds.PixelData = frames.tobytes() + b"\0" * (frames.size % 2)
        ds["PixelData"].VR = "OB"
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
    return file


def _uid(*sources: object) -> UID:
    return generate_uid(entropy_srcs=["calcimap", *map(str, sources)])


def _region(pixel_mm: tuple[float, float], box: tuple[int, int, int, int]) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = TWO_DIMENSIONAL, TISSUE, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = CM
    item.PhysicalDeltaX, item.PhysicalDeltaY = pixel_mm[1] / 10, pixel_mm[0] / 10
    return item
