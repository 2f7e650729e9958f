"""The linear Gaussian problem in a box, of sbibm (Lueckmann et al. 2021, arXiv 2101.04653).

    theta ~ U(-1, 1)^dim,   x | theta ~ N(theta, 0.1 I),   theta and x in R^dim, 0.1 a VARIANCE,

hence theta_i | x ~ N(x_i, 0.1) truncated to [-1, 1], each on its own. x may lie outside the box.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float
from scipy.stats import truncnorm

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, observation, parameter, positive
from gibbous.tasks.gaussian_linear import VARIANCE


def gaussian_linear_uniform(dim: int = 10) -> Task:
    """The task, with one vector parameter `theta` [dim] and x [dim].

    Raises:
        ConfigError: if `dim` is below one.
    """
    positive(dim, "dim")
    prior = Prior(theta=dist.Uniform(-jnp.ones(dim), jnp.ones(dim)))

    @simulator
    def gaussian(key: Array, theta: Mapping[str, Array]) -> Float[Array, " dim"]:
        return theta["theta"] + VARIANCE**0.5 * jax.random.normal(key, (dim,))

    return Task(
        "gaussian_linear_uniform", prior, gaussian, lambda x: GaussianLinearUniformPosterior(x, dim)
    )


class GaussianLinearUniformPosterior:
    """N(x, 0.1 I) in the box.

    Raises:
        ObservationError: unless x is a finite array [dim].
    """

    def __init__(self, x: ArrayLike, dim: int) -> None:
        x, sd = observation(x, (dim,)), VARIANCE**0.5
        self._dim, self._normal = dim, {"loc": x, "scale": sd}
        self._ends = (-1 - x) / sd, (1 - x) / sd  # of the box, in standard deviations from x

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Independent draws: {"theta": [n, dim]}."""
        rng = np.random.default_rng(seed)
        draws = truncnorm.rvs(*self._ends, **self._normal, size=(n, self._dim), random_state=rng)
        return {"theta": np.asarray(draws)}

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density of theta [*batch, dim]: [*batch]."""
        values = parameter(theta, "theta", (self._dim,))
        return np.asarray(truncnorm.logpdf(values, *self._ends, **self._normal).sum(axis=-1))
