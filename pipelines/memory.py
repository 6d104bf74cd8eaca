"""How much memory a scan needs, by its header, how much there is, and how many processes that allows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from imaging import Series

BASE_BYTES = 500_000_000
"""A process with all libraries loaded, and the tables and pictures of a scan."""
BYTES_PER_VOXEL = 8
"""At the peak of a scan with everything on: int16, and what is made of it (measured: docs/batch.md)."""
HEADROOM = 1.5
"""A worker is ended at so many times what its largest scan needs by the header."""
SECONDS_PER_SCAN, SECONDS_PER_VOXEL = 0.2, 6e-8
"""Roughly what an analysis takes, to order scans and to tell whether another process is worth its start."""
WORTH_S = 5.0
"""Seconds of work that make a worker worth its start, which takes 2."""
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def voxels(series: Series) -> int:
    """Voxels of a series by its header; pixels of all frames for ultrasound."""
    first = series.instances[0]
    return series.n_slices * first.rows * first.columns


def need(series: Series) -> int:
    """Bytes that the analysis of a series takes at its peak, by its header."""
    return BASE_BYTES + BYTES_PER_VOXEL * voxels(series)


def seconds(series: Series) -> float:
    """Roughly how long the analysis of a series takes; 0 where its header already says that it is refused."""
    return 0.0 if series.problem is not None else SECONDS_PER_SCAN + SECONDS_PER_VOXEL * voxels(series)


def machine_bytes() -> int:
    """Memory of the machine, or what a container or batch system gives this process of it."""
    import psutil

    limits = [int(psutil.virtual_memory().total)]
    for place in _CGROUP:
        try:
            limits.append(int(Path(place).read_text(encoding="ascii")))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return min(limits)


def cores() -> int:
    """Cores that this process may use."""
    try:
        import psutil

        affinity: int = len(psutil.Process().cpu_affinity())
    except (AttributeError, OSError):  # macOS knows no affinity
        affinity = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(affinity, int(quota) // int(period)))
    except (OSError, ValueError):
        return affinity


def default_jobs(needs: Iterable[int], work_s: float, memory: int) -> int:
    """Worker processes for so much work: the cores, as far as `memory` holds the largest scans at a time."""
    largest = sorted(needs, reverse=True)[: cores()]
    held, jobs = 0, 0
    for one in largest:
        held += one
        if held > memory:
            break
        jobs += 1
    return max(1, min(jobs, int(work_s / WORTH_S)))


def peak_bytes(*, reset: bool = False) -> int | None:
    """The most memory that this process held (since the last reset, on Linux); None where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
        import sys
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
