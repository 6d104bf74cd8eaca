"""Features: closed forms, published reference values, independent implementations, properties."""

import csv
import itertools

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from skimage.measure import marching_cubes, mesh_surface_area, regionprops_table

from imaging import FEATURES, Detection, UsageError, Volume, measure
from imaging.components import Components
from imaging.features import feature
from imaging.mesh import Packed, surfaces

from ..data import shared

# The IBSI digital phantom (Zwanenburg et al. 2020): 5 x 4 x 4 voxels of 2 mm, CC BY 4.0; (slice, row, column).
IBSI_VALUES = [
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 9, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
]
IBSI_OUTSIDE = [(1, 2, 0), (2, 0, 3), (2, 0, 4), (2, 2, 2), (3, 0, 3), (3, 0, 4)]
IBSI = {  # feature: (reference value, tolerance), IBSI reference manual
    "volume_mesh_mm3": (556, 4), "volume_mm3": (592, 4), "volume_halfmax_mm3": (592, 4),
    "surface_area_mm2": (388, 3), "sphericity": (0.843, 0.005), "max_diameter_mm": (13.1, 0.1),
    "major_axis_mm": (11.4, 0.1), "minor_axis_mm": (9.31, 0.06), "least_axis_mm": (8.54, 0.05),
    "elongation": (0.816, 0.005), "flatness": (0.749, 0.005), "solidity": (0.961, 0.006),
    "surface_to_volume_per_mm": (0.698, 0.004), "compactness_1": (0.0411, 0.0003), "compactness_2": (0.599, 0.004),
    "spherical_disproportion": (1.19, 0.01), "asphericity": (0.186, 0.001),
    "centre_of_mass_shift_mm": (0.672, 0.004), "volume_density_box": (0.869, 0.005), "area_density_box": (0.866, 0.005),
    "volume_density_ellipsoid": (1.17, 0.01), "area_density_ellipsoid": (1.36, 0.01), "area_density_hull": (1.03, 0.01),
    "integrated_intensity": (1200, 10),
    "intensity_mean": (2.15, 0.005), "intensity_median": (1, 0), "intensity_min": (1, 0), "intensity_max": (6, 0),
}  # fmt: skip

IBSI_TAGS = {
    "volume_mesh_mm3": "morph_volume", "volume_mm3": "morph_vol_approx", "surface_area_mm2": "morph_area_mesh",
    "surface_to_volume_per_mm": "morph_av", "compactness_1": "morph_comp_1", "compactness_2": "morph_comp_2",
    "spherical_disproportion": "morph_sph_dispr", "sphericity": "morph_sphericity", "asphericity": "morph_asphericity",
    "centre_of_mass_shift_mm": "morph_com", "max_diameter_mm": "morph_diam", "major_axis_mm": "morph_pca_maj_axis",
    "minor_axis_mm": "morph_pca_min_axis", "least_axis_mm": "morph_pca_least_axis",
    "elongation": "morph_pca_elongation", "flatness": "morph_pca_flatness", "volume_density_box": "morph_vol_dens_aabb",
    "area_density_box": "morph_area_dens_aabb", "volume_density_ellipsoid": "morph_vol_dens_aee",
    "area_density_ellipsoid": "morph_area_dens_aee", "solidity": "morph_vol_dens_conv_hull",
    "area_density_hull": "morph_area_dens_conv_hull", "integrated_intensity": "morph_integ_int",
}  # fmt: skip


def one(mask, spacing=(1, 1, 1), values=None, **place):
    """The measurements of a given mask."""
    array = np.where(mask, 500, 40) if values is None else values
    volume = Volume.from_components(array, spacing=spacing, **place)
    return measure(Detection.from_labels(volume, np.asarray(mask).astype(np.int16))).iloc[0]


def grid(half, spacing):
    """Coordinates in mm of a grid that reaches `half` mm to all sides."""
    axes = [np.arange(-np.ceil(half / s), np.ceil(half / s) + 1) * s for s in spacing]
    return np.meshgrid(*axes, indexing="ij")


def ibsi_phantom():
    values = np.array(IBSI_VALUES)
    mask = np.ones(values.shape, bool)
    mask[tuple(np.array(IBSI_OUTSIDE).T)] = False
    return values, mask


