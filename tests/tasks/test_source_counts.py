"""Source counts against closed forms: fluxes, their number, mean and variance of a pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gibbous.errors import ConfigError, ParameterError
from gibbous.tasks.source_counts import (
    BOUNDS,
    BRIGHTEST,
    EXPOSURE,
    FAINTEST,
    PIXEL,
    SHAPE,
    curve,
    expected,
    fluxes,
    point_spread,
    source_counts,
)  # fmt: skip

# Steep above the break, steeper than the prior has it: the fourth moment of the flux, of which the
# error of a variance depends, is then no matter of single sources.
THETA = {
    "log10_norm": -6.5, "n1": 6.0, "n2": 1.5, "log10_break": -9.3, "log10_background": -6.5,
}  # fmt: skip
FLUX = np.geomspace(FAINTEST * (1 + 1e-9), BRIGHTEST * (1 - 1e-9), 200_001)


def moment(theta, power):
    """integral S^power dN/dS dS, by the trapezoidal rule in log S, where S dN/dS = curve / S."""
    return np.trapezoid(curve(theta, FLUX) / FLUX * FLUX**power, np.log(FLUX))


def skies(theta, n, seed=0, **options):
    function = source_counts(**options).simulator.function
    keys = jax.random.split(jax.random.key(seed), n)
    arrays = {k: jnp.float32(v) for k, v in theta.items()}
    return np.asarray(jax.jit(jax.vmap(lambda key: function(key, arrays)))(keys), np.float64)


def test_the_curve_is_the_broken_power_law():
    np.testing.assert_allclose(curve(THETA, np.array([10**-9.3])), 10**-6.5)
    decade = curve(THETA, 10 ** np.array([-10.3, -8.3])) / 10**-6.5
    np.testing.assert_allclose(decade, [10**-0.5, 10**-4.0])  # 2 - n2 down, 2 - n1 up
    np.testing.assert_array_equal(curve(THETA, np.array([0.9 * FAINTEST, 1.1 * BRIGHTEST])), 0)
    many = {k: np.full(3, v) for k, v in THETA.items()}
    assert curve(many, FLUX[:5]).shape == (3, 5)
    with pytest.raises(ParameterError, match="n1"):
        curve({"log10_norm": 0.0}, FLUX)


def ks(drawn_by):
    """p-value of 20,000 fluxes drawn with one theta against the distribution that THETA has."""
    u = jax.random.uniform(jax.random.key(1), (20_000,))
    drawn = np.asarray(fluxes(u, drawn_by))
    share = np.concatenate([[0], np.cumsum(np.diff(np.log(FLUX)) * density(FLUX))])
    return stats.kstest(drawn, lambda s: np.interp(s, FLUX, share / share[-1])).pvalue


def density(flux):
    middle = np.sqrt(flux[1:] * flux[:-1])
    return curve(THETA, middle) / middle


def test_fluxes_are_distributed_as_the_curve_says():
    assert ks(THETA) > 1e-3
    # n2 off by 0.05 moves the cumulative share by some 0.03, and 20,000 draws see 0.01.
    assert ks(THETA | {"n2": 1.55}) < 1e-3
    assert ks(THETA | {"log10_break": -9.0}) < 1e-3


def test_expected_numbers_are_the_integral_and_the_map_has_room_for_them():
    np.testing.assert_allclose(expected(THETA), moment(THETA, 0), rtol=1e-4)
    draws = source_counts().prior.sample(0, 10_000)
    crowded = {"log10_norm": -6.3, "n1": 2.1, "n2": 1.9, "log10_break": -10.0}
    assert {k: v for k, v in crowded.items() if v not in BOUNDS[k]} == {}
    assert float(jnp.max(expected(draws))) < float(expected(crowded))


@pytest.mark.slow
def test_the_number_of_sources_is_poisson():
    # All of nearly the same flux, 10^4 counts each, on no background: the total counts them.
    theta = THETA | {"n1": 60.0, "n2": -60.0, "log10_norm": -5.0, "log10_background": -30.0}
    total = skies(theta, 2_000, exposure=2e13).sum(axis=(1, 2, 3))
    flux = moment(theta, 1) / moment(theta, 0)
    number = total / (2e13 * flux)
    mean = moment(theta, 0) * (64 * PIXEL) ** 2
    # 2,000 skies: the mean errs by 1/sqrt(2,000) = 0.022 of its sd, the variance by
    # sqrt(2 / 2,000) = 0.032 of itself; four of each.
    assert abs(number.mean() - mean) < 0.09 * mean**0.5
    assert abs(number.var() / mean - 1) < 0.13


def deviations(simulated_by):
    """(estimate - closed form of THETA) / standard error, for mean and variance of a pixel."""
    x = skies(simulated_by, 400)[..., 0]
    area, spread = PIXEL**2, point_spread(64, 1.0)
    mean = EXPOSURE * area * (10 ** THETA["log10_background"] + moment(THETA, 1))
    # Campbell's theorem: each source adds the square of what it gives to the pixel.
    variance = mean + EXPOSURE**2 * area * moment(THETA, 2) * np.sum(spread**2)
    found = np.stack([x.mean(axis=(1, 2)) - mean, ((x - mean) ** 2).mean(axis=(1, 2)) - variance])
    return found.mean(axis=1) / (found.std(axis=1, ddof=1) / 400**0.5)


@pytest.mark.slow
def test_mean_and_variance_of_a_pixel():
    assert np.abs(deviations(THETA)).max() < 4
    # A flatter slope above the break has bright sources: the same test must see it.
    assert np.abs(deviations(THETA | {"n1": 5.0})).max() > 4
    assert np.abs(deviations(THETA | {"n2": 1.55})).max() > 4


def test_the_point_spread_is_a_gaussian_of_total_one():
    w = point_spread(64, 2.0)
    assert abs(w.sum() - 1) < 1e-12
    assert w[0, 0] == w.max()
    np.testing.assert_allclose(w[3, 60], w[0, 0] * np.exp(-(3**2 + 4**2) / 8))
    np.testing.assert_allclose(np.sum(w**2), 1 / (16 * np.pi), rtol=1e-3)  # 1 / (4 pi sd^2)


def test_maps_are_counts_of_the_size_asked_for():
    x = skies(THETA, 3, pixels=16)
    assert x.shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(x, np.round(x))
    assert x.min() >= 0
    assert set(SHAPE) < set(source_counts().prior.names)
    with pytest.raises(ConfigError, match="pixels"):
        source_counts(pixels=0)
    with pytest.raises(ConfigError, match="exposure"):
        source_counts(exposure=0.0)
