"""Tempered sequential Monte Carlo (Del Moral et al. 2006; adaptive: Jasra et al. 2011).

A population of particles begins in the prior and is led to the posterior through

    p_t(z)  ~  pi(z) L_{<m}(z) L_{m..m'}(z)^beta,      beta: 0 -> 1,   m: 0 -> n in stages.

At every step beta grows until the weights L^(d beta) leave a given effective sample size; the
particles are resampled and moved by Metropolis steps that leave p_t unchanged, in turns

    z' = m + C t,                       t_i ~ Student(5): a jump to anywhere in the population,
    z' = z + r 2.38 / sqrt(d) C e,      e ~ N(0, I): a random walk from where the particle is,

m and C C^T the population's mean and covariance. The first is what a posterior of one
round mode needs, the second what all others do; r lies between 0.05 and 1, another for each
particle and step, so that ridges much thinner than the population is wide are explored too. No
gradients are needed, and no mode that a particle sits in is lost. Points of an iid dataset are
added in stages (Chopin 2002): early steps cost few likelihoods.

Independent populations take the place of chains. The mean of their normalising constants estimates
the evidence. The kernels are blackjax's.
"""

import math

import jax
import jax.numpy as jnp
from blackjax.mcmc import random_walk
from blackjax.smc import adaptive_tempered, resampling
from jaxtyping import Array

from gibbous._types import Key
from gibbous.samplers.base import (
    AbstractSampler,
    Target,
    Trace,
    batch_size,
    covariance_root,
    share,
)

_MAX_STEPS = 200  # in each stage; a target that needs more is reported, and does not hang
_SMALLEST = 0.05  # of the random walk's scales r
_NU = 5.0  # degrees of freedom


class SMC(AbstractSampler):
    """Tempered sequential Monte Carlo: for posteriors with any number of modes.

    Args:
        particles: at least so many in all populations together; never fewer than the draws.
        populations: that are run independently of each other.
        moves: pairs of Metropolis steps at each temperature; None makes it d, at least 5.
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
        """From the posterior of the first `start` points to that of the first `stop`."""
        d = z.shape[1]
        moves = max(5, d) if self.moves is None else self.moves
        jump, walk = random_walk.build_irmh(), random_walk.build_additive_step()

        def log_before(z: Array) -> Array:
            before = target.log_likelihood(z, 0, start) if start else 0.0
            return target.log_prior(z) + before

        def move(key: Key, state, log_density, mean: Array, root: Array, inverse: Array):
            def anywhere(key: Key) -> Array:
                return mean + root @ jax.random.t(key, _NU, (d,))

            def nearby(key: Key, _: Array) -> Array:
                key_scale, key_step = jax.random.split(key)
                scale = jax.random.uniform(key_scale, minval=math.log(_SMALLEST), maxval=0.0)
                step = 2.38 / math.sqrt(d) * root @ jax.random.normal(key_step, (d,))
                return jnp.exp(scale) * step

            def log_anywhere(_, state) -> Array:
                u = inverse @ (state.position - mean)
                return -0.5 * (_NU + 1) * jnp.sum(jnp.log1p(u**2 / _NU))

            key_jump, key_walk = jax.random.split(key)
            state, _ = jump(key_jump, state, log_density, anywhere, log_anywhere)
            return walk(key_walk, state, log_density, nearby)

        kernel = adaptive_tempered.build_kernel(
            log_before,
            lambda z: target.log_likelihood(z, start, stop),
            move,
            random_walk.init,
            resampling.systematic,
            self.ess,
            batch_size=batch_size(stop, self.populations),
        )

        def step(carry: tuple) -> tuple:
            state, key, count, log_z, _ = carry
            arrived = state.tempering_param >= 1.0  # then this step only resamples and moves
            mean = state.weights @ state.particles
            root = covariance_root(state.particles, state.weights)
            inverse = jax.scipy.linalg.solve_triangular(root, jnp.eye(d), lower=True)
            proposals = {"mean": mean[None], "root": root[None], "inverse": inverse[None]}
            key, key_step = jax.random.split(key)
            state, info = kernel(key_step, state, moves, proposals)
            log_z += jnp.where(arrived, 0.0, info.log_likelihood_increment)
            return state, key, count + 1, log_z, arrived

        state = adaptive_tempered.init(z)._replace(tempering_param=jnp.zeros(()))
        begin = (state, key, jnp.array(0), jnp.zeros(()), jnp.array(False))
        state, _, _, log_z, arrived = jax.lax.while_loop(
            lambda carry: ~carry[-1] & (carry[2] < _MAX_STEPS), step, begin
        )
        return jnp.asarray(state.particles), arrived, log_z
