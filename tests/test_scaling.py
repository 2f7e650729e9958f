"""Standardisation: mean 0 and sd 1, tails that are tamed, and the right Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.scaling import Standardizer

N = 20_000


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    columns = {
        "normal": rng.normal(3.0, 2.0, N),
        "t4": rng.standard_t(6, N),
        "cauchy": rng.standard_cauchy(N),
        "narrow": 1e4 + rng.normal(0, 1.0, N),
        "constant": np.full(N, 7.0),
    }
    return np.stack(list(columns.values()), 1)


@pytest.fixture(scope="module")
def scaler(values):
    return Standardizer.fit(values)


def test_only_the_cauchy_is_heavy(scaler):
    assert scaler.bend.tolist() == [0, 0, 1, 0, 0]
    # A normal must stay linear however few rows there are: no shape is read from noise.
    small = Standardizer.fit(np.random.default_rng(1).normal(size=(50, 200)))
    assert float(small.bend.max()) == 0


def test_mean_zero_and_sd_one(scaler, values):
    y = np.asarray(scaler.forward(jnp.asarray(values, jnp.float32)), np.float64)
    light = [0, 1, 3]
    # float32 of 1e4 is good to 5e-4 of the sd of the narrow column
    np.testing.assert_allclose(y[:, light].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(y[:, light].std(0), 1, atol=1e-3)
    assert np.abs(y[:, 4]).max() == 0
    assert np.abs(values[:, 2]).max() > 1e3
    assert np.abs(y[:, 2]).max() < 20  # asinh(1e6) = 14.5


def test_inverse_undoes_forward(scaler, values):
    v = jnp.asarray(values, jnp.float32)
    back = np.asarray(scaler.inverse(scaler.forward(v)))
    # float32: 6e-8 relative to the value or to its scale; the error of asinh and sinh is magnified
    # by |y| <= 20 in the heavy column
    np.testing.assert_allclose(back, v, rtol=2e-5, atol=1e-5)


def test_log_det_is_the_derivative(scaler):
    v = jnp.array([[1.0, 0.3, 50.0, 1e4, 7.0], [-4.0, -3.0, -0.2, 9998.0, 6.0]])
    jacobian = jax.vmap(jax.jacfwd(scaler.forward))(v)
    want = np.log(np.abs(np.diagonal(jacobian, axis1=1, axis2=2)))
    np.testing.assert_allclose(scaler.log_det(v), want, atol=1e-5)
    # the factor of asinh matters: without it the far row would be off by log(50)
    assert abs(float(-jnp.log(scaler.scale[2])) - want[0, 2]) > 3


def test_features_of_any_shape():
    v = np.random.default_rng(0).normal(size=(500, 3, 2)) * [1.0, 10.0] + 5
    scaler = Standardizer.fit(v)
    y = np.asarray(scaler.forward(jnp.asarray(v, jnp.float32)))
    assert scaler.loc.shape == (3, 2)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-4)


def test_far_values_stay_finite(scaler):
    far = jnp.full((5,), 1e30)
    assert np.isfinite(scaler.inverse(far)[2])
    grad = jax.grad(lambda y: jnp.sum(scaler.inverse(y)[2]))(far)
    assert np.isfinite(grad).all()
    y = scaler.forward(jnp.array([0.0, 0.0, 1e30, 0.0, 0.0]))
    assert np.isfinite(y).all()
    assert np.isfinite(jax.grad(lambda v: scaler.log_det(v).sum())(jnp.full((5,), 1e15))).all()


def test_excess_counts_ranges_outside():
    scaler = Standardizer.fit(np.array([[0.0, 0.0], [2.0, 10.0], [1.0, 5.0]]))
    assert scaler.excess(np.array([1.0, 10.0])) == 0
    assert scaler.excess(np.array([3.0, 5.0])) == pytest.approx(0.5)
    assert scaler.excess(np.array([[1.0, 1.0], [1.0, -20.0]])) == pytest.approx(2.0)
    constant = Standardizer.fit(np.full((4, 1), 5.0))
    assert constant.excess(np.array([5.0])) == 0
    assert constant.excess(np.array([10.0])) == pytest.approx(1.0)


def test_rounds_that_close_in_are_not_bent_where_they_end():
    rng = np.random.default_rng(0)
    rounds = np.repeat(np.arange(5), 200)
    values = (rng.normal(size=1_000) * 0.01 ** np.minimum(rounds, 1))[:, None]
    one, several = Standardizer.fit(values), Standardizer.fit(values, rounds=True)
    assert (one.bend, several.bend) == (1.0, 30.0)
    near = jnp.linspace(-0.03, 0.03, 61)[:, None]  # three sd of the last rounds
    # asinh(u) = u - u^3 / 6: of u = 3 / 30 it lacks less than 0.2%, of u = 3 a third.
    straight = (near - several.loc) / several.scale
    np.testing.assert_allclose(several.forward(near), straight, rtol=0.005, atol=1e-5)
    assert np.abs(one.forward(near) / straight - 1).max() > 0.3
    # What is far stays within reach, and comes back.
    values = jnp.asarray(values, jnp.float32)
    assert np.abs(several.forward(values)).max() < 150  # 30 asinh(300 / 30) = 90
    np.testing.assert_allclose(several.inverse(several.forward(values)), values, atol=1e-4)
    slope = jax.vmap(jax.grad(lambda v: several.forward(v[None])[0]))(values[:, 0])
    np.testing.assert_allclose(several.log_det(values)[:, 0], np.log(slope), atol=1e-4)
