"""Named masks: what a name says, where findings lie, how far bone is, and what bone masks change in the detection."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from imaging import (
    Anatomy,
    Detection,
    GeometryError,
    UsageError,
    Volume,
    detect,
    find_series,
    measure,
    read_volume,
    structures,
)
from imaging.anatomy import count_inside, encode, union
from imaging.components import Components
from imaging.distance import Nearest
from imaging.synthetic import Ball, Thing, render, torso

from ..data import shared

SHAPE = (12, 30, 40)


def volume(spacing=(2.0, 0.8, 0.7), hu=40):
    return Volume.from_components(np.full(SHAPE, hu), spacing=spacing, origin=(-14, -12, 5))


def box(*bounds):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in bounds)] = True
    return mask


# -- names -------------------------------------------------------------------------------------------------------------


def test_total_classes_are_those_of_totalsegmentator_2():
    names = structures.total_classes()
    assert len(names) == len(set(names)) == 117
    known = {1: "spleen", 5: "liver", 21: "urinary_bladder", 26: "vertebrae_S1", 50: "vertebrae_C1", 52: "aorta",
             77: "hip_left", 79: "spinal_cord", 91: "skull", 92: "rib_left_1", 104: "rib_right_1", 116: "sternum",
             117: "costal_cartilages"}  # fmt: skip
    assert {k: names[k - 1] for k in known} == known


def test_bones_among_the_total_classes():
    """24 ribs, 26 vertebrae with sacrum, 2 each of 5 paired bones, skull, sternum; nothing else."""
    bones = [n for n in structures.total_classes() if structures.is_bone(n)]
    groups = {"rib_": 24, "vertebrae_": 25, "sacrum": 1, "hip_": 2, "femur_": 2, "humerus_": 2, "scapula_": 2,
              "clavicula_": 2, "skull": 1, "sternum": 1}  # fmt: skip
    assert {g: sum(n.startswith(g) for n in bones) for g in groups} == groups
    assert len(bones) == sum(groups.values())
    assert [n for n in structures.total_classes() if structures.is_cartilage(n)] == ["costal_cartilages"]


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("kidney_left", "left"), ("lung_upper_lobe_right", "right"), ("rib_left_5", "left"), ("Lung_L", "left"),
        ("Kidney R", "right"), ("LeftKidney", "left"), ("right kidney", "right"), ("vertebrae_L5", "midline"),
        ("aorta", "midline"), ("urinary_bladder", "midline"), ("spleen", None), ("liver", None), ("lungs", None),
        ("liver_segment_3", "left"), ("liver_segment_4", "left"), ("liver_segment_8", "right"),
        ("liver_segment_1", None), ("liver_left_lobe", "left"), ("adrenals left and right", None), ("label 2", None),
    ],
)  # fmt: skip
def test_side_of_a_name(name, side):
    assert structures.side_of(name) == side


@pytest.mark.parametrize(
    ("name", "bone"),
    [("T12 vertebra", True), ("Left Femur", True), ("bone", True), ("spinal_cord", False), ("femoral_artery", False),
     ("bone marrow", False), ("hip_implant", False), ("Bone met", False), ("tibia", True)],
)  # fmt: skip
def test_bone_by_name(name, bone):
    assert structures.is_bone(name) == bone


def test_which_masks_stand_for_the_whole_skeleton():
    assert structures.names_skeleton(["vertebrae_L1", "rib_left_3", "hip_left"])
    assert structures.names_skeleton(["liver", "bones"])
    assert not structures.names_skeleton(["vertebrae_L1", "liver"])
    assert not structures.names_skeleton(["spine", "ribs"])


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_runs_agree_with_arrays(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, SHAPE) * (ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.5) > 0.05)
    masks, values = encode(labels.astype(np.uint8), (0, 0, 0), SHAPE)
    assert np.array_equal(masks.paint(values), labels)
    assert masks.n_voxels.tolist() == np.bincount(labels.ravel(), minlength=4)[values].tolist()
    part, _ = encode(labels[2:9, 3:20, 5:33], (2, 3, 5), SHAPE)
    cut = np.zeros_like(labels)
    cut[2:9, 3:20, 5:33] = labels[2:9, 3:20, 5:33]
    assert np.array_equal(part.paint(values), cut)

    other = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2) > 0
    both = Components.concatenate([masks, encode(other, (0, 0, 0), SHAPE)[0]], SHAPE)
    region = union(both)
    assert np.array_equal(region.paint(dtype=bool), (labels > 0) | other)
    blobs = Components.from_mask(ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1) > 0.2)
    assert np.array_equal(count_inside(blobs, region), blobs.total(blobs.values((labels > 0) | other)))


def test_from_labels_and_from_masks_are_the_same_value():
    labels = np.zeros(SHAPE, np.int16)
    labels[2:5, 3:9, 4:30] = 5
    labels[6:8] = 9
    scan = volume()
    one = Anatomy.from_labels(scan, labels, {5: "liver", 9: "spleen", 11: "stomach"})
    two = Anatomy.from_masks(scan, {"liver": labels == 5, "spleen": labels == 9, "stomach": labels == 11})
    assert one.names == two.names == ("liver", "spleen")
    assert one.absent == two.absent == ("stomach",)
    assert np.array_equal(one.mask(), labels > 0)
    assert np.array_equal(one.masks.voxels, two.masks.voxels)
    assert Anatomy.from_labels(scan, labels, {}).names == ("label 5", "label 9")


def test_a_wrong_grid_is_refused():
    scan = volume()
    with pytest.raises(GeometryError, match="shape"):
        Anatomy.from_labels(scan, np.zeros((2, 2, 2), int), {})
    with pytest.raises(GeometryError, match="liver"):
        Anatomy.from_masks(scan, {"liver": np.zeros((2, 2, 2), bool)})
    anatomy = Anatomy.from_masks(scan, {"liver": box((0, 4), (0, 4), (0, 4))})
    with pytest.raises(GeometryError, match="grid"):
        detect(volume(spacing=(2.0, 0.8, 0.8)), anatomy=anatomy)
    with pytest.raises(UsageError, match="anatomy"):
        detect(scan, anatomy={"liver": 1})


# -- organ and side ----------------------------------------------------------------------------------------------------


def placed(anatomy_masks, *findings):
    """Findings measured with an anatomy: the table."""
    scan = volume()
    labels = np.zeros(SHAPE, int)
    for k, finding in enumerate(findings, 1):
        labels[finding] = k
    return measure(Detection.from_labels(scan, labels, anatomy=Anatomy.from_masks(scan, anatomy_masks)))


def test_organ_needs_half_of_the_voxels():
    kidney = box((0, 12), (0, 30), (0, 10))
    table = placed(
        {"kidney_right": kidney},
        box((2, 4), (2, 4), (8, 12)),  # half
        box((6, 8), (2, 4), (9, 13)),  # a quarter
        box((9, 11), (2, 4), (2, 4)),
    )
    assert table["organ"].fillna("-").tolist() == ["kidney_right", "-", "kidney_right"]
    assert table["side"].fillna("-").tolist() == ["right", "-", "right"]
    assert not table["flags"].str.contains("lobe").any()


def test_the_most_specific_of_nested_masks_and_never_the_whole_patient():
    masks = {"BODY": box((0, 12), (0, 30), (0, 40)), "heart": box((0, 12), (5, 25), (5, 25)),
             "atrial_appendage_left": box((2, 6), (6, 12), (6, 12))}  # fmt: skip
    table = placed(masks, box((3, 5), (7, 9), (7, 9)), box((8, 10), (7, 9), (15, 18)), box((3, 5), (27, 29), (30, 33)))
    assert table["organ"].fillna("-").tolist() == ["atrial_appendage_left", "heart", "-"]
    assert table["side"].fillna("-").tolist() == ["left", "-", "-"]


def test_most_voxels_win():
    masks = {"small_bowel": box((0, 12), (0, 30), (0, 20)), "colon": box((0, 12), (0, 30), (20, 40))}
    table = placed(masks, box((2, 4), (2, 4), (17, 22)), box((6, 8), (2, 4), (18, 23)))
    assert table["organ"].tolist() == ["small_bowel", "colon"]


def test_lobe_of_a_plain_liver_is_estimated_and_flagged():
    """Columns run to the patient's left: the left lobe lies at high columns."""
    liver = {"liver": box((0, 12), (0, 30), (10, 30))}
    table = placed(liver, box((2, 4), (3, 6), (11, 14)), box((2, 4), (3, 6), (19, 21)), box((2, 4), (3, 6), (26, 29)))
    assert table["side"].tolist() == ["right", "right", "left"]
    assert table["flags"].str.contains("lobe_estimated").all()


