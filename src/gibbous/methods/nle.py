"""Neural likelihood estimation.

    loss(phi) = E_{p(theta, x)} [ -log q_phi(x | z) ],

the forward Kullback-Leibler divergence to p(x | z), averaged over z, up to a constant; the
posterior then is q(x_o | z) pi(z), to be sampled (Papamakarios et al. 2019, arXiv 1805.07226). For
a dataset of independent points x = {x_1, ..., x_n} with one z,

    log p(x | z) = sum_i log p(x_i | z):

q is learnt of one point, and serves datasets of any size.

x on a lattice, such as counts, is learnt spread over its cells (`simulation/discrete.py`).

Shapes: z [dim]; x [d], or [n, d] where points are iid.
"""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ShapeError
from gibbous.estimators.base import AbstractDensity, AbstractEstimator
from gibbous.estimators.ensemble import ensemble
from gibbous.estimators.flow import AutoregressiveSpline
from gibbous.estimators.mdn import MDN
from gibbous.estimators.mixture import AutoregressiveMixture
from gibbous.latent import Latent
from gibbous.method import FEW, AbstractMethod, Ctx, Pace, Spec
from gibbous.posteriors.mcmc import AbstractLikelihood, MCMCPosterior
from gibbous.samplers import SMC, AbstractSampler
from gibbous.simulation.sources import Batch, pairs, some_points

_FEW = 3  # numbers: a smaller network of more components suffices
# Of more numbers; the flow learns what is not normal about them, which takes many simulations, and
# of counts the edges of the cells that they are spread over.
_MIXTURE = MDN(components=4, width=128, depth=3)
_FLOW = AutoregressiveSpline(layers=2, covariance=(128, 128, 128))


class NLE(AbstractMethod):
    """Neural likelihood estimation: a network gives p(x | theta); the posterior is sampled.

    Args:
        estimator: recipe of the conditional density of x, or of one point; None takes
            `gb.MDN()` for up to 3 numbers, for a point of so many `gb.AutoregressiveMixture()`,
            and for more an ensemble of four: of `gb.MDN(components=4, width=128, depth=3)` for
            fewer than 5,000 simulations and for counts, else of `gb.AutoregressiveSpline(layers=2,
            covariance=(128, 128, 128))`; see docs/recipe.md.
        iid: datasets are sets [n, d] of independent points, each of density p(point | theta).
        points: drawn from each dataset at each step of training, where they are iid.
        members: size of an ensemble of `estimator`; None makes it 4 for fewer than 5,000
            simulations, else 1.
        sampler: of the posterior: gb.SMC(), gb.NUTS() or gb.NestedSlice().
    """

    estimator: AbstractEstimator | None = None
    iid: bool = False
    points: int = 16
    members: int | None = None
    sampler: AbstractSampler = SMC()

    @property
    def learns_posterior(self) -> bool:
        """No."""
        return False

    @property
    def learns_data(self) -> bool:
        """Yes."""
        return True

    @property
    def any_proposal(self) -> bool:
        """Yes: what is learnt of x given theta does not depend on where theta came from."""
        return True

    @property
    def takes_sets(self) -> bool:
        """No: points one by one."""
        return False

    def pace(self, dim: int, n_train: int) -> Pace:
        """Networks that are taken here by themselves gain by a high rate where simulations are few.
        It climbs slowly, so that where training overfits on the way the weights that are kept are
        those of a smaller one; many parameters are held back (docs/recipe.md)."""
        few = n_train < FEW
        if self.iid or self.estimator is not None:
            return Pace() if few else Pace(35, learning_rate=1e-2)
        rate = float(np.clip(n_train**-0.5, 1e-2, 3e-2))
        decay = float(np.clip(3e-3 * dim**5 / min(n_train, 1_000), 1e-4, 1.0))
        passes = 70 if few else 35
        return Pace(passes, learning_rate=rate, warmup=0.15, weight_decay=decay)

    def init(self, key: Key, spec: Spec) -> AbstractDensity:
        """Make the density.

        Raises:
            ShapeError: if datasets are no vectors, or no sets of points where they are iid.
        """
        x = spec.pilot.x
        if x.ndim != (3 if self.iid else 2):
            raise ShapeError(
                f"expected datasets that are {'sets of points [n, d]' if self.iid else 'vectors'}, "
                f"got shape {x.shape[1:]}. gb.NLE(iid=True) learns p(point | theta) of sets [n, d] "
                "of independent points; for images and series use gb.NRE or gb.NPE with an "
                "embedding, or simulate summaries"
            )
        z, x = pairs(spec.pilot) if self.iid else (spec.pilot.z, x)
        estimator, members = self.estimator, self.members
        if estimator is None and x.shape[1] <= _FEW:
            estimator = AutoregressiveMixture() if self.iid else MDN()
        elif estimator is None:
            estimator = _MIXTURE if spec.few or spec.lattice else _FLOW
            members = members or 4
        return ensemble(estimator, members, spec.few, 4).build(key, x, z)

    def loss(self, model: AbstractDensity, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """-log q(x | z) of each row, or its mean over some points of it."""
        z, x = batch.z, batch.x
        if self.iid:
            z, x = pairs(some_points(ctx.key, batch, self.points))
        keys = jax.random.split(ctx.key, len(z))
        each = jax.vmap(lambda x, z, key: model.loss(x, z, ctx.moment(key)))(x, z, keys)
        return each.reshape(len(batch.z), -1).mean(axis=1)

    def posterior(self, model: AbstractDensity, latent: Latent) -> MCMCPosterior:
        """The density as a function of z, times the prior."""
        return MCMCPosterior(Likelihood(density=model, iid=self.iid), latent, self.sampler)


class Likelihood(AbstractLikelihood):
    """q(x | z), x a vector."""

    density: AbstractDensity
    iid: bool = eqx.field(static=True)

    @property
    def normalised(self) -> bool:
        """A density of x."""
        return True

    def summarise(self, x: Float[Array, " d"], mask: Array | None) -> Float[Array, " d"]:
        """x itself."""
        return x

    def log_prob(self, z: Float[Array, " dim"], e: Float[Array, " d"]) -> Float[Array, ""]:
        """log q(x | z)."""
        return self.density.log_prob(e, z)
