"""Source counts: how many sources of each brightness, from a map too crowded to list them.

A gamma-ray sky at high latitude in miniature (after Eckner et al. 2025, arXiv 2505.02906; pixel
counts and their statistics: Malyshev & Hogg 2011, arXiv 1104.0010; Zechlin et al. 2016, arXiv
1512.07190). Sources of flux S have a density on the sky, and in flux, that is a
broken power law,

    dN/dS = A (S / S_b)^-n1  where S > S_b,   A (S / S_b)^-n2  where S < S_b,   S_min < S < S_max,

and the map is of Poisson counts c_p about the mean that they and an isotropic background give:

    N ~ Poisson(O integral dN/dS dS),   S_i ~ dN/dS,   pixel_i uniform,   i = 1, ..., N,
    c_p ~ Poisson(E [B o + sum_i W(p - pixel_i) S_i]).

    log10_norm        log10 of S_b^2 A, the height of the curve S^2 dN/dS at its break
    n1, n2            slopes above and below the break
    log10_break       log10 of S_b
    log10_background  log10 of the intensity B of the background
    E                 exposure in cm^2 s;   o, O: solid angle of a pixel and of the map in sr
    W                 point-spread function: a Gaussian of total one, on a map that is periodic

S is in cm^-2 s^-1, the norm and B in cm^-2 s^-1 sr^-1. There is no likelihood: N, all S_i and all
positions would have to be integrated out. Variance and mean of a pixel are known (tests), as is

    N(> S) = O integral_S^S_max dN/dS dS,    whose inverse, at uniform numbers, draws S_i.

Shapes: x [pixels, pixels, 1], counts as floats.
"""

from collections.abc import Mapping
from math import ceil, radians

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float

from gibbous.errors import ConfigError
from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.base import Task, parameter, positive

EXPOSURE = 1e11  # cm^2 s: some three years of the Fermi-LAT, above 1 GeV
PIXEL = radians(0.5)
FAINTEST, BRIGHTEST = 1e-11, 1e-7  # cm^-2 s^-1: one count, and what is known and masked anyway
BOUNDS = {
    "log10_norm": (-7.5, -6.3),
    "n1": (2.1, 4.0),
    "n2": (1.1, 1.9),
    "log10_break": (-10.0, -9.0),
    "log10_background": (-7.0, -6.0),
}
SHAPE = ("log10_norm", "n1", "n2", "log10_break")  # what the curve depends on


def source_counts(pixels: int = 64, exposure: float = EXPOSURE, psf: float = 1.0) -> Task:
    """The task; `parameters=SHAPE` in a fit leaves its background out.

    Args:
        pixels: along each side of the map, of half a degree each.
        exposure: in cm^2 s.
        psf: standard deviation of the point-spread function in pixels.

    Raises:
        ConfigError: if `pixels` is below one, or another argument not positive.
    """
    positive(pixels, "pixels")
    if not (exposure > 0 and psf > 0):
        raise ConfigError(f"expected a positive exposure and psf, got {exposure} and {psf}")
    area = (pixels * PIXEL) ** 2
    # The most that the prior expects, and six standard deviations: those missed are 1 in 10^9.
    crowded = {name: high for name, (_, high) in BOUNDS.items()}
    crowded |= {name: BOUNDS[name][0] for name in ("n1", "log10_break")}
    most = float(area * expected(crowded))
    places = ceil(most + 6 * most**0.5 + 6)
    spread = jnp.fft.rfft2(jnp.asarray(point_spread(pixels, psf), jnp.float32))

    @simulator
    def sky(key: Array, theta: Mapping[str, Array]) -> Float[Array, "h w 1"]:
        keys = jax.random.split(key, 4)
        n = jax.random.poisson(keys[0], area * expected(theta))
        flux = fluxes(jax.random.uniform(keys[1], (places,), minval=1e-9), theta)
        flux = jnp.where(jnp.arange(places) < n, flux, 0.0)
        pixel = jax.random.randint(keys[2], (places,), 0, pixels**2)
        point = jnp.zeros(pixels**2).at[pixel].add(exposure * flux).reshape(pixels, pixels)
        blurred = jnp.fft.irfft2(jnp.fft.rfft2(point) * spread, (pixels, pixels))
        diffuse = exposure * PIXEL**2 * 10.0 ** theta["log10_background"]
        # The transform rounds, and may leave a pixel below zero where there is nothing.
        counts = jax.random.poisson(keys[3], diffuse + jnp.maximum(blurred, 0.0))
        return counts.astype(jnp.float32)[..., None]

    prior = Prior(**{name: dist.Uniform(*ends) for name, ends in BOUNDS.items()})
    return Task("source_counts", prior, sky)


def curve(
    theta: Mapping[str, ArrayLike], flux: Float[ArrayLike, " k"]
) -> Float[np.ndarray, "*batch k"]:
    """S^2 dN/dS in cm^-2 s^-1 sr^-1 at each flux in cm^-2 s^-1, for parameters [*batch] each.

    Zero outside the range of fluxes that sources have.

    Raises:
        ParameterError: if `theta` lacks one of `SHAPE`.
    """
    norm, n1, n2, log10_break = (parameter(theta, name)[..., None] for name in SHAPE)
    flux = np.asarray(flux, np.float64)
    log_s = np.log10(flux) - log10_break
    height = 10.0 ** (norm + np.where(log_s > 0, 2 - n1, 2 - n2) * log_s)
    return np.where((flux > FAINTEST) & (flux < BRIGHTEST), height, 0.0)


def expected(theta: Mapping[str, ArrayLike]) -> Float[Array, "*batch"]:
    """Sources expected in a steradian, the integral of dN/dS."""
    norm, n1, n2, s_b = _shape(theta)
    return norm / s_b * sum(_above_and_below(n1, n2, s_b))


def fluxes(u: Float[Array, " n"], theta: Mapping[str, ArrayLike]) -> Float[Array, " n"]:
    """Fluxes of sources, drawn by numbers uniform in (0, 1): u is the share that is brighter.

    Counted from the brightest down, so that the tail, where one source matters, is not rounded.
    """
    _, n1, n2, s_b = _shape(theta)
    above, below = _above_and_below(n1, n2, s_b)
    v = u * (above + below)
    bright = ((BRIGHTEST / s_b) ** (1 - n1) + (n1 - 1) * v) ** (1 / (1 - n1))
    faint = (1.0 + (n2 - 1) * jnp.maximum(v - above, 0.0)) ** (1 / (1 - n2))
    return s_b * jnp.where(v < above, bright, faint)


def point_spread(pixels: int, psf: float) -> Float[np.ndarray, "h w"]:
    """W: the share of a source's counts in each pixel, the source being in pixel (0, 0)."""
    distance = np.minimum(np.arange(pixels), pixels - np.arange(pixels))
    one = np.exp(-0.5 * (distance / psf) ** 2)
    return np.outer(one, one) / one.sum() ** 2


def _shape(theta: Mapping[str, ArrayLike]) -> tuple[Array, Array, Array, Array]:
    """S_b^2 A, n1, n2 and S_b."""
    norm, n1, n2, log10_break = (jnp.asarray(theta[name]) for name in SHAPE)
    return 10.0**norm, n1, n2, 10.0**log10_break


def _above_and_below(n1: Array, n2: Array, s_b: Array) -> tuple[Array, Array]:
    """Integrals of (S / S_b)^-n above the break and below it, in units of S_b."""
    above = (1.0 - (BRIGHTEST / s_b) ** (1 - n1)) / (n1 - 1)
    below = ((FAINTEST / s_b) ** (1 - n2) - 1.0) / (n2 - 1)
    return above, below
