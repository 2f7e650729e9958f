"""Regions in closed form: pi = N(0, I), q = N(m, s^2 I), so that log q / pi is a quadratic form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import gibbous as gb
from gibbous.errors import ConfigError
from gibbous.latent import Latent
from gibbous.posteriors.base import AbstractPosterior
from gibbous.posteriors.region import Region
from gibbous.samplers import Trace
from gibbous.scaling import Standardizer

DIM, N = 3, 4_000
PRIOR = gb.Prior(theta=dist.Normal(jnp.zeros(DIM), 1.0))
X = np.zeros(1, np.float32)


class _Normal(AbstractPosterior):
    """N(mean, sd^2 I) in z, which here is theta; x says nothing."""

    mean: jax.Array
    sd: jax.Array
    with_density: bool = eqx.field(static=True, default=True)

    direct = True
    iid = False

    @property
    def tractable(self):
        return self.with_density

    def sample(self, key, x, mask, n):
        z = self.mean + self.sd * jax.random.normal(key, (n, DIM))
        return Trace(z[None], jnp.zeros(()))

    def log_prob(self, z, x, mask):
        return jnp.sum(dist.Normal(self.mean, self.sd).log_prob(z))

    def width(self, n):
        return n


def _posterior(mean: float, sd: float, with_density: bool = True) -> gb.Posterior:
    one = jnp.ones(DIM)
    identity = Standardizer(0 * one, one, 0 * one, -9 * one, 9 * one)
    latent = Latent(PRIOR, ("theta",), identity, identity)
    x_scaler = Standardizer(*(v[:1] for v in (0 * one, one, 0 * one, -one, one)))
    approximation = _Normal(mean * one, jnp.array(sd), with_density)
    return gb.Posterior(approximation, latent, x_scaler, (1,), None)


def _region(mean, sd, epsilon, with_density=True, m=N):
    posterior = _posterior(mean, sd, with_density)
    return Region.of(posterior, X, posterior.sample(X, m, seed=0), epsilon)


def test_it_holds_what_it_should_of_the_posterior():
    region = _region(0.5, 0.3, 0.05)
    fresh = _posterior(0.5, 0.3).sample(X, N, seed=1).values
    outside = 1 - region.inside(fresh).mean()
    # a quantile of N / 2 draws and a share of N: error sqrt(.05 .95 (2 / N + 1 / N)) = 0.006
    assert abs(outside - 0.05) < 3 * 0.006


def _ball(mean: float, sd: float, region: Region):
    """Centre and radius of {log q / pi > c}, a ball: its precision is 1 / sd^2 - 1."""
    precision = 1 / sd**2 - 1
    centre = mean / sd**2 / precision
    constant = -DIM * np.log(sd) - DIM * mean**2 / sd**2 / 2 + precision * DIM * centre**2 / 2
    return centre, np.sqrt(2 * (constant - region.threshold) / precision)


@pytest.mark.parametrize("sd", [0.3, 0.003])  # the latter's ball has a ten-millionth of the prior
def test_draws_are_those_of_the_prior_inside(sd):
    region = _region(0.5, sd, 1e-3)
    theta = region.sample(jax.random.key(2), N)["theta"].astype(np.float64)
    centre, radius = _ball(0.5, sd, region)
    r = np.linalg.norm(theta - centre, axis=1)
    assert r.max() <= radius * 1.001
    # Rejection from the ball: uniform points, kept by the prior's density.
    rng = np.random.default_rng(0)
    u = rng.normal(size=(400_000, DIM))
    ball = centre + radius * u / np.linalg.norm(u, axis=1, keepdims=True) * (
        rng.uniform(size=(400_000, 1)) ** (1 / DIM)
    )
    log_prior = -0.5 * np.sum(ball**2, axis=1)
    exact = ball[np.log(rng.uniform(size=400_000)) < log_prior - log_prior.max()]
    # Particles share ancestors: a quarter of them are taken to be independent. Kolmogorov's
    # distance to exact draws is then below 1.63 / sqrt(1,000) = 0.052 in 99 of 100 cases.
    exact_r = np.linalg.norm(exact - centre, axis=1)
    assert stats.ks_2samp(r, exact_r).statistic < 0.055
    for i in range(DIM):
        assert stats.ks_2samp(theta[:, i], exact[:, i]).statistic < 0.055
    # Draws of the posterior itself, which lie nearer to the middle, would fail.
    q = _posterior(0.5, sd).sample(X, N, seed=3)["theta"]
    assert stats.ks_2samp(np.linalg.norm(q - centre, axis=1), exact_r).statistic > 0.2


def test_without_a_density_neighbours_tell_where_it_is():
    region = _region(0.5, 0.1, 0.01, with_density=False)
    fresh = _posterior(0.5, 0.1).sample(X, N, seed=1).values
    assert 1 - region.inside(fresh).mean() < 0.02  # 0.01, error sqrt(.01 .99 3 / N) = 0.003
    drawn = region.sample(jax.random.key(2), N)["theta"]
    # All of it lies within the reach of the draws, 4 or 5 sd, and fills more of it than they do.
    r = np.linalg.norm(drawn - 0.5, axis=1) / 0.1
    assert r.max() < 6
    assert np.median(r) > np.sqrt(stats.chi2(DIM).median()) * 1.1


def test_discrete_parameters_are_refused():
    prior = gb.Prior(k=dist.Categorical(probs=jnp.ones(3) / 3), a=dist.Normal(0.0, 1.0))
    latent = Latent.fit(prior, prior.probe, discrete=True, density=True)
    posterior = _posterior(0.0, 1.0)
    mixed = gb.Posterior(posterior.approximation, latent, posterior.x_scaler, (1,), None)
    with pytest.raises(ConfigError, match="discrete"):
        Region.of(mixed, X, posterior.sample(X, 100, seed=0), 0.1)
