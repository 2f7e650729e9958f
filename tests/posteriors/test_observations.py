"""Observations: what fits, what is padded, what is refused."""

import warnings

import numpy as np
import pytest

from gibbous.errors import ObservationError, ObservationWarning, ShapeError
from gibbous.posteriors.observations import parse
from gibbous.scaling import Standardizer
from gibbous.sets import bucket

SCALER = Standardizer.fit(np.random.default_rng(0).normal(size=(1_000, 2)))
SETS = (None, 2)


def test_a_bucket_wastes_at_most_a_quarter():
    sizes = np.array([bucket(n) for n in range(1, 5_000)])
    n = np.arange(1, 5_000)
    assert (sizes >= n).all()
    assert (sizes <= 1.25 * n).all()
    assert (np.diff(sizes) >= 0).all()
    assert [bucket(n) for n in (1, 2, 3, 4, 7, 8, 9, 300, 1_000)] == [
        1, 2, 3, 4, 7, 8, 10, 320, 1_024,
    ]  # fmt: skip


def test_there_are_four_sizes_in_an_octave():
    for octave in range(2, 14):
        found = {bucket(n) for n in range(2**octave + 1, 2 ** (octave + 1) + 1)}
        assert len(found) == 4
    assert all(bucket(bucket(n)) == bucket(n) for n in range(1, 2_000))


def test_vectors():
    one = parse([0.1, 0.2], (2,), SCALER)
    assert one.x.shape == (1, 2)
    assert one.mask is None
    assert not one.batched
    many = parse(np.zeros((5, 2)), (2,), SCALER)
    assert many.batched
    assert many.x.shape == (5, 2)


def test_sets_are_padded_and_masked():
    x = np.random.default_rng(0).normal(size=(3, 9, 2))
    batch = parse(x, SETS, SCALER)
    assert batch.x.shape == (3, 10, 2)
    assert batch.counts.tolist() == [9] * 3
    np.testing.assert_array_equal(batch.x[:, :9], x.astype(np.float32))
    np.testing.assert_array_equal(batch.mask, np.repeat([[1.0] * 9 + [0.0]], 3, axis=0))
    one = parse(x[0], SETS, SCALER)
    assert not one.batched
    assert one.x.shape == (1, 10, 2)
    np.testing.assert_array_equal(one.mask, batch.mask[:1])


def test_a_set_of_fixed_length_is_not_padded():
    found = parse(np.zeros((9, 2)), (9, 2), SCALER)
    assert found.x.shape == (1, 9, 2)
    assert found.mask is None


@pytest.mark.parametrize(
    ("x", "shape", "match"),
    [
        (np.zeros(3), (2,), r"shape \[2\] or a batch \[m, 2\], got shape \(3,\)"),
        (0.5, (2,), r"got shape \(\)"),
        (np.zeros((2, 3)), SETS, r"shape \[n, 2\] or a batch \[m, n, 2\], got shape \(2, 3\)"),
        (np.zeros(2), SETS, r"got shape \(2,\)"),
        (np.zeros((8, 2)), (9, 2), r"shape \[9, 2\].*got shape \(8, 2\)"),
        (np.zeros((1, 1, 1, 2)), SETS, "got shape"),
    ],
)
def test_other_shapes_are_refused(x, shape, match):
    with pytest.raises(ShapeError, match=match):
        parse(x, shape, SCALER)


@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.zeros((3, 0, 2)), np.zeros((0, 5, 2))])
def test_an_empty_set_is_refused(x):
    with pytest.raises(ObservationError, match="is empty"):
        parse(x, SETS, SCALER)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(ObservationError, match="2 NaN or infinite of 4 values"):
        parse([0.0, bad, bad, 1.0], (4,), Standardizer.fit(np.eye(4)))
    x = np.zeros((4, 2))
    x[1, 0] = x[2, 1] = np.copysign(np.inf, bad)
    with pytest.raises(ObservationError, match="2 NaN or infinite of 8 values"):
        parse(x, SETS, SCALER)


