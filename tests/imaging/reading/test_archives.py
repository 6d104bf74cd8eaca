"""Archives: what is in them is found and read as if it lay in a folder, within limits, and nothing is extracted."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from imaging import ReadParams, UsageError
from imaging.errors import LimitError, ReadError
from imaging.reading import archives
from imaging.reading.discover import find_series
from imaging.reading.read import read_volume
from tests.dicom_files import ENCODERS, compress, enhanced, meta_end, phantom, save, write_series

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}


def pack(folder, archive) -> None:
    """Every file of a folder, with names relative to it."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for file in files:
                out.write(file, file.relative_to(folder))
        return
    with tarfile.open(archive, TARS["".join(archive.suffixes)]) as out:
        for file in files:
            out.add(file, str(file.relative_to(folder)))


def only(found):
    assert len(found.series) == 1, (found.series, found.ignored)
    return found.series[0]


@pytest.mark.parametrize("suffix", [".zip", *TARS])
def test_a_series_in_an_archive(tmp_path, suffix) -> None:
    hu = write_series(tmp_path / "in/scan")
    (tmp_path / "in/notes.txt").write_text("hello")
    (tmp_path / "in/empty").touch()
    archive = tmp_path / f"a{suffix}"
    pack(tmp_path / "in", archive)
    for root in (archive, tmp_path / "folder"):
        if root != archive:
            root.mkdir()
            archive = archive.rename(root / archive.name)
        found = find_series(root)
        series = only(found)
        volume = read_volume(series)
        assert np.array_equal(volume.array, hu)
        assert volume.flags == ()
        assert series.paths[0] == archive / "scan/IM0000.dcm"
        assert found.ignored == {archive / "notes.txt": "not_dicom", archive / "empty": "empty_file"}
    assert [p.name for p in (tmp_path / "folder").iterdir()] == [archive.name]


def test_the_same_series_in_and_beside_an_archive_has_copies(tmp_path) -> None:
    hu = write_series(tmp_path / "in")
    pack(tmp_path / "in", tmp_path / "a.zip")
    volume = read_volume(only(find_series(tmp_path)))
    assert volume.flags == ("duplicates_removed",)
    assert np.array_equal(volume.array, hu)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "deflated"])
def test_compressed_and_multi_frame_members(tmp_path, syntax) -> None:
    if syntax == "deflated":
        hu = write_series(tmp_path / "in", syntax="1.2.840.10008.1.2.1.99")
    else:
        hu = write_series(tmp_path / "in", change=lambda ds, k: compress(ds, syntax, ENCODERS[syntax]))
    save(enhanced(phantom(5), [4, 0, 2, 1, 3], SeriesInstanceUID="1.2.3"), tmp_path / "in/z")
    pack(tmp_path / "in", tmp_path / "a.tgz")
    found = find_series(tmp_path / "a.tgz")
    assert np.array_equal(read_volume(found.series[0]).array, hu)
    assert np.array_equal(read_volume(found.series[1]).array, phantom(5))