def test_ibsi_digital_phantom():
    values, mask = ibsi_phantom()
    assert mask.sum() == 74
    row = one(mask, (2, 2, 2), values)
    for name, (reference, tolerance) in IBSI.items():
        assert row[name] == pytest.approx(reference, abs=tolerance), name
    assert row["intensity_sd"] ** 2 == pytest.approx(3.05, abs=0.005)


def test_ibsi_phantom_is_the_published_one():
    folder = shared("ref/ibsi_1_digital_phantom/nifti")
    values, mask = ibsi_phantom()
    published = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask/mask.nii.gz")))
    assert np.array_equal(published > 0, mask)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "image/phantom.nii.gz")))
    assert np.array_equal(image[mask], values[mask])
    with shared("ref/ibsi_1_dig_phantom.csv").open() as stream:
        table = {r["tag"]: r for r in csv.DictReader(stream, delimiter=";")}
    for name, tag in IBSI_TAGS.items():
        assert (float(table[tag]["reference value"]), float(table[tag]["tolerance"])) == IBSI[name]


@pytest.mark.parametrize("spacing", [(1, 1, 1), (2.5, 0.7, 0.9), (0.6, 1.3, 0.8)])
def test_ball(spacing):
    radius = 12.0
    z, y, x = grid(radius + 3, spacing)
    row = one(z * z + y * y + x * x <= radius**2, spacing)
    assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)
    # A mesh on a voxelised ball keeps its steps: 9 % too large on cubes, up to 17 % on flat voxels, at any resolution.
    assert 1 < row["surface_area_mm2"] / (4 * np.pi * radius**2) < 1.18
    assert row["max_diameter_mm"] == pytest.approx(2 * radius, abs=np.linalg.norm(spacing))
    assert row["axial_diameter_mm"] == pytest.approx(2 * radius, abs=max(spacing[1:]) * 1.5)
    assert row["axial_perpendicular_mm"] == pytest.approx(2 * radius, abs=max(spacing[1:]) * 1.5)
    # The second moment of a ball is r^2 / 5.
    assert row["major_axis_mm"] == pytest.approx(4 * radius / np.sqrt(5), rel=0.02)
    assert row["elongation"] == pytest.approx(1, abs=0.02)
    assert row["inner_occupancy"] == pytest.approx(1, abs=0.02)
    assert row["solidity"] > 0.92


@pytest.mark.parametrize("wall", [1.5, 2.5])
def test_shell(wall):
    spacing, outer = (0.7, 0.7, 0.7), 10.0
    z, y, x = grid(outer + 2, spacing)
    r = np.sqrt(z * z + y * y + x * x)
    row = one((r <= outer) & (r > outer - wall), spacing)
    assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * (outer**3 - (outer - wall) ** 3), rel=0.03)
    inner = outer - wall  # least squares find the root mean square radius of the wall's volume
    rms = np.sqrt(3 / 5 * (outer**5 - inner**5) / (outer**3 - inner**3))
    assert row["shell_radius_mm"] == pytest.approx(rms, abs=0.05)
    assert row["shell_coverage"] > 0.99
    assert row["shell_thickness_mm"] == pytest.approx(wall, abs=0.15)
    assert row["inner_occupancy"] == 0


@pytest.mark.parametrize("covered", [0.25, 0.6])
def test_part_of_a_shell(covered):
    spacing, outer, wall = (0.7, 0.7, 0.7), 12.0, 1.5
    z, y, x = grid(outer + 2, spacing)
    r = np.sqrt(z * z + y * y + x * x)
    cap = z >= r * (1 - 2 * covered)  # a polar cap of this share of the sphere
    row = one((r <= outer) & (r > outer - wall) & cap, spacing)
    assert row["shell_coverage"] == pytest.approx(covered, abs=0.08)
    assert row["shell_thickness_mm"] == pytest.approx(wall, abs=0.4)


