"""`Exam`: one analysed scan of a patient, as follow-up needs it, with or without its image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import geometry
from ..columns import EXCLUDED, FINDINGS, conform
from ..components import Components
from ..detection import Detection
from ..errors import UsageError
from ..excluded import describe_excluded
from ..features import measure
from ..groups import group
from ..params import DetectionParams
from ..patterns import name_patterns
from ..scores import score
from ..separate import Candidates
from ..series import Series
from ..volume import Volume

OWN_THRESHOLD = "threshold_own_hu"


@dataclass(frozen=True, eq=False)
class Exam:
    """One scan at one time.

    Parameters
    ----------
    components : Components
        Voxels of the findings, in the order of `findings`.
    affine : (4, 4) ndarray
        Index (slice, row, column) to patient LPS, mm.
    findings : DataFrame
        Columns of `imaging.FINDINGS`.
    excluded : DataFrame
        Columns of `imaging.EXCLUDED`.
    facts : mapping
        The scan's row in ``scans``: modality, header facts, spacings, thresholds, noise, flags.
    image : Volume, optional
        The scan itself; without it scans are compared in one frame of reference only.
    scan_id : str
    frame : str
        What tells frames of reference apart, a UID or a hash of it; empty where unknown. Never written.
    acquired : date, optional
        Day of the scan, for the interval. Never written.
    series : Series, optional
        What it was read from, for objects that refer to it. Never written elsewhere.
    """

    components: Components
    affine: geometry.Affine
    findings: pd.DataFrame
    excluded: pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)
    image: Volume | None = None
    scan_id: str = ""
    frame: str = ""
    acquired: date | None = None
    series: Series | None = None

    def __post_init__(self) -> None:
        if len(self.components) != len(self.findings):
            raise UsageError(
                f"{len(self.components)} masks and {len(self.findings)} findings; give labels and table of one run"
            )
        if self.image is not None and not self.image.same_grid(self.components.shape, self.affine):
            raise UsageError("the image and the labels of a scan do not lie on one grid")

    def __len__(self) -> int:
        return len(self.findings)

    @classmethod
    def of(
        cls,
        detection: Detection,
        findings: pd.DataFrame | None = None,
        *,
        scan_id: str = "",
        frame: str = "",
        acquired: date | None = None,
    ) -> Exam:
        """The exam that a detection stands for; its findings are measured unless they are given.

        Parameters
        ----------
        detection : Detection
        findings : DataFrame, optional
            In the order of the detection, as `imaging.measure` and what follows it make them.
        scan_id, frame, acquired
            See `Exam`.
        """
        if findings is None:
            findings = name_patterns(group(score(measure(detection), detection), detection))
        volume, used = detection.volume, detection.thresholds
        _, row_mm, column_mm = volume.spacing
        facts: dict[str, Any] = {
            "modality": volume.modality,
            "slice_spacing_mm": volume.slice_distance,
            "row_spacing_mm": row_mm,
            "column_spacing_mm": column_mm,
            **volume.header,
            "flags": ";".join(sorted({*volume.flags, *detection.flags})),
        }
        if used is not None:
            facts |= {
                "threshold_mode": detection.params.threshold_mode,
                "threshold_grow_hu": used.grow_hu,
                "threshold_peak_hu": used.peak_hu,
                "tissue_mean_hu": used.noise.mean,
                "noise_sd_hu": used.noise.sd,
            }
        table = conform(findings.assign(scan_id=scan_id), FINDINGS).reset_index(drop=True)
        excluded = conform(describe_excluded(detection), EXCLUDED)
        parts = detection.components
        return cls(parts, volume.affine, table, excluded, facts, volume, scan_id, frame, acquired)

    def detection(self) -> Detection:
        """The findings as a given segmentation of the image, for drawing.

        Raises
        ------
        UsageError
            There is no image.
        """
        if self.image is None:
            raise UsageError("this exam has no image to draw")
        none = Candidates.plain(Components.empty(self.components.shape))
        return Detection(self.image, Candidates.plain(self.components), none, self.ids, DetectionParams(), None)

    def replace(self, **changes: Any) -> Exam:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def own_threshold(self) -> float | None:
        """HU of the growth threshold that is the scan's own, where it was measured above that of a noisier one."""
        value = self.fact(OWN_THRESHOLD)
        return None if value is None else float(value)

    def raised_from(self, own: float) -> Exam:
        """The exam, marked as measured above another threshold than its own, HU."""
        return self.replace(facts={**self.facts, OWN_THRESHOLD: own})

    @property
    def measured(self) -> str:
        """The scan, and the threshold where that is not its own: its findings have numbers of their own then."""
        raised = self.own_threshold is not None
        return f"{self.scan_id}@{self.number('threshold_grow_hu'):.6g}" if raised else self.scan_id

    @property
    def ids(self) -> NDArray[np.int64]:
        """``finding_id`` of every finding."""
        return self.column("finding_id").astype(np.int64)

    @property
    def centroids(self) -> NDArray[np.float64]:
        """Centres of the detection masks, LPS mm, (n, 3)."""
        return geometry.to_world(self.affine, self.components.centroid).reshape(-1, 3)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, mm3."""
        return geometry.voxel_volume_mm3(self.affine)

    @property
    def largest_spacing_mm(self) -> float:
        """Largest of slice, row and column spacing, mm."""
        return max(geometry.spacing(self.affine))

    def column(self, name: str) -> NDArray[np.float64]:
        """A numeric column of the findings, NaN where missing."""
        return self.findings[name].to_numpy(dtype=float, na_value=np.nan)

    def words(self, name: str) -> NDArray[np.object_]:
        """A text column of the findings, empty where missing."""
        return self.findings[name].fillna("").to_numpy(dtype=object)

    def fact(self, name: str) -> Any:
        """A fact, None where it is missing."""
        value = self.facts.get(name)
        return None if value is None or (not isinstance(value, str) and pd.isna(value)) or value == "" else value

    def number(self, name: str) -> float:
        """A numeric fact, NaN where it is missing."""
        value = self.fact(name)
        return float("nan") if value is None else float(value)

    def inside(self, points: NDArray[np.float64], margin: float = 0.5) -> NDArray[np.bool_]:
        """Whether LPS points, (n, 3) mm, lie within the scanned voxels (`margin` voxels beyond their centres)."""
        index = geometry.to_index(self.affine, points)
        high = np.array(self.components.shape) - 1
        within = np.asarray(((index >= -margin) & (index <= high + margin)).all(axis=1))
        if self.image is not None and self.image.valid is not None and within.any():
            nearest = np.clip(np.rint(index[within]), 0, high).astype(int)
            within[within] = self.image.valid[tuple(nearest.T)]
        return np.asarray(within)
