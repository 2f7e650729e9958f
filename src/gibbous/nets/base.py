"""What an embedding is: a dataset in, a vector of learnt summaries out.

    e = f(x, mask),     x: [*event_shape],  mask: [n] for sets (1 counts, 0 is padding) or None.

An embedding is given to a method as a *recipe* (sizes only; it learns the event shape when the fit
begins) or as a ready `eqx.Module` of the user's own with `__call__(x, mask) -> vector`.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError


@runtime_checkable
class Embedding(Protocol):
    """A network from one dataset to a vector."""

    def __call__(self, x: Array, mask: Array | None, /) -> Array:
        """The vector of one dataset."""
        ...


class AbstractEmbedding(eqx.Module):
    """A recipe for an embedding: sizes now, weights when the shape of the data is known."""

    @abstractmethod
    def build(self, key: Key, event_shape: tuple[int, ...]) -> Embedding:
        """Make the network for datasets of `event_shape`."""


def build_embedding(
    recipe: AbstractEmbedding | Embedding, key: Key, event_shape: tuple[int, ...]
) -> Embedding:
    """The network of a recipe; a ready network passes through."""
    return recipe.build(key, event_shape) if isinstance(recipe, AbstractEmbedding) else recipe


def embedding_size(embedding: Embedding, event_shape: tuple[int, ...]) -> int:
    """Length of the vector that `embedding` gives for datasets of `event_shape`.

    Raises:
        ShapeError: if it cannot take such datasets, or does not return a vector.
    """
    x = jax.ShapeDtypeStruct(event_shape, jnp.float32)
    try:
        out = eqx.filter_eval_shape(embedding, x, None)
    except Exception as error:
        raise ShapeError(
            f"the embedding cannot take a dataset of shape {event_shape}: {error}"
        ) from error
    if not hasattr(out, "shape") or len(out.shape) != 1:
        raise ShapeError(f"expected the embedding to return a vector, got {out}")
    return out.shape[0]


def activation(name: str) -> Callable[[Array], Array]:
    """An activation function of `jax.nn` by its name.

    Raises:
        ConfigError: if there is none of that name.
    """
    function = getattr(jax.nn, name, None) or getattr(jnp, name, None)
    if not callable(function):
        raise ConfigError(f"expected the name of a function of jax.nn such as 'silu', got {name!r}")
    return function
