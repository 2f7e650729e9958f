"""Consistency model posterior estimation.

    z = f(sigma eps, sigma, e(x)),      eps ~ N(0, I),      z ~ q(z | x),

where f jumps from any point of a path between noise and data to the end of that path, and is
trained to give the same end from neighbouring points (Schmitt et al. 2024, arXiv 2312.05440). The
network is as free as in FMPE, and a draw takes one step or a few; it has no density. The estimator
is in `estimators/consistency.py`; everything around it is as for NPE.

Shapes: z [dim], x [*event_shape], e [e].
"""

from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.consistency import Consistency
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Spec
from gibbous.methods.npe import NPE
from gibbous.nets.base import AbstractEmbedding, Embedding
from gibbous.posteriors.direct import DirectPosterior
from gibbous.simulation.sources import Batch


class CMPE(AbstractMethod):
    """Consistency model posterior estimation: any network, draws in a few steps, no density.

    Args:
        embedding: recipe or network from a dataset to a vector, as for `gb.NPE`.
        estimator: recipe of the network and of how it is sampled.
        members: size of the ensemble, as for `gb.NPE`.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: Consistency = Consistency()
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
