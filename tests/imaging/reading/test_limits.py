"""Bounded work: bombs and damage end in typed errors, quickly and in little memory."""

from __future__ import annotations

import contextlib
import resource
import struct
import time
import zlib

import numpy as np
import pytest

from imaging import ReadParams, UsageError
from imaging.errors import CalcimapError, LimitError, ReadError
from imaging.reading import guard
from imaging.reading.discover import find_series
from imaging.reading.elements import MOST_ELEMENTS
from imaging.reading.read import read_volume
from tests.dicom_files import ENCODERS, compress, dataset, enhanced, meta_end, phantom, save, write_series

SECONDS = 2.0


@pytest.fixture
def bounded():
    with bounds():
        yield


@contextlib.contextmanager
def bounds():
    """600 MB more address space than now, and two seconds."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 -- no path of ours
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    started = time.perf_counter()
    resource.setrlimit(resource.RLIMIT_AS, (now + 600_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.perf_counter() - started < SECONDS * 2


def outcome(path, params=None) -> str:
    """The reason of a file or series, or "read"."""
    found = find_series(path, params=params)
    if not found.series:
        (reason,) = found.ignored.values()
        return reason
    (series,) = found.series
    try:
        read_volume(series, params)
    except CalcimapError as error:
        return error.reason if "\n" not in error.message else error.message
    return "read"


def header(element: bytes) -> bytes:
    """A file whose data set begins with a class and a modality and goes on with `element`."""
    meta = b"\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    start = b"\x08\0\x16\0UI\x1a\0" + b"1.2.840.10008.5.1.4.1.1.2\0" + b"\x08\0\x60\0CS\x02\0CT"
    return bytes(128) + b"DICM" + meta + start + element


def test_params_are_checked() -> None:
    for name in ("max_volume_gb", "max_file_gb", "max_inflated_mb", "max_archive_gb", "max_files", "max_depth"):
        for value in (0, -1, float("nan"), float("inf")):
            with pytest.raises(UsageError, match=name):
                ReadParams(**{name: value})
    with pytest.raises(UsageError, match="max_depth"):
        ReadParams(max_depth=1000)
    with pytest.raises(UsageError, match="threads"):
        ReadParams(threads=-1)
    assert ReadParams().workers >= 2
    assert ReadParams(threads=1).workers == 1


@pytest.mark.parametrize("syntax", [None, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
def test_a_matrix_of_four_gigapixels(tmp_path, bounded, syntax) -> None:
    change = None if syntax is None else lambda ds, k: compress(ds, syntax, ENCODERS[syntax])
    write_series(tmp_path, change=change)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        for tag in (b"\x28\0\x10\0US\x02\0", b"\x28\0\x11\0US\x02\0"):
            place = data.index(tag) + 8
            data = data[:place] + b"\xff\xff" + data[place + 2 :]
        file.write_bytes(data)
    assert outcome(tmp_path) == ("truncated" if syntax is None else "too_large")


@pytest.mark.parametrize("packed", [False, True])
def test_two_billion_frames(tmp_path, bounded, packed) -> None:
    ds = enhanced(phantom(3))
    ds.NumberOfFrames = 2**31 - 1
    if packed:
        hu = dataset(phantom()[0])
        compress(hu, "1.2.840.10008.1.2.4.80", ENCODERS["1.2.840.10008.1.2.4.80"])
        ds.PixelData = hu.PixelData
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    save(ds, tmp_path / "x")
    assert outcome(tmp_path) == "no_geometry"
    ds = dataset(phantom()[0], NumberOfFrames=2**31 - 1)
    save(ds, tmp_path / "x")
    assert outcome(tmp_path) == "no_geometry"


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x40\0\0\0"], ids=["undefined", "defined"])
@pytest.mark.parametrize("tag", [b"\x40\0\x75\x02", b"\x00\x52\x29\x92"], ids=["unwanted", "wanted"])
def test_nested_sequences(tmp_path, bounded, tag, length) -> None:
    levels = 20_000
    if length == b"\xff\xff\xff\xff":
        element = (tag + b"SQ\0\0" + length + b"\xfe\xff\x00\xe0" + length) * levels
    else:
        element = b""
        for _ in range(3000):
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(element)) + element
            element = tag + b"SQ\0\0" + struct.pack("<I", len(item)) + item
    (tmp_path / "x").write_bytes(header(element))
    assert outcome(tmp_path) in ("too_large", "no_pixels")


def test_depth_is_a_limit(tmp_path) -> None:
    element = b""
    for _ in range(40):
        item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + element + b"\xfe\xff\x0d\xe0\0\0\0\0"
        element = b"\x40\0\x75\x02SQ\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    (tmp_path / "x").write_bytes(header(element))
    assert outcome(tmp_path) == "no_pixels"
    assert outcome(tmp_path, ReadParams(max_depth=39)) == "too_large"
    assert outcome(tmp_path, ReadParams(max_depth=40)) == "no_pixels"


def test_more_elements_than_anybody_reads(tmp_path, bounded) -> None:
    (tmp_path / "x").write_bytes(header(b"\x09\0\x01\x10LO\0\0" * (MOST_ELEMENTS + 10)))
    assert outcome(tmp_path) == "too_large"


def test_more_items_than_anybody_reads(tmp_path, bounded) -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * (MOST_ELEMENTS + 10)
    (tmp_path / "x").write_bytes(header(b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff" + items))
    assert outcome(tmp_path) == "too_large"


@pytest.mark.parametrize("length", [0xFFFFFFFE, 1 << 31, 70_000])
def test_lengths_beyond_the_file(tmp_path, bounded, length) -> None:
    for vr in (b"OB", b"SQ", b"UN", b"UT"):
        (tmp_path / "x").write_bytes(header(b"\x28\0\x52\x10" + vr + b"\0\0" + struct.pack("<I", length) + bytes(100)))
        assert outcome(tmp_path) == "truncated"
    (tmp_path / "x").write_bytes(bytes(128) + b"DICM\x02\0\x01\0OB\0\0" + struct.pack("<I", length) + bytes(100))
    assert outcome(tmp_path) == "unreadable"


def test_a_long_text_is_not_kept(tmp_path) -> None:
    hu = write_series(tmp_path, change=lambda ds, k: setattr(ds, "SeriesDescription", "x"))
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        place = data.index(b"\x08\0\x3e\x10LO")
        long = b"\x08\0\x3e\x10UT\0\0" + struct.pack("<I", 1 << 20) + b"y" * (1 << 20)
        file.write_bytes(data[:place] + long + data[place + 10 :])
    (series,) = find_series(tmp_path).series
    assert series.description == ""
    assert np.array_equal(read_volume(series).array, hu)


def test_deflate_bombs(tmp_path) -> None:
    file = save(dataset(phantom()[0], syntax="1.2.840.10008.1.2.1.99"), tmp_path / "bomb")
    data = file.read_bytes()
    meta = meta_end(data)
    machine = zlib.compressobj(wbits=-15)
    zeros = bytes(1 << 20)
    packed = [machine.compress(zlib.decompress(data[meta:], -15))]
    packed += [machine.compress(zeros) for _ in range(1000)]
    file.write_bytes(data[:meta] + b"".join(packed) + machine.flush())
    assert file.stat().st_size < 1_200_000
    with bounds():
        assert outcome(tmp_path) == "too_large"


def test_deflate_limit_is_a_parameter(tmp_path) -> None:
    write_series(tmp_path, np.zeros((1, 512, 512)), syntax="1.2.840.10008.1.2.1.99")
    assert outcome(tmp_path) == "read"
    assert outcome(tmp_path, ReadParams(max_inflated_mb=0.4)) == "too_large"


def test_files_that_are_too_large_are_not_opened(tmp_path) -> None:
    write_series(tmp_path, phantom(1))
    assert outcome(tmp_path, ReadParams(max_file_gb=1e-6)) == "too_large"


def test_more_files_than_allowed(tmp_path) -> None:
    write_series(tmp_path)
    assert len(find_series(tmp_path, params=ReadParams(max_files=8)).series) == 1
    with pytest.raises(UsageError, match="max_files"):
        find_series(tmp_path, params=ReadParams(max_files=7))


class PanicError(BaseException):
    """Like the panics of compiled code: no Exception."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PanicError("x"), ReadError),
        (RecursionError("x"), ReadError),
        (MemoryError(), LimitError),
        (KeyError("CANARY"), ReadError),
        (OSError(5, "Input/output error", "CANARY"), ReadError),
        (ReadError("codec", "kept"), ReadError),
    ],
)
def test_every_error_is_typed_at_the_boundary(tmp_path, error, kind) -> None:
    with pytest.raises(kind) as caught, guard.typed(tmp_path):
        raise error
    assert caught.value.path == tmp_path
    assert "CANARY" not in caught.value.message


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_the_program_passes(tmp_path, stop) -> None:
    with pytest.raises(stop), guard.typed(tmp_path):
        raise stop


