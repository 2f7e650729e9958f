"""The classifier of ratio estimation: f(z, e) whose value is learnt to be log p(x | z) / p(x).

    f = a(z) . b(e) + w . s(h_L),
    h_0 = W z + V e + c,      h_{l+1} = h_l + U_l s(W_l s(h_l) + V_l e + c_l).

The inner product of what z and what e have each been made into (a, b perceptrons of their own) is
how an exponential family begins, and takes few simulations to learn; residual blocks (He et al.
2016, arXiv 1512.03385), with the summary e of the data at each of them, add what it leaves out.

a and b are bounded by 8 in each element: far from what was simulated their product would run away.

Shapes: z [dim], e [cond], a, b [width], f [].
"""

from collections.abc import Callable

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
        width: units of a layer, and length of a and b, whose layers have twice as many.
        depth: number of residual blocks, and of the hidden layers of a and b.
        activation: name of a function of `jax.nn`.
    """

    width: int = 64
    depth: int = 3
    activation: str = "silu"

    def build(self, key: Key, dim: int, cond: int) -> "Ratio":
        """Make the network for z [dim] and e [cond]."""
        return Ratio(key, self, dim, cond)


class Ratio(eqx.Module):
    """A built classifier."""

    net_z: Perceptron
    net_e: Perceptron
    first: Float[Array, "width _"]
    blocks: list[tuple[Float[Array, "width _"], ...]]  # W, (V, c), U of each
    last: Float[Array, "1 width"]
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, recipe: Classifier, dim: int, cond: int):
        width, depth = recipe.width, recipe.depth
        self.function = activation(recipe.activation)
        key_z, key_e, key_rest = jax.random.split(key, 3)
        inner = [2 * width] * depth
        self.net_z = Perceptron(key_z, [dim, *inner, width], self.function)
        self.net_e = Perceptron(key_e, [cond, *inner, width], self.function)
        into = [dim + cond + 1, *[width, cond + 1, width] * depth]
        shapes = [*((width, i) for i in into), (1, width)]
        self.first, *blocks, self.last = [
            w / np.sqrt(w.shape[1]) for w in uniform(key_rest, shapes)
        ]
        self.blocks = list(zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True))

    def of_z(self, z: Float[Array, " dim"]) -> Float[Array, " width"]:
        """a(z)."""
        return _bounded(self.net_z(z))

    def of_e(self, e: Float[Array, " cond"]) -> Float[Array, " width"]:
        """b(e)."""
        return _bounded(self.net_e(e))

    def __call__(
        self,
        z: Float[Array, " dim"],
        e: Float[Array, " cond"],
        a: Float[Array, " width"],
        b: Float[Array, " width"],
    ) -> Float[Array, ""]:
        """The logit, a being `of_z(z)` and b `of_e(e)`, which pairs can share."""
        s, e_and_one = self.function, jnp.append(e, 1.0)
        h = self.first @ jnp.concatenate([z, e_and_one])
        for of_h, of_e, out in self.blocks:
            h = h + out @ s(of_h @ s(h) + of_e @ e_and_one)
        return a @ b + (self.last @ s(h))[0]


def _bounded(features: Array) -> Array:
    return _BOUND * jnp.tanh(features / _BOUND)
