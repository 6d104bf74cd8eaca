"""Label maps of ultrasound: NIfTI where one pixel size holds for the frame, PNG where nothing is known in mm."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from imaging import Echoes

HEADER_BYTES, INT32, MM = 352, 8, 2


def write_echo_labels(echoes: Echoes, folder: Path) -> None:
    """``labels.nii.gz`` of a calibrated image (columns, rows) or cine (columns, rows, 1, frames); else PNG.

    An uncalibrated image becomes ``labels.png``, a cine one ``labels_<frame>.png`` for each key frame: a file that
    cannot hold a pixel size cannot claim one. Frames are painted and written one at a time.
    """
    steps = {beam.step for beam in echoes.beams if beam.calibrated}
    if len(steps) == 1 and all(beam.calibrated for beam in echoes.beams):
        _write_nifti(echoes, next(iter(steps)), folder / "labels.nii.gz")
        return
    from PIL import Image

    frames = sorted({t.frames[t.key] for t in echoes.found}) or [0]
    for frame in frames if len(echoes.clip) > 1 else [0]:
        name = "labels.png" if len(echoes.clip) == 1 else f"labels_{frame:04d}.png"
        labels = frame_labels(echoes, frame)
        picture = labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)
        Image.fromarray(picture).save(folder / name)


def frame_labels(echoes: Echoes, frame: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """finding_id per pixel of one frame, (rows, columns)."""
    parts, size = echoes.components, echoes.clip.rows * echoes.clip.columns
    here = parts.voxels // size == frame
    image = np.zeros(size, np.int32)
    image[parts.voxels[here] % size] = echoes.finding_id[parts.component[here]]
    return image.reshape(echoes.clip.rows, echoes.clip.columns)


def _write_nifti(echoes: Echoes, step: tuple[float, float], file: Path) -> None:
    """A NIfTI-1 file written frame by frame; no orientation is claimed (qform and sform codes 0)."""
    frames, rows, columns = echoes.clip.shape
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<i", header, 0, 348)
    dimensions = (2, columns, rows, 1, 1, 1, 1, 1) if frames == 1 else (4, columns, rows, 1, frames, 1, 1, 1)
    struct.pack_into("<8h", header, 40, *dimensions)
    struct.pack_into("<2h", header, 70, INT32, 32)
    struct.pack_into("<8f", header, 76, 1.0, step[1], step[0], 1.0, 1.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, float(HEADER_BYTES), 1.0, 0.0)
    header[123] = MM
    text = b"frames follow each other in time; pixels have no thickness" if frames > 1 else b"ultrasound image"
    header[148 : 148 + len(text)] = text
    header[344:348] = b"n+1\0"
    with file.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        packed.write(bytes(header))
        for frame in range(frames):
            packed.write(frame_labels(echoes, frame).astype("<i4").tobytes())
