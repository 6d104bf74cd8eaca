"""Assignment and overlap against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from imaging.followup.matching import Pairs, _part_of, _Side, assign, neighbours_shift
from imaging.followup.overlap import Points, overlaps


def cheapest(cost, unmatched):
    """Least total cost over every way to pair rows with columns, by trying all."""
    rows, columns = cost.shape
    best = unmatched * (rows + columns)
    for size in range(1, min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), size):
            for partners in itertools.permutations(range(columns), size):
                total = sum(cost[i, j] for i, j in zip(chosen, partners, strict=True))
                best = min(best, total + unmatched * (rows + columns - 2 * size))
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000))
def test_the_assignment_costs_least(rows, columns, seed):
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random((rows, columns)) < 0.7, rng.uniform(0, 4, (rows, columns)), np.inf)
    i, j = np.nonzero(np.isfinite(cost))
    zero = np.zeros(len(i))
    pairs = Pairs(i, j, zero, zero, cost[i, j])
    chosen = assign(pairs, 1.2)
    assert len(set(i[chosen])) == len(set(j[chosen])) == chosen.sum()
    total = cost[i, j][chosen].sum() + 1.2 * (rows + columns - 2 * chosen.sum())
    assert total == pytest.approx(cheapest(cost, 1.2))


def ball(centre, radius):
    axes = [np.arange(np.floor(c - radius), np.ceil(c + radius) + 1) for c in centre]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[((points - centre) ** 2).sum(axis=1) <= radius**2]


def test_overlap_is_that_of_sets():
    one, two = ball((0, 0, 0), 5), ball((4, 0, 0), 5)
    far = ball((60, 0, 0), 3)
    points = Points(np.concatenate([two, far]), np.repeat([0, 1], [len(two), len(far)]), 2)
    found = overlaps(Points(one, np.zeros(len(one), int), 1), points, 1.0)
    steps = np.array([(0, 0, 0), *np.eye(3, dtype=int), *-np.eye(3, dtype=int)])

    def grown(cells):
        return {tuple(p) for p in (cells[:, None] + steps).reshape(-1, 3)}

    a, b = {tuple(p) for p in one}, {tuple(p) for p in two}
    wide = grown(one), grown(two)
    assert found.dilated.toarray()[0] == pytest.approx([len(wide[0] & wide[1]) / len(wide[0] | wide[1]), 0])
    assert found.core.toarray()[0, 0] == pytest.approx(len(a & b) / min(len(a), len(b)))
    assert found.before_inside.toarray()[0, 0] == pytest.approx(len(a & wide[1]) / len(a))
    assert found.after_inside.toarray()[0, 0] == pytest.approx(len(b & wide[0]) / len(b))


def test_large_masks_take_a_coarser_lattice_and_keep_their_overlap():
    one, two = ball((0, 0, 0), 30), ball((15, 0, 0), 30)
    found = overlaps(Points(one, np.zeros(len(one), int), 1), Points(two, np.zeros(len(two), int), 1), 3.0)
    shared = len({tuple(p) for p in one} & {tuple(p) for p in two}) / len(one)
    assert found.core.toarray()[0, 0] == pytest.approx(shared, abs=0.03)


def test_nothing_overlaps_nothing():
    none = Points(np.zeros((0, 3)), np.zeros(0, int), 0)
    assert overlaps(none, none, 3.0).dilated.shape == (0, 0)


NUMBERS = np.arange(60)


def moved(seed, lean=0.05):
    """60 places, and how far a smooth motion brings them: some millimetres."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-60, 60, (60, 3))
    drift = np.stack([lean * places[:, 1], 2 + 0 * places[:, 0], -lean * places[:, 2]], axis=1)
    return places, drift


def test_neighbours_tell_what_registration_left():
    places, drift = moved(1)
    shift = neighbours_shift(places, places, drift, NUMBERS)
    assert np.abs(shift - drift).max() < 2.0
    assert np.median(np.linalg.norm(shift - drift, axis=1)) < 0.25 * np.median(np.linalg.norm(drift, axis=1))


def test_a_finding_does_not_tell_its_own_place_nor_lead_its_neighbours_astray():
    places, drift = moved(2, lean=0.0)
    left = drift.copy()
    left[7] += (5.0, -5.0, 0.0)  # half of what split
    np.testing.assert_allclose(neighbours_shift(places, places, left, NUMBERS), drift, atol=1e-9)
    alone = np.array([[10.0, 0.0, 0.0]])  # without partner: the same neighbours
    found = neighbours_shift(np.concatenate([alone, places]), places, left, NUMBERS + 1)
    np.testing.assert_allclose(found[0], drift[0], atol=1e-9)


def test_seven_neighbours_are_heard_with_a_partner_of_its_own_and_without():
    line = np.arange(20.0)[:, None] * (5.0, 0, 0)
    left = np.arange(20.0)[:, None] * (1.0, 0, 0)
    own = neighbours_shift(line, line, left, np.arange(20))
    without = neighbours_shift(np.concatenate([[[-5.0, 0, 0]], line]), line, left, np.arange(1, 21))
    assert own[0, 0] == 4.0  # of 1 to 7
    assert without[0, 0] == 3.0  # of 0 to 6


def test_neighbours_are_not_heard_where_they_tell_nothing():
    places, drift = moved(3)
    assert not neighbours_shift(places, places[:4], drift[:4], NUMBERS[:4]).any()
    noise = np.random.default_rng(4).normal(0, 1, places.shape)
    assert not neighbours_shift(places, places, noise, NUMBERS).any()


@pytest.mark.parametrize(
    ("partner", "other", "is_part"),
    [
        ((100.0, 4.0), (100.0, -4.5), True),  # two halves, the whole between them
        ((200.0, 0.2), (100.0, -6.0), False),  # the whole is there: what lies beside it is new
        ((100.0, 0.2), (100.0, -6.0), False),  # it shrank where it was
        ((100.0, 4.0), (15.0, -4.5), False),  # too little to be the other half
    ],
)
def test_a_part_beside_its_whole_makes_up_for_what_is_missing_on_the_other_side(partner, other, is_part):
    whole = _Side(np.array([200.0]), np.zeros((1, 3)))
    parts = _Side(np.array([partner[0], other[0]]), np.array([[partner[1], 0, 0], [other[1], 0, 0]]))
    inside = csr_array(np.array([[0.9, 0.3]]))
    found = _part_of(inside, csr_array((1, 2)), np.array([0]), np.array([0]), whole, parts, 0.5)
    assert found.tolist() == ([[0, 1]] if is_part else [])
