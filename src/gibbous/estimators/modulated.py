"""A network of a state, a time and a condition: residual blocks that time and condition modulate.

    g = s(A_2 s(A_1 (b, features(time)) + c_1) + c_2),      h_0 = W u + c,
    h_{l+1} = h_l + U_l s((1 + gamma_l) (V_l s(h_l)) + beta_l),      (gamma_l, beta_l) = B_l g,
    out = W' s(h_L),

the modulation of Perez et al. 2018 (FiLM, arXiv 1709.07871) in residual blocks; it begins at zero.

Shapes: u, out [dim], b [cond], time [].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.locate import Locate
from gibbous.nets.base import activation

_FREQUENCIES = 6


class Modulated(eqx.Module):
    """The network."""

    condition: eqx.nn.MLP
    first: eqx.nn.Linear
    blocks: list[tuple[eqx.nn.Linear, eqx.nn.Linear, eqx.nn.Linear]]  # V, U, B
    last: eqx.nn.Linear
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, dim: int, cond: int, width: int, depth: int, function: Callable):
        keys = jax.random.split(key, 3 * depth + 3)
        self.function = function
        size = cond + 1 + 2 * _FREQUENCIES
        self.condition = eqx.nn.MLP(size, width, width, 1, function, function, key=keys[0])
        self.first = eqx.nn.Linear(dim, width, key=keys[1])
        last = eqx.nn.Linear(width, dim, key=keys[2])
        self.last = jax.tree.map(jnp.zeros_like, last)
        self.blocks = [
            (
                eqx.nn.Linear(width, width, key=k[0]),
                eqx.nn.Linear(width, width, key=k[1]),
                eqx.nn.Linear(width, 2 * width, key=k[2]),
            )
            for k in keys[3:].reshape(depth, 3)
        ]

    def __call__(
        self, u: Float[Array, " dim"], time: Float[Array, ""], b: Float[Array, " cond"]
    ) -> Float[Array, " dim"]:
        """The output; time should be of order one."""
        angles = jnp.pi * time * jnp.arange(1, _FREQUENCIES + 1)
        features = jnp.concatenate([b, time[None], jnp.sin(angles), jnp.cos(angles)])
        g, s = self.condition(features), self.function
        h = self.first(u)
        for v, out, modulation in self.blocks:
            gamma, beta = jnp.split(modulation(g), 2)
            h = h + out(s((1 + gamma) * v(s(h)) + beta))
        return self.last(s(h))


def located(
    recipe, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
) -> tuple[Locate, Modulated]:
    """The normal density of a recipe, begun at these pairs, and the network of what is left."""
    key_locate, key_network = jax.random.split(key)
    dim, cond, function = a.shape[1], b.shape[1], activation(recipe.activation)
    network = Modulated(key_network, dim, cond, recipe.width, recipe.depth, function)
    return Locate(key_locate, a, b, recipe.width, function), network
