"""Standardisation that survives heavy tails and constant features.

    y = (v - loc) / scale                  light tails: loc = mean, scale = standard deviation
    y = c asinh((v - loc) / (c scale))     heavy tails: loc = median, scale = IQR / 1.349

A feature is heavy-tailed when the 99.9% quantile of |v - median| exceeds ten robust standard
deviations (a normal gives 3.3, a logistic 4.7, a Student t with 3 degrees of freedom 11, a Cauchy
430). asinh is linear up to about c and logarithmic beyond, so one wild simulation neither sets the
scale of the others nor reaches the network as a number of 10^5. c is 1; but rounds that close in on
one place have a tail together, of what was far from it, and there c is 30: what is near is not
bent (docs/recipe.md).

Shapes: v is [..., *feature_shape]; every feature is scaled on its own.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_HEAVY = 10.0
_BEND = 30.0  # of rows of several rounds


class Standardizer(eqx.Module):
    """An affine map per feature, followed by asinh where the tails are heavy.

    Fields: `loc` and `scale` as in the formula, `bend` is c or, without asinh, 0; `low` and `high`
    are the extremes of the data it was fitted on; each has the shape of one row's features.
    """

    loc: Float[Array, "*feature"]
    scale: Float[Array, "*feature"]
    bend: Float[Array, "*feature"]
    low: Float[Array, "*feature"]
    high: Float[Array, "*feature"]

    @classmethod
    def fit(cls, values: np.ndarray | Array, *, rounds: bool = False) -> "Standardizer":
        """Fit on `values` [rows, *feature_shape], all finite; of several rounds?"""
        v = np.asarray(values, dtype=np.float64)
        q25, median, q75 = np.quantile(v, [0.25, 0.5, 0.75], axis=0)
        robust = (q75 - q25) / 1.349  # the standard deviation of a normal with these quartiles
        far = np.quantile(np.abs(v - median), 0.999, axis=0)
        heavy = (far > _HEAVY * robust) & (robust > 0)
        loc = np.where(heavy, median, v.mean(axis=0))
        scale = np.where(heavy, robust, v.std(axis=0))
        # A constant feature carries nothing; scale 1 keeps it at zero instead of 0/0. What float32
        # cannot tell from a constant is one.
        constant = scale <= 1e-7 * np.abs(loc) + 1e-30
        scale = np.where(constant, 1.0, scale)

        def f32(a: np.ndarray) -> Array:
            return jnp.asarray(a, dtype=jnp.float32)

        bend = np.where(heavy, _BEND if rounds else 1.0, 0.0)
        return cls(f32(loc), f32(scale), f32(bend), f32(v.min(axis=0)), f32(v.max(axis=0)))

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Standardizer":
        """A placeholder of the given feature shape, whose arrays are still to come."""
        zero = jnp.zeros(shape)
        return cls(zero, zero, zero, zero, zero)

    def forward(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Standardise `v` [..., *feature_shape]."""
        y = (v - self.loc) / self.scale
        return jnp.where(self.bend > 0, self._c * jnp.arcsinh(y / self._c), y)

    def inverse(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        """Undo `forward`."""
        # |y| <= 80 keeps sinh inside float32; `where` alone would let its gradient be NaN.
        bent = self._c * jnp.sinh(jnp.clip(y / self._c, -80, 80))
        return self.loc + self.scale * jnp.where(self.bend > 0, bent, y)

    def log_det(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Elementwise log |d forward(v) / d v|."""
        y = (v - self.loc) / self.scale / self._c
        return -jnp.log(self.scale) - jnp.where(self.bend > 0, 0.5 * jnp.log1p(y**2), 0.0)

    @property
    def _c(self) -> Array:
        return jnp.where(self.bend > 0, self.bend, 1.0)

    def excess(self, v: np.ndarray | Array) -> float:
        """How far `v` leaves the fitted range, in units of it (0 when inside); NaN is left out."""
        v = np.asarray(v, dtype=np.float64)
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        width = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-30))
        return float(np.nanmax(np.maximum(low - v, v - high) / width, initial=0.0))
