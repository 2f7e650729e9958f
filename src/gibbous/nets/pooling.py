"""Pooling: from features of n points [n, k] to one vector, points with mask 0 left out.

`POOLS` are the choices of `gb.DeepSet(pool=...)`. `regression` is another kind: it fits

    c_j ~ sum_{l < j} beta_jl c_l,      j = 1..k,

every column on the ones before it, over the points of one set, by one QR factorisation. With
monomials of the coordinates as columns, points near a curve or a surface obey a polynomial
equation: then the residual scale |R_jj| is the noise around it, and the coefficients are its shape,
both as precise as a fit to all points can be. (QR of the columns and not Cholesky of their Gram
matrix: that has the square of the condition number, 1e10 and more, which float32 cannot hold.)
`orthonormal` does the same once over the points of all sets: the columns less their fits, over
their residual scales, are polynomials with mean square one, of which a network can see any.

Pooling by second moments goes back to Lin et al. 2015 (arXiv 1504.07889), a network with a
least-squares solver inside to Bertinetto et al. 2019 (arXiv 1805.08136).

Shapes: h [n, k], mask [n] with entries 0 or 1.
"""

import functools
from collections.abc import Callable
from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_FAR = 10.0  # in units of the typical point: beyond that, polynomials are cut


def mean(h: Float[Array, "n k"], mask: Float[Array, " n"]) -> Float[Array, " k"]:
    """Mean over the points that count; 0 if there are none."""
    return jnp.sum(jnp.where(mask[:, None] > 0, h, 0.0), axis=0) / jnp.maximum(jnp.sum(mask), 1.0)


def std(h: Float[Array, "n k"], mask: Float[Array, " n"]) -> Float[Array, " k"]:
    """Standard deviation over the points that count."""
    return jnp.sqrt(mean((h - mean(h, mask)) ** 2, mask) + 1e-6)


def extremes(
    h: Float[Array, "n k"], mask: Float[Array, " n"]
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Largest and smallest value of each feature; 0 if no point counts."""
    counts, some = mask[:, None] > 0, jnp.any(mask > 0)
    high = jnp.max(jnp.where(counts, h, -jnp.inf), axis=0)
    low = jnp.min(jnp.where(counts, h, jnp.inf), axis=0)
    return jnp.where(some, high, 0.0), jnp.where(some, low, 0.0)


def attention(
    h: Float[Array, "n k"], scores: Float[Array, "n k"], mask: Float[Array, " n"]
) -> Float[Array, " k"]:
    """Mean with weights softmax(scores), one set of weights a feature."""
    scores = jnp.where(mask[:, None] > 0, scores, -1e9)
    return jnp.sum(jax.nn.softmax(scores, axis=0) * h * mask[:, None], axis=0)


POOLS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "mean": lambda h, scores, mask: mean(h, mask),
    "std": lambda h, scores, mask: std(h, mask),
    "max": lambda h, scores, mask: extremes(h, mask)[0],
    "min": lambda h, scores, mask: extremes(h, mask)[1],
    "attention": attention,
}


def monomials(u: Float[Array, " d"], degree: int) -> Float[Array, " k"]:
    """All products of at most `degree` coordinates, by degree: k = comb(d + degree, degree)."""
    products: dict[tuple[int, ...], Array] = {(): jnp.ones(())}
    for p in range(1, degree + 1):
        for c in combinations_with_replacement(range(len(u)), p):
            products[c] = products[c[:-1]] * u[c[-1]]
    return jnp.stack(list(products.values()))


@functools.cache
def derivatives(d: int, degree: int) -> Float[np.ndarray, "d k k"]:
    """D with d/du_j sum_k p_k c_k(u) = sum_l (D_j p)_l c_l(u), for the monomials c of d variables:
    a polynomial's derivative is a polynomial."""
    names = [c for p in range(degree + 1) for c in combinations_with_replacement(range(d), p)]
    out = np.zeros((d, len(names), len(names)), np.float32)
    for k, name in enumerate(names):
        for j in set(name):
            at = name.index(j)
            out[j, names.index(name[:at] + name[at + 1 :]), k] = name.count(j)
    return out


def orthonormal(
    points: Float[Array, "m d"], degree: int, mask: Float[Array, " m"], ridge: float = 1e-6
) -> Float[Array, "k k"]:
    """Coefficients of polynomials that are orthonormal over the points: with unit mean square,
    each a monomial less its regression on those before it."""
    r = _triangle(_powers(points, degree), mask, ridge)
    return jax.scipy.linalg.solve_triangular(r, jnp.eye(len(r)))


def polynomials(
    points: Float[Array, "n d"], coefficients: Float[Array, "k k"], degree: int
) -> Float[Array, "n k"]:
    """The polynomials of `orthonormal` at other points; far outliers are cut."""
    return jnp.clip(_powers(points, degree) @ coefficients, -_FAR, _FAR)


def regression(
    u: Float[Array, "n d"], degree: int, mask: Float[Array, " n"], ridge: float = 1e-6
) -> Float[Array, " r"]:
    """Residual scales and coefficients of the polynomial fit, in scales that suit a network.

    Returns log |R_jj| for each column of the first and of the reweighted fit, and the coefficients
    of the latter's last column, each as asinh and as a logarithm: first those of fitting the
    earlier columns one after the other, then those of fitting all at once. `ridge` rows keep R
    invertible where points are few or equal.
    """
    columns = jax.vmap(lambda point: monomials(point, degree))(u)
    first, at_once = _fit(columns, mask, ridge)
    p = jnp.concatenate([-at_once, jnp.ones(1)])
    gradient = jnp.sum((columns @ (derivatives(u.shape[1], degree) @ p).T) ** 2, axis=1)
    steepness = mean(gradient[:, None], mask)
    weight = jax.lax.rsqrt(gradient / (steepness + 1e-12) + 1e-4)
    second, at_once = _fit(columns * weight[:, None], mask, ridge)
    scale = jnp.diag(second)
    coefficients = jnp.concatenate([second[:-1, -1] / scale[:-1], at_once])
    return jnp.concatenate(
        [
            jnp.log(jnp.abs(jnp.diag(first))),
            jnp.log(jnp.abs(scale)),
            jnp.log(steepness + 1e-12),
            jnp.arcsinh(coefficients),
            log_abs(coefficients),
        ]
    )


def _powers(points: Array, degree: int) -> Array:
    near = jnp.clip(points, -(_FAR**2), _FAR**2)
    return jax.vmap(lambda point: monomials(point, degree))(near)


def _triangle(columns: Array, mask: Array, ridge: float) -> Array:
    """R of the columns, as means over the points that count."""
    rows = jnp.where(mask[:, None] > 0, columns, 0.0) / jnp.sqrt(jnp.maximum(jnp.sum(mask), 1.0))
    return jnp.linalg.qr(jnp.concatenate([rows, ridge * jnp.eye(rows.shape[1])]), mode="r")


def _fit(columns: Array, mask: Array, ridge: float) -> tuple[Array, Array]:
    """R of the columns, and the coefficients of the last one on all others."""
    r = _triangle(columns, mask, ridge)
    return r, jax.scipy.linalg.solve_triangular(r[:-1, :-1], r[:-1, -1])


def log_abs(v: Float[Array, " k"]) -> Float[Array, " k"]:
    """log |v|, rounded off below 1e-3 so that a zero has no infinite slope."""
    return 0.5 * jnp.log(v**2 + 1e-6)
