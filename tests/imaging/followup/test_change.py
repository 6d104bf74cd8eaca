"""Limits and calls against their formulas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging import Limits, UsageError, estimate_limits, volume_limit
from imaging.followup.change import Measured, call, relative


def sizes(v0, v1, d0=5.0, d1=5.0, i0=1000.0, i1=1000.0):
    return Measured(*(tuple(np.array([x], float) for x in pair) for pair in ((v0, v1), (d0, d1), (i0, i1))))


@pytest.mark.parametrize(("volume", "percent"), [(10, 108.9), (50, 48.7), (200, 25.0), (1000, 25.0)])
def test_limits_are_those_of_the_literature(volume, percent):
    assert volume_limit(np.array([volume]), Limits())[0] == pytest.approx(volume * percent / 100, rel=1e-3)


@given(st.floats(1, 1e5))
def test_the_limit_is_the_larger_of_both_rules(volume):
    expected = max(3.445 * math.sqrt(volume), 0.25 * volume)
    assert volume_limit(np.array([volume]), Limits())[0] == pytest.approx(expected)


def test_growth_needs_volume_and_diameter_or_density():
    grown = sizes(100, 180, 5.8, 7.0, 1000, 1100)  # 80 > 34.5; 1.2 mm < 2 mm; 10 % < 25 %
    assert call(grown, 1.0, Limits()).state[0] == "stable"
    assert "does not reach 2.0 mm" in call(grown, 1.0, Limits()).reason[0]
    assert call(sizes(100, 180, 5.8, 7.9), 1.0, Limits()).state[0] == "increased"
    assert call(sizes(100, 180, 5.8, 7.9), 3.0, Limits()).state[0] == "stable"  # the spacing is 3 mm
    assert call(sizes(100, 180, i1=1300), 3.0, Limits()).state[0] == "increased"
    assert call(sizes(100, 30, i1=600), 1.0, Limits()).state[0] == "decreased"


def test_diameter_and_density_count_in_the_direction_of_the_volume_only():
    assert call(sizes(100, 180, 8.0, 5.0, 1000, 500), 1.0, Limits()).state[0] == "stable"


def test_volume_alone_decides_where_nothing_else_is_known():
    nothing = sizes(100, 180, np.nan, np.nan, np.nan, np.nan)
    made = call(nothing, 1.0, Limits())
    assert made.state[0] == "increased"
    assert "neither diameter nor integrated HU are known" in made.reason[0]


def test_the_reason_names_the_rule_that_decided():
    assert call(sizes(100, 110), 1.0, Limits()).reason[0] == "volume +10.0 mm3 is within 3.445 sqrt(V) = 34.4 mm3"
    assert "25 % of V = 250.0 mm3" in call(sizes(1000, 1010), 1.0, Limits()).reason[0]


def test_a_relative_change_of_nothing_is_missing():
    assert np.isnan(relative(np.array([0.0, np.nan]), np.array([1.0, 1.0]))).all()
    assert relative(np.array([4.0]), np.array([5.0]))[0] == pytest.approx(0.25)


def repeats(seed, n, a, b):
    rng = np.random.default_rng(seed)
    v0 = np.exp(rng.uniform(np.log(10), np.log(2000), n))
    sd = np.where(v0 < 190, a * np.sqrt(v0), b * v0) / 1.96
    v1 = v0 + sd * rng.normal(size=n)
    d0 = np.cbrt(v0)
    return pd.DataFrame(
        {
            "volume_before_mm3": v0, "volume_after_mm3": v1, "diameter_before_mm": d0,
            "diameter_after_mm": d0 + 0.5 * rng.normal(size=n) / 1.96, "integrated_before_hu_mm3": v0 * 300,
            "integrated_after_hu_mm3": v0 * 300 * (1 + 0.1 * rng.normal(size=n) / 1.96),
        }
    )  # fmt: skip


def test_estimated_limits_are_those_that_repeats_were_drawn_with():
    made = estimate_limits(repeats(0, 20_000, 1.2, 0.08), "drawn")
    assert made.volume_sqrt == pytest.approx(1.2, rel=0.05)
    assert made.volume_relative == pytest.approx(0.08, rel=0.05)
    assert made.diameter_mm == pytest.approx(0.5, rel=0.05)
    assert made.integrated_relative == pytest.approx(0.1, rel=0.05)
    assert made.n == 20_000


def test_few_large_findings_scale_the_rule_of_the_literature():
    table = repeats(1, 400, 1.0, 0.05)
    small = table[table["volume_before_mm3"] < 150]
    made = estimate_limits(small, "small ones")
    assert made.volume_relative / 0.25 == pytest.approx(made.volume_sqrt / 3.445, rel=1e-9)


def test_too_few_repeats_are_no_limits():
    with pytest.raises(UsageError, match="19 repeated findings"):
        estimate_limits(repeats(0, 19, 1, 0.1), "few")


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_limits_are_finite_and_not_negative(value):
    with pytest.raises(UsageError, match="volume_sqrt"):
        Limits(volume_sqrt=value)
