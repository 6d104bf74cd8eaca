"""DICOM SEG: one segment per finding, in the geometry of the images it was found in.

highdicom describes the object and each of its frames, from a table of which finding lies in which slice. The pixels
are then set from the runs of the findings: a label image is never painted, and 500 findings take seconds, not a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging import Instance, LimitError, RefusedError, Volume

from ... import provenance
from ...results import ClipResult, ScanResult
from .. import Origin
from . import codes
from .source import NAME, SINGLE, Source

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.dataset import Dataset

EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
SEG, LABELMAP_SEG = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
LARGEST_BYTES = 1 << 30
"""Of the frames of a binary object: one of 32 kB for each slice of each finding."""
MOST_SEGMENTS = 65535
SERIES_NUMBER = 9101
UNLINKED = "images lack UIDs"
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's colours, which the colour-blind can tell apart too; segments take them in turn."""


def write_seg(result: ScanResult | ClipResult, folder: Path, origin: Origin) -> None:
    """``seg.dcm``: BINARY, or LABELMAP with ``dicom.seg_type=labelmap``. Carries the identity of the source.

    Raises
    ------
    RefusedError
        Ultrasound, nothing found, no DICOM source or one without UIDs, or too large for its type.
    """
    if isinstance(result, ClipResult):
        raise RefusedError("no_place", "an ultrasound image has no place in the patient; take the format sr")
    source = Source.of(origin, result)
    if not len(result.detection):
        raise RefusedError("nothing_found", "a segmentation object holds at least one segment, and nothing was found")
    segmentation(result, source).save_as(folder / "seg.dcm")


@dataclass(frozen=True)
class SegmentReference:
    """How another object refers to the segments: class and instance of the SEG, number of each finding's segment."""

    sop_class: str
    sop_instance: str
    series: str
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, result: ScanResult, source: Source) -> SegmentReference:
        """Segments of a binary object are numbered from 1 without a gap; in a label map they keep finding_id."""
        binary = source.origin.config.dicom.seg_type == "binary"
        ids = result.detection.finding_id
        numbers = np.arange(1, len(ids) + 1) if binary else ids
        return cls(SEG if binary else LABELMAP_SEG, source.uid("seg"), source.uid("seg series"), numbers)


def segmentation(result: ScanResult, source: Source) -> Segmentation:
    """The object itself.

    Raises
    ------
    LimitError
        ``too_large``, ``too_many_findings``.
    """
    import highdicom as hd

    volume, parts = result.volume, result.detection.components
    reference = SegmentReference.of(result, source)
    binary = reference.sop_class == SEG
    if reference.numbers.max() > MOST_SEGMENTS:
        raise LimitError("too_many_findings", f"a segmentation object holds segments up to {MOST_SEGMENTS}")
    planes = parts.coordinates[:, 0].astype(np.int64)
    key = parts.component * volume.shape[0] + planes if binary else planes
    frames, frame = np.unique(key, return_inverse=True)
    owner, plane = np.divmod(frames, volume.shape[0])
    shown, at = np.unique(plane, return_inverse=True)
    if binary:
        table = np.zeros((len(shown), 1, 1, len(parts)), np.uint8)
        table[at, 0, 0, owner] = 1
    else:
        table = np.full((len(shown), 1, 1), reference.numbers[0], np.uint16)
    images, stub = source.by_slice(volume), _stub(volume, source)
    positions = [hd.PlanePositionSequence("PATIENT", _position(k, images, volume)) for k in shown.tolist()]
    date, time = source.when
    seg = hd.seg.Segmentation(
        source_images=[stub],
        pixel_array=table,
        segmentation_type="BINARY" if binary else "LABELMAP",
        segment_descriptions=_descriptions(result, source, reference),
        series_instance_uid=reference.series,
        series_number=SERIES_NUMBER,
        sop_instance_uid=reference.sop_instance,
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=provenance.version(),
        device_serial_number="none",
        transfer_syntax_uid=EXPLICIT if binary else RLE,
        pixel_measures=_measures(volume),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", stub.ImageOrientationPatient),
        plane_positions=positions,
        content_label="CALCIFICATION",
        content_description=f"Calcifications, research use only{'' if source.linked else '; ' + UNLINKED}",
        series_description="calcimap segmentation, research use only",
        content_date=date,
        content_time=time,
    )
    made = _frames(seg, positions, shown)
    _refer(seg, source, images, [k for _, k in made])
    source.finish(seg)
    number_of = reference.numbers[owner] if binary else np.zeros(len(frames), np.int64)
    number_in_file = {pair: k for k, pair in enumerate(made)}
    order = np.array([number_in_file[pair] for pair in zip(number_of.tolist(), plane.tolist(), strict=True)])
    size = volume.shape[1] * volume.shape[2]
    place = order[frame] * size + parts.voxels % size
    if binary:
        seg.PixelData = packed_bits(place, len(frames) * size)
    else:
        labels = reference.numbers.astype(np.uint16 if reference.numbers.max() > 255 else np.uint8)
        seg.PixelData = _run_length(place, labels[parts.component], len(frames), volume.shape[1:])
    seg.Rows, seg.Columns = volume.shape[1:]
    # Planes without a voxel are left out: only this tells a reader how far apart the others are.
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = _measures(volume)
    seg.SegmentsOverlap = "NO"
    return seg