def seeds(folder):
    """One file of each kind."""
    write_series(folder / "raw", phantom(1))
    write_series(folder / "implicit", phantom(1), syntax="1.2.840.10008.1.2")
    write_series(folder / "deflated", phantom(1), syntax="1.2.840.10008.1.2.1.99")
    for k, (syntax, encode) in enumerate(ENCODERS.items()):
        write_series(folder / f"c{k}", phantom(1), change=lambda d, _, s=syntax, e=encode: compress(d, s, e))
    save(enhanced(phantom(3)), folder / "enhanced/e")
    return [p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()]


def test_mutants_end_typed_and_soon(tmp_path) -> None:
    rng = np.random.default_rng(11)
    file = tmp_path / "mutant"
    slowest, outcomes = 0.0, set()
    for good in seeds(tmp_path / "seeds"):
        for _ in range(60):
            data = bytearray(good)
            end = len(data) if rng.random() < 0.5 else min(len(data), 1500)
            for place in rng.integers(132, end, rng.integers(1, 8)):
                data[place] = rng.choice([0, 255, rng.integers(256)])
            if rng.random() < 0.2:
                del data[rng.integers(140, len(data)) :]
            file.write_bytes(data)
            started = time.perf_counter()
            with contextlib.suppress(CalcimapError):
                for series in find_series(file).series:
                    read_volume(series, ReadParams(max_volume_gb=0.5))
                    outcomes.add("read")
            slowest = max(slowest, time.perf_counter() - started)
    assert outcomes == {"read"}
    assert slowest < SECONDS
