"""Consistency models: what holds for any weights, and the score that validation goes by."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gibbous.errors import ConfigError
from gibbous.estimators import Consistency, consistency
from gibbous.estimators.consistency import energy_score

RNG = np.random.default_rng(0)
BB = jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32)
AA = BB + 0.2 * jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32)


@pytest.fixture(scope="module")
def model():
    model = eqx.filter_jit(Consistency(width=8, depth=1).build)(jax.random.key(0), AA, BB)
    weight = jax.random.normal(jax.random.key(1), model.network.last.weight.shape)
    return eqx.tree_at(lambda m: m.network.last.weight, model, weight)


def test_at_the_least_noise_nothing_moves(model):
    u = jnp.array([0.4, -1.3])
    least = jnp.array(consistency._LEAST)
    np.testing.assert_allclose(model.end(u, least, BB[0]), u, atol=1e-6)
    assert np.abs(model.end(u, jnp.array(2.0), BB[0]) - u).max() > 0.1


def test_levels_run_from_the_least_noise_to_the_most(model):
    n = jnp.array(20.0)
    levels = np.asarray(jax.vmap(lambda i: model._sigma(i, n))(jnp.arange(20.0)))
    assert levels[0] == pytest.approx(consistency._LEAST, rel=1e-3)
    assert levels[-1] == pytest.approx(model.noise, rel=1e-3)
    assert (np.diff(levels) > 0).all()


def test_a_level_is_drawn_as_often_as_a_normal_logarithm_falls_into_its_interval(model):
    n, draws = 20, 50_000
    keys = jax.random.split(jax.random.key(2), draws)
    i = np.asarray(jax.vmap(lambda k: model._level(k, jnp.array(float(n))))(keys)).astype(int)
    levels = np.asarray(
        jax.vmap(lambda i: model._sigma(i, jnp.array(float(n))))(jnp.arange(float(n)))
    )
    p = np.diff(stats.norm(consistency._MEAN, consistency._SD).cdf(np.log(levels)))
    p /= p.sum()
    counts = np.bincount(i, minlength=n - 1)
    big = p * draws > 8
    chi2 = np.sum((counts - p * draws)[big] ** 2 / (p * draws)[big])
    assert chi2 < big.sum() + 5 * np.sqrt(2 * big.sum())
    # It is not the distribution over equally likely levels.
    assert np.abs(counts / draws - 1 / (n - 1)).max() > 0.02


def test_the_energy_score_is_that_of_the_closed_form_and_least_at_the_truth():
    rng = np.random.default_rng(1)
    a = 0.7  # for X ~ N(0, 1): E|X - a| = a (2 Phi(a) - 1) + 2 phi(a), E|X - X'| = 2 / sqrt(pi)
    exact = a * (2 * stats.norm.cdf(a) - 1) + 2 * stats.norm.pdf(a) - 1 / np.sqrt(np.pi)
    draws = jnp.asarray(rng.normal(size=(400, 50, 1)), jnp.float32)
    each = np.asarray(jax.vmap(lambda d: energy_score(d, jnp.array([a])))(draws))
    assert abs(each.mean() - exact) < 4 * each.std() / 20
    truth = jnp.asarray(rng.normal(size=(4_000, 1)), jnp.float32)
    draws = jnp.asarray(rng.normal(size=(4_000, 16, 1)), jnp.float32)
    scores = {s: np.asarray(jax.vmap(energy_score)(s * draws, truth)) for s in (0.7, 1.0, 1.4)}
    for s in (0.7, 1.4):  # too narrow, too wide
        worse = scores[s] - scores[1.0]
        assert worse.mean() > 3 * worse.std() / np.sqrt(4_000)


def test_there_is_no_density(model):
    with pytest.raises(ConfigError, match="no density"):
        model.log_prob(AA[0], BB[0])


@pytest.mark.parametrize("options", [{"levels": (10, 5)}, {"steps": 0}, {"noise": 0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="levels"):
        Consistency(**options)
