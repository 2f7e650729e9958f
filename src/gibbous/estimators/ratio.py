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
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.nets.base import activation
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

    of_z: eqx.nn.MLP
    of_e: eqx.nn.MLP
    first: eqx.nn.Linear
    blocks: list[tuple[eqx.nn.Linear, eqx.nn.Linear, eqx.nn.Linear]]
    last: eqx.nn.Linear
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, recipe: Classifier, dim: int, cond: int):
        keys = jax.random.split(key, 3 * recipe.depth + 4)
        width, depth, function = recipe.width, recipe.depth, activation(recipe.activation)
        self.of_z = eqx.nn.MLP(dim, width, 2 * width, depth, function, key=keys[2])
        self.of_e = eqx.nn.MLP(cond, width, 2 * width, depth, function, key=keys[3])
        self.first = eqx.nn.Linear(dim + cond, width, key=keys[0])
        self.last = eqx.nn.Linear(width, 1, key=keys[1])
        self.blocks = [
            (
                eqx.nn.Linear(width, width, key=k[0]),
                eqx.nn.Linear(cond, width, use_bias=False, key=k[1]),
                eqx.nn.Linear(width, width, use_bias=False, key=k[2]),
            )
            for k in keys[4:].reshape(depth, 3)
        ]
        self.function = function

    def features(self, z: Float[Array, " dim"]) -> Float[Array, " width"]:
        """a(z), which serves every e."""
        return _bounded(self.of_z(z))

    def __call__(
        self, z: Float[Array, " dim"], a: Float[Array, " width"], e: Float[Array, " cond"]
    ) -> Float[Array, ""]:
        """The logit, of z, a = `features(z)` and e."""
        h = self.first(jnp.concatenate([z, e]))
        for of_h, of_e, out in self.blocks:
            h = h + out(self.function(of_h(self.function(h)) + of_e(e)))
        return a @ _bounded(self.of_e(e)) + self.last(self.function(h))[0]


def _bounded(features: Array) -> Array:
    return _BOUND * jnp.tanh(features / _BOUND)
