"""Bernoulli generalised linear model of a neuron (Gonçalves et al. 2020; sbibm, arXiv 2101.04653).

    theta = (offset, filter of 9 lags) ~ N(0, Q^-1),   Q = blockdiag(1/2, F^T F),
    F = D D + diag(sqrt(i / 9)), i = 0..8,   D = I less the first subdiagonal (a smooth filter),
    y_t ~ Bernoulli(sigmoid((X theta)_t)),   X_t = (1, I_t, I_{t-1}, ..., I_{t-8}),   t = 1..100,

I a fixed white stimulus. `bernoulli_glm` observes X^T y, which is sufficient: the number of spikes,
and the sums of the stimulus at nine lags before them. `bernoulli_glm_raw` observes y.

    log p(y | theta) = theta . X^T y - sum_t log(1 + exp((X theta)_t)),

which is log p(X^T y | theta) but for what does not depend on theta.
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

BINS, LAGS = 100, 9


def design() -> Float[np.ndarray, "100 10"]:
    """X, with sbibm's stimulus: 100 standard normals of NumPy's legacy generator, seed 42."""
    stimulus = np.random.RandomState(42).randn(BINS).astype(np.float32)
    lagged = [np.concatenate([np.zeros(lag), stimulus[: BINS - lag]]) for lag in range(LAGS)]
    return np.stack([np.ones(BINS), *lagged], axis=1).astype(np.float32)


def precision() -> Float[np.ndarray, "10 10"]:
    """Q."""
    d = np.eye(LAGS) - np.eye(LAGS, k=-1)
    f = d @ d + np.diag(np.sqrt(np.arange(LAGS) / LAGS))
    q = np.zeros((LAGS + 1, LAGS + 1))
    q[0, 0], q[1:, 1:] = 0.5, f.T @ f
    return q


def _prior() -> Prior:
    covariance = np.linalg.inv(precision())
    return Prior(theta=dist.MultivariateNormal(jnp.zeros(LAGS + 1), covariance_matrix=covariance))


def _spikes(key: Array, theta: Mapping[str, Array]) -> Float[Array, "100"]:
    p = jax.nn.sigmoid(jnp.asarray(design()) @ theta["theta"])
    return jax.random.bernoulli(key, p).astype(jnp.float32)


def _log_likelihood(sums: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
    rate = jnp.asarray(design()) @ theta["theta"]
    return theta["theta"] @ sums - jnp.sum(jax.nn.softplus(rate))


def bernoulli_glm() -> Task:
    """The task, with one vector parameter `theta` [10] and x [10], the sufficient statistics."""

    @simulator
    def sums(key: Array, theta: Mapping[str, Array]) -> Float[Array, "10"]:
        return jnp.asarray(design()).T @ _spikes(key, theta)

    return Task("bernoulli_glm", _prior(), sums, log_likelihood=_log_likelihood)


def bernoulli_glm_raw() -> Task:
    """The task, with one vector parameter `theta` [10] and x [100], zeros and ones."""

    @simulator
    def spikes(key: Array, theta: Mapping[str, Array]) -> Float[Array, "100"]:
        return _spikes(key, theta)

    def log_likelihood(y: Array, theta: Mapping[str, Array]) -> Float[Array, ""]:
        return _log_likelihood(jnp.asarray(design()).T @ y, theta)

    return Task("bernoulli_glm_raw", _prior(), spikes, log_likelihood=log_likelihood)
