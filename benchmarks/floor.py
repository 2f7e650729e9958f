"""What a step of training NPE takes, over the least that its arithmetic could take.

Each weight has a part in three products for each row of a batch: that of the network, that of the
gradient with respect to its input, that with respect to the weight. On a machine that multiplies
large matrices at R multiply-adds a second, no step takes less than

    floor = 3 weights rows / R.

A step is all of it: the rows of the batch, loss, gradient, optimiser, averaged weights, and the
share of the validation that falls on it; compilation is apart. Pin it to one core: a large product
uses all there are, the small ones of a step cannot.

    taskset -c 0 python -m benchmarks floor
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

import gibbous as gb

SIDE, PRODUCTS = 1_024, 8  # of the large matrices


class Case(NamedTuple):
    """What NPE with its default settings is trained on."""

    task: str
    budget: int


class Floor(NamedTuple):
    """What was measured; medians, and for the ratio the smallest and the largest as well."""

    case: Case
    rows: int
    weights: int
    step: float  # seconds
    least: float  # seconds
    ratio: float
    low: float
    high: float
    compiling: float  # seconds of the first fit


CASES = [
    Case(task, budget)
    for task in ("two_moons", "slcp", "gaussian_linear")
    for budget in (1_000, 10_000, 100_000)
]


def measure(case: Case, repeats: int, steps: int) -> Floor:
    """Train `repeats` times for `steps` steps, each time beside products of large matrices."""
    task = gb.tasks.TASKS[case.task]()
    sims = gb.simulate(task.prior, task.simulator, case.budget, seed=0, progress=False)
    # Two looks at the validation rows, and no early stop.
    config = gb.FitConfig(steps=steps, checks=2, patience=None, progress=False)
    first = gb.fit(gb.NPE(), task.prior, sims, config=config, seed=0)
    weights, rows = count(first), first.history.batch_size
    products = _products()
    _seconds(products)  # compiles
    took, least = [], []
    for seed in range(1, repeats + 1):
        before = _seconds(products)
        fitted = gb.fit(gb.NPE(), task.prior, sims, config=config, seed=seed)
        of_one = (before + _seconds(products)) / 2 / (PRODUCTS * SIDE**3)
        least.append(3 * weights * rows * of_one)
        took.append(1 / fitted.history.steps_per_second)
    ratios = [a / b for a, b in zip(took, least, strict=True)]
    middle = statistics.median
    return Floor(
        case, rows, weights, middle(took), middle(least), middle(ratios), min(ratios), max(ratios),
        first.history.compile_seconds,
    )  # fmt: skip


def count(posterior: gb.Posterior) -> int:
    """How many weights."""
    leaves = jax.tree.leaves(eqx.filter(posterior.approximation, eqx.is_inexact_array))
    return sum(leaf.size for leaf in leaves)


def _products() -> Callable[[], jax.Array]:
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE)) / SIDE**0.5

    @jax.jit
    def products(b: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, b: a @ b, b)

    return lambda: products(jnp.eye(SIDE))


def _seconds(work: Callable[[], jax.Array]) -> float:
    """The median of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def row(found: Floor) -> list[str]:
    """For a table."""
    return [
        *(str(v) for v in found.case), str(found.rows), f"{found.weights:,}",
        f"{1e3 * found.step:.2f}", f"{1e3 * found.least:.2f}",
        f"{found.ratio:.2f} [{found.low:.2f}..{found.high:.2f}]", f"{found.compiling:.1f}",
    ]  # fmt: skip


HEADINGS = [
    "task", "simulations", "rows", "weights", "ms a step", "floor, ms", "ratio", "compiling, s",
]  # fmt: skip
