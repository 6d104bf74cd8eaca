"""Detection: from HU to findings, and to what was left out with the reason.

The way of the data: thresholds -> components above the lower one -> `separate` (body, component tree, size and noise
tests, surroundings, rules) -> findings and excluded. Everything numeric that decides stands in `DetectionParams`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .anatomy import Anatomy, count_inside
from .components import Components
from .errors import GeometryError, UsageError
from .noise import Noise, estimate_noise
from .params import DetectionParams, Thresholds
from .separate import THIN_SCAN_MM, Candidates, large_enough, reaches, separate
from .volume import Volume, as_mask


@dataclass(frozen=True, eq=False)
class Detection:
    """Findings of one volume, and what was left out.

    Parameters
    ----------
    volume : Volume
        The scan.
    found : Candidates
        The findings, in raster order of their first voxel.
    excluded : Candidates
        What passes size and noise and is no finding, each with its reason.
    finding_id : (n,) ndarray of int
        1..n, or the labels of a given segmentation.
    params : DetectionParams
        What was asked for.
    thresholds : Thresholds, or None for a given segmentation
        What was used.
    flags : tuple of str
        Flag codes of the whole scan.
    anatomy : Anatomy, optional
        Masks that name organ and side, on the grid of the scan.
    """

    volume: Volume
    found: Candidates
    excluded: Candidates
    finding_id: NDArray[np.int64]
    params: DetectionParams
    thresholds: Thresholds | None
    flags: tuple[str, ...] = ()
    anatomy: Anatomy | None = None

    def __len__(self) -> int:
        return len(self.components)

    @property
    def components(self) -> Components:
        """The detection mask of every finding."""
        return self.found.components

    @property
    def given(self) -> bool:
        """Whether the masks come from a given segmentation."""
        return self.thresholds is None

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Label image, (slices, rows, columns): `finding_id` per voxel, 0 elsewhere; painted on first use."""
        return self.components.paint(self.finding_id)

    @classmethod
    def from_labels(cls, volume: Volume, labels: ArrayLike | Volume, *, anatomy: Anatomy | None = None) -> Detection:
        """Somebody else's segmentation as a detection: measured as it is, by the same features.

        Parameters
        ----------
        volume : Volume
            The scan.
        labels : (slices, rows, columns) array_like, or Volume
            Integers: each positive label is one finding, connected or not, and its label its ``finding_id``.
            Booleans: each 26-connected component is one finding. A Volume must lie on the grid of `volume`.
        anatomy : Anatomy, optional
            Masks that name organ and side.

        Raises
        ------
        GeometryError
            Another shape or grid (``geometry_mismatch``).
        UsageError
            Labels that are no whole numbers.
        """
        if anatomy is not None:
            anatomy.check(volume)
        image = np.asarray(labels.array if isinstance(labels, Volume) else labels)
        if image.shape != volume.shape:
            raise GeometryError("geometry_mismatch", f"the labels have shape {image.shape}, the scan {volume.shape}")
        if isinstance(labels, Volume):
            as_mask(labels, volume, "label")
        if image.dtype == bool:
            components = Components.from_mask(image)
            numbers = np.arange(1, len(components) + 1)
        else:
            whole = image.astype(np.int64)
            if not np.array_equal(whole, image):
                raise UsageError("labels must be whole numbers; round them or give a boolean mask")
            components, numbers = Components.from_labels(whole)
        return cls(
            volume, Candidates.plain(components), Candidates.plain(Components.empty(volume.shape)), numbers,
            DetectionParams(), None, anatomy=anatomy,
        )  # fmt: skip


