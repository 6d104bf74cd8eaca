"""Seeds of every format and transfer syntax, and mutants of them: mutant number n is always the same file."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import dcmwrite
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from ..dicom_files import ENCODERS, compress, dataset, enhanced, meta_end, phantom

Random = np.random.Generator
VALUE_KINDS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
LENGTHS = (0, 1, 2, 7, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def bytes_of(ds: Any) -> bytes:
    """A data set as the bytes of its file."""
    file = io.BytesIO()
    syntax = ds.file_meta.TransferSyntaxUID
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dcmwrite(file, ds, little_endian=little, implicit_vr=implicit, enforce_file_format=False)
    return file.getvalue()


def nifti(dtype: str = "<i2") -> bytes:
    """A small NIfTI-1 file."""
    values = phantom(4, 12, 10)
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 10, 12, 4, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, 1, 0.7, 0.8, 1.25, 1, 1, 1, 1)
    struct.pack_into("<fff", head, 108, 352, 1, 0)
    struct.pack_into("<hh", head, 252, 1, 1)
    struct.pack_into("<12f", head, 280, 0.7, 0, 0, 1, 0, 0.8, 0, 2, 0, 0, 1.25, 3)
    head[344:348] = b"n+1\0"
    return bytes(head) + values.astype(dtype).tobytes()


def _nrrd(encoding: str) -> bytes:
    values = phantom(4, 12, 10).astype("<i2").tobytes()
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 12 4\n"
        "space directions: (0.7,0,0) (0,0.8,0) (0,0,1.25)\nkinds: domain domain domain\nendian: little\n"
        f"encoding: {encoding}\nspace origin: (1,2,3)\n\n"
    )
    return head.encode() + (values if encoding == "raw" else gzip.compress(values))


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def _tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@functools.cache
def seeds() -> dict[str, bytes]:
    """File name -> bytes of a file that is read without a fault; the name decides for NIfTI, NRRD and archives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _seeds()


