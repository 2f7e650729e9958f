"""Deep Sets: an embedding of a set of points that does not depend on their order.

    e = [ Phi( pool_i phi(u_i, p(y_i), q(y_i)), s ), s ],      mask_i = 1

(Zaheer et al. 2017, arXiv 1703.06114), phi and Phi perceptrons, of the points standardised by their
own set, polynomials of the points, their distance from a curve, and exact statistics of the set:
`exact.py` has u, p, q and s.

n is data: log n is among the statistics.

Points with mask 0 never count, whatever they hold; nor do points of which an entry is missing.

Shapes: x [n, d], mask [n], e [size].
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.nets import pooling
from gibbous.nets.base import AbstractSetEmbedding, activation
from gibbous.nets.exact import Exact


class DeepSet(AbstractSetEmbedding):
    """An embedding for sets of points, [n, d].

    Args:
        pool: how learnt features are pooled: names of `gibbous.nets.pooling.POOLS` joined by "+",
            such as "mean", "mean+std", "mean+std+max+min" or "attention".
        degree: of the polynomials of a point, and of those that are fitted to the set
            (`nets/polynomials.py`); 0 leaves them out. None takes the largest degree up to 4 that
            has at most 35 monomials in d variables.
        size: length of the learnt part of the embedding.
        width, depth: of phi and Phi. activation: name of a function of `jax.nn`.
    """

    pool: str = "mean+std"
    degree: int | None = None
    size: int = 32
    width: int = 32
    depth: int = 2
    activation: str = "silu"

    def build(
        self, key: Key, x: Float[Array, "rows n d"], mask: Float[Array, "rows n"] | None = None
    ) -> "_DeepSet":
        """Make the network; its statistics are standardised on the sets in `x`.

        Raises:
            ShapeError: if a dataset is no set of points.
            ConfigError: on an unknown kind of pooling.
        """
        unknown = [name for name in self.pool.split("+") if name not in pooling.POOLS]
        if unknown:
            raise ConfigError(f"no pooling {unknown}; there are {list(pooling.POOLS)}, joined by +")
        return _DeepSet(key, self, x, mask)


class _DeepSet(eqx.Module):
    exact: Exact
    phi: eqx.nn.MLP
    score: eqx.nn.Linear  # of attention pooling
    rho: eqx.nn.MLP
    pool: str = eqx.field(static=True)

    def __init__(self, key: Key, recipe: DeepSet, x: Array, mask: Array | None):
        keys, function = jax.random.split(key, 3), activation(recipe.activation)
        width, depth = recipe.width, recipe.depth
        self.pool = recipe.pool
        self.exact = Exact.of(x, mask, recipe.degree)
        features, statistics = self.exact.sizes(x.shape[2])
        self.phi = eqx.nn.MLP(features, width, width, depth, function, key=keys[0])
        self.score = eqx.nn.Linear(width, width, key=keys[1])
        pooled = width * len(recipe.pool.split("+")) + statistics
        self.rho = eqx.nn.MLP(pooled, recipe.size, width, depth, function, key=keys[2])

    def __call__(
        self, x: Float[Array, "n d"], mask: Float[Array, " n"] | None
    ) -> Float[Array, " e"]:
        features, s, mask = self.exact(x, mask)
        h = jax.vmap(self.phi)(features)
        scores = jax.vmap(self.score)(h)
        pooled = [pooling.POOLS[name](h, scores, mask) for name in self.pool.split("+")]
        return jnp.concatenate([self.rho(jnp.concatenate([*pooled, s])), s])
