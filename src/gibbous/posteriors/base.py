"""A posterior over latent parameters: unbatched, pure, in standardised z; no units.

    z ~ q(z | x),      z in R^dim.

`Posterior` wraps one of these for the user: it vectorises, checks shapes, and speaks in the user's
parameters.
"""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.samplers.base import Trace


class AbstractPosterior(eqx.Module):
    """A distribution over z given one standardised dataset x (and its mask, for padded sets)."""

    @property
    @abstractmethod
    def direct(self) -> bool:
        """Draws are independent of each other, and a `log_prob` is normalised."""

    @property
    @abstractmethod
    def tractable(self) -> bool:
        """`log_prob` can be evaluated."""

    @property
    @abstractmethod
    def iid(self) -> bool:
        """x is a set [n, d] of independent points, of any length n."""

    @abstractmethod
    def sample(
        self, key: Key, x: Float[Array, "..."], mask: Float[Array, " n"] | None, n: int
    ) -> Trace:
        """Draw at least n values of z."""

    @abstractmethod
    def log_prob(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Log density of z."""

    @abstractmethod
    def width(self, n: int) -> int:
        """How many densities are evaluated side by side for n draws."""
