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
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.locate import Locate, Regression
from gibbous.nets.base import activation
from gibbous.nets.perceptron import uniform

_FREQUENCIES = 6  # of time, multiples of a half period over [0, 1]
_OCTAVES = 2  # of the state, from one radian a standard deviation upwards


class _Affine(eqx.Module):
    """x -> W x + c; (W, c) sqrt(in) come side by side."""

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]

    def __init__(self, both: Float[Array, "out in_and_one"]):
        both = both / np.sqrt(both.shape[1] - 1)
        self.weight, self.bias = both[:, :-1], both[:, -1]

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        return self.weight @ x + self.bias


class Modulated(eqx.Module):
    """The network."""

    condition: tuple[_Affine, _Affine]  # A_1, A_2
    first: _Affine
    blocks: list[tuple[_Affine, _Affine, _Affine]]  # V, U, B
    last: _Affine
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, dim: int, cond: int, width: int, depth: int, function: Callable):
        block = [(width, width), (width, width), (2 * width, width)]
        state, time = dim * (1 + 2 * _OCTAVES), 1 + 2 * _FREQUENCIES
        sizes = [(width, cond + time), (width, width), (width, state), *block * depth, (dim, width)]
        layers = [_Affine(w) for w in uniform(key, [(out, into + 1) for out, into in sizes])]
        self.condition, self.first = (layers[0], layers[1]), layers[2]
        self.blocks = list(zip(layers[3:-1:3], layers[4:-1:3], layers[5:-1:3], strict=True))
        self.last = jax.tree.map(jnp.zeros_like, layers[-1])
        self.function = function

    def __call__(
        self, u: Float[Array, " dim"], time: Float[Array, ""], b: Float[Array, " cond"]
    ) -> Float[Array, " dim"]:
        """The output; time should be of order one."""
        s, (a_1, a_2) = self.function, self.condition
        angles = jnp.pi * time * jnp.arange(1, _FREQUENCIES + 1)
        g = s(a_2(s(a_1(jnp.concatenate([b, time[None], jnp.sin(angles), jnp.cos(angles)])))))
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
