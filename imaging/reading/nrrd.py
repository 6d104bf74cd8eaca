"""The header of an NRRD file, attached or detached, as a `Raster`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import geometry
from ..errors import GeometryError, ReadError, TruncatedError, ValuesError
from .raster import Raster, several

_NRRD_NAMES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_NRRD_TYPES = {name: code for code, names in _NRRD_NAMES.items() for name in names.split(", ")}
_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0), "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0), "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0), "las": (1.0, -1.0, 1.0),
}  # fmt: skip
LONGEST_HEADER = 1 << 20


def read_nrrd(path: Path) -> Raster:
    """The header; `imaging.rasters.read_raster` gives its errors their path."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    if not start.startswith(b"NRRD000"):
        raise ReadError("unreadable", "no NRRD header; get the file again from its source", path)
    end, gap = min(((n, len(s)) for s in (b"\n\n", b"\r\n\r\n") if (n := start.find(s)) >= 0), default=(len(start), 0))
    fields: dict[str, str] = {}
    for line in start[:end].decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#") and not value.startswith("="):
            fields[name.strip().lower()] = value.strip()
    sizes = [int(n) for n in fields.get("sizes", "").split()]
    if not sizes or min(sizes) < 1 or len(sizes) > 16:
        raise ReadError("unreadable", "the NRRD header has no sizes; get the file again from its source", path)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ReadError("codec", "NRRD with this encoding is not read; save it with encoding raw or gzip", path)
    name = fields.get("data file", fields.get("datafile", ""))
    if not name and not gap:
        raise TruncatedError("the file ends within its header; copy it again from its source", path)
    # Only a file beside the header: a header must not point anywhere else on the machine.
    if name and (Path(name).name != name or name.upper().startswith("LIST") or "%" in name):
        raise ReadError("unreadable", "the NRRD data file must be one file in the folder of its header", path)
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    if skip < 0 or int(fields.get("line skip", fields.get("lineskip", "0"))) != 0 or (skip and encoding != "raw"):
        raise ReadError("codec", "NRRD with skipped bytes or lines is not read; save it again without", path)
    letters = _NRRD_TYPES.get(fields.get("type", "").lower())
    problem: GeometryError | ValuesError | None = None
    affine = None
    if letters is None:
        raise ReadError("codec", "NRRD with this type is not read; save it with integers or floats", path)
    if len(sizes) > 3:
        problem = several(path)
    else:
        try:
            affine = _nrrd_affine(fields, len(sizes))
        except GeometryError as error:
            problem = error
    dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + letters)
    offset = skip if name else end + gap + skip
    packed = "" if encoding == "raw" else "data"
    return Raster(
        path,
        path.parent / name if name else path,
        tuple(sizes[::-1]),
        dtype,
        affine,
        1.0,
        0.0,
        offset,
        packed,
        problem,
    )


def _nrrd_affine(fields: dict[str, str], axes: int) -> geometry.Affine:
    text = fields.get("space directions", "")
    vectors = [v.strip("() ").split(",") for v in text.replace(") (", ")|(").replace(")(", ")|(").split("|")]
    origin = fields.get("space origin", "").strip("() ").split(",")
    space = _TO_LPS.get(fields.get("space", "").lower())
    if axes != 3 or space is None or len(vectors) != 3 or len(origin) != 3 or any(len(v) != 3 for v in vectors):
        raise GeometryError(
            "no_geometry", "the NRRD header does not say where the image lies (space, directions, origin)"
        )
    affine = np.eye(4)
    affine[:3, :3] = (np.array(vectors, dtype=float)[::-1] * np.array(space)).T
    affine[:3, 3] = np.array(origin, dtype=float) * np.array(space)
    return geometry.check_affine(affine)
