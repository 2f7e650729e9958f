"""A few minutes that see whether a change made training slower, or posteriors worse.

Speed is a step of training over its floor (`floor.py`), a ratio within the same minutes; accuracy
the C2ST to the true posterior, in closed form, of NPE with 1,000 simulations. Limits leave room for
what repeats of the last version that was measured with care differed by. Last the main job: the
log density of the true parameters of the double moon, from 10,000 stored datasets, negative so that
less is better.

    taskset -c 0 scripts/bench-guard
"""

from collections.abc import Iterator

import numpy as np

import gibbous as gb
from benchmarks.floor import Case, measure
from benchmarks.references import references

STEPS = {  # step over floor; +20%: the spread over repeats was under 10%
    Case("two_moons", 10_000): 1.2 * 3.9,
    Case("gaussian_linear", 10_000): 1.2 * 3.2,
}
C2ST = {  # five seeds had .545 to .563, and .648 to .656; another machine rounds differently
    "two_moons": 0.563 + 0.02,
    "gaussian_linear_uniform": 0.656 + 0.02,
}
MOON_SETS, MOON_FRESH = 10_000, 2_000
MOON = -(8.55 - 0.15)  # five seeds had 8.55 to 8.64, each give or take 0.05 from its fresh datasets
OBSERVATIONS, DRAWS = [1, 2, 3], 5_000


def check() -> Iterator[tuple[str, float, float]]:
    """What was looked at, the figure and its limit, one after the other."""
    for case, limit in STEPS.items():
        yield f"step over floor, {case.task}", measure(case, repeats=3, steps=1_000).ratio, limit
    for name, limit in C2ST.items():
        yield f"C2ST, {name}", c2st(name), limit
    yield "minus log density, double moon", -double_moon(), MOON


def c2st(name: str) -> float:
    """The mean over observations."""
    task = gb.tasks.TASKS[name]()
    x, reference = references(task, OBSERVATIONS, DRAWS, None)
    sims = gb.simulate(task.prior, task.simulator, 1_000, seed=0, progress=False)
    posterior = gb.fit(gb.NPE(), task.prior, sims, config=gb.FitConfig(progress=False), seed=0)
    draws = posterior.sample(x, DRAWS, seed=1).array
    return float(np.mean(gb.diagnostics.c2st(reference, draws, seed=1)))


def double_moon() -> float:
    """Mean log density of the true parameters over fresh datasets, in nats."""
    task, quiet = gb.tasks.double_moon(), gb.FitConfig(progress=False)
    sims, fresh = (
        gb.simulate(task.prior, task.simulator, n, seed=seed, progress=False)
        for n, seed in ((MOON_SETS, 0), (MOON_FRESH, 99))
    )
    posterior = gb.fit(gb.NPE(gb.DeepSet()), task.prior, sims, config=quiet, seed=0)
    return float(np.mean(posterior.log_prob(fresh.theta, fresh.x)))


def verdict(what: str, figure: float, limit: float) -> tuple[bool, str]:
    """Whether it holds, and a line that says so. A figure that is no number does not hold."""
    holds = figure <= limit
    return holds, f"{'ok  ' if holds else 'FAIL'} {what}: {figure:.3f}, at most {limit:.3f}"
