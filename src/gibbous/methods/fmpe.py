"""Flow matching posterior estimation.

    dz_t/dt = v(z_t, t, e(x)),      z_0 normal,      z_1 ~ q(z | x),
    loss = E_{p(theta, x), t, z_0} |v(z_t, t, e(x)) - (z_1 - z_0)|^2,      z_t = t z_1 + (1 - t) z_0

(Wildberger et al. 2023, arXiv 2305.17161). As no Jacobian is needed to train, v may be any network;
draws and densities are solutions of the equation. The estimator is in `estimators/velocity.py`;
everything around it is as for NPE.

Shapes: z [dim], x [*event_shape], e [e].
"""

from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.velocity import FlowMatching
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Spec
from gibbous.methods.npe import NPE
from gibbous.nets.base import AbstractEmbedding, Embedding
from gibbous.posteriors.direct import DirectPosterior
from gibbous.simulation.sources import Batch


class FMPE(AbstractMethod):
    """Flow matching posterior estimation: any network, draws and densities by an ODE.

    Args:
        embedding: recipe or network from a dataset to a vector, as for `gb.NPE`.
        estimator: recipe of the network and of how it is sampled.
        members: size of the ensemble, as for `gb.NPE`.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: FlowMatching = FlowMatching()
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
        return self._npe.init(key, spec)

    def loss(self, model: DirectPosterior, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """The estimator's loss of each row."""
        return self._npe.loss(model, batch, ctx)

    def posterior(self, model: DirectPosterior, latent: Latent) -> DirectPosterior:
        """The model is the posterior."""
        return model

    @property
    def _npe(self) -> NPE:
        return NPE(self.embedding, self.estimator, self.members)
