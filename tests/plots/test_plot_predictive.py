"""Posterior predictive plots: the observed data on top, quantiles of the simulated below."""

import numpy as np
import pytest

from gibbous.errors import ShapeError
from gibbous.plots import predictive

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("column", [False, True])
def test_vectors_show_median_bands_and_observation(column):
    sim, obs, t = RNG.normal(size=(50, 20)), np.arange(20.0), np.linspace(1, 2, 20)
    args = (obs[:, None], sim[..., None]) if column else (obs, sim)
    ax = predictive(*args, t=t)
    median, observed = ax.lines
    np.testing.assert_array_equal(median.get_xydata(), np.column_stack([t, np.median(sim, 0)]))
    np.testing.assert_array_equal(observed.get_xydata(), np.column_stack([t, obs]))
    for band, p in zip(ax.collections, (0.9, 0.5), strict=True):
        y = band.get_paths()[0].vertices[:, 1]
        assert y.min() == np.quantile(sim, (1 - p) / 2, axis=0).min()
        assert y.max() == np.quantile(sim, (1 + p) / 2, axis=0).max()


def test_short_vectors_have_a_bar_for_each_entry():
    sim, obs = RNG.normal(size=(50, 2)), np.array([0.1, 0.2])
    ax = predictive(obs, sim, labels=("entry", "y"))
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), obs)
    low = [bar.get_y() for bar in ax.patches[:2]]
    np.testing.assert_allclose(low, np.quantile(sim, 0.05, axis=0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("entry", "y")


def test_sets_show_all_points():
    sim, obs = RNG.normal(size=(10, 30, 2)), RNG.normal(size=(25, 2))
    ax = predictive(obs, sim)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), sim.reshape(-1, 2))
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), obs)


def test_very_many_points_are_thinned_evenly():
    ax = predictive(np.zeros((3, 2)), RNG.normal(size=(300, 500, 2)))
    assert 10_000 < len(ax.collections[0].get_offsets()) <= 20_000


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("obs", "sim"), [((5,), (9, 4)), ((5, 3), (9, 5, 3)), ((5, 2), (9, 2)), ((5,), (5,))]
)
def test_wrong_shapes(obs, sim):
    with pytest.raises(ShapeError, match="expected x_obs"):
        predictive(np.zeros(obs), np.zeros(sim))


@pytest.mark.usefixtures("unchecked")
def test_wrong_abscissa_or_labels():
    with pytest.raises(ShapeError, match="t of shape"):
        predictive(np.zeros(5), np.zeros((9, 5)), t=np.zeros(4))
    with pytest.raises(ShapeError, match="abscissa"):
        predictive(np.zeros((5, 2)), np.zeros((9, 5, 2)), t=np.zeros(5))
    with pytest.raises(ShapeError, match="two labels"):
        predictive(np.zeros(5), np.zeros((9, 5)), labels=["x"])


def test_padding_is_not_drawn():
    sim = RNG.normal(size=(50, 30, 2))
    padded = np.concatenate([sim, np.full((50, 970, 2), np.nan)], axis=1)
    drawn = [predictive(sim[0], x).collections[0] for x in (sim, padded)]
    np.testing.assert_array_equal(*(c.get_offsets() for c in drawn))
    assert drawn[0].get_alpha() == drawn[1].get_alpha()
