"""Polynomials of the points of a set: the curve or surface that these lie near, and how nearly.

With monomials c of the coordinates as columns [n, k], one QR factorisation over the points says

    c_j ~ sum_{l < j} beta_jl c_l       `regression`: each column on those before it; |R_jj| is what
                                        is left, the coefficients are the shape
    P = p . c,   min_p E P^2 / E |grad P|^2             `curve`: the polynomial whose zeros lie
                                        nearest to the points (Taubin 1991, doi 10.1109/34.103273);
                                        the root of the least value is their distance from it
    q_i = P(y_i) / |grad P(y_i)|        `distances`: of each point, to first order

all as precise as a fit to all points can be. (QR of the columns and not Cholesky of their Gram
matrix: that has the square of the condition number, 1e10 and more, which float32 cannot hold.) Over
the points of all sets, columns less their fits, over what is left, are polynomials with mean square
one (`orthonormal`), of which a network can see any.

Pooling by second moments goes back to Lin et al. 2015 (arXiv 1504.07889), a network with a
least-squares solver inside to Bertinetto et al. 2019 (arXiv 1805.08136).

Shapes: u [n, d], columns [n, k], mask [n] with entries 0 or 1, R [k, k].
"""

import functools
from itertools import combinations_with_replacement
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous.nets.pooling import log_abs, mean

_FAR = 10.0  # in units of the typical point: beyond that, polynomials are cut
_RIDGE = 1e-6  # rows that keep R invertible where points are few or equal
_FLAT = 1e-4  # share of the mean square of a gradient that every point has at least
_ITERATIONS = 10  # of the power method
_BLOCK = 512  # rows that are summed in one go
_TINY = 1e-30  # keeps a column of zeros finite


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


def powers(points: Float[Array, "n d"], degree: int) -> Float[Array, "n k"]:
    """The monomials of each point; far outliers are cut."""
    near = jnp.clip(points, -(_FAR**2), _FAR**2)
    return jax.vmap(lambda point: monomials(point, degree))(near)


def triangle(columns: Float[Array, "n k"], mask: Float[Array, " n"]) -> Float[Array, "k k"]:
    """R of the columns, as means over the points that count."""
    rows = jnp.where(mask[:, None] > 0, columns, 0.0) / jnp.sqrt(jnp.maximum(jnp.sum(mask), 1.0))
    return _r(rows)


