"""Missing entries for embeddings that know of none: which they are is told beside the others.

    e = f([x', m], mask),      x' = x where present and 0 elsewhere,      m = 1 where x is missing,

joined along the last axis: a vector [d] becomes one of [2 d], a set or a series [n, d] one of
[n, 2 d]. x is standardised, so 0 is the mean of what was simulated. With m beside it f can tell a
missing entry from one that is near its mean (Wang et al. 2023, arXiv 2211.02660).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.nets.base import AbstractEmbedding, Embedding


class Indicators(AbstractEmbedding):
    """An embedding of datasets with missing entries, by one that takes them complete.

    A point of a set counts unless all of its entries are missing. (gb.DeepSet alone leaves out each
    that lacks any; inside of this, take `degree=0`, for the powers of m are m.)

    Args:
        embedding: recipe of the latter.
    """

    embedding: AbstractEmbedding

    @property
    def takes_sets(self) -> bool:
        """As the embedding does."""
        return self.embedding.takes_sets

    @property
    def takes_missing(self) -> bool:
        """Yes."""
        return True

    def build(
        self, key: Key, x: Float[Array, "rows ..."], mask: Float[Array, "rows n"] | None = None
    ) -> "_Indicators":
        """Make the network of the embedding, for twice as many features.

        Raises:
            ShapeError: if it cannot take such datasets.
        """
        if self.takes_sets:
            mask = _counts(x, mask)
        return _Indicators(self.embedding.build(key, _told(x), mask), self.takes_sets)


class _Indicators(eqx.Module):
    net: Embedding
    of_sets: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, "..."], mask: Array | None) -> Float[Array, " e"]:
        return self.net(_told(x), _counts(x, mask) if self.of_sets else mask)


def _counts(x: Array, mask: Array | None) -> Array:
    some = jnp.isfinite(x).any(axis=-1)
    return (some if mask is None else some & (mask > 0)).astype(x.dtype)


def _told(x: Array) -> Array:
    missing = jnp.isnan(x)
    return jnp.concatenate([jnp.where(missing, 0.0, x), missing.astype(x.dtype)], axis=-1)
