"""`read_anatomy`: every kind of mask file, written by other programs, on the grid of a scan."""

import json

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from skimage.draw import polygon2mask

from imaging import (
    CodecError,
    GeometryError,
    ReadError,
    UsageError,
    ValuesError,
    Volume,
    find_series,
    read_anatomy,
    read_mask,
    read_volume,
    structures,
)

from ...data import shared

SHAPE = (8, 24, 20)
SPACING = (2.5, 0.7, 0.8)
ORIGIN = (-8.0, -9.0, 100.0)
RAS = np.diag([-1.0, -1, 1, 1])


def scan(**changes):
    return Volume.from_components(np.zeros(SHAPE, np.int16), **({"spacing": SPACING, "origin": ORIGIN} | changes))


def labels():
    values = np.zeros(SHAPE, np.uint8)
    values[1:4, 3:9, 4:10] = 1
    values[3:6, 12:20, 8:18] = 2
    values[7, 20:, 15:] = 3
    return values


def write(path, array, affine_lps):
    """`affine_lps` maps (slice, row, column); nibabel wants (column, row, slice) to RAS."""
    image = nibabel.Nifti1Image(array.T, RAS @ affine_lps[:, [2, 1, 0, 3]])
    image.to_filename(path)
    return path


def masks_of(anatomy):
    """Name -> boolean array."""
    return {n: anatomy.masks.take([k]).paint(dtype=bool) for k, n in enumerate(anatomy.names)}


def check(anatomy, expected):
    found = masks_of(anatomy)
    assert set(found) == set(expected)
    for name, mask in expected.items():
        assert np.array_equal(found[name], mask), name


# -- label maps --------------------------------------------------------------------------------------------------------

