"""The No-U-Turn Sampler (Hoffman & Gelman 2014, arXiv 1111.4246), with Stan's warm-up.

Chains start at draws of the prior chosen by importance resampling, adapt a step size and a dense
mass matrix each for themselves, and then follow Hamiltonian trajectories. The kernels and the
warm-up are blackjax's; chains (and, outside, observations) are vmapped: compiled once for all.
"""

from typing import Any

import blackjax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gibbous._types import Key
from gibbous.samplers.base import AbstractSampler, Target, Trace, resample_starts, share


class NUTS(AbstractSampler):
    """The No-U-Turn Sampler: for posteriors with one mode, in many dimensions.

    Args:
        chains: that are run side by side.
        warmup: steps of adaptation in each.
        candidates: draws of the prior among which the starts are chosen.
        target_acceptance: of the adaptation; closer to 1 means smaller steps.
        max_doublings: a trajectory has at most 2^max_doublings steps.
    """

    chains: int = 4
    warmup: int = 500
    candidates: int = 1_024
    target_acceptance: float = 0.85
    max_doublings: int = 8

    def width(self, n: int) -> int:
        """Chains; their starts are chosen 256 at a time."""
        return max(self.chains, min(self.candidates, 256))

    def sample(self, key: Key, target: Target, n: int) -> Trace:
        """The draws after warm-up."""
        key_start, key_warmup, key_draws = jax.random.split(key, 3)
        starts = resample_starts(key_start, target, self.candidates, self.chains)
        adaptation: Any = blackjax.window_adaptation(
            blackjax.nuts,
            target.log_prob,
            is_mass_matrix_diagonal=False,
            target_acceptance_rate=self.target_acceptance,
            max_num_doublings=self.max_doublings,
            adaptation_info_fn=lambda *_: None,
        )
        kernel = blackjax.nuts.build_kernel()

        def chain(key_warmup: Key, key_draws: Key, start: Array) -> tuple[Array, Array]:
            (state, parameters), _ = adaptation.run(key_warmup, start, self.warmup)
            parameters.pop("max_num_doublings", None)

            def step(state, key: Key):
                state, info = kernel(
                    key, state, target.log_prob, max_num_doublings=self.max_doublings, **parameters
                )
                return state, (state.position, info.is_divergent)

            keys = jax.random.split(key_draws, share(n, self.chains))
            _, (z, divergent) = jax.lax.scan(step, state, keys)
            return z, jnp.sum(divergent)

        z, divergences = jax.vmap(chain)(
            jax.random.split(key_warmup, self.chains),
            jax.random.split(key_draws, self.chains),
            starts,
        )
        return Trace(z, jnp.array(jnp.nan, jnp.float32), divergences=jnp.sum(divergences))
