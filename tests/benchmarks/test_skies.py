"""The benchmark of source counts, at a size at which nothing is learnt."""

from argparse import Namespace

import numpy as np
import pytest

from benchmarks import skies


@pytest.mark.slow
def test_a_line_and_a_figure(tmp_path):
    figure = tmp_path / "figures" / "curves.png"
    args = Namespace(
        method=["NPE"], budget=100, steps=5, layers=0, skies=20, seed=0, figure=figure
    )  # fmt: skip
    (line,) = skies.run(args)
    assert figure.stat().st_size > 10_000
    assert np.shape(line["coverage"]) == (3, 4)
    np.testing.assert_allclose(line["nominal"], [0.6827, 0.9545, 0.9973], atol=1e-4)
    assert line["skies"] == 20
    assert 100 < line["memory"] < 100_000  # megabytes
    assert "3 sigma, 0.9973" in skies.summary(line)
