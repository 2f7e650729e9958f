"""The benchmark of sets of any size: its exact posterior, and a run that learns little."""

from argparse import Namespace

import numpy as np
import pytest

from benchmarks import sizes


def test_the_exact_posterior_is_likelihood_times_prior():
    x = np.full((2, 6), np.nan)
    x[0, [1, 4]] = [0.3, 1.9]
    x[1] = [-2.0, -2.1, -1.8, -2.4, -2.0, -1.5]
    mean, log_scale = np.meshgrid(np.linspace(-9, 9, 1_501), np.linspace(-4, 4, 1_001))
    for row, i in ((0, 500_700), (1, 400_620)):
        points = x[row][np.isfinite(x[row])]
        log_p = -(mean**2) / (2 * sizes.MEAN_SD**2) - log_scale**2 / (2 * sizes.LOG_SCALE_SD**2)
        for point in points:
            log_p = log_p - log_scale - (point - mean) ** 2 / (2 * np.exp(2 * log_scale))
        log_p -= log_p.max()
        log_p -= np.log(np.exp(log_p).sum() * (18 / 1_500) * (8 / 1_000))
        theta = {"mean": mean.ravel()[[i]], "log_scale": log_scale.ravel()[[i]]}
        # Sums of smooth functions over a fine grid are integrals to many digits.
        value = sizes.exact_log_prob(theta, x[[row]])
        np.testing.assert_allclose(value, log_p.ravel()[i], atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gibbous.errors.ObservationWarning")  # few sizes were seen
def test_a_line_for_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(sizes, "CONFIG", sizes.gb.FitConfig(steps=5, progress=False))
    line = sizes.gaussian(Namespace(budget=200, sets=300, peer=[], seed=0))
    assert [c["who"] for c in line["contenders"]] == ["DeepSet", "SetTransformer"]
    for found in line["contenders"]:
        mean, error = np.array(found["divergence"]).T
        assert (mean > -4 * error).all()  # a divergence
        assert mean[-1] > 0.5  # and after five steps not a small one
    sizes.draw([{"problem": "gaussian"} | line], tmp_path / "figures" / "sizes.png")
    assert (tmp_path / "figures" / "sizes.png").stat().st_size > 10_000
