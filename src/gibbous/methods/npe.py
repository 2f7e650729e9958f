"""Neural posterior estimation.

    loss(phi) = E_{p(theta, x)} [ -log q_phi(z | e_phi(x)) ],      z = S(T^-1(theta)),

the forward Kullback-Leibler divergence to p(z | x), averaged over x, up to a constant; its minimum
is the posterior itself (Papamakarios & Murray 2016, arXiv 1605.06376; Greenberg et al. 2019, arXiv
1905.07488). e is an embedding of the dataset and q a conditional density estimator.

Shapes: z [dim], x [*event_shape], e [e].
"""

import jax
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.estimators.base import AbstractEstimator
from gibbous.estimators.flow import AutoregressiveSpline
from gibbous.method import AbstractMethod, Ctx, Spec
from gibbous.nets.base import AbstractEmbedding, Embedding, build_embedding, embedding_size
from gibbous.nets.mlp import Identity
from gibbous.posteriors.direct import DirectPosterior
from gibbous.prior import Prior
from gibbous.simulation.sources import Batch


class NPE(AbstractMethod):
    """Neural posterior estimation: a network gives the posterior directly.

    Args:
        embedding: recipe or network from a dataset to a vector. `gb.DeepSet()` for sets of points
            [n, d]; vectors go in as they are (`gb.Identity()`) unless told otherwise.
        estimator: recipe of the conditional density.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: AbstractEstimator = AutoregressiveSpline()

    def init(self, key: Key, spec: Spec) -> DirectPosterior:
        """Make the networks.

        Raises:
            ConfigError: if datasets are no vectors and no embedding was chosen.
        """
        recipe = self.embedding
        if recipe is None:
            if len(spec.event_shape) != 1:
                raise ConfigError(
                    f"a dataset has shape {spec.event_shape}: say how to embed it, for a set of "
                    "points [n, d] by embedding=gb.DeepSet()"
                )
            recipe = Identity()
        key_embedding, key_density = jax.random.split(key)
        embedding = build_embedding(recipe, key_embedding, spec.event_shape)
        size = embedding_size(embedding, spec.event_shape)
        return DirectPosterior(embedding, self.estimator.build(key_density, spec.z_dim, size))

    def loss(self, model: DirectPosterior, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """-log q(z | e(x)) of each row."""
        return -jax.vmap(model.log_prob)(batch.z, batch.x, batch.mask)

    def posterior(self, model: DirectPosterior, prior: Prior) -> DirectPosterior:
        """The model is the posterior."""
        return model
