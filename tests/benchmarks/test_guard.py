import math

import pytest

from benchmarks import floor, guard


def test_a_figure_above_its_limit_or_none_at_all_fails():
    assert guard.verdict("x", 1.0, 1.0)[0]
    assert not guard.verdict("x", 1.001, 1.0)[0]
    assert not guard.verdict("x", math.nan, 1.0)[0]


@pytest.mark.slow
def test_floor_counts_the_multiply_adds_of_a_step():
    found = floor.measure(floor.Case("two_moons", 1_000), repeats=1, steps=20)
    # Four members of five layers, networks 2 -> 64 -> 64 -> 2 (2 + 23), of x [2] and a 1 besides.
    of_layer = 64 * (2 + 3) + 64 * (64 + 3) + 50 * (64 + 1)
    assert found.weights == pytest.approx(4 * 5 * of_layer, rel=0.2)  # and of what locates
    assert found.weights > 4 * 5 * of_layer
    assert found.rows == 64
    assert found.ratio == found.low == found.high == pytest.approx(found.step / found.least)
    assert found.ratio > 1  # or the count is wrong
