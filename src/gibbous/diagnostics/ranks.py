"""Simulation-based calibration: ranks of the truth among posterior draws, and their ECDF band.

For theta* ~ p(theta), x ~ p(x | theta*) and n draws theta_j ~ q(theta | x), the rank

    r = #{ j : theta_j < theta* }

is uniform on {0, ..., n} if q is the posterior (Talts et al. 2018, arXiv 1804.06788). With an
independent v ~ U(0, 1) the probability integral transform u = (r + v) / (n + 1) is exactly U(0, 1).
Its empirical CDF is compared with a band that holds the whole curve with the stated probability:
N F(z) is Binomial(N, z) at each z, and the pointwise level gamma is lowered until a simulated
uniform sample leaves the band somewhere with probability 1 - level (Säilynoja et al. 2022, arXiv
2103.10522).

Shapes: m datasets, n draws each, d scalars.
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from gibbous.errors import ShapeError


def ranks(
    draws: Float[np.ndarray, "m n d"], truth: Float[np.ndarray, "m d"]
) -> Int[np.ndarray, "m d"]:
    """Number of draws below the truth, for each dataset and scalar.

    Raises:
        ShapeError: if draws are not [m, n, d] with truth [m, d].
    """
    if draws.ndim != 3 or truth.shape != (draws.shape[0], draws.shape[2]):
        raise ShapeError(
            f"expected draws [m, n, d] and truth [m, d], got {draws.shape} and {truth.shape}"
        )
    return np.sum(draws < truth[:, None, :], axis=1)


def pit(rank: Int[np.ndarray, "m d"], n_draws: int, seed: int = 0) -> Float[np.ndarray, "m d"]:
    """Randomised probability integral transform of ranks among `n_draws` draws."""
    v = np.random.default_rng(seed).uniform(size=rank.shape)
    return (rank + v) / (n_draws + 1)


@dataclass(frozen=True)
class EcdfBand:
    """The ECDF of a PIT minus the diagonal, with its simultaneous band.

    Attributes:
        z: where it is evaluated, [K]. difference: ECDF(z) - z, [K, d]. low, high: the band, [K].
        level: probability that a uniform sample stays inside everywhere.
    """

    z: Float[np.ndarray, " K"]
    difference: Float[np.ndarray, "K d"]
    low: Float[np.ndarray, " K"]
    high: Float[np.ndarray, " K"]
    level: float

    @property
    def inside(self) -> np.ndarray:
        """Whether each scalar's curve stays inside the band: bool [d]."""
        d = self.difference
        tiny = 1e-9  # the band is attained exactly at lattice points
        within = (d >= self.low[:, None] - tiny) & (d <= self.high[:, None] + tiny)
        return np.all(within, axis=0)


def ecdf_band(
    u: Float[np.ndarray, "m d"], *, level: float = 0.99, points: int = 100, seed: int = 0
) -> EcdfBand:
    """Compare PIT values with the uniform distribution.

    Args:
        u: PIT values, one column a scalar.
        level: simultaneous coverage of the band.
        points: number K of points at which the curves are compared.
        seed: of the simulation that finds the band.
    """
    m = len(u)
    z = np.arange(1, points) / points
    ecdf = np.mean(u[:, :, None] <= z, axis=0).T
    gamma = _pointwise_level(m, points, level, seed)
    low = stats.binom.ppf(gamma / 2, m, z) / m
    high = stats.binom.ppf(1 - gamma / 2, m, z) / m
    return EcdfBand(z, ecdf - z[:, None], low - z, high - z, level)


@functools.lru_cache(maxsize=16)  # it depends on no data
def _pointwise_level(m: int, points: int, level: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(m, np.full(points, 1 / points), size=4_000)
    below = np.cumsum(counts, axis=1)[:, :-1]
    z = np.arange(1, points) / points
    tail = 2 * np.minimum(stats.binom.cdf(below, m, z), stats.binom.sf(below - 1, m, z))
    return float(np.quantile(tail.min(axis=1), 1 - level))
