"""Which moon? The double-moon problem with all points of a dataset on one of its half circles.

    upper ~ Bernoulli(1/2),   log10_noise and dilation as in `double_moon.py`;
    every point lies on the upper moon if `upper` is 1, else on the lower one.

The exact posterior follows from the evidence of either moon,

    P(upper = 1 | x) = Z_1 / (Z_0 + Z_1),   Z_k = int p(x | k, s, t) pi(s) pi(t) ds dt,

by importance sampling in (log10 s, log t): from the prior for fewer than five points, whose
posterior is bent but broad, and by the adaptive proposal of `importance.py` for more.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float
from scipy.special import expit

from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, observation, parameter, positive
from gibbous.tasks.double_moon import (
    DILATION_SCALE,
    FEW,
    NOISE_MEAN,
    NOISE_SD,
    PRIOR_DRAWS,
    double_moon,
    log_likelihood,
    log_prior,
    starts,
)
from gibbous.tasks.importance import importance_sample


def one_moon(n_points: int = 200) -> Task:
    """The task, with datasets of `n_points`; `exact` takes a dataset of any size.

    Raises:
        ConfigError: if `n_points` is below one.
    """
    positive(n_points, "n_points")
    prior = Prior(
        upper=dist.Bernoulli(0.5),
        log10_noise=dist.Normal(NOISE_MEAN, NOISE_SD),
        dilation=dist.HalfNormal(DILATION_SCALE),
    )
    both = double_moon(n_points).simulator

    @simulator
    def moon(key: Array, theta: Mapping[str, Array]) -> Float[Array, "n 2"]:
        return both(key, {**theta, "fraction": jnp.asarray(theta["upper"], float)})

    return Task("one_moon", prior, moon, OneMoonPosterior)


class OneMoonPosterior:
    """The exact posterior of (upper, log10_noise, dilation) given points [n, 2].

    `probability` is P(upper = 1 | x); `ess` the effective fraction of the draws for either moon.

    Raises:
        ObservationError: unless x is a finite [n, 2] array.
    """

    def __init__(self, x: ArrayLike, *, draws: int = 2_000, seed: int = 0) -> None:
        self._y = observation(x, (None, 2))
        rng = np.random.default_rng(seed)
        pools = [self._pool(k, rng, draws) for k in (0, 1)]
        self._z = [z for z, _ in pools]
        self._log_w = [w for _, w in pools]
        self.log_evidence = np.array([_log_sum(w) - np.log(len(w)) for w in self._log_w])
        self.probability = float(expit(self.log_evidence[1] - self.log_evidence[0]))
        self.ess = np.array([np.exp(2 * _log_sum(w) - _log_sum(2 * w)) for w in self._log_w])

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Draw `n` times: the moon, then among the importance draws for it by their weights."""
        rng = np.random.default_rng(seed)
        upper = (rng.uniform(size=n) < self.probability).astype(int)
        z = np.empty((n, 2))
        for k in (0, 1):
            w = np.exp(self._log_w[k] - _log_sum(self._log_w[k]))
            z[upper == k] = self._z[k][rng.choice(len(w), size=int(np.sum(upper == k)), p=w)]
        return {"upper": upper, "log10_noise": z[:, 0], "dilation": np.exp(z[:, 1])}

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Log of probability times density in the task's parameters, -inf outside the prior."""
        upper, noise, t = np.broadcast_arrays(
            *(parameter(theta, name) for name in ("upper", "log10_noise", "dilation"))
        )
        out = np.full(upper.shape, -np.inf)
        for k in (0, 1):
            inside = (upper == k) & (t > 0) & (np.abs(noise) < 100)
            value = self._log_likelihood(k, noise[inside], t[inside])
            out[inside] = value + log_prior(noise[inside], t[inside])
        out -= np.logaddexp(*self.log_evidence)
        return out

    def _log_likelihood(self, k: int, noise: np.ndarray, t: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_d = np.full(len(t), np.log(float(k)))
            log_1d = np.full(len(t), np.log(1.0 - k))
        return log_likelihood(self._y, log_d, log_1d, noise, t)

    def _pool(self, k: int, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws of z = (log10 s, log t) [m, 2] and log weights [m]."""
        if len(self._y) < FEW:
            noise = NOISE_MEAN + NOISE_SD * rng.standard_normal(PRIOR_DRAWS)
            t = np.abs(DILATION_SCALE * rng.standard_normal(PRIOR_DRAWS))
            return np.stack([noise, np.log(t)], axis=1), self._log_likelihood(k, noise, t)

        def log_target(z: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                t = np.exp(z[:, 1])
                value = self._log_likelihood(k, z[:, 0], t) + log_prior(z[:, 0], t) + z[:, 1]
            return np.where(np.isnan(value), -np.inf, value)

        begin = [(z[1:], scale[1:]) for z, scale in starts(self._y, moons=(1 - k,))]
        pool = importance_sample(log_target, begin, rng, draws)
        return pool.z, pool.log_w


def _log_sum(w: Float[np.ndarray, " m"]) -> float:
    return float(np.logaddexp.reduce(w))
