"""Samplers against closed forms, and what each of them promises besides.

One program for each sampler serves all tests: what changes from test to test is traced.
"""

import functools
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

import gibbous as gb
from gibbous.samplers import SAMPLERS, Target, smc
from tests.contract.test_methods import slow

# pi = N(0, PRIOR), L(z) = N(x; z, NOISE): everything about it is known.
PRIOR = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 1.0]])
NOISE = np.array([[0.30, 0.20, 0.0], [0.20, 0.40, 0.1], [0.0, 0.10, 0.5]])
X = np.array([1.0, -0.5, 0.8])
SLOPES = np.array([[2.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, -1.0, -1.0]])

SMALL = {
    "SMC": gb.SMC(particles=1_024),
    "NUTS": gb.NUTS(warmup=200, candidates=256, max_doublings=5),
    "NestedSlice": gb.NestedSlice(live=256, max_shrinkage=20.0),
}
DRAWS, REPEATS = 2_000, 4


class Case(NamedTuple):
    """L(z) = w N(z; x, N N^T) + (1 - w) N(z; y, N N^T), or a funnel; the prior is N(0, P P^T)."""

    x: np.ndarray = X
    y: np.ndarray = X
    w: float = 0.5
    noise: np.ndarray = np.linalg.cholesky(NOISE)
    prior: np.ndarray = np.linalg.cholesky(PRIOR)
    prior_weight: float = 1.0
    funnel: float = 0.0
    slope: float = 1.0
    max_steps: int = 200


def _log_normal(v, root):
    u = jax.scipy.linalg.solve_triangular(root, v, lower=True)
    log_det = jnp.sum(jnp.log(jnp.diag(root)))
    return -0.5 * jnp.sum(u**2) - log_det - 0.5 * len(v) * np.log(2 * np.pi)


def _target(c):
    """Four points of two stages, of a different slope each: the right ones must be counted."""

    def points(z, start, stop):
        one, other = _log_normal(z - c.x, c.noise), _log_normal(z - c.y, c.noise)
        whole = jnp.logaddexp(one + jnp.log(c.w), other + jnp.log1p(-c.w))
        neck = -0.5 * jnp.sum(z[1:] ** 2) * jnp.exp(-z[0]) - z[0]
        whole = (1 - c.funnel) * whole + c.funnel * neck
        return (stop - start) / 4 * whole + c.slope * SLOPES[start:stop].sum(axis=0) @ z

    def log_likelihoods(z, start, stop):
        return points(z, 0, start), points(z, start, stop)

    return Target(
        log_prior=lambda z: c.prior_weight * _log_normal(z, c.prior),
        draw_prior=lambda key, n: jax.random.normal(key, (n, 3)) @ c.prior.T,
        log_likelihoods=log_likelihoods,
        stages=(1, 4),
    )


@functools.partial(jax.jit, static_argnums=0)
def _compiled(sampler, keys, case):
    with mock.patch.object(smc, "_MAX_STEPS", case.max_steps):
        return jax.vmap(lambda key: sampler.sample(key, _target(case), DRAWS))(keys)


def _runs(name, case=None, seed=0):
    """Independent runs, side by side: z [repeats, chains, draws, d]."""
    case = jax.tree.map(lambda v: jnp.asarray(v, jnp.result_type(v)), case or Case())
    keys = jax.random.split(jax.random.key(seed), REPEATS)
    return _compiled(SMALL[name], keys, case)


def _truth():
    gain = PRIOR @ np.linalg.inv(PRIOR + NOISE)
    evidence = stats.multivariate_normal(np.zeros(3), PRIOR + NOISE).logpdf(X)
    return gain @ X, PRIOR - gain @ PRIOR, evidence


def _worst(z):
    """The largest z-score of means and covariances, in the errors that effective sizes give."""
    mean, covariance, _ = _truth()
    v = np.asarray(z, np.float64).reshape(-1, *z.shape[2:])  # all chains of all runs
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    w = np.einsum("ij,cnj->cni", root, v - mean)  # N(0, I) if all is well
    i, j = np.triu_indices(3)
    numbers = np.concatenate([w, w[..., i] * w[..., j] - (i == j)], axis=-1)
    ess = np.array([array_stats.ess(numbers[..., k], method="mean") for k in range(9)])
    # Nested sampling's dead points are not independent in order of death, nor draws in time.
    ess = np.clip(ess, 300, None)
    return np.abs(numbers.mean(axis=(0, 1)) / (numbers.std(axis=(0, 1)) / np.sqrt(ess))).max()


@pytest.fixture(scope="module", params=slow(SAMPLERS, {"NestedSlice"}))
def case(request):
    return request.param, _runs(request.param)