TABLES = {
    "m.nii.gz.json": json.dumps({"1": "spleen", "2": "kidney_left", "3": "rib_left_5", "9": "stomach"}),
    "m.json": json.dumps({"labels": {"background": 0, "spleen": 1, "kidney_left": 2, "rib_left_5": 3, "stomach": 9}}),
    "m.csv": 'index,name\n1,spleen\n2,"kidney_left"\n3,rib_left_5\n9,stomach\n',
    "m.txt": "# ITK-SNAP\n0 0 0 0 0 0 0 \"Clear Label\"\n1 255 0 0 1 1 1 \"spleen\"\n2 0 255 0 1 1 1 \"kidney_left\"\n"
    '3 0 0 255 1 1 1 "rib_left_5"\n9 1 1 1 1 1 1 "stomach"\n',
    "m.ctbl": "0 background 0 0 0 0\n1 spleen 1 2 3 255\n2 kidney_left 1 2 3 255\n3 rib_left_5 1 2 3 255\n"
    "9 stomach 1 2 3 255\n",
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_label_map_with_a_table_beside_it(tmp_path, table):
    volume = scan()
    write(tmp_path / "m.nii.gz", labels(), volume.affine)
    (tmp_path / table).write_text(TABLES[table])
    anatomy = read_anatomy(tmp_path / "m.nii.gz", volume)
    check(anatomy, {"spleen": labels() == 1, "kidney_left": labels() == 2, "rib_left_5": labels() == 3})
    assert anatomy.absent == ("stomach",)


def test_a_table_that_is_not_understood_is_named(tmp_path):
    volume = scan()
    write(tmp_path / "m.nii.gz", labels(), volume.affine)
    for text in ("{", "[]", '{"a": "b"}', "{}"):
        (tmp_path / "m.json").write_text(text)
        with pytest.raises(ReadError, match="table of labels") as caught:
            read_anatomy(tmp_path / "m.nii.gz", volume)
        assert caught.value.path == tmp_path / "m.json"


def test_names_in_the_header_as_totalsegmentator_writes_them(tmp_path):
    volume = scan()
    image = nibabel.Nifti1Image(labels().T, RAS @ volume.affine[:, [2, 1, 0, 3]])
    table = "".join(
        f'<Label Key="{k}" Red="1.0" Green="0.0" Blue="0.0" Alpha="1"><![CDATA[{name}]]></Label>\n'
        for k, name in ((1, "lung_vessels"), (2, "lung_trachea_bronchia"), (3, "hip_right"))
    )
    xml = f'<?xml version="1.0"?> <CaretExtension><VolumeInformation Index="0"><LabelTable>{table}</LabelTable>'
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    for name in ("m.nii.gz", "m.nii"):
        image.to_filename(tmp_path / name)
        assert read_anatomy(tmp_path / name, volume).names == ("lung_vessels", "lung_trachea_bronchia", "hip_right")


def test_names_of_a_slicer_segmentation(tmp_path):
    volume = scan()
    image = sitk.GetImageFromArray(labels())
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    for k, name in enumerate(("liver", "Left Kidney", "aorta")):
        image.SetMetaData(f"Segment{k}_Name", name)
        image.SetMetaData(f"Segment{k}_LabelValue", str(k + 1))
    sitk.WriteImage(image, str(tmp_path / "m.seg.nrrd"), True)
    assert read_anatomy(tmp_path / "m.seg.nrrd", volume).names == ("liver", "Left Kidney", "aorta")


def test_names_without_any_table(tmp_path):
    """Few labels could be anything; many that are all labels of TotalSegmentator are taken for its classes."""
    volume = scan()
    few = write(tmp_path / "few.nii.gz", labels(), volume.affine)
    assert read_anatomy(few, volume).names == ("label 1", "label 2", "label 3")
    many = np.zeros(SHAPE, np.uint8)
    many.reshape(-1)[:117] = np.arange(1, 118)
    anatomy = read_anatomy(write(tmp_path / "many.nii.gz", many, volume.affine), volume)
    assert anatomy.names == structures.total_classes()
    assert anatomy.whole_skeleton
    many.reshape(-1)[200] = 118
    assert read_anatomy(write(tmp_path / "more.nii.gz", many, volume.affine), volume).names[0] == "label 1"


def test_one_mask_is_named_by_its_file(tmp_path):
    volume = scan()
    write(tmp_path / "kidney_left.nii.gz", (labels() == 2).astype("u1") * 255, volume.affine)
    check(read_anatomy(str(tmp_path / "kidney_left.nii.gz"), volume), {"kidney_left": labels() == 2})


# -- folders -----------------------------------------------------------------------------------------------------------


def test_folder_of_masks_of_organs(tmp_path):
    volume = scan()
    wanted = {"spleen": labels() == 1, "rib_left_5": labels() == 2, "vertebrae_L1": labels() == 3,
              "liver": labels() > 0}  # fmt: skip
    for name, mask in wanted.items():
        write(tmp_path / f"{name}.nii.gz", mask.astype("u1"), volume.affine)
    write(tmp_path / "hip_left.nii.gz", np.zeros(SHAPE, "u1"), volume.affine)
    (tmp_path / "statistics.json").write_text("{}")
    (tmp_path / "._liver.nii.gz").write_bytes(b"of another system")
    anatomy = read_anatomy(tmp_path, volume)
    check(anatomy, wanted)
    assert anatomy.absent == ("hip_left",)
    assert anatomy.whole_skeleton


def test_folder_without_masks(tmp_path):
    (tmp_path / "notes.md").write_text("no masks")
    with pytest.raises(UsageError, match="no masks") as caught:
        read_anatomy(tmp_path, scan())
    assert caught.value.path == tmp_path


# -- geometry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_other_grids_agree_with_itk(tmp_path, turned):
    """A finer grid that covers a part, turned by 20 degrees or not, against ITK's nearest neighbour."""
    volume = scan()
    rng = np.random.default_rng(1)
    fine = (rng.random((14, 40, 44)) < 0.3).astype(np.uint8) * rng.integers(1, 4, (14, 40, 44)).astype(np.uint8)
    image = sitk.GetImageFromArray(fine)
    image.SetSpacing((0.31, 0.33, 1.07))
    image.SetOrigin((-5.013, -6.017, 102.3))
    if turned:
        c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
        image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "m.nrrd"), True)
    reference = sitk.GetImageFromArray(np.zeros(SHAPE, np.int16))
    reference.SetSpacing(SPACING[::-1])
    reference.SetOrigin(ORIGIN)
    truth = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor))
    check(read_anatomy(tmp_path / "m.nrrd", volume), {f"label {k}": truth == k for k in (1, 2, 3)})


def test_refusals_name_the_file(tmp_path):
    volume = scan()
    far = volume.affine.copy()
    far[:3, 3] += 500
    write(tmp_path / "far.nii", labels(), far)
    write(tmp_path / "empty.nii", np.zeros(SHAPE, np.uint8), volume.affine)
    write(tmp_path / "soft.nii", labels() * np.float32(0.5), volume.affine)
    (tmp_path / "text.txt").write_text("no mask")
    write(tmp_path / "cut.nii.gz", np.random.default_rng(0).integers(0, 2, SHAPE).astype("u1"), volume.affine)
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "cut.nii.gz").read_bytes()[:-200])
    for name, kind, reason in [
        ("far.nii", GeometryError, "geometry_mismatch"),
        ("empty.nii", GeometryError, "empty_mask"),
        ("soft.nii", ValuesError, "not_mask"),
        ("cut.nii.gz", ReadError, "truncated"),
        ("text.txt", UsageError, "usage"),
        ("none.nii", UsageError, "usage"),
    ]:
        with pytest.raises(kind) as caught:
            read_anatomy(tmp_path / name, volume)
        assert caught.value.reason == reason
        assert caught.value.path == tmp_path / name
        assert str(tmp_path) not in caught.value.message


