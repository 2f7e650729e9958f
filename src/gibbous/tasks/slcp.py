"""Simple likelihood, complex posterior (Papamakarios et al. 2019; sbibm, arXiv 2101.04653).

    theta ~ Uniform([-3, 3]^5);   m = (theta_1, theta_2),   s_1 = theta_3^2,   s_2 = theta_4^2,
    rho = tanh(theta_5),   S = [[s_1^2, rho s_1 s_2], [rho s_1 s_2, s_2^2]],
    x = four independent points of N(m, S), one after the other in a vector [8].

The signs of theta_3 and theta_4 are not in the likelihood: the posterior has four modes.

`slcp_distractors` hides these eight numbers among 92 that tell nothing, in a fixed random order: a
draw from an equal mixture of 20 multivariate Student distributions with 2 degrees of freedom.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task

DISTRACTORS, COMPONENTS = 92, 20


def slcp() -> Task:
    """The task, with one vector parameter `theta` [5] and x [8]; no exact posterior."""

    @simulator
    def points(key: Array, theta: Mapping[str, Array]) -> Float[Array, "8"]:
        return _points(key, theta)

    return Task("slcp", _prior(), points, log_likelihood=_log_likelihood)


def slcp_distractors() -> Task:
    """The task, with one vector parameter `theta` [5] and x [100]; no exact posterior."""
    locations, factors, order = distractors()

    @simulator
    def hidden(key: Array, theta: Mapping[str, Array]) -> Float[Array, "100"]:
        key_points, key_which, key_noise = jax.random.split(key, 3)
        which = jax.random.randint(key_which, (), 0, COMPONENTS)
        student = dist.MultivariateStudentT(
            2.0, jnp.asarray(locations)[which], jnp.asarray(factors)[which]
        )
        x = jnp.concatenate([_points(key_points, theta), student.sample(key_noise)])
        return x[jnp.asarray(order)]

    def log_likelihood(x: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
        return _log_likelihood(x[jnp.argsort(jnp.asarray(order))][:8], theta)

    return Task("slcp_distractors", _prior(), hidden, log_likelihood=log_likelihood)


def distractors() -> tuple[Float[np.ndarray, "20 92"], Float[np.ndarray, "20 92 92"], np.ndarray]:
    """Locations, Cholesky factors and the order, as sbibm drew them (NumPy's seed 42)."""
    rng = np.random.RandomState(42)
    locations = 15 * rng.normal(size=(COMPONENTS, DISTRACTORS))
    factors = []
    for _ in range(COMPONENTS):
        lower = np.tril(rng.normal(size=(DISTRACTORS, DISTRACTORS)))
        factors.append(3 * (lower + np.diag(np.exp(rng.normal(size=DISTRACTORS)))))
    order = rng.permutation(DISTRACTORS + 8)
    return locations.astype(np.float32), np.array(factors, np.float32), order


def _prior() -> Prior:
    return Prior(theta=dist.Uniform(-3.0 * jnp.ones(5), 3.0 * jnp.ones(5)))


def _points(key: Array, theta: Mapping[str, Array]) -> Float[Array, "8"]:
    t = theta["theta"]
    s_1, s_2, rho = t[2] ** 2, t[3] ** 2, jnp.tanh(t[4])
    e = jax.random.normal(key, (4, 2))
    second = rho * e[:, 0] + jnp.sqrt(1 - rho**2) * e[:, 1]
    return jnp.stack([t[0] + s_1 * e[:, 0], t[1] + s_2 * second], axis=1).reshape(8)


def _log_likelihood(x: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
    t, y = theta["theta"], x.reshape(4, 2)
    s_1, s_2, rho = t[2] ** 2, t[3] ** 2, jnp.tanh(t[4])
    first = (y[:, 0] - t[0]) / s_1
    second = ((y[:, 1] - t[1]) / s_2 - rho * first) / jnp.sqrt(1 - rho**2)
    scales = jnp.log(s_1) + jnp.log(s_2) + 0.5 * jnp.log1p(-(rho**2)) + jnp.log(2 * jnp.pi)
    return -0.5 * jnp.sum(first**2 + second**2) - len(y) * scales