def packed_bits(place: NDArray[np.int64], count: int) -> bytes:
    """`count` bits, eight a byte with the first the lowest, set at `place`; frames follow without a gap.

    Raises
    ------
    LimitError
        ``too_large``.
    """
    if count > 8 * LARGEST_BYTES:
        text = f"a binary segmentation would take {count / 8e9:.1f} GB; take dicom.seg_type=labelmap"
        raise LimitError("too_large", text)
    data = np.zeros((count + 15) // 16 * 2, np.uint8)
    np.bitwise_or.at(data, place >> 3, np.left_shift(1, place & 7).astype(np.uint8))
    return data.tobytes()


def _run_length(place: NDArray[np.int64], label: NDArray[Any], frames: int, shape: tuple[int, int]) -> bytes:
    """Frames of labels, RLE Lossless; one is in memory at a time."""
    from pydicom.encaps import encapsulate

    size = shape[0] * shape[1]
    order = np.argsort(place, kind="stable")
    place, label = place[order], label[order]
    ends = np.searchsorted(place, np.arange(frames + 1) * size)
    encoded = []
    for k in range(frames):
        image = np.zeros(size, label.dtype)
        image[place[ends[k] : ends[k + 1]] - k * size] = label[ends[k] : ends[k + 1]]
        encoded.append(rle_frame(image.reshape(shape)))
    return encapsulate(encoded)


def rle_frame(image: NDArray[Any]) -> bytes:
    """One frame in RLE Lossless (PS3.5 annex G): the bytes of its pixels apart, the most significant first, each row
    packed for itself; pydicom does the same in Python, a hundred times slower.
    """
    import imagecodecs

    shifts = range(8 * (image.dtype.itemsize - 1), -1, -8)
    segments = [imagecodecs.packbits_encode(np.ascontiguousarray((image >> s).astype(np.uint8))) for s in shifts]
    padded = [s + b"\0" * (len(s) % 2) for s in segments]
    offsets = 64 + np.cumsum([0, *map(len, padded)])[:-1]
    header = np.zeros(16, "<u4")
    header[: len(padded) + 1] = [len(padded), *offsets]
    return header.tobytes() + b"".join(padded)


def _stub(volume: Volume, source: Source) -> Dataset:
    """An image of the study as far as highdicom looks at it; 1 x 1 as the table is."""
    along_row, along_column = volume.affine[:3, 2] / volume.spacing[2], volume.affine[:3, 1] / volume.spacing[1]
    stub = source.image(source.instances[0])
    stub.SOPClassUID = SINGLE[
        "CT"
    ]  # of several frames highdicom would want them all described; `_refer` names the class
    stub.FrameOfReferenceUID = source.frame_of_reference
    stub.PositionReferenceIndicator = ""
    given = source.instances[0].orientation
    stub.ImageOrientationPatient = list(given) if given else [*along_row, *along_column]
    stub.ImagePositionPatient = [float(v) for v in volume.origin]
    stub.PixelSpacing = [float(v) for v in volume.spacing[1:]]
    stub.SliceThickness = volume.slice_distance
    stub.Rows = stub.Columns = 1
    stub.ImageType = ["DERIVED", "PRIMARY"]
    if source.identity.text("LossyImageCompression") == "01":
        stub.LossyImageCompression = "01"
        ratio, method = (source.identity.values.get(f"LossyImageCompression{k}", ()) for k in ("Ratio", "Method"))
        if ratio and len(ratio) == len(method):
            stub.LossyImageCompressionRatio, stub.LossyImageCompressionMethod = list(ratio), list(method)
    return stub


def _measures(volume: Volume) -> Any:
    import highdicom as hd

    distance = volume.slice_distance
    return hd.PixelMeasuresSequence(
        pixel_spacing=[float(v) for v in volume.spacing[1:]], slice_thickness=distance, spacing_between_slices=distance
    )


def _position(index: int, images: dict[int, Instance], volume: Volume) -> list[float]:
    """ImagePositionPatient of a slice: that of its image, so that viewers find them equal."""
    given = images[index].position if index in images else None
    return [float(v) for v in (given or volume.to_world((index, 0, 0)))]


def _descriptions(result: ScanResult, source: Source, reference: SegmentReference) -> list[SegmentDescription]:
    import highdicom as hd

    given = result.detection.given
    algorithm = hd.AlgorithmIdentificationSequence(
        name="given segmentation, measured by calcimap" if given else NAME,
        family=codes.code(codes.ALGORITHM),
        version=provenance.version(),
    )
    table = result.findings
    colours = [hd.color.CIELabColor.from_string(text) for text in PALETTE]
    tracking = source.tracking(result.detection.components, result.detection.finding_id)
    made = []
    for k, (number, (name, uid)) in enumerate(zip(reference.numbers.tolist(), tracking, strict=True)):
        pattern, organ = table["pattern"].iloc[k], table["organ"].iloc[k]
        site = codes.site(organ) if isinstance(organ, str) else None
        made.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=f"{table['finding_id'].iloc[k]} {pattern}",
                segmented_property_category=codes.code(codes.ABNORMAL),
                segmented_property_type=codes.code(codes.CALCIFICATION),
                algorithm_type="SEMIAUTOMATIC" if given else "AUTOMATIC",
                algorithm_identification=algorithm,
                tracking_id=name,
                tracking_uid=uid,
                anatomic_regions=[codes.code(site)] if site else None,
                display_color=colours[k % len(colours)],
            )
        )
    return made


