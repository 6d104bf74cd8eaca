"""From places in one scan to those in another: rigid, then affine, then deformable; refused where it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import RefusedError
from .agreement import Agreement, agreement
from .coarse_view import AIR_HU, CoarseView
from .offsets import offsets
from .params import FollowupParams

WINDOW_HU = (-400.0, 400.0)
DEFORM_HU = (-200.0, 250.0)
BONE_HU, BONE_REACH, LEAST_BONE = 200.0, 2, 400
"""Denser than this is bone on blocks of 4 mm; the voxels round it that belong to the view of it; how many it takes."""
SMOOTHING = 2.5
"""Standard deviation of the deformation, voxels: 10 mm at steps of 4 mm."""
ITERATIONS = (40, 30)
GAIN = 0.04
"""By how much the share of agreeing structure must grow for a further degree of freedom."""
LARGEST_SCALE, LEAST_JACOBIAN = 1.15, 0.3
"""An affine or deformable transform that stretches or folds more than this is no anatomy."""
THREADS = 2
"""For the deformation, voxel by voxel. Mutual information is summed by one: another order, other last digits."""
SEED = 1
"""Samples are placed at random within their voxels; the clock would place them otherwise every time."""
LEAST_OVERLAP = 0.1


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the places of the baseline scan lie in the follow-up scan.

    Parameters
    ----------
    matrix : (4, 4) ndarray
        LPS mm of the baseline to LPS mm of the follow-up.
    method : str
        ``frame_of_reference``, ``rigid``, ``affine`` or ``deformable``.
    before, after : Agreement or None
        Local agreement after rigid registration, which decides whether it is one patient, and at the end; None where no
        image could be looked at.
    field : (z, y, x, 3) ndarray, optional
        Displacement in the baseline, mm, added before `matrix`.
    view : CoarseView, optional
        Whose grid the field lies on.
    """

    matrix: NDArray[np.float64]
    method: str
    before: Agreement | None = None
    after: Agreement | None = None
    field: NDArray[np.float32] | None = None
    view: CoarseView | None = None

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm in the follow-up scan of points of the baseline, (n, 3)."""
        places: NDArray[np.float64] = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        if self.field is not None and self.view is not None and len(places):
            from scipy import ndimage

            index = ((places - self.view.origin) / self.view.step)[:, ::-1].T
            shift = [ndimage.map_coordinates(self.field[..., k], index, order=1, mode="nearest") for k in range(3)]
            places = places + np.stack(shift, axis=1)
        return geometry.to_world(self.matrix, places)

    def invert(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm in the baseline of points of the follow-up, (n, 3): the deformation is undone step by step."""
        target = np.asarray(points, dtype=float).reshape(-1, 3)
        back = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        places = geometry.to_world(back, target)
        for _ in range(10 if self.field is not None else 0):
            places = places - (self.apply(places) - target) @ back[:3, :3].T
        return places

    @property
    def largest_deformation_mm(self) -> float:
        """Longest displacement of the deformation; 0 without one."""
        return 0.0 if self.field is None else float(np.sqrt((self.field**2).sum(axis=-1).max()))

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation nearest to the matrix."""
        u, _, v = np.linalg.svd(self.matrix[:3, :3])
        return float(np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1))))


def register(
    before: CoarseView, after: CoarseView, same_frame: bool = False, params: FollowupParams | None = None
) -> Registration:
    """Bring two scans of one patient together.

    Rigid from the best translation (masked cross-correlation over all of them) and, within one frame of reference, from
    where they are; refined on bone; judged (`agreement`); then affine, then deformable, each kept only where it makes
    structure agree better. Mutual information, so that contrast agent and kernel do no harm.

    Parameters
    ----------
    before, after : CoarseView
    same_frame : bool
        Both scans have one frame of reference: positions are taken as they are unless images say better.
    params : FollowupParams, optional

    Raises
    ------
    RefusedError
        ``registration_failed``: too thin, or too little structure agrees: another patient or another part of the body.
    """
    params = params or FollowupParams()
    thin = min(_extent(before), _extent(after)) < params.least_extent_mm
    if thin and not same_frame:
        raise RefusedError(
            "registration_failed",
            f"a scan thinner than {params.least_extent_mm:g} mm cannot be registered; compare scans of more slices, or "
            "of one frame of reference",
        )
    still = _judged(before, after, np.eye(4), params)
    found = still if thin else _rigid(before, after, params)
    method = "rigid"
    if same_frame and still.share >= found.share - GAIN:
        found, method = still, "frame_of_reference"  # no image does better than the coordinates
    if not (found.share >= params.agreeing_share and found.overlap >= LEAST_OVERLAP):
        raise RefusedError("registration_failed", _why(found, params))
    done = Registration(found.matrix, method, found.agreement, found.agreement)
    if thin:
        return done
    return _deformed(before, after, _stretched(before, after, done, params), params)


def _why(found: _Candidate, params: FollowupParams) -> str:
    return (
        f"the scans do not agree: {found.share:.0%} of the structure in common is alike, {params.agreeing_share:.0%} "
        "is needed; another patient, another part of the body, or a large operation in between; check that both scans "
        "are of one patient and overlap"
    )


def _extent(view: CoarseView) -> float:
    return float(min(view.values.shape) * view.step)


# -- degrees of freedom ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A transform and how well the scans agree under it."""

    matrix: NDArray[np.float64]
    agreement: Agreement

    @property
    def share(self) -> float:
        return self.agreement.share

    @property
    def places(self) -> float:
        """How many places agree: a false match of two vertebrae may agree well, in a small overlap."""
        return self.agreement.share * self.agreement.n

    @property
    def overlap(self) -> float:
        return self.agreement.overlap


