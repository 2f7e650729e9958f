"""The sky of the examples: it is loaded, and its observation is the one that is described."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gibbous as gb
from gibbous.problem import load_problem

FILE = Path(__file__).parents[2] / "examples" / "source_counts.py"


@pytest.mark.slow
def test_the_observation_is_a_sky_of_the_prior():
    problem = load_problem(FILE)
    assert isinstance(problem.method, gb.NPE)
    observed = np.asarray(problem.observed)
    assert observed.shape == (64, 64, 1)
    sims = gb.simulate(problem.prior, problem.simulator, 64, seed=0, progress=False)
    assert sims.n_failed == 0
    assert sims.event_shape == observed.shape
    totals = sims.x.sum(axis=(1, 2, 3))
    assert totals.min() < observed.sum() < totals.max()
    embedding = problem.method.embedding.build(jax.random.key(0), jnp.asarray(sims.x))
    vector = embedding(jnp.asarray(observed), None)
    assert np.isfinite(vector).all()