def test_lobe_masks_decide_where_there_are_any():
    liver = {"liver": box((0, 12), (0, 30), (10, 30)), "liver_left_lobe": box((0, 12), (0, 30), (18, 30)),
             "liver_segment_7": box((0, 12), (0, 30), (10, 18))}  # fmt: skip
    table = placed(liver, box((2, 4), (3, 6), (19, 21)), box((2, 4), (3, 6), (11, 14)))
    assert table["side"].tolist() == ["left", "right"]
    assert not table["flags"].str.contains("lobe_estimated").any()


def test_without_masks_organ_and_side_are_missing():
    scan = volume()
    table = measure(Detection.from_labels(scan, box((2, 4), (3, 6), (11, 14))))
    assert table[["organ", "side", "bone_distance_mm"]].isna().all().all()
    assert str(table["organ"].dtype) == "string"


# -- distance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 0.7, 0.7), (5.0, 0.5, 0.6), (0.4, 2.0, 3.5)])
def test_distance_is_that_of_scipys_distance_map(spacing):
    rng = np.random.default_rng(3)
    scan = volume(spacing)
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.0)
    bone = smooth > np.quantile(smooth, 0.96)
    truth = ndimage.distance_transform_edt(~bone, sampling=scan.spacing)
    points = np.argwhere(rng.random(SHAPE) < 0.02)
    owner = rng.integers(0, 9, len(points))
    near = Nearest(scan, union(encode(bone, (0, 0, 0), SHAPE)[0]))
    expected = np.full(10, np.inf)
    np.minimum.at(expected, owner, truth[tuple(points.T)])
    assert near.of(points, owner, 10) == pytest.approx(expected)
    limit = float(np.median(expected[:9]))
    assert near.of(points, owner, 10, limit) == pytest.approx(np.where(expected <= limit, expected, np.inf))
    one = near.of(points, np.arange(len(points)), len(points))
    assert one == pytest.approx(truth[tuple(points.T)])


