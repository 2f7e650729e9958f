"""The linear Gaussian problem of sbibm (Lueckmann et al. 2021, arXiv 2101.04653).

    theta ~ N(0, 0.1 I),   x | theta ~ N(theta, 0.1 I),   theta and x in R^dim, 0.1 a VARIANCE,

hence in closed form theta | x ~ N(x / 2, 0.05 I).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, observation, parameter, positive

VARIANCE = 0.1  # of the prior and of the noise


def gaussian_linear(dim: int = 10) -> Task:
    """The task, with one vector parameter `theta` [dim] and x [dim].

    Raises:
        ConfigError: if `dim` is below one.
    """
    positive(dim, "dim")
    prior = Prior(theta=dist.Normal(jnp.zeros(dim), VARIANCE**0.5))

    @simulator
    def gaussian(key: Array, theta: Mapping[str, Array]) -> Float[Array, " dim"]:
        return theta["theta"] + VARIANCE**0.5 * jax.random.normal(key, (dim,))

    return Task("gaussian_linear", prior, gaussian, lambda x: GaussianLinearPosterior(x, dim))


class GaussianLinearPosterior:
    """N(x / 2, 0.05 I).

    Raises:
        ObservationError: unless x is a finite array [dim].
    """

    def __init__(self, x: ArrayLike, dim: int) -> None:
        self._mean = observation(x, (dim,)) / 2
        self._sd = (VARIANCE / 2) ** 0.5

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Independent draws: {"theta": [n, dim]}."""
        noise = np.random.default_rng(seed).standard_normal((n, len(self._mean)))
        return {"theta": self._mean + self._sd * noise}

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density of theta [*batch, dim]: [*batch]."""
        white = (parameter(theta, "theta", (len(self._mean),)) - self._mean) / self._sd
        each = -0.5 * white**2 - 0.5 * np.log(2 * np.pi) - np.log(self._sd)
        return np.asarray(each.sum(axis=-1))
