"""Atomic proposals: parameters from any proposal, told apart by the posterior that they deserve.

    loss_i = -log  w_i / sum_{k in atoms(i)} w_k,      w_k = q(z_k | x_i) / pi(z_k),

atoms(i) being z_i itself and some others of its batch. Whatever distribution the rows were drawn
from, it cancels, and the minimum is the posterior under the prior (SNPE-C, or APT: Greenberg et al.
2019, arXiv 1905.07488). The loss sees q only where there are atoms; that it is a density besides is
learnt from rows that the prior gave, to whose loss -log q(z_i | x_i) is added.

Proposals are the posterior of the round before, and lie inside the prior's support, as all of it
does. Shapes: z [B, dim], x [B, *event_shape].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import paramax
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Ctx, Pace, Spec
from gibbous.methods.npe import NPE
from gibbous.posteriors.direct import DirectPosterior
from gibbous.simulation.sources import Batch


class Atomic(AbstractMethod):
    """NPE whose rounds draw from the posterior: `gb.Atomic(gb.NPE())`.

    Args:
        method: the NPE.
        atoms: that each row is told apart from, itself included.

    Raises:
        ConfigError: on another method than NPE, or fewer than two atoms.
    """

    method: NPE = NPE()
    atoms: int = 16

    def __check_init__(self):
        if not isinstance(self.method, NPE):
            raise ConfigError(
                f"expected gb.NPE, whose density the loss needs, got {type(self.method).__name__}; "
                "gb.Truncated takes any method"
            )
        if self.atoms < 2:
            raise ConfigError(f"expected at least two atoms, got {self.atoms}")

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
        """Yes."""
        return True

    @property
    def takes_sets(self) -> bool:
        """As NPE does."""
        return self.method.takes_sets

    def pace(self, dim: int, n_train: int) -> Pace:
        """That of NPE."""
        return self.method.pace(dim, n_train)

    def init(self, key: Key, spec: Spec) -> "AtomicModel":
        """The networks of NPE, and the space that has the prior."""
        return AtomicModel(self.method.init(key, spec), paramax.NonTrainable(spec.latent))

    def loss(self, model: "AtomicModel", batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """The loss of each row."""
        z, rows = batch.z, len(batch.z)
        atoms = jnp.stack([jnp.roll(z, -i, axis=0) for i in range(min(self.atoms, rows))], axis=1)
        log_prior = model.latent.tree.log_prior(z)
        priors = jnp.stack([jnp.roll(log_prior, -i) for i in range(atoms.shape[1])], axis=1)
        e = batch.embedded(model.posterior.embedding)
        log_q = jax.vmap(jax.vmap(model.posterior.density.log_prob, (0, None)))(atoms, e)
        log_w = log_q - priors
        atomic = jax.nn.logsumexp(log_w, axis=1) - log_w[:, 0]
        if batch.round is None:
            return atomic - log_q[:, 0]
        return atomic - jnp.where(batch.round == 0, log_q[:, 0], 0.0)

    def posterior(self, model: "AtomicModel", latent: Latent) -> DirectPosterior:
        """The posterior that NPE learnt."""
        return model.posterior


class AtomicModel(NamedTuple):
    """The posterior, and the space of z, in which the prior has its density; it is not trained."""

    posterior: DirectPosterior
    latent: paramax.NonTrainable
