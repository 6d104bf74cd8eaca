"""What a folder holds: series to analyse, series that are set aside, files that are ignored. No pixels
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import CalcimapError
from .geometry import Affine

FACTS: dict[str, str] = {
    "kvp": "KVP (0018,0060), kV",
    "slice_thickness_mm": "SliceThickness (0018,0050), mm; reported only, never used as spacing",
    "convolution_kernel": "ConvolutionKernel (0018,1210) where it looks like a vendor's kernel name",
    "contrast_agent": "whether ContrastBolusAgent (0018,0010) names an agent: true, false, or missing",
    "manufacturer": "Manufacturer (0008,0070) where it is a known vendor",
    "body_part": "BodyPartExamined (0018,0015) where it is a defined term (PS3.16 Annex L)",
    "patient_position": "PatientPosition (0018,5100)",
    "patient_age_band": "PatientAge (0010,1010) in bands of ten years",
    "derived": "ImageType value 1 is DERIVED",
    "transfer_syntax": "name of the transfer syntax of the first file",
}
"""Header facts that are kept: an allow-list. Free text, names, dates, identifiers and UIDs are not among
them.
"""


@dataclass(frozen=True)
class Instance:
    """One image of a series, a file or a frame of one, with the geometry and value facts that reading needs
    (no pixels).

    Parameters
    ----------
    path : Path
        The file.
    rows, columns, frames : int
        Matrix, and the number of frames in the file: 1 for single-frame objects.
    position : tuple of 3 floats, or None
        ImagePositionPatient, LPS mm.
    orientation : tuple of 6 floats, or None
        ImageOrientationPatient.
    pixel_spacing : (row, column) floats, or None
        mm between rows and between columns.
    slope, intercept : float, or None
        RescaleSlope and RescaleIntercept of this slice; None where absent.
    sop_instance_uid : str
        Identifies; never leaves the process but into key.csv and DICOM objects on request.
    frame : int
        Which frame of the file, from 0; enhanced CT has one Instance per frame.
    """

    path: Path
    rows: int
    columns: int
    frames: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    pixel_spacing: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    sop_instance_uid: str = ""
    frame: int = 0


@dataclass(frozen=True)
class Series:
    """One image series: the files that make one volume, and what their headers say.

    Parameters
    ----------
    kind : "dicom", "nifti" or "nrrd"
        How the files are read.
    modality : str
        DICOM Modality, or "CT" for NIfTI and NRRD.
    instances : tuple of Instance
        DICOM images, lowest along the slice normal first where they make a grid (identical copies next to
        each other); for NIfTI and NRRD one entry per file that holds the path only.
    identity : str
        What makes this series itself and no other (UIDs, split keys, or a content hash): the text from which
        ``scan_id`` is hashed. Identifies; never written.
    study_identity, patient_identity : str
        The same for the study and the patient; empty where unknown.
    description : str
        SeriesDescription, for ``inspect`` on the terminal only.
    set_aside : str
        Empty, or the reason code why this series is not an image series of ours.
    problem : CalcimapError, optional
        Known at grouping time and raised by `read_volume`: a series that is understood and not safe to
        measure.
    header : mapping
        Facts of `FACTS`.
    flags : tuple of str
        Codes of `imaging.flags.FLAGS`.
    affine : (4, 4) ndarray, optional
        Index (slice, row, column) to patient LPS, mm, where the headers make a grid; None with a ``problem``.
    """

    kind: Literal["dicom", "nifti", "nrrd"]
    modality: str
    instances: tuple[Instance, ...]
    identity: str
    study_identity: str = ""
    patient_identity: str = ""
    description: str = ""
    set_aside: str = ""
    problem: CalcimapError | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    affine: Affine | None = field(default=None, compare=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the series, each once."""
        return tuple(dict.fromkeys(i.path for i in self.instances))


@dataclass(frozen=True)
class Found:
    """What `imaging.find_series` found.

    Parameters
    ----------
    root : Path
        The input, file or folder; paths are shown relative to it.
    series : list of Series
        Image series of ours: to be read, analysed or refused.
    set_aside : list of Series
        Other series (localizers, reports, segmentations, other modalities), each with its reason in
        ``set_aside``.
    ignored : dict of Path to str
        Every file that no series of `series` uses, with its reason code.
    """

    root: Path
    series: list[Series]
    set_aside: list[Series]
    ignored: dict[Path, str]
