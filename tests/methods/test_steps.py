"""Draws in another number of steps than the fit was made with: gb.FMPE and gb.CMPE."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous.errors import ConfigError

PRIOR = gb.Prior(theta=dist.Normal(0.0, 1.0))
X = np.array([0.7], np.float32)
METHODS = {
    "FMPE": gb.FMPE(estimator=gb.FlowMatching(width=8, depth=1), members=2),
    "CMPE": gb.CMPE(estimator=gb.Consistency(width=8, depth=1), members=1),
}


@gb.simulator
def simulator(key, theta):
    return theta["theta"] + 0.3 * jax.random.normal(key, (1,))


def _fit(method):
    config = gb.FitConfig(steps=50, progress=False)
    return gb.fit(method, PRIOR, gb.simulate(PRIOR, simulator, 500, seed=0), config=config, seed=0)


@pytest.fixture(scope="module", params=list(METHODS))
def posterior(request):
    return _fit(METHODS[request.param])


def _draws(posterior) -> np.ndarray:
    return posterior.sample(X, 200, seed=0)["theta"]


def test_steps_change_the_draws_and_travel_with_the_file(posterior, tmp_path):
    few = posterior.with_steps(2)
    assert not np.allclose(_draws(few), _draws(posterior))
    few.save(tmp_path / "few.gibbous")
    loaded = gb.load(tmp_path / "few.gibbous")
    np.testing.assert_array_equal(_draws(loaded), _draws(few))


def test_more_steps_of_the_flow_end_where_adaptive_ones_do():
    posterior = _fit(METHODS["FMPE"])
    adaptive = _draws(posterior.with_steps(None))
    error = [np.abs(_draws(posterior.with_steps(n)) - adaptive).max() for n in (2, 8, 64)]
    assert error[0] > 3 * error[1] > 9 * error[2]  # Heun's method is of second order


def test_what_has_no_steps_says_so(posterior):
    with pytest.raises(ConfigError, match="at least one step"):
        posterior.with_steps(0)
    whole = _fit(gb.NPE(estimator=gb.MDN(width=8), members=2))
    with pytest.raises(ConfigError, match=r"only gb\.FMPE and gb\.CMPE"):
        whole.with_steps(4)
    likelihood = _fit(gb.NLE(estimator=gb.MDN(width=8), members=1))
    with pytest.raises(ConfigError, match="with_sampler"):
        likelihood.with_steps(4)
