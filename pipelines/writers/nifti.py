"""Label maps as NIfTI, in the geometry of the scan."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from imaging import Detection, Volume

from ..results import ClipResult, ScanResult
from .echo_labels import write_echo_labels

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
HEADER_BYTES = 352
DIMENSIONS, QFORM_CODE, SROW = 40, 252, 280
"""Byte offsets in the NIfTI-1 header: dim (eight int16), qform_code and sform_code (two int16), srow_x/y/z (twelve
float32).
"""
SLAB_BYTES = 8_000_000


def write_labels(result: ScanResult | ClipResult, folder: Path) -> None:
    """``labels.nii.gz``: finding_id per voxel, 0 elsewhere; findings only, never excluded candidates.

    Painted and written some slices at a time: a label image takes as much memory as the scan, or twice that.
    """
    if isinstance(result, ClipResult):
        write_echo_labels(result.echoes, folder)
        return
    kind = np.dtype("<u2" if max(result.detection.finding_id, default=0) < 65536 else "<i4")
    # Level 1, since almost all is 0; without a time, since the same scan gives the same file.
    with (folder / "labels.nii.gz").open("wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as stream:
        stream.write(_header(result.volume, kind, folder))
        for slab in _slabs(result.detection, kind):
            stream.write(slab)


def _slabs(detection: Detection, kind: np.dtype[np.integer]) -> Iterator[bytes]:
    """The label image in parts of whole slices."""
    parts = detection.components
    slices, rows, columns = parts.shape
    order = np.argsort(parts.voxels, kind="stable")
    voxels, numbers = parts.voxels[order], np.asarray(detection.finding_id)[parts.component[order]]
    step = max(1, SLAB_BYTES // (rows * columns * kind.itemsize)) * rows * columns
    for first in range(0, slices * rows * columns, step):
        slab = np.zeros(min(step, slices * rows * columns - first), kind)
        here = slice(*np.searchsorted(voxels, (first, first + step)))
        slab[voxels[here] - first] = numbers[here]
        yield slab.tobytes()


def _header(volume: Volume, kind: np.dtype[np.integer], folder: Path) -> bytes:
    """The NIfTI-1 header, by way of a file in `folder`.

    SimpleITK converts LPS to NIfTI's RAS, for one slice here. Its images have axes at right angles; where ours have not
    (gantry tilt), the affine is written into the header's sform, which can hold a shear.
    """
    import SimpleITK as sitk

    slices, rows, columns = volume.shape
    square = np.linalg.svd(volume.direction)
    image = sitk.GetImageFromArray(np.zeros((1, rows, columns), kind))
    image.SetSpacing([float(s) for s in volume.spacing[::-1]])
    image.SetOrigin([float(x) for x in volume.origin])
    image.SetDirection([float(x) for x in (square.U @ square.Vh).ravel()])  # the nearest rotation
    file = folder / "slice.nii"
    sitk.WriteImage(image, str(file))
    header = bytearray(file.read_bytes()[:HEADER_BYTES])
    file.unlink()
    struct.pack_into("<5h", header, DIMENSIONS, 3, columns, rows, slices, 1)
    if not volume.is_orthogonal:
        affine = LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]]  # NIfTI counts (column, row, slice)
        struct.pack_into("<2h", header, QFORM_CODE, 0, 1)  # the sform holds, the qform is void
        struct.pack_into("<12f", header, SROW, *affine[:3].ravel())
    return bytes(header)
