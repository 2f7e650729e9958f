"""Diagnostics: arrays in, findings out; none of them knows a method."""

from gibbous.diagnostics.by_size import SizeBin, size_bins
from gibbous.diagnostics.coverage import Coverage, coverage
from gibbous.diagnostics.ranks import EcdfBand, ecdf_band, pit, ranks
from gibbous.diagnostics.two_sample import c2st, mmd, sliced_wasserstein

__all__ = [
    "Coverage",
    "EcdfBand",
    "SizeBin",
    "c2st",
    "coverage",
    "ecdf_band",
    "mmd",
    "pit",
    "ranks",
    "size_bins",
    "sliced_wasserstein",
]
