"""Flow matching where the answer is known: a network of zeros leaves the normal density."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import gibbous as gb
from gibbous.errors import ConfigError, GibbousWarning
from gibbous.estimators import Ensemble, FlowMatching, velocity
from gibbous.estimators.base import Moment

RNG = np.random.default_rng(0)
BB = jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32)
AA = BB @ jnp.array([[1.0, 0.3], [-0.5, 2.0]]) + 0.2 * jnp.asarray(RNG.normal(size=(500, 2)))
B = jnp.array([0.3, -0.8])


@pytest.fixture(scope="module")
def normal():
    return eqx.filter_jit(FlowMatching(width=8, depth=1, narrow=True).build)(
        jax.random.key(0), AA, BB
    )


@eqx.filter_jit
def _log_probs(density, a, b):
    return jax.vmap(density.log_prob, (0, None))(a, b)


@eqx.filter_jit
def _errors(density, a, b):
    return jax.vmap(density.log_prob_error, (0, None))(a, b)


def test_it_begins_at_the_normal_density(normal):
    mu, s = (np.asarray(v) for v in normal.locate(B))
    a = jnp.asarray(mu + np.exp(s) * RNG.normal(size=(50, 2)), jnp.float32)
    got = _log_probs(normal, a, B)
    want = stats.norm(mu, np.exp(s)).logpdf(np.asarray(a)).sum(axis=1)
    np.testing.assert_allclose(got, want, atol=2e-3)  # 1e-5 a step
    draws = np.asarray(
        eqx.filter_jit(lambda d, b: d.sample(jax.random.key(1), b, 20_000))(normal, B)
    )
    # Means have an error of 1/sqrt(20,000) = 0.007 sd, sds of 0.005; 16 steps of Heun add 0.01.
    assert np.abs((draws.mean(axis=0) - mu) / np.exp(s)).max() < 0.04
    assert np.abs(draws.std(axis=0) / np.exp(s) - 1).max() < 0.04


def test_the_loss_is_least_at_the_velocity_of_the_data(normal):
    """For normal data the network of zeros is the answer; any other is worse."""
    mu, s = normal.locate(B)
    a = mu + jnp.exp(s) * jax.random.normal(jax.random.key(2), (4_000, 2))

    @eqx.filter_jit
    def loss(density):
        def one(row, key):
            return density.loss(row, B, Moment(key, jnp.array(0.0), True))

        return jax.vmap(one)(a, jax.random.split(jax.random.key(3), len(a)))

    worse = eqx.tree_at(lambda d: d.network.last.bias, normal, jnp.array([0.2, 0.0]))
    difference = np.asarray(loss(worse)) - np.asarray(loss(normal))
    # E |v + c - y|^2 = E |v - y|^2 + c^2 where v is the mean of y.
    assert abs(difference.mean() - 0.2**2) < 4 * difference.std() / 4_000**0.5


def test_pairs_of_noise_leave_the_mean_of_the_gradient_and_not_its_scatter(normal):
    """The network of zeros is wrong by A u + B eps: its bias has the gradient 2 (A u + B eps)."""
    mu, s = normal.locate(B)
    u, n = np.array([0.8, -1.5]), 4_000

    @eqx.filter_jit
    def gradients(density):
        def loss(bias, key):
            moved = eqx.tree_at(lambda d: d.network.last.bias, density, bias)
            return moved.loss(mu + jnp.exp(s) * u, B, Moment(key, jnp.array(0.0), True))

        keys = jax.random.split(jax.random.key(4), n)
        return jax.vmap(jax.grad(loss), (None, 0))(density.network.last.bias, keys)

    def terms(r):  # A and B at t = 1 - r^2
        noise = r**2
        slope = (1 - 2 * noise) / ((1 - noise) ** 2 + noise**2)
        return slope * (1 - noise) - 1, slope * noise + 1

    def check(got):
        assert np.all(np.abs(got.mean(axis=0) - exact) < 4 * got.std(axis=0) / n**0.5)

    a, _ = terms((np.arange(10_000) + 0.5) / 10_000)
    exact = 2 * a.mean() * u
    pairs = np.asarray(gradients(normal))
    check(pairs)
    a, b = terms(RNG.uniform(size=(n, 4, 1)))
    apart = np.mean(2 * (a * u + b * RNG.normal(size=(n, 4, 2))), axis=1)  # four times, drawn apart
    check(apart)
    assert np.all(pairs.std(axis=0) < 0.5 * apart.std(axis=0))


@pytest.mark.slow
def test_hutchinsons_estimate_is_near_the_exact_divergence(normal, monkeypatch):
    key = jax.random.key(5)
    shape = normal.network.last.weight.shape
    bent = eqx.tree_at(lambda d: d.network.last.weight, normal, 0.5 * jax.random.normal(key, shape))
    a = AA[:40]
    exact = np.asarray(_log_probs(bent, a, B))
    monkeypatch.setattr(velocity, "_EXACT", 1)
    jax.clear_caches()
    estimate = np.asarray(_log_probs(bent, a, B))
    assert 1e-4 < np.abs(estimate - exact).max() < 1.0  # 16 probes, fixed
    assert np.corrcoef(estimate, exact)[0, 1] > 0.9
    told = np.asarray(_errors(bent, a, B))
    # Errors over the told ones have a mean square of 1, if they were independent between rows;
    # with 16 directions, the same for all, anything between a quarter and three is to be expected.
    assert 0.25 < np.sqrt(np.mean(((estimate - exact) / told) ** 2)) < 3
    pair = Ensemble(FlowMatching(width=8, depth=1), 2)
    both = eqx.filter_jit(pair.build)(jax.random.key(0), AA, BB)
    assert both.estimated
    assert np.isfinite(_errors(both, a, B)).all()


@pytest.mark.slow
def test_the_user_is_told_the_error_of_an_estimate():
    prior = gb.Prior(theta=dist.Normal(jnp.zeros(32), 1.0))
    theta = np.asarray(RNG.normal(size=(200, 32)), np.float32)
    sims = gb.Simulations({"theta": theta}, theta[:, :4] + 0.1)
    method = gb.FMPE(estimator=FlowMatching(width=8, depth=1, tolerance=1e-2), members=1)
    config = gb.FitConfig(steps=20, progress=False)
    posterior = gb.fit(method, prior, sims, config=config, seed=0)
    with pytest.warns(GibbousWarning, match="an estimate in 32 dimensions, with a standard error"):
        assert np.isfinite(posterior.log_prob(theta[:3], sims.x[:3])).all()


@pytest.mark.parametrize("options", [{"power": 0.5}, {"steps": 0}, {"tolerance": 0.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="expected a power"):
        FlowMatching(**options)
