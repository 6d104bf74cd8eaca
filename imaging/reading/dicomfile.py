"""One DICOM file, opened safely: sniffed by content, inflated within bounds, parsed without a word on the
terminal.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
import pydicom.config
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ..errors import CalcimapError, LimitError, ReadError, TruncatedError

INFLATE_RATIO = 200
INFLATE_FLOOR = 64 << 20
INFLATE_CEILING = 512 << 20
"""A deflated file may grow 200-fold, at least 64 MiB are allowed, never more than 512 MiB (1 MB can hold 1
GB).
"""

LARGEST_FILE = 4 << 30
_EXPLICIT_VR = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VR = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_PIXEL_TAGS = tuple(struct.pack(order, 0x7FE0, 0x0010) for order in ("<HH", ">HH"))


def is_dicom(start: bytes) -> bool:
    """Whether the first bytes of a file (132 or more) are those of a DICOM file, with or without preamble.

    Without preamble only a file that begins with a low element of group 0002 or 0008, with a value
    representation or a plausible length, is taken: nothing else is ever parsed as DICOM.
    """
    return start[128:132] == b"DICM" or (not has_preamble(start) and _starts_with_element(start))


def has_preamble(start: bytes) -> bool:
    """Whether the first bytes hold the 128 bytes of preamble and the prefix DICM."""
    return start[128:132] == b"DICM"


def _starts_with_element(start: bytes) -> bool:
    if len(start) < 16:
        return False
    group, element = struct.unpack_from("<HH", start)
    if group not in (0x0002, 0x0008) or element > 0x0070:
        return False
    if start[4:6] in _EXPLICIT_VR:
        return True
    (length,) = struct.unpack_from("<I", start, 4)
    return bool(group == 0x0008 and length <= 256 and length % 2 == 0)


@contextmanager
def quiet() -> Iterator[None]:
    """No word from pydicom, whose warnings and log records hold header values; values are checked by
    ourselves.

    Values are converted when they are asked for: what reads elements stands inside as well.
    """
    log = logging.getLogger("pydicom")
    mode, silent = pydicom.config.settings.reading_validation_mode, log.disabled
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom.config.settings.reading_validation_mode = mode
        log.disabled = silent


def open_dataset(path: Path, tags: list[int] | None = None, *, pixels: bool = False) -> Dataset:
    """The data set of a DICOM file.

    Parameters
    ----------
    path : Path
        A file for which `is_dicom` holds.
    tags : list of int, optional
        Only these elements are kept.
    pixels : bool
        Read the pixel data as well.

    Raises
    ------
    ReadError
        The file cannot be opened or parsed (``unreadable``).
    LimitError
        Inflated it would be larger than the bounds above.
    """
    try:
        with quiet(), path.open("rb") as file:
            start = file.read(132)
            deflated = _deflated_offset(file) if has_preamble(start) else 0
            file.seek(0)
            if deflated:
                return _open_deflated(file, deflated, tags, pixels)
            bare = not has_preamble(start)
            return pydicom.dcmread(file, stop_before_pixels=not pixels, specific_tags=_tags(tags), force=bare)
    except CalcimapError as error:
        error.path = error.path or path
        raise
    except MemoryError:
        raise LimitError("too_large", "reading the file needs more memory than there is", path) from None
    except OSError as error:
        raise ReadError(
            "unreadable", f"the file cannot be read: {error.strerror or 'input/output error'}", path
        ) from None
    except (EOFError, struct.error):
        raise TruncatedError("the file ends within an element; copy it again from its source", path) from None
    except Exception as error:  # pydicom lets a dozen types escape on damaged files (measured by mutation)
        text = f"the DICOM header is damaged ({type(error).__name__}); get the file again from its source"
        raise ReadError("unreadable", text, path) from None


def get(dataset: Dataset, keyword: str) -> Any:
    """The value of an element, None where it is absent, empty or not parseable."""
    try:
        value = dataset.get(keyword)
    except Exception:  # values are converted on access; any conversion may fail on a damaged file
        return None
    return None if value is None or value == "" else value


def number(value: Any) -> float | None:
    """A finite float, or None."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if -1e300 < result < 1e300 else None


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """`count` finite floats of a multi-valued element, or None."""
    try:
        values = [number(v) for v in value]
    except TypeError:
        return None
    kept = tuple(v for v in values if v is not None)
    return kept if len(values) == len(kept) == count else None


def pixel_bytes(path: Path, dataset: Dataset) -> bytes:
    """PixelData of a data set read with ``pixels=True``.

    Raises
    ------
    ReadError
        There are none (``no_pixels``).
    TruncatedError
        The element begins and the file ends within it; pydicom drops such an element without an error.
    """
    try:
        data = dataset.get("PixelData")
    except Exception:
        data = None
    if isinstance(data, bytes) and data:
        return data
    if _begins_pixels(path):
        raise TruncatedError("the file ends before its pixel data do; copy it again from its source", path)
    raise ReadError("no_pixels", "the file holds no pixel data; export the series again with images", path)


def _begins_pixels(path: Path) -> bool:
    with quiet(), path.open("rb") as file:
        try:
            pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[Tag("Rows")], force=True)
            return file.read(4) in _PIXEL_TAGS
        except Exception:
            return False


def _tags(tags: list[int] | None) -> list[Any] | None:
    return None if tags is None else list(tags)


def _deflated_offset(file: BinaryIO) -> int:
    """Where the deflated data set begins; 0 if the transfer syntax is another one or the meta group is
    damaged.
    """
    file.seek(132)
    syntax = b""
    while True:
        place = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            break
        length = struct.unpack_from("<H", head, 6)[0]
        if head[4:6] in _LONG_VR:
            length = struct.unpack("<I", file.read(4).ljust(4, b"\0"))[0]
        value = file.read(min(length, 4096))
        if length > 4096:
            file.seek(length - 4096, 1)
        if head[2:4] == b"\x10\x00":
            syntax = value.rstrip(b"\0 ")
    return place if syntax == DeflatedExplicitVRLittleEndian.encode() else 0


def _open_deflated(file: BinaryIO, offset: int, tags: list[int] | None, pixels: bool) -> Dataset:
    file.seek(offset)
    packed = file.read(LARGEST_FILE)
    bound = min(INFLATE_CEILING, max(INFLATE_FLOOR, INFLATE_RATIO * len(packed)))
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = machine.decompress(packed, bound)
    except zlib.error:
        raise ReadError("unreadable", "the deflated data are damaged; get the file again from its source") from None
    if machine.unconsumed_tail:
        raise LimitError("too_large", f"inflates to more than {bound >> 20} MB; not opened")
    if not machine.eof:
        raise TruncatedError("the file ends before its deflated data do; copy it again from its source")
    dataset = pydicom.dcmread(BytesIO(plain), stop_before_pixels=not pixels, specific_tags=_tags(tags), force=True)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.preamble = bytes(128)  # the meta group stands after one; pydicom did not see it
    return dataset
