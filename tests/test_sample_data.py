"""The sample scans: SimpleITK reads back what the writer wrote, and the truth beside them is true."""

import csv
import math
from pathlib import Path

import make_sample_data
import numpy as np
import pydicom
import pytest
import SimpleITK
import ultrasound_scans
from dicom_writer import write_dicom_series
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from imaging import geometry
from imaging.synthetic import Ball, Thing, render
from imaging.volume import Volume

SAMPLE_DATA = Path(make_sample_data.__file__).parent
NAMES = [scan.name for scan in make_sample_data.SCANS]
LARGEST_BYTES = 850_000
NEEDED = """
    ImageType AccessionNumber Modality Manufacturer ReferringPhysicianName PatientID
    PatientBirthDate PatientSex KVP PatientPosition StudyInstanceUID SeriesInstanceUID StudyID
    SeriesNumber StudyDate StudyTime AcquisitionNumber InstanceNumber ImagePositionPatient
    ImageOrientationPatient FrameOfReferenceUID PositionReferenceIndicator SamplesPerPixel
    PhotometricInterpretation Rows Columns PixelSpacing BitsAllocated BitsStored HighBit
    PixelRepresentation RescaleIntercept RescaleSlope SliceThickness PixelData
"""


def read(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_sample_data.make(folder)
    return folder


@pytest.fixture(scope="module")
def truth():
    with (SAMPLE_DATA / "truth.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless])
def test_simpleitk_reads_what_was_written(tmp_path, syntax):
    axes = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    thing = Thing(Ball((2.0, 1.0, 0.0), 6.0), 900.0)
    volume = render(40.0, [thing], (9, 21, 33), (2.5, 0.7, 0.9), direction=axes, noise_sd=20, seed=4).volume
    files = write_dicom_series(volume, tmp_path, transfer_syntax=syntax)
    image = read(tmp_path)
    assert len(files) == 9
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), volume.array)
    assert image.GetSpacing() == pytest.approx((0.9, 0.7, 2.5), abs=1e-6)
    assert image.GetOrigin() == pytest.approx(tuple(volume.origin), abs=1e-6)
    assert np.reshape(image.GetDirection(), (3, 3)) == pytest.approx(axes, abs=1e-6)
    assert pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID == syntax


def test_values_over_twelve_bits_and_the_lowest_one_survive(tmp_path):
    array = np.array([[[-1024, 32767], [0, 3072]]], dtype=np.int16)
    write_dicom_series(Volume.from_components(array, spacing=(1, 1, 1)), tmp_path)
    assert np.array_equal(SimpleITK.GetArrayFromImage(read(tmp_path)), array)


def test_hu_that_cannot_be_stored_are_an_error(tmp_path):
    volume = Volume.from_components(np.full((1, 2, 2), -2000, np.int16), spacing=(1, 1, 1))
    with pytest.raises(ValueError, match="HU must lie within"):
        write_dicom_series(volume, tmp_path)


def test_a_tilted_gantry_is_written_with_its_shear(tmp_path):
    affine = geometry.affine_from_components((2, 1, 1), (-5, -6, -7), np.eye(3))
    affine[1, 0] = 2 * math.tan(math.radians(12))
    volume = Volume(np.zeros((3, 4, 5), np.int16), affine)
    files = write_dicom_series(volume, tmp_path)
    for index, file in enumerate(files):
        place = geometry.to_world(affine, (index, 0, 0))
        assert pydicom.dcmread(file).ImagePositionPatient == pytest.approx(place)


def test_headers_hold_what_a_ct_image_needs(made):
    for name in NAMES:
        sets = [pydicom.dcmread(file) for file in sorted((made / name).glob("*.dcm"))]
        assert len({ds.SOPInstanceUID for ds in sets}) == len(sets)
        assert len({ds.SeriesInstanceUID for ds in sets}) == 1
        for ds in sets:
            assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
            assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
            assert str(ds.PatientName) == "Synthetic^Phantom"
            assert [keyword for keyword in NEEDED.split() if keyword not in ds] == []


def test_making_them_again_gives_the_same_bytes(made, tmp_path):
    make_sample_data.make(tmp_path)
    first, second = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (made, tmp_path))
    assert first == second


def test_the_files_in_the_repository_are_the_ones_the_script_makes(made):
    """Headers to the letter; pixels to one HU, since another numpy may round the noise differently."""
    for name in NAMES:
        here = {file.name: file for file in (SAMPLE_DATA / name).iterdir()}
        assert set(here) == {file.name for file in (made / name).iterdir()}
        pixels = [SimpleITK.GetArrayFromImage(read(folder / name)).astype(int) for folder in (made, SAMPLE_DATA)]
        apart = np.abs(pixels[0] - pixels[1])
        assert apart.max() <= 1
        assert apart.mean() < 1e-3
        for file in sorted((made / name).glob("*.dcm")):
            new, old = pydicom.dcmread(file), pydicom.dcmread(here[file.name])
            del new.PixelData, old.PixelData
            assert new == old
    assert (SAMPLE_DATA / "truth.csv").read_text() == (made / "truth.csv").read_text()


def test_they_stay_small():
    files = [file for name in NAMES for file in (SAMPLE_DATA / name).iterdir()]
    assert sum(file.stat().st_size for file in files) < LARGEST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_series_read_as_one_regular_grid_of_the_phantom(name):
    (scan,) = (scan for scan in make_sample_data.SCANS if scan.name == name)
    volume = scan.image().volume
    image = read(SAMPLE_DATA / name)
    assert np.abs(SimpleITK.GetArrayFromImage(image) - volume.array.astype(int)).max() <= 1
    assert image.GetSpacing() == pytest.approx(volume.spacing[::-1], abs=1e-6)
    assert image.GetOrigin() == pytest.approx(tuple(volume.origin), abs=1e-6)


