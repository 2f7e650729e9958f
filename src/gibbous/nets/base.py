"""What an embedding is: a dataset in, a vector of learnt summaries out.

    e = f(x, mask),     x: [*event_shape],  mask: [n] for sets (1 counts, 0 is padding) or None.

An embedding is given to a method as a *recipe* (sizes only; it learns the event shape when the fit
begins, and sees some of the data, so that it can standardise what it computes) or as a ready
`eqx.Module` of the user's own with `__call__(x, mask) -> vector`.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError
from gibbous.recipe import AbstractRecipe


@runtime_checkable
class Embedding(Protocol):
    """A network from one dataset to a vector."""

    def __call__(self, x: Array, mask: Array | None, /) -> Array:
        """The vector of one dataset."""
        ...


class AbstractEmbedding(AbstractRecipe):
    """A recipe for an embedding: sizes now, weights when there are data."""

    @abstractmethod
    def build(self, key: Key, x: Float[Array, "rows ..."]) -> Embedding:
        """Make the network for datasets like those in `x`, [rows, *event_shape]."""


def build_embedding(
    recipe: AbstractEmbedding | Embedding, key: Key, x: Float[Array, "rows ..."]
) -> tuple[Embedding, Float[Array, "rows e"]]:
    """The network of a recipe (a ready network passes through), and its vectors for `x`.

    Raises:
        ShapeError: if it cannot take such datasets, or does not return a vector.
    """
    net = recipe.build(key, x) if isinstance(recipe, AbstractEmbedding) else recipe
    try:
        e = jax.vmap(lambda row: net(row, None))(x)
    except Exception as error:
        raise ShapeError(
            f"the embedding cannot take a dataset of shape {x.shape[1:]}: {error}"
        ) from error
    if not hasattr(e, "ndim") or e.ndim != 2:
        raise ShapeError(f"expected the embedding to return a vector, got {e}")
    return net, e


def activation(name: str) -> Callable[[Array], Array]:
    """An activation function of `jax.nn` by its name.

    Raises:
        ConfigError: if there is none of that name.
    """
    function: Any = getattr(jax.nn, name, getattr(jnp, name, None))
    if function is None:
        raise ConfigError(f"expected the name of a function of jax.nn such as 'silu', got {name!r}")
    return function
