"""The output folder: claimed for one run at a time, and nothing written anywhere else."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imaging import UsageError

from .files import appending, own_folder, replacing

RUN = "run.json"
WORK = ".work"
"""Folder for what is not finished, and for tables that were not asked for; readable by its owner only."""


@dataclass(frozen=True)
class Place:
    """Where a run writes.

    Parameters
    ----------
    out : Path
        The output folder, with the scans in it.
    tables : Path
        Where the tables of this run go: `out`, or ``shards/<i-of-n>`` in it.
    work : Path
        For what is not finished. Nobody else writes there.
    """

    out: Path
    tables: Path
    work: Path

    @property
    def parquet(self) -> Path:
        """For merged tables where Parquet was not asked for."""
        return self.work.parent / f"{self.work.name}-tables"


@contextlib.contextmanager
def claimed(out: Path, shard: str = "") -> Iterator[Place]:
    """The output folder, made if need be, marked as ours before anything is written, and locked.

    Raises
    ------
    UsageError
        A file, a folder of somebody else, not writable, or another run is writing there.
    """
    with contextlib.ExitStack() as stack:
        try:
            place = _claim(out, shard)
            lock = stack.enter_context(appending(place.work.with_name(f"{place.work.name}.lock")))
            if not _lock(lock):
                raise UsageError(
                    "another run is writing into this output folder; wait for it, or give another one", out
                )
            shutil.rmtree(place.work, ignore_errors=True)  # left by a run that was killed
            own_folder(place.work)
        except OSError as error:
            raise UsageError(
                f"the output folder cannot be used ({error.strerror}); check its permissions", out
            ) from None
        yield place
        shutil.rmtree(place.work, ignore_errors=True)


def claim(out: Path, mark: str = RUN) -> Path:
    """The output folder, made if need be, and marked as ours by the file `mark` before anything is written.

    Raises
    ------
    UsageError
        A file, a folder of somebody else, or not writable.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UsageError("the output is a file; give a folder", out)
        if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
            raise UsageError("the output folder is not empty and not written by calcimap; give another one", out)
        out.mkdir(parents=True, exist_ok=True)
        out = out.resolve()
        with contextlib.suppress(FileExistsError), (out / mark).open("x", encoding="utf-8") as stream:
            stream.write(json.dumps({"finished": False}) + "\n")  # the first file there: now the folder is ours
    except OSError as error:
        raise UsageError(f"the output folder cannot be used ({error.strerror}); check its permissions", out) from None
    return out


def _claim(out: Path, shard: str) -> Place:
    out = claim(out)
    own_folder(out / "scans")
    tables = own_folder(own_folder(out / "shards") / shard) if shard else out
    work = own_folder(out / WORK)
    work.chmod(0o700)
    return Place(out, tables, work / (shard or "all"))


def mark_unfinished(tables: Path) -> None:
    """Until the run is over, its folder does not say that the tables describe it."""
    with replacing(tables / RUN) as stream:
        stream.write(json.dumps({"finished": False}) + "\n")


def _lock(stream: IO[str]) -> bool:
    """Whether this process holds the lock now; it lets go when it ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: not guarded
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
