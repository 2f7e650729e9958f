"""The truncated normals against their own simulator, by calibration, and against Bayes' rule."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

from gibbous.errors import ConfigError, ObservationError
from gibbous.tasks import gaussian_linear_uniform

DIM = 10


@pytest.fixture(scope="module")
def task():
    return gaussian_linear_uniform()


def test_log_prob_is_bayes_rule(task):
    # Each coordinate: p(theta | x) = N(x; theta, 0.1) / int_{-1}^{1} N(x; t, 0.1) dt.
    x, theta = np.linspace(-1.7, 1.3, DIM), np.random.default_rng(0).uniform(-1, 1, (7, DIM))
    sd = 0.1**0.5
    evidence = norm.cdf((1 - x) / sd) - norm.cdf((-1 - x) / sd)
    want = (norm.logpdf(x, theta, sd) - np.log(evidence)).sum(axis=1)
    np.testing.assert_allclose(task.exact(x).log_prob({"theta": theta}), want, rtol=1e-9)
    assert task.exact(x).log_prob({"theta": np.full(DIM, 1.01)}) == -np.inf


def test_simulated_pairs_are_calibrated(task):
    # Ranks of the truth among 19 draws are uniform over 0 to 19 for each of the coordinates.
    n, draws = 200, 19
    theta = task.prior.sample(0, n)
    keys = jax.random.split(jax.random.key(1), n)
    x = np.asarray(jax.jit(jax.vmap(task.simulator.function))(keys, theta))
    samples = np.stack([task.exact(row).sample(draws, seed=i)["theta"] for i, row in enumerate(x)])
    assert np.abs(samples).max() <= 1

    def bias(samples):
        ranks = (samples < np.asarray(theta["theta"])[:, None]).sum(axis=1)
        return ranks.mean() - draws / 2, ranks.var() - ((draws + 1) ** 2 - 1) / 12

    # 2,000 ranks with sd 5.77: their mean has an error of 0.13, their variance one of
    # 33.25 sqrt(0.8 / 2,000) = 0.67.
    mean, variance = bias(samples)
    assert abs(mean) < 4 * 0.13
    assert abs(variance) < 4 * 0.67
    wide = np.median(samples, axis=1, keepdims=True)
    assert bias(wide + 1.3 * (samples - wide))[1] < -4 * 0.67  # draws too wide by 30% are seen


def test_draws_repeat_and_bad_input_is_refused(task):
    posterior = task.exact(np.zeros(DIM))
    np.testing.assert_array_equal(
        posterior.sample(5, seed=3)["theta"], posterior.sample(5, seed=3)["theta"]
    )
    with pytest.raises(ConfigError, match="dim"):
        gaussian_linear_uniform(0)
    with pytest.raises(ObservationError, match=r"\(10,\)"):
        task.exact(np.zeros(9))
