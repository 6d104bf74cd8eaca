"""What a run has to do: every series found, by its scan_id, small enough to hold very many."""

from __future__ import annotations

import hashlib
import json
import os
import pickle  # of our own values, in memory and never from a file
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging import Context, Found, Series, UsageError, find_series

from . import memory, provenance, schemas
from .config import Config
from .task import Task

IDENTIFIERS = ("patient", "study", "series")


@dataclass(frozen=True)
class Entry:
    """A series with what its rows in ``scans`` and key.csv need; the series itself is folded small until it is used.

    Parameters
    ----------
    scan_id : str
    aside : str
        Empty, or the reason why it is not analysed.
    keys : dict
        Its keys and number of files, for ``scans``.
    path : str
        Relative to the input, for key.csv only.
    identifiers : tuple of str
        DICOM identifiers, for key.csv on request.
    fingerprint : str
        Hash of the input.
    memory : int
        Bytes that its analysis may need.
    seconds : float
        Roughly how long that takes.
    folded : bytes
        The series.
    """

    scan_id: str
    aside: str
    keys: dict[str, Any]
    path: str
    identifiers: tuple[str, str, str]
    fingerprint: str
    memory: int
    seconds: float
    folded: bytes

    @property
    def series(self) -> Series:
        """The series, made anew."""
        made: Series = pickle.loads(zlib.decompress(self.folded))  # noqa: S301  # folded by this process
        return made


@dataclass(frozen=True)
class Shard:
    """A part of all scans, by their scan_id: the same scans whatever else lies in the input.

    Parameters
    ----------
    number, of : int
        The first is 1.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from ``i/n``.

        Raises
        ------
        UsageError
            Not of this form, or i is not from 1 to n.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard takes i/n with i from 1 to n, as 3/8, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number}-of-{self.of}"

    def holds(self, scan_id: str) -> bool:
        """Whether a scan is in it."""
        return int(hashlib.sha256(scan_id.encode()).hexdigest(), 16) % self.of == self.number - 1


@dataclass(frozen=True)
class Plan:
    """What was found.

    Parameters
    ----------
    entries : list of Entry
        In the order of the tables: series to analyse, then series set aside.
    ignored : dict of Path to str
        Files that no series uses.
    """

    entries: list[Entry]
    ignored: dict[Path, str]

    @property
    def wanted(self) -> list[Entry]:
        """Series to analyse."""
        return [e for e in self.entries if not e.aside]


def survey(roots: Sequence[Path], out: Path, config: Config, shard: Shard) -> Plan:
    """Find every series under the inputs."""
    salt = config.privacy.salt
    seen: dict[str, int] = {}
    entries: list[Entry] = []
    aside: list[Entry] = []
    ignored: dict[Path, str] = {}
    for root in roots:
        found = find_series(root, exclude=(out,), params=config.reading)
        ignored |= found.ignored
        for series, to in [*((s, entries) for s in found.series), *((s, aside) for s in found.set_aside)]:
            scan_id = provenance.scan_id(series, salt, seen)
            if shard.holds(scan_id):
                to.append(_entry(series, scan_id, found, salt))
    return Plan(entries + aside, ignored)


def _entry(series: Series, scan_id: str, found: Found, salt: str) -> Entry:
    paths = series.paths
    common = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0]
    base = found.root if found.root.is_dir() else found.root.parent
    return Entry(
        scan_id=scan_id,
        aside=series.set_aside,
        keys={
            "patient_key": provenance.key(series.patient_identity, salt) or None,
            "study_key": provenance.key(series.study_identity, salt) or None,
            "frame_key": provenance.key(series.frame_of_reference, salt) or None,
            "n_files": len(series.instances),
        },
        path=os.path.relpath(common, base),
        identifiers=(series.patient_identity, series.study_identity, series.identity),
        fingerprint=provenance.fingerprint(series),
        memory=memory.need(series),
        seconds=memory.seconds(series),
        folded=zlib.compress(pickle.dumps(series, pickle.HIGHEST_PROTOCOL), 1),
    )


@dataclass(frozen=True)
class Conditions:
    """What holds for every scan of a run.

    Parameters
    ----------
    config : Config
    formats : tuple of str
    out, work : Path
        The output folder, and one in it for what is not finished.
    masks : mapping of str to Path
        As of `Task`.
    context : Context
    """

    config: Config
    formats: tuple[str, ...]
    out: Path
    work: Path
    masks: Mapping[str, Path]
    context: Context

    def stamp(self) -> dict[str, Any]:
        """What a finished scan must have been made with to be kept."""
        made: dict[str, Any] = {
            "config": self.config.digest(), "version": provenance.version(), "columns": schemas.digest()
        }  # fmt: skip
        made |= {name: provenance.files(path) for name, path in self.masks.items()}
        return made | {"context": json.loads(json.dumps(self.context.to_dict()))}

    def task(self, entry: Entry, stamp: dict[str, Any]) -> Task:
        """The work on one series."""
        return Task(
            entry.scan_id, entry.series, self.config, self.out / "scans" / entry.scan_id, self.formats,
            stamp | {"input": entry.fingerprint}, self.masks, context=self.context, work=self.work,
        )  # fmt: skip
