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
from gibbous.estimators.base import AbstractEstimator
from gibbous.estimators.ensemble import ensemble
from gibbous.estimators.flow import AutoregressiveSpline
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Spec
from gibbous.nets.base import AbstractEmbedding, Embedding, build_embedding
from gibbous.nets.mlp import choose_embedding
from gibbous.posteriors.direct import DirectPosterior
from gibbous.simulation.sources import Batch


class NPE(AbstractMethod):
    """Neural posterior estimation: a network gives the posterior directly.

    Args:
        embedding: recipe or network from a dataset to a vector. `gb.DeepSet()` for sets of points
            [n, d]; vectors go in as they are (`gb.Identity()`) unless told otherwise.
        estimator: recipe of the conditional density.
        members: size of the ensemble of densities behind the embedding; None makes it 4 for fewer
            than 5,000 simulations, which a single network overfits, and 1 otherwise.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: AbstractEstimator = AutoregressiveSpline()
    members: int | None = None

    @property
    def learns_posterior(self) -> bool:
        """Yes."""
        return True

    @property
    def learns_data(self) -> bool:
        """No."""
        return False

    def init(self, key: Key, spec: Spec) -> DirectPosterior:
        """Make the networks.

        Raises:
            ConfigError: if datasets are no vectors and no embedding was chosen.
        """
        key_embedding, key_density = jax.random.split(key)
        recipe = choose_embedding(self.embedding, spec.pilot.x)
        embedding, e = build_embedding(recipe, key_embedding, spec.pilot.x)
        estimator = ensemble(self.estimator, self.members, spec.n_simulations)
        return DirectPosterior(embedding, estimator.build(key_density, spec.pilot.z, e))

    def loss(self, model: DirectPosterior, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """-log q(z | e(x)) of each row."""

        def one(key: Key, z: Array, x: Array, mask: Array | None) -> Array:
            return model.density.loss(z, model.embedding(x, mask), ctx.moment(key))

        keys = jax.random.split(ctx.key, len(batch.z))
        return jax.vmap(one)(keys, batch.z, batch.x, batch.mask)

    def posterior(self, model: DirectPosterior, latent: Latent) -> DirectPosterior:
        """The model is the posterior."""
        return model
