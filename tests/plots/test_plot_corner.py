"""Corner plots: regions hold what they say, and a narrow reference stays visible."""

import numpy as np
import pytest
from matplotlib.path import Path

from gibbous.errors import GibbousWarning, ParameterError, ShapeError
from gibbous.plots import corner
from gibbous.plots.density import density_1d, density_2d, hdr_levels
from gibbous.posteriors.draws import Draws

N = 4_000


def normal(n=N, rho=0.8, seed=0):
    z = np.random.default_rng(seed).normal(size=(n, 2))
    return z[:, 0], rho * z[:, 0] + np.sqrt(1 - rho**2) * z[:, 1]


def share_inside(ax, points, which):
    """Share of points inside the filled contour set number `which` of an axes."""
    path = ax.collections[which].get_paths()[0]
    # A hole runs the other way round: even-odd over the pieces.
    inside = np.zeros(len(points), int)
    for polygon in path.to_polygons():
        inside += Path(polygon).contains_points(points)
    return np.mean(inside % 2 == 1)


# --- regions --------------------------------------------------------------------------------------


def test_levels_are_quantiles_of_the_density():
    at_draws = np.arange(1.0, 101.0)
    level = hdr_levels(at_draws, (0.68,))[0]
    assert np.mean(at_draws >= level) == pytest.approx(0.68)


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.999])
def test_regions_of_a_correlated_normal_hold_68_and_95_percent(rho):
    x, y = normal(rho=rho)
    ax = corner({"x": x, "y": y})[1, 0]
    # The standard error of a share of 4,000 fresh draws is at most 0.0075. The outline itself
    # comes from 4,000 draws, so add as much again: 0.03 is near three of both together.
    points = np.column_stack(normal(rho=rho, seed=1))
    inner, ring = share_inside(ax, points, 1), share_inside(ax, points, 0)
    assert inner == pytest.approx(0.68, abs=0.03)
    assert inner + ring == pytest.approx(0.95, abs=0.03)


def test_a_wrong_level_fails_that_test():
    x, y = normal()
    density = density_2d(x, y)
    wrong = 0.32 * density.f.max()  # "68%" read as a fraction of the height
    assert abs(np.mean(density.at_draws >= wrong) - 0.68) > 0.03


def test_levels_of_a_normal_are_those_of_the_formula():
    density = density_2d(*normal(n=40_000, rho=0.0))
    exact = hdr_levels(density.at_draws, (0.68,))[0]
    # Over the peak, exp(-r^2 / 2) with r^2 = chi2_2(0.68) = 2.28. The bandwidth h = 1.2 n^(-1/6) =
    # 0.205 widens the normal by 1 + h^2: exp(-1.14 / 1.042) = 0.335. The relative error of f at
    # the peak is 1 / sqrt(n f 4 pi h^2) = 0.017, hence 0.02 for three of it.
    assert exact / density.f.max() == pytest.approx(0.335, abs=0.02)


def test_a_region_stops_at_the_bounds_of_the_draws():
    x, y = np.random.default_rng(0).uniform(size=(2, N))
    density = density_2d(x, y)
    assert density.x.min() > 0
    assert density.x.max() < 1
    edge, middle = density.f[0].mean(), density.f.mean()
    assert edge == pytest.approx(middle, rel=0.15)  # a leak would halve it


def test_narrow_distant_modes_are_not_smeared():
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 1.0], size=N) + 0.01 * rng.normal(size=N)
    x, f = density_1d(values)
    assert np.ptp(x[f > 0.5][x[f > 0.5] > 0]) < 5 * 0.01  # full width at half height: 2.4 sd
    assert f[np.abs(x) < 0.8].max() < 1e-3


# --- the figure -----------------------------------------------------------------------------------


def test_limits_hold_draws_and_reference_and_a_narrow_reference_is_resolved():
    x, y = normal()
    exact = {"x": 0.001 * x + 2.0, "y": 0.001 * y}
    axes = corner({"x": x, "y": y}, reference=exact, truth=np.array([2.0, 0.0]))
    low, high = axes[1, 0].get_xlim()
    assert low < np.quantile(x, 0.001)
    assert high > np.quantile(x, 0.999)
    outline = axes[1, 0].collections[-1].get_paths()[-1].vertices
    assert len(outline) > 40
    # The 68% region of a unit normal in a projection has the half-width sqrt(2.28) = 1.51.
    assert np.ptp(outline[:, 0]) == pytest.approx(2 * 1.51 * 0.001, rel=0.15)
    assert outline[:, 0].mean() == pytest.approx(2.0, abs=2e-4)


