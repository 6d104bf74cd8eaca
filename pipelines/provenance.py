"""Who is who without names: salted hashes, fingerprints of inputs, versions."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

from imaging import Series

DISTRIBUTION = "calcimap"
LIBRARIES = (
    "numpy", "scipy", "pydicom", "highdicom", "scikit-image", "SimpleITK", "imagecodecs", "pandas", "pyarrow",
    "scikit-learn", "skops", "dask",
)  # fmt: skip
KEY_LENGTH = 16


def key(identity: str, salt: str) -> str:
    """The first 16 hexadecimal digits of SHA-256 of salt and identity; empty for an empty identity."""
    if not identity:
        return ""
    return hashlib.sha256(f"{salt}\0{identity}".encode()).hexdigest()[:KEY_LENGTH]


def scan_id(series: Series, salt: str, seen: dict[str, int]) -> str:
    """The ``scan_id`` of a series; those of the same identity (copies) get a suffix by their order, kept in `seen`."""
    name = key(series.identity, salt)
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def fingerprint(series: Series) -> str:
    """Hash of what a series is made of: instance UIDs, sizes and times of change of its files."""
    digest = hashlib.sha256(series.identity.encode())
    for instance in series.instances:
        pixels = instance.pixels
        if pixels is None:
            stat = instance.path.stat()
            size, modified = stat.st_size, stat.st_mtime_ns
        else:  # as it was when its header was read
            size, modified = pixels.file_size, pixels.modified_ns
        digest.update(f"|{instance.sop_instance_uid}|{size}|{modified}".encode())
    return digest.hexdigest()


def files(place: Path) -> str:
    """Hash of a file, or of the files in a folder: names, sizes and times of change."""
    inside = sorted(place.iterdir()) if place.is_dir() else [place]
    facts = [(str(f.resolve()), s.st_size, s.st_mtime_ns) for f in inside if (s := f.stat())]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def version() -> str:
    """Version of calcimap."""
    return metadata.version(DISTRIBUTION)


def versions() -> dict[str, str]:
    """Versions of Python, calcimap and the libraries that numbers depend on."""
    return {"python": platform.python_version(), DISTRIBUTION: version()} | {n: metadata.version(n) for n in LIBRARIES}
