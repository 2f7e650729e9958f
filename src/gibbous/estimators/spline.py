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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MOST = 5.0  # of a logarithm: bins that are thinner would be lost in float32


def size(bins: int) -> int:
    """How many numbers make a spline."""
    return 3 * bins - 1


def forward(
    raw: Float[Array, " raw"], x: Float[Array, " dim"], bound: float
) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
    """y, and log dy/dx."""
    return _forward(raw, x, bound)


def inverse(
    raw: Float[Array, " raw"], y: Float[Array, " dim"], bound: float
) -> Float[Array, " dim"]:
    """The x of y: the root of a quadratic in t."""

    def root(raw: Array, y: Array) -> tuple[Array]:
        x_k, y_k, w, h, d, e = _scaled(_find(raw, y, bound, inverse=True)[0], bound)
        s, up = h / w, jnp.clip(y, -bound, bound) - y_k
        bend = up * (d + e - 2 * s)
        a, b, c = h * (s - d) + bend, h * d - bend, -s * up
        t = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
        return (jnp.where(jnp.abs(y) < bound, x_k + w * t, y),)

    return _side_by_side(root)(raw, y)[0]


def _value(raw: Array, x: Array, bound: float) -> tuple[Array, Array]:
    y, log_slope = _side_by_side(lambda raw, x: _in_bin(_find(raw, x, bound)[0], x, bound))(raw, x)
    return y, log_slope


def _pull(
    bound: float, at: tuple[Array, Array], cotangents: tuple[Array, Array]
) -> tuple[Array, ...]:
    """The gradient: that of the numbers of one bin, handed on to all that they are sums of."""

    def pull(raw: Array, x: Array, *cotangents: Array) -> tuple[Array, Array]:
        found, positive, here, beyond = _find(raw, x, bound)
        of, of_x = jax.vjp(lambda found, x: _in_bin(found, x, bound), found, x)[1](cotangents)
        of_widths = jnp.where(here, of.w, 0.0) + jnp.where(beyond, of.x_k, 0.0) + of.width
        of_heights = jnp.where(here, of.h, 0.0) + jnp.where(beyond, of.y_k, 0.0) + of.height
        of_inner = jnp.where(here[1:], of.d, 0.0) + jnp.where(here[:-1], of.e, 0.0)
        of_positive = jnp.concatenate([of_widths, of_heights, of_inner])
        return (of_positive * positive).reshape(raw.shape) * (jnp.abs(raw) < _MOST), of_x

    return _side_by_side(pull)(*at, *cotangents)


_forward = jax.custom_vjp(_value, nondiff_argnums=(2,))
_forward.defvjp(lambda raw, x, bound: (_value(raw, x, bound), (raw, x)), _pull)


class _Bin(NamedTuple):
    """The bin that holds v, before all bins, `width` and `height` in sum, fill [-B, B]; [dim]."""

    x_k: Array
    y_k: Array
    w: Array
    h: Array
    d: Array
    e: Array
    width: Array
    height: Array


def _in_bin(found: _Bin, x: Array, bound: float) -> tuple[Array, Array]:
    """y and log dy/dx."""
    x_k, y_k, w, h, d, e = _scaled(found, bound)
    s, t = h / w, (jnp.clip(x, -bound, bound) - x_k) / w
    both = t * (1 - t)
    below = s + (d + e - 2 * s) * both
    y = y_k + h * (s * t**2 + d * both) / below
    slope = s**2 * (e * t**2 + 2 * s * both + d * (1 - t) ** 2) / below**2
    inside = jnp.abs(x) < bound
    return jnp.where(inside, y, x), jnp.where(inside, jnp.log(slope), 0.0)


def _scaled(found: _Bin, bound: float) -> tuple[Array, ...]:
    """x_k, y_k, w, h, d and e where all bins fill [-bound, bound]."""
    x_k, y_k, w, h, d, e, width, height = found
    across, up = 2 * bound / width, 2 * bound / height
    return x_k * across - bound, y_k * up - bound, w * across, h * up, d, e


def _find(
    raw: Array, v: Array, bound: float, inverse: bool = False
) -> tuple[_Bin, Array, Array, Array]:
    """The bin that holds v, an x or a y; exp(raw); masks [bins, dim]: v is in it, is beyond it."""
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

    def pick(of_all: Array) -> Array:
        return jnp.sum(jnp.where(here, of_all, 0.0), axis=0)

    (x_corners, y_corners), widths, heights = corners, positive[:bins], positive[bins : 2 * bins]
    found = _Bin(pick(x_corners[:-1]), pick(y_corners[:-1]), pick(widths), pick(heights),
                 pick(slopes[:-1]), pick(slopes[1:]), width, height)  # fmt: skip
    return found, positive, here, beyond


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
