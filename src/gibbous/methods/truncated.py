"""Truncated proposals: each round draws from the prior, cut down to where the posterior is.

    pi_r(theta) ~ pi(theta) 1[theta in A_1, ..., A_r],
    A_r = {theta: q_{r-1}(theta | x_o) / pi(theta) > c_r},     q_{r-1}(A_r | x_o) = 1 - epsilon

(Deistler et al. 2022, arXiv 2210.04815; for ratios Miller et al. 2021, arXiv 2107.01214). Inside of
the last region the posterior under pi_r is that under pi, so the loss needs no correction, and any
method can be truncated. Rows of earlier rounds that lie inside are draws of pi_r as well, and are
used again; those outside are not. Cutting at q / pi, and not at q, gives the region of the least
prior mass, whatever the parameters are measured in.

`rounds.py` runs the rounds, `posteriors/region.py` has the region.
"""

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Model, Pace, Spec
from gibbous.posteriors.base import AbstractPosterior
from gibbous.simulation.sources import Batch


class Truncated(AbstractMethod):
    """A method whose rounds draw from the truncated prior: `gb.Truncated(gb.NPE())`.

    Args:
        method: any of `gb.METHODS`.
        epsilon: posterior mass that each region may leave out.

    Raises:
        ConfigError: if epsilon is not between 0 and 1/2.
    """

    method: AbstractMethod
    epsilon: float = 1e-4

    def __check_init__(self):
        if not 0 < self.epsilon < 0.5:
            raise ConfigError(f"expected an epsilon between 0 and 0.5, got {self.epsilon}")

    @property
    def learns_posterior(self) -> bool:
        """As the method does."""
        return self.method.learns_posterior

    @property
    def learns_data(self) -> bool:
        """As the method does."""
        return self.method.learns_data

    @property
    def any_proposal(self) -> bool:
        """No: from the prior, inside the region."""
        return False

    @property
    def takes_sets(self) -> bool:
        """As the method does."""
        return self.method.takes_sets

    def pace(self, dim: int, n_train: int) -> Pace:
        """That of the method."""
        return self.method.pace(dim, n_train)

    def init(self, key: Key, spec: Spec) -> Model:
        """The networks of the method."""
        return self.method.init(key, spec)

    def loss(self, model: Model, batch: Batch, ctx: Ctx):
        """The loss of the method."""
        return self.method.loss(model, batch, ctx)

    def posterior(self, model: Model, latent: Latent) -> AbstractPosterior:
        """The posterior of the method."""
        return self.method.posterior(model, latent)
