"""CT hazards of place: positions, spacing, orientation, matrix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from .corpus import Expected, Stack, Truth, ct, truth, write

STACK = Stack()
DUPLICATE = ("duplicate_positions",)
NO_GEOMETRY = ("no_geometry",)
UNEVEN = ("uneven_spacing",)


def _turned(stack: Stack, axis: str, degrees: float) -> Stack:
    a = np.deg2rad(degrees)
    c, s = np.cos(a), np.sin(a)
    matrix = {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]
    return replace(
        stack, row=tuple(matrix @ stack.row), column=tuple(matrix @ stack.column), step=tuple(matrix @ stack.step)
    )


def _tilted(degrees: float) -> Stack:
    """The gantry leans, the table moves along z: slices are planes at an angle to the step."""
    a = np.deg2rad(degrees)
    return Stack(column=(0.0, float(np.cos(a)), float(np.sin(a))))


@ct
def well_formed(folder: Path) -> Expected:
    """Sixteen slices without any fault."""
    return Expected([write(folder)])


@ct
def gap_of_one(folder: Path) -> Expected:
    """One slice is missing in the middle of the sphere."""
    return Expected(refused=("gap",), physical=[write(folder, skip=[8])])


@ct
def gap_of_three(folder: Path) -> Expected:
    """Three slices are missing at two places."""
    return Expected(refused=("gap",), physical=[write(folder, skip=[5, 8, 9])])


@ct
def gap_beside_the_first_slice(folder: Path) -> Expected:
    """The second slice is missing."""
    return Expected(refused=("gap",), physical=[write(folder, skip=[1])])


@ct
def every_second_slice_in_one_half(folder: Path) -> Expected:
    """Spacing 1.25 mm in the lower half, 2.5 mm in the upper."""
    return Expected(refused=("gap",), physical=[write(folder, skip=[9, 11, 13])])


@ct
def variable_spacing(folder: Path) -> Expected:
    """Spacing 1.25 mm below and 1.9 mm above: no multiples of one step."""
    write(folder, offset=lambda k: (0, 0, 0.65 * max(0, k - 7)))
    return Expected(refused=UNEVEN)


@ct
def jitter_of_10_micrometres(folder: Path) -> Expected:
    """Positions jump by 0.01 mm, as rounded positions do."""
    found = write(folder, offset=lambda k: (0, 0, 0.01 * (k % 2) * (0 < k < 15)))
    return Expected([replace(found, flags=("spacing_jitter",), mm_tolerance=0.02)])


@ct
def jitter_of_one_micrometre(folder: Path) -> Expected:
    """Positions jump by 0.001 mm: not worth a word."""
    return Expected([replace(write(folder, offset=lambda k: (0, 0, 0.001 * (k % 2))), mm_tolerance=2e-3)])


@ct
def jitter_of_half_a_millimetre(folder: Path) -> Expected:
    """One slice lies 0.5 mm off its place."""
    write(folder, offset=lambda k: (0, 0, 0.5 * (k == 7)))
    return Expected(refused=UNEVEN)


@ct
def drift_in_the_plane(folder: Path) -> Expected:
    """The field of view moves by 4 mm half way: the slices do not lie above each other."""
    write(folder, offset=lambda k: (4.0 * (k > 7), 0, 0))
    return Expected(refused=UNEVEN)


@ct
def duplicate_identical(folder: Path) -> Expected:
    """Two slices are there twice, byte for byte."""
    found = write(folder)
    for k in (3, 8):
        (folder / f"copy{k}").write_bytes((folder / f"IM{k:04d}.dcm").read_bytes())
    return Expected([replace(found, flags=("duplicates_removed",))])


@ct
def backup_copy_in_a_second_folder(folder: Path) -> Expected:
    """The whole series once more in a folder beside it."""
    write(folder / "backup")
    return Expected([replace(write(folder / "series"), flags=("duplicates_removed",))])


@ct
def duplicate_that_differs(folder: Path) -> Expected:
    """The same image twice by its UID, with other pixels: nobody knows which is right."""
    found = write(folder)
    write(folder / "again", hu=np.where(found.hu == 40, 45, found.hu), skip=[k for k in range(16) if k != 8])
    return Expected(refused=DUPLICATE)


@ct
def duplicate_with_another_uid(folder: Path) -> Expected:
    """Another image at the place of slice 8, not told apart by any header."""
    found = write(folder)
    other = np.where(found.hu == 40, 45, found.hu)
    write(folder / "again", hu=other, skip=[k for k in range(16) if k != 8], instance="other")
    return Expected(refused=DUPLICATE)


@ct
def first_slice_twice(folder: Path) -> Expected:
    """Another image 1 micrometre above the first."""
    write(folder)
    write(folder / "again", skip=range(1, 16), instance="other", offset=lambda k: (0, 0, 0.001))
    return Expected(refused=DUPLICATE)


def _pair(folder: Path, first: dict[str, object], second: dict[str, object]) -> list[Truth]:
    """Two scans of one place in one series; the second shows a smaller contrast."""
    hu = STACK.hu()
    other = np.where(hu == 400, 300, hu)
    one = write(folder, each=lambda k: {**first, "instance": f"a{k}"}, name="a{:03d}".format)
    two = write(
        folder, hu=other, each=lambda k: {**second, "instance": f"b{k}", "number": k + 17}, name="b{:03d}".format
    )
    return [one, two]


@ct
def two_acquisitions(folder: Path) -> Expected:
    """Two acquisitions at the same positions in one series, told apart by AcquisitionNumber."""
    return Expected(_pair(folder, {"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}))


@ct
def two_kernels(folder: Path) -> Expected:
    """Two reconstructions in one series, told apart by ConvolutionKernel."""
    return Expected(_pair(folder, {"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}))


@ct
def two_phases(folder: Path) -> Expected:
    """Arterial and venous phase in one series, told apart by TemporalPositionIdentifier."""
    first, second = {"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}
    return Expected(_pair(folder, first, second))


@ct
def two_energies(folder: Path) -> Expected:
    """80 and 140 kV in one series."""
    return Expected(_pair(folder, {"KVP": 80}, {"KVP": 140}))


@ct
def two_acquisitions_without_a_difference(folder: Path) -> Expected:
    """Two scans at the same positions whose headers are the same."""
    return Expected(refused=DUPLICATE, physical=_pair(folder, {}, {}))


@ct
def two_acquisitions_one_incomplete(folder: Path) -> Expected:
    """Of two acquisitions the second lacks a slice: the first is read, the second refused."""
    found = write(folder, AcquisitionNumber=1, each=lambda k: {"instance": f"a{k}"}, name="a{:03d}".format)
    write(folder, AcquisitionNumber=2, each=lambda k: {"instance": f"b{k}"}, name="b{:03d}".format, skip=[6])
    return Expected([found], refused=("gap",))


@ct
def bolus_tracking(folder: Path) -> Expected:
    """Twelve scans of one position: no volume."""
    write(folder, offset=lambda k: np.multiply(-k, STACK.step), each=lambda k: {"AcquisitionNumber": k})
    return Expected(refused=("mixed_acquisitions",))


@ct
def gantry_tilt_15(folder: Path) -> Expected:
    """The gantry leans by 15 degrees: the grid is sheared."""
    return Expected([replace(write(folder, _tilted(15)), flags=("tilted",))])


@ct
def gantry_tilt_minus_20_without_tag(folder: Path) -> Expected:
    """Tilt the other way, and the tag GantryDetectorTilt says 0: only positions count."""
    return Expected([replace(write(folder, _tilted(-20), GantryDetectorTilt=0), flags=("tilted",))])


@ct
def tilt_tag_without_tilt(folder: Path) -> Expected:
    """GantryDetectorTilt says 15 degrees, the positions say none."""
    return Expected([write(folder, GantryDetectorTilt=15)])


SCOUT = {"orientation": (1, 0, 0, 0, 0, -1), "position": (0, 0, 0), "instance": "scout"}


@ct
def localizer_of_the_same_matrix(folder: Path) -> Expected:
    """A scout view in the series, of the same matrix."""
    found = write(folder)
    write(folder / "scout", skip=range(1, 16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **SCOUT)
    return Expected([found], left={"localizer": 1})


@ct
def localizer_of_another_matrix(folder: Path) -> Expected:
    """A scout view in the series, of another matrix."""
    found = write(folder)
    write(
        folder / "scout",
        hu=np.full((1, 64, 30), 7),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        **SCOUT,
    )
    return Expected([found], left={"localizer": 1})


@ct
def localizer_that_calls_itself_axial(folder: Path) -> Expected:
    """A scout view in the series, not marked as such: another orientation."""
    found = write(folder)
    write(folder / "scout", skip=range(1, 16), **SCOUT)
    return Expected(refused=("mixed_orientations",), physical=[found])


@ct
def axial_localizer_between_the_slices(folder: Path) -> Expected:
    """A scout view with axial orientation, half a step off the grid."""
    found = write(folder)
    where = {"instance": "scout", "offset": lambda _: (0, 0, 0.6)}
    write(folder / "scout", skip=range(1, 16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **where)
    return Expected([found], left={"localizer": 1})


@ct
def two_series_in_a_folder(folder: Path) -> Expected:
    """Two series, their files mixed in one folder."""
    one = write(folder, series="one", name="{:03d}a".format)
    stack = replace(STACK, step=(0, 0, 2.5), shape=(9, 40, 36))
    two = write(folder, stack, series="two", SliceThickness=2.5, name="{:03d}b".format)
    return Expected([one, two])


@ct
def two_frames_of_reference(folder: Path) -> Expected:
    """The patient left the table between two scans of one series."""
    one = write(folder, each=lambda k: {"instance": f"a{k}"}, name="a{:03d}".format)
    two = write(
        folder,
        each=lambda k: {"instance": f"b{k}"},
        name="b{:03d}".format,
        hu=np.where(STACK.hu() == 400, 300, STACK.hu()),
        FrameOfReferenceUID="1.2.3.4.5",
    )
    return Expected([one, two])


@ct
def two_patients_with_one_series_uid(folder: Path) -> Expected:
    """A scanner that gives every patient the same SeriesInstanceUID."""
    one = write(folder, PatientID="one", each=lambda k: {"instance": f"a{k}"}, name="a{:03d}".format)
    other = np.where(STACK.hu() == 400, 300, STACK.hu())
    two = write(folder, PatientID="two", hu=other, each=lambda k: {"instance": f"b{k}"}, name="b{:03d}".format)
    return Expected([one, two])


@ct
def one_sop_uid_for_all_slices(folder: Path) -> Expected:
    """SOPInstanceUID is the same in all slices."""
    return Expected([write(folder, instance="same")])


@ct
def no_series_uid(folder: Path) -> Expected:
    """SeriesInstanceUID and StudyInstanceUID are absent."""
    return Expected([write(folder, SeriesInstanceUID=None, StudyInstanceUID=None)])


@ct
def no_instance_number(folder: Path) -> Expected:
    """InstanceNumber is absent."""
    return Expected([write(folder, InstanceNumber=None)])


@ct
def instance_numbers_lie(folder: Path) -> Expected:
    """InstanceNumber and SliceLocation run in another order than the slices."""
    shuffled = np.random.default_rng(1).permutation(16)
    return Expected([write(folder, each=lambda k: {"number": int(shuffled[k]), "SliceLocation": float(shuffled[k])})])


@ct
def shuffled_names(folder: Path) -> Expected:
    """File names run in another order than the slices, without extension."""
    shuffled = np.random.default_rng(2).permutation(16)
    return Expected([write(folder, name=lambda k: f"{shuffled[k]}")])


@ct
def descending(folder: Path) -> Expected:
    """File names and numbers descend while positions ascend."""
    return Expected([write(folder, name=lambda k: f"{99 - k}", each=lambda k: {"number": 99 - k})])


@ct
def overlapping_slices(folder: Path) -> Expected:
    """Slices of 2.5 mm every 1.25 mm: thickness is no spacing."""
    return Expected([write(folder, SliceThickness=2.5)])


@ct
def slices_apart(folder: Path) -> Expected:
    """Slices of 0.6 mm every 1.25 mm: tissue between them was not scanned."""
    return Expected([replace(write(folder, SliceThickness=0.6), flags=("slices_apart",))])


@ct
def spacing_between_slices_lies(folder: Path) -> Expected:
    """SpacingBetweenSlices says 5 mm, or -1.25, or 0."""
    return Expected([write(folder, each=lambda k: {"SpacingBetweenSlices": (5, -1.25, 0)[k % 3]})])


@ct
def no_positions(folder: Path) -> Expected:
    """Neither position nor orientation."""
    return Expected(refused=NO_GEOMETRY, physical=[write(folder, position=None, orientation=None)])


@ct
def one_slice_without_position(folder: Path) -> Expected:
    """One slice has no position."""
    found = write(folder, each=lambda k: {"position": None} if k == 9 else {})
    return Expected(refused=NO_GEOMETRY, physical=[found])


@ct
def all_positions_the_same(folder: Path) -> Expected:
    """Every slice says it lies at the origin, as after a careless de-identification."""
    return Expected(refused=DUPLICATE, physical=[write(folder, position=(0, 0, 0))])


@ct
def position_with_decimal_commas(folder: Path) -> Expected:
    """Positions are written with commas."""

    def comma(ds, k):
        text = "\\".join(str(v).replace(".", ",") for v in STACK.position(k))
        element = ds["ImagePositionPatient"]
        element.VR = "LO"
        element.value = text.split("\\")

    return Expected(refused=NO_GEOMETRY, physical=[write(folder, change=comma)])


@ct
def position_not_a_number(folder: Path) -> Expected:
    """One position is NaN."""
    raw = STACK.position(4)[2]
    text = f"{raw:.6f}".rstrip("0").encode()

    def nan(data: bytes, k: int) -> bytes:
        assert k != 4 or text in data
        return data.replace(text, b"nan".ljust(len(text)), 1) if k == 4 else data

    return Expected(refused=NO_GEOMETRY, physical=[write(folder, raw=nan)])


@ct
def two_slices_turned(folder: Path) -> Expected:
    """Two slices in the middle are turned by 10 degrees: no stack of their own."""
    turned = _turned(STACK, "x", 10)
    write(folder, each=lambda k: {"orientation": turned.cosines} if k in (7, 8) else {})
    return Expected(refused=("mixed_orientations",))


CORONAL = Stack((1, 0, 0), (0, 0, -1), (0, 1.25, 0), shape=(22, 40, 36))


@ct
def two_planes_in_one_series(folder: Path) -> Expected:
    """Axial and coronal slices of one scan in one series, each stack whole."""
    one = write(folder, each=lambda k: {"instance": f"a{k}"}, name="a{:03d}".format)
    two = write(folder, CORONAL, each=lambda k: {"instance": f"c{k}", "number": k + 17}, name="c{:03d}".format)
    return Expected([one, two])


@ct
def two_matrices_in_one_series(folder: Path) -> Expected:
    """Two reconstructions of one scan with other matrices in one series, each stack whole."""
    one = write(folder, each=lambda k: {"instance": f"a{k}"}, name="a{:03d}".format)
    small = replace(STACK, pixel=(1.0, 1.0), shape=(16, 28, 28))
    two = write(folder, small, each=lambda k: {"instance": f"c{k}", "number": k + 17}, name="c{:03d}".format)
    return Expected([one, two])


@ct
def noise_on_the_orientation(folder: Path) -> Expected:
    """Direction cosines differ by 1e-5 from slice to slice."""
    rng = np.random.default_rng(3)
    noise = rng.uniform(-1e-5, 1e-5, (16, 6))
    found = write(folder, each=lambda k: {"orientation": np.array(STACK.cosines) + noise[k]})
    return Expected([found])


@ct
def orientation_that_is_no_rotation(folder: Path) -> Expected:
    """Row and column direction are the same vector."""
    return Expected(refused=NO_GEOMETRY, physical=[write(folder, orientation=(1, 0, 0, 1, 0, 0))])


@ct
def wide_pixels(folder: Path) -> Expected:
    """Rows lie 0.5 mm apart, columns 0.9 mm: spacing swapped would go unnoticed in a square."""
    return Expected([write(folder, replace(STACK, pixel=(0.5, 0.9), shape=(16, 56, 32)))])


@ct
def tall_pixels(folder: Path) -> Expected:
    """Rows lie 0.9 mm apart, columns 0.5 mm."""
    return Expected([write(folder, replace(STACK, pixel=(0.9, 0.5), shape=(16, 32, 56)))])


@ct
def no_pixel_spacing(folder: Path) -> Expected:
    """PixelSpacing is absent; ImagerPixelSpacing, of a detector, is no replacement."""
    found = write(folder, PixelSpacing=None, ImagerPixelSpacing=[0.5, 0.5])
    return Expected(refused=NO_GEOMETRY, physical=[found])


@ct
def one_pixel_spacing_of_two(folder: Path) -> Expected:
    """PixelSpacing has a single value."""
    return Expected(refused=NO_GEOMETRY, physical=[write(folder, PixelSpacing=0.7)])


@ct
def pixel_spacing_zero(folder: Path) -> Expected:
    """PixelSpacing is 0."""
    return Expected(refused=NO_GEOMETRY, physical=[write(folder, PixelSpacing=[0, 0])])


@ct
def pixel_spacing_changes(folder: Path) -> Expected:
    """Some slices are reconstructed with another field of view."""
    write(folder, each=lambda k: {"PixelSpacing": [0.5, 0.5]} if k > 11 else {})
    return Expected(refused=("mixed_sizes",))


@ct
def matrix_changes(folder: Path) -> Expected:
    """Some slices have another matrix."""
    found = write(folder, skip=[8])
    write(folder / "other", replace(STACK, shape=(16, 30, 30)), skip=[k for k in range(16) if k != 8])
    return Expected(refused=("mixed_sizes",), physical=[found])


@ct
def oblique(folder: Path) -> Expected:
    """Slices turned about two axes."""
    return Expected([write(folder, _turned(_turned(STACK, "x", 31), "z", 17))])


@ct
def sagittal(folder: Path) -> Expected:
    """Sagittal slices."""
    return Expected([write(folder, Stack((0, 1, 0), (0, 0, -1), (-1.25, 0, 0), shape=(22, 40, 36)))])


@ct
def coronal(folder: Path) -> Expected:
    """Coronal slices."""
    return Expected([write(folder, Stack((1, 0, 0), (0, 0, -1), (0, 1.25, 0), shape=(22, 40, 36)))])


@ct
def feet_first_prone(folder: Path) -> Expected:
    """Feet first and prone: rows run from left to right."""
    return Expected([write(folder, _turned(STACK, "z", 180), PatientPosition="FFP")])


@ct
def head_first_turned_over(folder: Path) -> Expected:
    """Slices whose normal points to the feet."""
    stack = Stack((-1, 0, 0), (0, 1, 0), (0, 0, -1.25))
    return Expected([write(folder, stack)])


@ct
def far_from_the_origin(folder: Path) -> Expected:
    """Table positions of several metres."""
    moved = truth(STACK)
    affine = moved.affine.copy()
    affine[:3, 3] += (5000.5, -4000.25, 12000.125)
    write(folder, offset=lambda _: (5000.5, -4000.25, 12000.125))
    return Expected([replace(moved, affine=affine)])


@ct
def two_slices(folder: Path) -> Expected:
    """A volume of two slices."""
    return Expected([write(folder, replace(STACK, shape=(2, 40, 36)))])


@ct
def single_slice(folder: Path) -> Expected:
    """One slice: it counts for its thickness, and says so."""
    stack = replace(STACK, shape=(1, 40, 36))
    return Expected([replace(write(folder, stack), flags=("single_slice",))])


@ct
def single_slice_without_thickness(folder: Path) -> Expected:
    """One slice whose thickness is not known."""
    write(folder, replace(STACK, shape=(1, 40, 36)), SliceThickness=None)
    return Expected(refused=NO_GEOMETRY)


@ct
def no_frame_of_reference_in_one_slice(folder: Path) -> Expected:
    """FrameOfReferenceUID is absent in one slice."""
    return Expected([write(folder, each=lambda k: {"FrameOfReferenceUID": None} if k == 5 else {})])


@ct
def positions_of_many_digits(folder: Path) -> Expected:
    """Positions with more characters than a decimal string may have, or with exponents."""

    def rewrite(ds, k):
        element = ds["ImagePositionPatient"]
        element.VR = "LO"
        places = STACK.position(k)
        element.value = [(f"{v:.20f}" if k % 2 else f"{v:.14E}") for v in places]

    return Expected([write(folder, change=rewrite)])
