"""Where bytes come from: a file on disk or bytes in memory, read at a place and never beyond the end."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ..errors import ReadError


class Source(Protocol):
    """Bytes that can be read at any place."""

    size: int
    modified_ns: int

    def read(self, place: int, count: int) -> bytes:
        """Up to `count` bytes from `place`; fewer at the end."""
        ...

    def readinto(self, place: int, target: memoryview) -> int:
        """Fill `target` from `place`; how many bytes there were."""
        ...


class FileSource:
    """An open file, used by one thread at a time.

    Parameters
    ----------
    file : raw binary file
        Opened without a buffer.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        status = os.fstat(file.fileno())
        self.size, self.modified_ns = status.st_size, status.st_mtime_ns

    def read(self, place: int, count: int) -> bytes:
        """Up to `count` bytes from `place`; fewer at the end."""
        data = bytearray(min(count, max(0, self.size - place)))
        return bytes(data[: self.readinto(place, memoryview(data))])

    def readinto(self, place: int, target: memoryview) -> int:
        """Fill `target` from `place`; how many bytes there were."""
        self._file.seek(place)
        done = 0
        while done < len(target) and (more := self._file.readinto(target[done:])):
            done += more
        return done


class MemorySource:
    """Bytes in memory: what a deflated file or a member of an archive holds."""

    def __init__(self, data: bytes | bytearray, modified_ns: int = 0) -> None:
        self._data = memoryview(data)
        self.size, self.modified_ns = len(data), modified_ns

    def read(self, place: int, count: int) -> bytes:
        """Up to `count` bytes from `place`; fewer at the end."""
        return bytes(self._data[place : place + count])

    def readinto(self, place: int, target: memoryview) -> int:
        """Fill `target` from `place`; how many bytes there were."""
        part = self._data[place : place + len(target)]
        target[: len(part)] = part
        return len(part)


@contextmanager
def open_source(path: Path) -> Iterator[FileSource]:
    """A file, closed afterwards.

    Raises
    ------
    ReadError
        ``unreadable``.
    """
    try:
        file = io.FileIO(path)
    except (OSError, ValueError) as error:
        raise cannot_read(error, path) from None
    with file:
        try:
            yield FileSource(file)
        except OSError as error:
            raise cannot_read(error, path) from None


def cannot_read(error: OSError | ValueError, path: Path | None) -> ReadError:
    """The typed error for a file that the system does not let us read."""
    text = getattr(error, "strerror", None) or "input/output error"
    return ReadError("unreadable", f"the file cannot be read: {text}", path)
