"""Consistency models: from noise to a draw in one step, or a few.

    u_sigma = u + sigma eps,      f(u_sigma, sigma, b) = where its path ends as sigma -> 0,
    f(u, sigma, b) = c_skip(sigma) u + c_out(sigma) network(c_in(sigma) u, log sigma, b),
    loss = E w_i d( f(u_{sigma_{i+1}}, sigma_{i+1}, b) , stop f(u_{sigma_i}, sigma_i, b) ),

with the same eps in both, d(x, y) = sqrt(|x - y|^2 + c^2) - c (pseudo-Huber),
c = 0.00054 sqrt(dim), w_i = 1 / (sigma_{i+1} - sigma_i), and no other teacher than the student with
its gradient stopped (improved consistency training, Song & Dhariwal 2023, arXiv 2310.14189; for
posteriors Schmitt et al. 2024, arXiv 2312.05440). The noise levels are those of Karras et al. 2022
(arXiv 2206.00364),

    sigma_i = (sigma_min^(1/r) + i/(N-1) (sigma_max^(1/r) - sigma_min^(1/r)))^r,      r = 7;

their number N doubles in the course of training, and i is drawn so that log sigma_i is normal.
c_skip = 1/(1 + (sigma - sigma_min)^2), c_out = (sigma - sigma_min)/sqrt(1 + sigma^2),
c_in = 1/sqrt(1 + sigma^2) make f(u, sigma_min) = u, for data of unit variance. To that they are
brought, as in `velocity.py`, by mu and s of a normal density that learns by its own loss:
a = mu(b) + exp(s(b)) u.

A draw is f(sigma_max eps); each further step adds noise of a lower level, and removes it again.

A loss with N levels says nothing of one with 2 N, nor any of how good the draws are. So validation
takes the energy score of a few draws (Gneiting & Raftery 2007), which is proper:

    E|u' - u| - E|u' - u''| / 2,      u', u'' independent draws.

Shapes: a, u, eps [dim], b [cond].
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.estimators.base import AbstractDensity, AbstractEstimator, Moment
from gibbous.estimators.locate import Locate
from gibbous.estimators.modulated import Modulated, located

_LEAST, _RHO = 0.002, 7.0
_MEAN, _SD = -1.1, 2.0  # of log sigma in training
_TIMES = 4  # noise levels drawn for each row
_LAST = 0.5  # noise level of the last of several steps
_SCORED = 16  # draws for each row in validation


class Consistency(AbstractEstimator):
    """A sampler by consistency training. It has no density.

    Args:
        width: units of a layer. depth: number of residual blocks.
        activation: name of a function of `jax.nn`.
        levels: number of noise levels at the beginning and at the end of training.
        noise: the largest level, in units of the width of the normal density.
        steps: when sampling.

    Raises:
        ConfigError: on options out of range.
    """

    width: int = 64
    depth: int = 4
    activation: str = "silu"
    levels: tuple[int, int] = (10, 160)
    noise: float = 20.0
    steps: int = 4

    def __check_init__(self):
        first, last = self.levels
        if not (2 <= first <= last and self.noise > _LAST and self.steps >= 1):
            raise ConfigError(
                f"expected 2 <= first <= last levels, noise above {_LAST} and at least one step, "
                f"got levels={self.levels}, noise={self.noise}, steps={self.steps}"
            )

    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> "_Consistency":
        """Make the networks."""
        locate, network = located(self, key, a, b)
        return _Consistency(locate, network, self.levels, self.noise, self.steps)


class _Consistency(AbstractDensity):
    locate: Locate
    network: Modulated
    levels: tuple[int, int] = eqx.field(static=True)
    noise: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    @property
    def tractable(self) -> bool:
        """No."""
        return False

    def end(
        self, u: Float[Array, " dim"], sigma: Float[Array, ""], b: Float[Array, " cond"]
    ) -> Float[Array, " dim"]:
        """f(u, sigma, b)."""
        skip = 1 / (1 + (sigma - _LEAST) ** 2)
        root = jnp.sqrt(1 + sigma**2)
        change = self.network(u / root, jnp.log(sigma) / 4, b)
        return skip * u + (sigma - _LEAST) / root * change

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """The consistency loss (in validation the energy score), and the normal density's own."""
        if not moment.training:
            return energy_score(self.sample(moment.key, b, _SCORED), a)
        u, normal = self.locate.standardise(a, b)
        first, last = self.levels
        doublings = math.log2(last / first)
        n = first * 2 ** jnp.floor(moment.progress * (doublings + 1 - 1e-6))
        small = 0.00054 * math.sqrt(len(u))

        def one(key: Key) -> Array:
            key_level, key_eps = jax.random.split(key)
            i = self._level(key_level, n)
            low, high = self._sigma(i, n), self._sigma(i + 1, n)
            eps = jax.random.normal(key_eps, u.shape)
            student = self.end(u + high * eps, high, b)
            teacher = jax.lax.stop_gradient(self.end(u + low * eps, low, b))
            distance = jnp.sqrt(jnp.sum((student - teacher) ** 2) + small**2) - small
            return distance / (high - low)

        return jnp.mean(jax.vmap(one)(jax.random.split(moment.key, _TIMES))) + normal

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "a consistency model has draws but no density: fit gb.FMPE() or gb.NPE() to the same "
            "simulations where log_prob is needed, or judge this one by its draws (gb.check)"
        )

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""
        mu, s = self.locate(b)
        u = jax.vmap(lambda key: self._draw(key, b, len(mu)))(jax.random.split(key, n))
        return mu + jnp.exp(s) * u

    def _draw(self, key: Key, b: Array, dim: int) -> Float[Array, " dim"]:
        eps = jax.random.normal(key, (self.steps, dim))
        # Equal steps in log sigma, from the largest level to somewhat below the data's width.
        levels = jnp.exp(jnp.linspace(math.log(self.noise), math.log(_LAST), self.steps))

        def one(u: Array, level: tuple[Array, Array]) -> tuple[Array, None]:
            sigma, eps = level
            return self.end(u + jnp.sqrt(sigma**2 - _LEAST**2) * eps, sigma, b), None

        return jax.lax.scan(one, jnp.zeros(dim), (levels, eps))[0]

    @property
    def _ends(self) -> tuple[float, float]:
        """Of the noise levels, to the power 1/r."""
        return _LEAST ** (1 / _RHO), self.noise ** (1 / _RHO)

    def _sigma(self, i: Array, n: Array) -> Array:
        least, most = self._ends
        return (least + i / (n - 1) * (most - least)) ** _RHO

    def _level(self, key: Key, n: Array) -> Array:
        """i in 0 .. n - 2, with the share of a normal log sigma that lies in its interval."""
        low, high = ((math.log(v) - _MEAN) / _SD for v in (_LEAST, self.noise))
        sigma = jnp.exp(_MEAN + _SD * jax.random.truncated_normal(key, low, high))
        least, most = self._ends
        i = jnp.floor((sigma ** (1 / _RHO) - least) / (most - least) * (n - 1))
        return jnp.clip(i, 0, n - 2)


def energy_score(draws: Float[Array, "n dim"], a: Float[Array, " dim"]) -> Float[Array, ""]:
    """Of draws of which a should be one more; in units of a."""
    n = len(draws)
    near = jnp.mean(jnp.linalg.norm(draws - a, axis=1))
    apart = draws[:, None] - draws[None]
    distances = jnp.sqrt(jnp.sum(apart**2, axis=-1))
    return near - 0.5 * jnp.sum(distances) / (n * (n - 1))
