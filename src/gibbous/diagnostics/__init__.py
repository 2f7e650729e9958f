"""Diagnostics: arrays in, findings out; none of them knows a method."""

from gibbous.diagnostics.coverage import Coverage, coverage
from gibbous.diagnostics.ranks import EcdfBand, ecdf_band, pit, ranks

__all__ = ["Coverage", "EcdfBand", "coverage", "ecdf_band", "pit", "ranks"]
