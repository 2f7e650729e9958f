"""Autoregressive mixtures of Gaussians about learnt curves, for densities that are thin bands.

    v = (a - mu(b)) exp(-s(b)),      (mu, s)(b) = linear + perceptron,
    q(a | b) = sum_r w_r(b) prod_i q_ri(v_r(i) | v_r(<i), b) exp(-sum_j s_j(b)),
    q_ri(u | v, b) = sum_k w_k(v, b) N(u; m_k, sigma_k^2),
    m_k = f_k(v) + sigma_k(v, b) g_k(v, b),      w, log sigma, g, f: perceptrons.

A density may be a thin band about a curve or a surface, as narrow as b says. One factor sigma_k
below the width of the curve needs m_k that precise, for all b: so the curve f_k sees no b (mu
and s have taken out what b moves and stretches), and what b bends is a correction g_k in units
of the width. The perceptrons have linear skips: a log scale that is linear in b asks nothing of
them. Where the band runs along u, q_ri is badly placed, so the factors are taken in two orders r,
the coordinates forwards and backwards, and their mixture is a likelihood that covers the band with
two charts.

Autoregressive mixtures are Uria et al. 2013 (RNADE, arXiv 1306.0186); mixture density networks are
Bishop 1994; mixing over orders is Uria et al. 2014 (arXiv 1310.1757). mu begins at the median; s
at the robust regression of log |a - mu| on b (`locate.py`); the perceptrons of both at zero.

Shapes: a, v [dim], b [cond], of one order and coordinate: w, m, sigma [K].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.base import AbstractDensity, AbstractEstimator, Moment
from gibbous.estimators.locate import robust_regression
from gibbous.nets.base import activation
from gibbous.nets.perceptron import Perceptron

_MAX_INPUT, _MAX_LOG_SCALE = 6.0, 15.0


class AutoregressiveMixture(AbstractEstimator):
    """Mixtures of Gaussians, coordinate by coordinate, in two orders.

    Args:
        components: Gaussians of each coordinate given those before it.
        width, depth: of the perceptrons of w, sigma, g. curve_width, curve_depth: of f's.
        activation: name of a function of `jax.nn`.
    """

    components: int = 8
    width: int = 32
    depth: int = 2
    curve_width: int = 64
    curve_depth: int = 3
    activation: str = "tanh"

    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> "_Mixture":
        """Make the networks; the linear map begins at these pairs' centre and spread."""
        return _Mixture(self, key, a, b)


class _Mixture(AbstractDensity):
    centre: Float[Array, " dim"]
    slope: Float[Array, "dim cond"]
    log_scale: Float[Array, " dim"]
    log_slope: Float[Array, "dim cond"]
    correction: Perceptron
    gate: eqx.nn.Linear
    factors: list["_Factor"]  # of coordinate 0, 1, ... of an order; each stacked over the orders
    orders: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(self, recipe: AutoregressiveMixture, key: Key, a: Array, b: Array):
        dim, cond = a.shape[1], b.shape[1]
        forwards = tuple(range(dim))
        self.orders = (forwards, forwards[::-1]) if dim > 1 else (forwards,)
        self.centre, self.slope = jnp.median(a, axis=0), jnp.zeros((dim, cond))
        self.log_slope, log_scale, _ = robust_regression(
            jnp.log(jnp.abs(a - self.centre) + 1e-3), b
        )
        self.log_scale = log_scale + 0.4  # E log |e| of a normal e is -0.64, of a uniform one -0.31
        function = activation(recipe.activation)
        keys = jax.random.split(key, 3)
        sizes = [cond, recipe.curve_width, recipe.curve_width, 2 * dim]
        self.correction = Perceptron(keys[0], sizes, function, last=0.0)
        gate = eqx.nn.Linear(cond, len(self.orders), key=keys[1])
        self.gate = jax.tree.map(jnp.zeros_like, gate)
        self.factors = [
            eqx.filter_vmap(lambda k, i=i: _Factor(recipe, k, i, cond))(
                jax.random.split(jax.random.fold_in(keys[2], i), len(self.orders))
            )
            for i in range(dim)
        ]

    @property
    def tractable(self) -> bool:
        """Yes."""
        return True

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""
        mu, s = self._locate(b)
        v = ((a - mu) * jnp.exp(-s))[np.asarray(self.orders)]
        total = jax.nn.log_softmax(self.gate(b))
        for i, factor in enumerate(self.factors):
            total += eqx.filter_vmap(lambda f, v, i=i: f.log_prob(v[i], v[:i], b))(factor, v)
        return jax.nn.logsumexp(total) - jnp.sum(s)

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """Minus the log density."""
        return -self.log_prob(a, b)

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""

        def one(key: Key) -> Array:
            key_order, key_v = jax.random.split(key)
            r = jax.random.categorical(key_order, self.gate(b))
            v = jnp.zeros(0)
            for i, factor in enumerate(self.factors):
                chosen = jax.tree.map(lambda w: w[r] if eqx.is_array(w) else w, factor)
                v = jnp.append(v, chosen.sample(jax.random.fold_in(key_v, i), v, b))
            return jnp.zeros_like(v).at[jnp.asarray(self.orders)[r]].set(v)

        mu, s = self._locate(b)
        return mu + jnp.exp(s) * jax.vmap(one)(jax.random.split(key, n))

    def _locate(self, b: Array) -> tuple[Array, Array]:
        mu, s = self.centre + self.slope @ b, self.log_scale + self.log_slope @ b
        more_mu, more_s = jnp.split(self.correction(b), 2)
        return mu + more_mu, s + more_s


