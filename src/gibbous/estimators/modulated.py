"""A network of a state, a time and a condition: residual blocks that time and condition modulate.

    g = s(A_2 s(A_1 (b, waves(time)) + c_1) + c_2),      h_0 = W (u, waves(u)) + c,
    h_{l+1} = h_l + U_l s((1 + gamma_l) (V_l s(h_l)) + beta_l),      (gamma_l, beta_l) = B_l g,
    out = W' s(h_L),

the modulation of Perez et al. 2018 (FiLM, arXiv 1709.07871) in residual blocks; it begins at zero.
Sines and cosines (waves) help where the output changes over a small part of the range of the state
(Tancik et al. 2020, arXiv 2006.10739).

Shapes: u, out [dim], b [cond], time [].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.locate import Locate, Regression
from gibbous.nets.base import activation

_FREQUENCIES = 6  # of time, multiples of a half period over [0, 1]
_OCTAVES = 2  # of the state, from one radian a standard deviation upwards


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
        self.first = eqx.nn.Linear(dim * (1 + 2 * _OCTAVES), width, key=keys[1])
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
        phases = jnp.outer(2.0 ** jnp.arange(_OCTAVES), u).ravel()
        h = self.first(jnp.concatenate([u, jnp.sin(phases), jnp.cos(phases)]))
        for v, out, modulation in self.blocks:
            gamma, beta = jnp.split(modulation(g), 2)
            h = h + out(s((1 + gamma) * v(s(h)) + beta))
        return self.last(s(h))


def located(
    recipe, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
) -> tuple[Locate | Regression, Modulated]:
    """The coordinates that a recipe asks for, and the network of what is to be learnt in them."""
    key_locate, key_network = jax.random.split(key)
    dim, cond, function = a.shape[1], b.shape[1], activation(recipe.activation)
    narrow = recipe.narrow
    normal = Locate(key_locate, a, b, recipe.width, function) if narrow else Regression(a, b)
    return normal, Modulated(key_network, dim, cond, recipe.width, recipe.depth, function)
