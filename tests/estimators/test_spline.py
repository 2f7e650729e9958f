"""The rational-quadratic spline against its derivative, its inverse and its own parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.estimators import spline

BOUND, BINS = 4.0, 8
RAW = jax.random.normal(jax.random.key(0), (300, spline.size(BINS)))
X = jnp.linspace(-6, 6, 300)


def test_log_slope_is_the_derivative():
    y, log_slope = spline.forward(RAW, X, BOUND)
    one = jax.vmap(jax.grad(lambda x, raw: spline.forward(raw[None], x[None], BOUND)[0][0]))
    np.testing.assert_allclose(log_slope, jnp.log(one(X, RAW)), atol=2e-4)
    outside = np.abs(X) > BOUND
    np.testing.assert_array_equal(np.asarray(y)[outside], np.asarray(X)[outside])
    assert np.all(np.asarray(log_slope)[outside] == 0)
    assert np.abs(log_slope).max() > 1


def test_inverse_undoes_it():
    y, log_slope = spline.forward(RAW, X, BOUND)
    # An error of 1e-6 in y, of float32 at a size of 4, is one of 1e-6 / slope in x.
    tolerance = 1e-5 * np.maximum(1, np.exp(-np.asarray(log_slope)))
    assert np.all(np.abs(spline.inverse(RAW, y, BOUND) - X) < tolerance)


def test_it_is_monotone_and_continuous_and_the_identity_at_zero():
    fine = jnp.linspace(-5, 5, 20_001)
    raw = jnp.tile(RAW[:1], (len(fine), 1))
    y, log_slope = spline.forward(raw, fine, BOUND)
    steps = np.diff(np.asarray(y, float))
    assert steps.min() > -1e-6
    assert steps.max() < 1.1 * np.exp(np.max(log_slope)) * 10 / 20_000 + 2e-6
    identity, flat = spline.forward(0 * raw, fine, BOUND)
    np.testing.assert_allclose(identity, fine, atol=2e-6)
    np.testing.assert_allclose(flat, 0, atol=2e-6)


@pytest.mark.parametrize("k", [0, 3, 7])
def test_corners_and_derivatives_are_those_of_raw(k):
    # In the formula's own terms: at t = 0 of bin k the value is y_k and the slope d_k.
    raw = np.asarray(RAW[5], float)
    w, h = (np.exp(raw[i * BINS : (i + 1) * BINS]) for i in (0, 1))
    left, low = (2 * BOUND * np.sum(v[:k]) / np.sum(v) - BOUND for v in (w, h))
    derivative = 1.0 if k == 0 else np.exp(raw[2 * BINS + k - 1])
    x = jnp.array([left + 1e-6 * (k == 0)], jnp.float32)
    y, log_slope = spline.forward(RAW[5:6], x, BOUND)
    assert float(y[0]) == pytest.approx(low, abs=1e-4)
    assert float(log_slope[0]) == pytest.approx(np.log(derivative), abs=1e-2)


def test_extreme_numbers_stay_finite():
    raw = jnp.array([-1e6, 1e6] * 50)[: 4 * spline.size(BINS)].reshape(4, -1)
    x = jnp.array([-3.9, 0.0, 3.9, 1e6])
    for value in spline.forward(raw, x, BOUND):
        assert np.isfinite(value).all()
    gradient = jax.grad(lambda raw: jnp.sum(spline.forward(raw, x, BOUND)[1]))(raw)
    assert np.isfinite(gradient).all()
