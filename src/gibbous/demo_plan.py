"""What the demo does with a method: how it is trained, on how many datasets it is checked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table as RichTable

from gibbous.compilation import CompileClock
from gibbous.demo_likelihood import LIKELIHOOD, LIKELIHOOD_CONFIG
from gibbous.errors import ConfigError
from gibbous.estimators import Consistency, FlowMatching
from gibbous.fit import fit
from gibbous.fit_config import FitConfig
from gibbous.method import AbstractMethod
from gibbous.methods import CMPE, FMPE, NPE, NRE
from gibbous.nets import DeepSet
from gibbous.posteriors.posterior import Posterior
from gibbous.progress import progress_bar
from gibbous.report import Table
from gibbous.simulation.run import simulate
from gibbous.simulation.simulations import Simulations
from gibbous.tasks import Task, double_moon

EXAMPLES = {  # three datasets to look at
    "fraction": np.array([0.5, 0.2, 0.85]),
    "log10_noise": np.array([-1.3, -3.0, -2.2]),
    "dilation": np.array([1.0, 2.5, 0.4]),
}


@dataclass(frozen=True)
class Plan:
    """How a method is shown: trained on fresh datasets of `points`, checked on `datasets`.

    draws: from each posterior of the check.
    """

    method: AbstractMethod
    points: int
    options: dict[str, Any]  # of FitConfig
    datasets: int
    draws: int


PLANS = {
    # One line a method: what is trained, how, and on how many fresh datasets it is checked.
    "NPE": Plan(NPE(DeepSet()), 200, {"steps": 10_000, "batch_size": 64}, 2_000, 1_000),
    "NLE": Plan(LIKELIHOOD, 1, {"steps": 40_000, **LIKELIHOOD_CONFIG}, 20, 256),
    "FMPE": Plan(
        FMPE(DeepSet(), FlowMatching(narrow=True, power=5.0)),
        200,
        {"steps": 10_000, "batch_size": 64, "learning_rate": 1e-3},
        1_000,
        500,
    ),
    "CMPE": Plan(
        CMPE(DeepSet(), Consistency(narrow=True, levels=6.0)),
        200,
        {"steps": 10_000, "batch_size": 64},
        1_000,
        500,
    ),
    "NRE": Plan(NRE(DeepSet(), contrasts=63), 200, {"steps": 5_000, "batch_size": 64}, 500, 500),
}


@dataclass(frozen=True)
class DemoConfig:
    """What the demo does.

    Args:
        method: name of a method, in any case, or "all".
        simulations: train on so many fixed datasets; None simulates afresh at every step.
        steps: of training; None takes the demo's own number.
        datasets: fresh ones for the calibration; None takes the demo's own number.
        exact: how many of them get an exact posterior; None means 100, or all if they are fewer.
        seed: of everything.

    Raises:
        ConfigError: on an unknown method, or too few datasets.
    """

    method: str = "npe"
    simulations: int | None = None
    steps: int | None = None
    datasets: int | None = None
    exact: int | None = None
    seed: int = 0

    def __post_init__(self):
        if self.method.upper() == "ALL":
            self.each()
            return
        if self.method.upper() not in PLANS:
            raise ConfigError(f"no method {self.method!r}; there are {', '.join(PLANS)} and all")
        if not 2 <= self.n_exact <= self.n_datasets or self.n_datasets < 10:
            raise ConfigError(
                f"expected at least 10 datasets, and from 2 to all of them with an exact "
                f"posterior, got datasets={self.n_datasets}, exact={self.exact}"
            )

    def each(self) -> dict[str, "DemoConfig"]:
        """The same for every method."""
        return {name: replace(self, method=name) for name in PLANS}

    @property
    def plan(self) -> "Plan":
        """What is done for the method."""
        return PLANS[self.method.upper()]

    @property
    def n_datasets(self) -> int:
        """Number of fresh datasets for the calibration."""
        return self.plan.datasets if self.datasets is None else self.datasets

    @property
    def n_exact(self) -> int:
        """Number of them with an exact posterior."""
        return min(100, self.n_datasets) if self.exact is None else self.exact


class Stopwatch:
    """Seconds by the name of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.compiling: dict[str, float] = {}
        self.clock = CompileClock()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time what is done inside of the `with`."""
        began, compiling = time.perf_counter(), self.clock.seconds
        yield
        self.seconds[step] = time.perf_counter() - began
        self.compiling[step] = self.clock.seconds - compiling


def train(config: DemoConfig) -> Posterior:
    """Fit the method of the plan to the double moon."""
    plan = config.plan
    if config.simulations is None:
        task = double_moon(plan.points)
        data = task.simulator
        options = plan.options | ({"steps": config.steps} if config.steps else {})
    else:
        task = double_moon()
        data = simulate(task.prior, task.simulator, config.simulations, seed=config.seed)
        options: dict[str, Any] = {"steps": config.steps}
    return fit(plan.method, task.prior, data, config=FitConfig(**options), seed=config.seed)


def exact_log_prob(task: Task, sims: Simulations, n: int) -> np.ndarray:
    """Exact log density of the truth for the first n datasets, [n]."""
    assert task.exact is not None
    values = []
    with progress_bar("exact posteriors", n, unit="datasets") as advance:
        for i in range(n):  # each is an adaptive computation of its own, in NumPy
            theta = {name: v[i : i + 1] for name, v in sims.theta.items()}
            values.append(float(task.exact(sims.x[i]).log_prob(theta)[0]))
            advance(i + 1)
    return np.array(values)


def rich(table: Table, title: str) -> RichTable:
    """The table for the terminal."""
    rich = RichTable(*table.head, title=title, title_justify="left")
    for row in table.rows:
        rich.add_row(*row)
    return rich
