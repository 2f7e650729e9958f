"""Flow matching posterior estimation.

    dz_t/dt = v(z_t, t, e(x)),      z_0 normal,      z_1 ~ q(z | x),
    loss = E_{p(theta, x), t, z_0} |v(z_t, t, e(x)) - (z_1 - z_0)|^2,      z_t = t z_1 + (1 - t) z_0

(Wildberger et al. 2023, arXiv 2305.17161). As no Jacobian is needed to train, v may be any network;
draws and densities are solutions of the equation. The estimator is in `estimators/velocity.py`;
everything around it in `direct.py`.

Shapes: z [dim], x [*event_shape], e [e].
"""

from typing import ClassVar

from gibbous.estimators.velocity import FlowMatching
from gibbous.method import Pace
from gibbous.methods.direct import AbstractDirectMethod
from gibbous.nets.base import AbstractEmbedding, Embedding


class FMPE(AbstractDirectMethod):
    """Flow matching posterior estimation: any network, draws and densities by an ODE.

    Args:
        embedding: recipe or network from a dataset to a vector, as for `gb.NPE`.
        estimator: recipe of the network and of how it is sampled.
        members: size of the ensemble; None makes it 2 for fewer than 5,000 simulations, else 1.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: FlowMatching = FlowMatching()
    members: int | None = None
    several: ClassVar[int] = 2

    def pace(self, dim: int, n_train: int) -> Pace:
        """Many passes, and well regularised. What an embedding does at the higher rate, for so few
        steps, was not measured."""
        least, rate = (2_000, 1e-2) if self.embedding is None else (4_000, self.embedding_rate)
        return Pace(140, least, learning_rate=rate, weight_decay=0.1)
