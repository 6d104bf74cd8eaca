"""Small files that ask for much: each is opened in a process that may take 1 GB more than it has.

python -m tests.fuzz.bombs [NAME ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ..dicom_files import ENCODERS, compress, dataset, enhanced, meta_end, phantom
from .mutants import bytes_of, nifti, packed
from .run import ROOT, examine, limit_memory

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Explosion:
    """How a bomb ended."""

    name: str
    size: int
    outcome: str
    seconds: float
    extra_mb: float


BOMBS: dict[str, Callable[[], tuple[str, bytes]]] = {}


def bomb(function: Callable[[], tuple[str, bytes]]) -> Callable[[], tuple[str, bytes]]:
    """Registers a function that returns the name and the bytes of a file."""
    BOMBS[function.__name__] = function
    return function


def zeros(size: int) -> bytes:
    """Raw deflate blocks of `size` zeros, a multiple of 16 MB; they may stand after others and before more."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = machine.compress(bytes(1 << 24)) + machine.flush(zlib.Z_FULL_FLUSH)
    return start * (size >> 24)


def gzipped(start: bytes, size: int) -> bytes:
    """A gzip file of `start` and then `size` zeros, with the right checksum."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = machine.compress(start) + machine.flush(zlib.Z_FULL_FLUSH) + zeros(size) + b"\x03\0"
    check, block = zlib.crc32(start), bytes(1 << 24)
    for _ in range(size >> 24):
        check = zlib.crc32(block, check)
    return b"\x1f\x8b\x08" + bytes(7) + data + struct.pack("<II", check, (len(start) + size) & 0xFFFFFFFF)


def _slice(**options: object) -> bytes:
    return bytes_of(dataset(phantom()[0], **options))


@bomb
def deflated_gigabytes() -> tuple[str, bytes]:
    """A deflated DICOM file of 2 MB that inflates to 2 GB."""
    plain = _slice(syntax=DeflatedExplicitVRLittleEndian)
    head, body = plain[: meta_end(plain)], zlib.decompress(plain[meta_end(plain) :], -zlib.MAX_WBITS)
    start = body[: body.index(struct.pack("<HH", 0x7FE0, 0x10))] + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 2**31)
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = machine.compress(start) + machine.flush(zlib.Z_FULL_FLUSH) + zeros(2 * GIB) + b"\x03\0"
    return "deflated", head + data


def _nested(depth: int, length: int) -> bytes:
    """A slice with sequences in sequences before its pixels."""
    plain = _slice()
    at = plain.index(struct.pack("<HH", 0x0018, 0x0050))
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, length) + struct.pack("<HHI", 0xFFFE, 0xE000, length)
    return plain[:at] + opening * depth + plain[at:]


@bomb
def nested_sequences() -> tuple[str, bytes]:
    """5,000 sequences in each other, of undefined length."""
    return "nested", _nested(5000, 0xFFFFFFFF)


@bomb
def nested_sequences_deep() -> tuple[str, bytes]:
    """200,000 sequences in each other."""
    return "nested", _nested(200_000, 0xFFFFFFFF)


@bomb
def nested_sequences_of_known_length() -> tuple[str, bytes]:
    """5,000 sequences in each other that all say 4 GB."""
    return "nested", _nested(5000, 0xFFFFFFF0)


@bomb
def nested_functional_groups() -> tuple[str, bytes]:
    """Nesting within the functional groups of an enhanced CT, which have to be parsed."""
    plain = bytes_of(enhanced(phantom()))
    at = plain.index(struct.pack("<HH", 0x0020, 0x9113))
    opening = struct.pack("<HH2sHIHHI", 0x0020, 0x9113, b"SQ", 0, 2**32 - 1, 0xFFFE, 0xE000, 2**32 - 1)
    return "nested", plain[:at] + opening * 3000 + plain[at:]


@bomb
def a_million_empty_items() -> tuple[str, bytes]:
    """A sequence of a million empty items."""
    plain = _slice()
    at = plain.index(struct.pack("<HH", 0x0018, 0x0050))
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000
    return "items", plain[:at] + struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(items)) + items + plain[at:]


@bomb
def a_million_fragments() -> tuple[str, bytes]:
    """Pixels in a million empty fragments."""
    syntax, encode = next(iter(ENCODERS.items()))
    plain = bytes_of(compress(dataset(phantom()[0]), syntax, encode))
    at = plain.index(struct.pack("<HH", 0xFFFE, 0xE000))
    return "fragments", plain[: at + 8] + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000 + plain[at + 8 :]


@bomb
def half_a_million_elements() -> tuple[str, bytes]:
    """Private elements without end."""
    plain = _slice()
    at = plain.index(struct.pack("<HH", 0x0018, 0x0050))
    elements = b"".join(struct.pack("<HH2sH", 0x0009, 0x1000 + k % 0xEFFF, b"CS", 0) for k in range(500_000))
    return "elements", plain[:at] + elements + plain[at:]


def _huge(encode: Callable[[np.ndarray], bytes] | None, syntax: str) -> bytes:
    ds = dataset(phantom()[0])
    if encode:
        compress(ds, syntax, encode)
    ds.Rows = ds.Columns = 65535
    return bytes_of(ds)


@bomb
def huge_matrix_native() -> tuple[str, bytes]:
    """Rows and columns 65535, a thousand bytes of pixels."""
    return "huge", _huge(None, ExplicitVRLittleEndian)


@bomb
def huge_matrix_rle() -> tuple[str, bytes]:
    """The same with RLE."""
    return "huge", _huge(ENCODERS["1.2.840.10008.1.2.5"], "1.2.840.10008.1.2.5")


@bomb
def huge_matrix_jpeg_ls() -> tuple[str, bytes]:
    """The codestream says 65535 rows and columns as well."""
    data = _huge(ENCODERS["1.2.840.10008.1.2.4.80"], "1.2.840.10008.1.2.4.80")
    at = data.index(b"\xff\xf7") + 5
    return "huge", data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]


@bomb
def huge_matrix_jpeg_2000() -> tuple[str, bytes]:
    """A JPEG 2000 codestream of 2 billion columns in an image that calls itself small."""
    data = bytes_of(compress(dataset(phantom()[0]), "1.2.840.10008.1.2.4.90", ENCODERS["1.2.840.10008.1.2.4.90"]))
    at = data.index(b"\xff\x4f\xff\x51") + 8
    return "huge", data[:at] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + data[at + 8 :]


@bomb
def compressed_zeros() -> tuple[str, bytes]:
    """30,000 x 30,000 pixels of air in a small RLE frame, well-formed."""
    side = 30_000
    plane = b"\x81\0" * (side * side // 128 + 1)
    head = np.zeros(16, "<u4")
    head[:3] = 2, 64, 64 + len(plane)
    ds = dataset(phantom()[0])
    ds.PixelData = encapsulate([head.tobytes() + plane + plane])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
    ds.Rows = ds.Columns = side
    return "zeros", bytes_of(ds)


@bomb
def frames_without_end() -> tuple[str, bytes]:
    """NumberOfFrames 2147483647 in an enhanced CT."""
    ds = enhanced(phantom())
    ds.NumberOfFrames = 2**31 - 1
    return "frames", bytes_of(ds)


@bomb
def element_of_four_gigabytes() -> tuple[str, bytes]:
    """A text element that says it has 4 GB."""
    plain = _slice()
    at = plain.index(struct.pack("<HH", 0x0018, 0x0050))
    return "long", plain[:at] + struct.pack("<HH2sHI", 0x0008, 0x4000, b"UT", 0, 0xFFFFFFFE) + plain[at:]


@bomb
def number_of_many_digits() -> tuple[str, bytes]:
    """A decimal string of 20 MB as slope."""
    plain = _slice(slope=None)
    at = plain.index(struct.pack("<HH", 0x0028, 0x1052))
    digits = b"1" * 20_000_000
    return "digits", plain[:at] + struct.pack("<HH2sHI", 0x0028, 0x1051, b"UN", 0, len(digits)) + digits + plain[at:]


@bomb
def positions_of_many_values() -> tuple[str, bytes]:
    """ImagePositionPatient with five million values."""
    plain = _slice(position=None)
    at = plain.index(struct.pack("<HH", 0x0020, 0x0037))
    values = b"1\\" * 5_000_000
    return "values", plain[:at] + struct.pack("<HH2sHI", 0x0020, 0x0032, b"UN", 0, len(values)) + values + plain[at:]


def raw_zip(members: Iterable[tuple[bytes, int, bytes, int]]) -> bytes:
    """A zip file of (name, method, data as they stand in it, size that it claims); checksums are 0."""
    body, directory, count = io.BytesIO(), io.BytesIO(), 0
    for count, (name, method, data, size) in enumerate(members, 1):  # noqa: B007  # the number of members
        fixed = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0x21, 0, len(data), size, len(name), 0)
        directory.write(
            b"PK\x01\x02" + struct.pack("<H", 20) + fixed + bytes(10) + struct.pack("<I", body.tell()) + name
        )
        body.write(b"PK\x03\x04" + fixed + name + data)
    start, length = body.tell(), directory.tell()
    few = min(count, 0xFFFF)
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + length, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, few, few, length, start, 0)
    return body.getvalue() + directory.getvalue() + (end64 + locator if count > few else b"") + end


@bomb
def zip_of_gigabytes() -> tuple[str, bytes]:
    """A zip file with a member that inflates to 1 GB."""
    return "bomb.zip", raw_zip([(b"1.dcm", 8, zeros(GIB) + b"\x03\0", GIB)])


@bomb
def zip_that_lies() -> tuple[str, bytes]:
    """The directory says 1000 bytes, the member holds a gigabyte."""
    return "lie.zip", raw_zip([(b"1.dcm", 8, zeros(GIB) + b"\x03\0", 1000)])


@bomb
def zip_of_many_gigabytes() -> tuple[str, bytes]:
    """Members of 256 MB each, 4 GB together."""
    member = zeros(GIB // 4) + b"\x03\0"
    return "many.zip", raw_zip([(b"%d" % k, 8, member, GIB // 4) for k in range(16)])


@bomb
def zip_in_zip() -> tuple[str, bytes]:
    """Archives in archives, 40 deep."""
    data = packed({"1.dcm": _slice()})
    for _ in range(40):
        data = packed({"a.zip": data, "b.zip": data[:5000]})
    return "nested.zip", data


@bomb
def zip_of_many_members() -> tuple[str, bytes]:
    """250,000 empty members."""
    return "many.zip", raw_zip((b"%d" % k, 0, b"", 0) for k in range(250_000))


@bomb
def zip_of_overlapping_members() -> tuple[str, bytes]:
    """A thousand directory entries that share one member of 16 MB, in a file of 100 kB."""
    once = packed({"0" * 8: bytes(1 << 24)})
    end = once.rindex(b"PK\x05\x06")
    start = once.rindex(b"PK\x01\x02", 0, end)
    entries = b"".join(once[start:end].replace(b"0" * 8, b"%08d" % k) for k in range(1000))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1000, 1000, len(entries), start, 0)
    return "overlap.zip", once[:start] + entries + tail


@bomb
def tar_of_a_terabyte() -> tuple[str, bytes]:
    """A tar file whose first member says it has a terabyte."""
    entry = tarfile.TarInfo("1.dcm")
    entry.size = 1 << 40
    return "big.tar", entry.tobuf(tarfile.GNU_FORMAT) + _slice()


@bomb
def tar_packed() -> tuple[str, bytes]:
    """A tar.gz of 2 MB that inflates to 2 GB."""
    entry = tarfile.TarInfo("1.dcm")
    entry.size = 2 * GIB
    return "big.tar.gz", gzipped(entry.tobuf(tarfile.GNU_FORMAT), 2 * GIB)


@bomb
def tar_of_links() -> tuple[str, bytes]:
    """Links and devices as members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo("x" + kind.decode())
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    return "links.tar", file.getvalue()


