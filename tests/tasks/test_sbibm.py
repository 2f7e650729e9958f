"""Tasks without an exact posterior against sbibm's reference draws and constants."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.prior import log_density
from gibbous.tasks import TASKS
from gibbous.tasks.bernoulli_glm import design, precision

FOLDER = Path(__file__).parents[3] / "shared/data/sbibm"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"no reference draws at {FOLDER}")


def _moved(task, x, draws, scale) -> np.ndarray:
    """Reference draws [n, d] after 100 Metropolis moves under the task's prior and likelihood."""
    names = task.prior.names

    def split(row):
        return {"theta": row} if names == ("theta",) else dict(zip(names, row, strict=True))

    def posterior(rows):
        theta = jax.vmap(split)(rows)
        likelihood = jax.vmap(lambda t: task.log_likelihood(x, t))(theta)
        return log_density(task.prior, names, theta) + likelihood

    @jax.jit
    def run(rows):
        def move(carry, key):
            rows, density = carry
            key_step, key_accept = jax.random.split(key)
            there = rows + jax.random.normal(key_step, rows.shape) @ scale.T
            new = posterior(there)
            accept = jnp.log(jax.random.uniform(key_accept, new.shape)) < new - density
            return (jnp.where(accept[:, None], there, rows), jnp.where(accept, new, density)), None

        keys = jax.random.split(jax.random.key(0), 100)
        return jax.lax.scan(move, (rows, posterior(rows)), keys)[0][0]

    return np.asarray(run(draws))


@pytest.mark.parametrize("name", ["slcp", "bernoulli_glm", "sir"])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_reference_draws_are_stationary(name, shift):
    with np.load(FOLDER / f"{name}.npz") as file:
        x, draws = file["observation"][0], file["reference_posterior"][0][::4]
    dim, sd = draws.shape[1], draws.std(axis=0)
    scale = np.linalg.cholesky(np.cov(draws.T)) / dim**0.5
    begin = jnp.asarray(draws + shift * sd, jnp.float32)
    end = _moved(TASKS[name](), jnp.asarray(x, jnp.float32), begin, jnp.asarray(scale))
    change = (end - np.asarray(begin)) / sd
    z = change.mean(axis=0) / (change.std(axis=0) / len(draws) ** 0.5)
    # At most ten coordinates; draws moved by a third of their width come back.
    assert (np.abs(z).max() < 4) == (shift == 0.0), z


def test_the_constants_of_the_glm():
    with np.load(FOLDER / "bernoulli_glm.npz") as file:
        np.testing.assert_allclose(design(), file["design_matrix"], atol=1e-6)
        np.testing.assert_allclose(precision(), file["prior_precision"], atol=1e-5)
