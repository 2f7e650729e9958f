"""A posterior that a network gives directly: q(z | e(x)), with e an embedding (NPE)."""

from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.base import AbstractDensity, AbstractEstimated
from gibbous.estimators.ensemble import with_steps
from gibbous.nets.base import Embedding
from gibbous.posteriors.base import AbstractPosterior
from gibbous.samplers.base import Trace


class DirectPosterior(AbstractPosterior):
    """An embedding and a conditional density behind it."""

    embedding: Embedding
    density: AbstractDensity

    @property
    def direct(self) -> bool:
        """Yes."""
        return True

    @property
    def tractable(self) -> bool:
        """If the density is."""
        return self.density.tractable

    @property
    def iid(self) -> bool:
        """No: the embedding sees the dataset as a whole."""
        return False

    def sample(
        self, key: Key, x: Float[Array, "..."], mask: Float[Array, " n"] | None, n: int
    ) -> Trace:
        """Draw n values of z."""
        z = self.density.sample(key, self.embedding(x, mask), n)
        return Trace(z[None], jnp.zeros(()))

    def log_prob(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Log density of z."""
        return self.density.log_prob(z, self.embedding(x, mask))

    @property
    def estimated(self) -> bool:
        """`log_prob` is an estimate."""
        return isinstance(self.density, AbstractEstimated) and self.density.estimated

    def log_prob_error(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Standard error of `log_prob`, where it is estimated."""
        assert isinstance(self.density, AbstractEstimated)
        return self.density.log_prob_error(z, self.embedding(x, mask))

    def with_steps(self, steps: int | None) -> "DirectPosterior":
        """The same, drawn from in `steps` steps.

        Raises:
            ConfigError: if its density is not drawn from in steps, or not in as many.
        """
        return replace(self, density=with_steps(self.density, steps))

    def width(self, n: int) -> int:
        """All of them."""
        return n
