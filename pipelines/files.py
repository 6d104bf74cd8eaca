"""Files of the output folder: there whole or not at all, and never outside of it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w", permissions: int = 0o666) -> Iterator[IO[Any]]:
    """A stream into a new file that takes the place of `path` once it is whole.

    A symbolic link of that name is replaced, not followed: nothing is written where it leads.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with os.fdopen(os.open(draft, _NEW, permissions), mode, **text) as stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def appending(path: Path) -> IO[str]:
    """A stream to the end of a file that is no link.

    Raises
    ------
    OSError
        It is a link, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8", newline="\n")


def own_folder(path: Path) -> Path:
    """`path` as a folder, made if need be.

    Raises
    ------
    NotADirectoryError
        It is a symbolic link, which may lead out of the output folder, or a file.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise NotADirectoryError(errno.ENOTDIR, f"{path.name} in it is a link or a file", path)
    path.mkdir(exist_ok=True)
    return path


def install(draft: Path, folder: Path) -> None:
    """Put a finished folder into its place; what was there before is removed afterwards."""
    old = draft.with_name(f"{draft.name}.old")
    with contextlib.suppress(FileNotFoundError):
        folder.replace(old)  # a link itself, not where it leads
    draft.replace(folder)
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)