@bomb
def nifti_beyond_reason() -> tuple[str, bytes]:
    """A NIfTI header of 32767 x 32767 x 32767 voxels."""
    data = bytearray(nifti())
    struct.pack_into("<3h", data, 42, 32767, 32767, 32767)
    return "huge.nii", bytes(data)


@bomb
def nifti_packed_zeros() -> tuple[str, bytes]:
    """A NIfTI file of 1 MB that inflates to 1 GB, with the header to it."""
    head = bytearray(nifti()[:352])
    struct.pack_into("<3h", head, 42, 1024, 1024, 512)
    return "zeros.nii.gz", gzipped(bytes(head), GIB)


@bomb
def nrrd_beyond_reason() -> tuple[str, bytes]:
    """An NRRD header with sizes of many digits."""
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: " + "9" * 200 + " 9 9\nencoding: raw\n\n"
    return "huge.nrrd", head.encode() + bytes(100)


@bomb
def nrrd_number_of_many_digits() -> tuple[str, bytes]:
    """An NRRD size of 900,000 digits."""
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: " + "9" * 900_000 + " 9 9\nencoding: raw\n\n"
    return "digits.nrrd", head.encode() + bytes(100)


@bomb
def gzip_of_zeros_called_nifti() -> tuple[str, bytes]:
    """Not a header in it, only zeros."""
    return "junk.nii.gz", gzip.compress(bytes(1 << 27), 9)


