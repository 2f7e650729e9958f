"""Ranks, PIT and the ECDF band: right posteriors pass, wrong ones do not."""

import numpy as np
import pytest
from scipy import stats

from gibbous.diagnostics import ecdf_band, pit, ranks
from gibbous.errors import ShapeError

M, DRAWS = 2_000, 100


def _conjugate(width=1.0, shift=0.0, m=M):
    """theta ~ N(0, 1), x ~ N(theta, 1): p(theta | x) = N(x / 2, 1 / 2); two columns."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(m, 2))
    x = truth + rng.normal(size=(m, 2))
    sd = width * np.sqrt(0.5)
    draws = (x / 2 + shift)[:, None, :] + sd * rng.normal(size=(m, DRAWS, 2))
    return draws, truth


@pytest.fixture(scope="module")
def exact():
    return _conjugate()


def test_ranks_are_counts():
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 5, (6, 20, 3)).astype(float)  # ties among them
    truth = rng.integers(0, 5, (6, 3)).astype(float)
    want = np.zeros((6, 3), int)
    for i in range(6):
        for d in range(3):
            for j in range(20):
                want[i, d] += draws[i, j, d] < truth[i, d]
    got = ranks(draws, truth)
    np.testing.assert_array_equal(got, want)
    assert not np.array_equal(got, 20 - want)  # the other way round is another number


def test_extreme_ranks():
    draws = np.zeros((2, 7, 1))
    assert ranks(draws, np.array([[-1.0], [1.0]])).tolist() == [[0], [7]]


def test_pit_is_uniform_for_an_exact_posterior(exact):
    u = pit(ranks(*exact), DRAWS)
    assert u.shape == (M, 2)
    assert ((u > 0) & (u < 1)).all()
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(u, pit(ranks(*exact), DRAWS))
    assert not np.array_equal(u, pit(ranks(*exact), DRAWS, seed=1))


def test_pit_spreads_ties_and_keeps_the_order():
    u = pit(np.repeat(np.arange(4), 1_000)[:, None], 3)
    assert np.array_equal(np.floor(u[:, 0] * 4), np.repeat(np.arange(4), 1_000))
    assert stats.kstest(u[:, 0], "uniform").pvalue > 1e-3


def test_the_exact_posterior_is_inside_its_band(exact):
    band = ecdf_band(pit(ranks(*exact), DRAWS))
    assert band.inside.tolist() == [True, True]
    assert band.level == 0.99
    assert band.difference.shape == (99, 2)
    assert (band.low <= 0).all()
    assert (band.high >= 0).all()


@pytest.mark.parametrize(
    ("width", "shift"), [(0.7, 0.0), (1.4, 0.0), (1.0, 0.2), (1.0, -0.2)],
    ids=["over-confident", "under-confident", "biased up", "biased down"],
)  # fmt: skip
def test_wrong_posteriors_leave_the_band(width, shift):
    band = ecdf_band(pit(ranks(*_conjugate(width, shift)), DRAWS))
    assert not band.inside.any()
    # and in the direction that is drawn: draws above the truth push the PIT down, the ECDF up
    middle = band.difference[49].mean()
    if shift:
        assert np.sign(middle) == np.sign(shift)
    early = band.difference[9].mean()  # an over-confident posterior has too many extreme ranks
    if width != 1:
        assert (early > 0) == (width < 1)


def test_one_bad_column_does_not_hide_behind_a_good_one(exact):
    u = pit(ranks(*exact), DRAWS)
    band = ecdf_band(np.stack([u[:, 0], u[:, 1] ** 1.3], 1))
    assert band.inside.tolist() == [True, False]


@pytest.mark.parametrize("level", [0.99, 0.9])
def test_the_band_holds_its_simultaneous_level(level):
    n = 1_000
    u = np.random.default_rng(3).uniform(size=(200, n))
    inside = ecdf_band(u, level=level).inside.mean()
    # Binomial over n samples, and the 4,000 that set the band:
    # sqrt(.99 * .01 * (1/1000 + 1/4000)) = 0.0035, at 0.9: 0.0106. A count is a lattice, so a band
    # may hold a little more than it says, by less than one more such error.
    error = np.sqrt(level * (1 - level) * (1 / n + 1 / 4_000))
    assert -4 * error < inside - level < 5 * error
    # A pointwise band would hold far fewer.
    z = np.arange(1, 100) / 100
    counts = (u[:, :, None] <= z).sum(0)
    low, high = stats.binom.interval(level, 200, z)
    pointwise = ((counts >= low) & (counts <= high)).all(1).mean()
    assert pointwise < level - 5 * error


def test_the_band_narrows_with_more_datasets():
    widths = [
        (band.high - band.low)[49]
        for band in (ecdf_band(np.full((m, 1), 0.5)) for m in (100, 1_600))
    ]
    # 1 / sqrt(m): a factor of 4, up to one lattice step of 1/100 in 0.3
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.1)


def test_shapes_that_do_not_fit(unchecked):
    with pytest.raises(ShapeError, match=r"expected draws \[m, n, d\] and truth \[m, d\], got"):
        ranks(np.zeros((5, 7)), np.zeros((5, 7)))
    with pytest.raises(ShapeError, match=r"\(5, 9, 2\) and \(5, 3\)"):
        ranks(np.zeros((5, 9, 2)), np.zeros((5, 3)))
    with pytest.raises(ShapeError):
        ranks(np.zeros((5, 9, 2)), np.zeros((9, 2)))
