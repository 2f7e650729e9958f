"""The two tasks that solve an equation, against SciPy's solver in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from gibbous.tasks import TASKS
from gibbous.tasks.lotka_volterra import TIMES, log_populations
from gibbous.tasks.sir import DAYS, infected


def _sir(beta, gamma) -> np.ndarray:
    def field(t, y):
        return [-beta * y[0] * y[1], beta * y[0] * y[1] - gamma * y[1]]

    start = [1 - 1e-6, 1e-6]
    return solve_ivp(field, (0, DAYS[-1]), start, t_eval=DAYS, rtol=1e-10, atol=1e-13).y[1]


def _lotka_volterra(alpha, beta, gamma, delta) -> np.ndarray:
    def field(t, y):
        return [alpha * y[0] - beta * y[0] * y[1], -gamma * y[1] + delta * y[0] * y[1]]

    got = solve_ivp(field, (0, TIMES[-1]), [30, 1], t_eval=TIMES, rtol=1e-11, atol=1e-13)
    return np.log(got.y).reshape(-1)


@pytest.mark.parametrize("name", ["sir", "lotka_volterra"])
def test_solutions_are_those_of_a_better_solver(name):
    task = TASKS[name]()
    theta = task.prior.sample(0, 50)
    ours, solver, off = {
        # A count has an error of sqrt(1,000 p (1 - p)), 0.3 where one in 10,000 is infected.
        "sir": (infected, _sir, 2e-5),
        # The noise of log x is 0.1.
        "lotka_volterra": (log_populations, _lotka_volterra, 1e-2),
    }[name]
    got = np.asarray(jax.jit(jax.vmap(ours))(theta))
    rows = [{k: float(v[i]) for k, v in theta.items()} for i in range(50)]
    want = np.stack([solver(**row) for row in rows])
    assert np.abs(got - want).max() < off
    other = np.stack([solver(**{k: 1.02 * v for k, v in row.items()}) for row in rows])
    assert np.abs(got - other).max() > 10 * off  # so 2% in the rates would be seen


def test_what_cannot_be_solved_is_a_failed_simulation():
    theta = {"alpha": 3e4, "beta": 0.05, "gamma": 3e4, "delta": 0.05}
    got = jax.jit(log_populations)({k: jnp.array(v) for k, v in theta.items()})
    assert np.isnan(got).all()
