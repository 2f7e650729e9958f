"""Polynomials of points: orthonormal ones, fits to a set, and the curve that points lie near."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.nets import polynomials


def ellipse(key, n, noise, axis):
    """Points around an ellipse with half axes 1 and `axis`."""
    key_phi, key_noise = jax.random.split(key)
    phi = 2 * jnp.pi * jax.random.uniform(key_phi, (n,))
    circle = jnp.stack([jnp.cos(phi), jnp.sin(phi)], axis=1)
    circle += noise * jax.random.normal(key_noise, (n, 2))
    return circle * jnp.array([1.0, axis])


def residual(x):
    """log of the last residual scale of the reweighted fit of degree 2: six columns each."""
    return polynomials.regression(x, 2, jnp.ones(len(x)))[11]


def test_regression_measures_the_noise_around_a_curve():
    keys = jax.random.split(jax.random.key(3), 50)

    def mean_log(noise):
        rows = jax.vmap(lambda k: residual(ellipse(k, 200, noise, 0.7)))(keys)
        return float(jnp.mean(rows)), float(jnp.std(rows))

    (low, spread), (high, _) = mean_log(1e-3), mean_log(1e-2)
    # The reweighted residual is the distance to the curve, so log scales by log 10 with the noise.
    # One set tells log sd to 1/sqrt(400) = 0.05 (194 degrees of freedom); 50 sets to 0.007.
    assert abs((high - low) - np.log(10)) < 0.05
    assert spread < 0.1
    # Without structure there is nothing to find.
    cloud = float(residual(jax.random.normal(jax.random.key(4), (200, 2))))
    assert cloud > high + 2


def test_regression_finds_the_coefficients_of_a_parabola():
    u = jnp.linspace(-1, 1, 50)
    x = jnp.stack([u, 0.3 + 2 * u**2], axis=1)  # columns 1, u, y, u^2, u y, y^2
    columns = jnp.stack([jnp.ones(50), u, u**2, x[:, 1]], axis=1)
    r, coefficients = polynomials._fit(columns, jnp.ones(50))
    np.testing.assert_allclose(coefficients, [0.3, 0.0, 2.0], atol=1e-4)
    assert abs(float(r[-1, -1])) < 1e-5  # nothing is left over


@pytest.mark.parametrize(("d", "degree"), [(1, 4), (2, 4), (3, 2)])
def test_derivatives_of_polynomials_are_those_of_jax(d, degree):
    u = jnp.linspace(-1.5, 2.0, d)
    p = jnp.arange(1.0, 1.0 + comb(d + degree, d))
    columns = polynomials.monomials(u, degree)
    got = (polynomials.derivatives(d, degree) @ p) @ columns
    exact = jax.grad(lambda u: p @ polynomials.monomials(u, degree))(u)
    np.testing.assert_allclose(got, exact, rtol=1e-5)


def test_monomials_are_all_products_up_to_the_degree():
    m = polynomials.monomials(jnp.array([2.0, 3.0]), 2)
    np.testing.assert_array_equal(m, [1, 2, 3, 4, 6, 9])


def test_polynomials_are_orthonormal_over_their_points():
    x = ellipse(jax.random.key(5), 20_000, 1e-3, 0.7)
    columns = polynomials.powers(x, 2)
    coefficients = polynomials.orthonormal(polynomials.triangle(columns, jnp.ones(len(x))))
    p = polynomials.polynomials(columns, coefficients)
    # Over the same points, so that only rounding and the ridge (1e-6) are left:
    # x^2 + (y / .7)^2 - 1 is about 2e-3, computed from terms of size one with an error of 1e-7.
    np.testing.assert_allclose(p.T @ p / len(x), np.eye(6), atol=1e-3)


def test_the_triangle_is_as_precise_as_float32_allows():
    """Sets of 200 around an ellipse: the last of six columns is 500 times less than the others."""
    sets = jax.vmap(lambda key: ellipse(key, 200, 1e-3, 0.7))(
        jax.random.split(jax.random.key(6), 50)
    )
    columns = jax.vmap(lambda x: polynomials.powers(x, 2))(sets)
    exact = np.linalg.qr(np.asarray(columns, float) / np.sqrt(200), mode="r")
    exact = np.log(np.abs(np.diagonal(exact, axis1=1, axis2=2)))

    def error(r):
        return np.abs(np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))) - exact).max()

    r = np.asarray(jax.vmap(lambda c: polynomials.triangle(c, jnp.ones(200)))(columns))
    assert (np.tril(r, -1) == 0).all()
    # Rounding: 6e-8 sqrt(200) of one beside 2e-3 is 4e-4, and the ridge of 1e-6 is less.
    assert error(r) < 2e-3
    gram = np.einsum("bni,bnj->bij", columns, columns) / np.float32(200)
    assert not error(np.asarray(jnp.linalg.cholesky(gram)).swapaxes(1, 2)) < 2e-3


def test_the_triangle_of_more_columns_than_a_block_has_rows():
    columns = np.random.default_rng(7).normal(size=(1_300, 600)).astype(np.float32)
    r = np.asarray(polynomials.triangle(jnp.asarray(columns), jnp.ones(1_300)))
    exact = np.abs(np.linalg.qr(columns.astype(float) / np.sqrt(1_300), mode="r"))
    np.testing.assert_allclose(np.abs(r), exact, atol=1e-4)


def moons(key, n, noise):
    """Points around two half circles, stretched: an equation of degree 4 with a small coefficient
    of y^4, so that y^4 less its regression on all else is not the distance from them."""
    keys = jax.random.split(key, 3)
    phi = jnp.pi * jax.random.uniform(keys[0], (n,))
    arc = jnp.stack([jnp.cos(phi), jnp.sin(phi)], axis=1)
    upper = jax.random.bernoulli(keys[1], 0.5, (n, 1))
    normal = jnp.where(upper, arc, -arc) * jnp.array([1.0, 1 / 2.0])
    points = jnp.where(upper, arc, jnp.array([1.0, 0.5]) - arc)
    shift = noise * jax.random.normal(keys[2], (n,))
    normal = normal / jnp.linalg.norm(normal, axis=1, keepdims=True)
    return points * jnp.array([1.0, 2.0]) + shift[:, None] * normal, shift


def test_a_curve_tells_the_distance_of_each_point_from_it():
    noise = 1e-3
    x, shift = moons(jax.random.key(6), 20_000, noise)
    columns, all_ = polynomials.powers(x, 4), jnp.ones(len(x))
    near, log_width = polynomials.curve(polynomials.triangle(columns, all_), 2, 4)
    q = polynomials.distances(columns, near)
    inner = jnp.abs(q) < 5  # without those where P has no gradient: the two circles cross there
    size = jnp.abs(q * jnp.exp(log_width))
    # The mean distance is the noise times sqrt(2 / pi), known from 20,000 points to 0.5%; where the
    # circles cross, the distance is that of the nearer one. A gradient wrong by 5% would be seen.
    assert float(jnp.mean(inner)) > 0.97
    np.testing.assert_allclose(jnp.mean(size[inner]), noise * np.sqrt(2 / np.pi), rtol=0.05)
    assert float(jnp.corrcoef(size[inner], jnp.abs(shift[inner]))[0, 1]) > 0.95
    # What is left of y^4 alone is no distance: its correlation is .5, and would fail above.
    last = polynomials.orthonormal(polynomials.triangle(columns, all_))[:, -1]
    assert float(jnp.corrcoef(jnp.abs(columns @ last), jnp.abs(shift))[0, 1]) < 0.8


def test_the_width_of_a_curve_does_not_depend_on_which_coordinate_comes_last():
    x, _ = moons(jax.random.key(7), 200, 1e-2)

    def width(x):
        r = polynomials.triangle(polynomials.powers(x, 4), jnp.ones(len(x)))
        return polynomials.curve(r, 2, 4)[1]

    # By the power method, ten steps: to a thousandth.
    np.testing.assert_allclose(width(x), width(x[:, ::-1]), atol=1e-3)


def test_polynomials_and_distances_stay_in_bounds_where_columns_are_degenerate_or_huge():
    flags = jnp.stack([jnp.arange(100.0) % 2, jnp.ones(100)], axis=1)  # of which squares are equal
    r = polynomials.triangle(polynomials.powers(flags, 3), jnp.ones(100))
    far = polynomials.powers(1e20 * flags, 3)
    near, log_width = polynomials.curve(r, 2, 3)
    p = polynomials.polynomials(far, polynomials.orthonormal(r))
    for values in (p, polynomials.distances(far, near), log_width):
        assert np.isfinite(values).all()
    assert float(jnp.max(jnp.abs(p))) <= 10.0


@pytest.mark.parametrize("rows", [jnp.zeros((5, 2)), jnp.array([[1.0, 2.0]])])
def test_regression_of_few_or_equal_points_is_finite(rows):
    for mask in (jnp.ones(len(rows)), jnp.zeros(len(rows))):
        assert np.isfinite(polynomials.regression(rows, 4, mask)).all()
