"""Which moon: the exact posterior by two roads that share only the likelihood of a point."""

import sys

import numpy as np
import pytest

import gibbous as gb
from gibbous.tasks.one_moon import OneMoonPosterior, one_moon


@pytest.fixture(scope="module")
def noisy():
    """Six points from between the moons."""
    return np.array([[0.5, 0.4], [0.9, 0.1], [0.1, 0.45], [0.2, 0.6], [0.8, -0.1], [0.4, 0.15]])


@pytest.mark.slow
def test_adaptive_and_prior_draws_agree(noisy, monkeypatch):
    module = sys.modules[OneMoonPosterior.__module__]  # the function has its name in the package
    adaptive = OneMoonPosterior(noisy, draws=4_000)
    monkeypatch.setattr(module, "FEW", 7)
    monkeypatch.setattr(module, "PRIOR_DRAWS", 1_000_000)
    prior = OneMoonPosterior(noisy)
    # log Z has error sqrt(1 / ESS) on either road; four of them.
    error = 4 * np.sqrt(1 / adaptive.ess + 1 / prior.ess)
    assert (np.abs(adaptive.log_evidence - prior.log_evidence) < error).all()
    assert 0.001 < adaptive.probability < 0.999  # else the test would say little


def test_draws_and_density_tell_the_same_probability(noisy):
    exact = OneMoonPosterior(noisy)
    draws = exact.sample(4_000, seed=0)
    p = exact.probability
    assert abs(draws["upper"].mean() - p) < 4 * np.sqrt(p * (1 - p) / 4_000)
    grid = np.meshgrid(np.linspace(-3, 1.5, 200), np.exp(np.linspace(-4, 2.5, 400)))
    noise, t = (g.ravel() for g in grid)
    cell = (4.5 / 199) * (6.5 / 399) * t  # d log10 s, d log t = d t / t
    mass = [
        np.sum(np.exp(exact.log_prob({"upper": k, "log10_noise": noise, "dilation": t})) * cell)
        for k in (0, 1)
    ]
    # ESS of 1,000 and more: the evidence is known to 3%, the grid to less.
    np.testing.assert_allclose(mass, [1 - p, p], rtol=0.12)


def test_a_certain_moon():
    theta = {"upper": np.array([0]), "log10_noise": np.array([-3.0]), "dilation": np.array([1.0])}
    x = gb.simulation.run.simulate_at(theta, one_moon(40).simulator, seed=1, progress=False).x[0]
    assert OneMoonPosterior(x).probability < 1e-6