# -- DICOM SEG ---------------------------------------------------------------------------------------------------------


def ct_slices(volume):
    """The scan as CT data sets, for highdicom to refer to."""
    made = []
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(volume.shape[0]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "1", "A^B", "20000101", "O"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.StudyID, ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.Modality = "1", "20200101", "101010", "1", "CT"
        ds.InstanceNumber, ds.SeriesNumber, ds.ReferringPhysicianName = k + 1, 1, ""
        ds.Rows, ds.Columns = volume.shape[1:]
        ds.PixelSpacing, ds.SliceThickness = [SPACING[1], SPACING[2]], SPACING[0]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = volume.to_world((k, 0, 0)).tolist()
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 16, 16, 15, 1, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.PixelData = np.zeros(volume.shape[1:], np.int16).tobytes()
        made.append(ds)
    return made


def write_seg(path, volume, masks, kind="BINARY", **more):
    described = [
        highdicom.seg.SegmentDescription(
            k, name, codes.SCT.Organ, codes.SCT.Kidney, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for k, name in enumerate(masks, 1)
    ]
    highdicom.seg.Segmentation(
        ct_slices(volume), np.stack(list(masks.values()), axis=-1), kind, described, generate_uid(), 2,
        generate_uid(), 1, "calcimap", "tests", "1", "1", **more,
    ).save_as(path)  # fmt: skip
    return path


def organs():
    return {"liver": labels() == 1, "rib_right_4": labels() == 2, "body": np.ones(SHAPE, bool)}


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_seg_with_overlapping_segments(tmp_path, kind):
    volume = scan()
    masks = {n: m.astype(float) * 0.7 if kind == "FRACTIONAL" else m for n, m in organs().items()}
    path = write_seg(tmp_path / "seg.dcm", volume, masks, kind)
    check(read_anatomy(path, volume), organs())
    check(read_anatomy(tmp_path, volume), organs())


def test_labelmap_seg(tmp_path):
    volume = scan()
    parts = {"liver": labels() == 1, "rib_right_4": labels() == 2}
    check(read_anatomy(write_seg(tmp_path / "seg.dcm", volume, parts, "LABELMAP"), volume), parts)


def test_seg_on_a_part_of_the_scan_in_the_other_direction(tmp_path):
    """The segmentation of the middle of a scan that was read head first."""
    volume = scan()
    part = volume.crop((slice(2, 7), slice(0, 24), slice(0, 20)))
    path = write_seg(tmp_path / "seg.dcm", part, {"liver": labels()[2:7] == 2})
    check(read_anatomy(path, volume), {"liver": labels() == 2})
    down = volume.affine.copy()
    down[:3, 3] = volume.to_world((SHAPE[0] - 1, 0, 0))
    down[:3, 0] *= -1
    check(read_anatomy(path, volume.replace(affine=down)), {"liver": (labels() == 2)[::-1]})


def test_side_of_a_segment_from_its_code(tmp_path):
    path = write_seg(tmp_path / "seg.dcm", scan(), {"Kidney": labels() == 1})
    ds = pydicom.dcmread(path)
    side = Dataset()
    side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = "7771000", "SCT", "Left"
    ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    ds.save_as(path)
    assert read_anatomy(path, scan()).names == ("Kidney_left",)


def test_broken_and_foreign_dicom(tmp_path):
    volume = scan()
    whole = write_seg(tmp_path / "seg.dcm", volume, organs())
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-60])
    with pytest.raises(ReadError) as caught:
        read_anatomy(cut, volume)
    assert caught.value.path == cut
    ct = tmp_path / "ct.dcm"
    ct_slices(volume)[0].save_as(ct)
    with pytest.raises(UsageError, match="no mask"):
        read_anatomy(ct, volume)
    ds = pydicom.dcmread(whole)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    ds.save_as(tmp_path / "deflated.dcm")
    with pytest.raises(CodecError):
        read_anatomy(tmp_path / "deflated.dcm", volume)


# -- RTSTRUCT ----------------------------------------------------------------------------------------------------------


