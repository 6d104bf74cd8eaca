"""Two scans of one phantom: places, partners, fates; and what must not be compared."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

import imaging
from imaging import Exam, FollowupParams, RefusedError, Registration, compare, detect, follow
from imaging.followup.agreement import agreement
from imaging.followup.coarse_view import CoarseView
from imaging.followup.comparability import comparability
from imaging.followup.registration import register

from ...data import shared
from .phantoms import Motion, background, judged, pair, warped


@pytest.fixture(scope="module")
def changed():
    """A moved pair with every fate in it, and its comparison."""
    made = pair(3, count=45)
    return made, compare(*(Exam.of(detect(v), scan_id=n) for v, n in ((made.before, "first"), (made.after, "second"))))


def test_places_are_found_under_motion(changed):
    made, c = changed
    apart = np.linalg.norm(c.matching.places - made.forward(c.before.centroids), axis=1)
    assert np.quantile(apart, 0.95) < 1.0
    back = c.registration.invert(c.matching.places)
    assert np.abs(back - c.before.centroids).max() < 0.1


def test_partners_and_parts_are_the_right_ones(changed):
    made, c = changed
    (hit, wrong, missed), _ = judged(made, c)
    assert 2 * hit / (2 * hit + wrong + missed) >= 0.98
    assert set(made.fate.values()) == {"stable", "increased", "new", "resolved", "split", "merged"}


def test_fates_are_called(changed):
    made, c = changed
    _, states = judged(made, c)
    called = [(a, b) for a, b in states if b not in ("not_seen", "not_comparable")]
    assert len(called) > 30
    assert np.mean([a == b for a, b in called]) >= 0.95


def test_rows_hold_every_finding_once_but_for_parts(changed):
    _, c = changed
    for exam, name in ((c.before, "baseline_finding_id"), (c.after, "followup_finding_id")):
        assert set(c.changes[name].dropna()) == set(exam.ids)
    assert set(c.changes["state"]) <= set(imaging.STATES)
    assert list(c.changes) == list(imaging.CHANGES)
    alone = c.changes["match"].isin(["new", "resolved", "not_seen"])
    assert c.changes.loc[alone, "volume_change_mm3"].isna().all()
    split = c.changes[c.changes["state"] == "split"].groupby("tracking_id")["volume_after_mm3"].nunique()
    assert (split == 1).all()  # each part has the size of the whole


def test_a_scan_and_itself_are_stable(changed):
    _made, c = changed
    same = compare(c.before, c.before.replace(frame="a").replace(frame=""), interval_days=365)
    assert set(same.changes["state"]) <= {"stable", "not_comparable"}  # cut at the border
    assert (same.changes["volume_change_mm3"] == 0).all()
    assert (same.changes["volume_change_per_year_mm3"] == 0).all()
    assert same.burden["state"].tolist() == ["stable"]


def test_breath_is_followed():
    made = pair(4, count=40, amplitude=9.0)
    c = compare(*(Exam.of(detect(v)) for v in (made.before, made.after)))
    (hit, wrong, missed), _ = judged(made, c)
    assert 2 * hit / (2 * hit + wrong + missed) >= 0.95


def test_another_patient_is_refused():
    one, other = (CoarseView.of(background(k), imaging.Components.empty(background(k).shape), 40.0) for k in (0, 7))
    noise = np.random.default_rng(0).normal(size=other.values.shape, scale=3).astype(np.float32)
    turned = CoarseView(
        other.values[:, :, ::-1].transpose(0, 2, 1) + noise.transpose(0, 2, 1),
        other.inside.transpose(0, 2, 1),
        other.origin,
        other.step,
    )
    with pytest.raises(RefusedError, match="do not agree") as caught:
        register(one, turned)
    assert caught.value.reason == "registration_failed"


def test_real_scans_of_different_patients_are_refused():
    folders = [shared(f"ct/sts/STS_{n}/CT_image.nii.gz") for n in ("028", "040", "044")]
    views = []
    for folder in folders:
        volume = imaging.read_volume(imaging.find_series(folder).series[0])
        views.append(CoarseView.of(volume, imaging.Components.empty(volume.shape), 40.0))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        with pytest.raises(RefusedError, match="do not agree"):
            register(views[a], views[b])


def test_single_slices_of_two_dates_are_refused():
    series = imaging.find_series(shared("ct/nysbu_slices/A048383")).series
    exams = [Exam.of(detect(imaging.read_volume(s)), acquired=s.acquired) for s in series]
    assert exams[0].acquired is not None
    with pytest.raises(RefusedError, match="thinner than 20 mm"):
        compare(*exams)


def test_without_images_only_a_common_frame_of_reference_will_do(changed):
    _, c = changed
    blind = c.before.replace(image=None, frame="one")
    assert compare(blind, blind).registration.method == "frame_of_reference"
    with pytest.raises(RefusedError, match="images are needed"):
        compare(blind, blind.replace(frame="two"))


def test_a_common_frame_of_reference_is_checked(changed):
    _, c = changed
    found = compare(c.before.replace(frame="same"), c.after.replace(frame="same"))
    assert found.registration.method == "rigid"  # the patient moved within it
    still = compare(c.before.replace(frame="same"), c.before.replace(frame="same"))
    assert still.registration.method == "frame_of_reference"
    assert still.registration.before.share > 0.99


@pytest.mark.parametrize(
    ("fact", "values", "says"),
    [
        ("convolution_kernel", ("B30f", "B60f"), "kernel differs: B30f, then B60f"),
        ("kvp", (120.0, 100.0), "tube voltage, kV differs: 120, then 100"),
        ("contrast_agent", (False, True), "contrast agent by the header differs: no, then yes"),
        ("slice_thickness_mm", (1.0, 2.0), "slice thickness, mm differs: 1, then 2"),
        ("flags", ("", "contrast_enhanced"), "contrast agent in the image differs: no, then yes"),
        ("threshold_grow_hu", (100.0, 125.0), "grown above, HU differs: 100, then 125"),
    ],
)
def test_what_differs_is_not_called(changed, fact, values, says):
    _, c = changed
    one, two = (e.replace(facts={**e.facts, fact: v}) for e, v in zip((c.before, c.after), values, strict=True))
    found = compare(one, two, registration=c.registration)
    assert says in found.comparability.reason
    assert set(found.changes["state"]) == {"not_comparable", "not_seen"}
    assert found.changes["reason"].str.contains(says, regex=False)[found.changes["state"] == "not_comparable"].all()
    assert found.changes["volume_before_mm3"].notna().sum() == c.changes["volume_before_mm3"].notna().sum()
    assert set(found.burden["state"]) == {"not_comparable"}


def test_what_headers_do_not_tell_is_unknown_and_forbids_nothing(changed):
    _, c = changed
    table = comparability(c.before, c.after)
    assert table.comparable
    assert {"kernel", "tube voltage, kV"} <= {a.name for a in table.unknown}


def test_what_the_other_scan_does_not_reach_is_not_seen(changed):
    _, c = changed
    half = c.before.image.crop((slice(0, 36), slice(None), slice(None)))
    after = Exam.of(detect(half))
    found = compare(c.before, after, registration=Registration(np.eye(4), "known"))
    top = found.changes[found.changes["before_z_mm"] > half.to_world((38, 0, 0))[2]]
    assert len(top) > 5
    assert (top["state"] == "not_seen").all()
    assert top["reason"].str.startswith("outside the field of view of the follow-up").all()
    assert found.burden["n_outside"].iloc[0] >= len(top)


def test_what_is_dense_there_and_no_finding_is_not_resolved(changed):
    _, c = changed
    none = c.before.replace(
        components=imaging.Components.empty(c.before.components.shape), findings=c.before.findings.iloc[:0]
    )
    found = compare(c.before, none, registration=Registration(np.eye(4), "known"))
    assert (found.changes["state"] == "not_seen").all()
    assert found.changes["reason"].str.contains("dense in the follow-up, too").mean() > 0.9


def test_a_rigid_transform_is_that_of_simpleitk():
    motion = Motion.drawn(np.random.default_rng(2), 15.0, 8.0, 0.0)
    ground = background(0)
    moved = ground.replace(array=np.rint(warped(ground, motion)).astype(np.int16))
    none = imaging.Components.empty(ground.shape)
    found = register(*(CoarseView.of(v, none, 40.0) for v in (ground, moved)))
    truth = sitk.Euler3DTransform()
    truth.SetMatrix([float(x) for x in motion.turn.as_matrix().ravel()], 1e-6)
    truth.SetTranslation(motion.shift)
    points = np.random.default_rng(0).uniform(-60, 60, (50, 3))
    expected = np.array([truth.TransformPoint(p.tolist()) for p in points])
    assert np.abs(found.apply(points) - expected).max() < 1.0
    assert found.rotation_deg == pytest.approx(np.degrees(motion.turn.magnitude()), abs=0.3)
    assert Rotation.from_matrix(found.matrix[:3, :3]).magnitude() == pytest.approx(motion.turn.magnitude(), abs=0.01)


def test_agreement_of_an_image_and_itself_is_whole_and_of_noise_none():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.normal(50, 80, (12, 12, 12)), 3, axis=2).astype(np.float32)
    other = np.repeat(rng.normal(50, 80, (12, 12, 12)), 3, axis=2).astype(np.float32)
    both = np.ones(image.shape, bool)
    assert agreement(image, image, both, 0.8, image.size).share == 1.0
    assert agreement(image, other, both, 0.8, image.size).share < 0.01


def test_findings_do_not_pull_the_registration(changed):
    _, c = changed
    view = CoarseView.of(c.before.image, c.before.components, 45.0)
    plain = CoarseView.of(c.before.image, imaging.Components.empty(c.before.image.shape), 45.0)
    at = np.rint((c.before.centroids - view.origin) / view.step).astype(int)[:, ::-1]
    inside = ((at >= 0) & (at < view.values.shape)).all(axis=1)
    level = view.values[tuple(at[inside].T)], plain.values[tuple(at[inside].T)]
    assert np.median(level[0]) == pytest.approx(45, abs=15)
    assert np.median(level[1]) > 90


def test_names_last_through_three_scans(changed):
    _made, c = changed
    gone = c.after.components.take(np.arange(1, len(c.after)))
    lost = c.after.replace(components=gone, findings=c.after.findings.iloc[1:].reset_index(drop=True), scan_id="third")
    back = c.after.replace(scan_id="fourth")
    line = follow([c.after, lost, back], FollowupParams(deform=False), intervals=[100, 50])
    table = line.table
    names = table.groupby("time_point")["tracking_id"].apply(set)
    assert names[1] == names[2] == names[3]
    first = table[table["tracking_id"] == table["tracking_id"].iloc[0]]
    assert first["finding_ids"].isna().tolist() == [False, True, False]
    assert table["days"].unique().tolist() == [0, 100, 150]
    row = line.comparisons[1].changes
    row = row[row["followup_finding_id"] == int(c.after.ids[0])].iloc[0]
    assert row["state"] == "not_seen"
    assert "seen before at time point 1" in row["reason"]
    again = follow([c.after, lost], FollowupParams(deform=False)).table
    assert set(again["tracking_uid"]) == set(table["tracking_uid"])
