"""The example from the README, at small size: it simulates, fits and predicts."""

from pathlib import Path

import numpy as np
import pytest

import gibbous as gb
from gibbous.problem import load_problem

FILE = Path(__file__).parents[2] / "examples" / "boarding_school.py"


@pytest.fixture(scope="module")
def problem():
    return load_problem(FILE)


def test_the_simulator_gives_counts_over_the_whole_prior(problem):
    sims = gb.simulate(problem.prior, problem.simulator, 2_000, seed=0, progress=False)
    assert sims.n_failed == 0
    assert sims.event_shape == (14,) == problem.observed.shape
    assert (sims.x >= 0).all()
    assert (sims.x == np.round(sims.x)).all()


def test_the_mean_is_the_sir_curve(problem):
    # A dispersion of almost zero leaves Poisson noise around the curve; the SIR equations conserve
    # boys, and with beta = 1.7 and gamma = 0.5 the outbreak peaks in the first week.
    import sys

    infected = sys.modules["problem_boarding_school"].infected
    curve = np.asarray(infected(1.7, 0.5))
    reference = euler(1.7, 0.5)
    np.testing.assert_allclose(curve, reference, rtol=5e-3)
    assert 4 <= curve.argmax() <= 7


def euler(beta, gamma, steps=20_000):
    """The same equations by the midpoint rule."""
    s, i, dt, out = 762.0, 1.0, 14.0 / steps, []
    for k in range(1, steps + 1):
        ms = s - 0.5 * dt * beta * s * i / 763
        mi = i + 0.5 * dt * (beta * s * i / 763 - gamma * i)
        s, i = s - dt * beta * ms * mi / 763, i + dt * (beta * ms * mi / 763 - gamma * mi)
        if k % (steps // 14) == 0 and len(out) < 14:
            out.append((k, i))
    return np.interp(np.arange(1, 15), [k * dt for k, _ in out], [i for _, i in out])


@pytest.mark.slow
def test_a_small_fit_finds_the_outbreak(problem):
    sims = gb.simulate(problem.prior, problem.simulator, 5_000, seed=0, progress=False)
    method = gb.NPE(estimator=gb.AutoregressiveSpline(layers=3, width=32), members=1)
    config = gb.FitConfig(steps=2_000, progress=False)
    posterior = gb.fit(method, problem.prior, sims, config=config, seed=0)
    draws = posterior.sample(problem.observed, 4_000, seed=0)
    # Long-run MCMC: 1.734 +- 0.053 and 0.542 +- 0.046, where the prior has 2 +- 1 and 0.6 +- 0.4.
    # A fit this small is blurred; it must still be within 0.2 of the answer.
    assert abs(draws["beta"].mean() - 1.734) < 0.2
    assert abs(draws["gamma"].mean() - 0.542) < 0.2