def test_every_calcification_is_listed_once(truth):
    names = [(row["series"], row["name"]) for row in truth]
    assert len(set(names)) == len(names)
    expected = [(scan.name, thing.name) for scan in make_sample_data.SCANS for thing in scan.calcifications]
    assert names == expected
    assert {row["series"] for row in truth} == {"ct_abdomen", "ct_thigh"}
    assert {row["pattern"] for row in truth} == {"eggshell", "ring", "punctate", "solid", "linear", "coarse"}


def test_calcium_stands_out_where_the_truth_says(truth):
    for row in truth:
        image = read(SAMPLE_DATA / row["series"])
        array = SimpleITK.GetArrayFromImage(image)
        centre = [float(row[f"{axis}_mm"]) for axis in "xyz"]
        out = {"shell": 8.0 - 0.75, "torus": 6.5}.get(row["shape"], 0.0)  # mm from the centre to the wall
        column, line, slice_ = image.TransformPhysicalPointToIndex([centre[0] + out, *centre[1:]])
        near = array[max(slice_ - 1, 0) : slice_ + 2, line - 1 : line + 2, column - 1 : column + 2]
        assert near.max() > 250, row["name"]
        if out:
            column, line, slice_ = image.TransformPhysicalPointToIndex(centre)
            assert array[slice_, line, column] < 100, row["name"]


def test_integrated_hu_gives_the_volume_of_the_truth(truth):
    """Without noise, a phantom with one calcification and one with none differ by contrast times volume."""
    for scan in make_sample_data.SCANS[:2]:
        volume = scan.image().volume
        grid = (scan.shape, scan.spacing)
        scanner = {"origin": tuple(volume.origin), "psf_fwhm_mm": make_sample_data.PSF_MM}
        empty = render(scan.body, [], *grid, **scanner).volume.array.astype(float)
        for row in (row for row in truth if row["series"] == scan.name):
            (thing,) = (thing for thing in scan.calcifications if thing.name == row["name"])
            alone = render(scan.body, [thing], *grid, **scanner).volume
            index = np.rint(volume.to_index([float(row[f"{axis}_mm"]) for axis in "xyz"])).astype(int)
            contrast = float(row["hu"]) - empty[tuple(index)]
            total = (alone.array - empty).sum() * volume.voxel_volume_mm3
            assert total / contrast == pytest.approx(float(row["volume_mm3"]), rel=0.03)


def test_calcifications_lie_deep_in_soft_tissue():
    """At least 10 mm from bone and 15 mm from the skin."""
    for scan in make_sample_data.SCANS:
        skin = max((thing.shape for thing in scan.body if thing.hu == 15.0), key=lambda shape: shape.radii[0])
        bones = [thing.shape for thing in scan.body if thing.hu >= 90]
        for thing in scan.calcifications:
            low, high = thing.shape.bounds()
            grid = np.stack(np.meshgrid(*(np.linspace(a, b, 25) for a, b in zip(low, high, strict=True))), -1)
            inside = grid[thing.shape.contains(grid)].T
            assert min(bone.distance(*inside).min() for bone in bones) >= 10, thing.name
            assert skin.distance(*inside).max() <= -15, thing.name


def test_the_clean_scan_holds_no_calcification(truth):
    assert not [row for row in truth if row["series"] == "ct_clean"]
    assert make_sample_data.SCANS[2].calcifications == ()


# -- ultrasound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ultrasound_scans.NAMES)
def test_ultrasound_in_the_repository_is_what_the_script_makes(made, name):
    new, old = (pydicom.dcmread(folder / name / f"{name}.dcm") for folder in (made, SAMPLE_DATA))
    assert np.abs(new.pixel_array.astype(int) - old.pixel_array).max() <= 1
    for ds in (new, old):
        del ds.PixelData
    assert new == old
    texts = [(folder / "truth_ultrasound.csv").read_text() for folder in (made, SAMPLE_DATA)]
    assert texts[0] == texts[1]


def test_ultrasound_has_a_calibrated_region_inside_its_frame():
    for name, frame in ((ultrasound_scans.STILL, ultrasound_scans.still()), (ultrasound_scans.CINE, None)):
        ds = pydicom.dcmread(SAMPLE_DATA / name / f"{name}.dcm")
        (region,) = ds.SequenceOfUltrasoundRegions
        assert region.RegionLocationMaxX1 < ds.Columns
        assert region.RegionLocationMaxY1 < ds.Rows
        if frame is not None:
            assert (10 * region.PhysicalDeltaY, 10 * region.PhysicalDeltaX) == pytest.approx(frame.pixel_mm)
            assert np.array_equal(ds.pixel_array, frame.image)


def test_echoes_and_shadows_stand_where_the_truth_says():
    with (SAMPLE_DATA / "truth_ultrasound.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = {name: pydicom.dcmread(SAMPLE_DATA / name / f"{name}.dcm").pixel_array for name in ultrasound_scans.NAMES}
    assert {row["series"] for row in rows} == set(images)
    for row in rows:
        stack = images[row["series"]]
        image = (stack[int(row["frame"])] if stack.ndim == 3 else stack).astype(float)
        y, x = round(float(row["row"])), round(float(row["column"]))
        if row["kind"] == "calcification":
            assert image[y - 4 : y + 5, x - 3 : x + 4].max() > np.median(image[image > 0]) + 40, row
        if row["kind"] == "cyst":
            assert np.median(image[y - 4 : y + 5, x - 4 : x + 5]) < 30