def test_torus():
    spacing, ring, tube = (0.5, 0.5, 0.5), 10.0, 2.0
    z, y, x = grid(ring + tube + 1, spacing)
    row = one((np.hypot(y, x) - ring) ** 2 + z * z <= tube**2, spacing)
    assert row["volume_mm3"] == pytest.approx(2 * np.pi**2 * ring * tube**2, rel=0.05)
    assert row["max_diameter_mm"] == pytest.approx(2 * (ring + tube), abs=0.6)
    assert row["flatness"] < 0.3
    assert row["elongation"] == pytest.approx(1, abs=0.02)


def test_box_with_unequal_row_and_column_spacing():
    mask = np.zeros((8, 12, 14), bool)
    mask[2:6, 3:8, 4:10] = True  # 4 x 5 x 6 voxels
    row = one(mask, (2.0, 0.5, 1.5))
    assert row["volume_mm3"] == pytest.approx(4 * 5 * 6 * 1.5)
    # Mesh vertices lie half a voxel outside along one axis at a time.
    length = max(np.hypot(5 * 1.5 + 1.5, 4 * 0.5), np.hypot(5 * 1.5, 4 * 0.5 + 0.5))
    assert row["axial_diameter_mm"] == pytest.approx(length, rel=1e-3)
    assert row["resolution_mm"] == 2.0


