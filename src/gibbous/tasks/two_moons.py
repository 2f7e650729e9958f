"""The two-moons problem of sbibm (Greenberg et al., 2019; Lueckmann et al., arXiv 2101.04653).

    theta ~ Uniform([-1, 1]^2);   a ~ Uniform(-pi/2, pi/2),   r ~ N(0.1, 0.01^2),
    p = (r cos a + 1/4, r sin a),
    x = p + (-|theta_1 + theta_2|, theta_2 - theta_1) / sqrt 2.

Given x, each crescent point p with p_1 >= x_1 comes from two theta, equally likely: with
q = (+-(p_1 - x_1), x_2 - p_2), theta = ((q_1 - q_2) / sqrt 2, (q_1 + q_2) / sqrt 2). The map is a
rotation, so drawing p and the sign, and dropping theta outside the box, is exact. With
(u, v) = p - (1/4, 0) and R = |(u, v)|,

    p(theta | x) = N(R; 0.1, 0.01^2) / (2 pi R Z)     for u >= 0 and theta in the box,

1/(pi R) the Jacobian of the polar coordinates, which sbibm's own likelihood leaves out, and Z the
fraction of draws kept, counted on a grid of 1000 x 100 quantiles of (a, r): good to about 1e-3.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Bool, Float
from scipy.stats import norm

from gibbous.errors import ObservationError
from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, observation, parameter

RADIUS, RADIUS_SD, SHIFT = 0.1, 0.01, 0.25

Points = Float[np.ndarray, "m 2"]


def two_moons() -> Task:
    """The task, with one vector parameter `theta` [2] and x [2]."""
    prior = Prior(theta=dist.Uniform(-jnp.ones(2), jnp.ones(2)))

    @simulator
    def moons(key: Array, theta: Mapping[str, Array]) -> Float[Array, "2"]:
        angle_key, radius_key = jax.random.split(key)
        a = jax.random.uniform(angle_key, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
        r = RADIUS + RADIUS_SD * jax.random.normal(radius_key)
        first, second = theta["theta"]
        across = r * jnp.cos(a) + SHIFT - jnp.abs(first + second) / jnp.sqrt(2.0)
        return jnp.stack([across, r * jnp.sin(a) + (second - first) / jnp.sqrt(2.0)])

    return Task("two_moons", prior, moons, TwoMoonsPosterior)


class TwoMoonsPosterior:
    """The exact posterior given x [2]; `accepted` is Z, the share of the crescents in the box.

    Raises:
        ObservationError: unless x is a finite array [2] that some theta in the box can give.
    """

    def __init__(self, x: ArrayLike) -> None:
        self._x = observation(x, (2,))
        a = np.pi * ((np.arange(1000) + 0.5) / 1000 - 0.5)
        r = RADIUS + RADIUS_SD * norm.ppf((np.arange(100) + 0.5) / 100)
        a, r = (grid.ravel() for grid in np.meshgrid(a, r))
        self.accepted = float(np.mean([self._invert(a, r, sign)[1].mean() for sign in (-1.0, 1.0)]))
        if self.accepted == 0.0:
            raise ObservationError(
                f"expected an x that some theta in [-1, 1]^2 can give, got {self._x}; "
                "simulate it with this task"
            )

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Independent exact draws: {"theta": [n, 2]}."""
        rng = np.random.default_rng(seed)
        kept, missing = [np.empty((0, 2))], n
        while missing > 0:
            size = int(1.1 * missing / self.accepted) + 10
            a, r = rng.uniform(-np.pi / 2, np.pi / 2, size), rng.normal(RADIUS, RADIUS_SD, size)
            theta, inside = self._invert(a, r, rng.choice([-1.0, 1.0], size))
            kept.append(theta[inside][:missing])
            missing -= len(kept[-1])
        return {"theta": np.concatenate(kept)}

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density of theta [*batch, 2]: [*batch], -inf outside the support."""
        value = parameter(theta, "theta", (2,))
        first, second = value[..., 0], value[..., 1]
        u = self._x[0] + np.abs(first + second) / np.sqrt(2.0) - SHIFT
        v = self._x[1] - (second - first) / np.sqrt(2.0)
        radius = np.maximum(np.hypot(u, v), np.finfo(float).tiny)
        density = norm.logpdf(radius, RADIUS, RADIUS_SD) - np.log(
            2 * np.pi * radius * self.accepted
        )
        return np.where((u >= 0) & np.all(np.abs(value) <= 1.0, axis=-1), density, -np.inf)

    def _invert(
        self, a: Float[np.ndarray, " m"], r: Float[np.ndarray, " m"], sign: ArrayLike
    ) -> tuple[Points, Bool[np.ndarray, " m"]]:
        """theta [m, 2] that gives x from the crescent point (a, r), and whether it is possible."""
        ahead = r * np.cos(a) + SHIFT - self._x[0]
        q1, q2 = sign * ahead, self._x[1] - r * np.sin(a)
        theta = np.stack([q1 - q2, q1 + q2], axis=-1) / np.sqrt(2.0)
        return theta, (ahead >= 0) & np.all(np.abs(theta) <= 1.0, axis=-1)
