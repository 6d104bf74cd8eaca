"""Enhanced, legacy converted and concatenated multi-frame CT."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from imaging import ReadParams
from imaging.errors import CodecError, ReadError, TruncatedError
from imaging.reading.discover import find_series
from imaging.reading.frames import frame_spans
from imaging.reading.read import read_volume
from imaging.reading.source import MemorySource
from tests.dicom_files import ENCODERS, enhanced, phantom, save, uid

LEGACY = "1.2.840.10008.5.1.4.1.1.2.2"
JLS = "1.2.840.10008.1.2.4.80"


def one(**values) -> Sequence:
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return Sequence([ds])


def only(found):
    assert len(found.series) == 1, (found.series, found.ignored)
    return found.series[0]


def packed(ds, fragments: int = 1, table: bool = True):
    """The frames of an enhanced CT as JPEG-LS, each in `fragments` pieces."""
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.NumberOfFrames, ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([ENCODERS[JLS](f) for f in stored], fragments, has_bot=table)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = JLS
    return ds


def test_facts_from_functional_groups(tmp_path) -> None:
    ds = enhanced(phantom(4))
    del ds.KVP, ds.ConvolutionKernel, ds.ImageType
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.CTXRayDetailsSequence = one(KVP=100)
    shared.CTReconstructionSequence = one(ConvolutionKernel="Br40d\\3")
    shared.CTImageFrameTypeSequence = one(FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"])
    ds.ContrastBolusAgentSequence = one(CodeMeaning="CANARY")
    save(ds, tmp_path / "x")
    facts = only(find_series(tmp_path)).header
    assert facts["kvp"] == 100
    assert facts["convolution_kernel"] == "Br40d\\3"
    assert facts["slice_thickness_mm"] == 1.25
    assert facts["contrast_agent"] is True
    assert facts["derived"] is True
    assert "CANARY" not in str(facts)


def test_kernels_of_frames_tell_two_reconstructions_apart(tmp_path) -> None:
    hu = phantom(3)
    ds = enhanced(np.concatenate([hu, hu + 3]), [0, 1, 2, 3, 4, 5])
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.CTReconstructionSequence = one(ConvolutionKernel="B60f" if k > 2 else "B30f")
        frame.PlanePositionSequence[0].ImagePositionPatient[2] = 100 + 1.25 * (k % 3)
    save(ds, tmp_path / "x")
    found = find_series(tmp_path)
    assert [s.split_by for s in found.series] == [("kernel",)] * 2
    assert np.array_equal(read_volume(found.series[0]).array, hu)
    assert np.array_equal(read_volume(found.series[1]).array, hu + 3)


def test_legacy_converted(tmp_path) -> None:
    hu = phantom(5)
    ds = enhanced(hu, [4, 3, 2, 1, 0])
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = LEGACY
    del ds.KVP, ds.ConvolutionKernel
    ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = one(
        KVP="120", ConvolutionKernel="STANDARD", ContrastBolusAgent="NONE"
    )
    save(ds, tmp_path / "x")
    series = only(find_series(tmp_path))
    assert np.array_equal(read_volume(series).array, hu)
    assert (series.header["kvp"], series.header["convolution_kernel"]) == (120, "STANDARD")
    assert series.header["contrast_agent"] is False


def test_legacy_converted_acquisitions_come_apart(tmp_path) -> None:
    hu = phantom(3)
    ds = enhanced(np.concatenate([hu, hu + 3]))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = LEGACY
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        del frame.FrameContentSequence[0].FrameAcquisitionNumber
        frame.UnassignedPerFrameConvertedAttributesSequence = one(AcquisitionNumber=1 + k // 3)
        frame.PlanePositionSequence[0].ImagePositionPatient[2] = 100 + 1.25 * (k % 3)
    save(ds, tmp_path / "x")
    assert [s.split_by for s in find_series(tmp_path).series] == [("acquisition",)] * 2


def concatenation(folder, hu, parts, skip=()) -> None:
    for number, frames in enumerate(parts, 1):
        if number in skip:
            continue
        ds = enhanced(hu, frames)
        ds.SOPInstanceUID = uid("part", number)
        ds.ConcatenationUID = uid("whole")
        ds.InConcatenationNumber, ds.InConcatenationTotalNumber = number, len(parts)
        save(ds, folder / str(number))


def test_concatenations_are_one_series(tmp_path) -> None:
    hu = phantom(9)
    concatenation(tmp_path, hu, [[8, 0, 1], [2, 3, 4], [5, 6, 7]])
    series = only(find_series(tmp_path))
    assert len(series.paths) == 3
    assert series.split_by == ()
    assert np.array_equal(read_volume(series).array, hu)


def test_a_missing_part_of_a_concatenation(tmp_path) -> None:
    hu = phantom(9)
    parts = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    concatenation(tmp_path / "middle", hu, parts, skip=[2])
    assert only(find_series(tmp_path / "middle")).problem.reason == "truncated"
    concatenation(tmp_path / "end", hu, parts, skip=[3])
    problem = only(find_series(tmp_path / "end")).problem
    assert problem.reason == "truncated"
    assert "1 of 3 parts" in problem.message


@pytest.mark.parametrize(("fragments", "table"), [(1, True), (1, False), (3, True), (3, False)])
def test_fragments_and_offset_tables(tmp_path, fragments, table) -> None:
    hu = phantom(6)
    save(packed(enhanced(hu, [5, 0, 1, 2, 4, 3]), fragments, table), tmp_path / "x")
    assert np.array_equal(read_volume(only(find_series(tmp_path))).array, hu)
    assert np.array_equal(read_volume(only(find_series(tmp_path)), ReadParams(threads=1)).array, hu)


def test_extended_offset_table(tmp_path) -> None:
    hu = phantom(4)
    ds = packed(enhanced(hu), table=False)
    ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = bytes(32), bytes(32)  # and it lies
    save(ds, tmp_path / "x")
    assert np.array_equal(read_volume(only(find_series(tmp_path))).array, hu)


def test_deflated_multi_frame_and_big_endian(tmp_path) -> None:
    hu = phantom(6)
    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"):
        ds = enhanced(hu, [5, 0, 1, 2, 4, 3])
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax.endswith(".2.2"):
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        save(ds, tmp_path / "x")
        assert np.array_equal(read_volume(only(find_series(tmp_path))).array, hu)


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(data).to_bytes(4, "little") + data


END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def spans(data: bytes, count: int):
    return frame_spans(MemorySource(data), 0, count)


def test_frames_of_fragments() -> None:
    a, b, c = b"aa\xff\xd9", b"bbbb", b"cc\xff\xd9\0\0"
    whole = item(b"") + item(a) + item(b) + item(c)
    assert [len(f) for f in spans(whole + END, 1)] == [3]
    assert [len(f) for f in spans(whole + END, 3)] == [1, 1, 1]
    assert [len(f) for f in spans(whole + END, 2)] == [1, 2]
    assert [len(f) for f in spans(whole, 2)] == [1, 2]  # without delimiter, and yet whole
    table = item((0).to_bytes(4, "little") + (24).to_bytes(4, "little"))
    assert [len(f) for f in spans(table + whole[8:] + END, 2)] == [2, 1]
    lying = item((0).to_bytes(4, "little") + (13).to_bytes(4, "little"))
    with pytest.raises(CodecError):
        spans(lying + whole[8:] + END, 2)
    with pytest.raises(TruncatedError):
        spans(whole + END, 4)
    with pytest.raises(TruncatedError):
        spans(item(b"") + END, 1)
    for bad in (b"garbage!" * 4, item(b"") + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + bytes(8)):
        with pytest.raises(ReadError):
            spans(bad, 1)
    for length in range(8, len(whole)):
        if length not in (8, 20, 32):
            with pytest.raises(TruncatedError):
                spans(whole[:length], 1)
