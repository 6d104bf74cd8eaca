"""Names of the labels of a label map: from the file itself, a table beside it, or TotalSegmentator's classes."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shlex
from pathlib import Path
from typing import IO, cast

from .. import structures
from ..errors import ReadError
from . import rasters

TABLES = (".json", ".csv", ".tsv", ".txt", ".ctbl", ".label")
LARGEST_TABLE = 1 << 20
FEWEST_CLASSES = 10
"""A label map without names is taken for one of TotalSegmentator only if it holds at least so many of its labels."""
_XML_LABEL = re.compile(rb'<Label\s+Key="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]*)')
_SLICER = re.compile(r"^Segment(\d+)_(Name|LabelValue):=(.*)$", re.MULTILINE)


def stem(file: Path) -> str:
    """The name of a file without the endings that say its format."""
    return re.sub(r"(\.seg)?(\.nii\.gz|\.nii|\.nrrd|\.nhdr|\.dcm|\.dicom)$", "", file.name, flags=re.IGNORECASE)


def label_names(file: Path, values: list[int]) -> dict[int, str]:
    """Names of the labels of a label map.

    The first of these that there is: a table beside it (``<file>.json``, ``<name>.json``, or csv, tsv, txt, ctbl,
    label), names in its header (TotalSegmentator's NIfTI extension, 3D Slicer's segmentations), the name of the file
    where it holds one label, TotalSegmentator's classes where ten or more labels are all of them. Empty where there
    are none.

    Parameters
    ----------
    file : Path
    values : list of int
        Labels that occur.

    Raises
    ------
    ReadError
        A table that is there and cannot be understood (``unreadable``).
    """
    for table in _tables(file):
        return read_table(table)
    if named := _in_header(file):
        return named
    if len(values) == 1:
        return {values[0]: stem(file)}
    classes = dict(enumerate(structures.total_classes(), 1))
    return classes if len(values) >= FEWEST_CLASSES and set(values) <= set(classes) else {}


def is_table(file: Path) -> bool:
    """Whether a file beside masks may be a table of labels."""
    return file.suffix.lower() in TABLES


def read_table(file: Path) -> dict[int, str]:
    """Label -> name from JSON (``{"1": "spleen"}``), CSV (``1,spleen``) or lines that begin with the label.

    Raises
    ------
    ReadError
        ``unreadable``.
    """
    complaint = ReadError("unreadable", "the table of labels is not understood; give lines of label,name", file)
    try:
        if file.stat().st_size > LARGEST_TABLE:
            raise complaint
        text = file.read_text(encoding="utf-8-sig")
        names = _from_json(text) if file.suffix.lower() == ".json" else _from_lines(text, file.suffix.lower())
    except OSError as error:
        raise ReadError("unreadable", f"the table of labels cannot be read: {error.strerror}", file) from None
    except (ValueError, TypeError, AttributeError):
        raise complaint from None
    if not names:
        raise complaint
    return names


def _tables(file: Path) -> list[Path]:
    names = [f"{base}{ending}" for ending in TABLES for base in (file.name, stem(file))]
    return [file.with_name(n) for n in names if file.with_name(n).is_file()]


def _from_json(text: str) -> dict[int, str]:
    """{"1": "spleen"}, {"spleen": 1}, or either under "labels"."""
    table = json.loads(text)
    table = table.get("labels", table)
    pairs = [(k, v) if str(k).strip().isdigit() else (v, k) for k, v in table.items()]
    return {int(k): str(v) for k, v in pairs if int(k) != 0}


def _from_lines(text: str, ending: str) -> dict[int, str]:
    """Lines of label and name; the name is the quoted field, else the first that is no number (ITK-SNAP, Slicer)."""
    names: dict[int, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if ending in (".csv", ".tsv"):
            fields = next(csv.reader([line], delimiter="\t" if ending == ".tsv" else ","))
        else:
            fields = shlex.split(line)
        label = fields[0].strip()
        rest = [f.strip() for f in fields[1:] if f.strip() and not re.fullmatch(r"[-+.\d]+", f.strip())]
        if label.isdigit() and int(label) and rest:
            names[int(label)] = rest[0]
    return names


def _in_header(file: Path) -> dict[int, str]:
    if rasters.kind(file) == "nifti":
        with cast(IO[bytes], gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb") as stream:
            head = stream.read(rasters.read_raster(file).offset)
        return {int(key): name.decode("utf-8", "replace") for key, name in _XML_LABEL.findall(head) if int(key)}
    with file.open("rb") as stream:
        head = stream.read(LARGEST_TABLE)
    text = head[: max(head.find(b"\n\n"), 0)].decode("utf-8", "replace").replace("\r", "")
    entries: dict[str, dict[str, str]] = {}
    for number, key, value in _SLICER.findall(text):
        entries.setdefault(number, {})[key] = value.strip()
    return {int(e["LabelValue"]): e["Name"] for e in entries.values() if e.keys() == {"Name", "LabelValue"}}
