"""The perceptron inside of estimators."""

import jax
import jax.numpy as jnp
import numpy as np

from gibbous.nets.perceptron import Perceptron

X = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)), jnp.float32)


def test_it_is_the_formula_row_by_row():
    net = Perceptron(jax.random.key(0), [3, 16, 8, 2], jax.nn.silu)
    h = np.asarray(X, np.float64)
    for i, (w, c) in enumerate(zip(net.weights, net.biases, strict=True)):
        h = h @ np.asarray(w).T + np.asarray(c).T
        h = h / (1 + np.exp(-h)) if i < 2 else h
    np.testing.assert_allclose(jax.vmap(net)(X), h, atol=1e-5)
    assert np.abs(np.concatenate([np.ravel(c) for c in net.biases])).min() > 1e-4  # they count


def test_a_residual_one_adds_the_hidden_layer_before_where_sizes_agree():
    sizes = [16, 16, 16, 8, 8]  # of x, and of y, as well: to y nothing is added, nor x to anything
    net = Perceptron(jax.random.key(0), sizes, jnp.tanh, residual=True)
    x = np.random.default_rng(1).normal(size=16)
    layers = zip(net.weights, net.biases, strict=True)
    (w0, c0), (w1, c1), (w2, c2), (w3, c3) = (
        (np.asarray(w, np.float64), np.asarray(c[:, 0], np.float64)) for w, c in layers
    )
    h = w0 @ x + c0
    h = h + w1 @ np.tanh(h) + c1
    h = w2 @ np.tanh(h) + c2
    want = w3 @ np.tanh(h) + c3
    np.testing.assert_allclose(net(jnp.asarray(x, jnp.float32)), want, atol=1e-5)


def test_weights_keep_numbers_of_order_one():
    net = Perceptron(jax.random.key(1), [400, 300, 5], jax.nn.silu)
    for w, c in zip(net.weights, net.biases, strict=True):
        bound = w.shape[1] ** -0.5
        # Of 1,500 uniform numbers the largest is within 1% of the bound but for exp(-15).
        assert 0.99 * bound < np.abs(w).max() <= bound
        assert np.abs(c).max() <= bound


def test_it_can_begin_at_zero_and_learns_from_there():
    net = Perceptron(jax.random.key(0), [3, 16, 2], jax.nn.silu, last=0.0)
    assert not np.any(jax.vmap(net)(X))
    grad = jax.grad(lambda net: jnp.sum(jax.vmap(net)(X)))(net)
    assert np.abs(grad.weights[-1]).min() > 0