def write_rtstruct(path, rois):
    """Name -> list of contours, each (n, 3) mm."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID, "RTSTRUCT"
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 7):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR" if len(points) > 1 else "POINT"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{v:.4f}" for v in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        ds.StructureSetROISequence.append(roi)
        if contours:
            ds.ROIContourSequence.append(drawn)
    ds.save_as(path, enforce_file_format=True)
    return path


def circle(volume, k, radius, centre=(11.5, 9.5)):
    """A circle in slice k: points in mm, and the voxels whose centres lie inside."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    flat = np.stack([centre[0] + radius / 0.7 * np.sin(angle), centre[1] + radius / 0.8 * np.cos(angle)], axis=1)
    inside = np.zeros(SHAPE, bool)
    inside[round(k)] = polygon2mask(SHAPE[1:], flat)
    return volume.to_world(np.column_stack([np.full(len(flat), k), flat])), inside


def test_rtstruct_with_a_hole_several_parts_and_a_point(tmp_path):
    volume = scan()
    (outer, a), (inner, b), (other, c) = circle(volume, 3, 6.0), circle(volume, 3, 2.5), circle(volume, 4, 4.0, (8, 8))
    rois = {"liver": [outer, inner, other], "Kidney_L": [circle(volume, 5, 3.0)[0]], "isocentre": [outer[:1]],
            "nothing": []}  # fmt: skip
    anatomy = read_anatomy(write_rtstruct(tmp_path / "rs.dcm", rois), volume)
    check(anatomy, {"liver": (a ^ b) | c, "Kidney_L": circle(volume, 5, 3.0)[1]})
    assert anatomy.absent == ("isocentre", "nothing")


def test_contours_on_every_third_slice_fill_the_slices_between(tmp_path):
    volume = scan()
    contours = [circle(volume, k, 4.0) for k in (1, 4)]
    anatomy = read_anatomy(write_rtstruct(tmp_path / "rs.dcm", {"liver": [p for p, _ in contours]}), volume)
    one = contours[0][1][1]
    assert [bool(plane.any()) for plane in anatomy.mask()] == [True] * 6 + [False] * 2
    assert all(np.array_equal(plane, one) for plane in anatomy.mask()[:6])


def test_contours_off_the_scan(tmp_path):
    volume = scan()
    points = circle(volume, 3, 4.0)[0]
    with pytest.raises(GeometryError, match="another scan") as caught:
        read_anatomy(write_rtstruct(tmp_path / "far.dcm", {"liver": [np.add(points, (0, 0, 400))]}), volume)
    assert caught.value.reason == "geometry_mismatch"
    with pytest.raises(GeometryError, match="slice planes"):
        read_anatomy(
            write_rtstruct(tmp_path / "coronal.dcm", {"liver": [points[:, [0, 2, 1]] + (0, -100, 110)]}), volume
        )
    with pytest.raises(GeometryError) as caught:
        read_anatomy(write_rtstruct(tmp_path / "none.dcm", {"liver": []}), volume)
    assert caught.value.reason == "empty_mask"


# -- real files --------------------------------------------------------------------------------------------------------


def test_real_rtstruct_against_the_mask_of_its_publisher():
    folder = shared("ct/sts/STS_021")
    volume = read_volume(find_series(folder / "dicom" / "image").series[0])
    ours = read_anatomy(folder / "dicom" / "mask" / "RS.dcm", volume)
    assert ours.names == ("GTV_Mass_CT",)
    truth = read_mask(folder / "CT_mask.nii.gz", volume)
    assert 2 * (ours.mask() & truth).sum() / (ours.mask().sum() + truth.sum()) > 0.99


@pytest.mark.parametrize("name", ["liver.dcm", "partial_overlaps.dcm"])
def test_real_seg_against_highdicom(name):
    folder = shared("ct/dcmqi")
    volume = read_volume(find_series(folder / "ct-3slice").series[0])
    found = masks_of(read_anatomy(folder / name, volume))
    seg = highdicom.seg.segread(folder / name)
    assert len(found) == seg.number_of_segments
    for number, mask in zip(seg.segment_numbers, found.values(), strict=True):
        truth = seg.get_volume(segment_numbers=[number], allow_missing_positions=True)
        places = np.argwhere(truth.array[..., 0])
        world = places @ truth.affine[:3, :3].T + truth.affine[:3, 3]
        index = np.rint(volume.to_index(world)).astype(int)
        expected = np.zeros(volume.shape, bool)
        expected[tuple(index.T)] = True
        assert np.array_equal(mask, expected)


def test_real_seg_of_another_patient_is_refused():
    folder = shared("ct/dcmqi")
    volume = read_volume(find_series(folder / "ct-3slice").series[0])
    with pytest.raises(GeometryError) as caught:
        read_anatomy(folder / "sr-example" / "seg.dcm", volume)
    assert caught.value.reason == "geometry_mismatch"
