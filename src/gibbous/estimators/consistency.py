"""Consistency models: from noise to a draw in one step, or a few.

    u_n = (1 - n) u + n eps,      f(u_n, n, b) = where the path of u_n ends as n -> 0,
    f(u, n, b) = u - n F(u, n, b),
    loss = E_{n, eps} d( f(u_n, n, b), stop f(u_m, m, b) ) / n,      m = n - (1 - 3 n/4) n / N,

with the same data u and noise eps in u_n and u_m, d(x, y) = sqrt(|x - y|^2 + c^2) - c (pseudo-
Huber), c = 0.00054 sqrt(dim), and no other teacher than the student with its gradient stopped:
improved consistency training (Song & Dhariwal 2023, arXiv 2310.14189; for posteriors Schmitt et
al. 2024, arXiv 2312.05440), on the straight path of `velocity.py`. There a level n of noise stands
for sigma = n / (1 - n) of Song & Dhariwal, whose logarithm is normal in training. The number of
levels grows in the course of training: N of them while n falls by a factor of about e. N begins at
1, m = 3 n^2/4, where a few teachers lead to the data and f is near the mean of the data given u_n;
every later N refines this (as Geng et al. 2024, arXiv 2406.14548).

F is the mean velocity from n to 0. For data that are N(0, I) it is (1 - 1/rho) u / n with
rho^2 = n^2 + (1 - n)^2, so that

    F(u, n, b) = (1 - 1/rho) u / n + network(u, n, b) / rho,

and closer to that they are brought as in `velocity.py`, by a = mu(b) + exp(s(b)) u.

A draw is f(k eps, 1); each further step goes back to a lower level n with new noise k eps, and ends
again. k is there as few levels make draws too narrow: the ends that the teacher gives scatter about
their mean, which is all that the student learns. Where posteriors are N(0, w^2) the path turns from
a level to the next by an angle, of arctan n / (w (1 - n)), the student is left with its cosine of
the width, and the product of all cosines is (1 - 1/N)^p. The 3/4 above, finer steps near n = 1,
makes p nearly the same for all w, .24 to .29 with N = 2 or 3 (m = n - n/N has .26 to .69).
So k = (1 - 1/N)^-.27.

A loss with N levels says nothing of one with 2 N, nor any of how good the draws are. So validation
takes the score of a few draws a', a'' with a logarithmic kernel,

    E log|a' - a| - E log|a' - a''| / 2,

the limit for small powers of the energy score (Gneiting & Raftery 2007), which is proper. Narrow
posteriors have as much weight in it as wide ones. While N still grows the later model is taken
for the better one.

Shapes: a, u, eps [dim], b [cond].
"""

import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.estimators.base import AbstractEstimator, AbstractStepwise, Moment
from gibbous.estimators.locate import Locate, Regression, standardise
from gibbous.estimators.modulated import Modulated, located

_MEAN, _SD = -0.8, 1.6  # of log n/(1 - n) in training
_TIMES = 4  # noise levels drawn for each row
_HUBER = 0.00054
_RISE = 0.75  # share of training after which N is at its last
_WIDEN = 0.27  # p
_LAST = 0.6  # noise level of the last of several steps, over their number
_SCORED = 8  # draws for each row in validation
_TINY = 1e-18  # so that draws that agree have a finite score


class Consistency(AbstractEstimator):
    """A sampler by consistency training. It has no density.

    Args:
        width: units of a layer. depth: number of residual blocks.
        activation: name of a function of `jax.nn`.
        narrow: for posteriors far narrower than the prior, of widths that differ between datasets:
            learn a normal density with networks of its own besides, and all else in its
            coordinates. It overfits where simulations are few.
        levels: number N of noise levels, for every factor e of noise, at the end of training, more
            than 1. Few are biased where posteriors are not normal; many learn noise where
            simulations are stored. The demo takes 6 for fresh ones.
        steps: when sampling.

    Raises:
        ConfigError: on options out of range.
    """

    width: int = 64
    depth: int = 4
    activation: str = "silu"
    narrow: bool = False
    levels: float = 2.0
    steps: int = 4

    def __check_init__(self):
        if not (self.levels > 1 and self.steps >= 1):
            raise ConfigError(
                f"expected more than one noise level and at least one step, got "
                f"levels={self.levels}, steps={self.steps}"
            )

    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> "_Consistency":
        """Make the networks."""
        locate, network = located(self, key, a, b)
        return _Consistency(locate, network, self.levels, self.steps)


class _Consistency(AbstractStepwise):
    locate: Locate | Regression
    network: Modulated
    levels: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    @property
    def tractable(self) -> bool:
        """No."""
        return False

    def with_steps(self, steps: int | None) -> "_Consistency":
        """From noise to a draw."""
        if steps is None or steps < 1:
            raise ConfigError(f"expected at least one step, got {steps}")
        return replace(self, steps=steps)

    def end(
        self, u: Float[Array, " dim"], n: Float[Array, ""], b: Float[Array, " cond"]
    ) -> Float[Array, " dim"]:
        """f(u, n, b)."""
        rho = jnp.sqrt(n**2 + (1 - n) ** 2)
        return u / rho - n / rho * self.network(u, jnp.sqrt(n), b)

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """The consistency loss (in validation the score of draws), and the normal density's own."""
        levels = self.levels ** jnp.minimum(moment.progress / _RISE, 1.0)
        if not moment.training:
            return log_score(self.sample(moment.key, b, _SCORED), a) + self.levels - levels
        u, normal = standardise(self.locate, a, b)
        small = _HUBER * math.sqrt(len(u))

        def one(key: Key) -> Array:
            key_n, key_eps = jax.random.split(key)
            n = jax.nn.sigmoid(_MEAN + _SD * jax.random.normal(key_n))
            eps = jax.random.normal(key_eps, u.shape)
            m = taught_by(n, levels)
            student = self.end((1 - n) * u + n * eps, n, b)
            teacher = jax.lax.stop_gradient(self.end((1 - m) * u + m * eps, m, b))
            distance = jnp.sqrt(jnp.sum((student - teacher) ** 2) + small**2) - small
            return distance / n

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
        k = (1 - 1 / self.levels) ** -_WIDEN
        eps = k * jax.random.normal(key, (self.steps, dim))
        levels = jnp.geomspace(1.0, _LAST / self.steps, self.steps)

        def one(u: Array, level: tuple[Array, Array]) -> tuple[Array, None]:
            n, eps = level
            return self.end((1 - n) * u + n * eps, n, b), None

        return jax.lax.scan(one, jnp.zeros(dim), (levels, eps))[0]


def taught_by(n: Float[Array, ""], levels: Float[Array, ""]) -> Float[Array, ""]:
    """m, the level of the teacher of n, with N levels."""
    return n - (1 - 0.75 * n) * n / levels


def log_score(draws: Float[Array, "n dim"], a: Float[Array, " dim"]) -> Float[Array, ""]:
    """Of draws of which a should be one more; least on average where it is."""
    n = len(draws)
    near = 0.5 * jnp.mean(jnp.log(jnp.sum((draws - a) ** 2, axis=1) + _TINY))
    apart = jnp.sum((draws[:, None] - draws[None]) ** 2, axis=-1)
    log_apart = 0.5 * jnp.where(jnp.eye(n, dtype=bool), 0.0, jnp.log(apart + _TINY))
    return near - 0.5 * jnp.sum(log_apart) / (n * (n - 1))
