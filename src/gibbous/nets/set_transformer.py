"""Set Transformer: an embedding of a set of points by attention between them.

    H = MAB(I, Z),    Z <- MAB(Z, H),                    twice (an induced block, ISAB)
    e = [ Phi( PMA(Z), s ), s ],                          PMA(Z) = MAB(S, Z)
    MAB(Q, Y) = A + r(A),    A = Q + Attention(Q, Y, Y)

(Lee et al. 2019, arXiv 1810.00825). I are m inducing points and S k seeds, both learnt, so that
attention costs n m and not n^2. Z begins at a perceptron of the points, standardised by their own
set and seen as polynomials, and s are exact statistics of the set (`exact.py`). Points that do not
count are never attended to.

Where `gb.DeepSet` sees points one by one, this sees them in the light of all others: for sets whose
points say something together, at several times the cost.

Shapes: x [n, d], mask [n], e [size].
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.nets.base import AbstractSetEmbedding
from gibbous.nets.exact import Exact


class SetTransformer(AbstractSetEmbedding):
    """An embedding for sets of points, [n, d], by attention.

    Args:
        inducing: points that mediate the attention.
        seeds: vectors that the set is pooled into.
        blocks: of attention, one after the other.
        width: of a point's features; heads: that they are divided among.
        size: length of the learnt part of the embedding.
        degree: of the polynomials, as for `gb.DeepSet`.

    Raises:
        ConfigError: on numbers that are not positive, or heads that do not divide the width.
    """

    inducing: int = 16
    seeds: int = 4
    blocks: int = 2
    width: int = 32
    heads: int = 4
    size: int = 32
    degree: int | None = None

    def __check_init__(self):
        least = min(self.inducing, self.seeds, self.blocks, self.width, self.heads, self.size)
        if least < 1 or self.width % self.heads:
            raise ConfigError(
                f"expected positive sizes, and a width that heads divide, got {self.width} and "
                f"{self.heads}"
            )

    def build(
        self, key: Key, x: Float[Array, "rows n d"], mask: Float[Array, "rows n"] | None = None
    ) -> "_SetTransformer":
        """Make the network; its statistics are standardised on the sets in `x`.

        Raises:
            ShapeError: if a dataset is no set of points.
        """
        return _SetTransformer(key, self, x, mask)


class _SetTransformer(eqx.Module):
    exact: Exact
    begin: eqx.nn.MLP
    blocks: list[tuple["_Attended", "_Attended"]]
    inducing: list[Float[Array, "m width"]]
    seeds: Float[Array, "k width"]
    pool: "_Attended"
    rho: eqx.nn.MLP

    def __init__(self, key: Key, recipe: SetTransformer, x: Array, mask: Array | None):
        keys = iter(jax.random.split(key, 4 + 3 * recipe.blocks))
        width, heads, act = recipe.width, recipe.heads, jax.nn.silu
        self.exact = Exact.of(x, mask, recipe.degree)
        features, statistics = self.exact.sizes(x.shape[2])
        self.begin = eqx.nn.MLP(features, width, width, 1, act, key=next(keys))
        self.blocks = [
            (_Attended(next(keys), width, heads), _Attended(next(keys), width, heads))
            for _ in range(recipe.blocks)
        ]
        self.inducing = [
            jax.random.normal(next(keys), (recipe.inducing, width)) for _ in range(recipe.blocks)
        ]
        self.seeds = jax.random.normal(next(keys), (recipe.seeds, width))
        self.pool = _Attended(next(keys), width, heads)
        pooled = recipe.seeds * width + statistics
        self.rho = eqx.nn.MLP(pooled, recipe.size, width, 2, act, key=next(keys))

    def __call__(
        self, x: Float[Array, "n d"], mask: Float[Array, " n"] | None
    ) -> Float[Array, " e"]:
        features, s, mask = self.exact(x, mask)
        z = jax.vmap(self.begin)(features)
        for (gather, spread), inducing in zip(self.blocks, self.inducing, strict=True):
            z = spread(z, gather(inducing, z, mask), None)
        pooled = self.pool(self.seeds, z, mask)
        return jnp.concatenate([self.rho(jnp.concatenate([pooled.ravel(), s])), s])


class _Attended(eqx.Module):
    """MAB: queries that have attended to keys, each then through a perceptron of its own."""

    attention: eqx.nn.MultiheadAttention
    perceptron: eqx.nn.MLP
    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]

    def __init__(self, key: Key, width: int, heads: int):
        keys = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=keys[0])
        self.perceptron = eqx.nn.MLP(width, width, 2 * width, 1, jax.nn.silu, key=keys[1])
        self.norms = (eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width))

    def __call__(
        self, q: Float[Array, "q width"], y: Float[Array, "y width"], mask: Array | None
    ) -> Float[Array, "q width"]:
        # Norms before attention and perceptron (Xiong et al. 2020, arXiv 2002.04745) train without
        # a slow start.
        y = jax.vmap(self.norms[0])(y)
        seen = None if mask is None else jnp.broadcast_to(mask > 0, (len(q), len(y)))
        a = q + self.attention(q, y, y, seen)
        return a + jax.vmap(lambda row: self.perceptron(self.norms[1](row)))(a)