def test_points_that_lack_an_entry_are_left_out():
    x = np.arange(10.0).reshape(5, 2) / 10
    x[1, 0] = x[3] = np.nan
    found = parse(x, SETS, SCALER)
    np.testing.assert_array_equal(found.x[0, :3], x[[0, 2, 4]].astype(np.float32))
    assert (found.counts.tolist(), found.x.shape) == ([3], (1, 3, 2))
    # where entries may be missing, the network is told which
    found = parse(x, SETS, SCALER, entries=True)
    np.testing.assert_array_equal(found.x[0], x[[0, 1, 2, 4]].astype(np.float32))
    found = parse([np.nan, 1.0], (2,), SCALER, entries=True)
    assert np.isnan(found.x[0, 0])
    for nothing in (np.full((3, 2), np.nan), [x, np.full((2, 2), np.nan)], [x, x[:0]]):
        with pytest.raises(ObservationError, match="all of it is missing"):
            parse(nothing, SETS, SCALER)
    with pytest.raises(ObservationError, match="all of it is missing"):
        parse([np.nan, np.nan], (2,), SCALER, entries=True)


def test_sets_of_different_sizes():
    rng = np.random.default_rng(1)
    sets = [rng.normal(size=(n, 2)).astype(np.float32) for n in (9, 3, 17)]
    found = parse(sets, SETS, SCALER, (3, 17))
    assert (found.batched, found.counts.tolist(), found.x.shape) == (True, [9, 3, 17], (3, 20, 2))
    for points, x, mask in zip(sets, found.x, found.mask, strict=True):
        np.testing.assert_array_equal(x[: len(points)], points)
        np.testing.assert_array_equal(mask, np.arange(20) < len(points))
    x, mask = found.rows(np.array([1]), cut=True)  # less than four times as long as it need be
    assert (x.shape, mask.shape) == ((1, 5, 2), (1, 5))
    np.testing.assert_array_equal(x[0, :3], sets[1])
    assert found.rows(np.array([1, 0]), cut=True)[0].shape == (2, 20, 2)
    assert found.rows(np.array([1]), cut=False)[0].shape == (1, 20, 2)
    padded = np.full((3, 30, 2), np.nan)
    for row, points in zip(padded, sets, strict=True):
        row[5 : 5 + len(points)] = points
    np.testing.assert_array_equal(parse(padded, SETS, SCALER, (3, 17)).x, found.x)


def test_sets_of_no_points_where_such_were_trained_on():
    found = parse([np.zeros((0, 2)), np.ones((5, 2))], SETS, SCALER, (0, 9))
    assert (found.counts.tolist(), found.mask.sum(axis=1).tolist()) == ([0, 5], [0, 5])
    assert parse(np.zeros((0, 2)), SETS, SCALER, (0, 9)).x.shape == (1, 1, 2)
    assert np.isfinite(found.x).all()


def test_sizes_that_were_not_trained_on():
    x = np.zeros((200, 2))
    with pytest.warns(ObservationWarning, match=r"the set has 3 points.*100 to 190"):
        parse(x[:3], SETS, SCALER, (100, 190))
    with pytest.warns(ObservationWarning, match="has 191 points"):
        parse(x[:191], SETS, SCALER, (100, 190))
    with pytest.warns(ObservationWarning, match=r"1 of 2 sets have another size, one of them 9 po"):
        parse([x[:9], x[:120]], SETS, SCALER, (100, 190))
    parse(x, SETS, SCALER)  # points one by one: any number
    with pytest.raises(ObservationError, match=r"a set has 200 points.*50 to 150 points"):
        parse([x[:60], x], SETS, SCALER, (50, 150))


def test_one_point_far_outside_gets_a_warning():
    x = np.zeros((4, 2))
    x[3, 1] = 40.0
    with pytest.warns(ObservationWarning, match="outside of it"):
        parse(x, SETS, SCALER)
    x[3, 1] = 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(x, SETS, SCALER)