def _rigid(before: CoarseView, after: CoarseView, params: FollowupParams) -> _Candidate:
    """The best rigid transform: from several beginnings on the whole body, then on bone where there is enough."""
    starts = [np.eye(4), *offsets(before, after)]
    coarse = [m for s in starts if (m := _optimise(before, after, s, before.inside, (4, 2))) is not None]
    judged = [_judged(before, after, m, params) for m in coarse] or [_judged(before, after, np.eye(4), params)]
    best = max(judged, key=lambda c: c.places)
    bone = _bone(before)
    for where in (before.inside, *(() if bone is None else (bone,))):
        finer = _optimise(before, after, best.matrix, where, (2, 1))
        if finer is not None:
            best = max(best, _judged(before, after, finer, params), key=lambda c: c.places)
    return best


def _judged(before: CoarseView, after: CoarseView, matrix: NDArray[np.float64], params: FollowupParams) -> _Candidate:
    return _Candidate(matrix, _judge(before, after, matrix, params))


def _bone(view: CoarseView) -> NDArray[np.bool_] | None:
    from scipy import ndimage

    dense = view.values > BONE_HU
    return None if dense.sum() < LEAST_BONE else np.asarray(ndimage.binary_dilation(dense, iterations=BONE_REACH))


def _stretched(before: CoarseView, after: CoarseView, done: Registration, params: FollowupParams) -> Registration:
    matrix = _optimise(before, after, done.matrix, before.inside, (2, 1), affine=True)
    if matrix is None:
        return done
    scales = np.linalg.svd(matrix[:3, :3])[1]
    found = _judge(before, after, matrix, params)
    if done.after is None or found.share < done.after.share + GAIN:
        return done
    if max(scales.max(), 1 / scales.min()) > LARGEST_SCALE:
        return done
    return Registration(matrix, "affine", done.before, found)


def _deformed(before: CoarseView, after: CoarseView, done: Registration, params: FollowupParams) -> Registration:
    """Demons on the grid of the baseline: finds partners in tissue that moved, and measures nothing."""
    if not params.deform or done.after is None:
        return done
    moved, both = _moved(before, after, done.matrix)
    field = _demons(before, moved, both)
    slopes = np.array([np.gradient(field[..., k], before.step) for k in (2, 1, 0)])  # (component, axis, z, y, x)
    jacobian = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(3))
    if jacobian[both].min(initial=1) < LEAST_JACOBIAN:
        return done
    tried = Registration(done.matrix, "deformable", done.before, None, field, before)
    found = _judge(before, after, tried, params)
    if found.share < done.after.share + GAIN:
        return done
    return Registration(done.matrix, "deformable", done.before, found, field, before)


