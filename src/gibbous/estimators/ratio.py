"""The classifier of ratio estimation: f(z, e) whose value is learnt to be log p(x | z) / p(x).

    h_0 = W z + V e + c,      h_{l+1} = h_l + U_l s(W_l s(h_l) + V_l e + c_l),      f = w . s(h_L),

residual blocks (He et al. 2016, arXiv 1512.03385), with the summary e of the data at each of them.

Shapes: z [dim], e [cond], f [].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.nets.base import activation
from gibbous.recipe import AbstractRecipe


class Classifier(AbstractRecipe):
    """Recipe of the classifier.

    Args:
        width: units of a layer. depth: number of residual blocks.
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

    first: eqx.nn.Linear
    blocks: list[tuple[eqx.nn.Linear, eqx.nn.Linear, eqx.nn.Linear]]
    last: eqx.nn.Linear
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, recipe: Classifier, dim: int, cond: int):
        keys = jax.random.split(key, 3 * recipe.depth + 2)
        width = recipe.width
        self.first = eqx.nn.Linear(dim + cond, width, key=keys[0])
        self.last = eqx.nn.Linear(width, 1, key=keys[1])
        self.blocks = [
            (
                eqx.nn.Linear(width, width, key=k[0]),
                eqx.nn.Linear(cond, width, use_bias=False, key=k[1]),
                eqx.nn.Linear(width, width, use_bias=False, key=k[2]),
            )
            for k in keys[2:].reshape(recipe.depth, 3)
        ]
        self.function = activation(recipe.activation)

    def __call__(self, z: Float[Array, " dim"], e: Float[Array, " cond"]) -> Float[Array, ""]:
        """The logit."""
        h = self.first(jnp.concatenate([z, e]))
        for of_h, of_e, out in self.blocks:
            h = h + out(self.function(of_h(self.function(h)) + of_e(e)))
        return self.last(self.function(h))[0]
