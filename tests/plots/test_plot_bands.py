"""Bands of a curve: the quantiles of the draws, the truth on top."""

import numpy as np
import pytest

from gibbous.errors import ShapeError
from gibbous.plots import bands

CURVES = np.random.default_rng(0).normal(size=(200, 20))
T = np.linspace(1, 2, 20)


def test_bands_are_the_quantiles_of_the_curves():
    ax = bands(T, CURVES, truth=np.zeros(20), labels=("flux", "height"))
    median, truth = ax.lines
    np.testing.assert_array_equal(median.get_xydata(), np.column_stack([T, np.median(CURVES, 0)]))
    np.testing.assert_array_equal(truth.get_ydata(), 0)
    for band, p in zip(ax.collections, (0.95, 0.68), strict=True):
        y = band.get_paths()[0].vertices[:, 1]
        assert y.min() == np.quantile(CURVES, (1 - p) / 2, axis=0).min()
        assert y.max() == np.quantile(CURVES, (1 + p) / 2, axis=0).max()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("flux", "height")
    assert len(bands(T, CURVES).lines) == 1  # no truth where none is known


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"curves \[S, k\]"):
        bands(T, CURVES.T)
    with pytest.raises(ShapeError, match="true curve"):
        bands(T, CURVES, truth=np.zeros(3))
    with pytest.raises(ShapeError, match="two labels"):
        bands(T, CURVES, labels=["t"])
