"""What a DICOM object takes over from the scan it is about: patient, study, frame of reference, and the images."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging import TRACKING_ID, Components, Identity, Instance, Volume, read_identity

from ... import provenance
from ...results import ClipResult, ScanResult
from .. import Origin

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NAME = "calcimap"
NAMESPACE = uuid.UUID("8e0f6f0a-5c0e-5b57-9d0b-3c1d5c0f7a11")
"""Of all UIDs that calcimap makes; changing it changes them all."""
UNKNOWN_DATE = "19000101"
"""Stands where an object must have a date and the source has none."""
UTF_8 = "ISO_IR 192"
SINGLE = {"CT": "1.2.840.10008.5.1.4.1.1.2", "US": "1.2.840.10008.5.1.4.1.1.6.1"}
ENHANCED = {"CT": "1.2.840.10008.5.1.4.1.1.2.1", "US": "1.2.840.10008.5.1.4.1.1.3.1"}
"""SOP classes by modality, for images that do not name theirs: of one frame, and of several."""
TAKEN_OVER = (
    "PatientID IssuerOfPatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
    "ReferringPhysicianName StudyDescription"
).split()
"""Elements of patient and study, as they stand in the source; those that are not valid are left empty."""
EMPTY_WHERE_ABSENT = (
    "PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName"
).split()
"""Elements that an object must have, though they may be empty; an empty StudyID, which no medium takes, gets a hash."""
SEXES = ("M", "F", "O", "")


def uid(*parts: str) -> str:
    """A UID that depends on `parts` alone (name-based UUID, RFC 9562, under 2.25)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, chr(0).join(parts)).int}"