def test_distance_on_a_tilted_grid():
    scan = volume()
    affine = scan.affine.copy()
    affine[:3, 0] += (0.3, 0.9, 0)
    scan = scan.replace(affine=affine)
    bone, points = box((8, 12), (20, 28), (30, 38)), np.argwhere(box((1, 3), (2, 5), (3, 6)))
    truth = cdist(scan.to_world(points), scan.to_world(np.argwhere(bone))).min()
    near = Nearest(scan, union(encode(bone, (0, 0, 0), SHAPE)[0]))
    assert near.of(points, np.zeros(len(points), int), 1) == pytest.approx([truth])


def test_bone_distance_column():
    finding = box((4, 6), (10, 13), (5, 8))
    far = placed({"vertebrae_L3": box((4, 6), (10, 13), (27, 35))}, finding)
    assert far["bone_distance_mm"].tolist() == pytest.approx([(27 - 7) * 0.7])
    within = placed({"rib_left_4": box((0, 12), (0, 30), (0, 40))}, finding)
    assert within["bone_distance_mm"].tolist() == [0.0]
    assert placed({"liver": box((0, 12), (0, 30), (0, 40))}, finding)["bone_distance_mm"].isna().all()


# -- detection ---------------------------------------------------------------------------------------------------------

PLAQUE = Thing(Ball((0.0, 0.5, 0.0), 3.0), 900.0, "on the spine")
BETWEEN_RIBS = Thing(Ball((103.5, 0.0, 14.0), 2.5), 800.0, "between two ribs")
LIVER = Thing(Ball((-40.0, -20.0, 0.0), 3.5), 700.0, "liver")


@pytest.fixture(scope="module")
def trunk():
    """A trunk with something on the spine and in the liver, and its bones as masks; plain truth, without noise."""
    frame, spacing, origin = (30, 190, 260), (1.5, 1.0, 1.0), (-130.0, -95.0, -22.0)
    body = torso((-25, 25))
    scan = render(
        body, [PLAQUE, LIVER, BETWEEN_RIBS], frame, spacing, origin=origin, psf_fwhm_mm=1.0, noise_sd=12
    ).volume
    clean = render(body, [], frame, spacing, origin=origin, psf_fwhm_mm=1.0, noise_sd=0).volume.array
    bone = ndimage.binary_closing(np.pad(clean > 110, 3, mode="edge"), iterations=2)[3:-3, 3:-3, 3:-3]
    x, y = scan.to_world(np.argwhere(np.ones((1, *frame[1:]), bool)))[:, :2].T.reshape(2, *frame[1:])
    spine = bone & (np.abs(x) < 36) & (y > 0)
    masks = {"vertebrae_L1": spine, "rib_left_9": bone & ~spine & (x > 0), "rib_right_9": bone & ~spine & (x < 0),
             "hip_left": np.zeros_like(bone), "liver": ((x < -10) & (y < 20)) & ~bone}  # fmt: skip
    return scan, masks