def test_every_sampler_is_tested():
    assert set(SMALL) == set(SAMPLERS)
    assert all(isinstance(SMALL[name], cls) for name, cls in SAMPLERS.items())


def test_draws_have_the_moments_of_the_closed_form(case):
    name, trace = case
    assert trace.z.ndim == 4
    assert trace.z.shape[1] * trace.z.shape[2] >= DRAWS
    assert np.isfinite(trace.z).all()
    assert np.asarray(trace.finished).all()
    # Nine z-scores of three fixed cases; 4.5 also leaves room for effective sizes, which are
    # estimates: particles with common ancestors are somewhat fewer than they seem.
    assert _worst(trace.z) < 4.5, name


def test_halves_of_chains_agree(case):
    name, trace = case
    for z in np.asarray(trace.z, np.float64):
        # Of independent chains of 250 draws and more R-hat is below 1.02 nearly always; draws in
        # an order that tells of their density have 1.06 to 1.11.
        assert max(array_stats.rhat(z[..., i]) for i in range(3)) < 1.05, name


def test_the_evidence_is_that_of_the_closed_form(case):
    name, trace = case
    log_z = np.asarray(trace.log_evidence)
    if name == "NUTS":
        assert np.isnan(log_z).all()
        return
    # Nested sampling of H nats with m live points has sd sqrt(H/m); H = 1.1 here and m is
    # 2 x 256: 0.05. SMC with 2,000 particles: the mean of weights with a variance of about 1 at
    # each of 5 steps, sqrt(5 / 2,000) = 0.05. The mean of four runs, 4 sigma.
    assert abs(log_z.mean() - _truth()[2]) < 4 * 0.05 / 2
    assert log_z.std(ddof=1) < 3 * 0.05
    # A prior left out would show.
    assert abs(_truth()[2] - stats.multivariate_normal(np.zeros(3), NOISE).logpdf(X)) > 0.3


def test_the_key_decides_everything(case):
    name, trace = case
    np.testing.assert_array_equal(_runs(name).z, trace.z)
    assert not np.array_equal(_runs(name, seed=1).z, trace.z)


def test_a_broken_target_fails_the_same_test(case):
    name, _ = case
    for broken in (Case(x=-X, y=-X), Case(prior_weight=1e-3)):
        assert _worst(_runs(name, broken).z) > 10


def test_width_counts_what_is_evaluated_side_by_side():
    assert gb.SMC(particles=1_000, populations=3).width(10) == 1_002
    assert gb.SMC(particles=1_000).width(5_000) == 5_000
    assert gb.NestedSlice(live=300, runs=3).width(10_000) == 900
    assert gb.NUTS(chains=4, candidates=1_024).width(10_000) == 256
    assert gb.NUTS(chains=4, candidates=2).width(10_000) == 4


@pytest.mark.parametrize("name", ["SMC", "NestedSlice"])
def test_two_far_modes_are_kept_in_proportion(name):
    far, wide = np.full(3, 2.0), 2 * np.eye(3)
    case = Case(x=far, y=-far, w=2 / 3, noise=0.3 * np.eye(3), prior=wide, slope=0.0)
    z = np.asarray(_runs(name, case).z)
    share = (z[..., 0] > 0).mean(axis=(1, 2))
    assert np.abs(np.abs(z) - 2).max() < 6 * 0.3  # none is left between them
    # About 100 of 2,000 particles begin near a mode (live points: less), so that a share has an
    # error of sqrt(2/9 / 100) = 0.05 in a run and half of that in the mean of four.
    assert abs(share.mean() - 2 / 3) < 4 * 0.025
    assert 2 / 3 - 1 / 2 > 4 * 0.025  # equal weights would be told apart


def test_smc_that_cannot_arrive_says_so():
    spike = Case(x=np.zeros(3), y=np.zeros(3), noise=1e-12 * np.eye(3))
    assert not np.asarray(_runs("SMC", spike._replace(max_steps=5)).finished).any()
    assert not np.asarray(_runs("SMC", Case(max_steps=1)).finished).any()


def test_nested_sampling_that_cannot_arrive_says_so():
    # 3 log(1 / 1e-4) = 28 nats, where 20 are allowed.
    narrow = Case(x=np.zeros(3), y=np.zeros(3), noise=1e-4 * np.eye(3))
    assert not np.asarray(_runs("NestedSlice", narrow).finished).any()


def test_divergences_are_counted_on_the_funnel_and_not_on_a_gaussian(case):
    name, trace = case
    # Fewer than one in a thousand of 4 x 2,000 on a Gaussian.
    assert np.asarray(trace.divergences).sum() < 8
    if name == "NUTS":
        funnel = Case(funnel=1.0, prior=np.diag([3.0, 1e2, 1e2]))
        assert np.asarray(_runs(name, funnel).divergences).sum() >= 20