class _Factor(eqx.Module):
    """One coordinate given the `before` that precede it in the order, and b."""

    net: "_Net"
    curve: "_Net | None"
    means: Float[Array, " K"]

    def __init__(self, recipe: AutoregressiveMixture, key: Key, before: int, cond: int):
        keys, function = jax.random.split(key, 3), activation(recipe.activation)
        k, width, depth = recipe.components, recipe.curve_width, recipe.curve_depth
        self.net = _Net(keys[0], before, cond, 3 * k, recipe.width, recipe.depth, function)
        self.curve = _Net(keys[1], before, 0, k, width, depth, function) if before else None
        self.means = jax.random.normal(keys[2], (k,))  # apart, or they would stay together

    def _parameters(self, v: Array, b: Array) -> tuple[Array, Array, Array]:
        """Log weights, means and log scales, [K] each."""
        v = jnp.clip(v, -_MAX_INPUT, _MAX_INPUT)
        logits, g, s = jnp.split(self.net(v, b), 3)
        s = _MAX_LOG_SCALE * jnp.tanh((s - 1.0) / _MAX_LOG_SCALE)
        means = self.means + jnp.exp(s) * g
        if self.curve is not None:
            means += self.curve(v, jnp.zeros(0))
        return jax.nn.log_softmax(logits), means, s

    def log_prob(self, u: Float[Array, ""], v: Float[Array, " before"], b: Array) -> Array:
        """Log density of the coordinate u given those before it."""
        log_w, m, s = self._parameters(v, b)
        each = log_w - s - 0.5 * ((u - m) * jnp.exp(-s)) ** 2
        return jax.nn.logsumexp(each) - 0.5 * jnp.log(2 * jnp.pi)

    def sample(self, key: Key, v: Float[Array, " before"], b: Array) -> Float[Array, ""]:
        """A draw of the coordinate given those before it."""
        key_k, key_u = jax.random.split(key)
        log_w, m, s = self._parameters(v, b)
        k = jax.random.categorical(key_k, log_w)
        return m[k] + jnp.exp(s[k]) * jax.random.normal(key_u)


class _Net(eqx.Module):
    """(v, b) -> out: h_1 = f(A v + B b + c), h_l+1 = h_l + f(W h_l + B_l b + c_l), linear skips."""

    of_h: list[Array]
    of_b: list[Array]
    bias: list[Array]
    last: Array
    skip: Array
    function: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self, key: Key, dim: int, cond: int, out: int, width: int, depth: int, function: Callable
    ):
        def weight(key: Key, gain: float, columns: int, rows: int = width) -> Array:
            return gain * jax.random.normal(key, (rows, columns)) / max(columns, 1) ** 0.5

        keys = jax.random.split(key, (depth + 1, 3))
        # Steep first layers, for curves that bend; then each adds a little to what came before.
        self.of_h = [weight(keys[0, 0], 3.0, dim)] + [weight(k, 1.4, width) for k in keys[1:-1, 0]]
        self.of_b = [weight(keys[0, 1], 0.7, cond)] + [weight(k, 0.1, cond) for k in keys[1:-1, 1]]
        self.bias = [2.0 * jax.random.normal(keys[0, 2], (width,))]
        self.bias += [0.1 * jax.random.normal(k, (width,)) for k in keys[1:-1, 2]]
        self.last = weight(keys[-1, 0], 0.1, width, out)
        self.skip = jnp.zeros((out, dim + cond + 1))
        self.function = function

    def __call__(self, v: Array, b: Array) -> Array:
        h = self.function(self.of_h[0] @ v + self.of_b[0] @ b + self.bias[0])
        for of_h, of_b, bias in zip(self.of_h[1:], self.of_b[1:], self.bias[1:], strict=True):
            h = h + self.function(of_h @ h + of_b @ b + bias)
        dim = v.size  # what depends on b alone is computed once for all points of a dataset
        skip, bias = self.skip[:, :-1], self.skip[:, -1]
        return self.last @ h + skip[:, :dim] @ v + (skip[:, dim:] @ b + bias)
