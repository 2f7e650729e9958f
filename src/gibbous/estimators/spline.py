"""Monotone rational-quadratic splines on the real line (Durkan et al. 2019, arXiv 1906.04032).

On [-B, B] there are K bins of widths w and heights h; in the bin that holds x, with left corner
(x_k, y_k), slope s = h / w, t = (x - x_k) / w and derivatives d, e at its left and right end,

    y = y_k + h (s t^2 + d t (1 - t)) / D,              D = s + (d + e - 2 s) t (1 - t),
    dy/dx = s^2 (e t^2 + 2 s t (1 - t) + d (1 - t)^2) / D^2.

Outside the spline is the identity, with which it agrees in value and slope at both ends. The bin
is found by masks and not by an index: a few operations on all K bins compile and run faster than
a search. A flow would spend most of its time here, hence two liberties: `vmap` puts the rows of a
batch into the last axis, where a processor takes many at a time, and the gradient is written out.

Shapes: raw [(3 K - 1) dim], dim numbers after dim numbers, are logarithms: of widths, of heights
(both up to a factor) and of the inner derivatives; at 0 the spline is the identity. x, y [dim].
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MOST = 5.0  # of a logarithm: bins that are thinner would be lost in float32


def size(bins: int) -> int:
    """How many numbers make a spline."""
    return 3 * bins - 1


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def forward(
    raw: Float[Array, " raw"], x: Float[Array, " dim"], bound: float
) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
    """y, and log dy/dx."""
    return _side_by_side(lambda raw, x: _in_bin(*_found(raw, x, bound)[0], x, bound))(raw, x)


def inverse(
    raw: Float[Array, " raw"], y: Float[Array, " dim"], bound: float
) -> Float[Array, " dim"]:
    """The x of y: the root of a quadratic in t."""

    def root(raw: Array, y: Array) -> tuple[Array]:
        x_k, y_k, w, h, d, e = _in_user(*_found(raw, y, bound, inverse=True)[0], bound)
        s, up = h / w, jnp.clip(y, -bound, bound) - y_k
        bend = up * (d + e - 2 * s)
        a, b, c = h * (s - d) + bend, h * d - bend, -s * up
        t = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
        return (jnp.where(jnp.abs(y) < bound, x_k + w * t, y),)

    return _side_by_side(root)(raw, y)[0]


def _pull(bound: float, at: tuple[Array, Array], cotangents: tuple[Array, Array]):
    """The gradient: that of the numbers of one bin, handed on to all that they are sums of."""

    def pull(raw: Array, x: Array, *cotangents: Array) -> tuple[Array, Array]:
        found, positive, here, beyond = _found(raw, x, bound)
        _, back = jax.vjp(lambda found, x: _in_bin(*found, x, bound), found, x)
        (x_k, y_k, w, h, d, e, *sums), of_x = back(cotangents)
        of_widths = jnp.where(here, w, 0.0) + jnp.where(beyond, x_k, 0.0) + sums[0]
        of_heights = jnp.where(here, h, 0.0) + jnp.where(beyond, y_k, 0.0) + sums[1]
        of_inner = jnp.where(here[1:], d, 0.0) + jnp.where(here[:-1], e, 0.0)
        of_positive = jnp.concatenate([of_widths, of_heights, of_inner])
        return (of_positive * positive).reshape(raw.shape) * (jnp.abs(raw) < _MOST), of_x

    return _side_by_side(pull)(*at, *cotangents)


forward.defvjp(lambda raw, x, bound: (forward(raw, x, bound), (raw, x)), _pull)


def _in_bin(x_k, y_k, w, h, d, e, width, height, x: Array, bound: float) -> tuple[Array, Array]:
    """y and log dy/dx."""
    x_k, y_k, w, h, d, e = _in_user(x_k, y_k, w, h, d, e, width, height, bound)
    s, t = h / w, (jnp.clip(x, -bound, bound) - x_k) / w
    both = t * (1 - t)
    below = s + (d + e - 2 * s) * both
    y = y_k + h * (s * t**2 + d * both) / below
    slope = s**2 * (e * t**2 + 2 * s * both + d * (1 - t) ** 2) / below**2
    inside = jnp.abs(x) < bound
    return jnp.where(inside, y, x), jnp.where(inside, jnp.log(slope), 0.0)


def _in_user(x_k, y_k, w, h, d, e, width, height, bound: float) -> tuple[Array, ...]:
    """Corner and size of a bin where all of them fill [-bound, bound]."""
    across, up = 2 * bound / width, 2 * bound / height
    return x_k * across - bound, y_k * up - bound, w * across, h * up, d, e


def _found(raw: Array, v: Array, bound: float, inverse: bool = False):
    """(x_k, y_k, w, h, d, e, width, height) of the bin that holds v, an x or a y, [dim] each.

    Sizes are not yet scaled: all bins together are as wide as `width`, as high as `height`.
    Also exp(raw), and masks [bins, dim]: whether v is in the bin, whether beyond it.
    """
    bins = (len(raw) // len(v) + 1) // 3
    positive = jnp.exp(jnp.clip(raw, -_MOST, _MOST)).reshape(-1, *v.shape)
    up_to = np.kron(np.eye(2), np.tri(bins + 1, bins, -1)).astype(np.float32)
    corners = jnp.tensordot(up_to, positive[: 2 * bins], 1).reshape(2, bins + 1, *v.shape)
    width, height = corners[:, -1]
    along = (v + bound) * ((height if inverse else width) / (2 * bound))
    # Beyond the left end counts as in the first bin, beyond the right end as in the last.
    right_of = along >= corners[int(inverse), 1:-1]
    no = jnp.zeros((1, *v.shape), bool)
    beyond = jnp.concatenate([right_of, no])
    here = jnp.concatenate([~no, right_of]) & ~beyond
    one = jnp.ones((1, *v.shape))
    slopes = jnp.concatenate([one, positive[2 * bins :], one])
    of_all = (corners[0, :-1], corners[1, :-1], positive[:bins], positive[bins : 2 * bins],
              slopes[:-1], slopes[1:])  # fmt: skip
    found = tuple(jnp.sum(jnp.where(here, one_of, 0.0), axis=0) for one_of in of_all)
    return (*found, width, height), positive, here, beyond


def _side_by_side(f: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
    """f, for which the axes after the first are all alike, with that of a batch as the second."""
    joined = jax.custom_batching.custom_vmap(f)

    @joined.def_vmap
    def _(rows: int, batched: list[bool], *args: Array):
        whole = [
            jnp.moveaxis(a, 0, 1) if b else jnp.repeat(a[:, None], rows, axis=1)
            for a, b in zip(args, batched, strict=True)
        ]
        out = tuple(jnp.moveaxis(v, 1, 0) for v in joined(*whole))
        return out, (True,) * len(out)

    return joined
