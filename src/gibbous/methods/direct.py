"""What methods share whose network is the posterior itself: an embedding, an estimator behind it.

    loss = E_{p(theta, x)} [ l(z, e(x)) ],      l the loss of the estimator of q(z | e).

NPE, FMPE and CMPE differ in the estimator, and in nothing else.

Shapes: z [dim], x [*event_shape], e [e].
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.ensemble import ensemble
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Spec
from gibbous.nets.base import AbstractEmbedding, Embedding, build_embedding
from gibbous.nets.choice import choose_embedding
from gibbous.posteriors.direct import DirectPosterior
from gibbous.simulation.sources import Batch


class AbstractDirectMethod(AbstractMethod):
    """A method that learns the posterior as a whole; its final classes are made of fields."""

    embedding: eqx.AbstractVar[AbstractEmbedding | Embedding | None]
    estimator: eqx.AbstractVar[Any]  # AbstractEstimator, of a kind that the final class chooses
    members: eqx.AbstractVar[int | None]
    several: ClassVar[int]  # members where simulations are few, if nothing is said

    @property
    def learns_posterior(self) -> bool:
        """Yes."""
        return True

    @property
    def learns_data(self) -> bool:
        """No."""
        return False

    @property
    def any_proposal(self) -> bool:
        """No: what is learnt is the posterior under the distribution that was simulated from."""
        return False

    @property
    def takes_sets(self) -> bool:
        """As the embedding does."""
        return isinstance(self.embedding, AbstractEmbedding) and self.embedding.takes_sets

    def init(self, key: Key, spec: Spec) -> DirectPosterior:
        """Make the networks.

        Raises:
            ConfigError: if datasets are no vectors and no embedding was chosen.
        """
        key_embedding, key_density = jax.random.split(key)
        x, mask = spec.pilot.x, spec.pilot.mask
        recipe = choose_embedding(self.embedding, x, spec.missing)
        embedding, e = build_embedding(recipe, key_embedding, x, mask)
        estimator = ensemble(self.estimator, self.members, spec.few, self.several)
        return DirectPosterior(embedding, estimator.build(key_density, spec.pilot.z, e))

    def loss(self, model: DirectPosterior, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """The estimator's loss of each row."""

        def one(key: Key, z: Array, e: Array) -> Array:
            return model.density.loss(z, e, ctx.moment(key))

        keys = jax.random.split(ctx.key, len(batch.z))
        return jax.vmap(one)(keys, batch.z, batch.embedded(model.embedding))

    def posterior(self, model: DirectPosterior, latent: Latent) -> DirectPosterior:
        """The model is the posterior."""
        return model
