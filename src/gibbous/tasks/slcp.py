"""Simple likelihood, complex posterior (Papamakarios et al. 2019; sbibm, arXiv 2101.04653).

    theta ~ Uniform([-3, 3]^5);   m = (theta_1, theta_2),   s_1 = theta_3^2,   s_2 = theta_4^2,
    rho = tanh(theta_5),   S = [[s_1^2, rho s_1 s_2], [rho s_1 s_2, s_2^2]],
    x = four independent points of N(m, S), one after the other in a vector [8].

The signs of theta_3 and theta_4 are not in the likelihood: the posterior has four modes.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task


def slcp() -> Task:
    """The task, with one vector parameter `theta` [5] and x [8]; no exact posterior."""
    prior = Prior(theta=dist.Uniform(-3.0 * jnp.ones(5), 3.0 * jnp.ones(5)))

    @simulator
    def points(key: Array, theta: Mapping[str, Array]) -> Float[Array, "8"]:
        t = theta["theta"]
        s_1, s_2, rho = t[2] ** 2, t[3] ** 2, jnp.tanh(t[4])
        e = jax.random.normal(key, (4, 2))
        second = rho * e[:, 0] + jnp.sqrt(1 - rho**2) * e[:, 1]
        return jnp.stack([t[0] + s_1 * e[:, 0], t[1] + s_2 * second], axis=1).reshape(8)

    return Task("slcp", prior, points)