def test_hostile_names_are_shown_harmless(tmp_path) -> None:
    hu = write_series(tmp_path / "in")
    names = ["../../evil", "/abs/evil", "C:\\evil\\x", "a/../../b", "..", "x\x1b[31m", "\u202egnp.exe", "same"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for name, file in zip(names, sorted((tmp_path / "in").iterdir()), strict=True):
            out.writestr(zipfile.ZipInfo(name), file.read_bytes())
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("same", b"other")
    found = find_series(tmp_path / "a.zip")
    series = only(found)
    assert np.array_equal(read_volume(series).array, hu)
    shown = [str(p.relative_to(tmp_path / "a.zip")) for p in series.paths]
    assert shown == ["evil", "abs/evil", "C_/evil/x", "a/b", "member 4", "x_[31m", "_gnp.exe", "same"]
    assert found.ignored == {tmp_path / "a.zip/same (2)": "not_dicom"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "in"]


def test_links_folders_and_nested_archives_are_left_out(tmp_path) -> None:
    hu = write_series(tmp_path / "in")
    pack(tmp_path / "in", tmp_path / "inner.zip")
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        out.add(tmp_path / "in", "in")
        out.add(tmp_path / "inner.zip", "inner.zip")
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        out.writestr(info, "/etc/passwd")
        out.mkdir("folder")
        out.writestr("scan.nii.gz", gzip.compress(bytes(400)))
    found = find_series(tmp_path / "a.tar")
    assert np.array_equal(read_volume(only(found)).array, hu)
    names = {p.name: reason for p, reason in found.ignored.items()}
    assert names == {"inner.zip": "not_dicom", "link": "symlink", "hard": "symlink", "pipe": "not_dicom"}
    names = {p.name: reason for p, reason in find_series(tmp_path / "b.zip").ignored.items()}
    assert names == {"link": "symlink", "scan.nii.gz": "archived"}


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_in_tar(tmp_path, layout) -> None:
    names = ["a" * 90 + "/" + "b" * 90, "short", "f" * 60 + "/" + "g" * 60]
    if layout != tarfile.USTAR_FORMAT:
        names += ["ümlaut", "c" * 100 + "/" + "d" * 200]
    with tarfile.open(tmp_path / "a.tar", "w", format=layout) as out:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 700
            out.addfile(info, io.BytesIO(name.encode()[:1] * 700))
    found = list(archives.members(tmp_path / "a.tar", ReadParams()))
    assert [m.data for m in found] == [name.encode()[:1] * 700 for name in names]
    assert [m.name for m in found] == ["/".join(part[:120] for part in name.split("/")) for name in names]


@pytest.mark.parametrize("suffix", [".zip", *TARS])
def test_cut_or_damaged_archives_are_refused_whole(tmp_path, suffix) -> None:
    write_series(tmp_path / "in")
    archive = tmp_path / f"a{suffix}"
    pack(tmp_path / "in", archive)
    good = archive.read_bytes()
    for length in (0, 1, 30, 600, len(good) // 2, good.rindex(b"IM0007") + 900 if suffix == ".tar" else len(good) - 5):
        archive.write_bytes(good[:length])
        found = find_series(archive)
        assert not found.series, length
        assert list(found.ignored) == [archive]
        assert found.ignored[archive] in ("truncated", "unreadable")
    rng = np.random.default_rng(1)
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 8):
            data[place] = rng.integers(256)
        archive.write_bytes(data)
        for series in find_series(archive).series:
            assert series.problem is not None or series.flags or len(series.paths) == 8


def test_a_damaged_member_is_told_and_flags_the_series(tmp_path) -> None:
    write_series(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for file in sorted((tmp_path / "in").iterdir()):
            out.write(file, file.name)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.rindex(b"IM0007.dcm", 0, data.rindex(b"PK\1\2") - 800) + 900] ^= 255  # its checksum tells
    (tmp_path / "a.zip").write_bytes(data)
    found = find_series(tmp_path / "a.zip")
    assert found.ignored == {tmp_path / "a.zip/IM0007.dcm": "unreadable"}
    assert "files_unreadable" in only(found).flags


def test_encrypted_and_unbounded_methods(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("lzma", b"x" * 100, zipfile.ZIP_LZMA)
        out.writestr("plain", b"y" * 100)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    central = data.rindex(b"PK\1\2")
    data[central + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert set(find_series(tmp_path / "a.zip").ignored.values()) == {"unreadable"}
    assert len(find_series(tmp_path / "a.zip").ignored) == 2


# --- bombs


def bomb(archive, size: int) -> None:
    """One member of zeros."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out, out.open("zeros", "w") as member:
            for _ in range(size >> 20):
                member.write(bytes(1 << 20))
        return
    with gzip.open(archive, "wb", 6) as out:
        info = tarfile.TarInfo("zeros")
        info.size = size
        out.write(info.tobuf())
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
        out.write(bytes(1024))


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_bombs(tmp_path, suffix) -> None:
    bomb(tmp_path / f"a{suffix}", 80 << 20)
    assert find_series(tmp_path).ignored == {tmp_path / f"a{suffix}": "too_large"}
    big = ReadParams(max_inflated_mb=10, max_archive_gb=1)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        out.writestr("large", os.urandom(11_000_000))
        out.writestr("small", b"x")
    found = find_series(tmp_path / "b.zip", params=big)
    assert {p.name: r for p, r in found.ignored.items()} == {"large": "too_large", "small": "not_dicom"}
    with pytest.raises(LimitError):
        list(archives.members(tmp_path / "b.zip", ReadParams(max_archive_gb=0.01)))


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_too_many_members(tmp_path, suffix) -> None:
    for k in range(12):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / str(k)).write_text("x")
    pack(tmp_path / "in", tmp_path / f"a{suffix}")
    assert len(find_series(tmp_path / f"a{suffix}", params=ReadParams(max_files=12)).ignored) == 12
    found = find_series(tmp_path / f"a{suffix}", params=ReadParams(max_files=11))
    assert found.ignored == {tmp_path / f"a{suffix}": "too_large"}
    with pytest.raises(UsageError, match="max_files"):
        find_series(tmp_path / "in", params=ReadParams(max_files=11))


def test_a_directory_that_is_too_large_is_not_read(tmp_path) -> None:
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, 1 << 30, 0, 0)
    (tmp_path / "a.zip").write_bytes(bytes(100) + end)
    assert find_series(tmp_path / "a.zip").ignored == {tmp_path / "a.zip": "too_large"}
    big = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 1 << 40, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 100, 1)
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 65535, 65535, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "a.zip").write_bytes(bytes(100) + big + locator + end)
    assert find_series(tmp_path / "a.zip").ignored == {tmp_path / "a.zip": "too_large"}
    (tmp_path / "a.zip").write_bytes(bytes(10) + locator + end)
    assert find_series(tmp_path / "a.zip").ignored == {tmp_path / "a.zip": "unreadable"}


def test_a_tar_name_that_claims_gigabytes(tmp_path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert find_series(tmp_path / "a.tar").ignored == {tmp_path / "a.tar": "too_large"}


def test_an_archive_that_changes_between_finding_and_reading(tmp_path) -> None:
    write_series(tmp_path / "in")
    pack(tmp_path / "in", tmp_path / "a.zip")
    series = only(find_series(tmp_path / "a.zip"))
    (tmp_path / "in/IM0007.dcm").unlink()
    pack(tmp_path / "in", tmp_path / "a.zip")
    with pytest.raises(ReadError, match="changed"):
        read_volume(series)
    (tmp_path / "a.zip").unlink()
    with pytest.raises(ReadError, match="cannot be read"):
        read_volume(series)


def test_members_do_not_fit_beside_the_volume(tmp_path) -> None:
    write_series(tmp_path / "in")
    pack(tmp_path / "in", tmp_path / "a.zip")
    with pytest.raises(LimitError):
        read_volume(only(find_series(tmp_path / "a.zip")), ReadParams(max_volume_gb=8 * 24 * 20 * 5 / 1e9))


def test_a_cut_member_refuses_its_series(tmp_path) -> None:
    write_series(tmp_path / "in")
    file = tmp_path / "in/IM0007.dcm"
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"\x28\0\x10\0US") + 3])
    pack(tmp_path / "in", tmp_path / "a.tar")
    found = find_series(tmp_path / "a.tar")
    assert found.ignored == {tmp_path / "a.tar/IM0007.dcm": "truncated"}
    assert only(found).problem.reason == "truncated"
    assert meta_end(data) > 132
