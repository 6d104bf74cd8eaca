"""How much memory a volume may take: decided from headers, before anything is decoded."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import LimitError
from .params import ReadParams

BYTES_PER_VOXEL = 5
"""float32 and a mask: the most that a volume keeps."""


def memory_bytes() -> int:
    """Half of the machine's memory; 8 GiB where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def check_voxels(voxels: int, params: ReadParams, path: Path) -> None:
    """Refuse more voxels than `ReadParams.max_volume_gb` or half of the memory hold.

    Raises
    ------
    LimitError
        ``too_large``.
    """
    need, limit = voxels * BYTES_PER_VOXEL, min(params.volume_bytes, memory_bytes())
    if need > limit:
        text = f"{voxels / 1e6:.0f} million voxels need {need / 1e9:.1f} GB, the limit is {limit / 1e9:.1f} GB"
        raise LimitError("too_large", f"{text}; analyse a part of the scan or raise the limit", path)
