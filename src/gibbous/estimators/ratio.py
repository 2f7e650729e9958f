"""The classifier of ratio estimation: f(z, e) whose value is learnt to be log p(x | z) / p(x).

    f = a(z) . b(e) + w . s(h_L),
    h_0 = u(z) + v(e),      h_{l+1} = h_l + U_l s(W_l s(h_l) + V_l e + c_l).

What z and what e have each been made into meet twice. Their inner product (a, b) is how an
exponential family begins, and takes few simulations to learn; residual blocks on their sum (u, v;
He et al. 2016, arXiv 1512.03385), with the summary e of the data at each of them, add what it
leaves out. All but the product and the blocks is computed once for each z and each e, and not for
each pair, so the blocks are narrow.

a and u are what one perceptron makes of z, b and v of e, with a linear map besides to u and to v.
a and b are bounded by 8 in each element: far from what was simulated their product would run away.

Shapes: z [dim], e [cond], a, b [width], u, v, h [width / 2], f [].
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.nets.base import activation
from gibbous.nets.perceptron import Perceptron, uniform
from gibbous.recipe import AbstractRecipe

_BOUND = 8.0


class Classifier(AbstractRecipe):
    """Recipe of the classifier.

    Args:
        width: length of a and b; layers before them have twice as many units, blocks half as many.
        depth: number of residual blocks, and of the hidden layers before a and b.
        activation: name of a function of `jax.nn`.
    """

    width: int = 64
    depth: int = 3
    activation: str = "silu"

    def build(self, key: Key, dim: int, cond: int) -> "Ratio":
        """Make the network for z [dim] and e [cond]."""
        return Ratio(key, self, dim, cond)


class OfZ(NamedTuple):
    """What f needs of z."""

    a: Float[Array, " width"]
    u: Float[Array, " half"]


class OfE(NamedTuple):
    """What f needs of e; shifts: V_l e + c_l."""

    b: Float[Array, " width"]
    v: Float[Array, " half"]
    shifts: tuple[Float[Array, " half"], ...]


class Ratio(eqx.Module):
    """A built classifier."""

    net_z: Perceptron
    net_e: Perceptron
    skip_z: Float[Array, "half dim"]
    skip_e: Float[Array, "half cond"]
    blocks: tuple[tuple[Float[Array, "half _"], ...], ...]  # W, (V, c), U of each
    last: Float[Array, "1 half"]
    width: int = eqx.field(static=True)
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, recipe: Classifier, dim: int, cond: int):
        width, half, depth = recipe.width, max(1, recipe.width // 2), recipe.depth
        self.width, self.function = width, activation(recipe.activation)
        key_z, key_e, key_rest = jax.random.split(key, 3)
        inner = [2 * width] * depth
        self.net_z = Perceptron(key_z, [dim, *inner, width + half], self.function)
        self.net_e = Perceptron(key_e, [cond, *inner, width + half], self.function)
        into = [dim, cond, *[half, cond + 1, half] * depth]
        shapes = [*((half, i) for i in into), (1, half)]
        self.skip_z, self.skip_e, *blocks, self.last = [
            w / np.sqrt(w.shape[1]) for w in uniform(key_rest, shapes)
        ]
        self.blocks = tuple(zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True))

    def of_z(self, z: Float[Array, " dim"]) -> OfZ:
        """a(z) and u(z), which pairs can share."""
        a, u = jnp.split(self.net_z(z), [self.width])
        return OfZ(_bounded(a), u + self.skip_z @ z)

    def of_e(self, e: Float[Array, " cond"]) -> OfE:
        """b(e) and v(e), and what e is to the blocks."""
        b, v = jnp.split(self.net_e(e), [self.width])
        e_and_one = jnp.append(e, 1.0)
        shifts = tuple(of_e @ e_and_one for _, of_e, _ in self.blocks)
        return OfE(_bounded(b), v + self.skip_e @ e, shifts)

    def __call__(self, of_z: OfZ, of_e: OfE) -> Float[Array, ""]:
        """The logit."""
        s, h = self.function, of_z.u + of_e.v
        for (of_h, _, out), shift in zip(self.blocks, of_e.shifts, strict=True):
            h = h + out @ s(of_h @ s(h) + shift)
        return of_z.a @ of_e.b + (self.last @ s(h))[0]


def _bounded(features: Array) -> Array:
    return _BOUND * jnp.tanh(features / _BOUND)