def detect(
    volume: Volume,
    params: DetectionParams | None = None,
    *,
    roi: ArrayLike | Volume | Anatomy | None = None,
    anatomy: Anatomy | None = None,
) -> Detection:
    """Find calcifications in a CT volume.

    Parameters
    ----------
    volume : Volume
        CT, in HU.
    params : DetectionParams, optional
        Defaults are adaptive thresholds with the whole separation.
    roi : (slices, rows, columns) array_like of bool, Volume, or Anatomy (the union of its masks), optional
        Findings lie in it with at least half of their voxels; thresholds and noise come from the whole scan.
    anatomy : Anatomy, optional
        Masks that name organ and side of findings. Bone masks tell what is bone, and take the place of our own
        estimate of the skeleton where they stand for all of it (see docs/detection.md).

    Raises
    ------
    UsageError
        The volume is not CT in HU.
    GeometryError
        The region of interest or the anatomy lies on another grid, or the region is empty.
    """
    params = params or DetectionParams()
    if volume.modality != "CT" or volume.unit != "HU":
        raise UsageError(f"detect works on CT in HU, got {volume.modality} in {volume.unit}")
    if anatomy is not None:
        if not isinstance(anatomy, Anatomy):
            raise UsageError("anatomy must be an imaging.Anatomy; make one with imaging.read_anatomy")
        anatomy.check(volume)
    region = None if roi is None else _region(roi, volume)

    noise = estimate_noise(volume)
    thresholds = _thresholds(noise, params)
    floor = Components.above(volume.array, thresholds.grow_hu, params.connectivity, volume.valid)
    if params.separate:
        every = separate(volume, floor, thresholds, params, anatomy)
    else:
        every = _unseparated(volume, floor, thresholds, params)
    reason = every.reason
    if region is not None:
        inside = count_inside(every.components, region) * 2 >= every.components.n_voxels
        reason = np.where(inside, reason, "outside_roi")
    kept = (reason == "") | np.isin(reason, params.keep)
    found, excluded = every.named(reason).take(kept), every.named(reason).take(~kept)
    found = found.in_raster_order()
    flags = _scan_flags(volume, noise, every.body_found)
    if params.separate and anatomy is not None and anatomy.whole_skeleton:
        flags = (*flags, "bone_given")
    return Detection(volume, found, excluded, np.arange(1, len(found.reason) + 1), params, thresholds, flags, anatomy)


def _region(roi: ArrayLike | Volume | Anatomy, volume: Volume) -> Components:
    """The region of interest as one component."""
    if isinstance(roi, Anatomy):
        roi.check(volume)
        region = roi.region()
    else:
        region = Anatomy.from_masks(volume, {"region of interest": roi}).region()
    if not len(region):
        raise GeometryError("empty_mask", "the region of interest holds no voxel; check that it belongs to this scan")
    return region


def _thresholds(noise: Noise, params: DetectionParams) -> Thresholds:
    """Growth and peak threshold, HU: adaptive to the noise, or the plain one for both."""
    if params.threshold_mode == "fixed":
        return Thresholds(params.threshold_hu, params.threshold_hu, noise)
    grow = max(params.threshold_hu, noise.mean + params.grow_sd * noise.sd)
    peak = max(params.peak_hu, params.threshold_hu, noise.mean + params.peak_sd * noise.sd)
    return Thresholds(grow, peak, noise)


def _unseparated(volume: Volume, floor: Components, thresholds: Thresholds, params: DetectionParams) -> Candidates:
    """Threshold, components, minimum size, and the peak where the mode asks for one; nothing else."""
    size = large_enough(volume, floor, params)
    sized = floor.take(size)
    peak = reaches(volume, sized, thresholds.peak_hu)
    return Candidates.plain(sized.take(peak), thresholds.grow_hu, int((~size).sum()), int((~peak).sum()))


def _scan_flags(volume: Volume, noise: Noise, body_found: bool) -> tuple[str, ...]:
    thin = volume.shape[0] * volume.slice_distance < THIN_SCAN_MM
    codes = {
        "contrast_enhanced": noise.enhanced,
        "noise_from_whole_image": noise.n_blocks == 0,
        "body_not_found": not body_found,
        "single_slice": volume.shape[0] == 1,
        "few_slices": thin and volume.shape[0] > 1,
    }
    return tuple(code for code, holds in codes.items() if holds)