def test_surface_equals_marching_cubes_on_each_component():
    rng = np.random.default_rng(3)
    mask = rng.random((24, 24, 24)) < 0.2
    spacing = (2.0, 0.7, 1.1)
    parts = Components.from_mask(mask)
    volumes, areas = surfaces(Packed(parts), np.diag(spacing))
    for k in range(0, len(parts), 5):
        alone = np.pad(parts.take([k]).paint(), 1).astype(float)
        vertices, faces, _, _ = marching_cubes(alone, 0.5, spacing=spacing)
        assert areas[k] == pytest.approx(mesh_surface_area(vertices, faces), rel=1e-6)
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        assert volumes[k] == pytest.approx(abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([6, 18, 26]))
def test_simple_features_equal_regionprops_table(seed, connectivity):
    rng = np.random.default_rng(seed)
    array = rng.normal(0, 60, (9, 12, 14)).round().astype(np.int16)
    spacing = (2.5, 0.8, 0.6)
    labels = Components.above(array, 50, connectivity).paint()
    volume = Volume.from_components(array, spacing=spacing)
    table = measure(Detection.from_labels(volume, labels))
    names = ("area", "centroid", "intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    truth = regionprops_table(labels, array, properties=names, spacing=spacing)
    assert np.allclose(table["volume_mm3"], truth["area"])
    assert np.allclose(table["centroid_z_mm"], truth["centroid-0"])
    assert np.allclose(table["centroid_y_mm"], truth["centroid-1"])
    assert np.allclose(table["centroid_x_mm"], truth["centroid-2"])
    for ours, theirs in {"mean": "mean", "min": "min", "max": "max"}.items():
        assert np.allclose(table[f"intensity_{ours}"], truth[f"intensity_{theirs}"], atol=1e-9)
    several = table["n_voxels"] > 1  # one voxel has no spread: missing, where scikit-image says 0
    assert np.allclose(table["intensity_sd"][several], truth["intensity_std"][several], atol=1e-9)
    assert table["intensity_sd"][~several].isna().all()


# -- properties --------------------------------------------------------------------------------------------------------

PLACE = {"centroid_x_mm", "centroid_y_mm", "centroid_z_mm", "slice_index", "row_index", "column_index"}
IN_PLANE = {"axial_diameter_mm", "axial_perpendicular_mm", "slice_spacing_mm"}
SAMPLED = {"shell_coverage", "shell_thickness_mm", "inner_occupancy"}  # directions do not turn with the grid
THINNED = {  # thinning depends on the order of voxels, rays and sectors lie as the grid does: tested in test_form.py
    "stroke_mm", "skeleton_length_mm", "skeleton_ends", "skeleton_junctions", "tortuosity", "curvature_radius_mm",
    "lobes", "euler_number", "layers", "layered_share", "radial_slope_hu", "radial_fade", "ring_arc_deg", "tube_arc",
}  # fmt: skip
NUMERIC = [f.name for f in FEATURES if f.dtype != "string"]


def blob(seed):
    """A random lumpy object in noise, away from the border."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((14, 16, 18))
    mask = np.zeros(z.shape, bool)
    for _ in range(3):
        c, r = rng.uniform(5, 9, 3), rng.uniform(1.5, 3.5)
        mask |= (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2 <= r * r
    return mask, np.where(mask, 600, 40) + rng.normal(0, 10, mask.shape).round()


def agree(a, b, names, rel=1e-6):
    for name in names:
        both_missing = pd.isna(a[name]) and pd.isna(b[name])
        assert both_missing or a[name] == pytest.approx(b[name], rel=rel, abs=1e-9), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_permuted_axes_and_flips_change_nothing(seed, order, flips):
    mask, values = blob(seed)
    spacing = np.array([2.0, 0.7, 1.1])
    flip = tuple(slice(None, None, -1 if f else 1) for f in flips)
    turned = one(mask.transpose(order)[flip], tuple(spacing[list(order)]), values.transpose(order)[flip])
    plain = one(mask, tuple(spacing), values)
    agree(plain, turned, set(NUMERIC) - PLACE - IN_PLANE - SAMPLED - THINNED)
    for name in SAMPLED:
        assert pd.isna(plain[name]) or turned[name] == pytest.approx(plain[name], abs=0.03, rel=0.05), name


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.floats(-500, 500)] * 3))
def test_a_moved_origin_changes_the_place_only(seed, origin):
    mask, values = blob(seed)
    plain, moved = one(mask, (2, 0.7, 1.1), values), one(mask, (2, 0.7, 1.1), values, origin=origin)
    agree(plain, moved, set(NUMERIC) - PLACE)
    for k, axis in enumerate("xyz"):
        assert moved[f"centroid_{axis}_mm"] - plain[f"centroid_{axis}_mm"] == pytest.approx(origin[k], abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_turned_patient_changes_the_place_only(seed, turn):
    mask, values = blob(seed)
    direction = Rotation.random(random_state=turn).as_matrix()
    plain, turned = one(mask, (2, 0.7, 1.1), values), one(mask, (2, 0.7, 1.1), values, direction=direction)
    agree(plain, turned, set(NUMERIC) - PLACE - SAMPLED - THINNED)
    for name in SAMPLED:
        assert np.isnan(plain[name]) or turned[name] == pytest.approx(plain[name], abs=0.03, rel=0.05), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 3))
def test_spacing_scales_lengths_areas_and_volumes(seed, s):
    mask, values = blob(seed)
    spacing = np.array([2.0, 0.7, 1.1])
    plain, scaled = one(mask, tuple(spacing), values), one(mask, tuple(spacing * s), values)
    powers = {"mm": 1, "mm2": 2, "mm3": 3, "1/mm": -1, "1": 0}
    # The background lies 3 to 8 mm away and the sphere's tolerance is at least 1 mm: these do not scale.
    absolute = SAMPLED | THINNED | {"background_mean", "background_sd", "edge_width_mm", "hu_drop", "threshold_hu"}
    absolute |= {"volume_integrated_mm3", "edge_blur"}
    for f in FEATURES:
        if f.unit in powers and f.name not in absolute:
            missing = pd.isna(plain[f.name]) and pd.isna(scaled[f.name])
            assert missing or scaled[f.name] == pytest.approx(plain[f.name] * s ** powers[f.unit], rel=1e-6), f.name


# What one to three voxels can tell: how many, how dense, where, and upper bounds of size. The rest is missing.
TOLD = {
    "n_voxels", "volume_mm3", "volume_halfmax_mm3", "max_diameter_mm", "axial_diameter_mm", "axial_perpendicular_mm",
    "equivalent_diameter_mm", "slice_spacing_mm", "resolution_mm", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm",
    "slice_index", "row_index", "column_index", "intensity_mean", "intensity_min", "intensity_median", "intensity_p95",
    "intensity_max", "intensity_unit", "fraction_above_400", "fraction_above_1000", "core_voxels", "background_mean",
    "background_sd", "hu_drop",
}  # fmt: skip
TOLD_BY_SOME = {"intensity_sd": 2, "major_axis_mm": 2, "minor_axis_mm": 3}
NOT_OF_THE_MASK = {"organ", "side", "bone_distance_mm", "threshold_hu"}


@pytest.mark.parametrize(
    "voxels",
    [
        [(0, 0, 0)],
        *([(0, 0, 0), step] for step in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1))),
        *([(0, 0, 0), *two] for two in itertools.combinations(((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, -1)), 2)),
    ],
    ids=str,
)
def test_one_to_three_voxels_miss_what_they_cannot_tell(voxels):
    mask = np.zeros((24, 24, 26), bool)
    mask[tuple((np.array(voxels) + 12).T)] = True
    values = np.where(mask, 500, 40) + np.random.default_rng(0).normal(0, 5, mask.shape).round()
    row = one(mask, (1.0, 0.7, 0.7), values)
    n, straight = len(voxels), np.linalg.matrix_rank(np.array(voxels) - voxels[0]) < 2
    told = TOLD | {name for name, least in TOLD_BY_SOME.items() if n >= least} - (
        {"minor_axis_mm"} if straight else set()
    )
    for f in FEATURES:
        if f.name not in NOT_OF_THE_MASK:
            assert pd.isna(row[f.name]) == (f.name not in told), f.name
    assert {"few_voxels", "no_plateau"} <= set(row["flags"].split(";"))
    assert row["volume_mm3"] == pytest.approx(n * 0.49)
    assert row["core_voxels"] == 0  # a count, and none of them lies inside


def test_an_empty_table_is_typed():
    volume = Volume.from_components(np.zeros((4, 4, 4)), spacing=(1, 1, 1))
    table = measure(Detection.from_labels(volume, np.zeros((4, 4, 4), int)))
    assert len(table) == 0
    for f in FEATURES:
        assert str(table[f.name].dtype) == f.dtype, f.name


def test_every_feature_has_a_definition_a_source_and_its_unit_in_the_name():
    for f, suffix in itertools.product(FEATURES, ("mm", "mm2", "mm3")):
        assert f.definition.endswith(".") or ":" in f.definition or ";" in f.definition, f.name
        assert f.source, f.name
        assert f.name.endswith(f"_{suffix}") == (f.unit == suffix) or f.unit in ("HU/mm", "1/mm"), f.name


def test_a_feature_without_docstring_or_with_a_taken_name_is_an_error():
    with pytest.raises(TypeError, match="docstring"):
        feature("nothing_mm", unit="mm", source="none")(lambda f: f)
    with pytest.raises(ValueError, match="already registered"):

        @feature("volume_mm3", unit="mm3", source="none")
        def again(f):
            """Again."""


def test_labels_keep_their_numbers_and_masks_their_components():
    labels = np.zeros((5, 8, 8), int)
    labels[1:3, 1:3, 1:3], labels[1:3, 5:7, 5:7] = 7, 3
    volume = Volume.from_components(np.where(labels, 500, 40), spacing=(1, 1, 1))
    assert measure(Detection.from_labels(volume, labels))["finding_id"].tolist() == [3, 7]
    assert measure(Detection.from_labels(volume, labels > 0))["finding_id"].tolist() == [1, 2]
    assert np.array_equal(Detection.from_labels(volume, labels).labels, labels)
    with pytest.raises(UsageError, match="whole numbers"):
        Detection.from_labels(volume, labels + 0.5)


def test_lines_reenter_shells_and_nested_bodies_and_no_convex_one():
    z, y, x = np.indices((11, 13, 15)) - np.array([5, 6, 7])[:, None, None, None]
    radius = np.sqrt(z**2 + y**2 + x**2)
    ball, shell, nested = (
        radius <= 4.5,
        (radius <= 4.5) & (radius > 3.4),
        (radius <= 4.5) & (np.abs(radius - 2.5) > 0.8),
    )
    for mask, least, most in ((ball, 0, 0), (shell, 0.2, 0.5), (nested, 0.2, 0.6)):
        for axes in ((0, 1, 2), (2, 0, 1)):
            assert least <= Packed(Components.above(mask.transpose(axes).astype(np.int16), 0)).reentered()[0] <= most
