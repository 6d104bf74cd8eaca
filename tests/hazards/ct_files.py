"""CT hazards of files: encodings, damage, headers, folders, enhanced multi-frame."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from ..dicom_files import ENCODERS, compress, dataset, enhanced, meta_end, save
from .corpus import Expected, Stack, Truth, ct, truth, write

STACK = Stack()


def _encoded(folder: Path, syntax: str, encode: Callable[[Any], bytes] | None = None, **options: Any) -> Expected:
    encoder = encode or ENCODERS[syntax]
    return Expected([write(folder, change=lambda ds, k: compress(ds, syntax, encoder), **options)])


@ct
def implicit(folder: Path) -> Expected:
    """Implicit VR Little Endian."""
    return Expected([write(folder, syntax=ImplicitVRLittleEndian)])


@ct
def big_endian(folder: Path) -> Expected:
    """Explicit VR Big Endian."""
    return Expected([write(folder, syntax=ExplicitVRBigEndian)])


@ct
def deflated(folder: Path) -> Expected:
    """Deflated Explicit VR Little Endian."""
    return Expected([write(folder, syntax=DeflatedExplicitVRLittleEndian)])


@ct
def rle(folder: Path) -> Expected:
    """RLE Lossless."""
    return _encoded(folder, RLELossless)


@ct
def rle_signed(folder: Path) -> Expected:
    """RLE Lossless of signed 12-bit values."""
    return _encoded(folder, RLELossless, bits=12, signed=True, intercept=0)


@ct
def jpeg_baseline(folder: Path) -> Expected:
    """JPEG Baseline of 8 bits with slope 8: what was lost is lost, what is left is read as it is."""
    decoded = np.empty(STACK.shape)

    def lossy(ds: Any, k: int) -> None:
        grey = np.clip((STACK.hu()[k] + 1024) / 8, 0, 255).astype("u1")
        data = imagecodecs.jpeg8_encode(grey, level=95)
        decoded[k] = np.asarray(Image.open(io.BytesIO(data))) * 8.0 - 1024
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = encapsulate([data])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds.RescaleSlope = 8

    write(folder, change=lossy)
    return Expected([truth(STACK, hu=decoded, hu_tolerance=8)])


@ct
def jpeg_lossless_57(folder: Path) -> Expected:
    """JPEG Lossless, process 14."""
    return _encoded(folder, "1.2.840.10008.1.2.4.57")


@ct
def jpeg_lossless_70(folder: Path) -> Expected:
    """JPEG Lossless, process 14, selection value 1: the one that hospitals send."""
    return _encoded(folder, "1.2.840.10008.1.2.4.70")


@ct
def jpeg_lossless_70_signed(folder: Path) -> Expected:
    """JPEG Lossless of signed 16-bit values."""
    return _encoded(folder, "1.2.840.10008.1.2.4.70", signed=True, intercept=0)


@ct
def jpeg_ls(folder: Path) -> Expected:
    """JPEG-LS Lossless."""
    return _encoded(folder, "1.2.840.10008.1.2.4.80")


@ct
def jpeg_ls_near_lossless(folder: Path) -> Expected:
    """JPEG-LS that may be 2 HU off."""
    expected = _encoded(folder, JPEGLSNearLossless, lambda a: imagecodecs.jpegls_encode(a, level=2))
    return Expected([replace(expected.volumes[0], hu_tolerance=2)])


@ct
def jpeg_2000(folder: Path) -> Expected:
    """JPEG 2000, reversible."""
    return _encoded(folder, JPEG2000Lossless)


@ct
def jpeg_2000_signed(folder: Path) -> Expected:
    """JPEG 2000 of signed 12-bit values."""
    return _encoded(folder, JPEG2000Lossless, bits=12, signed=True, intercept=0)


@ct
def htj2k(folder: Path) -> Expected:
    """High-throughput JPEG 2000."""
    return _encoded(folder, "1.2.840.10008.1.2.4.201")


def _in_fragments(folder: Path, *, offsets: bool) -> Expected:
    def pieces(ds: Any, k: int) -> None:
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = encapsulate([ENCODERS[JPEG2000Lossless](stored)], fragments_per_frame=3, has_bot=offsets)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless

    return Expected([write(folder, change=pieces)])


@ct
def fragments_with_offset_table(folder: Path) -> Expected:
    """One frame in three fragments, with a basic offset table."""
    return _in_fragments(folder, offsets=True)


@ct
def fragments_without_offset_table(folder: Path) -> Expected:
    """One frame in three fragments, without an offset table."""
    return _in_fragments(folder, offsets=False)


@ct
def mixed_syntaxes(folder: Path) -> Expected:
    """Every slice in another transfer syntax."""
    syntaxes = list(ENCODERS)
    return Expected([write(folder, change=lambda ds, k: compress(ds, s := syntaxes[k % len(syntaxes)], ENCODERS[s]))])


@ct
def two_frames_called_one(folder: Path) -> Expected:
    """Each file holds two compressed frames and says nothing about it: half of the pixels would be lost."""

    def both(ds: Any, k: int) -> None:
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        frame = ENCODERS[JPEG2000Lossless](stored)
        ds.PixelData = encapsulate([frame, ENCODERS[JPEG2000Lossless](stored // 2)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless

    write(folder, change=both)
    return Expected(refused=("codec",))


@ct
def two_native_frames_called_one(folder: Path) -> Expected:
    """Each file holds two raw frames and says nothing about it."""
    write(folder, change=lambda ds, k: setattr(ds, "PixelData", ds.PixelData * 2))
    return Expected(refused=("unreadable",))


@ct
def two_rle_frames_called_one(folder: Path) -> Expected:
    """Each file holds two RLE frames and says nothing about it."""

    def both(ds: Any, k: int) -> None:
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = encapsulate([ENCODERS[RLELossless](stored), ENCODERS[RLELossless](stored // 2)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = RLELossless

    write(folder, change=both)
    return Expected(refused=("codec",))


@ct
def unknown_syntax(folder: Path) -> Expected:
    """A private transfer syntax in which nobody can know what the bytes are."""
    return Expected(refused=("codec",), physical=[_encoded(folder, "1.2.3.4.5.6", lambda a: a.tobytes()).volumes[0]])


@ct
def video_syntax(folder: Path) -> Expected:
    """MPEG-4 as transfer syntax."""
    return Expected(
        refused=("codec",),
        physical=[_encoded(folder, "1.2.840.10008.1.2.4.102", lambda a: a.tobytes()).volumes[0]],
    )


@ct
def encapsulated_called_native(folder: Path) -> Expected:
    """Compressed pixels in a file that calls them raw."""

    def lie(data: bytes, k: int) -> bytes:
        # Of the same length: RLE Lossless -> Explicit VR Little Endian.
        return data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")

    found = write(folder, change=lambda ds, k: compress(ds, RLELossless, ENCODERS[RLELossless]), raw=lie)
    return Expected(refused=("codec",), physical=[found])


@ct
def native_called_compressed(folder: Path) -> Expected:
    """Raw pixels in a file that calls them JPEG 2000, as after a careless conversion."""

    def lie(data: bytes, k: int) -> bytes:
        # Same length, another registered syntax.
        old, new = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
        assert data.count(old) == 1
        return data.replace(old, new)

    return Expected(refused=("codec",), physical=[write(folder, raw=lie)])


@ct
def no_preamble_no_meta(folder: Path) -> Expected:
    """Implicit VR from the first byte on: no preamble, no meta header."""
    found = write(folder, syntax=ImplicitVRLittleEndian, raw=lambda data, k: data[meta_end(data) :])
    return Expected([replace(found, flags=("no_preamble",))])


@ct
def no_preamble(folder: Path) -> Expected:
    """The file begins with its meta header."""
    found = write(folder, raw=lambda data, k: data[132:])
    return Expected([replace(found, flags=("no_preamble",))])


@ct
def no_transfer_syntax(folder: Path) -> Expected:
    """The meta header does not name the transfer syntax."""

    def nameless(ds: Any, k: int) -> None:
        ds.file_meta.ImplementationVersionName = "X"

    def strip(data: bytes, k: int) -> bytes:
        begin = data.index(b"\x02\x00\x10\x00UI")
        end = begin + 8 + int.from_bytes(data[begin + 6 : begin + 8], "little")
        length = int.from_bytes(data[140:144], "little") - (end - begin)
        return data[:140] + length.to_bytes(4, "little") + data[144:begin] + data[end:]

    return Expected([write(folder, change=nameless, raw=strip)])


@ct
def wrong_group_length(folder: Path) -> Expected:
    """The meta header lies about its length."""
    return Expected([write(folder, raw=lambda data, k: data[:140] + b"\xff\0\0\0" + data[144:])])


@ct
def truncated_in_the_pixels(folder: Path) -> Expected:
    """One slice ends within its pixels."""
    found = write(folder, raw=lambda data, k: data[:-700] if k == 8 else data)
    return Expected(refused=("truncated",), physical=[found])


@ct
def truncated_compressed(folder: Path) -> Expected:
    """One JPEG Lossless slice ends within its stream."""
    syntax = "1.2.840.10008.1.2.4.70"
    found = write(
        folder,
        change=lambda ds, k: compress(ds, syntax, ENCODERS[syntax]),
        raw=lambda data, k: data[:-300] if k == 8 else data,
    )
    return Expected(refused=("truncated",), physical=[found])


@ct
def truncated_in_the_header(folder: Path) -> Expected:
    """One slice ends within its header, before it says to which series it belongs."""
    found = write(folder, raw=lambda data, k: data[:700] if k == 8 else data)
    return Expected(refused=("gap",), left={"truncated": 1}, physical=[found])


def _before_rows(data: bytes) -> bytes:
    return data[: data.index(b"\x28\0\x10\0US") + 3]


@ct
def last_slice_truncated_in_the_header(folder: Path) -> Expected:
    """The last slice ends within its header, after its UIDs: positions alone would show nothing."""
    found = write(folder, raw=lambda data, k: _before_rows(data) if k == 15 else data)
    return Expected(refused=("truncated",), left={"truncated": 1}, physical=[found])


def _without_the_last(found: Truth) -> Truth:
    return replace(found, hu=found.hu[:-1], flags=("files_unreadable",))


@ct
def last_slice_truncated_at_once(folder: Path) -> Expected:
    """The last slice ends before it says to which series it belongs: what there is is read, with a warning."""
    found = write(folder, raw=lambda data, k: data[:700] if k == 15 else data)
    return Expected([_without_the_last(found)], left={"truncated": 1})


@ct
def last_slice_empty(folder: Path) -> Expected:
    """The last slice is an empty file: what there is is read, with a warning."""
    found = write(folder, raw=lambda data, k: b"" if k == 15 else data)
    return Expected([_without_the_last(found)], left={"empty_file": 1})


@ct
def last_slice_overwritten(folder: Path) -> Expected:
    """The last slice holds something else: what there is is read, with a warning."""
    found = write(folder, raw=lambda data, k: bytes(3000) if k == 15 else data)
    return Expected([_without_the_last(found)], left={"not_dicom": 1})


@ct
def filled_with_zeros(folder: Path) -> Expected:
    """One slice was copied half: the second half of the file is zeros, length unchanged."""
    syntax = "1.2.840.10008.1.2.4.80"
    found = write(
        folder,
        change=lambda ds, k: compress(ds, syntax, ENCODERS[syntax]),
        raw=lambda data, k: data[: len(data) - 400] + bytes(400) if k == 8 else data,
    )
    return Expected(refused=("codec",), physical=[found])


@ct
def over_long_pixels(folder: Path) -> Expected:
    """Trailing bytes after the pixels, as some archives write."""
    return Expected([write(folder, change=lambda ds, k: setattr(ds, "PixelData", ds.PixelData + bytes(512)))])


@ct
def far_too_long_pixels(folder: Path) -> Expected:
    """Twice the pixels that rows and columns name: the matrix is wrong."""
    found = write(folder, change=lambda ds, k: setattr(ds, "PixelData", ds.PixelData + bytes(20_000)))
    return Expected(refused=("unreadable",), physical=[found])


@ct
def bytes_after_the_end(folder: Path) -> Expected:
    """Junk after the last element of the file."""
    return Expected([write(folder, raw=lambda data, k: data + bytes(1000))])


@ct
def zero_byte_slice(folder: Path) -> Expected:
    """One slice is an empty file."""
    found = write(folder, raw=lambda data, k: b"" if k == 8 else data)
    return Expected(refused=("gap",), left={"empty_file": 1}, physical=[found])


@ct
def no_pixels(folder: Path) -> Expected:
    """One slice has no pixel data."""
    return Expected(refused=("no_pixels",), physical=[write(folder, change=lambda ds, k: _drop(ds, "PixelData", k))])


def _drop(ds: Any, name: str, k: int) -> None:
    if k == 8:
        delattr(ds, name)


@ct
def rows_disagree_with_the_pixels(folder: Path) -> Expected:
    """One slice calls itself 20 rows shorter than its pixels are."""
    write(folder, change=lambda ds, k: setattr(ds, "Rows", 20) if k == 8 else None)
    return Expected(refused=("mixed_sizes",))


@ct
def stream_of_another_size(folder: Path) -> Expected:
    """A compressed image with another matrix than the header says."""
    syntax = "1.2.840.10008.1.2.4.80"
    write(folder, change=lambda ds, k: compress(ds, syntax, lambda a: imagecodecs.jpegls_encode(a[:-1].copy())))
    return Expected(refused=("codec",))


@ct
def private_elements(folder: Path) -> Expected:
    """Unknown private elements, a private sequence without length among them."""

    def private(ds: Any, k: int) -> None:
        block = ds.private_block(0x0029, "ACME 1.1", create=True)
        block.add_new(1, "UN", bytes(range(256)) * 20)
        inner = Dataset()
        inner.add_new(0x00291101, "LO", "x" * 50)
        block.add_new(2, "SQ", Sequence([inner]))
        ds[0x00291002].is_undefined_length = True
        ds.add_new(0x00E11001, "UN", b"\xfe\xff\x00\xe0" * 9)

    return Expected([write(folder, change=private)])


@ct
def wrong_value_representations(folder: Path) -> Expected:
    """Numbers written as text, text as unknown."""

    def wrong(ds: Any, k: int) -> None:
        position = "\\".join(f"{v:.6f}" for v in STACK.position(k)).encode()
        ds["ImagePositionPatient"].VR = "UN"
        ds["ImagePositionPatient"]._value = position + b" " * (len(position) % 2)
        ds["SliceThickness"].VR = "LO"
        ds["SliceThickness"]._value = "1.25"
        ds["PixelSpacing"].VR = "SH"
        ds["PixelSpacing"]._value = "0.7\\0.8"

    return Expected([write(folder, change=wrong)])


@ct
def broken_character_set(folder: Path) -> Expected:
    """A character set that does not exist, and bytes that are none of it."""

    def broken(ds: Any, k: int) -> None:
        ds.add_new(0x00080005, "CS", "ISO_IR 9999")
        ds.add_new(0x00104000, "UN", b"\xff\xfe\x80\x81")

    name = b"\xff\xfe\x81^\xd0\xd1ME...."
    return Expected([write(folder, change=broken, raw=lambda data, k: data.replace(b"CANARY^NAME", name[:11]))])


@ct
def values_too_long_for_their_kind(folder: Path) -> Expected:
    """Strings that are longer than the standard allows."""
    return Expected(
        [write(folder, SeriesDescription="x" * 300, change=lambda ds, k: ds.add_new(0x00200011, "IS", "0" * 20))]
    )


@ct
def no_sop_class(folder: Path) -> Expected:
    """SOPClassUID is absent, as old converters leave it."""
    return Expected([write(folder, SOPClassUID=None)])


def _bad_name(k: int) -> str:
    return f"Ünïcode 研究/Пациент №7/שלום {k:02d} 🦴.dcm"


@ct
def unicode_names(folder: Path) -> Expected:
    """Folders and files with names from many alphabets."""
    return Expected([write(folder, name=_bad_name)])


@ct
def long_paths(folder: Path) -> Expected:
    """Paths of more than 260 characters."""
    deep = "/".join(["a rather long name of a folder, as export programs make them"] * 6)
    return Expected([write(folder, name=lambda k: f"{deep}/image {k:04d} of the series.dcm")])


@ct
def a_folder_for_each_slice(folder: Path) -> Expected:
    """Every slice in a folder of its own."""
    return Expected([write(folder, name="{:03d}/1.dcm".format)])


def _object(folder: Path, name: str, sop_class: str, modality: str, **elements: Any) -> None:
    ds = dataset(
        np.zeros((8, 8), int), series=name, instance=name, SOPClassUID=sop_class, Modality=modality, **elements
    )
    save(ds, folder / name)


PLAIN = {"PixelData": None, "Rows": None, "Columns": None, "PixelSpacing": None}


@ct
def other_objects_in_the_folder(folder: Path) -> Expected:
    """Report, segmentation, structure set, document, presentation state and dose beside the images."""
    found = write(folder)
    _object(folder, "sr", "1.2.840.10008.5.1.4.1.1.88.33", "SR", **PLAIN)
    _object(folder, "seg", "1.2.840.10008.5.1.4.1.1.66.4", "SEG")
    _object(folder, "rtstruct", "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", **PLAIN)
    _object(folder, "pdf", "1.2.840.10008.5.1.4.1.1.104.1", "DOC", **PLAIN)
    _object(folder, "pr", "1.2.840.10008.5.1.4.1.1.11.1", "PR", **PLAIN)
    _object(folder, "dose", "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE")
    left = {"sr": 1, "seg": 1, "rtstruct": 1, "pdf": 1, "not_image": 1, "other_modality": 1}
    return Expected([found], left=left)


@ct
def segmentation_with_the_uid_of_the_series(folder: Path) -> Expected:
    """A segmentation that carries the SeriesInstanceUID of the images."""
    found = write(folder)
    _object(folder, "seg", "1.2.840.10008.5.1.4.1.1.66.4", "SEG", SeriesInstanceUID=_series_uid(folder))
    return Expected([found], left={"seg": 1})


def _series_uid(folder: Path) -> str:
    return str(pydicom.dcmread(folder / "IM0000.dcm").SeriesInstanceUID)


@ct
def screen_capture_in_the_series(folder: Path) -> Expected:
    """A secondary capture with the SeriesInstanceUID of the images."""
    found = write(folder)
    _object(folder, "sc", "1.2.840.10008.5.1.4.1.1.7", "CT", SeriesInstanceUID=_series_uid(folder))
    return Expected([found], left={"secondary_capture": 1})


@ct
def pet_beside_ct(folder: Path) -> Expected:
    """A PET series of the same study, rescaled like HU."""
    found = write(folder)
    write(folder / "pet", series="pet", SOPClassUID="1.2.840.10008.5.1.4.1.1.128", Modality="PT")
    return Expected([found], left={"other_modality": 16})


@ct
def dicomdir(folder: Path) -> Expected:
    """An index that points out of the folder."""
    found = write(folder)
    index = dataset(np.zeros((2, 2), int), SOPClassUID="1.2.840.10008.1.3.10", **PLAIN)
    item = Dataset()
    item.ReferencedFileID = ["..", "..", "etc", "passwd"]
    index.add_new(0x00041220, "SQ", Sequence([item]))
    del index.SOPClassUID, index.Modality
    save(index, folder / "DICOMDIR")
    return Expected([found], left={"dicomdir": 1})


@ct
def junk_in_the_folder(folder: Path) -> Expected:
    """What lies about in real folders: thumbnails, notes, empty files, pictures, an executable."""
    found = write(folder)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(6000))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (folder / "notes.txt").write_text("see report")
    (folder / "empty.dcm").touch()
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(900))
    (folder / "list.dcm").write_bytes(b"not what its name says" * 40)
    Image.new("L", (9, 9)).save(folder / "key.png")
    # An empty file of the same kind may have been a slice.
    return Expected([replace(found, flags=("files_unreadable",))], left={"not_dicom": 5, "empty_file": 1, "picture": 1})


@ct
def symbolic_link_loop(folder: Path) -> Expected:
    """A link to the folder itself, one to nowhere and one to a slice."""
    found = write(folder)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere").symlink_to(folder / "missing")
    (folder / "again.dcm").symlink_to(folder / "IM0003.dcm")
    return Expected([found], left={"symlink": 3})


@ct
def own_output_in_the_folder(folder: Path) -> Expected:
    """Results of an earlier run beside the images, a label map in them."""
    found = write(folder / "scan")
    out = folder / "results"
    out.mkdir()
    (out / "run.json").write_text("{}")
    (out / "columns.json").write_text("{}")
    shutil.copy(folder / "scan" / "IM0000.dcm", out / "seg.dcm")
    return Expected([found], left={"own_output": 1})


@ct
def zip_archive(folder: Path) -> Expected:
    """The series in a zip file."""
    found = write(folder / "series")
    with zipfile.ZipFile(folder / "series.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "series").iterdir()):
            archive.write(file, f"deep/er/{file.name}")
    shutil.rmtree(folder / "series")
    return Expected([found])


@ct
def zip_that_points_outside(folder: Path) -> Expected:
    """A zip file whose member names lead out of the folder."""
    found = write(folder / "series")
    with zipfile.ZipFile(folder / "series.zip", "w") as archive:
        for k, file in enumerate(sorted((folder / "series").iterdir())):
            archive.write(file, ("../../../evil/", "/abs/", "C:\\evil\\")[k % 3] + file.name)
    shutil.rmtree(folder / "series")
    return Expected([found])


# ---- enhanced multi-frame


def _multi(
    folder: Path, order: list[int] | None = None, change: Callable[[Any], Any] | None = None, **options: Any
) -> Truth:
    """An enhanced CT of the phantom in one file."""
    stack = replace(STACK, pixel=(0.7, 0.8))
    hu = options.pop("hu", stack.hu())
    ds = enhanced(hu, order, **options)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = list(stack.pixel)
    for item, k in zip(ds.PerFrameFunctionalGroupsSequence, order or range(len(hu)), strict=True):
        place = [float(f"{v:.6f}") for v in stack.position(k)]
        item.PlanePositionSequence[0].ImagePositionPatient = place
    save((change(ds) if change else None) or ds, folder / options.get("name", "enhanced.dcm"))
    return Truth(hu, stack.affine)


@ct
def enhanced_multi_frame(folder: Path) -> Expected:
    """An enhanced CT."""
    return Expected([_multi(folder)])


@ct
def enhanced_shuffled(folder: Path) -> Expected:
    """An enhanced CT whose frames stand in any order."""
    return Expected([_multi(folder, [int(k) for k in np.random.default_rng(5).permutation(16)])])


@ct
def enhanced_rescale_per_frame(folder: Path) -> Expected:
    """An enhanced CT whose frames have slopes of their own."""
    hu = STACK.hu() // 2 * 2
    return Expected([_multi(folder, hu=hu, slopes=[1.0 + k % 2 for k in range(16)])])


@ct
def enhanced_with_gap(folder: Path) -> Expected:
    """An enhanced CT that lacks a frame."""
    order = [k for k in range(16) if k != 8]
    return Expected(refused=("gap",), physical=[_multi(folder, order)])


@ct
def enhanced_two_phases(folder: Path) -> Expected:
    """An enhanced CT with two temporal positions, frame by frame in turn."""
    order = [k // 2 for k in range(32)]
    found = _multi(folder, order, phases=[1 + f % 2 for f in range(32)])
    return Expected([found, found])


@ct
def enhanced_without_positions(folder: Path) -> Expected:
    """An enhanced CT without plane positions."""

    def strip(ds: Any) -> None:
        for item in ds.PerFrameFunctionalGroupsSequence:
            del item.PlanePositionSequence

    return Expected(refused=("no_geometry",), physical=[_multi(folder, change=strip)])


@ct
def enhanced_with_more_frames_than_described(folder: Path) -> Expected:
    """An enhanced CT whose functional groups end before its frames do."""

    def cut(ds: Any) -> None:
        del ds.PerFrameFunctionalGroupsSequence[12:]

    return Expected(refused=("no_geometry",), physical=[_multi(folder, change=cut)])


@ct
def legacy_converted(folder: Path) -> Expected:
    """A legacy converted enhanced CT."""

    def legacy(ds: Any) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"

    return Expected([_multi(folder, change=legacy)])


def _pack_frames(ds: Any, syntax: str, *, extended: bool, fragments: int = 1) -> None:
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(-1, ds.Rows, ds.Columns)
    frames = [ENCODERS[syntax](frame) for frame in stored]
    if extended:
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=fragments > 1)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax


@ct
def enhanced_extended_offset_table(folder: Path) -> Expected:
    """A compressed enhanced CT with an extended offset table."""
    syntax = "1.2.840.10008.1.2.4.70"
    return Expected([_multi(folder, change=lambda ds: _pack_frames(ds, syntax, extended=True))])


@ct
def enhanced_without_offset_table(folder: Path) -> Expected:
    """A compressed enhanced CT without any offset table."""
    return Expected([_multi(folder, change=lambda ds: _pack_frames(ds, JPEG2000Lossless, extended=False))])


@ct
def enhanced_in_fragments(folder: Path) -> Expected:
    """A compressed enhanced CT with two fragments a frame."""
    syntax = "1.2.840.10008.1.2.4.80"
    return Expected([_multi(folder, change=lambda ds: _pack_frames(ds, syntax, extended=False, fragments=2))])


@ct
def frames_in_a_plain_ct(folder: Path) -> Expected:
    """Several frames in an object of the single-frame class: nothing says where they lie."""

    def plain(ds: Any) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        del ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence
        ds.ImagePositionPatient, ds.ImageOrientationPatient = list(STACK.position(0)), list(STACK.cosines)
        ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = list(STACK.pixel), 1, -1024

    return Expected(refused=("no_geometry",), physical=[_multi(folder, change=plain)])


@ct
def frame_count_beyond_reason(folder: Path) -> Expected:
    """NumberOfFrames 2147483647."""

    def many(ds: Any) -> None:
        ds.NumberOfFrames = 2**31 - 1

    return Expected(refused=("no_geometry",), physical=[_multi(folder, change=many)])


@ct
def matrix_beyond_reason(folder: Path) -> Expected:
    """Rows and Columns 65535 in a small file."""

    def huge(ds: Any, k: int) -> None:
        ds.Rows = ds.Columns = 65535

    write(folder, change=huge)
    return Expected(refused=("truncated",))
