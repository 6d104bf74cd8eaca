"""NIfTI and NRRD headers that are damaged, foreign or point elsewhere end in the reason that fits."""

import struct

import pytest

from imaging import CalcimapError, find_series, read_volume
from tests.fuzz.mutants import nifti, seeds


def outcome(path):
    found = find_series(path)
    if not found.series:
        return f"ignored: {next(iter(found.ignored.values()))}"
    try:
        read_volume(found.series[0])
    except CalcimapError as error:
        return error.reason
    return "read"


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        (b"NRRD0004", b"NRRD0004", "read"),
        (b"NRRD0004", b"MRRD0004", "ignored: unreadable"),
        (b"sizes: 10 12 4\n", b"", "ignored: unreadable"),
        (b"sizes: 10 12 4", b"sizes: 10 0 4", "ignored: unreadable"),
        (b"sizes: 10 12 4", b"sizes: ten 12 4", "ignored: unreadable"),
        (b"sizes: 10 12 4", b"sizes: 10 6 2 4", "mixed_acquisitions"),
        (b"encoding: raw", b"encoding: bzip2", "ignored: codec"),
        (b"type: short", b"type: block", "ignored: codec"),
        (b"encoding: raw", b"encoding: raw\nbyte skip: -1", "ignored: codec"),
        (b"encoding: raw", b"encoding: raw\nline skip: 3", "ignored: codec"),
        (b"encoding: raw", b"encoding: raw\ndata file: ../../etc/passwd", "ignored: unreadable"),
        (b"encoding: raw", b"encoding: raw\ndata file: LIST", "ignored: unreadable"),
        (b"encoding: raw", b"encoding: raw\ndata file: absent.raw", "unreadable"),
        (b"space: left-posterior-superior\n", b"", "no_geometry"),
        (b"space: left-posterior-superior", b"space: scanner-xyz", "no_geometry"),
        (b"(0.7,0,0)", b"(0,0,0)", "no_geometry"),
        (b"(0.7,0,0)", b"(nan,0,0)", "no_geometry"),
        (b"(0.7,0,0)", b"none", "no_geometry"),
        (b"space origin: (1,2,3)", b"space origin: (1,2)", "no_geometry"),
    ],
)
def test_nrrd(tmp_path, old, new, end):
    data = seeds()["scan.nrrd"]
    assert old in data
    path = tmp_path / "scan.nrrd"
    path.write_bytes(data.replace(old, new))
    assert outcome(path) == end or (end == "unreadable" and outcome(path) == "ignored: unreadable")


def test_nrrd_that_ends_in_its_header(tmp_path):
    path = tmp_path / "scan.nrrd"
    path.write_bytes(seeds()["scan.nrrd"].split(b"\n\n")[0])
    assert outcome(path) == "ignored: truncated"


@pytest.mark.parametrize(
    ("place", "layout", "value", "end"),
    [
        (0, "<i", 348, "read"),
        (0, "<i", 999, "ignored: unreadable"),
        (344, "4s", b"ni1\0", "ignored: unreadable"),
        (40, "<h", 9, "ignored: unreadable"),
        (42, "<h", -3, "ignored: unreadable"),
        (108, "<f", -5.0, "ignored: unreadable"),
        (108, "<f", float("nan"), "ignored: unreadable"),
        (70, "<h", 128, "not_hu"),  # RGB
        (254, "<h", 0, "no_geometry"),
        (280, "<4f", (0.0, 0.0, 0.0, 0.0), "no_geometry"),
        (280, "<f", float("inf"), "no_geometry"),
        (112, "<f", 0.0, "read"),  # no scaling, by the standard
        (112, "<f", float("nan"), "read"),
    ],
)
def test_nifti(tmp_path, place, layout, value, end):
    data = bytearray(nifti())
    struct.pack_into(layout, data, place, *(value if isinstance(value, tuple) else (value,)))
    path = tmp_path / "scan.nii"
    path.write_bytes(data)
    if (place, value) == (254, 0):
        struct.pack_into("<h", data, 252, 0)
        path.write_bytes(data)
    assert outcome(path) == end


@pytest.mark.parametrize("left", [0, 100, 347, 400])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_nifti_that_ends_early(tmp_path, name, left):
    path = tmp_path / name
    path.write_bytes(seeds()[name][:left])
    assert outcome(path) in ("ignored: empty_file", "ignored: truncated", "truncated")
