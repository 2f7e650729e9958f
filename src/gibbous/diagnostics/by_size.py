"""Calibration where datasets differ in size: rows in bins of equal count, from small to large.

A posterior that is calibrated over all sizes together may be too wide for small sets and too narrow
for large ones; so coverage and the mean log density of the truth are asked for bin by bin.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from gibbous.diagnostics.coverage import Coverage


@dataclass(frozen=True)
class SizeBin:
    """What was found for datasets of `low` to `high` points.

    coverage: of their k sigma intervals; log_prob: log density of the truth in nats, [m], None if
    the posterior has no density.
    """

    low: int
    high: int
    coverage: Coverage
    log_prob: Float[np.ndarray, " m"] | None


def size_bins(sizes: Int[np.ndarray, " m"], bins: int = 4) -> list[Bool[np.ndarray, " m"]]:
    """Which datasets belong to which of at most `bins` bins; those of one size stay together."""
    edges = np.unique(np.quantile(sizes, np.arange(1, bins) / bins, method="higher"))
    place = np.searchsorted(edges, sizes, side="right")
    return [place == b for b in np.unique(place)]
