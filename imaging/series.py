"""What a folder holds: series to analyse, series that are set aside, files that are ignored. No pixels
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from .errors import CalcimapError
from .geometry import Affine, spacing

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
class PixelData:
    """Where and how the pixels of a file are stored, so that reading needs no second look at its header.

    Parameters
    ----------
    offset : int
        Where the value of PixelData begins in the data set (after inflating, where the file is deflated).
    length : int, or None
        Its length in bytes; None where frames are encapsulated.
    available : int
        Bytes from `offset` to the end of the file.
    syntax : str
        UID of the transfer syntax.
    allocated, stored, high_bit, representation : int
        BitsAllocated, BitsStored, HighBit, PixelRepresentation; -1 where absent.
    padding : (low, high) floats, or None
        PixelPaddingValue and PixelPaddingRangeLimit as the header gives them.
    file_size, modified_ns : int
        Of the file when it was found: one that has changed since is not read.
    samples, planar : int
        SamplesPerPixel and PlanarConfiguration.
    photometric : str
        PhotometricInterpretation, empty where absent.
    palette : tuple of (first, table) pairs, bytes
        Red, green and blue lookup table with the stored value of their first entry; empty without a palette.
    """

    offset: int
    length: int | None
    available: int
    syntax: str
    allocated: int
    stored: int
    high_bit: int
    representation: int
    padding: tuple[float, float] | None
    file_size: int
    modified_ns: int
    samples: int = 1
    planar: int = 0
    photometric: str = ""
    palette: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Region:
    """A region of an ultrasound image, from SequenceOfUltrasoundRegions (0018,6011), validated.

    Parameters
    ----------
    spatial_format : int
        RegionSpatialFormat: 0 none, 1 two-dimensional, 2 M-mode, 3 spectral, 4 waveform, 5 graphics.
    data_type : int
        RegionDataType: 1 tissue, 2 colour flow, 3 to 9 Doppler and its traces, 10 and up signals and bars.
    flags : int
        RegionFlags, bits.
    x0, y0, x1, y1 : int
        Columns and rows of the first and the last pixel, inclusive, inside the frame.
    units_x, units_y : int
        PhysicalUnitsX/YDirection: 3 is cm.
    delta_x_mm, delta_y_mm : float, or None
        Size of a pixel, mm, where the region is calibrated; None otherwise, whatever the header holds.
    clamped : bool
        The header reached one pixel beyond the frame.
    reference : (x, y) ints, or None
        ReferencePixelX0/Y0, relative to (x0, y0); may lie outside.
    """

    spatial_format: int
    data_type: int
    flags: int
    x0: int
    y0: int
    x1: int
    y1: int
    units_x: int
    units_y: int
    delta_x_mm: float | None = None
    delta_y_mm: float | None = None
    clamped: bool = False
    reference: tuple[int, int] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether lengths in mm may be measured inside: two-dimensional tissue, in cm, with positive steps."""
        return self.delta_x_mm is not None and self.delta_y_mm is not None


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
    member : str
        Where `path` is an archive: the member, by a name that is safe to show; it is no path on this machine.
    entry : int
        Where `path` is an archive: the position of the member in it, from 0.
    pixels : PixelData, optional
        Where the pixels are; None where the file holds none, and for NIfTI and NRRD.
    regions : tuple of Region
        Regions of an ultrasound image that are inside its frame.
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
    member: str = ""
    entry: int = -1
    pixels: PixelData | None = None
    regions: tuple[Region, ...] = ()

    @property
    def place(self) -> Path:
        """The file as it is shown: its path, or the archive and the member in it."""
        return self.path / self.member if self.member else self.path


@dataclass(frozen=True)
class Series:
    """One image series: the files that make one volume, and what their headers say.

    Parameters
    ----------
    kind : "dicom", "nifti", "nrrd" or "picture"
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
    split_by : tuple of str
        What tells this series from others under the same SeriesInstanceUID: ``acquisition``, ``kernel``, ``kvp``,
        ``temporal``, ``image_type``, ``orientation``, ``matrix``, ``frame_of_reference``, ``patient``, ``class``,
        ``file`` (multi-frame files), ``gap``; empty where nothing had to be split.
    frame_of_reference : str
        FrameOfReferenceUID: positions of two series with the same one are in one space. Identifies; never written.
    acquired : date, optional
        Day of the scan, for the interval between two. Never written.
    missing : tuple of int
        Slices of the grid that no file holds and that are interpolated (``on_gap="fill"``).
    """

    kind: Literal["dicom", "nifti", "nrrd", "picture"]
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
    split_by: tuple[str, ...] = ()
    missing: tuple[int, ...] = ()
    frame_of_reference: str = ""
    acquired: date | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the series, each once; members of archives as archive/member."""
        return tuple(dict.fromkeys(i.place for i in self.instances))

    @property
    def n_slices(self) -> int:
        """Slices (frames of ultrasound), copies counted once, interpolated ones included."""
        if self.kind != "dicom":
            return self.instances[0].frames
        if self.modality == "US":
            return sum(i.frames for i in self.instances)
        images = {
            (i.sop_instance_uid, i.frame, i.position) if i.sop_instance_uid else k for k, i in enumerate(self.instances)
        }
        return len(images) + len(self.missing)

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Step lengths (slice, row, column), mm; None without a grid."""
        return None if self.affine is None else spacing(self.affine)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of an ultrasound series: those of its images, each once."""
        return tuple(dict.fromkeys(r for i in self.instances for r in i.regions))


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
