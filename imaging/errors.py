"""What can go wrong, as types, and why, as stable codes.

::

    CalcimapError                 reason code, message for a person, the file it is about
    ├── UsageError                a bad option, configuration key, folder or call
    ├── RefusedError              understood, and not safe to measure
    │   ├── GeometryError         positions, spacing, orientation, matrix
    │   ├── ValuesError           numbers that are not Hounsfield units
    │   └── LimitError            larger than this machine or a set limit allows
    └── ReadError                 bytes that cannot be turned into an image
        ├── CodecError            no decoder, or the decoder refuses
        └── TruncatedError        the file ends before its pixels do

`REASONS` is the whole vocabulary: every code that may stand in ``scans.reason`` or beside an ignored file.
A message never contains a path or an identifier, so that it may stand in tables; `CalcimapError.path` names
the file and is shown on the terminal only.
"""

from __future__ import annotations

from pathlib import Path

REASONS: dict[str, str] = {
    # refused: understood, not safe to measure
    "no_geometry": "positions, orientation or pixel spacing are absent or not usable",
    "gap": "slices are missing between others",
    "uneven_spacing": "distances between slices differ and are no multiples of one step",
    "duplicate_positions": "several different slices at one position",
    "mixed_acquisitions": "several acquisitions that cannot be told apart by their headers",
    "mixed_sizes": "slices of one series differ in matrix or pixel spacing",
    "mixed_orientations": "slices of one series differ in orientation",
    "no_rescale": "rescale slope and intercept are absent: stored values may not be Hounsfield units",
    "not_hu": "the values are not Hounsfield units",
    "no_noise_estimate": "no soft tissue to estimate noise from",
    "too_large": "larger than the memory or the limits allow",
    "too_many_findings": "more findings than a label map or the limits allow",
    "no_tissue": "an ultrasound image without a region of two-dimensional tissue",
    "unsupported_modality": "a modality that this version does not analyse",
    "geometry_mismatch": "a mask does not lie on the grid of the scan",
    "empty_mask": "a mask holds no voxel",
    "not_mask": "the values of a mask are not whole numbers",
    "overlap": "segments share voxels: a voxel belongs to one finding",
    "registration_failed": "two scans could not be brought together: they are not compared",
    "other_features": "a model and a table do not have the same features",
    "other_definition": "a table was made with other settings or definitions than a model was trained with",
    "not_model": "a file that is no model of calcimap, damaged, or not safe to read",
    # read errors
    "unreadable": "the file cannot be opened or parsed",
    "truncated": "the file ends before its pixel data do",
    "codec": "the pixel data cannot be decoded",
    "no_pixels": "the file holds no pixel data",
    # ignored: not an image series of ours
    "not_dicom": "not DICOM, NIfTI or NRRD",
    "empty_file": "zero bytes",
    "dicomdir": "an index, which is not trusted",
    "localizer": "a scout view",
    "mip": "a projection (maximum or minimum intensity), not slices",
    "secondary_capture": "a screen capture",
    "not_image": "DICOM, but no image: report, presentation state, plan",
    "sr": "a structured report",
    "seg": "a segmentation object",
    "rtstruct": "a radiotherapy structure set",
    "pdf": "an encapsulated document",
    "other_modality": "an image of another modality",
    "label_map": "a label map, not an image",
    "picture": "a picture without DICOM header, taken only when named as input",
    "symlink": "a symbolic link, not followed",
    "archived": "NIfTI or NRRD inside an archive, which is not read; unpack it",
    "own_output": "written by calcimap",
    # not written: the scan was analysed, an object asked for cannot be made
    "no_dicom_source": "NIfTI, NRRD and pictures belong to no DICOM study that an object could refer to",
    "no_place": "an ultrasound image has no place in the patient: there is no segmentation of it, only a report",
    "nothing_found": "a segmentation object holds at least one segment, and nothing was found",
    # failed: an error
    "internal": "an error inside calcimap",
    "memory": "the process ran out of memory",
    "worker_died": "the worker process died",
    "timeout": "the analysis took longer than its time limit",
    "output": "files could not be read or written",
    "stopped": "not analysed: the run was stopped before",
    # usage
    "usage": "a call, option or configuration that is not understood",
}


class CalcimapError(Exception):
    """Base of every error that calcimap raises on purpose.

    Parameters
    ----------
    reason : str
        A code of `REASONS`.
    message : str
        What is wrong and what a person can do about it; one line, without paths or identifiers.
    path : Path, optional
        The file it is about.
    """

    def __init__(self, reason: str, message: str, path: Path | None = None) -> None:
        if reason not in REASONS:
            raise KeyError(f"{reason!r} is not a code of imaging.errors.REASONS")
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.path = path

    def __reduce__(self) -> tuple[type[CalcimapError], tuple[str, str, Path | None]]:
        return type(self), (self.reason, self.message, self.path)


class UsageError(CalcimapError):
    """A bad option, configuration key, folder or call; nothing was analysed because of it."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__("usage", message, path)

    def __reduce__(self) -> tuple[type[UsageError], tuple[str, Path | None]]:  # type: ignore[override]  # own signature
        return type(self), (self.message, self.path)


class RefusedError(CalcimapError):
    """Understood, and not safe to measure."""


class GeometryError(RefusedError):
    """Positions, spacing, orientation or matrix do not describe one regular grid."""


class ValuesError(RefusedError):
    """The stored numbers cannot be taken as Hounsfield units."""


class LimitError(RefusedError):
    """Larger than the memory or a set limit allows."""


class ReadError(CalcimapError):
    """Bytes that cannot be turned into an image."""


class CodecError(ReadError):
    """No decoder for the transfer syntax, or the decoder refuses the data."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__("codec", message, path)

    def __reduce__(self) -> tuple[type[CodecError], tuple[str, Path | None]]:  # type: ignore[override]  # own signature
        return type(self), (self.message, self.path)


class TruncatedError(ReadError):
    """The file ends before its pixel data do."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__("truncated", message, path)

    def __reduce__(self) -> tuple[type[TruncatedError], tuple[str, Path | None]]:  # type: ignore[override]  # own signature
        return type(self), (self.message, self.path)
