"""Every task keeps the same laws."""

import jax
import numpy as np
import pytest

from gibbous.tasks import TASKS, ExactPosterior, Task


@pytest.mark.parametrize("name", TASKS)
def test_laws(name):
    task = TASKS[name]()
    assert isinstance(task, Task)
    assert task.name == name
    theta = task.prior.sample(0, 1)
    truth = {k: np.asarray(v)[0] for k, v in theta.items()}
    one = {k: v[0] for k, v in theta.items()}
    x = jax.jit(task.simulator.function)(jax.random.key(1), one)
    assert np.isfinite(x).all()
    if task.exact is None:
        return
    posterior = task.exact(np.asarray(x))
    assert isinstance(posterior, ExactPosterior)
    draws = posterior.sample(6, seed=0)
    assert set(draws) == set(task.prior.names)
    assert {k: v.shape[1:] for k, v in draws.items()} == task.prior.shapes
    assert posterior.log_prob(draws).shape == (6,)
    assert posterior.log_prob(draws).dtype == np.float64
    assert np.all(np.isfinite(posterior.log_prob(draws)))
    assert np.all(np.isfinite(np.asarray(task.prior.log_prob(draws))))
    assert np.isfinite(posterior.log_prob(truth))
