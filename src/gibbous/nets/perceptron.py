"""The multilayer perceptron inside of estimators, fast on many rows.

    h_1 = W_0 x + c_0,      h_{l+1} = W_l s(h_l) + c_l (+ h_l),      y = W_L s(h_L) + c_L,

with h_l where it is a residual one (He et al. 2016, arXiv 1603.05027), between hidden layers of one
size.

Only sums of products matrix @ (what each row has of its own) keep the rows of a `vmap` in the last
axis; anything else is transposed on its way, which costs more than the arithmetic (docs/recipe.md).
Hence c is the weight of a 1 that each row brings along.

Shapes: x [in], y [out].
"""

from collections.abc import Callable
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key


def uniform(key: Key, shapes: list[tuple[int, int]]) -> list[Float[Array, "_ _"]]:
    """Matrices of numbers between -1 and 1, cut from one draw: each draw takes .1 s to compile."""
    sizes = [rows * columns for rows, columns in shapes]
    numbers = jax.random.uniform(key, (sum(sizes),), minval=-1.0)
    parts = jnp.split(numbers, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


class Perceptron(eqx.Module):
    """x -> y; weights are uniform within 1/sqrt(in) at first, those of the last layer times `last`.

    Args:
        key: of the weights.
        sizes: of x, of each hidden layer, and of y.
        function: s.
        last: 0 begins at y = 0.
        residual: add to a hidden layer the one before.
    """

    weights: list[Float[Array, "_ _"]]
    biases: list[Float[Array, "_ 1"]]
    function: Callable[[Array], Array] = eqx.field(static=True)
    residual: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        sizes: list[int],
        function: Callable[[Array], Array],
        last: float = 1.0,
        residual: bool = False,
    ):
        # Bias and weights of a layer side by side, [out, 1 + in], of the same scale.
        layers = uniform(key, [(out, 1 + into) for into, out in pairwise(sizes)])
        scales = [into**-0.5 for into in sizes[:-1]]
        scales[-1] *= last
        layers = [scale * layer for scale, layer in zip(scales, layers, strict=True)]
        self.weights = [layer[:, 1:] for layer in layers]
        self.biases = [layer[:, :1] for layer in layers]
        self.function, self.residual = function, residual

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """y of one x."""
        one = jnp.append(x, 1.0)[-1:]
        last = len(self.weights) - 1
        h = self.weights[0] @ x + self.biases[0] @ one
        for i in range(1, last + 1):
            new = self.weights[i] @ self.function(h) + self.biases[i] @ one
            h = h + new if self.residual and i < last and new.size == h.size else new
        return h
