"""Small DICOM series written to disk, right and wrong ones, for tests of the loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
STEP = 1.25
SPACING = (0.7, 0.8)
ORIGIN = (-12.0, -15.0, 100.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def phantom(slices: int = 8, rows: int = 24, columns: int = 20) -> np.ndarray:
    """HU, different in every slice, row and column: air outside, tissue inside, a bright spot."""
    k, i, j = np.ogrid[:slices, :rows, :columns]
    hu = np.full((slices, rows, columns), -1000)
    hu[:, 4:-4, 3:-3] = 0
    hu = hu + 7 * k + (3 * i) % 11 + (5 * j) % 13
    hu[slices // 2, rows // 2, columns // 2] = 700
    return np.asarray(hu, dtype=np.int32)


def uid(*parts: Any) -> str:
    return generate_uid(entropy_srcs=["calcimap tests", *map(str, parts)])


def dataset(
    hu: np.ndarray,
    position: Sequence[float] | None = ORIGIN,
    *,
    orientation: Sequence[float] | None = AXIAL,
    series: str = "series",
    instance: str = "0",
    number: int = 1,
    slope: float | None = 1,
    intercept: float | None = -1024,
    bits: int = 16,
    signed: bool = False,
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> FileDataset:
    """One CT slice as a data set; `elements` set or, with None, remove anything."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # set when written
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = uid(series, instance)
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid(series, instance)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid(series)
    ds.FrameOfReferenceUID = uid("frame")
    ds.PatientID, ds.PatientName, ds.PatientAge = "CANARY-ID", "CANARY^NAME", "057Y"
    ds.Modality, ds.Manufacturer, ds.SeriesDescription = "CT", "SIEMENS", "CANARY DESCRIPTION"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP, ds.SliceThickness, ds.ConvolutionKernel = 120, STEP, "Br40d\\3"
    ds.InstanceNumber, ds.AcquisitionNumber = number, 1
    ds.PatientPosition, ds.BodyPartExamined = "HFS", "CHEST"
    if position is not None:
        ds.ImagePositionPatient = [float(f"{v:.6f}") for v in position]
    if orientation is not None:
        ds.ImageOrientationPatient = [float(f"{v:.8f}") for v in orientation]
    ds.PixelSpacing = list(SPACING)
    ds.Rows, ds.Columns = hu.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, int(signed)
    if slope is not None:
        ds.RescaleSlope = slope
    if intercept is not None:
        ds.RescaleIntercept = intercept
    stored = np.rint((hu - (intercept or 0)) / (slope or 1)).astype(np.int64)
    ds.PixelData = (stored & ((1 << bits) - 1)).astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    ds["PixelData"].VR = "OW"
    for name, value in elements.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def save(ds: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = ds.file_meta.TransferSyntaxUID
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    pydicom.dcmwrite(path, ds, little_endian=little, implicit_vr=implicit, enforce_file_format=False)
    return path


def meta_end(data: bytes) -> int:
    """Where the data set begins in a file with preamble."""
    assert data[132:136] == b"\x02\0\0\0"
    return 132 + 12 + int.from_bytes(data[140:144], "little")


def write_series(
    folder: Path,
    hu: np.ndarray | None = None,
    *,
    step: Sequence[float] = (0.0, 0.0, STEP),
    origin: Sequence[float] = ORIGIN,
    skip: Sequence[int] = (),
    name: Callable[[int], str] = "IM{:04d}.dcm".format,
    change: Callable[[FileDataset, int], None] | None = None,
    per_slice: Callable[[int], dict[str, Any]] | None = None,
    **options: Any,
) -> np.ndarray:
    """A series of single-frame CT files; returns its HU. `change` edits slice k before it is written."""
    hu = phantom() if hu is None else hu
    for k in range(len(hu)):
        if k in skip:
            continue
        position = np.asarray(origin) + k * np.asarray(step)
        own = options | (per_slice(k) if per_slice else {})
        ds = dataset(hu[k], position, instance=str(own.pop("instance", k)), number=k + 1, **own)
        if change:
            change(ds, k)
        save(ds, folder / name(k))
    return hu


def compress(ds: FileDataset, syntax: str, encode: Callable[[np.ndarray], bytes]) -> FileDataset:
    """The data set with its one native frame encapsulated."""
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([encode(stored)])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def rle(stored: np.ndarray) -> bytes:
    """PS3.5 Annex G by PackBits of each row of each byte plane."""
    high, low = (stored >> 8).astype("u1"), (stored & 255).astype("u1")
    segments = []
    for plane in (high, low):
        data = b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        segments.append(data + b"\0" * (len(data) % 2))
    header = np.zeros(16, "<u4")
    header[:3] = 2, 64, 64 + len(segments[0])
    return header.tobytes() + b"".join(segments)


ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "1.2.840.10008.1.2.5": rle,
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_encode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_encode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
    "1.2.840.10008.1.2.4.90": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0),
    "1.2.840.10008.1.2.4.201": lambda a: imagecodecs.htj2k_encode(a, reversible=True),
}
"""Lossless encoders of 16-bit frames for each encapsulated transfer syntax of the tests."""

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def _item(**elements: Any) -> Dataset:
    ds = Dataset()
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


def _one(**elements: Any) -> DicomSequence:
    return DicomSequence([_item(**elements)])


def enhanced(
    hu: np.ndarray,
    order: Sequence[int] | None = None,
    *,
    slopes: Sequence[float] | None = None,
    phases: Sequence[int] | None = None,
    **elements: Any,
) -> FileDataset:
    """An enhanced CT whose frames stand in `order` (frame f shows slice order[f])."""
    order = list(range(len(hu))) if order is None else list(order)
    slopes = slopes or [1.0] * len(hu)
    ds = dataset(hu[0], None, orientation=None, slope=None, intercept=None)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    del ds.PixelSpacing, ds.SliceThickness
    ds.NumberOfFrames = len(order)
    stored = np.stack([np.rint((hu[k] + 1024) / slopes[k]) for k in order]).astype("<u2")
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    ds.SharedFunctionalGroupsSequence = _one(
        PixelMeasuresSequence=_one(PixelSpacing=list(SPACING), SliceThickness=STEP),
        PlaneOrientationSequence=_one(ImageOrientationPatient=list(AXIAL)),
    )
    frames = []
    for f, k in enumerate(order):
        content: dict[str, Any] = {"FrameAcquisitionNumber": 1}
        if phases is not None:
            content["TemporalPositionIndex"] = phases[f]
        place = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + k * STEP]
        frames.append(
            _item(
                FrameContentSequence=_one(**content),
                PlanePositionSequence=_one(ImagePositionPatient=place),
                PixelValueTransformationSequence=_one(RescaleIntercept=-1024, RescaleSlope=slopes[k], RescaleType="HU"),
            )
        )
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds
