"""Monotone rational-quadratic splines on the real line (Durkan et al. 2019, arXiv 1906.04032).

On [-B, B] there are K bins of widths w and heights h; in the bin that holds x, with left corner
(x_k, y_k), slope s = h / w, t = (x - x_k) / w and derivatives d, e at its left and right end,

    y = y_k + h (s t^2 + d t (1 - t)) / D,              D = s + (d + e - 2 s) t (1 - t),
    dy/dx = s^2 (e t^2 + 2 s t (1 - t) + d (1 - t)^2) / D^2.

Outside the spline is the identity, with which it agrees in value and slope at both ends. The bin
is found by a mask and not by an index: a few operations on all K bins compile and run faster than
a search.

Shapes: raw [dim, 3 K - 1] are logarithms: of widths, of heights (both up to a factor) and of the
inner derivatives; at 0 the spline is the identity. x, y [dim].
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MOST = 5.0  # of a logarithm: bins that are thinner would be lost in float32


def size(bins: int) -> int:
    """How many numbers make a spline."""
    return 3 * bins - 1


def forward(
    raw: Float[Array, "dim raw"], x: Float[Array, " dim"], bound: float
) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
    """y, and log dy/dx."""
    x_k, y_k, w, h, d, e = _bin(raw, x, bound, inverse=False)
    s, t = h / w, (jnp.clip(x, -bound, bound) - x_k) / w
    both = t * (1 - t)
    below = s + (d + e - 2 * s) * both
    y = y_k + h * (s * t**2 + d * both) / below
    slope = s**2 * (e * t**2 + 2 * s * both + d * (1 - t) ** 2) / below**2
    inside = jnp.abs(x) < bound
    return jnp.where(inside, y, x), jnp.where(inside, jnp.log(slope), 0.0)


def inverse(
    raw: Float[Array, "dim raw"], y: Float[Array, " dim"], bound: float
) -> Float[Array, " dim"]:
    """The x of y: the root of a quadratic in t."""
    x_k, y_k, w, h, d, e = _bin(raw, y, bound, inverse=True)
    s, up = h / w, jnp.clip(y, -bound, bound) - y_k
    bend = up * (d + e - 2 * s)
    a, b, c = h * (s - d) + bend, h * d - bend, -s * up
    t = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
    return jnp.where(jnp.abs(y) < bound, x_k + w * t, y)


def _bin(raw: Array, v: Array, bound: float, inverse: bool) -> tuple[Array, ...]:
    """x_k, y_k, w, h, d and e of the bin that holds v, which is an x or a y; [dim] each."""
    dim, bins = len(raw), (raw.shape[1] + 1) // 3
    positive = jnp.exp(jnp.clip(raw, -_MOST, _MOST))
    sizes, inner = positive[:, : 2 * bins].reshape(dim, 2, bins), positive[:, 2 * bins :]
    sums = sizes @ np.tri(bins + 1, bins, -1, np.float32).T  # up to each corner
    scale = 2 * bound / sums[:, :, -1:]
    sizes, corners = sizes * scale, sums[:, :, :-1] * scale - bound
    one, yes = jnp.ones((dim, 1)), jnp.ones((dim, 1), bool)
    ends = jnp.stack([jnp.append(one, inner, axis=1), jnp.append(inner, one, axis=1)], axis=1)
    # Beyond the left end counts as in the first bin, beyond the right end as in the last.
    right_of = jax.lax.stop_gradient(v[:, None] >= corners[:, int(inverse), 1:])
    here = jnp.append(yes, right_of, axis=1) & jnp.append(~right_of, yes, axis=1)
    of_all = jnp.concatenate([corners, sizes, ends], axis=1)
    x_k, y_k, w, h, d, e = jnp.einsum("dik,dk->id", of_all, here.astype(jnp.float32))
    return x_k, y_k, w, h, d, e
