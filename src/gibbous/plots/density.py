"""Densities of draws on a grid, and the levels of their highest-density regions.

The region of probability p is { y : f(y) >= f_p }, where f_p is the (1 - p) quantile of f over the
draws (Hyndman 1996), so that a share p of the draws lies inside whatever smoothing did to f.

f is a histogram under a Gaussian filter. Its bandwidth comes from the volumes of the 50% and 90%
regions of a coarse histogram, which for a normal distribution are 1.349 and 3.290 sd (1-D), 1.386
and 4.605 pi sd^2 (2-D): unlike a standard deviation they stay small when the draws fall into
narrow, distant modes. The grid spans the draws, far ones left out, and is mirrored at its edges, so
that a density cut off by the bounds of a prior does not leak. In 2-D, where two scalars are
correlated along a ridge, the grid is sheared along their regression line: a thin ridge is then
resolved as well as a round one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

CENTRAL = (0.001, 0.999)
_SHEAR_BELOW = 0.4  # the ridge is this much thinner than the whole
_FINEST = 256  # cells a side
_REACH = 0.15  # how far beyond the central range, in its widths, draws are not yet far


@dataclass(frozen=True)
class Density2D:
    """A density on a (sheared) grid.

    Attributes:
        x, y: centres of the cells, [G, G].
        f: density there, in units of the grid, [G, G].
        at_draws: density at the draws, [n].
    """

    x: Float[np.ndarray, "G G"]
    y: Float[np.ndarray, "G G"]
    f: Float[np.ndarray, "G G"]
    at_draws: Float[np.ndarray, " n"]


def hdr_levels(
    at_draws: Float[np.ndarray, " n"], probabilities: tuple[float, ...]
) -> Float[np.ndarray, " P"]:
    """Density level above which a share p of the draws lies, for each p.

    Args:
        at_draws: the density at the draws, [n].
        probabilities: of the regions.
    """
    return np.quantile(at_draws, [1 - p for p in probabilities])


def central_range(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The 0.1% and 99.9% quantiles; a little apart even when all values are equal."""
    low, high = (float(q) for q in np.quantile(values, CENTRAL))
    # Below a few units in the last place of float32 there is nothing to see.
    least = 1e-6 * max(abs(low), abs(high)) or 1e-6
    if high - low < least:
        low, high = low - least / 2, high + least / 2
    return low, high


def density_1d(
    values: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
    """Centres of the cells and the density there, with the highest at 1."""
    low, high = _extent(values)
    n, span = _distinct(values), high - low
    cells = int(np.clip(np.sqrt(n), 10, 60))
    coarse = np.histogram(values, cells, (low, high))[0]
    lengths = [_fullest(coarse, p) * span / cells / w for p, w in ((0.5, 1.349), (0.9, 3.290))]
    bandwidth = float(np.sqrt(np.prod(lengths))) * n**-0.2  # close to Silverman's rule
    cells = _cells(span, bandwidth)
    counts, edges = np.histogram(values, cells, (low, high))
    f = ndimage.gaussian_filter1d(counts.astype(float), bandwidth * cells / span, mode="reflect")
    return (edges[1:] + edges[:-1]) / 2, f / f.max()


def density_2d(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Density2D:
    """The joint density of two scalars."""
    slope = _slope(x, y)
    v = y - slope * x
    (x_low, x_high), (v_low, v_high) = box = [_extent(x), _extent(v)]
    n = _distinct(x)
    cells = int(np.clip(np.sqrt(n / 8), 6, 40))
    coarse = np.histogram2d(x, v, cells, box)[0]
    areas = [_fullest(coarse, p) / cells**2 / (w * np.pi) for p, w in ((0.5, 1.386), (0.9, 4.605))]
    # The fourth root makes an sd of two variances, in units of the box. Scott's rule follows; a
    # little more smoothing than it asks for makes calmer outlines.
    bandwidth = 1.2 * float(np.prod(areas) ** 0.25) * n ** (-1 / 6)
    cells = _cells(1.0, bandwidth)
    counts, x_edges, v_edges = np.histogram2d(x, v, cells, box)
    f = ndimage.gaussian_filter(counts, bandwidth * cells, mode="reflect")

    i = np.floor((x - x_low) / (x_high - x_low) * cells).astype(int)
    j = np.floor((v - v_low) / (v_high - v_low) * cells).astype(int)
    i, j = np.where(x == x_high, cells - 1, i), np.where(v == v_high, cells - 1, j)
    inside = (i >= 0) & (i < cells) & (j >= 0) & (j < cells)
    at_draws = np.where(inside, f[i.clip(0, cells - 1), j.clip(0, cells - 1)], 0.0)

    gx, gv = np.meshgrid(*((e[1:] + e[:-1]) / 2 for e in (x_edges, v_edges)), indexing="ij")
    return Density2D(gx, gv + slope * gx, f, at_draws)


def _extent(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The range of the draws, cut where far ones would stretch it."""
    low, high = central_range(values)
    reach = _REACH * (high - low)
    least, most = float(values.min()), float(values.max())
    return min(low, max(least, low - reach)), max(high, min(most, high + reach))


def _fullest(counts: np.ndarray, share: float) -> float:
    """How many cells, a fraction counted, it takes to hold `share` of the mass: the fullest."""
    mass = np.cumsum(np.sort(counts.ravel())[::-1])
    wanted = share * mass[-1]
    last = int(np.searchsorted(mass, wanted))
    before = mass[last - 1] if last else 0.0
    return float(last + (wanted - before) / max(mass[last] - before, 1e-12))


def _distinct(values: Float[np.ndarray, " n"]) -> int:
    """How many values differ: resampled draws carry no more information than that."""
    return len(np.unique(values))


def _cells(span: float, bandwidth: float) -> int:
    """Cells on a side: three to a bandwidth, within reason."""
    return int(np.clip(3 * span / max(bandwidth, 1e-12), 40, _FINEST))


def _slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Slope of the regression line if the draws lie along it, else 0."""
    (x_low, x_high), (y_low, y_high) = central_range(x), central_range(y)
    near = (x >= x_low) & (x <= x_high) & (y >= y_low) & (y <= y_high)
    if near.sum() < 3 or min(np.ptp(x[near]), np.ptp(y[near])) == 0:
        return 0.0
    covariance = np.cov(x[near], y[near])
    slope = float(covariance[0, 1] / covariance[0, 0])
    low, high = central_range(y - slope * x)
    return slope if high - low < _SHEAR_BELOW * (y_high - y_low) else 0.0
