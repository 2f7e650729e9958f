"""Coverage of intervals: nominal for the exact posterior, wrong for a wrong one."""

import numpy as np
import pytest
from scipy import stats

from gibbous.diagnostics import coverage, pit, ranks

M = 4_000


def _gaussian(width=1.0, n=2_000):
    """Coverage of N(x / 2, width^2 / 2), for theta ~ N(0, 1) and x ~ N(theta, 1)."""
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(M, 1))
    centre = (truth + rng.normal(size=(M, 1))) / 2
    sd = np.full((M, 1), width * np.sqrt(0.5))
    # The exact PIT, so that the number of draws adds no error of its own.
    return coverage(stats.norm.cdf((truth - centre) / sd), centre, sd, truth)


@pytest.fixture(scope="module")
def exact():
    return _gaussian()


@pytest.mark.parametrize("k", [1.0, 2.0, 3.0])
def test_an_exact_posterior_covers_what_it_says(exact, k):
    nominal, central, normal, error = exact.at(k)
    assert nominal == pytest.approx({1: 0.682689, 2: 0.954500, 3: 0.997300}[int(k)], abs=1e-6)
    # binomial: sqrt(p (1 - p) / 4000) = 0.0074, 0.0033, 0.0008
    assert error == pytest.approx(np.sqrt(nominal * (1 - nominal) / M))
    assert abs(central[0] - nominal) < 3 * error
    assert abs(exact.z_scores(k)[0]) < 3
    np.testing.assert_allclose(normal, central)  # where the posterior is normal they are the same


@pytest.mark.parametrize("k", [1.0, 2.0, 3.0])
def test_half_the_width_is_found_out(k):
    wrong = _gaussian(0.5)
    # the true coverage of k half-widths is p_{k/2}
    _, central, normal, _ = wrong.at(k)
    want = stats.norm.cdf(k / 2) - stats.norm.cdf(-k / 2)
    np.testing.assert_allclose([central[0], normal[0]], want, atol=4 * np.sqrt(0.25 / M))
    assert wrong.z_scores(k)[0] < -20


def test_twice_the_width_is_found_out():
    assert _gaussian(2.0).z_scores(1.0)[0] > 20


def test_ranks_of_draws_do_as_well():
    # An exponential posterior: central intervals are right, the mean +- k sd are not.
    rng = np.random.default_rng(5)
    m, n = 1_000, 400
    truth = rng.exponential(size=(m, 1))
    draws = rng.exponential(size=(m, n, 1))
    result = coverage(pit(ranks(draws, truth), n), draws.mean(1), draws.std(1), truth)
    nominal, central, normal, error = result.at(1.0)
    assert abs(central[0] - nominal) < 3 * error
    # P(0 < theta < 2) = 1 - exp(-2) = 0.865; the mean and sd of 400 draws move it by less than 0.02
    assert normal[0] == pytest.approx(0.865, abs=0.02 + 3 * error)


def test_the_grid_and_its_columns():
    u = np.stack([np.full(10, 0.5), np.full(10, 0.999)], 1)
    zero, one = np.zeros((10, 2)), np.ones((10, 2))
    result = coverage(u, zero, one, zero)
    np.testing.assert_allclose(result.k, np.arange(1, 41) / 10)
    assert result.central.shape == result.normal.shape == (40, 2)
    assert result.central[:, 0].min() == 1  # a PIT in the middle is in every interval
    # |0.999 - 0.5| <= p_k / 2 from p = 0.998, that is k = 3.0902 on
    np.testing.assert_array_equal(result.central[:, 1], result.k > 3.09)
    assert result.m == 10
    chosen = coverage(u, zero, one, zero, k=np.array([1.0, 2.0]))
    assert chosen.central.shape == (2, 2)
    assert chosen.at(1.7)[0] == chosen.nominal[1]
