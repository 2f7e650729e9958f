"""Nested slice sampling (Skilling 2006; Yallup, Kroupa & Handley 2026, arXiv 2601.23252).

Live points from the prior; the k with the smallest likelihoods die and are replaced by points of
the prior above the largest of those, which hit-and-run slice sampling finds. With m live points
left, each death shrinks the prior volume X above the likelihood by a factor exp(-1/m), so

    Z = sum_i L_i (X_{i-1} - X_i) + X_last mean(L_live),

and the dead points with these terms as weights are draws from the posterior. The run ends when the
live points hold less than a given share of Z. The kernel is blackjax's.
"""

import math
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
from blackjax.smc import resampling
from jaxtyping import Array

from gibbous._types import Key
from gibbous.samplers.base import AbstractSampler, Target, Trace, share


class NestedSlice(AbstractSampler):
    """Nested slice sampling: for the evidence, and where likelihoods have plateaus or cliffs.

    Args:
        live: points in each run.
        runs: independent of each other.
        moves: slices for each new point; None makes it 2 d, at least 5.
        kill: share of the live points that die together.
        remaining: share of the evidence in the live points at which a run ends.
        max_shrinkage: the run gives up once log X is below minus this, in nats.
    """

    live: int = 500
    runs: int = 2
    moves: int | None = None
    kill: float = 0.1
    remaining: float = 0.01
    max_shrinkage: float = 60.0

    def width(self, n: int) -> int:
        """Live points of all runs."""
        return self.live * self.runs

    def sample(self, key: Key, target: Target, n: int) -> Trace:
        """Dead points, resampled by their weights."""
        keys = jax.random.split(key, self.runs)
        z, finished, log_z = jax.vmap(lambda k: self._run(k, target, share(n, self.runs)))(keys)
        log_evidence = jax.nn.logsumexp(log_z) - math.log(self.runs)
        return Trace(z, log_evidence, finished=jnp.all(finished))

    def _run(self, key: Key, target: Target, n: int) -> tuple[Array, Array, Array]:
        key_start, key_init, key_run, key_draw, key_order = jax.random.split(key, 5)
        start = target.draw_prior(key_start, self.live)
        d, k = start.shape[1], max(1, int(self.kill * self.live))
        algorithm: Any = blackjax.nss(
            target.log_prior,
            target.log_likelihood,
            num_inner_steps=max(5, 2 * d) if self.moves is None else self.moves,
            num_delete=k,
        )
        # The k deaths of one step shrink log X by 1/live + 1/(live - 1) + ...
        left = self.live - jnp.arange(k, dtype=jnp.float32)
        shrinkage = jnp.cumsum(1 / left)
        steps = math.ceil(self.max_shrinkage / float(sum(1 / (self.live - i) for i in range(k))))
        log_shell = -jnp.concatenate([jnp.zeros(1), shrinkage[:-1]]) + jnp.log(
            -jnp.expm1(-1 / left)
        )

        def going_on(carry: tuple) -> Array:
            state, _, _, count, _ = carry
            rest = state.integrator.logZ_live - state.integrator.logZ
            return (count < steps) & (rest > math.log(self.remaining))

        def step(carry: tuple) -> tuple:
            state, z, log_w, count, key = carry
            key, key_step = jax.random.split(key)
            log_x = state.integrator.logX
            state, info = algorithm.step(key_step, state)
            dead = info.particles
            z = jax.lax.dynamic_update_slice(z, dead.position, (count * k, 0))
            terms = log_x + log_shell + dead.loglikelihood
            log_w = jax.lax.dynamic_update_slice(log_w, terms, (count * k,))
            return state, z, log_w, count + 1, key

        state = algorithm.init(start, rng_key=key_init)
        begin = (
            state,
            jnp.zeros((steps * k, d)),
            jnp.full(steps * k, -jnp.inf, jnp.float32),
            jnp.array(0),
            key_run,
        )
        state, z, log_w, count, _ = jax.lax.while_loop(going_on, step, begin)
        live = state.integrator.logX - math.log(self.live) + state.particles.loglikelihood
        z = jnp.concatenate([z, state.particles.position])
        log_w = jnp.concatenate([log_w, live])
        log_z = jax.nn.logsumexp(log_w)
        index = resampling.systematic(key_draw, jnp.exp(log_w - log_z), n)
        # In the order of death the first half lies farther out: no two halves would agree.
        index = jax.random.permutation(key_order, index)
        return z[index], count < steps, log_z
