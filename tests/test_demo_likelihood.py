"""The sections of the demo on a learnt likelihood, at small size, beside the exact posterior."""

import numpy as np
import pytest

import gibbous as gb
from gibbous import demo_likelihood
from gibbous.demo_likelihood import LIKELIHOOD, LIKELIHOOD_CONFIG, moons_section, sizes_section

pytestmark = pytest.mark.slow
STEPS = 1_500
SAMPLER = gb.SMC(particles=512, moves=8)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_likelihood, "SIZES", (3, 50))
        patch.setattr(demo_likelihood, "_OF_FEW_POINTS", SAMPLER)
        patch.setattr(demo_likelihood, "_MOON_SIZES", (1,))
        yield


def number(cell: str) -> tuple[float, float]:
    mean, sd = cell.split(" ± ")
    return float(mean), float(sd)


def test_one_fit_serves_datasets_of_any_size(tmp_path):
    task = gb.tasks.double_moon(1)
    config = gb.FitConfig(**LIKELIHOOD_CONFIG, steps=STEPS, progress=False)
    posterior = gb.fit(LIKELIHOOD, task.prior, task.simulator, config=config, seed=0)
    section = sizes_section(posterior.with_sampler(SAMPLER), tmp_path, 0)
    # 256 draws, some 150 of them effective, have a mean with an error of 0.08 sd and an sd with
    # 0.06; what is left is for the short training. A fraction of the wrong moon would be 6 sds off
    for row in section.table.rows:
        mean, sd = number(row[3])
        exact_mean, exact_sd = number(row[4])
        assert abs(mean - exact_mean) < 2 * exact_sd, row
        assert 0.5 < sd / exact_sd < 2, row
    assert {path.name for path in tmp_path.iterdir()} == {"points-3.png", "points-50.png"}


# One point leaves a ridge along which small populations of particles disagree, and say so.
@pytest.mark.filterwarnings("ignore::gibbous.errors.SamplingWarning")
def test_which_moon():
    rows = moons_section(STEPS, 0).table.rows
    learnt, exact = np.array([[float(p) for p in row[3:]] for row in rows]).T
    # The short training costs 0.1 in the mean; knowing nothing would cost 0.5, the wrong moon 1.
    assert np.mean(np.abs(learnt - exact)) < 0.25
