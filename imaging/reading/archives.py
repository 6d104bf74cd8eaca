"""Members of .zip, .tar, .tar.gz and .tgz files as bytes in memory, one at a time, within limits.

Nothing is ever written to disk, names of members are shown and never used as paths, and sizes that an archive claims
are not believed: bytes are counted as they come.
"""

from __future__ import annotations

import gzip
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple, cast

from ..errors import CalcimapError, LimitError, ReadError, TruncatedError
from .params import ReadParams

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
RATIO = 200
FLOOR = 64 << 20
"""The members of an archive may hold 200 times its size together, at least 64 MiB."""
DIRECTORY_BYTES = 256
"""Bytes of a zip's directory allowed for each member that `ReadParams.max_files` allows."""
LONGEST_NAME = 1 << 16
_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, struct.error, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """One member: its position, its name as it may be shown, and its bytes or the reason why there are none."""

    entry: int
    name: str
    reason: str
    data: bytes


def is_archive(path: Path) -> bool:
    """Whether the name says zip or tar."""
    return path.name.lower().endswith(SUFFIXES)


def members(path: Path, params: ReadParams, wanted: Collection[int] | None = None) -> Iterator[Member]:
    """The files in an archive, in its order; with `wanted`, only those at these positions.

    Raises
    ------
    LimitError
        More members or more bytes than the limits allow.
    ReadError
        The archive itself is damaged. Members before the damage have been given by then: who asks for all of them
        must not use a part.
    """
    names = _Names()
    spent = _Budget(min(params.archive_bytes, max(FLOOR, RATIO * path.stat().st_size)), params)
    found = _zip(path, spent, wanted) if path.name.lower().endswith(".zip") else _tar(path, spent, wanted)
    try:
        for member in found:
            yield member._replace(name=names.safe(member.name, member.entry))
    except EOFError:
        raise TruncatedError("the archive ends early; copy it again from its source", path) from None
    except CalcimapError:
        raise
    except _DAMAGED:
        raise ReadError("unreadable", "the archive is damaged; get it again from its source", path) from None


class _Budget:
    """Bytes and members that an archive may still spend."""

    def __init__(self, total: int, params: ReadParams) -> None:
        self.left, self.most, self.params = total, total, params

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise LimitError("too_large", f"the archive holds more than {self.most / 1e9:.2g} GB; not opened")

    def count(self, members: int) -> None:
        if members > self.params.max_files:
            raise LimitError("too_large", f"the archive holds more than {self.params.max_files} files; not opened")

    def read(self, stream: IO[bytes]) -> bytes | None:
        """Everything in `stream`, None if it is more than one member may hold."""
        parts, size = [], 0
        while part := stream.read(_BLOCK):
            self.take(len(part))
            size += len(part)
            if size > self.params.inflated_bytes:
                return None
            parts.append(part)
        return b"".join(parts)


class _Names:
    """Names of members that are safe to show and differ from each other."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def safe(self, name: str, entry: int) -> str:
        parts = (re.sub(r"[^\w .,;()\[\]{}+=@#%&~^$!\'-]", "_", p)[:120] for p in re.split(r"[/\\]", name))
        text = "/".join([p for p in parts if p.strip(" .")][-32:]) or f"member {entry}"
        self._seen[text] = self._seen.get(text, 0) + 1
        return text if self._seen[text] == 1 else f"{text} ({self._seen[text]})"


def _zip(path: Path, budget: _Budget, wanted: Collection[int] | None) -> Iterator[Member]:
    with path.open("rb") as file:
        length, count = _directory(file)
        if length > DIRECTORY_BYTES * budget.params.max_files:
            budget.count(budget.params.max_files + 1)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) & 0xFFFF != count & 0xFFFF:  # all of them or none; old writers count modulo 65536
                raise zipfile.BadZipFile
            budget.count(len(entries))
            for entry, info in enumerate(entries):
                if info.is_dir() or (wanted is not None and entry not in wanted):
                    continue
                if stat.S_ISLNK(info.external_attr >> 16):
                    yield Member(entry, info.filename, "symlink", b"")
                elif info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    yield Member(entry, info.filename, "unreadable", b"")  # encrypted, or an inflater without bounds
                else:
                    yield _zip_member(archive, info, entry, budget)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: int, budget: _Budget) -> Member:
    try:
        with archive.open(info) as stream:
            data = budget.read(stream)
    except _DAMAGED:  # of this member only: its checksum, its local header
        return Member(entry, info.filename, "unreadable", b"")
    return Member(entry, info.filename, "too_large" if data is None else "", data or b"")


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Bytes and entries of a zip's directory by its end record, which Python does not count.

    Python reads all of it before it tells how many members it has, and takes fewer than there are without a word.
    """
    size = file.seek(0, 2)
    begin = max(0, size - 65557)
    file.seek(begin)
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        raise zipfile.BadZipFile
    count, length = struct.unpack_from("<HI", tail, end + 10)
    if (length == 0xFFFFFFFF or count == 0xFFFF) and end >= 20 and tail[end - 20 : end - 16] == b"PK\x06\x07":
        (place,) = struct.unpack_from("<Q", tail, end - 12)
        if place + 56 > size:
            raise zipfile.BadZipFile
        file.seek(place)
        count, length = struct.unpack_from("<QQ", file.read(56), 32)
    file.seek(0)
    return int(length), int(count)


