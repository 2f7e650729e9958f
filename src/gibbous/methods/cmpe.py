"""Consistency model posterior estimation.

    z = f(sigma eps, sigma, e(x)),      eps ~ N(0, I),      z ~ q(z | x),

where f jumps from any point of a path between noise and data to the end of that path, and is
trained to give the same end from neighbouring points (Schmitt et al. 2024, arXiv 2312.05440). The
network is as free as in FMPE, and a draw takes one step or a few; it has no density. The estimator
is in `estimators/consistency.py`; everything around it in `direct.py`.

Shapes: z [dim], x [*event_shape], e [e].
"""

from typing import ClassVar

from gibbous.estimators.consistency import Consistency
from gibbous.method import Pace
from gibbous.methods.direct import AbstractDirectMethod
from gibbous.nets.base import AbstractEmbedding, Embedding


class CMPE(AbstractDirectMethod):
    """Consistency model posterior estimation: any network, draws in a few steps, no density.

    Args:
        embedding: recipe or network from a dataset to a vector, as for `gb.NPE`.
        estimator: recipe of the network and of how it is sampled.
        members: size of the ensemble, as for `gb.NPE`.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    estimator: Consistency = Consistency()
    members: int | None = None
    several: ClassVar[int] = 4

    def pace(self, dim: int, n_train: int) -> Pace:
        """Twice as long, at a lower rate."""
        return Pace(140, 4_000, learning_rate=2e-3)
