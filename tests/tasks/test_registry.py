"""Every task keeps the same laws."""

import jax
import numpy as np
import pytest

from gibbous.tasks import TASKS, ExactPosterior, Task
from tests.contract.test_methods import slow

LIKELIHOODS = [
    "bernoulli_glm", "bernoulli_glm_raw", "lotka_volterra", "sir", "slcp", "slcp_distractors",
]  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_laws(name):
    task = TASKS[name]()
    assert isinstance(task, Task)
    assert task.name == name
    assert (task.log_likelihood is not None) == (name in LIKELIHOODS)
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


@pytest.mark.parametrize("name", slow(LIKELIHOODS, {"lotka_volterra", "sir"}))
def test_the_likelihood_is_that_of_the_simulator(name):
    # E p(x | near) / p(x | theta) = 1 over x ~ p(x | theta), and more than 1 over x ~ p(x | near).
    task, n = TASKS[name](), 4_000
    log_likelihood = task.log_likelihood
    assert log_likelihood is not None
    theta = {k: v[0] for k, v in task.prior.sample(3, 1).items()}

    def simulate(theta, seed):
        keys = jax.random.split(jax.random.key(seed), n)
        return jax.vmap(lambda key: task.simulator.function(key, theta))(keys)

    @jax.jit
    def ratios(share):
        near = jax.tree.map(lambda v: v * (1 + share), theta)

        def ratio(x):
            return log_likelihood(x, near) - log_likelihood(x, theta)

        return jax.vmap(ratio)(simulate(theta, 1)), jax.vmap(ratio)(simulate(near, 2))

    for share in (0.1, 0.03, 0.01, 0.003, 1e-3, 3e-4):  # so near that ratios have a variance
        here, there = (np.asarray(r, float) for r in ratios(share))
        if here.std() < 0.5:
            break
    assert 0.1 < here.std() < 0.5
    error = np.exp(here).std() / n**0.5
    assert abs(np.exp(here).mean() - 1) < 4 * error
    assert np.exp(there).mean() - 1 > 4 * error  # so a simulator so little off would be seen
