"""Marginals of several posteriors in the same panels."""

import numpy as np
import pytest

from gibbous import plots
from gibbous.errors import ShapeError

RNG = np.random.default_rng(0)


def test_a_panel_for_each_scalar_and_a_line_for_each_posterior():
    draws = {"NPE": RNG.normal(size=(2_000, 2)), "NLE": 3 + RNG.normal(size=(500, 2))}
    axes = plots.marginals(
        draws, ["a", "b"], reference=RNG.normal(size=(1_000, 2)), truth=np.array([0.5, -0.5])
    )
    assert [ax.get_xlabel() for ax in axes] == ["a", "b"]
    for ax, truth in zip(axes, (0.5, -0.5), strict=True):
        first, second, mark = ax.get_lines()
        peak = [line.get_xdata()[np.argmax(line.get_ydata())] for line in (first, second)]
        assert abs(peak[0]) < 0.5  # a histogram of 2,000 draws finds the peak to some 0.2 sd
        assert abs(peak[1] - 3) < 0.7
        assert mark.get_xdata()[0] == truth
    assert {t.get_text() for t in axes[0].get_legend().get_texts()} == {"exact", "NPE", "NLE"}


def test_draws_of_another_number_of_scalars_are_refused():
    with pytest.raises(ShapeError, match="by name"):
        plots.marginals({"NPE": np.zeros((10, 3))}, ["a", "b"])
