"""Sets of different sizes in one array, and batches cut into rows of like sizes."""

import numpy as np
import pytest

from gibbous.errors import ShapeError
from gibbous.sets import Groups, pad

RNG = np.random.default_rng(0)


def test_padding_keeps_every_point():
    sets = [RNG.normal(size=(n, 3)).astype(np.float32) for n in (4, 0, 7)]
    x, sizes = pad(sets)
    assert (x.shape, sizes.tolist()) == ((3, 7, 3), [4, 0, 7])
    for row, points, n in zip(x, sets, sizes, strict=True):
        np.testing.assert_array_equal(row[:n], points)
        assert np.isnan(row[n:]).all()


def test_datasets_of_one_shape_are_stacked():
    x, sizes = pad([np.ones((2, 3, 4)), np.zeros((2, 3, 4))])
    assert (x.shape, sizes) == ((2, 2, 3, 4), None)


@pytest.mark.parametrize(
    "sets",
    [[np.ones((3, 2)), np.ones((3, 1))], [np.ones(3), np.ones(2)], [np.ones((3, 2)), np.ones(1)]],
)
def test_what_differs_in_more_than_the_number_of_points_is_refused(sets):
    with pytest.raises(ShapeError, match="differ in n only"):
        pad(sets)


def _points(groups):
    ends = np.array([0, *(end for end, _ in groups.ends)])
    return np.diff(ends) @ [n for _, n in groups.ends]


def test_no_row_is_longer_than_its_group():
    for _ in range(20):
        largest = np.sort(RNG.integers(1, 1_000, 64))
        groups = Groups.of(largest)
        start = 0
        for end, n in groups.ends:
            assert largest[start:end].max() == n
            start = end
        assert start == 64
        assert _points(groups) <= 64 * largest.max()


def test_a_group_has_to_save_a_fifth_of_the_points():
    assert Groups.of(np.full(128, 50)).ends == ((128, 50),)
    assert Groups.of(np.arange(120, 248)).ends == ((128, 247),)  # at most a quarter by many groups
    assert Groups.of(np.array([10] * 64 + [100] * 64)).ends == ((64, 10), (128, 100))
    # Log uniform from 1 to 1,000: one group of 1,000 would look at three times as many points.
    sizes = np.exp(np.linspace(0, np.log(1_000), 128)).astype(int)
    groups = Groups.of(sizes)
    assert len(groups.ends) <= 3
    assert _points(groups) < 0.45 * 128 * 1_000
    assert Groups.of(np.array([7])).ends == ((1, 7),)
