"""What an embedding is: a dataset in, a vector of learnt summaries out.

    e = f(x, mask),     x: [*event_shape],  mask: [n] for sets (1 counts, 0 is padding) or None.

An embedding is given to a method as a *recipe* (sizes only; it learns the event shape when the fit
begins, and sees some of the data, so that it can standardise what it computes) or as a ready
`eqx.Module` of the user's own with `__call__(x, mask) -> vector`. Entries of x that are missing are
NaN, for which `gb.Indicators` prepares a recipe that cannot take them.
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

    @property
    @abstractmethod
    def takes_sets(self) -> bool:
        """Datasets are sets [n, d] of any number of points in any order, with masks."""

    @property
    @abstractmethod
    def takes_missing(self) -> bool:
        """It knows what to make of entries that are NaN."""

    @abstractmethod
    def build(
        self, key: Key, x: Float[Array, "rows ..."], mask: Float[Array, "rows n"] | None = None
    ) -> Embedding:
        """Make the network for datasets like those in `x`, [rows, *event_shape]; mask: of sets of
        different sizes, which only those get that `takes_sets`."""


class AbstractSetEmbedding(AbstractEmbedding):
    """One of sets of points. A point that lacks an entry does not count."""

    @property
    def takes_sets(self) -> bool:
        """Yes."""
        return True

    @property
    def takes_missing(self) -> bool:
        """Yes."""
        return True


class AbstractArrayEmbedding(AbstractEmbedding):
    """One of datasets that are all of one shape, and complete."""

    @property
    def takes_sets(self) -> bool:
        """No."""
        return False

    @property
    def takes_missing(self) -> bool:
        """No."""
        return False


def build_embedding(
    recipe: AbstractEmbedding | Embedding,
    key: Key,
    x: Float[Array, "rows ..."],
    mask: Float[Array, "rows n"] | None = None,
) -> tuple[Embedding, Float[Array, "rows e"]]:
    """The network of a recipe (a ready network passes through), and its vectors for `x`.

    Raises:
        ShapeError: if it cannot take such datasets, or does not return a vector.
    """
    ready = not isinstance(recipe, AbstractEmbedding)
    if mask is not None and not ready and not recipe.takes_sets:
        raise ShapeError(
            f"datasets are sets of different sizes, which gb.{type(recipe).__name__} cannot take; "
            "gb.DeepSet and gb.SetTransformer can"
        )
    net = recipe if ready else recipe.build(key, x, mask)
    try:
        e = jax.vmap(net, (0, None if mask is None else 0))(x, mask)
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
