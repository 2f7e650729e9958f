"""Deep Sets: an embedding of a set of points that does not depend on their order.

    e = [ Phi( pool_i phi(u_i, p(y_i)), s ), s ],      u_i = (y_i - mean) / sd,      mask_i = 1

(Zaheer et al. 2017, arXiv 1703.06114), phi and Phi perceptrons. What a mean over learnt features
loses is precision, so the set is standardised by its own mean and sd, and beside the learnt
features stand exact statistics s, mostly logarithms: location, scale, extremes, log n, and those of
`pooling.regression`, which measure how nearly the points obey a polynomial equation and which. A
parameter known to one part in a thousand is then close to a linear function of e, and no network
has to be that precise.

p are polynomials that are orthonormal over the points of all sets. In a small region of the prior
all sets may lie near one curve or surface, which a set's own fit has to find anew. There one of the
polynomials nearly vanishes, and its mean square being one, it is a point's distance from the
curve, in a scale that a perceptron can see.

n is data: log n is among the statistics.

Points with mask 0 never count, whatever they hold.

Shapes: x [n, d], mask [n], e [size].
"""

from math import comb

import equinox as eqx
import jax
import jax.numpy as jnp
import paramax
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError
from gibbous.nets import pooling
from gibbous.nets.base import AbstractEmbedding, activation

_MAX_COLUMNS = 35
_POINTS = 2**16  # that the polynomials are made orthonormal on
_ROUNDING = 1e-6  # of float32: a statistic that varies less is a constant


class DeepSet(AbstractEmbedding):
    """An embedding for sets of points, [n, d].

    Args:
        pool: how learnt features are pooled: names of `gibbous.nets.pooling.POOLS` joined by "+",
            such as "mean", "mean+std", "mean+std+max+min" or "attention".
        degree: of the polynomials of a point, and of those that `pooling.regression` fits to the
            set; 0 leaves them out. None takes the largest degree up to 4 that has at most 35
            monomials in d variables.
        size: length of the learnt part of the embedding.
        width, depth: of phi and Phi. activation: name of a function of `jax.nn`.
    """

    pool: str = "mean+std"
    degree: int | None = None
    size: int = 32
    width: int = 32
    depth: int = 2
    activation: str = "silu"

    def build(self, key: Key, x: Float[Array, "rows n d"]) -> "_DeepSet":
        """Make the network; its statistics are standardised on the sets in `x`.

        Raises:
            ShapeError: if a dataset is no set of points.
            ConfigError: on an unknown kind of pooling.
        """
        if x.ndim != 3:
            raise ShapeError(
                f"gb.DeepSet takes sets of points [n, d], got datasets of shape {x.shape[1:]}"
            )
        unknown = [name for name in self.pool.split("+") if name not in pooling.POOLS]
        if unknown:
            raise ConfigError(f"no pooling {unknown}; there are {list(pooling.POOLS)}, joined by +")
        return _DeepSet(key, self, x)


class _DeepSet(eqx.Module):
    phi: eqx.nn.MLP
    score: eqx.nn.Linear  # of attention pooling
    rho: eqx.nn.MLP
    centre: paramax.NonTrainable  # standardisation of the statistics
    spread: paramax.NonTrainable
    coefficients: paramax.NonTrainable  # of the polynomials
    pool: str = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def __init__(self, key: Key, recipe: DeepSet, x: Array):
        keys, function = jax.random.split(key, 3), activation(recipe.activation)
        d, width, depth = x.shape[2], recipe.width, recipe.depth
        self.pool = recipe.pool
        self.degree = _degree(d) if recipe.degree is None else recipe.degree
        mask = jnp.ones(x.shape[1])
        s = jax.vmap(lambda row: self._statistics(row, mask)[1])(x)
        centre, spread = s.mean(axis=0), s.std(axis=0)
        # In a small region what tells sets apart is a ten-thousandth of what all have in common.
        constant = spread < _ROUNDING * (1 + jnp.abs(centre))
        self.centre = paramax.NonTrainable(centre)
        self.spread = paramax.NonTrainable(jnp.where(constant, 1.0, spread))
        points = x.reshape(-1, d)[:_POINTS]
        self.coefficients = paramax.NonTrainable(pooling.orthonormal(points, self.degree))
        self.phi = eqx.nn.MLP(
            d + comb(d + self.degree, d), width, width, depth, function, key=keys[0]
        )
        self.score = eqx.nn.Linear(width, width, key=keys[1])
        pooled = width * len(recipe.pool.split("+")) + s.shape[1]
        self.rho = eqx.nn.MLP(pooled, recipe.size, width, depth, function, key=keys[2])

    def __call__(
        self, x: Float[Array, "n d"], mask: Float[Array, " n"] | None
    ) -> Float[Array, " e"]:
        mask = jnp.ones(len(x)) if mask is None else mask
        x = jnp.where(mask[:, None] > 0, x, 0.0)  # padding may hold anything, NaN included
        u, s = self._statistics(x, mask)
        s = (s - paramax.unwrap(self.centre)) / paramax.unwrap(self.spread)
        p = pooling.polynomials(x, paramax.unwrap(self.coefficients), self.degree)
        h = jax.vmap(self.phi)(jnp.concatenate([u, p], axis=1))
        scores = jax.vmap(self.score)(h)
        pooled = [pooling.POOLS[name](h, scores, mask) for name in self.pool.split("+")]
        return jnp.concatenate([self.rho(jnp.concatenate([*pooled, s])), s])

    def _statistics(self, x: Array, mask: Array) -> tuple[Array, Array]:
        """Points standardised by their own set [n, d], and the statistics of the set."""
        mean = pooling.mean(x, mask)
        sd = jnp.sqrt(pooling.mean((x - mean) ** 2, mask) + 1e-12)
        u = jnp.where(mask[:, None] > 0, (x - mean) / sd, 0.0)
        high, low = pooling.extremes(u, mask)
        top, bottom = mean + sd * high, mean + sd * low
        s = [
            *(jnp.log(sd), jnp.arcsinh(mean / sd), jnp.arcsinh(mean), high, low),
            *(jnp.log(jnp.maximum(v, 0.0) + 1e-6) for v in (top - bottom, high - low, high, -low)),
            *(pooling.log_abs(top), pooling.log_abs(bottom)),
            *(jnp.arcsinh(top), jnp.arcsinh(bottom)),
            jnp.log1p(jnp.sum(mask))[None],
        ]
        if self.degree:
            s.append(pooling.regression(u, self.degree, mask))
        return u, jnp.concatenate(s)


def _degree(d: int) -> int:
    return max(k for k in range(1, 5) if k == 1 or comb(d + k, k) <= _MAX_COLUMNS)
