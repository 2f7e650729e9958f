"""A posterior that a network gives directly: q(z | e(x)), with e an embedding (NPE)."""

from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.base import AbstractDensity
from gibbous.nets.base import Embedding
from gibbous.posteriors.base import AbstractPosterior


class DirectPosterior(AbstractPosterior):
    """An embedding and a conditional density behind it."""

    embedding: Embedding
    density: AbstractDensity

    def sample(
        self, key: Key, x: Float[Array, "..."], mask: Float[Array, " n"] | None, n: int
    ) -> Float[Array, "{n} dim"]:
        """Draw n values of z."""
        return self.density.sample(key, self.embedding(x, mask), n)

    def log_prob(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Log density of z."""
        return self.density.log_prob(z, self.embedding(x, mask))
