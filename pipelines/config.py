"""Configuration: the frozen parameters of the stages, composed; strict about keys and types."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imaging import DetectionParams, FollowupParams, ReadParams, ScoreParams, UltrasoundParams, UsageError


@dataclass(frozen=True)
class Privacy:
    """How identities are hidden."""

    salt: str = ""
    """Text that goes into every hash: give the same salt to join tables of two runs, and keep it secret."""


@dataclass(frozen=True)
class Batch:
    """How many scans are worked on. Nothing here changes a result, and so finished scans are kept when it changes."""

    time_limit_s: float = 3600.0
    """s; an analysis that takes longer is ended and recorded as failed (`timeout`); 0 for no limit."""
    memory_gb: float = 0.0
    """GB (10^9 bytes) for all workers of this machine together; 0 takes nine tenths of what the machine, container or
    batch system gives."""

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "memory_gb"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be 0 or a positive number, got {value!r}")


@dataclass(frozen=True)
class DicomObjects:
    """What the DICOM objects of ``--formats seg,sr`` hold."""

    seg_type: Literal["binary", "labelmap"] = "binary"
    """binary is read everywhere; labelmap is smaller by far and read by newer software only."""
    sr_max_findings: int = 200
    """The largest findings are described in the report, the others are left to the table."""

    def __post_init__(self) -> None:
        if self.seg_type not in ("binary", "labelmap"):
            raise UsageError(f"dicom.seg_type must be binary or labelmap, got {self.seg_type!r}")
        if self.sr_max_findings < 1:
            raise UsageError(f"dicom.sr_max_findings must be at least 1, got {self.sr_max_findings}")


@dataclass(frozen=True)
class Config:
    """Everything that can be set; groups as in ``--set detection.threshold_hu=130``."""

    detection: DetectionParams = field(default_factory=DetectionParams)
    reading: ReadParams = field(default_factory=ReadParams)
    scores: ScoreParams = field(default_factory=ScoreParams)
    ultrasound: UltrasoundParams = field(default_factory=UltrasoundParams)
    dicom: DicomObjects = field(default_factory=DicomObjects)
    followup: FollowupParams = field(default_factory=FollowupParams)
    privacy: Privacy = field(default_factory=Privacy)
    batch: Batch = field(default_factory=Batch)

    @classmethod
    def load(cls, file: Path | None = None, settings: Iterable[str] = ()) -> Config:
        """Configuration from a TOML file, then from ``key=value`` settings, which win.

        Raises
        ------
        UsageError
            An unknown key (the message names its nearest neighbours), a wrong type, a file that cannot be read.
        """
        values: dict[str, Any] = {}
        if file is not None:
            for group, entries in _read_toml(file).items():
                if not isinstance(entries, dict):
                    raise UsageError(f"configuration key {group!r} must be in a group; {_known(group)}", file)
                values |= {f"{group}.{key}": value for key, value in entries.items()}
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise UsageError(f"--set takes key=value, got {setting!r}")
            values[key.strip()] = _value(text.strip())
        return cls.from_flat(values)

    @classmethod
    def from_flat(cls, values: dict[str, Any]) -> Config:
        """Configuration from keys like ``detection.threshold_hu``; text values are converted to the field's type."""
        from pydantic import TypeAdapter, ValidationError

        kinds: dict[str, Any] = {f.name: f.default_factory for f in dataclasses.fields(cls)}
        grouped: dict[str, dict[str, Any]] = {name: {} for name in kinds}
        for key, value in values.items():
            if key not in _keys():
                raise UsageError(f"unknown configuration key {key!r}: {_known(key)}")
            group, name = key.split(".")
            many = name == "keep" and isinstance(value, str)
            grouped[group][name] = [v for v in value.split(",") if v] if many else value
        made: dict[str, Any] = {}
        for group, entries in grouped.items():
            try:
                made[group] = TypeAdapter(kinds[group]).validate_python(entries)
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join([group, *map(str, first["loc"][:1])])
                raise UsageError(f"configuration key {key}: {first['msg']}, got {first['input']!r}") from None
        return cls(**made)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, for run.json; the salt is told by its presence only."""
        values = dataclasses.asdict(self)
        values["privacy"]["salt"] = "set" if self.privacy.salt else ""
        return values

    def digest(self) -> str:
        """Hash of everything that changes the results of a run; what follow-up does with them is no part of it."""
        values = dataclasses.asdict(self)
        del values["batch"], values["followup"], values["reading"]["threads"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _value(text: str) -> Any:
    """A setting's text as TOML would read it (numbers, booleans, lists), else as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _keys() -> list[str]:
    """All configuration keys."""
    config = Config()
    groups = {g.name: getattr(config, g.name) for g in dataclasses.fields(config)}
    return [f"{name}.{f.name}" for name, group in groups.items() for f in dataclasses.fields(group)]


def _known(key: str) -> str:
    """The nearest keys, else all of them."""
    import difflib

    keys = _keys()
    by_last = {k.split(".")[1]: k for k in keys}
    close = difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    close += [by_last[k] for k in difflib.get_close_matches(key.split(".")[-1], list(by_last), n=2, cutoff=0.6)]
    near = list(dict.fromkeys(close))[:3]
    return f"did you mean {' or '.join(near)}?" if near else f"known keys: {', '.join(keys)}"


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the configuration file cannot be read ({error.strerror}); check its path", file) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the configuration file is no valid TOML: {error}", file) from None
