"""Two normals of one centre (Sisson et al. 2007; sbibm, Lueckmann et al., arXiv 2101.04653).

theta ~ Uniform([-10, 10]^2),      x | theta ~ N(theta, I) / 2 + N(theta, 0.1^2 I) / 2,
p(theta | x) = sum_s N(theta; x, s^2 I) / (2 Z),   s in {1, 0.1},   theta in the box,
Z = sum_s prod_i [Phi((10 - x_i) / s) - Phi((-10 - x_i) / s)] / 2.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float
from scipy.special import logsumexp
from scipy.stats import norm, truncnorm

from gibbous.errors import ObservationError
from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, observation, parameter

BOX = 10.0
WIDTHS = np.array([1.0, 0.1])


def gaussian_mixture() -> Task:
    """The task, with one vector parameter `theta` [2] and x [2]."""
    prior = Prior(theta=dist.Uniform(-BOX * jnp.ones(2), BOX * jnp.ones(2)))

    @simulator
    def point(key: Array, theta: Mapping[str, Array]) -> Float[Array, "2"]:
        key_width, key_noise = jax.random.split(key)
        width = jax.random.choice(key_width, jnp.asarray(WIDTHS))
        return theta["theta"] + width * jax.random.normal(key_noise, (2,))

    return Task("gaussian_mixture", prior, point, GaussianMixturePosterior)


class GaussianMixturePosterior:
    """The exact posterior given x [2].

    Raises:
        ObservationError: unless x is a finite array [2] that some theta in the box can give.
    """

    def __init__(self, x: ArrayLike) -> None:
        self._x = observation(x, (2,))
        ends = (np.array([[-BOX], [BOX]]) - self._x) / WIDTHS[:, None, None]  # [widths, 2 ends, 2]
        self._low, self._high = ends[:, 0], ends[:, 1]
        self._mass = np.prod(norm.cdf(self._high) - norm.cdf(self._low), axis=1)  # [widths]
        if not self._mass[0] > 0:
            raise ObservationError(
                f"expected an x that some theta in [-10, 10]^2 can give, got {self._x}; "
                "simulate it with this task"
            )

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Independent exact draws: {"theta": [n, 2]}."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(WIDTHS), size=n, p=self._mass / self._mass.sum())
        e = truncnorm.rvs(self._low[which], self._high[which], random_state=rng)
        return {"theta": self._x + WIDTHS[which, None] * e}

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density of theta [*batch, 2]: [*batch], -inf outside the support."""
        value = parameter(theta, "theta", (2,))
        each = [norm.logpdf(value, self._x, width).sum(axis=-1) for width in WIDTHS]
        density = logsumexp(each, axis=0) - np.log(self._mass.sum())
        return np.where(np.all(np.abs(value) <= BOX, axis=-1), density, -np.inf)
