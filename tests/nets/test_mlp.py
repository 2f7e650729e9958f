"""Embeddings of vectors: their shapes, what they refuse, and networks of the user's own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.errors import ConfigError, ShapeError
from gibbous.nets import EMBEDDINGS, MLP, Identity
from gibbous.nets.base import activation, build_embedding

KEY = jax.random.key(0)
ROWS = jnp.ones((4, 3))
X = jnp.array([0.3, -1.0, 2.0])


def test_shapes():
    for recipe, size in [
        (MLP(size=5, width=8), 8),
        (MLP(size=5, width=8, skip=False), 5),
        (Identity(), 3),
    ]:
        net, e = build_embedding(recipe, KEY, ROWS)
        assert e.shape == (4, size)
        out = net(X, None)
        assert out.shape == (size,)
        assert np.isfinite(out).all()


def test_the_vector_itself_passes_beside_the_network():
    with_skip = build_embedding(MLP(size=5, width=8), KEY, ROWS)[0](X, None)
    without = build_embedding(MLP(size=5, width=8, skip=False), KEY, ROWS)[0](X, None)
    np.testing.assert_array_equal(with_skip[:3], X)
    np.testing.assert_array_equal(with_skip[3:], without)
    np.testing.assert_array_equal(build_embedding(Identity(), KEY, ROWS)[0](X, None), X)


def test_the_formula():
    net, _ = build_embedding(
        MLP(size=2, width=4, depth=1, activation="tanh", skip=False), KEY, ROWS
    )
    (w1, b1), (w2, b2) = [(layer.weight, layer.bias) for layer in net.mlp.layers]
    want = w2 @ jnp.tanh(w1 @ X + b1) + b2
    np.testing.assert_allclose(net(X, None), want, rtol=1e-5)


def test_weights_come_from_the_key():
    first, same, other = (
        build_embedding(MLP(size=2, width=4), jax.random.key(k), ROWS)[0](X, None)
        for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("recipe", [MLP(), Identity()])
def test_sets_are_for_others(recipe, unchecked):
    with pytest.raises(ShapeError, match=r"vectors, got shape \(5, 2\).*gb\.DeepSet"):
        recipe.build(KEY, jnp.ones((4, 5, 2)))


def test_unknown_activation():
    with pytest.raises(ConfigError, match="such as 'silu', got 'relish'"):
        MLP(activation="relish").build(KEY, ROWS)
    assert activation("tanh")(0.5) == pytest.approx(np.tanh(0.5), rel=1e-6)


class Own(eqx.Module):
    """A ready network of the user's."""

    weight: jax.Array

    def __call__(self, x, mask):
        total = x if mask is None else x * mask[:, None]
        return self.weight @ total.sum(0)


class Scalar(eqx.Module):
    def __call__(self, x, mask):
        return x.sum()


def test_a_network_of_your_own():
    own = Own(jnp.ones((4, 2)))
    same, e = build_embedding(own, KEY, jnp.ones((5, 9, 2)))
    assert same is own
    assert e.tolist() == [[18.0] * 4] * 5
    assert own(jnp.ones((9, 2)), jnp.zeros(9)).tolist() == [0] * 4


def test_networks_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"cannot take a dataset of shape \(9, 3\)"):
        build_embedding(Own(jnp.ones((4, 2))), KEY, jnp.ones((5, 9, 3)))
    with pytest.raises(ShapeError, match="to return a vector, got"):
        build_embedding(Scalar(), KEY, jnp.ones((5, 9, 2)))


def test_the_registry_is_by_class_name():
    assert all(cls.__name__ == name for name, cls in EMBEDDINGS.items())
    assert {MLP, Identity} <= set(EMBEDDINGS.values())
