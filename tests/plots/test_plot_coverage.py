"""Coverage plots: the lines are the fractions, and the error bars the exact intervals."""

import numpy as np
import pytest
from scipy import stats

from gibbous.diagnostics import SizeBin, coverage
from gibbous.errors import ConfigError, ShapeError
from gibbous.plots import coverage as plot_coverage
from gibbous.plots import coverage_by_size, coverage_tails
from gibbous.plots.coverage import fraction_interval

M = 400


@pytest.fixture
def cov():
    truth = np.random.default_rng(0).normal(size=(M, 2))
    sd = np.array([1.0, 0.5])  # the second posterior is too narrow by half
    return coverage(stats.norm.cdf(truth / sd), np.zeros((M, 2)), sd * np.ones((M, 2)), truth)


@pytest.mark.parametrize("kind", ["central", "normal"])
def test_lines_are_the_fractions_covered(cov, kind):
    ax = plot_coverage(cov, ["a", "b"], kind=kind)
    lines = {line.get_label(): line for line in ax.lines}
    for i, name in enumerate("ab"):
        expected = np.column_stack([cov.nominal, getattr(cov, kind)[:, i]])
        np.testing.assert_array_equal(lines[name].get_xydata(), expected)


def test_bands_are_one_and_three_standard_errors(cov):
    ax = plot_coverage(cov, ["a", "b"])
    i = 6  # k = 0.7, nominal about one half
    for band, width in zip(ax.collections, (3, 1), strict=True):
        vertices = band.get_paths()[0].vertices
        y = vertices[np.isclose(vertices[:, 0], cov.nominal[i]), 1]
        assert np.ptp(y) == pytest.approx(2 * width * cov.error[i])


def test_tails_show_what_is_not_covered(cov):
    ax = coverage_tails(cov, ["a", "b"])
    assert ax.get_yscale() == "log"
    curves = [line for line in ax.lines if len(line.get_xdata()) == len(cov.k)]
    _, first, second = curves  # the first is the nominal curve
    for i, curve in enumerate((first, second)):
        y, missed = curve.get_ydata(), 1 - cov.central[:, i]
        np.testing.assert_allclose(y[missed > 0], missed[missed > 0])
        assert np.isnan(y[missed == 0]).all()


def test_tails_mark_one_two_and_three_sigma_with_error_bars(cov):
    ax = coverage_tails(cov, ["a", "b"])
    bars = next(c for c in ax.containers if c.get_label() == "b")
    points = bars.lines[0].get_xydata()
    at = [int(np.argmin(abs(cov.k - k))) for k in (1, 2, 3)]
    np.testing.assert_allclose(points[:, 1], 1 - cov.central[at, 1])
    np.testing.assert_allclose(points[:, 0], [1, 2, 3], atol=0.1)  # set apart sideways
    low, high = fraction_interval(np.rint(points[:, 1] * M).astype(int), M)
    segments = np.array(bars.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, 0, 1], low)
    np.testing.assert_allclose(segments[:, 1, 1], high)


def test_nothing_missed_still_has_an_upper_limit():
    truth = np.zeros((50, 1))
    cov = coverage(np.full((50, 1), 0.5), truth, np.ones((50, 1)), truth)
    ax = coverage_tails(cov, ["a"])
    ax.figure.canvas.draw()
    assert any(c.has_yerr and len(c.lines[2][0].get_segments()) == 3 for c in ax.containers)


def test_interval_is_that_of_clopper_and_pearson():
    low, high = fraction_interval(np.array([0, 3, 20]), 20, 0.9)
    for count, lo, hi in zip((0, 3, 20), low, high, strict=True):
        exact = stats.binomtest(count, 20).proportion_ci(0.9, method="exact")
        assert (lo, hi) == pytest.approx((exact.low, exact.high))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("plot", [plot_coverage, coverage_tails])
def test_wrong_arguments(cov, plot):
    with pytest.raises(ShapeError, match="2 labels"):
        plot(cov, ["a"])
    with pytest.raises(ConfigError, match="central"):
        plot(cov, ["a", "b"], kind="median")


def test_coverage_by_size_is_drawn_in_its_bins(cov):
    bins = [SizeBin(1, 9, cov, None), SizeBin(10, 40, cov, None), SizeBin(41, 100, cov, None)]
    ax = coverage_by_size(bins, ["a", "b"], k=2.0)
    lines = {line.get_label(): line for line in ax.lines}
    nominal, central, _, error = cov.at(2.0)
    np.testing.assert_allclose(lines["b"].get_ydata(), [central[1]] * 3)
    x = lines["b"].get_xdata()
    edges = [1, 9.5, 40.5, 101]
    assert all(low < v < high for low, v, high in zip(edges, x, edges[1:], strict=False))
    bands = [p for p in ax.patches if "standard error" in p.get_label()]
    np.testing.assert_allclose(bands[0].get_data().values, nominal + 3 * error)
    with pytest.raises(ShapeError, match="labels"):
        coverage_by_size(bins, ["a"])