def explode(names: list[str]) -> None:
    """Worker: makes all files, then limits itself and opens one after the other; a JSON line before and after each."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = []
        for name in names:
            file, data = BOMBS[name]()
            paths.append(Path(folder) / name / file)
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(data)
            del data
        usual = Path(folder) / "usual"
        usual.write_bytes(bytes_of(compress(dataset(phantom()[0]), *next(iter(ENCODERS.items())))))
        examine(usual)
        limit_memory()
        for name, path in zip(names, paths, strict=True):
            print(json.dumps({"name": name}), flush=True)
            gc.collect()
            # What was used before is no part of what is measured.
            Path("/proc/self/clear_refs").write_text("5")
            before, started = _peak_kb(), time.perf_counter()
            word = examine(path)
            seconds, extra = time.perf_counter() - started, (_peak_kb() - before) / 1024
            found = Explosion(name, path.stat().st_size, word, seconds, extra)
            print(json.dumps(dataclasses.asdict(found)), flush=True)


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def run(names: list[str]) -> list[Explosion]:
    """Open bombs in a new process, and the rest in another if one kills it."""
    found: list[Explosion] = []
    while len(found) < len(names):
        command = [sys.executable, "-m", "tests.fuzz.bombs", "--here", *names[len(found) :]]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found += [Explosion(**line) for line in lines if len(line) > 1]
        if len(found) < len(names):
            text = f"DIED with {done.returncode}: {done.stderr.strip()[-400:]}"
            found.append(Explosion(names[len(found)], 0, text, 0.0, 0.0))
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(BOMBS))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        explode(options.names)
        return
    for one in run(options.names):
        print(f"{one.name:34} {one.size:>10} bytes {one.seconds:6.2f} s {one.extra_mb:7.1f} MB  {one.outcome}")


if __name__ == "__main__":
    main()
