"""Published scores of a real scan of the QRM phantom, and the true masses of its inserts."""

import numpy as np
import pytest

from imaging import Calibration, Detection, ScoreParams, detect, find_series, measure, read_volume, score

from ..benchmarks.bench_scores import FACTOR, INSERTS, mass_errors, rows_of
from ..data import shared

SMALL_FAINT = ((22, 196.0, 269.1), (22, 239.1, 271.5))
"""Centres of the inserts that score 0: on the line and at the distance of the medium and large ones."""


def ball(volume, centre, radius_mm):
    index = np.stack(np.indices(volume.shape, sparse=False), axis=-1)
    return np.linalg.norm((index - centre) * volume.spacing, axis=-1) <= radius_mm


@pytest.fixture(scope="module")
def phantom():
    volume = read_volume(find_series(shared("ct/qrm_phantom/dicom")).series[0])
    detection = detect(volume)
    findings = measure(detection)
    return volume, score(findings, detection, ScoreParams("fqm", mass_factor_mg_per_cm3_per_hu=FACTOR))


def test_the_published_rows(phantom):
    volume, table = phantom
    rows = rows_of(table, volume)
    assert len(table) == len(rows) == 7  # one finding for each insert that scores, no other
    for name, ((volume_mm3, agatston, mass), _, _) in INSERTS.items():
        if volume_mm3 == 0:
            assert name not in rows
            continue
        # Published with four decimals: the fifth is rounded.
        assert rows[name]["volume_score_mm3"] == pytest.approx(volume_mm3, abs=5.1e-5), name
        assert rows[name]["agatston"] == pytest.approx(agatston, abs=5.1e-5), name
        assert rows[name]["weighted_area_score"] == rows[name]["agatston"]
        assert rows[name]["mass_mg"] == pytest.approx(mass, rel=1e-3), name


def test_the_faint_small_inserts_score_zero(phantom):
    volume, _ = phantom
    labels = np.zeros(volume.shape, int)
    for k, centre in enumerate(SMALL_FAINT):
        labels[ball(volume, centre, 4.0)] = k + 1
    detection = Detection.from_labels(volume, labels)
    table = score(measure(detection), detection, ScoreParams("fqm", mass_factor_mg_per_cm3_per_hu=FACTOR))
    assert table[["agatston", "volume_score_mm3", "mass_mg"]].to_numpy().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_integrated_mass_is_nearer_to_the_truth(phantom):
    volume, table = phantom
    errors = mass_errors(rows_of(table, volume))
    assert errors["mass_integrated_mg"] <= errors["mass_mg"] / 3
    assert errors["mass_volume_fraction_mg"] <= errors["mass_mg"] / 3


def test_calibration_from_the_rod(phantom):
    volume, _ = phantom
    slices, rows, columns = np.indices(volume.shape, sparse=True)
    apart = np.hypot((rows - 217.6) * volume.spacing[1], (columns - 258.0) * volume.spacing[2])
    rod = (apart <= 6.9) & (slices >= 31) & (slices <= 32)  # further on the end of the phantom lowers its HU
    made = Calibration.from_rod(volume, rod, 200.0, water_hu=36.6)
    assert made.factor_mg_per_cm3_per_hu == pytest.approx(FACTOR, rel=0.02)