def _frames(seg: Any, positions: list[Any], shown: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Segment number (0 in a label map) and slice of each frame, as highdicom has put them."""
    slices = {tuple(p[0].ImagePositionPatient): int(k) for p, k in zip(positions, shown, strict=True)}
    shared = seg.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    found = []
    for groups in seg.PerFrameFunctionalGroupsSequence:
        what = groups.get("SegmentIdentificationSequence") or shared
        number = int(what[0].ReferencedSegmentNumber) if what else 0
        found.append((number, slices[tuple(groups.PlanePositionSequence[0].ImagePositionPatient)]))
    return found


def _refer(seg: Any, source: Source, images: dict[int, Instance], slices: list[int]) -> None:
    """Name the images that the object and each frame come from."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    kind = source.sop_class
    series = Dataset()
    series.SeriesInstanceUID = source.series
    uids = dict.fromkeys(map(source.sop_instance, source.instances))
    series.ReferencedInstanceSequence = [_image_item(kind, u) for u in uids]
    seg.ReferencedSeriesSequence = [series]
    seg.SourceImageSequence = [_image_item(kind, u) for u in uids]
    made = {k: Sequence([_derivation(source, images[k])]) for k in set(slices) & images.keys()}
    for groups, k in zip(seg.PerFrameFunctionalGroupsSequence, slices, strict=True):
        if k in made:
            groups.DerivationImageSequence = made[k]
        elif "DerivationImageSequence" in groups:
            del groups.DerivationImageSequence
    organization = source.uid("dimensions")
    for item in (*seg.DimensionIndexSequence, *seg.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = organization


def _image_item(sop_class: str, sop_instance: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    return item


def _derivation(source: Source, image: Instance) -> Dataset:
    """A frame is segmented from one image, pixel by pixel."""
    from pydicom.dataset import Dataset

    origin = _image_item(source.sop_class, source.sop_instance(image))
    if image.frames > 1:
        origin.ReferencedFrameNumber = image.frame + 1
    origin.PurposeOfReferenceCodeSequence = [codes.code(codes.SEGMENTED_FROM)]
    origin.SpatialLocationsPreserved = "YES"
    item = Dataset()
    item.DerivationCodeSequence = [codes.code(codes.SEGMENTATION)]
    item.SourceImageSequence = [origin]
    return item
