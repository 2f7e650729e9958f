"""Where a conditional density lies and how wide it is: the affine map behind every flow.

    v = (a - mu(b)) exp(-s(b)),                                                         Locate
    (mu, s)(b) = A b + c + perceptron(b),
    v = M(b) ((a - mu(b)) exp(-s(b)) - m(b)),      M lower triangular                   Covariance

a linear map and a correction. A parameter that is nearly linear in the embedding then needs no
precision from a perceptron, and a posterior a thousand times narrower than the prior is a matter of
s. The linear map begins at a robust ridge regression of a on b (Cauchy weights, by iterated least
squares), the correction at zero.

Estimators that read no more of b than (mu, s) may ask the perceptron for features besides.

(m, log of M's diagonal, what is below it)(b) are one perceptron, zero at first. M is for
covariances that depend on b: without it a flow has to learn products of a and b, which its masked
layers find hard.

Shapes: a, mu, s, v, m [dim], b [cond], M [dim, dim], summary of b [2 dim + features].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.nets.perceptron import Perceptron

_MAX_LOG_SCALE = 15.0  # exp(15) = 3e6: from the width of the prior to the resolution of float32
_DEPTH = 6  # hidden layers of the correction
_RIDGE = 1e-3
_ITERATIONS = 10


class Locate(eqx.Module):
    """b -> (mu, s), and as many `features` of b besides."""

    linear: Float[Array, "2*dim cond"]
    bias: Float[Array, " 2*dim"]
    correction: Perceptron

    def __init__(
        self,
        key: Key,
        a: Float[Array, "rows dim"],
        b: Float[Array, "rows cond"],
        width: int,
        function: Callable[[Array], Array],
        features: int = 0,
    ):
        dim, cond_dim = a.shape[1], b.shape[1]
        sizes = [cond_dim, *[width] * _DEPTH, 2 * dim + features]
        self.correction = Perceptron(key, sizes, function, last=0.0, residual=True)
        slope, intercept, log_error = robust_regression(a, b)
        self.linear = jnp.concatenate([slope, jnp.zeros((dim, cond_dim))])
        self.bias = jnp.concatenate([intercept, log_error])

    def __call__(self, b: Float[Array, " cond"]) -> tuple[Array, Array]:
        """Location and log scale, [dim] each."""
        mu, s, _ = self._parts(b)
        return mu, s

    def summary(self, b: Float[Array, " cond"]) -> Float[Array, " c"]:
        """Location, log scale and features in one vector."""
        return jnp.concatenate(self._parts(b))

    def _parts(self, b: Array) -> tuple[Array, Array, Array]:
        line, more = self.linear @ b + self.bias, self.correction(b)
        mu, s = jnp.split(line + more[: line.size], 2)
        return mu, _bounded(s), more[line.size :]

    def forward(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """v, and log |dv / da|."""
        mu, s = self(b)
        return (a - mu) * jnp.exp(-s), -jnp.sum(s)

    def inverse(
        self, v: Float[Array, "draws dim"], b: Float[Array, " cond"]
    ) -> Float[Array, "draws dim"]:
        """The a of many v."""
        mu, s = self(b)
        return mu + jnp.exp(s) * v


class Covariance(eqx.Module):
    """b -> a normal density of full covariance, by one more perceptron, of layers `hidden`."""

    locate: Locate
    net: Perceptron

    def __init__(
        self,
        key: Key,
        locate: Locate,
        hidden: tuple[int, ...],
        function: Callable[[Array], Array],
    ):
        twice, cond_dim = locate.linear.shape
        dim = twice // 2
        self.locate = locate
        sizes = [cond_dim, *hidden, 2 * dim + dim * (dim - 1) // 2]
        self.net = Perceptron(key, sizes, function, last=0.0, residual=True)

    def summary(self, b: Float[Array, " cond"]) -> Float[Array, " c"]:
        """That of `locate`."""
        return self.locate.summary(b)

    def _parameters(self, b: Array, dim: int) -> tuple[Array, Array, Array]:
        """m, the log of M's diagonal, and M."""
        m, d, below = jnp.split(self.net(b), [dim, 2 * dim])
        d = _bounded(d)
        return m, d, jnp.diag(jnp.exp(d)).at[jnp.tril_indices(dim, -1)].set(below)

    def forward(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """v, and log |dv / da|."""
        r, log_det = self.locate.forward(a, b)
        m, d, matrix = self._parameters(b, a.size)
        return matrix @ (r - m), log_det + jnp.sum(d)

    def inverse(
        self, v: Float[Array, "draws dim"], b: Float[Array, " cond"]
    ) -> Float[Array, "draws dim"]:
        """The a of many v."""
        m, _, matrix = self._parameters(b, v.shape[1])
        r = jax.scipy.linalg.solve_triangular(matrix, v.T, lower=True).T + m
        return self.locate.inverse(r, b)


def _bounded(s: Array) -> Array:
    return _MAX_LOG_SCALE * jnp.tanh(s / _MAX_LOG_SCALE)


class Regression(eqx.Module):
    """b -> (mu, s) with mu linear and s the same for all b: too few weights to overfit."""

    linear: Float[Array, "dim cond"]
    bias: Float[Array, " dim"]
    log_scale: Float[Array, " dim"]

    def __init__(self, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]):
        self.linear, self.bias, self.log_scale = robust_regression(a, b)

    def __call__(self, b: Float[Array, " cond"]) -> tuple[Array, Array]:
        """Location and log scale, [dim] each."""
        return self.linear @ b + self.bias, self.log_scale


def standardise(
    normal: Locate | Regression, a: Float[Array, " dim"], b: Float[Array, " cond"]
) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
    """v, through which no gradient flows, and -log N(a; mu, exp(2 s)) up to a constant.

    By the latter mu and s learn a normal density; what else learns v does not move them.
    """
    mu, s = normal(b)
    v = (a - mu) * jnp.exp(-s)
    return jax.lax.stop_gradient(v), jnp.sum(0.5 * v**2 + s)


def robust_regression(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Robust ridge regression: slope [dim, cond], intercept [dim], log sd of residuals [dim]."""
    rows = jnp.concatenate([b, jnp.ones((len(b), 1))], axis=1)
    penalty = _RIDGE * jnp.eye(rows.shape[1]).at[-1, -1].set(1e-3)

    def solve(a: Array, weight: Array) -> Array:
        weighted = rows.T * weight
        return jnp.linalg.solve(weighted @ rows + jnp.sum(weight) * penalty, weighted @ a)

    def iterate(_: Array, weight: Array) -> Array:
        error = a - rows @ jax.vmap(solve, 1, 1)(a, weight)
        width = 2 * jnp.median(jnp.abs(error), axis=0) + 1e-6
        return 1 / (1 + (error / width) ** 2)

    weight = jax.lax.fori_loop(0, _ITERATIONS, iterate, jnp.ones_like(a))
    coefficients = jax.vmap(solve, 1, 1)(a, weight)
    error = a - rows @ coefficients
    return coefficients[:-1].T, coefficients[-1], jnp.log(jnp.std(error, axis=0) + 1e-6)
