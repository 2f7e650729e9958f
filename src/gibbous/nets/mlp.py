"""Multilayer perceptron for datasets that are vectors: e = W_L s(... s(W_1 x + b_1) ...) + b_L."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ShapeError
from gibbous.nets.base import AbstractArrayEmbedding, activation


class MLP(AbstractArrayEmbedding):
    """A multilayer perceptron from a vector to a vector, beside which the vector itself passes.

    Args:
        size: length of the learnt part of the embedding.
        width: units in each hidden layer.
        depth: number of hidden layers.
        activation: name of a function of `jax.nn`.
        skip: append the (standardised) input, so that nothing of a short vector is lost.
    """

    size: int = 32
    width: int = 64
    depth: int = 2
    activation: str = "silu"
    skip: bool = True

    def build(self, key: Key, x: Float[Array, "rows d"], mask: Array | None = None) -> "_MLP":
        """Make the network.

        Raises:
            ShapeError: if a dataset is no vector.
        """
        if x.ndim != 2:
            raise ShapeError(
                f"gb.MLP takes datasets that are vectors, got shape {x.shape[1:]}; "
                "a set of points [n, d] is for gb.DeepSet()"
            )
        function = activation(self.activation)
        mlp = eqx.nn.MLP(x.shape[1], self.size, self.width, self.depth, function, key=key)
        return _MLP(mlp, self.skip)


class _MLP(eqx.Module):
    mlp: eqx.nn.MLP
    skip: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"], mask: Array | None = None) -> Float[Array, " e"]:
        return jnp.concatenate([x, self.mlp(x)]) if self.skip else self.mlp(x)


class Identity(AbstractArrayEmbedding):
    """The dataset itself, for vectors that are good summaries already."""

    def build(self, key: Key, x: Float[Array, "rows d"], mask: Array | None = None) -> "_Identity":
        """Make the network.

        Raises:
            ShapeError: if a dataset is no vector.
        """
        if x.ndim != 2:
            raise ShapeError(
                f"gb.Identity takes datasets that are vectors, got shape {x.shape[1:]}; "
                "a set of points [n, d] is for gb.DeepSet()"
            )
        return _Identity()


class _Identity(eqx.Module):
    def __call__(self, x: Float[Array, " d"], mask: Array | None = None) -> Float[Array, " d"]:
        return x
