"""The header walk gives what pydicom gives, on every sample file there is, and does not follow damage."""

from __future__ import annotations

import logging
import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from imaging.errors import TruncatedError
from imaging.reading import elements
from imaging.reading.dicomfile import is_dicom, open_dicom
from imaging.reading.headers import TAGS
from imaging.reading.params import ReadParams
from imaging.reading.source import MemorySource, open_source
from tests.data import SHARED_DATA
from tests.dicom_files import dataset, enhanced, phantom, save

SAMPLES = [Path(pydicom.__file__).parent / "data", SHARED_DATA]
UNSIGNED = ("PixelPaddingValue", "PixelPaddingRangeLimit")  # signed or not: `pixels.padding_range` settles it
KEYWORDS = {tag: keyword for keyword, tag in elements._TAG.items()}


def texts(value) -> list[str]:
    values = value if isinstance(value, (list, MultiValue)) else [] if value == "" else [value]
    return [str(v).strip("\0 ") for v in values]


def same(one: list[str], other: list[str]) -> bool:
    if one == other:
        return True
    try:
        return [float(v) for v in one] == [float(v) for v in other]
    except ValueError:
        return False


def differences(path) -> list[str]:
    """Keywords whose values differ from those that pydicom reads."""
    with open_source(path) as source:
        if not is_dicom(source.read(0, 144)):
            return []
        found = open_dicom(source, TAGS, ReadParams())
    if found.problem is not None:
        return [found.problem.reason]
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
        for tag, keyword in KEYWORDS.items():
            value = ds.get(keyword)
            if isinstance(value, Sequence):
                if len(value) != len(found.elements.items(keyword)):
                    wrong.append(keyword)
            elif value is None:
                if isinstance(found.elements.values.get(tag), elements.Value) and found.elements.texts(keyword):
                    wrong.append(keyword)
            elif isinstance(value, bytes):
                entry = found.elements.values.get(tag)
                if isinstance(entry, elements.Value) and entry.data != value:
                    wrong.append(keyword)
            elif keyword not in UNSIGNED and not same(texts(value), found.elements.texts(keyword)):
                wrong.append(keyword)
    return wrong


@pytest.mark.parametrize("folder", SAMPLES, ids=["pydicom", "shared"])
def test_agrees_with_pydicom_on_every_sample(folder) -> None:
    logging.getLogger("pydicom").disabled = True
    try:
        wrong = {p.name: d for p in sorted(folder.rglob("*")) if p.is_file() and (d := differences(p))}
    finally:
        logging.getLogger("pydicom").disabled = False
    assert wrong in ({}, {"rtplan_truncated.dcm": ["truncated"]})


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 9, 11])
def test_every_length_of_a_header_ends_typed(tmp_path, cut) -> None:
    data = save(enhanced(phantom(3)), tmp_path / "x").read_bytes()
    for length in range(200 + cut, len(data) - 3000, 13):
        try:
            found = open_dicom(MemorySource(data[:length]), TAGS, ReadParams())
        except TruncatedError:  # not even the meta header is whole
            assert length < 400
            continue
        assert found.problem is None or found.problem.reason in ("truncated", "unreadable")
        assert found.pixels is None or found.pixels.offset <= length


def element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", *tag, vr, len(value)) + value


def walked(data: bytes, *, explicit: bool = True, little: bool = True) -> elements.Walk:
    walk = elements.Walk(MemorySource(data), little=little, wanted=TAGS, max_depth=64)
    walk.problem = walk.run(0, explicit=explicit)
    return walk


def test_numbers_and_texts() -> None:
    data = element((0x20, 0x32), b"DS", b" 1.5\\-2e1\\3 \0") + element((0x28, 0x30), b"DS", b"1_0\\2")
    data = element((0x10, 0x10), b"PN", b"X") + data + element((0x28, 0x10), b"US", b"\x05\0")
    found = walked(element((8, 8), b"CS", b"A \\B\\") + data).found
    assert found.numbers("ImagePositionPatient", 3) == (1.5, -20.0, 3.0)
    assert found.numbers("ImagePositionPatient", 2) is None
    assert found.numbers("PixelSpacing", 2) is None
    assert found.texts("ImageType") == ["A", "B", ""]
    assert (found.integer("Rows"), found.integer("Columns"), found.text("Modality")) == (5, None, "")
    assert found.first("PixelMeasuresSequence").text("PixelSpacing") == ""


@pytest.mark.parametrize("text", [b"nan", b"inf", b"1e999", b"\xb2", b"", b"1 2", b"0x10", b"1,5"])
def test_no_numbers(text) -> None:
    found = walked(element((0x28, 0x1053), b"DS", text)).found
    assert found.number("RescaleSlope") is None


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        (b"ISO_IR 100", "Übersicht".encode("latin-1"), "Übersicht"),
        (b"ISO_IR 192", "胸部".encode(), "胸部"),
        (b"nonsense", b"\xe4", "ä"),
        (b"", b"\xe4", "ä"),
    ],
)
def test_character_sets(charset, data, text) -> None:
    whole = element((8, 5), b"CS", charset) + element((8, 0x103E), b"LO", data)
    assert walked(whole).found.text("SeriesDescription") == text


def test_implicit_items_and_elements_within_an_explicit_file() -> None:
    inner = struct.pack("<HHI", 0x18, 0x50, 4) + b"2.5 "
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
    data = struct.pack("<HH2sHI", 0x28, 0x9110, b"UN", 0, 0xFFFFFFFF) + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data += struct.pack("<HHI", 0x5200, 0, 0) + element((0x5400, 1), b"ZZ", b"ab")
    walk = walked(data)
    assert walk.problem is None
    assert walk.found.first("PixelMeasuresSequence").number("SliceThickness") == 2.5


def test_a_sequence_that_is_none() -> None:
    bad = struct.pack("<HH2sHI", 0x28, 0x9110, b"SQ", 0, 16) + b"\x08\0\x60\0CS\x02\0CT\0\0\0\0\0\0"
    assert walked(bad).problem.reason == "unreadable"
    over = struct.pack("<HH2sHI", 0x28, 0x9110, b"SQ", 0, 12) + b"\xfe\xff\x00\xe0\xff\0\0\0" + bytes(4)
    assert walked(over).problem.reason == "truncated"
    inner = element((0x18, 0x50), b"DS", b"2.5 ")
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner) - 2) + inner
    short = struct.pack("<HH2sHI", 0x28, 0x9110, b"SQ", 0, len(item) - 2) + item
    assert walked(short).problem.reason == "truncated"


def test_values_across_windows() -> None:
    """A wanted value that lies across the end of what was read at once."""
    for shift in range(-30, 4):
        filler = elements.CHUNK + shift - 12
        data = struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, filler) + bytes(filler)
        data += element((0x20, 0x32), b"DS", b"1\\2\\3 ") + element((0x28, 0x10), b"US", b"\x07\0")
        found = walked(data).found
        assert found.numbers("ImagePositionPatient", 3) == (1.0, 2.0, 3.0)
        assert found.integer("Rows") == 7


def test_headers_of_real_length(tmp_path) -> None:
    ds = dataset(phantom()[0])
    for k in range(200):
        ds.add_new((0x0019 << 16) + 0x1010 + k, "OB", bytes(1000))
    ds.add_new((0x0019 << 16) + 0x1001, "LO", "x")
    with open_source(save(ds, tmp_path / "x")) as source:
        found = open_dicom(source, TAGS, ReadParams())
        assert found.elements.integer("Rows") == 24
        assert found.pixels.length == 24 * 20 * 2
        assert found.source.read(found.pixels.offset, 960) == ds.PixelData
