"""NPE: how near its posterior is to the exact one."""

import numpy as np
import numpyro.distributions as dist
from scipy.stats import norm

import gibbous as gb

PRIOR = gb.Prior(a=dist.Normal(0.0, 1.0), b=dist.Normal(0.0, 1.0))
SIGMA = 0.3  # of x = |theta| + noise, besides which x has thirty numbers of noise alone
GRID = np.linspace(-5, 5, 2_001)


def _pairs(n, seed):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, 2)).astype(np.float32)
    x = np.abs(theta) + SIGMA * rng.normal(size=(n, 2))
    x = np.concatenate([x, rng.normal(size=(n, 30))], axis=1).astype(np.float32)
    return theta, gb.Simulations({"a": theta[:, 0], "b": theta[:, 1]}, x)


def _exact(theta, x):
    joint = norm.pdf(GRID) * norm.pdf(x[:, :2, None], np.abs(GRID), SIGMA)
    evidence = joint.sum(axis=-1) * (GRID[1] - GRID[0])
    log_joint = norm.logpdf(theta) + norm.logpdf(x[:, :2], np.abs(theta), SIGMA)
    return (log_joint - np.log(evidence)).sum(axis=1)


def test_numbers_that_are_noise_do_not_carry_a_flow_away():
    config = gb.FitConfig(progress=False)
    posterior = gb.fit(gb.NPE(), PRIOR, _pairs(1_000, 0)[1], config=config, seed=0)
    theta, fresh = _pairs(2_000, 1)
    short = _exact(theta, fresh.x) - np.asarray(posterior.log_prob(fresh.theta, fresh.x))
    # .21 +- .014 (Monte-Carlo). A flow whose every layer reads all of x was .36 short.
    assert 0 < short.mean() < 0.28
