"""DeepSet, its pooling, SetTransformer: order and padding do not matter, and nothing blows up."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gibbous as gb
from gibbous.errors import ConfigError, ShapeError
from gibbous.nets.exact import Exact, default_degree

X = jax.random.normal(jax.random.key(0), (64, 30, 2)) * jnp.array([1.0, 5.0]) + 3.0
POOLS = ["mean", "mean+std", "mean+max", "mean+std+max+min", "attention"]


RECIPES = [*(gb.DeepSet(pool=pool) for pool in POOLS), gb.SetTransformer(width=16, heads=2)]


def build(**options):
    return gb.DeepSet(**options).build(jax.random.key(1), X)


@pytest.fixture(scope="module", params=RECIPES, ids=[*POOLS, "transformer"])
def net(request):
    return eqx.filter_jit(request.param.build(jax.random.key(1), X))


@pytest.mark.parametrize("recipe", RECIPES[1::4], ids=["set", "transformer"])
def test_batches_of_sets_do_not_call_lapack(recipe):
    """Two such calls at a time hang on two cores (JAX 0.10), and a batch has groups of sets."""
    net = recipe.build(jax.random.key(1), X)
    assert "lapack" not in jax.jit(jax.vmap(lambda x: net(x, None))).lower(X).as_text()
    assert "lapack" in jax.jit(lambda x: jnp.linalg.qr(x, mode="r")).lower(X).as_text()


def test_the_order_of_points_does_not_matter(net):
    order = jax.random.permutation(jax.random.key(2), 30)
    np.testing.assert_allclose(net(X[0], None), net(X[0][order], None), rtol=2e-3, atol=2e-3)
    assert not np.allclose(net(X[0], None), net(X[1], None), atol=0.1)


def test_padded_points_never_count_whatever_they_hold(net):
    mask = jnp.concatenate([jnp.ones(30), jnp.zeros(10)])
    # Rounding of the QR in float32 is what is left; a point that counts changes far more.
    for padding in (0.0, 1e6, jnp.nan):
        padded = jnp.concatenate([X[0], jnp.full((10, 2), padding)])
        np.testing.assert_allclose(net(padded, mask), net(X[0], None), rtol=2e-3, atol=2e-3)
    counted = net(jnp.concatenate([X[0], jnp.full((10, 2), 9.0)]), jnp.ones(40))
    assert not np.allclose(counted, net(X[0], None), atol=0.1)


def test_points_that_lack_an_entry_do_not_count(net):
    lacking = X[0].at[3, 1].set(jnp.nan).at[20].set(jnp.nan)
    rest = jnp.delete(X[0], jnp.array([3, 20]), axis=0)
    np.testing.assert_allclose(net(lacking, None), net(rest, None), rtol=2e-3, atol=2e-3)


def test_the_number_of_points_is_an_input():
    net = build(pool="mean", degree=0)
    twice = jnp.concatenate([X[0], X[0]])
    difference = np.abs(np.asarray(net(twice, None) - net(X[0], None)))
    assert difference.max() > 0.1  # log n, standardised by its spread of 0 + 0.1
    # The statistics that follow the learnt part agree but for log n, which is the last.
    np.testing.assert_allclose(difference[32:-1], 0, atol=1e-3)


def _left_over(x, target):
    """Mean square of what a regression on the exact statistics leaves of `target`, other sets."""
    net, train = Exact.of(x, None, None), len(x) * 3 // 4
    s = np.asarray(jax.jit(lambda x: jax.lax.map(lambda one: net(one, None)[1], x))(x))
    s = np.concatenate([s, np.ones((len(s), 1))], axis=1)
    weights, *_ = np.linalg.lstsq(s[:train], target[:train], rcond=1e-5)
    return np.mean((target[train:] - s[train:] @ weights) ** 2)


def test_the_share_of_points_on_a_curve_is_linear_in_the_statistics():
    # Points on two half circles that cross: which one a point lies on is a polynomial of degree 4,
    # nearly, so that its mean over the set is the share on the upper one. Residuals of a regression
    # on the statistics have .004 of the variance of the share given its expectation; without the
    # means of the polynomials it was .21.
    n, m, keys = 1_500, 200, jax.random.split(jax.random.key(0), 4)
    phi = jnp.pi * jax.random.uniform(keys[0], (n, m))
    arc = jnp.stack([jnp.cos(phi), jnp.sin(phi)], axis=-1)
    expected = jax.random.uniform(keys[1], (n, 1, 1), minval=0.3, maxval=0.7)
    upper = jax.random.uniform(keys[2], (n, m, 1)) < expected
    x = jnp.where(upper, arc, jnp.array([1.0, 0.5]) - arc)
    x += 0.01 * jax.random.normal(keys[3], (n, m, 2))
    assert _left_over(x, np.asarray(upper.mean(axis=(1, 2)))) < 0.02 * 0.25 / m


def test_the_noise_around_a_curve_is_linear_in_the_statistics():
    # The same half circles, stretched: y^4 has a small coefficient in their equation. A set of m
    # points tells the log of its noise with a variance of 1 / (2 m). Of what they were moved by,
    # a regression leaves .15 of that; when y^4 less its regression on all other monomials was
    # taken for the distance from the curve, .62.
    n, m, keys = 2_000, 200, jax.random.split(jax.random.key(0), 5)
    phi = jnp.pi * jax.random.uniform(keys[0], (n, m))
    arc = jnp.stack([jnp.cos(phi), jnp.sin(phi)], axis=-1)
    upper = jax.random.uniform(keys[1], (n, m, 1)) < 0.5
    noise = 2e-3 * jnp.exp(0.2 * jax.random.uniform(keys[2], (n, 1), minval=-1.0))
    stretch = 0.4 * (1 + 1e-3 * jax.random.uniform(keys[3], (n, 1), minval=-1.0))
    shift = noise * jax.random.normal(keys[4], (n, m))
    x = jnp.where(upper, arc, jnp.array([1.0, 0.5]) - arc)
    x += shift[..., None] * jnp.where(upper, arc, -arc)
    x *= jnp.stack([jnp.ones_like(stretch), stretch], axis=-1)
    size = np.log(np.mean(np.asarray(shift) ** 2, axis=1)) / 2
    assert _left_over(x, size) < 0.3 / (2 * m)


@eqx.filter_jit
def _squared(net, x):
    return jax.value_and_grad(lambda x: jnp.sum(net(x, None) ** 2))(x)


@pytest.mark.parametrize(
    "x",
    [
        jnp.zeros((30, 2)),
        jnp.full((30, 2), 1e4),
        X[0] * 1e-6,
        X[0] * 1e6,
        X[0][:1],
        jnp.stack([X[0, :, 0], jnp.zeros(30)], axis=1),
    ],
    ids=["zeros", "constant", "tiny", "huge", "one point", "flat"],
)
@pytest.mark.parametrize("recipe", RECIPES[1::4], ids=["set", "transformer"])
def test_odd_sets_give_finite_values_and_gradients(recipe, x):
    value, gradient = _squared(recipe.build(jax.random.key(1), X), x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_an_empty_set_is_finite(net):
    assert np.isfinite(net(X[0], jnp.zeros(30))).all()


def test_weights_have_finite_gradients_where_sets_are_empty_or_short():
    mask = (jnp.arange(30) < jnp.array([[0], [1], [30]])).astype(jnp.float32)
    for recipe in RECIPES[1::4]:
        net = recipe.build(jax.random.key(1), X[:8], jnp.ones((8, 30)))
        loss = eqx.filter_grad(lambda n: jnp.sum(jax.vmap(n)(X[:3], mask) ** 2))
        gradient = eqx.filter_jit(loss)(net)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"inducing": 0}, {"width": -4}])
def test_sizes_of_a_set_transformer_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match="a width that heads divide"):
        gb.SetTransformer(**wrong)


@pytest.mark.parametrize(("d", "degree"), [(1, 4), (2, 4), (3, 4), (4, 3), (6, 2), (10, 1)])
def test_the_degree_keeps_the_number_of_monomials_in_bounds(d, degree):
    assert default_degree(d) == degree


def test_wrong_datasets_and_poolings_are_refused(unchecked):
    with pytest.raises(ShapeError, match=r"sets of points \[n, d\]"):
        gb.DeepSet().build(jax.random.key(0), X[..., 0])
    with pytest.raises(ConfigError, match=r"median.*mean"):
        build(pool="mean+median")
