"""Importance refinement on a normal: repaired where it can be, and said where it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import gibbous as gb
from gibbous.errors import ConfigError, ObservationError, SamplingWarning, ShapeError
from gibbous.posteriors.refined import resample, smoothed
from tests.posteriors.test_region import DIM, X, _posterior

M = 20_000
# Prior N(0, I), likelihood N(y; theta, 1/4 I) for y = 0.8: the posterior is N(0.64, 0.2 I).
Y, MEAN, SD = 0.8, 0.64, np.sqrt(0.2)
LOG_EVIDENCE = DIM * stats.norm(0, np.sqrt(1.25)).logpdf(Y)


def likelihood(theta):
    return stats.norm(theta["theta"], 0.5).logpdf(Y).sum(axis=1)


def test_a_wide_and_misplaced_posterior_is_repaired():
    rough = _posterior(0.5, 0.7)
    out = rough.refine(X, likelihood, n=4_000, proposals=M, seed=0)
    assert out.khat < 0.7
    assert 1_000 < out.ess < M
    draws = out.draws["theta"]
    # ESS is some 7,000 of the weighed draws, of which 4,000 are taken: error 1.6 / sqrt(4,000) sd
    tolerance = 3 * 1.6 / np.sqrt(4_000)
    assert np.abs(draws.mean(axis=0) - MEAN).max() / SD < tolerance
    assert np.abs(draws.std(axis=0) / SD - 1).max() < tolerance
    assert abs(out.log_evidence - LOG_EVIDENCE) < 3 * np.sqrt((M / out.ess - 1) / M)
    # what was not refined fails the same check
    before = rough.sample(X, 4_000, seed=0)["theta"]
    assert np.abs(before.std(axis=0) / SD - 1).max() > tolerance


def test_a_narrow_posterior_is_said_to_be_beyond_repair():
    with pytest.warns(SamplingWarning, match=r"k-hat is .*above 0\.7"):
        out = _posterior(0.4, 0.15).refine(X, likelihood, proposals=M, seed=0)
    assert out.khat > 0.7
    assert out.ess < 0.1 * M


def test_weights_are_those_of_the_tail_fit():
    # Weights u^-k of uniform u have a Pareto tail of shape k.
    u = np.random.default_rng(0).uniform(size=M)
    for k in (0.2, 0.5, 0.9):
        weight, khat = smoothed(-k * np.log(u))
        # the tail is of 3 sqrt(M) = 424 weights: error (1 + k) / sqrt(424) < 0.1
        assert abs(khat - k) < 0.25
        assert weight.sum() == pytest.approx(1.0)


def test_resampling_keeps_the_weights():
    weight = np.array([0.5, 0.0, 0.2, 0.3])
    rows = resample(jax.random.key(0), weight, 1_000)
    counts = np.bincount(rows, minlength=4)
    assert np.abs(counts - 1_000 * weight).max() <= 1
    assert len(np.unique(np.diff(rows))) > 2  # in random order


@pytest.mark.slow
def test_a_learnt_likelihood_serves():
    prior = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))

    @gb.simulator
    def simulator(key, theta):
        return theta["theta"] + 0.5 * jax.random.normal(key, (2,))

    sims = gb.simulate(prior, simulator, 3_000, seed=0, progress=False)
    config = gb.FitConfig(steps=1_000, progress=False)
    small = gb.AutoregressiveSpline(layers=2, width=32)
    rough = gb.fit(
        gb.NPE(estimator=small, members=1),
        prior,
        sims.rows(np.arange(1_000)),
        config=config,
        seed=0,
    )
    nle = gb.fit(
        gb.NLE(gb.MDN(components=2, width=32), members=1), prior, sims, config=config, seed=0
    )
    x = np.float32([0.8, -0.4])
    out = rough.refine(x, nle, n=2_000, seed=0)
    error = np.abs(out.draws["theta"].mean(axis=0) - 0.8 * x).max() / SD
    assert error < 0.15  # that of the likelihood, learnt from 2,700 pairs
    assert out.draws["theta"].std(axis=0) == pytest.approx(SD, rel=0.15)


def test_bad_input():
    posterior = _posterior(0.5, 0.7)
    with pytest.raises(ConfigError, match="100 draws"):
        posterior.refine(X, likelihood, n=10, proposals=50, seed=0)
    with pytest.raises(ConfigError, match="density"):
        _posterior(0.5, 0.7, with_density=False).refine(X, likelihood, seed=0)
    with pytest.raises(ShapeError, match="400 log likelihoods"):
        posterior.refine(X, lambda theta: np.zeros(3), n=100, seed=0)
    with pytest.raises(ObservationError, match="not finite"):
        posterior.refine(X, lambda theta: np.full(400, -np.inf), n=100, seed=0)
