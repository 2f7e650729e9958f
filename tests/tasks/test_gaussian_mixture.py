"""The exact posterior of the mixture against its density, its simulator and sbibm's draws."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp, kstest, norm

from gibbous.errors import ObservationError
from gibbous.tasks.gaussian_mixture import GaussianMixturePosterior, gaussian_mixture

REFERENCE = Path(__file__).parents[3] / "shared/data/sbibm/gaussian_mixture.npz"


@pytest.mark.parametrize("x", np.array([(0.0, 3.0), (9.9, -9.8), (10.5, 0.0)]))
def test_log_prob_integrates_to_one_and_draws_follow_it(x):
    posterior = GaussianMixturePosterior(x)
    centres = (np.arange(2_000) + 0.5) / 100 - 10
    grid = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    density = np.exp(posterior.log_prob({"theta": grid})) * 0.01**2
    # Midpoints a tenth of the narrow width apart.
    np.testing.assert_allclose(density.sum(), 1.0, atol=2e-3)
    theta = posterior.sample(20_000, seed=0)["theta"]
    assert np.abs(theta).max() <= 10
    for i in (0, 1):  # four tests of 20,000 draws at 1e-3 each, and a wrong centre is caught
        cdf = np.cumsum(density.sum(axis=1 - i))
        of = lambda v, cdf=cdf: np.interp(v, centres + 0.005, cdf)  # noqa: E731
        assert kstest(theta[:, i], of).pvalue > 1e-3
        assert kstest(theta[:, i] + 0.05, of).pvalue < 1e-3


def test_the_simulator_draws_its_width_anew_each_time():
    task = gaussian_mixture()
    theta = {"theta": np.zeros((4_000, 2), np.float32)}
    x = jax.vmap(task.simulator.function)(jax.random.split(jax.random.key(0), 4_000), theta)
    squared = np.sum(np.asarray(x, float) ** 2, axis=1)

    def mixture(v):
        return 0.5 * chi2(2).cdf(v) + 0.5 * chi2(2).cdf(v / 0.01)

    assert kstest(squared, mixture).pvalue > 1e-3
    assert kstest(squared, chi2(2).cdf).pvalue < 1e-3
    assert kstest(np.asarray(x)[:, 0], norm.cdf).pvalue < 1e-3


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"no sbibm reference draws at {REFERENCE}")
@pytest.mark.parametrize("number", range(5))
def test_matches_sbibm(number):
    with np.load(REFERENCE) as file:
        x = file["observation"][number]
        reference = file["reference_posterior"][number].astype(float)
    ours = GaussianMixturePosterior(x).sample(10_000, seed=number)["theta"]
    for i in (0, 1):  # ten tests at 1e-3 each
        assert ks_2samp(reference[:, i], ours[:, i]).pvalue > 1e-3


def test_errors():
    with pytest.raises(ObservationError, match="that some theta"):
        GaussianMixturePosterior(np.array([60.0, 0.0]))
    with pytest.raises(ObservationError, match=r"\(2,\)"):
        GaussianMixturePosterior(np.zeros(3))
