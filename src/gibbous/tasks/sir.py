"""An epidemic (SIR; sbibm, Lueckmann et al. 2021, arXiv 2101.04653).

    beta ~ LogNormal(log 0.4, 0.5),   gamma ~ LogNormal(log 0.125, 0.2)      (per day),
    dS/dt = -beta S I / N,   dI/dt = beta S I / N - gamma I,   N = 1e6, (S, I)(0) = (N - 1, 1),
    x_k ~ Binomial(1000, I(t_k) / N),   t_k = 0, 17, ..., 153 days.

Solved for the shares s = S / N and i = I / N, in steps of a quarter of a day.
"""

from collections.abc import Mapping

import diffrax
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task

POPULATION, TESTED = 1e6, 1_000
DAYS = tuple(17.0 * k for k in range(10))
_STEP = 0.25  # days


def infected(theta: Mapping[str, Array]) -> Float[Array, "10"]:
    """I / N on the ten days."""

    def field(t: object, state: Array, rates: tuple[Array, Array]) -> Array:
        (s, i), (beta, gamma) = state, rates
        return jnp.stack([-beta * s * i, beta * s * i - gamma * i])

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, DAYS[-1], _STEP,
        jnp.array([1 - 1 / POPULATION, 1 / POPULATION]),
        (theta["beta"], theta["gamma"]),
        saveat=diffrax.SaveAt(ts=jnp.array(DAYS)),
        max_steps=round(DAYS[-1] / _STEP) + 1,
    )  # fmt: skip
    assert solution.ys is not None
    return jnp.clip(solution.ys[:, 1], 0.0, 1.0)


def sir() -> Task:
    """The task, with parameters `beta`, `gamma` and x [10], counts as floats."""
    prior = Prior(beta=dist.LogNormal(jnp.log(0.4), 0.5), gamma=dist.LogNormal(jnp.log(0.125), 0.2))

    @simulator
    def counts(key: Array, theta: Mapping[str, Array]) -> Float[Array, "10"]:
        return jax.random.binomial(key, TESTED, infected(theta)).astype(jnp.float32)

    def log_likelihood(x: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
        return jnp.sum(dist.Binomial(TESTED, infected(theta)).log_prob(x))

    return Task("sir", prior, counts, log_likelihood=log_likelihood)
