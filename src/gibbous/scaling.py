"""Standardisation that survives heavy tails and constant features.

    y = (v - loc) / scale            light tails: loc = mean, scale = standard deviation
    y = asinh((v - loc) / scale)     heavy tails: loc = median, scale = IQR / 1.349

A feature is heavy-tailed when the 99.9% quantile of |v - median| exceeds ten robust standard
deviations (a normal gives 3.3, a logistic 4.7, a Student t with 3 degrees of freedom 11, a Cauchy
430), both of the round that v was simulated in: rounds that close in on one place have a tail
together that none of them has. asinh is linear at the centre and logarithmic in the tails, so one
wild simulation neither sets the scale of the others nor reaches the network as a number of 10^5.

Shapes: v is [..., *feature_shape]; every feature is scaled on its own.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_HEAVY = 10.0


class Standardizer(eqx.Module):
    """An affine map per feature, followed by asinh where the tails are heavy.

    Fields: `loc` and `scale` as in the formula, `heavy` marks the asinh features, `low` and `high`
    are the extremes of the data it was fitted on; each has the shape of one row's features.
    """

    loc: Float[Array, "*feature"]
    scale: Float[Array, "*feature"]
    heavy: Float[Array, "*feature"]  # 0 or 1; a float, so that it is saved like the others
    low: Float[Array, "*feature"]
    high: Float[Array, "*feature"]

    @classmethod
    def fit(
        cls, values: np.ndarray | Array, rounds: Int[np.ndarray, " rows"] | None = None
    ) -> "Standardizer":
        """Fit on `values` [rows, *feature_shape], all finite, of these rounds (None: of one)."""
        v = np.asarray(values, dtype=np.float64)
        median, robust = _middle(v)
        rounds = np.zeros(len(v), int) if rounds is None else rounds
        heavy = (np.quantile(_distance(v, rounds), 0.999, axis=0) > _HEAVY) & (robust > 0)
        loc = np.where(heavy, median, v.mean(axis=0))
        scale = np.where(heavy, robust, v.std(axis=0))
        # A constant feature carries nothing; scale 1 keeps it at zero instead of 0/0. What float32
        # cannot tell from a constant is one.
        constant = scale <= 1e-7 * np.abs(loc) + 1e-30
        scale = np.where(constant, 1.0, scale)

        def f32(a: np.ndarray) -> Array:
            return jnp.asarray(a, dtype=jnp.float32)

        return cls(f32(loc), f32(scale), f32(heavy), f32(v.min(axis=0)), f32(v.max(axis=0)))

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Standardizer":
        """A placeholder of the given feature shape, whose arrays are still to come."""
        zero = jnp.zeros(shape)
        return cls(zero, zero, zero, zero, zero)

    def forward(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Standardise `v` [..., *feature_shape]."""
        y = (v - self.loc) / self.scale
        return jnp.where(self.heavy > 0, jnp.arcsinh(y), y)

    def inverse(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        """Undo `forward`."""
        # |y| <= 80 keeps sinh inside float32; `where` alone would let its gradient be NaN.
        return self.loc + self.scale * jnp.where(self.heavy > 0, jnp.sinh(jnp.clip(y, -80, 80)), y)

    def log_det(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Elementwise log |d forward(v) / d v|."""
        y = (v - self.loc) / self.scale
        return -jnp.log(self.scale) - jnp.where(self.heavy > 0, 0.5 * jnp.log1p(y**2), 0.0)

    def excess(self, v: np.ndarray | Array) -> float:
        """How far `v` leaves the fitted range, in units of it (0 when inside); NaN is left out."""
        v = np.asarray(v, dtype=np.float64)
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        width = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-30))
        return float(np.nanmax(np.maximum(low - v, v - high) / width, initial=0.0))


def _middle(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median, and the standard deviation of a normal density with the same quartiles."""
    q25, median, q75 = np.quantile(v, [0.25, 0.5, 0.75], axis=0)
    return median, (q75 - q25) / 1.349


def _distance(v: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """|v - median| in robust standard deviations, both of each row's own round."""
    out = np.zeros_like(v)
    for r in np.unique(rounds):
        median, robust = _middle(v[rounds == r])
        out[rounds == r] = np.abs(v[rounds == r] - median) / np.where(robust > 0, robust, np.inf)
    return out