def _seeds() -> dict[str, bytes]:
    hu = phantom(4, 24, 20)
    found: dict[str, bytes] = {}
    natives = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    for syntax in natives:
        found[f"native-{syntax}"] = bytes_of(dataset(hu[0], syntax=syntax, PixelPaddingValue=0))
    for syntax, encode in ENCODERS.items():
        found[f"packed-{syntax}"] = bytes_of(compress(dataset(hu[0]), syntax, encode))
    found["bare"] = found[f"native-{ImplicitVRLittleEndian}"][meta_end(found[f"native-{ImplicitVRLittleEndian}"]) :]
    found["signed"] = bytes_of(dataset(hu[0], bits=12, signed=True, intercept=0))

    baseline = dataset(hu[0])
    grey = np.clip((hu[0] + 1024) / 8, 0, 255).astype("u1")
    baseline.BitsAllocated, baseline.BitsStored, baseline.HighBit = 8, 8, 7
    baseline.PixelData = encapsulate([imagecodecs.jpeg8_encode(grey)])
    baseline["PixelData"].VR, baseline["PixelData"].is_undefined_length = "OB", True
    baseline.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    found["baseline"] = bytes_of(baseline)

    pieces = dataset(hu[0])
    stored = np.frombuffer(pieces.PixelData, "<u2").reshape(24, 20)
    pieces.PixelData = encapsulate([ENCODERS[JPEG2000Lossless](stored)], fragments_per_frame=3)
    pieces["PixelData"].VR, pieces["PixelData"].is_undefined_length = "OB", True
    pieces.file_meta.TransferSyntaxUID = JPEG2000Lossless
    found["fragments"] = bytes_of(pieces)

    multi = enhanced(hu)
    found["enhanced"] = bytes_of(multi)
    frames = [ENCODERS["1.2.840.10008.1.2.4.80"](f) for f in np.frombuffer(multi.PixelData, "<u2").reshape(4, 24, 20)]
    multi.PixelData, multi.ExtendedOffsetTable, multi.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    multi["PixelData"].VR, multi["PixelData"].is_undefined_length = "OB", True
    multi.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    found["enhanced-packed"] = bytes_of(multi)

    from ..hazards.ultrasound import region

    ultrasound = dataset(hu[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US")
    ultrasound.SequenceOfUltrasoundRegions = [region((0, 0, 9, 9)), region((10, 0, 19, 19))]
    found["ultrasound"] = bytes_of(ultrasound)

    found["scan.nii"], found["scan.nii.gz"] = nifti(), gzip.compress(nifti(), mtime=0)
    found["scan.nrrd"], found["packed.nrrd"] = _nrrd("raw"), _nrrd("gzip")
    two = {"a/1.dcm": found[f"native-{ExplicitVRLittleEndian}"], "a/2": found["packed-1.2.840.10008.1.2.5"]}
    found["scan.zip"], found["stored.zip"] = packed(two), packed(two, zipfile.ZIP_STORED)
    found["scan.tar"], found["scan.tar.gz"] = _tar(two), gzip.compress(_tar(two), mtime=0)
    return found


def _somewhere(data: bytearray, rng: Random) -> int:
    """A place, more often near the beginning, where headers are."""
    span = len(data) if rng.random() < 0.5 else min(len(data), 2048)
    return int(rng.integers(span)) if span else 0


def flip_bits(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """1 to 32 single bits."""
    for _ in range(int(rng.integers(1, 33))):
        data[_somewhere(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def random_bytes(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """A run of up to 64 random bytes."""
    place = _somewhere(data, rng)
    run = rng.integers(0, 256, int(rng.integers(1, 65)), dtype="u1").tobytes()
    data[place : place + len(run)] = run
    return data


def truncate(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """The file ends somewhere."""
    return data[: _somewhere(data, rng)]


def zero(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """A block of zeros, as of a file that was copied in part."""
    place, length = _somewhere(data, rng), int(rng.integers(1, 600))
    data[place : place + length] = bytes(len(data[place : place + length]))
    return data


def _kind_places(data: bytearray) -> list[int]:
    kinds = VALUE_KINDS.split()
    return [p for kind in kinds for p in _all(data, kind)]


def _all(data: bytearray, piece: bytes) -> list[int]:
    places, at = [], data.find(piece)
    while at >= 0:
        places.append(at)
        at = data.find(piece, at + 1)
    return places


def change_length(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """A length field of an element, or four bytes anywhere, set to an extreme."""
    places = _kind_places(data) if rng.random() < 0.8 else []
    place = (int(rng.choice(places)) + 2) if places else _somewhere(data, rng)
    value = int(rng.choice(LENGTHS))
    if rng.random() < 0.5:
        data[place : place + 2] = (value & 0xFFFF).to_bytes(2, "little")
    else:
        data[place + 2 : place + 6] = value.to_bytes(4, "little")
    return data


def change_kind(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """Value representations of some elements replaced by others."""
    places, kinds = _kind_places(data), VALUE_KINDS.split()
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.choice(places)) if places else _somewhere(data, rng)
        data[place : place + 2] = kinds[int(rng.integers(len(kinds)))]
    return data


def swap_tags(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """Two pieces of four bytes change places: tags, where there are some."""
    places = [p - 4 for p in _kind_places(data) if p >= 4]
    one = int(rng.choice(places)) if places else _somewhere(data, rng)
    two = int(rng.choice(places)) if places else _somewhere(data, rng)
    data[one : one + 4], data[two : two + 4] = data[two : two + 4], data[one : one + 4]
    return data


def splice(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """The beginning of one file and the end of another, or a piece of it inserted."""
    place, begin = _somewhere(data, rng), int(rng.integers(len(other)))
    if rng.random() < 0.5:
        return data[:place] + other[begin:]
    return data[:place] + other[begin : begin + int(rng.integers(1, 400))] + data[place:]


def repeat(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """A block stands there many times."""
    place, length = _somewhere(data, rng), int(rng.integers(1, 200))
    return data[:place] + data[place : place + length] * int(rng.integers(2, 40)) + data[place:]


def change_digits(data: bytearray, rng: Random, other: bytes) -> bytearray:
    """A digit becomes another, or a sign or a point: decimal strings and text headers."""
    digits = [k for k, value in enumerate(data[:4096]) if 48 <= value <= 57]
    for _ in range(int(rng.integers(1, 9))):
        if digits:
            data[int(rng.choice(digits))] = b"0123456789-.eE,\\ \0"[int(rng.integers(18))]
    return data


MUTATORS: tuple[Callable[[bytearray, Random, bytes], bytearray], ...] = (
    flip_bits,
    random_bytes,
    truncate,
    zero,
    change_length,
    change_kind,
    swap_tags,
    splice,
    repeat,
    change_digits,
)


def mutant(number: int, all_seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Name and bytes of mutant `number`: one seed, one to three kinds of damage, sometimes packed again after it."""
    rng = np.random.default_rng([20261122, number])
    names = list(all_seeds)
    name = names[number % len(names)]
    other = all_seeds[names[int(rng.integers(len(names)))]]
    data, pack = bytearray(all_seeds[name]), None
    if rng.random() < 0.5:  # damage behind the compression, which checksums would only catch
        if name.endswith(".gz"):
            data, pack = bytearray(gzip.decompress(data)), gzip.compress
        elif name.endswith(".zip"):
            inner = bytearray(all_seeds[names[int(rng.integers(len(names)))]])
            data, pack = inner, lambda d: packed({"x/1": bytes(d), "x/2": other})
        elif name.endswith(DeflatedExplicitVRLittleEndian):
            begin = meta_end(bytes(data))
            head, body = bytes(data[:begin]), inflate(bytes(data[begin:]))
            data, pack = bytearray(body), lambda d: head + deflate(bytes(d))
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data = MUTATORS[int(rng.integers(len(MUTATORS)))](data, rng, other)
    return name, pack(data) if pack else bytes(data)


def inflate(data: bytes) -> bytes:
    """Raw deflate."""
    return zlib.decompress(data, -zlib.MAX_WBITS)


def deflate(data: bytes) -> bytes:
    """Raw deflate."""
    machine = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


def write(folder: Path, name: str, data: bytes) -> Path:
    """The mutant as a file."""
    file = folder / name
    file.write_bytes(data)
    return file
