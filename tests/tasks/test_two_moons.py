"""The two-moons posterior against its density, its simulator and sbibm's reference draws."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest, norm

from gibbous.errors import ObservationError
from gibbous.tasks.two_moons import TwoMoonsPosterior, two_moons

REFERENCE = Path(__file__).parents[3] / "shared/data/sbibm/two_moons.npz"
OBSERVATIONS = np.array([(0.0, 0.0), (-0.6, 0.2), (0.3, 0.1), (-0.5, 0.6), (-1.05, 0.1)])


def statistics(theta, x):
    """Polar coordinates of the crescent point behind each theta, and which of the two moons."""
    u = x[0] + np.abs(theta[:, 0] + theta[:, 1]) / np.sqrt(2) - 0.25
    v = x[1] - (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.hypot(u, v), np.arctan2(v, u), theta.sum(axis=1) > 0


@pytest.fixture(scope="module")
def task():
    return two_moons()


@pytest.mark.parametrize("x", OBSERVATIONS)
def test_log_prob_integrates_to_one(x):
    posterior = TwoMoonsPosterior(x)
    centres = (np.arange(1000) + 0.5) / 500 - 1
    grid = np.stack(np.meshgrid(centres, centres), axis=-1)
    density = np.exp(posterior.log_prob({"theta": grid}))
    # Midpoints 0.002 apart on a radius of width 0.01: 0.3% is left from the crescents' edges.
    np.testing.assert_allclose(density.sum() * 0.002**2, 1.0, atol=5e-3)
    # With every draw counted as kept, an x whose crescents leave the box is told.
    wrong = density.sum() * 0.002**2 * posterior.accepted
    assert posterior.accepted > 0.999 or abs(wrong - 1.0) > 5e-3


@pytest.mark.parametrize("x", OBSERVATIONS)
def test_draws_follow_log_prob(x):
    # The density at the draws, averaged over cells, against the cells' counts.
    posterior = TwoMoonsPosterior(x)
    n = 20_000
    theta = posterior.sample(n, seed=0)["theta"]
    assert np.all(np.abs(theta) <= 1)
    assert np.all(np.isfinite(posterior.log_prob({"theta": theta})))
    fine = (np.arange(1000) + 0.5) / 500 - 1
    grid = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1)
    mass = np.exp(posterior.log_prob({"theta": grid})).reshape(20, 50, 20, 50).sum((1, 3)) * 4e-6
    counts, _, _ = np.histogram2d(*theta.T, bins=20, range=[(-1, 1), (-1, 1)])
    busy = mass > 5e-3

    def worst(p):
        return np.abs((counts[busy] - n * p[busy]) / np.sqrt(n * p[busy])).max()

    # Up to 60 cells at 4.5 standard errors; 0.3% grid error on 3000 counts adds 0.2.
    assert worst(mass) < 4.7
    assert worst(mass * 1.2) > 4.7

    # Mean radius: 4 x 0.01 / sqrt(20,000) = 2.8e-4, where a density without 1/R is 1e-3 off.
    flat = grid.reshape(-1, 2)
    radius = statistics(flat, x)[0]
    weight = np.exp(posterior.log_prob({"theta": flat}))
    drawn = statistics(theta, x)[0].mean()
    assert abs(np.average(radius, weights=weight) - drawn) < 2.8e-4
    assert abs(np.average(radius, weights=weight * radius) - drawn) > 2.8e-4


def test_simulator_gives_the_posterior_back(task):
    # Given theta, x determines (a, r): uniform and N(0.1, 0.01) if simulator and inverse agree.
    n = 2000
    theta = task.prior.sample(0, n)
    keys = jax.random.split(jax.random.key(1), n)
    x = np.asarray(jax.jit(jax.vmap(task.simulator.function))(keys, theta), dtype=float)
    theta = np.asarray(theta["theta"], dtype=float)
    radius, angle, _ = statistics(theta, x.T)
    assert kstest(radius, norm(0.1, 0.01).cdf).pvalue > 1e-3
    assert kstest(angle / np.pi + 0.5, "uniform").pvalue > 1e-3
    assert kstest(radius, norm(0.1, 0.0115).cdf).pvalue < 1e-3  # 15% too wide is caught
    for xi, ti in zip(x[:50], theta[:50], strict=True):
        assert np.isfinite(TwoMoonsPosterior(xi).log_prob({"theta": ti}))


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"no sbibm reference draws at {REFERENCE}")
@pytest.mark.parametrize("number", range(5))
def test_matches_sbibm(number):
    with np.load(REFERENCE) as file:
        x = file["observation"][number]
        reference = file["reference_posterior"][number].astype(float)
    ours = TwoMoonsPosterior(x).sample(10_000, seed=number)["theta"]
    radius, angle, right = statistics(reference, x)
    our_radius, our_angle, our_right = statistics(ours, x)
    # Ten Kolmogorov-Smirnov tests at 1e-3 each.
    assert ks_2samp(radius, our_radius).pvalue > 1e-3
    assert ks_2samp(angle, our_angle).pvalue > 1e-3
    # Two shares of 10,000: 4 sqrt(2 x 0.25 / 10,000) = 0.028.
    assert abs(right.mean() - our_right.mean()) < 0.028
    # A radius 1% off (what a missing Jacobian would do) is caught.
    assert ks_2samp(radius * 1.01, our_radius).pvalue < 1e-3


def test_errors():
    with pytest.raises(ObservationError, match="that some theta"):
        TwoMoonsPosterior(np.array([2.0, 0.0]))
    with pytest.raises(ObservationError, match=r"\(2,\)"):
        TwoMoonsPosterior(np.zeros(3))
