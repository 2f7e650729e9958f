"""Pooling: from features of n points [n, k] to one vector, points with mask 0 left out.

`POOLS` are the choices of `gb.DeepSet(pool=...)`.

Shapes: h [n, k], mask [n] with entries 0 or 1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def mean(h: Float[Array, "n k"], mask: Float[Array, " n"]) -> Float[Array, " k"]:
    """Mean over the points that count; 0 if there are none."""
    return jnp.sum(jnp.where(mask[:, None] > 0, h, 0.0), axis=0) / jnp.maximum(jnp.sum(mask), 1.0)


def std(h: Float[Array, "n k"], mask: Float[Array, " n"]) -> Float[Array, " k"]:
    """Standard deviation over the points that count."""
    return jnp.sqrt(mean((h - mean(h, mask)) ** 2, mask) + 1e-6)


def extremes(
    h: Float[Array, "n k"], mask: Float[Array, " n"]
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Largest and smallest value of each feature; 0 if no point counts."""
    counts, some = mask[:, None] > 0, jnp.any(mask > 0)
    high = jnp.max(jnp.where(counts, h, -jnp.inf), axis=0)
    low = jnp.min(jnp.where(counts, h, jnp.inf), axis=0)
    return jnp.where(some, high, 0.0), jnp.where(some, low, 0.0)


def attention(
    h: Float[Array, "n k"], scores: Float[Array, "n k"], mask: Float[Array, " n"]
) -> Float[Array, " k"]:
    """Mean with weights softmax(scores), one set of weights a feature."""
    scores = jnp.where(mask[:, None] > 0, scores, -1e9)
    return jnp.sum(jax.nn.softmax(scores, axis=0) * h * mask[:, None], axis=0)


POOLS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "mean": lambda h, scores, mask: mean(h, mask),
    "std": lambda h, scores, mask: std(h, mask),
    "max": lambda h, scores, mask: extremes(h, mask)[0],
    "min": lambda h, scores, mask: extremes(h, mask)[1],
    "attention": attention,
}


def log_abs(v: Float[Array, " k"]) -> Float[Array, " k"]:
    """log |v|, rounded off below 1e-3 so that a zero has no infinite slope."""
    return 0.5 * jnp.log(v**2 + 1e-6)