def _judge(
    before: CoarseView, after: CoarseView, way: NDArray[np.float64] | Registration, params: FollowupParams
) -> Agreement:
    moved, both = _moved(before, after, way)
    smaller = min(int(before.inside.sum()), int(after.inside.sum()))
    return agreement(before.values, moved, both, params.agreement, smaller)


def _moved(
    before: CoarseView, after: CoarseView, way: NDArray[np.float64] | Registration
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The follow-up on the grid of the baseline, and where both hold real voxels."""
    from scipy import ndimage

    registration = way if isinstance(way, Registration) else Registration(way, "")
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in before.values.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    places = registration.apply(grid[:, ::-1] * before.step + before.origin)
    index = ((places - after.origin) / after.step)[:, ::-1].T
    values = ndimage.map_coordinates(after.values, index, order=1, mode="constant", cval=AIR_HU)
    inside = ndimage.map_coordinates(after.inside.astype(np.float32), index, order=1, mode="constant", cval=0.0)
    shape = before.values.shape
    return values.reshape(shape), before.inside & (inside.reshape(shape) > 0.99)


# -- SimpleITK ---------------------------------------------------------------------------------------------------------


def _image(view: CoarseView, values: NDArray[Any]) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetSpacing([view.step] * 3)
    image.SetOrigin([float(x) for x in view.origin])
    return image


def _optimise(
    before: CoarseView,
    after: CoarseView,
    start: NDArray[np.float64],
    where: NDArray[np.bool_],
    shrink: tuple[int, ...],
    affine: bool = False,
) -> NDArray[np.float64] | None:
    """The transform from `start` that makes mutual information largest; None where the scans do not meet."""
    import SimpleITK as sitk

    at = np.argwhere(where)
    centre = (at.mean(axis=0)[::-1] * before.step + before.origin) if len(at) else before.origin
    transform: Any = sitk.AffineTransform(3) if affine else sitk.Euler3DTransform()
    transform.SetCenter([float(x) for x in centre])
    transform.SetMatrix([float(x) for x in start[:3, :3].ravel()], *(() if affine else (1e-6,)))
    transform.SetTranslation([float(x) for x in geometry.to_world(start, centre) - centre])
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(40)
    method.SetMetricSamplingStrategy(method.REGULAR)
    share = min(1.0, 30_000 / max(int(where.sum()), 1))
    method.SetMetricSamplingPercentagePerLevel([min(1.0, share * s**3) for s in shrink], seed=SEED)
    method.SetMetricFixedMask(_image(before, where.astype(np.uint8)))
    method.SetMetricMovingMask(_image(after, after.inside.astype(np.uint8)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        2.0, 0.01, 120, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([0.7 * (s - 1) for s in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(*(_image(v, np.clip(v.values, *WINDOW_HU)) for v in (before, after)))
    except RuntimeError:  # ITK: the images do not overlap enough
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(transform.TransformPoint([0.0, 0.0, 0.0]))
    return matrix if np.isfinite(matrix).all() and abs(np.linalg.det(matrix[:3, :3])) > 0.1 else None


def _demons(before: CoarseView, moved: NDArray[np.float32], both: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Displacement on the grid of the baseline, (z, y, x, 3) mm; none where there is nothing to compare."""
    import SimpleITK as sitk

    fixed = np.clip(before.values, *DEFORM_HU)
    images = [_image(before, a.astype(np.float32)) for a in (fixed, np.where(both, np.clip(moved, *DEFORM_HU), fixed))]
    field: Any = None
    for shrink, iterations in zip((2, 1), ITERATIONS, strict=True):
        pair = [sitk.BinShrink(image, [shrink] * 3) for image in images]
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(THREADS)
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(SMOOTHING)
        demons.SetSmoothUpdateField(True)
        demons.SetUpdateFieldStandardDeviations(1.0)
        start = () if field is None else (sitk.Resample(field, pair[0]),)
        field = demons.Execute(*pair, *start)
    return np.asarray(sitk.GetArrayFromImage(field), dtype=np.float32)
