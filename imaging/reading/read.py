"""`read_volume`: the files of a series -> one `Volume` in HU on a checked grid, or a typed refusal."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError, RefusedError, UsageError, ValuesError
from ..series import Instance, Series
from ..volume import UNITS, Volume
from . import pixels, rasters
from .guard import typed
from .limits import check_voxels
from .opened import OpenedFiles
from .params import DEFAULTS, ReadParams
from .slices import Slice, Written
from .splitting import same_image
from .values import Accumulator, is_integral, rescaled

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_volume(series: Series, params: ReadParams | None = None) -> Volume:
    """The voxels of a series.

    Parameters
    ----------
    series : Series
        From `imaging.find_series`.
    params : ReadParams, optional
        Limits and choices; what to do about missing slices is decided in `imaging.find_series`.

    Returns
    -------
    Volume
        int16 where the rescaled values are integral, else float32; ``valid`` is False where the scanner
        padded.

    Raises
    ------
    RefusedError
        Understood, and not safe to measure: geometry, values, size, modality.
    ReadError
        Files that cannot be read or decoded.
    UsageError
        A series that was set aside.
    """
    params = DEFAULTS if params is None else params
    if series.set_aside:
        raise UsageError(f"the series was set aside ({series.set_aside}); it is no image series of ours")
    if series.problem is not None:
        raise copy.copy(series.problem)  # its own traceback, however often it is raised
    if series.modality == "US":
        raise UsageError("ultrasound is read frame by frame: use read_clip", series.instances[0].place)
    if series.modality != "CT":
        raise RefusedError("unsupported_modality", f"modality {series.modality} is not analysed by this version")
    with typed(series.instances[0].place):
        return _read_dicom(series, params) if series.kind == "dicom" else _read_raster(series, params)


def _read_dicom(series: Series, params: ReadParams) -> Volume:
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for index, instance in enumerate(series.instances):
        groups.setdefault(same_image(instance, index), []).append(instance)
    first = series.instances[0]
    if series.affine is None:
        raise GeometryError("no_geometry", "the series has no grid; find it again with find_series", first.place)
    count = len(groups) + len(series.missing)
    check_voxels(count * first.rows * first.columns, params, first.place)
    for problem in filter(None, map(pixels.check, series.instances)):
        raise problem
    absent = _rescale_absent(series.instances)
    places = [k for k in range(count) if k not in set(series.missing)]
    files = OpenedFiles(series.instances, params)
    slices = [(k, Slice(copies[0], files.spans(copies[0]))) for k, copies in zip(places, groups.values(), strict=True)]
    removed = _check_copies([copies for copies in groups.values() if len(copies) > 1], files)
    shape = (count, first.rows, first.columns)
    volume = _filled(slices, shape, files, params)
    volume.fill(series.missing)
    array, valid = _finish(volume, first.place)
    if absent and not params.assume_hu:
        seen = "the values look like HU" if volume.looks_like_hu() else "the values do not look like HU"
        text = (
            f"rescale slope and intercept are absent and {seen}; export the series with them, or set reading.assume_hu"
        )
        raise ValuesError("no_rescale", text, first.place)
    if volume.looks_shifted() and not params.assume_hu:
        raise ValuesError(
            "not_hu",
            "the values look like HU + 1024: the rescale intercept is probably wrong; export the series again, "
            "or set assume_hu",
            first.place,
        )
    flags = {*series.flags, *volume.flags()}
    flags |= {name for name, on in (("duplicates_removed", removed), ("hu_assumed", absent)) if on}
    return _volume(series, array, series.affine, valid, flags)


def _filled(
    slices: Sequence[tuple[int, Slice]], shape: tuple[int, int, int], files: OpenedFiles, params: ReadParams
) -> Accumulator:
    """The volume with all slices, as int16 if that holds them."""
    if all(is_integral(*one.factors) for _, one in slices):
        volume = Accumulator(shape, np.int16)
        if _fill(volume, slices, files, params):
            return volume
        del volume
    volume = Accumulator(shape, np.float32)
    _fill(volume, slices, files, params)
    return volume


def _fill(volume: Accumulator, slices: Sequence[tuple[int, Slice]], files: OpenedFiles, params: ReadParams) -> bool:
    """Write every slice; False as soon as one does not fit into the type of the volume."""

    def write(numbered: tuple[int, Slice]) -> tuple[int, Written | None]:
        index, one = numbered
        with files.source(one.instance) as source:
            return index, one.write(source, volume.array[index])

    # Native pixels are copied, not decoded: there threads only get into each other's way.
    threads = params.workers if any(one.syntax.codec for _, one in slices) else 1
    for index, written in _mapped(write, slices, threads):
        if written is None:
            return False
        volume.note(index, *written)
    return True


def _mapped(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Results in the order of the items; the first error ends the work."""
    if threads == 1 or len(items) < 2:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(min(threads, len(items)), "calcimap-read")
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_copies(groups: Iterable[Sequence[Instance]], files: OpenedFiles) -> bool:
    """Whether images are there more than once; refused where copies of one differ."""
    found = False
    for first, *others in groups:
        stored = _stored(first, files)
        for other in others:
            if Slice(first).factors != Slice(other).factors or not np.array_equal(stored, _stored(other, files)):
                text = "two files of one image differ in their pixels; remove the wrong one"
                raise GeometryError("duplicate_positions", text, other.place)
            found = True
    return found


def _stored(instance: Instance, files: OpenedFiles) -> NDArray[Any]:
    with files.source(instance) as source:
        return Slice(instance, files.spans(instance)).stored(source)


def _finish(volume: Accumulator, path: Path) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    with typed(path):
        return volume.finish()


def _volume(
    series: Series,
    array: NDArray[Any],
    affine: NDArray[np.float64],
    valid: NDArray[np.bool_] | None,
    flags: set[str],
) -> Volume:
    return Volume(array, affine, "CT", UNITS["CT"], valid, "slice", tuple(sorted(flags)), series.header)


def _rescale_absent(instances: tuple[Instance, ...]) -> bool:
    """Whether no image has a rescale; refused if only some have one, or one that cannot be."""
    factors = [(i.slope, i.intercept) for i in instances]
    if all(f == (None, None) for f in factors):
        return True
    for instance, (slope, intercept) in zip(instances, factors, strict=True):
        if slope is None or intercept is None or slope <= 0:
            text = "rescale slope or intercept is absent or not usable in some slices; export the series again"
            raise ValuesError("no_rescale", text, instance.place)
    return False


def _read_raster(series: Series, params: ReadParams) -> Volume:
    path = series.instances[0].path
    raster = rasters.read_raster(path)
    if raster.problem is not None:
        raise raster.problem
    if raster.affine is None:
        raise GeometryError("no_geometry", "place and orientation are not known", path)
    check_voxels(raster.size, params, path)
    stored = rasters.read_values(raster)
    slices, rows, columns = stored.shape
    volume = Accumulator((slices, rows, columns))
    turn = not rasters.is_upright(raster.affine)
    for index in range(slices):
        values = stored[index]
        if raster.scaled:
            values = rescaled(values, raster.slope, raster.intercept)
        volume.put(slices - 1 - index if turn else index, values)
    array, valid = _finish(volume, path)
    affine = rasters.upright_affine(slices, raster.affine)
    return _volume(series, array, affine, valid, {*series.flags, *volume.flags()})
