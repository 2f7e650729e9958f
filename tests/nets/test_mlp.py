"""Embeddings of vectors: their shapes, what they refuse, and networks of the user's own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.errors import ConfigError, ShapeError
from gibbous.nets import EMBEDDINGS, MLP, Identity
from gibbous.nets.base import activation, build_embedding, embedding_size

KEY = jax.random.key(0)
X = jnp.array([0.3, -1.0, 2.0])


def test_shapes():
    for recipe, size in [
        (MLP(size=5, width=8), 8),
        (MLP(size=5, width=8, skip=False), 5),
        (Identity(), 3),
    ]:
        net = build_embedding(recipe, KEY, (3,))
        assert embedding_size(net, (3,)) == size
        out = net(X, None)
        assert out.shape == (size,)
        assert np.isfinite(out).all()


def test_the_vector_itself_passes_beside_the_network():
    with_skip = build_embedding(MLP(size=5, width=8), KEY, (3,))(X, None)
    without = build_embedding(MLP(size=5, width=8, skip=False), KEY, (3,))(X, None)
    np.testing.assert_array_equal(with_skip[:3], X)
    np.testing.assert_array_equal(with_skip[3:], without)
    np.testing.assert_array_equal(build_embedding(Identity(), KEY, (3,))(X, None), X)


def test_the_formula():
    net = build_embedding(MLP(size=2, width=4, depth=1, activation="tanh", skip=False), KEY, (3,))
    (w1, b1), (w2, b2) = [(layer.weight, layer.bias) for layer in net.mlp.layers]
    want = w2 @ jnp.tanh(w1 @ X + b1) + b2
    np.testing.assert_allclose(net(X, None), want, rtol=1e-5)


def test_weights_come_from_the_key():
    first, same, other = (
        build_embedding(MLP(size=2, width=4), jax.random.key(k), (3,))(X, None) for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("recipe", [MLP(), Identity()])
def test_sets_are_for_others(recipe):
    with pytest.raises(ShapeError, match=r"vectors, got shape \(5, 2\).*gb\.DeepSet"):
        recipe.build(KEY, (5, 2))


def test_unknown_activation():
    with pytest.raises(ConfigError, match="such as 'silu', got 'relish'"):
        MLP(activation="relish").build(KEY, (3,))
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
    assert build_embedding(own, KEY, (9, 2)) is own
    assert embedding_size(own, (9, 2)) == 4
    assert own(jnp.ones((9, 2)), jnp.zeros(9)).tolist() == [0] * 4


def test_networks_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"cannot take a dataset of shape \(9, 3\)"):
        embedding_size(Own(jnp.ones((4, 2))), (9, 3))
    with pytest.raises(ShapeError, match="to return a vector, got"):
        embedding_size(Scalar(), (9, 2))


def test_the_registry_is_by_class_name():
    assert all(cls.__name__ == name for name, cls in EMBEDDINGS.items())
    assert {MLP, Identity} <= set(EMBEDDINGS.values())
