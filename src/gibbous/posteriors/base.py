"""A posterior over latent parameters: unbatched, pure, in standardised z; no prior, no units.

    z ~ q(z | x),      z in R^dim,

`Posterior` wraps one of these for the user: it vectorises, checks shapes, and speaks in the user's
parameters.
"""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from gibbous._types import Key


class AbstractPosterior(eqx.Module):
    """A distribution over z given one standardised dataset x (and its mask, for padded sets)."""

    @abstractmethod
    def sample(
        self, key: Key, x: Float[Array, "..."], mask: Float[Array, " n"] | None, n: int
    ) -> Float[Array, "{n} dim"]:
        """Draw n values of z."""

    @abstractmethod
    def log_prob(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Log density of z."""
