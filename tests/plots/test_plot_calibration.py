"""Rank histograms count the ranks given; the ECDF plot shows the curves and the band given."""

import numpy as np
import pytest
from scipy import stats

from gibbous.diagnostics import ecdf_band
from gibbous.errors import ShapeError
from gibbous.plots import ecdf_difference, rank_histograms
from gibbous.plots.calibration import bin_edges


def stairs(ax, k):
    return [p for p in ax.patches if hasattr(p, "get_data")][k].get_data()


def test_bars_count_the_ranks():
    ranks = np.random.default_rng(0).integers(0, 101, size=(300, 2))
    axes = rank_histograms(ranks, 100, ["a", "b"])
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    for i, ax in enumerate(axes):
        counts, edges, _ = stairs(ax, 0)
        assert counts.sum() == 300
        bin_of_each = np.searchsorted(edges, ranks[:, i], side="right") - 1
        expected = np.bincount(bin_of_each, minlength=len(counts))
        np.testing.assert_array_equal(counts, expected)


def test_band_holds_99_percent_of_the_counts_of_a_bin():
    ranks = np.random.default_rng(0).integers(0, 100, size=(500, 1))
    (ax,) = rank_histograms(ranks, 99, ["a"])
    expected, edges, _ = stairs(ax, 1)
    assert len(expected) == 20
    np.testing.assert_allclose(expected, 25)
    y = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert y.min() == stats.binom.ppf(0.005, 500, 1 / 20)
    assert y.max() == stats.binom.ppf(0.995, 500, 1 / 20)
    np.testing.assert_array_equal(edges[[0, -1]], [0, 100])


@pytest.mark.parametrize(("m", "n_draws"), [(10, 3), (100, 999), (100_000, 1_000), (2_000, 10)])
def test_bins_hold_whole_ranks_of_nearly_equal_number(m, n_draws):
    widths = np.diff(bin_edges(m, n_draws))
    assert widths.sum() == n_draws + 1
    assert widths.min() >= 1
    assert np.ptp(widths) <= 1


def test_ecdf_curves_and_band():
    u = np.random.default_rng(0).uniform(size=(200, 2)) ** np.array([1.0, 3.0])
    band = ecdf_band(u)
    ax = ecdf_difference(band, ["good", "bad"])
    _, good, bad = ax.lines
    np.testing.assert_array_equal(good.get_ydata(), band.difference[:, 0])
    np.testing.assert_array_equal(bad.get_ydata(), band.difference[:, 1])
    y = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (y.min(), y.max()) == (band.low.min(), band.high.max())
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "good" in legend
    assert "bad (leaves the band)" in legend


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"\[m, d\]"):
        rank_histograms(np.zeros(5, int), 10, ["a"])
    with pytest.raises(ShapeError, match="labels"):
        rank_histograms(np.zeros((5, 2), int), 10, ["a"])
    with pytest.raises(ShapeError, match="lie in"):
        rank_histograms(np.full((5, 1), 11), 10, ["a"])
    with pytest.raises(ShapeError, match="at least 2 axes"):
        rank_histograms(np.zeros((5, 2), int), 10, ["a", "b"], axes=[None])
    with pytest.raises(ShapeError, match="labels"):
        ecdf_difference(ecdf_band(np.full((20, 2), 0.5)), ["a"])
