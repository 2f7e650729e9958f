"""Predators and prey (Lotka 1920; sbibm, Lueckmann et al. 2021, arXiv 2101.04653).

    alpha, gamma ~ LogNormal(-0.125, 0.5),   beta, delta ~ LogNormal(-3, 0.5),
    dX/dt = alpha X - beta X Y,   dY/dt = -gamma Y + delta X Y,   (X, Y)(0) = (30, 1),
    x = (X(t_1) e_1, ..., X(t_10) e_10, Y(t_1) e_11, ...),   log e ~ N(0, 0.1^2),

at t = 0, 2.1, ..., 18.9. Solved for log X and log Y, which stay finite where a population all but
dies out.
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

START = (30.0, 1.0)
TIMES = tuple(2.1 * k for k in range(10))
NOISE = 0.1
_TOLERANCE, _MAX_STEPS = 1e-5, 10_000


def log_populations(theta: Mapping[str, Array]) -> Float[Array, "20"]:
    """log X at the ten times, then log Y, within sbibm's bounds; NaN where it cannot be solved."""

    def field(t: object, state: Array, rates: Mapping[str, Array]) -> Array:
        prey, predators = jnp.exp(state)
        return jnp.stack(
            [
                rates["alpha"] - rates["beta"] * predators,
                rates["delta"] * prey - rates["gamma"],
            ]
        )

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, TIMES[-1], None,
        jnp.log(jnp.array(START)), theta,
        saveat=diffrax.SaveAt(ts=jnp.array(TIMES)),
        stepsize_controller=diffrax.PIDController(rtol=_TOLERANCE, atol=_TOLERANCE),
        max_steps=_MAX_STEPS,
        throw=False,
    )  # fmt: skip
    assert solution.ys is not None
    populations = jnp.clip(solution.ys.T.reshape(-1), jnp.log(1e-10), jnp.log(1e4))
    return jnp.where(solution.result == diffrax.RESULTS.successful, populations, jnp.nan)


def lotka_volterra() -> Task:
    """The task, with parameters `alpha`, `beta`, `gamma`, `delta` and x [20]."""
    rate, meeting = dist.LogNormal(-0.125, 0.5), dist.LogNormal(-3.0, 0.5)
    prior = Prior(alpha=rate, beta=meeting, gamma=rate, delta=meeting)

    @simulator
    def populations(key: Array, theta: Mapping[str, Array]) -> Float[Array, "20"]:
        return jnp.exp(log_populations(theta) + NOISE * jax.random.normal(key, (20,)))

    def log_likelihood(x: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
        return jnp.sum(dist.LogNormal(log_populations(theta), NOISE).log_prob(x))

    return Task("lotka_volterra", prior, populations, log_likelihood=log_likelihood)
