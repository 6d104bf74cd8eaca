"""`read_identity`: whose scan a series is, for DICOM objects that have to say so. Everything else never asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ReadError, RefusedError
from ..series import Instance, Series
from .archives import members
from .dicomfile import open_dicom
from .elements import Elements, tags
from .guard import typed
from .params import DEFAULTS, ReadParams
from .source import MemorySource, open_source

KEYWORDS = (
    "SpecificCharacterSet SOPClassUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID "
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientIdentityRemoved DeidentificationMethod "
    "StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription SeriesDate SeriesTime "
    "AcquisitionDate AcquisitionTime ContentDate ContentTime SliceThickness LossyImageCompression "
    "LossyImageCompressionRatio LossyImageCompressionMethod"
)
"""What an object derived from a scan takes over from it: patient, study, frame of reference, date, loss."""
TAGS = tags(KEYWORDS)


@dataclass(frozen=True)
class Identity:
    """What the header of a series says of patient and study.

    Parameters
    ----------
    values : mapping of str to tuple of str
        The values of each element of `KEYWORDS` that is there, as decoded text. Identifies; never shown.
    """

    values: Mapping[str, tuple[str, ...]] = field(repr=False)

    def text(self, keyword: str) -> str:
        """The value of an element, several joined by a backslash; empty where absent."""
        return "\\".join(self.values.get(keyword, ()))


def read_identity(series: Series, params: ReadParams | None = None) -> Identity:
    """Patient, study and frame of reference of a series, from the header of its first file.

    Parameters
    ----------
    series : Series
        DICOM: all of its files agree in them, or they would be several series.
    params : ReadParams, optional

    Raises
    ------
    RefusedError
        ``no_dicom_source``: NIfTI, NRRD or a picture.
    ReadError
        The file is gone or has changed.
    """
    if series.kind != "dicom":
        text = "a NIfTI, NRRD or picture file belongs to no DICOM study; run on the DICOM files"
        raise RefusedError("no_dicom_source", text, series.instances[0].place)
    elements = _elements(series.instances[0], params or DEFAULTS)
    return Identity({k: tuple(values) for k in KEYWORDS.split() if (values := elements.texts(k))})


def _elements(instance: Instance, params: ReadParams) -> Elements:
    with typed(instance.place):
        if not instance.member:
            with open_source(instance.path) as source:
                return open_dicom(source, TAGS, params).elements
        for member in members(instance.path, params, {instance.entry}):
            if not member.reason:
                return open_dicom(MemorySource(member.data), TAGS, params).elements
        raise ReadError("unreadable", "the archive changed while it was read; run again")
