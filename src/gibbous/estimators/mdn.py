"""Mixture density network (Bishop 1994).

    v = (a - mu(b)) exp(-s(b)),
    q(a | b) = sum_k w_k(b) N(v; m_k(b), L_k(b) L_k(b)^T) exp(-sum_i s_i(b)),

with weights, means and lower triangular L_k^-1 (positive diagonal) from one perceptron of b. mu and
s are those of `locate.py`: the mixture begins at a regression, and sees numbers of order one.

Shapes: a, v [dim], b [cond_dim], m [K, dim], L^-1 [K, dim, dim].
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.base import AbstractDensity, AbstractEstimator, Moment
from gibbous.estimators.locate import Locate
from gibbous.nets.base import activation
from gibbous.nets.perceptron import Perceptron

_MAX_LOG_SCALE = 15.0
_SPREAD = 0.3  # distance of the components' means from the regression at first, in its errors


class MDN(AbstractEstimator):
    """Mixture of Gaussians with full covariances.

    Args:
        components: number K of Gaussians.
        width, depth: of the perceptron. activation: of `jax.nn`.
    """

    components: int = 8
    width: int = 64
    depth: int = 2
    activation: str = "silu"

    def build(self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]) -> "_MDN":
        """Make the network."""
        dim, cond_dim = a.shape[1], b.shape[1]
        key_mlp, key_means, key_locate = jax.random.split(key, 3)
        size = self.components * (1 + 2 * dim + dim * (dim - 1) // 2)
        function = activation(self.activation)
        sizes = [cond_dim, *[self.width] * self.depth, size]
        # Zero at first: begin at the regression.
        mlp = Perceptron(key_mlp, sizes, function, last=0.0, residual=True)
        locate = Locate(key_locate, a, b, self.width, function)
        # Components that begin in one place would stay there; those far from the regression, where
        # it is right, stay as well, as training stops before it has moved them.
        means = _SPREAD * dim**-0.5 * jax.random.normal(key_means, (self.components, dim))
        return _MDN(locate, mlp, means - jnp.mean(means, axis=0), self.components, dim)


class _MDN(AbstractDensity):
    locate: Locate
    mlp: Perceptron
    means: Float[Array, "K dim"]
    components: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def _parameters(self, b: Array) -> tuple[Array, Array, Array]:
        """Log weights [K], means [K, dim], and L^-1 [K, dim, dim]."""
        k, d = self.components, self.dim
        logits, means, log_diagonal, lower = jnp.split(self.mlp(b), [k, k + k * d, k + 2 * k * d])
        s = _MAX_LOG_SCALE * jnp.tanh(log_diagonal / _MAX_LOG_SCALE)
        precision = jnp.zeros((k, d, d))
        precision = precision.at[:, *jnp.diag_indices(d)].set(jnp.exp(s).reshape(k, d))
        precision = precision.at[:, *jnp.tril_indices(d, -1)].set(lower.reshape(k, -1))
        return jax.nn.log_softmax(logits), self.means + means.reshape(k, d), precision

    @property
    def tractable(self) -> bool:
        """Yes."""
        return True

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""
        log_weights, means, precision = self._parameters(b)
        mu, s = self.locate(b)
        v = jnp.einsum("kij,kj->ki", precision, (a - mu) * jnp.exp(-s) - means)
        log_det = jnp.sum(jnp.log(jnp.diagonal(precision, axis1=1, axis2=2)), axis=-1)
        each = -0.5 * jnp.sum(v**2, axis=-1) - 0.5 * self.dim * jnp.log(2 * jnp.pi) + log_det
        return jax.scipy.special.logsumexp(log_weights + each) - jnp.sum(s)

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """Minus the log density."""
        return -self.log_prob(a, b)

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""
        key_which, key_v = jax.random.split(key)
        log_weights, means, precision = self._parameters(b)
        which = jax.random.categorical(key_which, log_weights, shape=(n,))
        v = jax.random.normal(key_v, (n, self.dim))
        root = jax.vmap(lambda p: jnp.linalg.inv(p))(precision)  # small, one for a component
        mu, s = self.locate(b)
        return mu + jnp.exp(s) * (means[which] + jnp.einsum("nij,nj->ni", root[which], v))