@dataclass(frozen=True)
class Source:
    """A series as DICOM objects refer to it.

    Parameters
    ----------
    origin : Origin
    identity : Identity
        Patient and study, from the header of its first file.
    content : str
        Hash of the result: what makes one object another than one of the same scan.
    """

    origin: Origin
    identity: Identity = field(repr=False)
    content: str

    @classmethod
    def of(cls, origin: Origin, result: ScanResult | ClipResult) -> Source:
        """The source of a result.

        Raises
        ------
        RefusedError
            ``no_dicom_source``: NIfTI, NRRD or a picture.
        """
        return cls(origin, read_identity(origin.series, origin.config.reading), _digest(result, origin))

    # -- UIDs ------------------------------------------------------------------------------------------------------
    # De-identified files may lack them. What stands in for one is made from the identity of the series, so that SEG and
    # SR still belong together; no viewer can link them to the images then, and the objects say so (`linked`).

    @cached_property
    def linked(self) -> bool:
        """Whether all UIDs are those of the images."""
        own = [self._own(k) for k in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")]
        if self.origin.series.modality != "US":
            own.append(self._own("FrameOfReferenceUID"))
        return all(own) and all(_is_uid(i.sop_instance_uid) for i in self.instances)

    @property
    def sop_class(self) -> str:
        """SOP Class UID of the images."""
        several = self.instances[0].frames > 1
        return self._own("SOPClassUID") or (ENHANCED if several else SINGLE)[self.origin.series.modality]

    @property
    def study(self) -> str:
        """StudyInstanceUID."""
        return self._own("StudyInstanceUID") or self._made("StudyInstanceUID")

    @property
    def series(self) -> str:
        """SeriesInstanceUID of the images."""
        return self._own("SeriesInstanceUID") or self._made("SeriesInstanceUID")

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID."""
        return self._own("FrameOfReferenceUID") or self._made("FrameOfReferenceUID")

    def sop_instance(self, image: Instance) -> str:
        """SOPInstanceUID of an image."""
        own = image.sop_instance_uid
        return own if _is_uid(own) else self._made(f"image {self._files.index((image.path, image.entry))}")

    @cached_property
    def _files(self) -> list[tuple[Path, int]]:
        """The files of the series in the order of their images."""
        return list(dict.fromkeys((i.path, i.entry) for i in self.instances))

    def _own(self, keyword: str) -> str:
        text = self.identity.text(keyword)
        return text if _is_uid(text) else ""

    def _made(self, what: str) -> str:
        return uid(what, self.origin.series.identity)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The images of the series, lowest first; frames of one file are images of their own."""
        return self.origin.series.instances

    def uid(self, what: str) -> str:
        """The UID of an object made from this result: the same for the same input, configuration and version."""
        return uid(what, self.content)

    def tracking(self, parts: Components, numbers: NDArray[np.int64]) -> list[tuple[str, str]]:
        """TrackingID and TrackingUID of findings; the UID follows the mask, whatever the number or the run."""
        places = np.split(parts.voxels, parts.voxel_offsets[1:-1])
        hashes = [hashlib.sha256(np.ascontiguousarray(p, "<i8").tobytes()).hexdigest() for p in places]
        ids = [TRACKING_ID.format(number) for number in numbers]
        return [(name, uid("tracking", self.series, h)) for name, h in zip(ids, hashes, strict=False)]

    @cached_property
    def when(self) -> tuple[str, str]:
        """Date and time of the images, which stand for those of the object: no clock is read, so that the same input
        gives the same bytes.
        """
        for kind in ("Series", "Acquisition", "Content", "Study"):
            date = _valid("StudyDate", self.identity.text(f"{kind}Date"))
            if date:
                return date, _valid("StudyTime", self.identity.text(f"{kind}Time")) or "000000"
        return UNKNOWN_DATE, "000000"

    def header(self, sop_class: str, sop_instance: str, series: str, modality: str) -> Dataset:
        """The data set of an image or object of the study, as far as others need it to refer to it."""
        from pydicom.dataset import Dataset

        head = Dataset()
        head.SpecificCharacterSet = UTF_8
        for keyword in TAKEN_OVER:
            value = _valid(keyword, self.identity.text(keyword))
            if value or keyword in EMPTY_WHERE_ABSENT:
                setattr(head, keyword, value)
        head.PatientName = ""  # until `finish`
        head.StudyID = head.StudyID or hashlib.sha256(self.study.encode()).hexdigest()[:16].upper()
        if head.PatientSex not in SEXES:
            head.PatientSex = ""
        removed, how = (self.identity.text(k) for k in ("PatientIdentityRemoved", "DeidentificationMethod"))
        if removed == "YES" and _valid("DeidentificationMethod", how):
            head.PatientIdentityRemoved, head.DeidentificationMethod = removed, how
        head.StudyInstanceUID, head.SeriesInstanceUID = self.study, series
        head.SOPClassUID, head.SOPInstanceUID, head.Modality = sop_class, sop_instance, modality
        return head

    def image(self, instance: Instance) -> Dataset:
        """`header` of one image of the series."""
        return self.header(self.sop_class, self.sop_instance(instance), self.series, self.origin.series.modality)

    def finish(self, dataset: Dataset) -> None:
        """Put the name in, and take out when the file was written.

        highdicom is not given the name: it prints one without a caret in a warning. That form (of ACR-NEMA) is retired;
        a caret at the end means the same and is valid.
        """
        for keyword in ("PatientName", "ReferringPhysicianName"):
            name = _valid(keyword, self.identity.text(keyword))
            setattr(dataset, keyword, f"{name}^" if name and "^" not in name else name)
        for keyword in ("InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence"):
            if keyword in dataset:
                delattr(dataset, keyword)

    def by_slice(self, volume: Volume) -> dict[int, Instance]:
        """The image of each slice of the volume; interpolated slices have none."""
        places = np.array([i.position for i in self.instances], float)
        index = np.rint(volume.to_index(places)[:, 0]).astype(int).tolist()
        return dict(zip(reversed(index), reversed(self.instances), strict=True))  # of copies the first


def _digest(result: ScanResult | ClipResult, origin: Origin) -> str:
    """Hash of all that an object of a result is made from."""
    parts = result.detection.components if isinstance(result, ScanResult) else result.echoes.components
    digest = hashlib.sha256(origin.series.identity.encode())
    settings: dict[str, Any] = {k: v for k, v in origin.config.to_dict().items() if k != "privacy"}
    table = result.findings.drop(columns="scan_id").to_csv(index=False)
    digest.update(repr((provenance.version(), settings, table)).encode())
    for runs in (parts.row, parts.start, parts.length, parts.offsets):
        digest.update(np.ascontiguousarray(runs, "<i8").tobytes())
    return digest.hexdigest()


def _is_uid(text: str) -> bool:
    from pydicom import config
    from pydicom.uid import UID

    return bool(text) and UID(text, config.IGNORE).is_valid


def _valid(keyword: str, text: str) -> str:
    """The text where it is a valid value of the element, else nothing: what is wrong in the source stays there."""
    from pydicom import config
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import validate_value

    clean = "".join(c for c in text if c.isprintable())
    try:
        validate_value(dictionary_VR(keyword), clean, config.RAISE)
    except ValueError:
        return ""
    return clean
