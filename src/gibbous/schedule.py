"""How fast to learn at each step: a linear climb, then the square of a cosine ramp.

    lr(t) = peak min(t / w, 1) (1/2 + 1/2 cos(pi s))^2,      s = (t - w) / (T - w) in [0, 1],

t of T steps, w of them warm-up (after Loshchilov & Hutter 2017, arXiv 1608.03983). Squared it is
long enough at small rates for widths to catch up with errors. All are numbers that a compiled
program is given, so that fits of any length share one.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike


class Schedule(NamedTuple):
    """Scalars: T, w, the peak of the rate, and the weight decay of AdamW."""

    total_steps: Array
    warmup_steps: Array
    learning_rate: Array
    weight_decay: Array

    @classmethod
    def of(
        cls,
        steps: int | None,
        warmup: float | None,
        learning_rate: float | None,
        weight_decay: float | None,
    ) -> "Schedule":
        """From the fields of a resolved `FitConfig`; warmup is a share of the steps."""
        assert steps is not None
        assert warmup is not None
        climb = np.int32(max(1, int(warmup * steps)))
        rates = np.float32(learning_rate), np.float32(weight_decay)
        return cls(*map(jnp.asarray, (np.int32(steps), climb, *rates)))

    def rate(self, step: ArrayLike) -> Array:
        """The learning rate at a step."""
        share = (step - self.warmup_steps) / jnp.maximum(self.total_steps - self.warmup_steps, 1)
        fall = (0.5 + 0.5 * jnp.cos(jnp.pi * jnp.clip(share, 0.0, 1.0))) ** 2
        return self.learning_rate * jnp.minimum(step / self.warmup_steps, 1.0) * fall
