"""Conditional normalising flows of masked layers.

    u = f_L(... f_1(v)),      v = (a - mu(b)) exp(-s(b)),      u ~ N(0, I),
    log q(a | b) = log N(u; 0, I) + sum_l log |det df_l| - sum_i s_i(b).

Each layer transforms every coordinate by a monotone function T whose parameters come from a network
of c(b) and of the coordinates of lower rank (a masked network, Germain et al. 2015, arXiv
1502.03509):

    f(v)_i = T(v_i; h_i(v_{rank < rank_i}, c)),      c = (mu, s, features)(b).

Ranks 0, 1, ..., dim - 1 make it autoregressive (Papamakarios et al. 2017, arXiv 1705.07057), ranks
0 and 1 a coupling (Dinh et al. 2017, arXiv 1605.08803). The density takes one pass, a draw as many
as there are ranks. T is affine, or affine and then a rational-quadratic spline (`spline.py`).
Between layers the order is reversed, the halves of a coupling are swapped.

mu and s, where the density lies and how wide it is, are those of `locate.py`, which may put a full
covariance in the place of s; the layers see numbers of order one. Of b they see nothing but mu, s
and a few features: weights on all of b, in every layer, are where a flow overfits (docs/recipe.md).

Shapes: a, u, v [dim], b [cond_dim], c [2 dim + 8].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators import spline
from gibbous.estimators.base import AbstractDensity, AbstractEstimator, Moment
from gibbous.estimators.locate import Covariance, Locate
from gibbous.nets.base import activation
from gibbous.nets.perceptron import uniform

# Under a narrow posterior a distant `a` is a v of 10^6. These bounds, which nothing near the bulk
# reaches, keep exp(network(v)) and so log q finite there.
_MAX_INPUT, _MAX_LAYER_LOG_SCALE = 20.0, 4.0
_FEATURES = 8  # of b, beside mu and s


class AutoregressiveSpline(AbstractEstimator):
    """Masked autoregressive flow of rational-quadratic splines: the default.

    Args:
        layers: of the flow. width, depth: hidden layers of the network in each of them.
        knots: of each spline, spread over [-interval, interval]; the identity outside.
        activation: name of a function of `jax.nn`.
        covariance: hidden layers of a network that gives the layers numbers without correlation,
            for densities that are nearly normal; () leaves it out.
    """

    layers: int = 3
    width: int = 64
    depth: int = 2
    knots: int = 8
    interval: float = 4.0
    activation: str = "silu"
    covariance: tuple[int, ...] = ()

    def build(self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]) -> "Flow":
        """Make the flow."""
        return _flow(self, key, a, b, ranks=tuple(range(a.shape[1])))


class CouplingSpline(AbstractEstimator):
    """Coupling flow of rational-quadratic splines; a draw takes two passes in any dimension.

    Args:
        layers: of the flow. width, depth: hidden layers of the network in each of them.
        knots: of each spline, spread over [-interval, interval]; the identity outside.
        activation: name of a function of `jax.nn`.
    """

    layers: int = 6
    width: int = 64
    depth: int = 2
    knots: int = 8
    interval: float = 4.0
    activation: str = "silu"

    def build(self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]) -> "Flow":
        """Make the flow."""
        return _flow(self, key, a, b, ranks=_halves(a.shape[1]))


class RealNVP(AbstractEstimator):
    """Affine coupling flow: the smallest, and the fastest to draw from.

    Args:
        layers: of the flow. width, depth: hidden layers of the network in each of them.
        activation: name of a function of `jax.nn`.
    """

    layers: int = 8
    width: int = 64
    depth: int = 2
    activation: str = "silu"

    @property
    def knots(self) -> int:
        """No spline."""
        return 0

    def build(self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]) -> "Flow":
        """Make the flow."""
        return _flow(self, key, a, b, ranks=_halves(a.shape[1]))


def _halves(dim: int) -> tuple[int, ...]:
    return tuple(int(i >= (dim + 1) // 2) for i in range(dim))


def _flow(recipe, key: Key, a: Array, b: Array, ranks: tuple[int, ...]) -> "Flow":
    dim = a.shape[1]
    keys = jax.random.split(key)
    layers = eqx.filter_vmap(lambda k: Layer(k, recipe, 2 * dim + _FEATURES, ranks))(
        jax.random.split(keys[0], recipe.layers)
    )
    function, hidden = activation(recipe.activation), getattr(recipe, "covariance", ())
    locate = Locate(keys[1], a, b, recipe.width, function, _FEATURES)
    if hidden:
        locate = Covariance(jax.random.fold_in(keys[1], 1), locate, hidden, function)
    return Flow(locate, layers, dim)


class Flow(AbstractDensity):
    """A built flow: the affine map that b locates, then masked layers in alternating order."""

    locate: Locate | Covariance
    layers: "Layer"  # stacked along a leading axis
    dim: int = eqx.field(static=True)

    @property
    def tractable(self) -> bool:
        """Yes."""
        return True

    def reorder(self, v: Float[Array, " dim"], back: bool = False) -> Float[Array, " dim"]:
        """The order in which the next layer takes the coordinates."""
        order = np.arange(self.dim)
        # A middle coordinate would keep its place, and its rank, if a coupling were reversed.
        coupling = max(self.layers.ranks) < self.dim - 1
        order = np.roll(order, -(self.dim // 2)) if coupling else order[::-1]
        matrix = np.eye(self.dim, dtype=np.float32)[order]
        return jnp.matmul(matrix.T if back else matrix, v, precision="highest")

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""
        return self._log_prob(a, b, unroll=False)

    def _log_prob(self, a: Array, b: Array, unroll: bool) -> Array:
        weights, static = eqx.partition(self.layers, eqx.is_array)
        c = self.locate.summary(b)

        def step(carry: tuple[Array, Array], layer: Layer) -> tuple[tuple[Array, Array], None]:
            v, log_det = carry
            v, more = eqx.combine(layer, static).forward(self.reorder(v), c)
            return (v, log_det + more), None

        start = self.locate.forward(a, b)
        (u, log_det), _ = jax.lax.scan(step, start, weights, unroll=unroll)
        return log_det - 0.5 * jnp.sum(u**2) - 0.5 * u.size * jnp.log(2 * jnp.pi)

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """Minus the log density."""
        # A loop compiles sooner, but would copy what each layer keeps for the gradient.
        return -self._log_prob(a, b, unroll=moment.training)

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""
        weights, static = eqx.partition(self.layers, eqx.is_array)

        def one(u: Array, c: Array) -> Array:
            def step(v: Array, layer: Layer) -> tuple[Array, None]:
                return self.reorder(eqx.combine(layer, static).inverse(v, c), back=True), None

            v, _ = jax.lax.scan(step, u, weights, reverse=True)
            return v

        c = jnp.tile(self.locate.summary(b), (n, 1))
        v = jax.vmap(one)(jax.random.normal(key, (n, self.dim)), c)
        return self.locate.inverse(v, b)


class Layer(eqx.Module):
    """v -> T(v; h(v, c)), coordinate by coordinate, the network h masked by ranks.

    Only sums of products matrix @ (what each row has of its own) keep the rows of a `vmap` in the
    last axis, where `spline.py` wants them and where all of this is fastest: anything else is
    transposed on its way. Hence biases are weights of a 1 that is appended to c, an order is a
    matrix, and `sample` gives a c to each draw.
    """

    from_v: list[Array]  # [out, in]; the first takes v, the others the hidden layer before
    from_c: list[Array]  # [out, cond + 1], c at every hidden layer; the last takes only its 1
    ranks: tuple[int, ...] = eqx.field(static=True)
    knots: int = eqx.field(static=True)
    interval: float = eqx.field(static=True)
    function: Callable = eqx.field(static=True)

    def __init__(self, key: Key, recipe, cond_dim: int, ranks: tuple[int, ...]):
        self.ranks, self.knots = ranks, recipe.knots
        self.interval = getattr(recipe, "interval", 0.0)
        self.function = activation(recipe.activation)
        dim, width, depth = len(ranks), recipe.width, recipe.depth
        into = [dim, *[width] * (depth - 1), *[cond_dim + 1] * depth]
        drawn = uniform(key, [*((width, i) for i in into), (_size(self.knots) * dim, width + 1)])
        *scaled, last = [w / np.sqrt(w.shape[1]) for w in drawn]
        last = 0.1 * last  # begin near the identity
        self.from_v = [*scaled[:depth], last[:, :-1]]
        self.from_c = [*scaled[depth:], last[:, -1:]]  # the last, of c only the 1

    def forward(self, v: Float[Array, " dim"], c: Float[Array, " cond"]) -> tuple[Array, Array]:
        """T of all coordinates, and the log-determinant."""
        weights, offsets = self._masked(), self._offsets(c)
        log_scale, shift, raw = self._parameters(weights, offsets, v)
        v, log_det = v * jnp.exp(log_scale) + shift, log_scale
        if self.knots:
            v, more = spline.forward(raw, v, self.interval)
            log_det = log_det + more
        return v, jnp.sum(log_det)

    def inverse(self, u: Float[Array, " dim"], c: Float[Array, " cond"]) -> Float[Array, " dim"]:
        """Undo `forward`, one rank after the other."""
        dim, ranks = u.size, max(self.ranks) + 1
        *weights, last = self._masked()
        count = -(-dim // ranks)  # coordinates of a rank; a last one with fewer repeats others

        def of_rank(rank: Array, of_all: Array) -> Array:
            of_each = of_all.reshape(-1, dim, *of_all.shape[1:])
            some = jax.lax.dynamic_slice_in_dim(of_each, rank * count, count, axis=1)
            return some.reshape(-1, *of_all.shape[1:])

        def one_rank(rank: Array, v: Array) -> Array:
            # Here, for a loop would put the rows of what comes from outside in the first axis.
            *offsets, offset = self._offsets(c)
            log_scale, shift, raw = self._parameters(
                [*weights, of_rank(rank, last)], [*offsets, of_rank(rank, offset)], v
            )
            new = of_rank(rank, u)
            new = spline.inverse(raw, new, self.interval) if self.knots else new
            new = (new - shift) * jnp.exp(-log_scale)
            return jax.lax.dynamic_update_slice_in_dim(v, new, rank * count, axis=0)

        return jax.lax.fori_loop(0, ranks, one_rank, jnp.zeros_like(u))

    def _masked(self) -> list[Array]:
        """The weights by which parameters of T of rank r see v of rank < r only."""
        ranks = np.asarray(self.ranks)
        hidden = np.arange(len(self.from_v[0])) % (ranks.max() + 1)  # rank r sees v of rank < r
        out = np.tile(ranks, _size(self.knots))
        masks = [ranks < hidden[:, None]]
        masks += [hidden <= hidden[:, None] for _ in self.from_v[1:-1]]
        masks += [hidden <= out[:, None]]
        return [jnp.where(mask, w, 0.0) for mask, w in zip(masks, self.from_v, strict=True)]

    def _offsets(self, c: Array) -> list[Array]:
        """What c adds to each layer of the network."""
        c = jnp.append(c, 1.0)
        return [*(w @ c for w in self.from_c[:-1]), self.from_c[-1] @ c[-1:]]

    def _parameters(
        self, weights: list[Array], offsets: list[Array], v: Array
    ) -> tuple[Array, Array, Array]:
        """Log scale, shift and spline of each coordinate."""
        first, *between, last = zip(weights, offsets, strict=True)
        h = first[0] @ jnp.clip(v, -_MAX_INPUT, _MAX_INPUT) + first[1]
        for w, offset in between:
            h = self.function(h)
            h = h + w @ h + offset
        out = last[0] @ self.function(h) + last[1]
        dim, most = out.size // _size(self.knots), _MAX_LAYER_LOG_SCALE
        return jnp.clip(out[:dim], -most, most), out[dim : 2 * dim], out[2 * dim :]


def _size(knots: int) -> int:
    """Parameters of T for a coordinate: log scale, shift and, if there is one, its spline."""
    return 2 + (spline.size(knots) if knots else 0)
