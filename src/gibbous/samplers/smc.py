"""Tempered sequential Monte Carlo (Del Moral et al. 2006; adaptive: Jasra et al. 2011).

A population of particles begins in the prior and is led to the posterior through

    p_t(z)  ~  pi(z) L_{<m}(z) L_{m..m'}(z)^beta,      beta: 0 -> 1,   m: 0 -> n in stages.

At every step beta grows until the weights L^(d beta) leave a given effective sample size; the
particles are resampled and moved by Metropolis steps that leave p_t unchanged, in turns

    z' = m + C e / sqrt(c / 5),         c ~ chi^2(5): a jump to anywhere in the population,
    z' = z + r 2.38 / sqrt(d) C e,      a random walk from where the particle is,

e ~ N(0, I), m and C C^T the population's mean and covariance. The first is what a posterior of one
round mode needs, the second what all others do; r lies between 0.05 and 1, another for each
particle and step, so that ridges much thinner than the population is wide are explored too. No
gradients are needed, and no mode that a particle sits in is lost. Points of an iid dataset are
added in stages (Chopin 2002): early steps cost few likelihoods.

Independent populations take the place of chains. The mean of their normalising constants estimates
the evidence. Resampling and the search for beta are blackjax's; its loop evaluates the density anew
where ours carries it along with the particle, and holds five copies of the network for our one.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from blackjax.smc import resampling
from blackjax.smc.ess import ess_solver
from blackjax.smc.solver import dichotomy
from jaxtyping import Array, Float, Int

from gibbous._types import Key
from gibbous.samplers.base import (
    AbstractSampler,
    Target,
    Trace,
    batch_size,
    covariance_root,
    map_blocks,
    share,
)

_MAX_STEPS = 200  # in each stage; a target that needs more is reported, and does not hang
_SMALLEST = 0.05  # of the random walk's scales r
_NU = 5  # degrees of freedom


class _Population(NamedTuple):
    """Particles with their densities, how far they have come, and the evidence up to there."""

    key: Key
    z: Float[Array, "n d"]
    base: Float[Array, " n"]  # log pi(z) L_{<m}(z)
    new: Float[Array, " n"]  # log L_{m..m'}(z)
    beta: Float[Array, ""]
    log_z: Float[Array, ""]
    steps: Int[Array, ""]  # of Metropolis steps; -1 before the densities are known


class SMC(AbstractSampler):
    """Tempered sequential Monte Carlo: for posteriors with any number of modes.

    Args:
        particles: at least so many in all populations together; never fewer than the draws.
        populations: that are run independently of each other.
        moves: Metropolis steps at each temperature; None makes it 2 d, at least 10.
        ess: effective sample size that a step of the temperature leaves, as a share.
    """

    particles: int = 1_024
    populations: int = 4
    moves: int | None = None
    ess: float = 0.5

    def width(self, n: int) -> int:
        """Number of particles."""
        return self.populations * share(max(n, self.particles), self.populations)

    def sample(self, key: Key, target: Target, n: int) -> Trace:
        """The final particles of all populations."""
        size = self.width(n) // self.populations
        keys = jax.random.split(key, self.populations)
        z, finished, log_z = jax.vmap(lambda k: self._population(k, target, size))(keys)
        # Particles with a common ancestor lie side by side: ESS then sees the relation.
        kept = jnp.linspace(0, size - 1, share(n, self.populations)).round().astype(int)
        log_evidence = jax.nn.logsumexp(log_z) - math.log(self.populations)
        return Trace(z[:, kept], log_evidence, finished=jnp.all(finished))

    def _population(self, key: Key, target: Target, size: int) -> tuple[Array, Array, Array]:
        """Particles [size, d], whether they arrived, and log Z."""
        key, key_start = jax.random.split(key)
        z = target.draw_prior(key_start, size)
        finished, log_z, done = jnp.array(True), jnp.zeros(()), 0
        for stage in target.stages:
            key, key_stage = jax.random.split(key)
            z, arrived, more = self._temper(key_stage, target, z, done, stage)
            finished, log_z, done = finished & arrived, log_z + more, stage
        return z, finished, log_z

    def _temper(
        self, key: Key, target: Target, z: Array, start: int, stop: int
    ) -> tuple[Array, Array, Array]:
        """From the posterior of the first `start` points to that of the first `stop`.

        A single loop over Metropolis steps, the first of which stands still: the network is in the
        program that is compiled once.
        """
        size, d = z.shape
        moves = max(10, 2 * d) if self.moves is None else self.moves
        rows = batch_size(stop, self.populations)

        def evaluate(z: Array) -> tuple[Array, Array]:
            before, new = target.log_likelihoods(z, start, stop)
            return target.log_prior(z) + before, new

        def going_on(p: _Population) -> Array:
            return ((p.beta < 1.0) | (p.steps % moves > 0)) & (p.steps < _MAX_STEPS * moves)

        def step(p: _Population) -> _Population:
            key, key_heat, key_move, key_accept = jax.random.split(p.key, 4)
            begun, due = p.steps >= 0, p.steps % moves == 0
            p = jax.tree.map(lambda a, b: jnp.where(begun & due, a, b), self._heat(key_heat, p), p)
            proposed, log_q = _propose(key_move, p.z, p.steps % 2 == 0)
            proposed = jnp.where(begun, proposed, p.z)
            base, new = map_blocks(evaluate, proposed, rows)
            log_ratio = base - p.base + p.beta * (new - p.new) + log_q
            accept = jnp.log(jax.random.uniform(key_accept, (size,))) < log_ratio
            accept |= ~begun
            return p._replace(
                key=key,
                z=jnp.where(accept[:, None], proposed, p.z),
                base=jnp.where(accept, base, p.base),
                new=jnp.where(accept, new, p.new),
                steps=p.steps + 1,
            )

        zero = jnp.zeros(())
        begin = _Population(key, z, jnp.zeros(size), jnp.zeros(size), zero, zero, jnp.array(-1))
        end = jax.lax.while_loop(going_on, step, begin)
        return end.z, end.beta >= 1.0, end.log_z

    def _heat(self, key: Key, p: _Population) -> _Population:
        """Raise beta as far as the weights allow, and resample by them."""
        more = ess_solver(lambda _: p.new, p.z, self.ess, 1 - p.beta, dichotomy)
        more = jnp.where(jnp.isfinite(more), jnp.clip(more, 0.0, 1 - p.beta), 0.0)
        log_w = more * p.new
        total = jax.nn.logsumexp(log_w)
        i = resampling.systematic(key, jnp.exp(log_w - total), len(p.z))
        return p._replace(
            z=p.z[i],
            base=p.base[i],
            new=p.new[i],
            beta=p.beta + more,
            log_z=p.log_z + total - math.log(len(p.z)),
        )


def _propose(key: Key, z: Float[Array, "n d"], jumps: Array) -> tuple[Array, Float[Array, " n"]]:
    """Where each particle might go, and log q(z | z') - log q(z' | z)."""
    size, d = z.shape
    key_e, key_t, key_r = jax.random.split(key, 3)
    mean, root = jnp.mean(z, axis=0), covariance_root(z, jnp.full(size, 1 / size))
    step = jax.random.normal(key_e, (size, d)) @ root.T
    chi2 = jnp.sum(jax.random.normal(key_t, (size, _NU)) ** 2, axis=1, keepdims=True)
    anywhere = mean + step * jnp.sqrt(_NU / chi2)
    log_r = jax.random.uniform(key_r, (size, 1), minval=math.log(_SMALLEST), maxval=0.0)
    nearby = z + jnp.exp(log_r) * 2.38 / math.sqrt(d) * step
    proposed = jnp.where(jumps, anywhere, nearby)

    # Both at once: two calls of LAPACK side by side may wait for one another for ever (JAX 0.10).
    both = jnp.concatenate([z, proposed]) - mean
    e = jax.scipy.linalg.solve_triangular(root, both.T, lower=True)
    log_q = -0.5 * (_NU + d) * jnp.log1p(jnp.sum(e**2, axis=0) / _NU)
    return proposed, jnp.where(jumps, log_q[:size] - log_q[size:], 0.0)