def orthonormal(r: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Coefficients of polynomials that are orthonormal over the points of R: with unit mean square,
    each a monomial less its regression on those before it."""
    return _solve(r, jnp.eye(len(r)))


def polynomials(
    columns: Float[Array, "n k"], coefficients: Float[Array, "k k"]
) -> Float[Array, "n k"]:
    """The polynomials of `orthonormal`; far outliers are cut."""
    return jnp.clip(columns @ coefficients, -_FAR, _FAR)


def curve(
    r: Float[Array, "k k"], d: int, degree: int
) -> tuple[Float[Array, "k e"], Float[Array, ""]]:
    """What the points of R lie near, and the log of their distance from it.

    Coefficients of P, which has mean square one, and of its gradient, in units in which that has
    mean square one as well: the zeros of P lie nearest to the points.
    """
    # With R p = (0, y), which a constant has no part in, and T p the gradient: max |T p| / |y|.
    gradients = derivatives(d, degree)
    t = _r((r @ gradients)[:, :, 1:].reshape(-1, len(r) - 1))
    inverse = orthonormal(r[1:, 1:])
    steep = t @ inverse
    steep = steep / jnp.max(jnp.abs(steep))

    def further(_: Any, y: Array) -> Array:
        y = steep.T @ (steep @ y)
        return y / jnp.linalg.norm(y)

    y = jax.lax.fori_loop(0, _ITERATIONS, further, jnp.ones(len(inverse)))
    p = inverse @ y
    p = jnp.concatenate([-(r[0, 1:] @ p)[None] / r[0, 0], p])
    log_width = -jnp.log(jnp.linalg.norm(t @ p[1:]) + 1e-12)
    gradient = jnp.exp(log_width) * (gradients @ p).T
    return jnp.concatenate([p[:, None], gradient], axis=1), log_width


def distances(
    columns: Float[Array, "n k"], coefficients: Float[Array, "k e"]
) -> Float[Array, " n"]:
    """Of each point from a `curve`, with a sign, in units of the root mean square; cut far off."""
    value, *gradient = (columns @ coefficients).T
    square = sum(g**2 for g in gradient)
    return jnp.clip(value * jax.lax.rsqrt(square + _FLAT), -_FAR, _FAR)


def extent(q: Float[Array, " n"], mask: Float[Array, " n"]) -> Float[Array, "2"]:
    """Logarithms of the mean size and of the root mean square of distances."""
    size = mean(jnp.stack([jnp.abs(q), q**2], axis=1), mask)
    return jnp.log(size + 1e-6) * jnp.array([1.0, 0.5])


def regression(u: Float[Array, "n d"], degree: int, mask: Float[Array, " n"]) -> Float[Array, " r"]:
    """How nearly the points obey a polynomial equation, and which, in scales that suit a network.

    Returns log |R_jj| for each column of the first and of the reweighted fit, and the coefficients
    of the latter's last column, each as asinh and as a logarithm: first those of fitting the
    earlier columns one after the other, then those of fitting all at once; at last, how far the
    points lie from their `curve`.
    """
    columns, d = powers(u, degree), u.shape[1]
    first, at_once = _fit(columns, mask)
    p = jnp.concatenate([-at_once, jnp.ones(1)])
    gradient = jnp.sum((columns @ (derivatives(d, degree) @ p).T) ** 2, axis=1)
    steepness = mean(gradient[:, None], mask)
    weight = jax.lax.rsqrt(gradient / (steepness + 1e-12) + _FLAT)
    second, at_once = _fit(columns * weight[:, None], mask)
    scale = jnp.diag(second)
    coefficients = jnp.concatenate([second[:-1, -1] / scale[:-1], at_once])
    near, log_width = curve(first, d, degree)
    return jnp.concatenate(
        [
            jnp.log(jnp.abs(jnp.diag(first))),
            jnp.log(jnp.abs(scale)),
            jnp.log(steepness + 1e-12),
            jnp.arcsinh(coefficients),
            log_abs(coefficients),
            log_width[None],
            extent(distances(columns, near), mask),
        ]
    )


def _fit(columns: Array, mask: Array) -> tuple[Array, Array]:
    """R of the columns, and the coefficients of the last one on all others."""
    r = triangle(columns, mask)
    return r, _solve(r[:-1, :-1], r[:-1, -1])


# Neither by LAPACK: in JAX 0.10 a batch of its calls waits for threads of the pool that it runs on
# itself, and two batches at a time, on two cores, wait for ever.
def _r(rows: Array) -> Array:
    """R of the rows and of a ridge; of many, of the R of blocks of them (Demmel et al. 2012, doi
    10.1137/080731992), which keeps sums short."""
    k = rows.shape[1]
    size = max(_BLOCK, 2 * k)  # which leaves fewer rows than there were
    while len(rows) > size:
        blocks = jnp.pad(rows, ((0, -len(rows) % size), (0, 0))).reshape(-1, size, k)
        rows = jax.vmap(_gram_schmidt)(blocks).reshape(-1, k)
    return _gram_schmidt(jnp.concatenate([rows, _RIDGE * jnp.eye(k)]))


def _gram_schmidt(rows: Array) -> Array:
    """R by modified Gram-Schmidt, as precise as by reflections (Bjorck 1967)."""

    def remove(left: Array, j: Array) -> tuple[Array, Array]:
        q = left[j] * jax.lax.rsqrt(jnp.sum(left[j] ** 2) + _TINY)
        r = left @ q
        return left - jnp.outer(r, q), r

    return jnp.triu(jax.lax.scan(remove, rows.T, jnp.arange(rows.shape[1]))[1])


def _solve(r: Array, b: Array) -> Array:
    """x of R x = b, from its last entry on."""

    def entry(x: Array, j: Array) -> tuple[Array, None]:
        return x.at[j].set((b[j] - r[j] @ x) / r[j, j]), None

    return jax.lax.scan(entry, jnp.zeros_like(b), jnp.arange(len(b)), reverse=True)[0]
