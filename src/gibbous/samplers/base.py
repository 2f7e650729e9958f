"""What a sampler is: a density in R^d, known up to a constant, in; draws and evidence for them out.

    p(z) = pi(z) L(z) / Z,      Z = int pi(z) L(z) dz,      L(z) = prod_{i <= n} L_i(z).

A sampler is a value with one pure function, written for one density; the posterior vectorises it
over observations. It knows no parameters' names, no bounds (there are none in R^d) and no networks.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gibbous._types import Key
from gibbous.recipe import AbstractRecipe


class Target(NamedTuple):
    """The density, in parts.

    log_prior: log pi of one z [d], normalised. draw_prior: (key, n) -> z [n, d].
    log_likelihoods: (z [d], start, stop) -> sums of log L_i over points i < start, and over points
    start <= i < stop; always finite.
    stages: numbers of points m_1 < m_2 < ... < n after which a sampler may pause.
    """

    log_prior: Callable[[Array], Array]
    draw_prior: Callable[[Key, int], Array]
    log_likelihoods: Callable[[Array, int, int], tuple[Array, Array]]
    stages: tuple[int, ...]

    def log_likelihood(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Of all points."""
        return self.log_likelihoods(z, 0, self.stages[-1])[1]

    def log_prob(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """log pi(z) + log L(z)."""
        return self.log_prior(z) + self.log_likelihood(z)


class Trace(NamedTuple):
    """Draws, and what is needed to judge them.

    z: [chains, draws, d]; draws of different chains are independent of each other.
    log_evidence: log Z in nats, NaN where it was not computed. divergences: how often a trajectory
    left the density (NUTS). finished: whether the sampler arrived. started: whether the density was
    finite anywhere to begin with.
    """

    z: Float[Array, "chains draws d"]
    log_evidence: Float[Array, ""]
    divergences: Int[Array, ""] | int = 0
    finished: Bool[Array, ""] | bool = True
    started: Bool[Array, ""] | bool = True


class AbstractSampler(AbstractRecipe):
    """A recipe for draws from a `Target`."""

    @abstractmethod
    def sample(self, key: Key, target: Target, n: int) -> Trace:
        """At least n draws, over all chains."""

    @abstractmethod
    def width(self, n: int) -> int:
        """How many densities it evaluates side by side for n draws: the measure of its memory."""


def side_by_side() -> int:
    """How many densities (of points) are best evaluated at a time.

    What fits a processor's cache is done more than twice as fast as what does not (measured on the
    double moon); a GPU wants much work at once.
    """
    return 2**12 if jax.default_backend() == "cpu" else 2**20


def batch_size(points: int, copies: int) -> int:
    """How many z each of `copies` samplers evaluates at a time on so many points."""
    return max(1, side_by_side() // (points * copies))


def map_blocks(f: Callable[[Array], Any], z: Float[Array, "n d"], at_most: int) -> Any:
    """f of each row, in equal blocks of at most so many rows: f is compiled once."""
    n = len(z)
    blocks = -(-n // at_most)
    rows = share(n, blocks)
    padded = jnp.pad(z, ((0, blocks * rows - n), (0, 0)), mode="edge")
    values = jax.lax.map(jax.vmap(f), padded.reshape(blocks, rows, -1))
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[:n], values)


def share(n: int, chains: int) -> int:
    """Draws that each chain makes for n in all."""
    return -(-n // chains)


def covariance_root(z: Float[Array, "n d"], weights: Float[Array, " n"]) -> Float[Array, "d d"]:
    """Cholesky factor of the weighted covariance, kept positive by a little of its diagonal."""
    centred = z - weights @ z
    covariance = (centred.T * weights) @ centred
    return jnp.linalg.cholesky(covariance + jnp.diag(1e-6 * jnp.diag(covariance) + 1e-12))


def resample_starts(key: Key, target: Target, candidates: int, n: int) -> Float[Array, "n d"]:
    """n draws of the prior, chosen among more by their likelihoods (importance resampling)."""
    key_prior, key_choice = jax.random.split(key)
    z = target.draw_prior(key_prior, candidates)
    log_w = map_blocks(target.log_likelihood, z, 256)
    return z[jax.random.categorical(key_choice, log_w, shape=(n,))]
