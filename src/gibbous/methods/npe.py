"""Neural posterior estimation.

    loss(phi) = E_{p(theta, x)} [ -log q_phi(z | e_phi(x)) ],      z = S(T^-1(theta)),

the forward Kullback-Leibler divergence to p(z | x), averaged over x, up to a constant; its minimum
is the posterior itself (Papamakarios & Murray 2016, arXiv 1605.06376; Greenberg et al. 2019, arXiv
1905.07488). e is an embedding of the dataset and q a conditional density estimator; `direct.py`
puts them together.

Shapes: z [dim], x [*event_shape], e [e].
"""

from typing import ClassVar

import numpy as np

from gibbous.estimators.base import AbstractEstimator
from gibbous.estimators.flow import AutoregressiveSpline
from gibbous.method import Pace
from gibbous.methods.direct import AbstractDirectMethod
from gibbous.nets.base import AbstractEmbedding, Embedding


class NPE(AbstractDirectMethod):
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
    several: ClassVar[int] = 4

    def pace(self, dim: int, n_train: int) -> Pace:
        """Slow at first on vectors as they are: where the regression that the density begins at is
        nearly right, training then comes by better ones before it overfits. An embedding that is
        learnt overfits meanwhile, and at the rate that suits vectors a wild batch can throw it
        far off. A network of many parameters and few simulations is held back. Sets, of which each
        pass shows other points, bear twice as many. All by measurement (docs/recipe.md)."""
        rate, warmup = (1e-2, 0.3) if self.embedding is None else (self.embedding_rate, 0.05)
        decay = float(np.clip(10 * dim**2 / n_train, 1e-4, 1.0))
        passes = 70 if self.takes_sets else 35
        return Pace(passes, 1_000, learning_rate=rate, warmup=warmup, weight_decay=decay)
