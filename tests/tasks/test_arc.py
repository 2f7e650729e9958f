"""The arc density against adaptive quadrature, and as a density."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from gibbous.tasks.arc import log_arc_density

NOISES = (1e-6, 1e-4, 1e-3, 0.01, 0.0316, 0.0317, 0.1, 0.3, 1.0)
TOLERANCE = 1e-8


def by_quadrature(a, b, s):
    """log A by scipy's quad on panels that shrink towards the ends and the peak."""
    rho, psi = np.hypot(a, b), np.arctan2(b, a)

    def exponent(phi):
        return 2 * rho * np.sin((phi - psi) / 2) ** 2 / s**2

    special = [0.0, np.pi, *([psi] if 0 < psi < np.pi else [])]
    low = min(exponent(p) for p in special)
    width = min(s / np.sqrt(rho), 1.0)
    steps = np.array([0.0, 1e-4, 0.01, 0.1, 1, 3, 10, 30, 100]) * width
    edges = np.concatenate([[p + sign * steps for sign in (-1, 1)] for p in special]).ravel()
    edges = np.unique(np.clip(np.concatenate([edges, [0.0, np.pi]]), 0.0, np.pi))
    total = sum(
        quad(lambda p: np.exp(low - exponent(p)), lo, hi, epsabs=0, epsrel=1e-10)[0]
        for lo, hi in pairwise(edges)
        if exponent(lo) - low < 60 or exponent(hi) - low < 60
    )
    return -0.5 * ((rho - 1) / s) ** 2 - low + np.log(total) - np.log(2 * np.pi**2 * s**2)


def points(s, rng, n=12):
    """On, near and far from the arc; at its ends, below the diameter, and at the centre."""
    phi = np.concatenate([rng.uniform(-np.pi, np.pi, n), rng.choice([0.0, np.pi], n)])
    rho = np.concatenate([rng.uniform(0, 2, n // 2), np.ones(n), np.full(n - n // 2, 0.5)])
    a, b = rho * np.cos(phi), rho * np.sin(phi)
    a[n // 2 :] += 3 * s * rng.standard_normal(len(a) - n // 2)
    b[n // 2 :] += 3 * s * rng.standard_normal(len(b) - n // 2)
    extra = np.array([(1.0, 0.0), (0.0, -0.5), (1e-9, -0.3), (0.0, 1.0), (-1.0, 1e-12)])
    return np.concatenate([a, extra[:, 0]]), np.concatenate([b, extra[:, 1]])


def off(a, b, s, noise_factor=1.0):
    got = log_arc_density(a, b, np.full_like(a, s * noise_factor))
    want = np.array([by_quadrature(*point, s) for point in zip(a, b, strict=True)])
    # Relative error of the density; where log A is huge, the rounding of log A itself.
    return np.abs(got - want) / np.maximum(1.0, 1e-6 * np.abs(want))


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("s", NOISES)
def test_matches_quadrature(s):
    a, b = points(s, np.random.default_rng(0))
    assert off(a, b, s).max() < TOLERANCE
    # One part in 10^6 too much noise is caught, so the tolerance has teeth.
    assert off(a, b, s, noise_factor=1 + 1e-6).max() > TOLERANCE


def test_ends_matter():
    # At an end half the arc's neighbourhood is missing: log 2 below the middle, to O(s).
    s = np.array([1e-4])
    middle, end = (log_arc_density(*np.array(q), s) for q in ([[0.0], [1.0]], [[1.0], [0.0]]))
    np.testing.assert_allclose(middle - end, np.log(2), atol=1e-4)


@pytest.mark.parametrize("s", [0.05, 0.3])
def test_integrates_to_one(s):
    # The trapezoid rule on a smooth density that vanishes at the edges: spectrally accurate.
    a, b = np.meshgrid(np.linspace(-4, 4, 801), np.linspace(-3, 4, 701))
    total = np.exp(log_arc_density(a, b, np.array(s))).sum() * 0.01**2
    np.testing.assert_allclose(total, 1.0, rtol=1e-8)


def test_mirror_symmetry_and_broadcasting():
    a, b = np.linspace(-2, 2, 9), np.linspace(-1.5, 1.5, 7)[:, None]
    out = log_arc_density(a, b, np.array(0.02))
    assert out.shape == (7, 9)
    np.testing.assert_array_equal(out, out[:, ::-1])
