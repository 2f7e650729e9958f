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
    # Four members of three layers, networks 2 -> 64 -> 64 -> 2 (2 + 23) of c [2 * 2 + 8] and a 1
    # besides, behind a linear map 2 -> 4 and a perceptron 2 -> 64 -> ... -> 64 -> 12.
    of_layer = 64 * (2 + 13) + 64 * (64 + 13) + 50 * (64 + 1)
    of_locate = 4 * (2 + 1) + 64 * (2 + 1) + 5 * 64 * (64 + 1) + 12 * (64 + 1)
    assert found.weights == 4 * (3 * of_layer + of_locate)
    assert found.rows == 64
    assert found.ratio == found.low == found.high == pytest.approx(found.step / found.least)
    assert found.ratio > 1  # or the count is wrong