def test_truth_is_marked_in_every_panel():
    x, y = normal()
    axes = corner({"x": x, "y": y}, truth={"x": 0.5, "y": -0.5, "nuisance": 3.0})
    vertical, horizontal = axes[1, 0].lines
    np.testing.assert_array_equal(vertical.get_xdata(), [0.5, 0.5])
    np.testing.assert_array_equal(horizontal.get_ydata(), [-0.5, -0.5])
    np.testing.assert_array_equal(axes[1, 1].lines[-1].get_xdata(), [-0.5, -0.5])


def test_a_truth_far_outside_does_not_stretch_the_panel():
    x, _ = normal()
    axes = corner({"x": x}, truth=np.array([1e6]))
    assert axes[0, 0].get_xlim()[1] < 10
    assert axes[0, 0].lines[-1].get_marker() == ">"


def test_vector_parameters_and_labels():
    draws = Draws({"slopes": np.random.default_rng(0).normal(size=(500, 2)), "b": np.arange(500.0)})
    axes = corner(draws)
    assert axes.shape == (3, 3)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["slopes[0]", "slopes[1]", "b"]
    assert corner(draws, labels=["p", "q", "r"])[-1, 0].get_ylabel() == "r"


@pytest.mark.parametrize(
    ("loc", "scale"), [(0.70184, 1e-6), (4.2e8, 3e3), (1.3e-7, 1e-8), (0.0, 1.0), (-5.0, 1e-4)]
)
def test_ticks_are_few_and_tell_the_value(loc, scale):
    x, y = normal()
    ax = corner({"x": loc + scale * x, "y": y})[1, 0]
    ticks = ax.get_xticks()
    assert 2 <= len(ticks) <= 5
    ax.figure.canvas.draw()
    texts = [t.get_text() for t in ax.get_xticklabels()]
    assert max(map(len, texts)) <= 6
    assert len(set(texts)) == len(texts)
    # The label undoes what was taken off: value = offset + tick * 10^power.
    label = ax.get_xlabel().replace("\n", " ").replace("\N{MINUS SIGN} ", "+ -")
    power = int(label.split("^{")[1].split("}")[0]) if "^{" in label else 0
    offset = -float(label.split("+ ")[1].split(" ")[0]) if "+ " in label else 0.0
    shown = [offset + float(t.replace("\N{MINUS SIGN}", "-")) * 10.0**power for t in texts]
    np.testing.assert_allclose(shown, ticks, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_a_handful_of_draws_and_constant_ones_can_be_drawn(n):
    x, y = normal(n)
    axes = corner({"x": x, "y": y, "c": np.full(n, 2.0)}, reference={"x": y, "y": x, "c": x})
    axes[0, 0].figure.canvas.draw()
    assert all(np.isfinite(axes[i, i].get_xlim()).all() for i in range(3))


def test_draws_that_are_not_finite_are_left_out_with_a_warning():
    x, y = normal()
    with pytest.warns(GibbousWarning, match="1 of 4,000"):
        corner({"x": np.where(np.arange(N) == 3, np.nan, x), "y": y})


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_and_names():
    x, y = normal(50)
    with pytest.raises(ShapeError, match="observation"):
        corner(Draws({"x": np.zeros((3, 50))}, n_batch=1))
    with pytest.raises(ShapeError, match="truth of 2"):
        corner({"x": x, "y": y}, truth=np.zeros(3))
    with pytest.raises(ShapeError, match="2 x 2 axes"):
        corner({"x": x, "y": y}, axes=np.empty(4, object))
    with pytest.raises(ShapeError, match="2 labels"):
        corner({"x": x, "y": y}, labels=["x"])
    with pytest.raises(ShapeError, match="same number"):
        corner({"x": x, "y": y[:40]})
    with pytest.raises(ShapeError, match="reference"):
        corner({"x": x}, reference={"x": np.zeros((50, 2))})
    with pytest.raises(ParameterError, match="'y'"):
        corner({"x": x, "y": y}, reference={"x": x})
    with pytest.raises(ParameterError, match="y"):
        corner({"x": x, "y": y}, truth={"x": 0.0})
