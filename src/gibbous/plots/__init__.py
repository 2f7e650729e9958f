"""Figures: results in, matplotlib axes out.

Every function draws on the axes it is given, or on a new figure, and returns the axes, so that the
figure can be changed further. matplotlib is imported on the first call, not with this package.
"""

from gibbous.plots.bands import bands
from gibbous.plots.calibration import ecdf_difference, rank_histograms
from gibbous.plots.corner import corner
from gibbous.plots.coverage import coverage, coverage_by_size, coverage_tails
from gibbous.plots.datasets import datasets
from gibbous.plots.loss import loss_curve
from gibbous.plots.marginals import marginals
from gibbous.plots.predictive import predictive

__all__ = [
    "bands",
    "corner",
    "coverage",
    "coverage_by_size",
    "coverage_tails",
    "datasets",
    "ecdf_difference",
    "loss_curve",
    "marginals",
    "predictive",
    "rank_histograms",
]