def _tar(path: Path, budget: _Budget, wanted: Collection[int] | None) -> Iterator[Member]:
    with ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        if not path.name.lower().endswith(".tar"):
            stream = stack.enter_context(closing(cast("IO[bytes]", gzip.GzipFile(fileobj=stream))))
        entry, name, size = 0, "", -1
        while (head := _exactly(stream, 512)).strip(b"\0"):
            kind, length = _tar_head(head)
            if kind in b"xL":
                value = _extension(stream, length, budget)
                name, size = (value.rstrip(b"\0").decode("utf-8", "replace"), size) if kind == b"L" else _pax(value)
                continue
            if kind in b"gK":
                _skip(stream, length, budget)
                continue
            name = name or _tar_name(head)
            length = size if size >= 0 and kind in b"0\x007" else length
            budget.count(entry + 1)
            asked = wanted is None or entry in wanted
            if kind not in b"0\x007":
                _skip(stream, 0 if kind in b"123456" else length, budget)
                if asked and kind != b"5":
                    yield Member(entry, name, "symlink" if kind in b"12" else "not_dicom", b"")
            elif asked and length <= budget.params.inflated_bytes:
                budget.take(length)
                data = _exactly(stream, length)
                _exactly(stream, -length % 512)
                yield Member(entry, name, "", data)
            else:
                _skip(stream, length, budget)
                if asked:
                    yield Member(entry, name, "too_large", b"")
            entry, name, size = entry + 1, "", -1
        while part := stream.read(_BLOCK):  # to the end: there stands the checksum of gzip
            budget.take(len(part))


def _tar_head(head: bytes) -> tuple[bytes, int]:
    """Type and size of a tar header, whose checksum is checked."""
    total = sum(head[:148]) + 8 * 32 + sum(head[156:])
    if _octal(head[148:156]) != total:
        raise ReadError("unreadable", "the archive is damaged; get it again from its source")
    return head[156:157], _octal(head[124:136])


def _octal(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, for sizes from 8 GB
        return int.from_bytes(field[1:], "big")
    text = field.strip(b"\0 ")
    if not re.fullmatch(rb"[0-7]*", text):
        raise ReadError("unreadable", "the archive is damaged; get it again from its source")
    return int(text or b"0", 8)


def _tar_name(head: bytes) -> str:
    name, prefix = (part.split(b"\0")[0].decode("utf-8", "replace") for part in (head[:100], head[345:500]))
    return f"{prefix}/{name}" if head[257:263] == b"ustar\0" and prefix else name


def _extension(stream: IO[bytes], length: int, budget: _Budget) -> bytes:
    if length > LONGEST_NAME:
        raise LimitError("too_large", "the archive holds a name of more than 64 kB; not opened")
    budget.take(length)
    value = _exactly(stream, length)
    _exactly(stream, -length % 512)
    return value


def _pax(value: bytes) -> tuple[str, int]:
    """Path and size of an extended header: records of the form ``length keyword=value``."""
    fields = dict(re.findall(rb"\d+ (path|size)=([^\n]*)\n", value))
    size = fields.get(b"size", b"")
    return fields.get(b"path", b"").decode("utf-8", "replace"), int(size) if size.isdigit() and len(size) < 16 else -1


def _exactly(stream: IO[bytes], count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(min(count, _BLOCK))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _skip(stream: IO[bytes], count: int, budget: _Budget) -> None:
    left = count + -count % 512
    while left:
        part = stream.read(min(left, _BLOCK))
        if not part:
            raise EOFError
        budget.take(len(part))
        left -= len(part)
