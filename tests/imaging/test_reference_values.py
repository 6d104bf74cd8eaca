"""Other people's numbers: PyRadiomics' own shape baselines, reproduced where the definitions agree."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk

from imaging import Detection, Volume, measure

from ..data import shared

CASES = ("brain1", "brain2", "breast1", "lung1", "lung2")
SAME = {  # PyRadiomics' feature: our column; equal to 5 digits
    "VoxelVolume": "volume_mm3", "Maximum3DDiameter": "max_diameter_mm", "Elongation": "elongation",
    "Flatness": "flatness",
}  # fmt: skip
AXES = {"MajorAxisLength": "major_axis_mm", "MinorAxisLength": "minor_axis_mm", "LeastAxisLength": "least_axis_mm"}
MESH = {  # another table of triangles where a cube of the mesh is ambiguous: (column, tolerance)
    "MeshVolume": ("volume_mesh_mm3", 3e-4), "SurfaceArea": ("surface_area_mm2", 5e-3),
    "SurfaceVolumeRatio": ("surface_to_volume_per_mm", 5e-3), "Sphericity": ("sphericity", 5e-3),
}  # fmt: skip
UNAMBIGUOUS = ("breast1", "lung1")


@pytest.fixture(scope="module")
def baselines():
    with shared("ref/pyradiomics_shape/baseline_shape.csv").open() as stream:
        head, *rows = csv.reader(stream)
    at = {case: head.index(case) for case in CASES}
    return {
        case: {row[0].removeprefix("original_shape_"): float(row[k]) for row in rows if row[0].startswith("original")}
        for case, k in at.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_pyradiomics_baselines(case, baselines):
    image = sitk.ReadImage(str(shared(f"ref/pyradiomics_shape/{case}_label.nrrd")))
    labels = sitk.GetArrayFromImage(image).astype(int)
    volume = Volume.from_components(np.where(labels, 500, 0), spacing=image.GetSpacing()[::-1])
    theirs = baselines[case]
    row = measure(Detection.from_labels(volume, (labels == 1).astype(int))).iloc[0]
    for name, column in SAME.items():
        assert row[column] == pytest.approx(theirs[name], rel=1e-5), name
    for name, column in AXES.items():  # they divide the covariance by N, IBSI's reference values by N - 1
        n = row["n_voxels"]
        assert row[column] * np.sqrt((n - 1) / n) == pytest.approx(theirs[name], rel=1e-6), name
    for name, (column, tolerance) in MESH.items():
        assert row[column] == pytest.approx(theirs[name], rel=1e-6 if case in UNAMBIGUOUS else tolerance), name
    # Theirs also spans the halves of two neighbouring slices that share a mesh plane, so it is never shorter.
    assert row["axial_diameter_mm"] <= theirs["Maximum2DDiameterSlice"] * (1 + 1e-6)
    assert row["axial_diameter_mm"] >= 0.89 * theirs["Maximum2DDiameterSlice"]
