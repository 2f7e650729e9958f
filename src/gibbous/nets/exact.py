"""What is said of a set exactly, and not learnt.

    u_i = (y_i - mean) / sd,    p(y_i),    q(y_i),    s

u are the points standardised by their own set, p polynomials of the points that are orthonormal
over the points of all sets, q their distance from the curve or surface of a polynomial equation
that these lie near, and s statistics of the set: location, scale, extremes, log n, the means of p,
of q and of their products, and those of `polynomials.regression`, which measure how nearly the
points obey an equation of their own and which. What a mean over learnt features loses is precision;
a parameter known to one part in a thousand is close to a linear function of s, and no network has
to be that precise.

In a small region of the prior all sets may lie near one curve, which a set's own fit has to find
anew. There q is a point's noise, and its means with p say how the curve of a set differs.

Shapes: y [n, d], mask [n].
"""

from math import comb
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import paramax
from jaxtyping import Array, Float

from gibbous.errors import ShapeError
from gibbous.nets import pooling
from gibbous.nets.polynomials import (
    curve,
    distances,
    extent,
    orthonormal,
    polynomials,
    powers,
    regression,
    triangle,
)

_MAX_COLUMNS = 35
_POINTS = 2**16  # that the polynomials and the curve are made of
_ROUNDING = 1e-6  # of float32: a statistic that varies less is a constant


class Equations(NamedTuple):
    """Coefficients of what is common to all sets: of the polynomials p, [k, k], and of the curve
    that q are distances from, [k, d + 1]."""

    polynomials: Array
    curve: Array

    @classmethod
    def of(cls, points: Float[Array, "m d"], mask: Float[Array, " m"], degree: int) -> "Equations":
        """Of these points."""
        r, d = triangle(powers(points, degree), mask), points.shape[1]
        near = curve(r, d, degree)[0] if degree else jnp.zeros((1, d + 1))
        return cls(orthonormal(r), near)


class Exact(eqx.Module):
    """Features of the points, and standardised statistics of the set."""

    centre: paramax.NonTrainable  # standardisation of the statistics
    spread: paramax.NonTrainable
    equations: paramax.NonTrainable
    degree: int = eqx.field(static=True)

    @classmethod
    def of(
        cls, x: Float[Array, "rows n d"], mask: Float[Array, "rows n"] | None, degree: int | None
    ) -> "Exact":
        """Standardised on these sets; the degree of the polynomials is chosen if it is None.

        Raises:
            ShapeError: if a dataset is no set of points.
        """
        if x.ndim != 3:
            raise ShapeError(
                f"expected sets of points [n, d], for which gb.DeepSet and gb.SetTransformer are, "
                f"got datasets of shape {x.shape[1:]}"
            )
        d = x.shape[2]
        degree = default_degree(d) if degree is None else degree
        x, mask = jax.vmap(whole, (0, None if mask is None else 0))(x, mask)
        points, counts = x.reshape(-1, d)[:_POINTS], mask.reshape(-1)[:_POINTS]
        equations = Equations.of(points, counts, degree)
        s = jax.vmap(lambda row, m: describe(row, m, equations, degree)[1])(x, mask)
        centre, spread = s.mean(axis=0), s.std(axis=0)
        # In a small region what tells sets apart is a ten-thousandth of what all have in common.
        constant = spread < _ROUNDING * (1 + jnp.abs(centre))
        return cls(
            paramax.NonTrainable(centre),
            paramax.NonTrainable(jnp.where(constant, 1.0, spread)),
            paramax.NonTrainable(equations),
            degree,
        )

    def __call__(
        self, x: Float[Array, "n d"], mask: Float[Array, " n"] | None
    ) -> tuple[Float[Array, "n k"], Float[Array, " s"], Float[Array, " n"]]:
        """u, p and q of each point, s, and which points count."""
        x, mask = whole(x, mask)
        features, s = describe(x, mask, paramax.unwrap(self.equations), self.degree)
        return features, (s - paramax.unwrap(self.centre)) / paramax.unwrap(self.spread), mask

    def sizes(self, d: int) -> tuple[int, int]:
        """Lengths of a point's features, and of the statistics."""
        return d + comb(d + self.degree, d) + 1, self.centre.tree.shape[0]


def describe(
    x: Float[Array, "n d"], mask: Float[Array, " n"], equations: Equations, degree: int
) -> tuple[Float[Array, "n k"], Float[Array, " s"]]:
    """u, p and q of each point, and exact statistics of the set, mostly logarithms: location,
    scale, extremes, log n, the means of p and of q p, the spread of q, and `regression` unless the
    degree is 0."""
    centre = pooling.mean(x, mask)
    sd = jnp.sqrt(pooling.mean((x - centre) ** 2, mask) + 1e-12)
    u = jnp.where(mask[:, None] > 0, (x - centre) / sd, 0.0)
    columns = powers(x, degree)
    p, q = polynomials(columns, equations.polynomials), distances(columns, equations.curve)
    high, low = pooling.extremes(u, mask)
    top, bottom = centre + sd * high, centre + sd * low
    s = [
        *(jnp.log(sd), jnp.arcsinh(centre / sd), jnp.arcsinh(centre), high, low),
        *(jnp.log(jnp.maximum(v, 0.0) + 1e-6) for v in (top - bottom, high - low, high, -low)),
        *(pooling.log_abs(top), pooling.log_abs(bottom)),
        *(jnp.arcsinh(top), jnp.arcsinh(bottom)),
        jnp.log1p(jnp.sum(mask))[None],
        jnp.arcsinh(pooling.mean(p[:, 1:], mask)),  # the first is 1
    ]
    if degree:
        s += [
            jnp.arcsinh(pooling.mean(q[:, None] * p, mask)),
            extent(q, mask),
            regression(u, degree, mask),
        ]
    return jnp.concatenate([u, p, q[:, None]], axis=1), jnp.concatenate(s)


def whole(
    x: Float[Array, "n d"], mask: Float[Array, " n"] | None
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """A set with zeros in the place of points that do not count, and its mask. A point that lacks
    an entry does not count."""
    counts = jnp.isfinite(x).all(axis=1)
    counts = counts if mask is None else counts & (mask > 0)
    return jnp.where(counts[:, None], x, 0.0), counts.astype(x.dtype)


def default_degree(d: int) -> int:
    """The largest degree up to 4 that has at most 35 monomials in d variables."""
    return max(k for k in range(1, 5) if k == 1 or comb(d + k, k) <= _MAX_COLUMNS)
