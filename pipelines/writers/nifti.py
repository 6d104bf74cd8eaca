"""Label maps as NIfTI, in the geometry of the scan."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging import Volume

from ..results import ClipResult, ScanResult
from .echo_labels import write_echo_labels

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
QFORM_CODE, SROW = 252, 280
"""Byte offsets in the NIfTI-1 header: qform_code and sform_code (two int16), srow_x/y/z (twelve float32)."""


def write_labels(result: ScanResult | ClipResult, folder: Path) -> None:
    """``labels.nii.gz``: finding_id per voxel, 0 elsewhere; findings only, never excluded candidates.

    SimpleITK converts LPS to NIfTI's RAS. Its images have axes at right angles; where ours have not (gantry tilt), the
    affine is written into the header's sform, which can hold a shear.
    """
    import SimpleITK as sitk

    if isinstance(result, ClipResult):
        write_echo_labels(result.echoes, folder)
        return
    volume, labels = result.volume, result.labels
    square = np.linalg.svd(volume.direction)
    image = sitk.GetImageFromArray(_narrow(labels))
    image.SetSpacing([float(s) for s in volume.spacing[::-1]])
    image.SetOrigin([float(x) for x in volume.origin])
    image.SetDirection([float(x) for x in (square.U @ square.Vh).ravel()])  # the nearest rotation
    file = folder / "labels.nii.gz"
    sitk.WriteImage(image, str(file), useCompression=True)
    if not volume.is_orthogonal:
        _write_sform(file, volume)


def _narrow(labels: NDArray[np.int32]) -> NDArray[Any]:
    """The labels as uint16 where that holds them; memory is taken for what is labelled only, which is little."""
    if labels.max(initial=0) >= 65536:
        return labels
    narrow = np.zeros(labels.shape, np.uint16)
    place = np.flatnonzero(labels)
    narrow.reshape(-1)[place] = labels.reshape(-1)[place]
    return narrow


def _write_sform(file: Path, volume: Volume) -> None:
    """Put the whole affine into the sform and declare the qform void."""
    data = bytearray(gzip.decompress(file.read_bytes()))
    affine = LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]]  # NIfTI counts (column, row, slice)
    struct.pack_into("<2h", data, QFORM_CODE, 0, 1)
    struct.pack_into("<12f", data, SROW, *affine[:3].ravel())
    file.write_bytes(gzip.compress(bytes(data), mtime=0))
