"""Deep Sets: an embedding of a set of points that does not depend on their order.

    e = Phi( pool_i phi(y_i), log n ),      i = 1..n with mask_i = 1

(Zaheer et al. 2017, arXiv 1703.06114). n is data, so log n is an input of Phi.

Shapes: x [n, d], mask [n], e [size].
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from gibbous._types import Key
from gibbous.nets.base import AbstractEmbedding


class DeepSet(AbstractEmbedding):
    """provisional."""

    size: int = 32
    width: int = 32

    def build(self, key: Key, event_shape: tuple[int, ...]) -> "_DeepSet":
        return _DeepSet(key, self, event_shape[-1])


class _DeepSet(eqx.Module):
    phi: eqx.nn.MLP
    rho: eqx.nn.MLP

    def __init__(self, key, r, d):
        k1, k2 = jax.random.split(key)
        self.phi = eqx.nn.MLP(d, r.width, r.width, 2, jax.nn.silu, key=k1)
        self.rho = eqx.nn.MLP(4 * r.width + 2 * d + 1, r.size, r.width, 2, jax.nn.silu, key=k2)

    def __call__(self, x, mask=None):
        m, s = x.mean(0), x.std(0) + 1e-6
        h = jax.vmap(self.phi)((x - m) / s)
        f = jnp.concatenate(
            [
                h.mean(0),
                h.std(0),
                h.max(0),
                h.min(0),
                m / s,
                jnp.log(s),
                jnp.log(1.0 * len(x))[None],
            ]
        )
        return jnp.concatenate([self.rho(f), jnp.log(s), m / s])
