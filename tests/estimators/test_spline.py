"""The rational-quadratic spline against its derivative, its inverse and its own parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.estimators import spline

BOUND, BINS = 4.0, 8
RAWS = jax.random.normal(jax.random.key(0), (spline.size(BINS), 300))
RAW = RAWS.ravel()
X = jnp.linspace(-6, 6, 300)


def test_log_slope_is_the_derivative():
    y, log_slope = spline.forward(RAW, X, BOUND)
    one = jax.vmap(jax.grad(lambda x, raw: spline.forward(raw, x[None], BOUND)[0][0]))
    np.testing.assert_allclose(log_slope, jnp.log(one(X, RAWS.T)), atol=2e-4)
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
    raw = jnp.repeat(RAWS[:, 0], len(fine))
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
    raw = np.asarray(RAWS[:, 5], float)
    w, h = (np.exp(raw[i * BINS : (i + 1) * BINS]) for i in (0, 1))
    left, low = (2 * BOUND * np.sum(v[:k]) / np.sum(v) - BOUND for v in (w, h))
    derivative = 1.0 if k == 0 else np.exp(raw[2 * BINS + k - 1])
    x = jnp.array([left + 1e-6 * (k == 0)], jnp.float32)
    y, log_slope = spline.forward(RAWS[:, 5], x, BOUND)
    assert float(y[0]) == pytest.approx(low, abs=1e-4)
    assert float(log_slope[0]) == pytest.approx(np.log(derivative), abs=1e-2)


def test_extreme_numbers_stay_finite():
    raw = jnp.array([-1e6, 1e6] * 50)[: 4 * spline.size(BINS)]
    x = jnp.array([-3.9, 0.0, 3.9, 1e6])
    for value in spline.forward(raw, x, BOUND):
        assert np.isfinite(value).all()
    gradient = jax.grad(lambda raw: jnp.sum(spline.forward(raw, x, BOUND)[1]))(raw)
    assert np.isfinite(gradient).all()


def test_gradient_is_that_of_differences():
    # Every parameter of 12 splines whose x lie in different bins, and x itself; in float64, by
    # central differences of 1e-6, which are wrong by 1e-9 or so.
    raw, x = RAWS[:, ::25], X[::25] + 0.01

    def loss(raw, x):
        y, log_slope = spline.forward(raw.ravel(), x, BOUND)
        return jnp.sum(jnp.sin(y) + jnp.cos(log_slope))

    with jax.enable_x64(True):
        raw, x = (jnp.asarray(np.asarray(v, float)) for v in (raw, x))
        of_raw, of_x = jax.grad(loss, (0, 1))(raw, x)
        step = 1e-6
        moves = step * jnp.eye(raw.size).reshape(-1, *raw.shape)
        want = jax.lax.map(lambda m: (loss(raw + m, x) - loss(raw - m, x)) / (2 * step), moves)
        want_x = jax.lax.map(
            lambda m: (loss(raw, x + m) - loss(raw, x - m)) / (2 * step), step * jnp.eye(x.size)
        )
    np.testing.assert_allclose(of_raw, want.reshape(raw.shape), atol=1e-6)
    np.testing.assert_allclose(of_x, want_x, atol=1e-6)
    assert (np.abs(of_raw) > 1e-3).sum() > raw.size / 4


def test_rows_of_vmap_are_those_of_a_loop():
    raw, x = RAWS.T.reshape(5, 20, 3, -1), X.reshape(5, 20, 3)

    def both(raw, x):
        raw = raw.T.ravel()  # [3, size] -> dim numbers after dim numbers
        y, log_slope = spline.forward(raw, x, BOUND)
        slope = jax.grad(lambda x: jnp.sum(spline.forward(raw, x, BOUND)[0]))(x)
        return y, log_slope, slope, spline.inverse(raw, y, BOUND)

    got = jax.vmap(jax.vmap(both))(raw, x)
    want = jax.lax.map(lambda one: jax.lax.map(lambda two: both(*two), one), (raw, x))
    # float32; an error of 1e-6 in y is one of 1e-3 in the inverse where the slope is 1e-3.
    for g, w, tolerance in zip(got, want, [1e-5, 1e-4, 1e-5, 1e-3], strict=True):
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)
    # One spline for all x.
    shared = jax.vmap(lambda x: both(raw[0, 0], x)[0])(x[0])
    np.testing.assert_allclose(shared[0], got[0][0, 0], atol=1e-6)
