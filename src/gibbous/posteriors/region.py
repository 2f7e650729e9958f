"""Where the posterior of one observation is, and draws of the prior from there.

    A = {theta: log r(theta) > c},      r = q(theta | x) / pi(theta),

r being the likelihood up to a constant: of all regions that hold as much posterior mass, A holds
the least prior mass. c is a quantile of log r over draws of q. Where q has no density it is taken
from the distance rho_k to the k-th neighbour among draws, log q = -dim log rho_k (Loftsgaarden &
Quesenberry 1965).

Draws of pi 1[A], which may hold a millionth of the prior: a population begins at draws of q and is
led to the prior by tempered sequential Monte Carlo (`samplers/smc.py`) through

    p_t(z)  ~  q(z | x) r(z)^{-beta} 1[z in A],      beta: 0 -> 1.

It never leaves A, so nothing is rejected for lying outside.

Shapes: z [dim], x [*event_shape]; theta is a dict of arrays [n, *shape].
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key, Theta
from gibbous.compilation import jit
from gibbous.errors import ConfigError
from gibbous.posteriors.blocks import Core
from gibbous.posteriors.draws import Draws
from gibbous.posteriors.mcmc import MCMCPosterior
from gibbous.posteriors.posterior import Posterior
from gibbous.samplers import SMC, Target

_BLOCK = 1_024  # rows looked at at a time: one program for any number
_NEIGHBOUR = 10
_FLOOR = -1e10  # in the place of the density outside


@dataclass(frozen=True)
class Region:
    """The part of the prior that holds all but a little of a posterior.

    `threshold` is c; `pool` are draws of the posterior, of which those that the density was taken
    from come first, in the space z.
    """

    core: Core
    x: np.ndarray
    mask: np.ndarray | None
    threshold: np.float32
    pool: Float[np.ndarray, "m dim"]

    @classmethod
    def of(cls, posterior: Posterior, x: Any, draws: Draws, epsilon: float) -> "Region":
        """Leaves out `epsilon` of the posterior, or one draw in `draws` if that is more.

        Args:
            posterior: with densities or without.
            x: one observation.
            draws: of the posterior given x.
            epsilon: posterior mass outside.

        Raises:
            ConfigError: if a parameter is discrete.
        """
        if posterior.latent.discrete:
            raise ConfigError(
                f"{list(posterior.latent.discrete)} is discrete, and its prior cannot be "
                "truncated: use gb.NLE() or gb.NRE() as it is, or leave it out of parameters="
            )
        observed = posterior.observed(x)
        core = Core(posterior.approximation, posterior.latent, posterior.x_scaler)
        mask = None if observed.mask is None else observed.mask[0]
        pool = np.asarray(posterior.latent.encode(dict(draws.values)))
        anywhere = cls(core, observed.x[0], mask, np.float32(-np.inf), pool)
        ratio = anywhere._log_ratio({k: v[len(pool) // 2 :] for k, v in draws.values.items()})
        threshold = np.quantile(ratio[np.isfinite(ratio)], epsilon, method="lower")
        return cls(core, observed.x[0], mask, np.float32(threshold), pool)

    def inside(self, theta: Theta) -> np.ndarray:
        """Which rows of theta lie in the region: bool [n]."""
        return self._log_ratio(theta) >= self.threshold

    def sample(self, key: Key, n: int) -> dict[str, np.ndarray]:
        """n draws of the inferred parameters from the prior, inside the region."""
        theta = _sample(self.core, key, self.x, self.mask, self.threshold, self.pool, n)
        return {name: np.asarray(v)[:n] for name, v in theta.items()}

    def _log_ratio(self, theta: Theta) -> Float[np.ndarray, " n"]:
        rows = {name: np.asarray(theta[name]) for name in self.core.latent.names}
        n = len(next(iter(rows.values())))
        index = [np.arange(i, i + _BLOCK).clip(max=n - 1) for i in range(0, n, _BLOCK)]
        blocks = [{name: v[i] for name, v in rows.items()} for i in index]
        parts = [_ratios(self.core, block, self.x, self.mask, self.pool) for block in blocks]
        return np.concatenate([np.asarray(p) for p in parts])[:n]


@jit
def _ratios(core: Core, theta: Any, x: Any, mask: Any, pool: Any) -> Float[Array, " n"]:
    y, z = core.x_scaler.forward(jnp.asarray(x)), core.latent.encode(theta)
    return jax.vmap(lambda one: log_ratio(core, one, y, mask, jnp.asarray(pool)))(z)


@jit
def _sample(
    core: Core, key: Key, x: Any, mask: Any, threshold: Any, pool: Any, n: int
) -> dict[str, Array]:
    y, pool = core.x_scaler.forward(jnp.asarray(x)), jnp.asarray(pool)
    inside = jax.vmap(lambda z: log_ratio(core, z, y, mask, pool))(pool) >= threshold

    def start(key: Key, size: int) -> Array:
        return pool[jax.random.categorical(key, jnp.where(inside, 0.0, -jnp.inf), shape=(size,))]

    def densities(z: Array, *_: int) -> tuple[Array, Array]:
        ratio = jnp.nan_to_num(log_ratio(core, z, y, mask, pool), nan=_FLOOR, neginf=_FLOOR)
        prior = core.latent.log_prior(z[None])[0]
        return ratio + prior, jnp.where(ratio >= threshold, -ratio, _FLOOR)

    target = Target(lambda z: jnp.zeros(()), start, densities, (1,))
    trace = SMC().sample(key, target, n)
    return core.latent.decode(trace.z.reshape(-1, trace.z.shape[-1]))[0]


def log_ratio(core: Core, z: Array, x: Array, mask: Any, pool: Array) -> Float[Array, ""]:
    """log q(z | x) / pi(z) up to a constant; x standardised."""
    a = core.approximation
    if isinstance(a, MCMCPosterior):
        return a.log_likelihood(z, x, mask)
    prior = core.latent.log_prior(z[None])[0]
    if a.tractable:
        return a.log_prob(z, x, mask) - prior
    return _by_neighbours(z, pool[: len(pool) // 2]) - prior


def _by_neighbours(z: Float[Array, " dim"], draws: Float[Array, "m dim"]) -> Float[Array, ""]:
    centred = draws - jnp.mean(draws, axis=0)
    root = jnp.linalg.cholesky(centred.T @ centred / len(draws) + 1e-6 * jnp.eye(len(z)))
    apart = jax.scipy.linalg.solve_triangular(root, (draws - z).T, lower=True)
    nearest = jax.lax.top_k(-jnp.sum(apart**2, axis=0), _NEIGHBOUR)[0][-1]
    return -0.5 * len(z) * jnp.log(-nearest + 1e-12)
