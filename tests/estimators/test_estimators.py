"""The laws of a conditional density, for every estimator, with weights far from the beginning."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from gibbous.estimators import ESTIMATORS
from gibbous.estimators.base import Moment
from gibbous.estimators.ensemble import _Ensemble
from gibbous.estimators.flow import Flow
from gibbous.estimators.mixture import _Mixture
from gibbous.estimators.velocity import _FlowMatching
from tests.contract.test_methods import slow

B = jnp.array([0.7, -1.2, 0.4])
SMALL = {"layers": 3, "width": 16, "depth": 1, "components": 4, "steps": None}  # what a recipe has
MOMENT = Moment(jax.random.key(3), jnp.array(0.5), True)
CELLS = {1: 40, 2: 12}  # per axis, for the comparison of draws with the density
FINE = {1: 100, 2: 40}  # quadrature points in a cell, per axis


def _recipe(name):
    if name == "Covariance":
        return dataclasses.replace(_recipe("AutoregressiveSpline"), covariance=(16,))
    cls = ESTIMATORS[name]
    if name == "Ensemble":
        return cls(_recipe("MDN"), size=2)
    return cls(**{f.name: SMALL[f.name] for f in dataclasses.fields(cls) if f.name in SMALL})


def _pairs(dim, rows=64):
    rng = np.random.default_rng(0)
    b = rng.normal(size=(rows, len(B)))
    a = b[:, :dim] - 0.5 * b[:, [2]] + 0.3 * rng.normal(size=(rows, dim))
    return jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)


def _build(name, dim, seed=0):
    """A density with random weights: at its beginning a flow is close to a Gaussian."""
    shape = eqx.filter_eval_shape(_recipe(name).build, jax.random.key(seed), *_pairs(dim))
    rng = np.random.default_rng(seed + 1)
    size = {
        "MDN": 0.4,
        "FlowMatching": 0.5 if dim == 1 else 0.25,
        "RealNVP": 0.23 if dim == 2 else 0.15,
    }.get(name, 0.15)

    def fill(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jnp.asarray(size * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(fill, shape)


@eqx.filter_jit
def _log_probs(density, a, b):
    return jax.vmap(lambda one: density.log_prob(one, b))(a)


@eqx.filter_jit
def _draws(density, key, b, n):
    return density.sample(key, b, n)


def _cells(density, draws, log_prob):
    """Counts of draws and integrals of the density over a grid of boxes around the bulk."""
    dim = draws.shape[1]
    low, high = np.quantile(draws, [0.0005, 0.9995], axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    edges = [np.linspace(a, b, CELLS[dim] + 1) for a, b in zip(low, high, strict=True)]
    n = CELLS[dim] * FINE[dim]
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, dim)
    p = np.exp(np.asarray(log_prob(density, jnp.asarray(grid, jnp.float32), B), np.float64))
    p = p.reshape([CELLS[dim], FINE[dim]] * dim).sum(axis=tuple(range(1, 2 * dim, 2)))
    counts, _ = np.histogramdd(draws, edges)
    return counts, p * np.prod((high - low) / n)


def _mismatch(counts, p, total):
    """Worst of two z-scores: of the mass in the box, and of a chi-square over its cells."""
    inside = counts.sum() / total
    # A tenth of a percent of quadrature error besides the binomial one: midpoints, float32.
    mass = abs(p.sum() - inside) / np.hypot(np.sqrt(inside * (1 - inside) / total), 1e-3)
    want = p.ravel() * total
    big = want > 8
    statistic = np.sum((counts.ravel()[big] - want[big]) ** 2 / want[big])
    dof = max(big.sum() - 1, 1)
    return max(mass, (statistic - dof) / np.sqrt(2 * dof))


# In one dimension a coupling spline is an autoregressive one: nothing is left to couple. A
# consistency model has no density: see test_consistency.py.
OTHERWISE = {("CouplingSpline", 1), ("Ensemble", 1), ("Consistency", 1), ("Consistency", 2)}
CASES = [(n, d) for n in ESTIMATORS for d in (1, 2) if (n, d) not in OTHERWISE]
CASES.append(("Covariance", 2))  # a flow behind one


@pytest.fixture(scope="module", params=slow(CASES, {("FlowMatching", 2)}), ids=str)
def case(request):
    density = _build(*request.param)
    return density, np.asarray(_draws(density, jax.random.key(7), B, 20_000), np.float64)


def test_draws_and_density_agree_and_the_mass_is_one(case):
    density, draws = case
    assert np.isfinite(draws).all()
    counts, p = _cells(density, draws, _log_probs)
    # The box holds all but the last thousandths; 4.5 sigma for seven fixed cases.
    assert p.sum() == pytest.approx(1, abs=5e-3)
    assert _mismatch(counts, p, len(draws)) < 4.5
    # It is no trivial case: a Gaussian of the same moments would be told apart, or it is one (an
    # affine flow of one coordinate).
    affine = isinstance(density, Flow) and density.layers.knots == 0 and draws.shape[1] == 1
    cov = np.atleast_2d(np.cov(draws.T))
    normal = stats.multivariate_normal(draws.mean(0), cov)
    _, q = _cells(density, draws, lambda _, a, b: normal.logpdf(np.asarray(a)))
    assert (_mismatch(counts, q, len(draws)) > 10) != affine


def test_a_wrong_jacobian_fails_the_same_test(case):
    density, draws = case

    def forgotten(density, a, b):
        if isinstance(density, Flow):  # log N(u) alone
            u, _ = _forwards(density, a, b)
            return stats.norm.logpdf(np.asarray(u)).sum(-1)
        if isinstance(density, _Ensemble):  # the sum instead of the mean
            return _log_probs(density, a, b) + np.log(density.size)
        if isinstance(density, _FlowMatching):  # the scale of the normal density
            return _log_probs(density, a, b) + float(density.locate(b)[1].sum())
        if isinstance(density, _Mixture):  # the scale of v = (a - mu) exp(-s)
            return _log_probs(density, a, b) + float(density._locate(b)[1].sum())
        log_weights, means, precision = density._parameters(b)
        mu, scale = density.locate(b)
        v = np.asarray((a - mu) * jnp.exp(-scale))[:, None] - np.asarray(means)
        v = np.einsum("kij,nkj->nki", precision, v)
        return logsumexp(np.asarray(log_weights) + stats.norm.logpdf(v).sum(-1), axis=1)

    counts, p = _cells(density, draws, forgotten)
    assert _mismatch(counts, p, len(draws)) > 10


def test_wrong_draws_fail_the_same_test(case):
    density, draws = case
    counts, p = _cells(density, draws, _log_probs)
    shifted = draws + 0.1 * draws.std(0)
    low, high = np.quantile(draws, [0.0005, 0.9995], axis=0)
    pad = 0.1 * (high - low)
    edges = [
        np.linspace(a, b, CELLS[draws.shape[1]] + 1)
        for a, b in zip(low - pad, high + pad, strict=True)
    ]
    counts, _ = np.histogramdd(shifted, edges)
    assert _mismatch(counts, p, len(draws)) > 10


def test_the_density_depends_on_b(case):
    density, draws = case
    a = jnp.asarray(draws[:20], jnp.float32)
    here, there = _log_probs(density, a, B), _log_probs(density, a, B + 0.5)
    assert np.isfinite(there).all()
    assert np.abs(here - there).min() > 1e-4


def test_far_tails_are_finite_with_gradients(case):
    density, draws = case
    dim = draws.shape[1]

    @eqx.filter_jit
    def value_and_gradients(density, a):
        by_weights = eqx.filter_grad(lambda d: d.log_prob(a, B))(density)
        return density.log_prob(a, B), jax.grad(density.log_prob)(a, B), by_weights

    if dim == 1:
        return  # the networks see no coordinate, so nothing can run away
    for a in (1e4, -1e4, 100.0, -5.0, 0.0):
        value, by_a, by_weights = value_and_gradients(density, jnp.full(dim, a))
        assert np.isfinite(value)
        assert np.isfinite(by_a).all()
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(by_weights))
        if abs(a) == 1e4:
            assert value < -100


# --- flows ----------------------------------------------------------------------------------------


def _layer(flow, i):
    weights, static = eqx.partition(flow.layers, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda w: w[i], weights), static)


def _forward(flow, a, b):
    (v, log_det), c = flow.locate.forward(a, b), flow.locate.summary(b)
    for i in range(len(flow.layers.from_c[0])):
        v, more = _layer(flow, i).forward(flow.reorder(v), c)
        log_det += more
    return v, log_det


@eqx.filter_jit
def _forwards(flow, a, b):
    return jax.vmap(_forward, (None, 0, None))(flow, a, b)


FLOWS = ["AutoregressiveSpline", "CouplingSpline", "RealNVP", "Covariance"]


@pytest.fixture(scope="module", params=FLOWS)
def flow(request):
    return _build(request.param, 3, seed=4)


def test_a_layer_sees_lower_ranks_only(flow):
    layer, v, c = _layer(flow, 1), jnp.array([0.3, -0.8, 1.1]), flow.locate.summary(B)
    jacobian = np.asarray(eqx.filter_jit(jax.jacrev(lambda v: layer.forward(v, c)[0]))(v))
    ranks = np.array(layer.ranks)
    np.testing.assert_array_equal(ranks, [0, 1, 2] if "spline_ar" in _kind(flow) else [0, 0, 1])
    below, diagonal = ranks[None, :] < ranks[:, None], np.eye(3, dtype=bool)
    assert (jacobian[~below & ~diagonal] == 0).all()
    assert (np.abs(jacobian[below]) > 1e-5).all()  # and it does see those
    assert (jacobian[diagonal] > 0).all()
    log_det = eqx.filter_jit(layer.forward)(v, c)[1]
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-4)


def _kind(flow):
    return "spline_ar" if max(flow.layers.ranks) == 2 else "coupling"


def test_every_coordinate_depends_on_every_other_in_the_whole_flow(flow):
    of_a = eqx.filter_jit(jax.jacrev(lambda a: _forward(flow, a, B)[0]))
    jacobian = np.asarray(of_a(jnp.array([0.3, -0.8, 1.1])))
    assert (np.abs(jacobian) > 1e-6).all()


def test_inverse_undoes_forward_into_the_tails(flow):
    layer, c = _layer(flow, 0), flow.locate.summary(B)

    @eqx.filter_jit
    def there_and_back(v):
        u = layer.forward(v, c)[0]
        back = layer.inverse(u, c)
        return u, back, layer.forward(back, c)[0]

    rng = np.random.default_rng(0)
    near = rng.normal(size=(200, 3)) * 3
    far = rng.choice([-1, 1], (50, 3)) * 10 ** rng.uniform(1, 3, (50, 3))
    edge = np.array([[5.0, -5.0, 5.0], [-5.0, 5.0, 0.0], [0.0, 0.0, 0.0]])  # the splines' interval
    v = np.concatenate([near, far, edge]).astype(np.float32)
    u, back, again = (np.asarray(w) for w in jax.vmap(there_and_back)(jnp.asarray(v)))
    assert np.isfinite(back).all()
    # float32 is 6e-8 relative, magnified by |slope|^+-1 of a spline (1e3 at most) and e^4
    # of its affine map: where T is steep v is well determined by u, where it is flat u by v.
    wrong_v, wrong_u = abs(back - v) / (1 + abs(v)), abs(again - u) / (1 + abs(u))
    assert np.minimum(wrong_v, wrong_u).max() < 5e-4
    assert np.median(wrong_v) < 1e-5


def test_layers_see_of_the_condition_what_locates_the_density_and_some_features(flow):
    mu, s = getattr(flow.locate, "locate", flow.locate)(B)
    c = np.asarray(flow.locate.summary(B))
    np.testing.assert_array_equal(c[:6], np.concatenate([mu, s]))
    assert len(c) > 6
    assert (c[6:] != flow.locate.summary(B + 1)[6:]).all()
    assert flow.layers.from_c[0].shape[-1] == len(c) + 1


def test_the_log_prob_is_that_of_the_composed_map(flow):
    a = jnp.asarray(np.random.default_rng(1).normal(size=(10, 3)), jnp.float32)
    u, log_det = _forwards(flow, a, B)
    want = stats.norm.logpdf(np.asarray(u)).sum(-1) + np.asarray(log_det)
    np.testing.assert_allclose(_log_probs(flow, a, B), want, rtol=1e-4, atol=1e-4)


def test_a_coupling_in_one_dimension_is_the_autoregressive_flow():
    one, other = (_build(name, 1).layers.ranks for name in FLOWS[:2])
    assert one == other == (0,)


# --- where it begins ------------------------------------------------------------------------------


def test_a_flow_begins_at_a_robust_regression():
    rng = np.random.default_rng(2)
    b = rng.normal(size=(2_000, 3))
    a = b @ np.array([[1.0, 0], [0, -2.0], [0.5, 0.5]]) + [0.3, 0.0]
    a += 0.01 * rng.normal(size=a.shape)
    wild = rng.uniform(size=2_000) < 0.05
    a[wild] += 5 + 20 * rng.normal(size=(wild.sum(), 2))
    flow = eqx.filter_jit(_recipe("RealNVP").build)(
        jax.random.key(0), jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    )
    mu, s = flow.locate(B)
    want = np.asarray(B) @ np.array([[1.0, 0], [0, -2.0], [0.5, 0.5]]) + [0.3, 0.0]
    # The ridge of 1e-3 shrinks a slope of 2 by 0.002 |b| at most; least squares without the robust
    # weights would be off by 0.05 * 5 = 0.25.
    np.testing.assert_allclose(mu, want, atol=0.02)
    assert np.isfinite(s).all()


def test_behind_a_covariance_is_the_normal_that_it_says():
    locate = _build("Covariance", 3).locate
    mu, s = locate.locate(B)
    m, _, matrix = (np.asarray(v, np.float64) for v in locate._parameters(B, 3))
    assert (np.triu(matrix, 1) == 0).all()
    assert (np.abs(matrix[np.tril_indices(3)]) > 1e-3).all()
    scale = np.diag(np.exp(np.asarray(s, np.float64)))
    root = scale @ np.linalg.inv(matrix)
    want = stats.multivariate_normal(np.asarray(mu) + scale @ m, root @ root.T)
    a = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    v, log_det = jax.vmap(locate.forward, (0, None))(jnp.asarray(a), B)
    got = stats.norm.logpdf(np.asarray(v)).sum(-1) + np.asarray(log_det)
    np.testing.assert_allclose(got, want.logpdf(a), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(locate.inverse(v, B), a, atol=1e-4)


def test_the_loss_is_minus_the_log_density_or_the_mean_of_the_members(case):
    density, draws = case
    a = jnp.asarray(draws[0], jnp.float32)
    if isinstance(density, _Ensemble):
        each = eqx.filter_vmap(lambda member: member.log_prob(a, B))(density.members)
        np.testing.assert_allclose(density.loss(a, B, MOMENT), -each.mean(), rtol=1e-5)
        assert density.loss(a, B, MOMENT) > -density.log_prob(a, B)  # Jensen
        assert abs(each[0] - each[1]) > 1e-3  # the members are not copies
    elif not isinstance(density, _FlowMatching):  # which has a loss of its own
        # The layers unrolled, or in a loop: float32 is 6e-8 relative, of sums of some ten.
        log_prob = density.log_prob(a, B)
        np.testing.assert_allclose(density.loss(a, B, MOMENT), -log_prob, rtol=1e-5, atol=1e-5)


def test_the_registry_is_by_class_name():
    assert all(cls.__name__ == name for name, cls in ESTIMATORS.items())
