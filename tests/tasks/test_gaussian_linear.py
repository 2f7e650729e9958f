"""The linear Gaussian posterior against Bayes' rule and against its own simulator."""

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from gibbous.errors import ConfigError, ObservationError, ShapeError
from gibbous.tasks.gaussian_linear import gaussian_linear


@pytest.fixture(scope="module")
def task():
    return gaussian_linear()


def test_log_prob_is_bayes_rule():
    # log p(theta | x) = log p(theta) + log p(x | theta) - log p(x), with x ~ N(0, var 0.2).
    rng = np.random.default_rng(0)
    theta, x = rng.normal(size=(7, 4)), rng.normal(size=4)
    task = gaussian_linear(4)

    def bayes(variance):
        return (
            multivariate_normal(np.zeros(4), variance).logpdf(theta)
            + norm.logpdf(x, theta, variance**0.5).sum(axis=1)
            - multivariate_normal(np.zeros(4), 2 * variance).logpdf(x)
        )

    got = task.exact(x).log_prob({"theta": theta})
    np.testing.assert_allclose(got, bayes(0.1), rtol=1e-12)
    assert not np.allclose(got, bayes(0.01), rtol=1e-2)  # 0.1 read as a standard deviation
    # The prior that users sample from is the one in the formula; float32.
    prior = np.asarray(task.prior.log_prob({"theta": theta}))
    want = multivariate_normal(np.zeros(4), 0.1).logpdf(theta)
    np.testing.assert_allclose(prior, want, rtol=1e-5)


def test_simulated_pairs_are_calibrated(task):
    n, dim = 2000, 10
    theta = task.prior.sample(0, n)
    keys = jax.random.split(jax.random.key(1), n)
    x = np.asarray(jax.jit(jax.vmap(task.simulator.function))(keys, theta))
    white = (np.asarray(theta["theta"]) - x / 2) / 0.05**0.5
    # 20,000 standard normals: the variance has standard error sqrt(2 / 20,000) = 0.01.
    assert abs(white.mean()) < 4 / np.sqrt(n * dim)
    assert abs(white.var() - 1.0) < 0.04
    assert abs(white.var() * 0.05 / 0.06 - 1.0) > 0.04  # a posterior variance of 0.06 is caught


def test_draws(task):
    x = np.linspace(-1, 1, 10)
    posterior = task.exact(x)
    draws = posterior.sample(5000, seed=0)["theta"]
    assert draws.shape == (5000, 10)
    # 4 sqrt(0.05 / 5000) = 0.013, and the largest of ten.
    np.testing.assert_allclose(draws.mean(axis=0), x / 2, atol=0.013)
    assert posterior.log_prob({"theta": draws[0]}).shape == ()
    np.testing.assert_array_equal(draws, posterior.sample(5000, seed=0)["theta"])


def test_errors(task):
    with pytest.raises(ConfigError, match="dim"):
        gaussian_linear(0)
    with pytest.raises(ObservationError, match=r"\(10,\)"):
        task.exact(np.zeros(9))
    with pytest.raises(ShapeError, match="theta"):
        task.exact(np.zeros(10)).log_prob({"theta": np.zeros(3)})