def at(detection, thing):
    z, y, x = np.rint(detection.volume.to_index(thing.shape.centre)).astype(int)
    return int(detection.labels[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].max())


def reason_at(detection, thing):
    """The reason of the excluded candidate at a thing."""
    index = np.rint(detection.volume.to_index(thing.shape.centre)).astype(int)
    flat = np.ravel_multi_index(tuple(index), detection.volume.shape)
    parts = detection.excluded.components
    return detection.excluded.reason[parts.component[parts.voxels == flat]].tolist()


def test_bone_masks_take_the_place_of_our_estimate(trunk):
    """Between two ribs our layer of the ribs leaves out what masks keep; on the spine it becomes recoverable."""
    scan, masks = trunk
    plain = detect(scan)
    assert reason_at(plain, BETWEEN_RIBS) == ["chest_wall"]
    assert reason_at(plain, PLAQUE)[0] == "bone"
    detection = detect(scan, anatomy=Anatomy.from_masks(scan, masks))
    assert "bone_given" in detection.flags
    assert at(detection, LIVER)
    assert at(detection, BETWEEN_RIBS)
    assert len(detection) == 2
    assert reason_at(detection, PLAQUE)[0] == "bone_adjacent"
    assert set(detection.excluded.reason) <= {"bone", "bone_adjacent", "outside_body", "skin"}
    table = measure(detection).set_index("finding_id")
    assert table.loc[at(detection, LIVER), "organ"] == "liver"
    # The rib is a tube of 4.5 mm radius whose axis passes 13 mm above and below; the ball has 2.5 mm.
    assert table.loc[at(detection, BETWEEN_RIBS), "bone_distance_mm"] == pytest.approx(6, abs=2)


def test_masks_of_a_part_of_the_skeleton_only_add_to_our_estimate(trunk):
    """Vertebrae alone say nothing about ribs: those must not become findings."""
    scan, masks = trunk
    detection = detect(scan, anatomy=Anatomy.from_masks(scan, {"vertebrae_L1": masks["vertebrae_L1"]}))
    assert "bone_given" not in detection.flags
    plain = detect(scan)
    assert len(detection) <= len(plain)
    assert at(detection, LIVER)


def test_our_own_bone_gives_the_distance_without_masks(trunk):
    """Our estimate against the truth: within 2 mm; the spine is the only bone of more than 5 cm3."""
    scan, masks = trunk
    own = detect(scan)
    mask = own.labels == at(own, LIVER)
    truth = ndimage.distance_transform_edt(~masks["vertebrae_L1"], sampling=scan.spacing)[mask].min()
    assert measure(own).set_index("finding_id").loc[at(own, LIVER), "bone_distance_mm"] == pytest.approx(truth, abs=2)


def test_cartilage_has_its_reason():
    """A speck that would be a finding, in a mask of costal cartilage."""
    scan = render(torso((-25, 25), ribs=False), [LIVER], (20, 190, 260), (1.5, 1.0, 1.0), origin=(-130, -95, -15),
                  psf_fwhm_mm=1.0, noise_sd=10).volume  # fmt: skip
    plain = detect(scan)
    mask = ndimage.binary_dilation(plain.labels == at(plain, LIVER), iterations=3)
    detection = detect(scan, anatomy=Anatomy.from_masks(scan, {"costal_cartilages": mask}))
    assert not at(detection, LIVER)
    assert "cartilage" in detection.excluded.reason


def test_an_anatomy_is_a_region_of_interest_too(trunk):
    scan, masks = trunk
    region = Anatomy.from_masks(scan, {"liver": masks["liver"]})
    one, two = detect(scan, roi=region), detect(scan, roi=masks["liver"])
    assert len(one) == 1
    assert np.array_equal(one.labels, two.labels)
    empty = Anatomy((), Components.empty(scan.shape), scan.affine)
    with pytest.raises(GeometryError, match="no voxel"):
        detect(scan, roi=empty)


def test_real_scan_without_masks_has_distances():
    """The thigh of a patient: every finding lies some distance from the femur, none beyond the field of view."""
    scan = read_volume(find_series(shared("ct/sts/STS_021/dicom/image")).series[0])
    table = measure(detect(scan))
    distance = table["bone_distance_mm"].dropna()
    assert ((distance >= 0) & (distance < 250)).all()
