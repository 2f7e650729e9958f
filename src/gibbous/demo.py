"""The double-moon problem, end to end: train, look at three posteriors, calibrate, compare.

A point of a dataset lies on one of two half circles; 200 points tell which fraction lies on which,
the noise around them, and the stretch of the vertical. The exact posterior is known
(`gibbous.tasks.double_moon`), so the demo can say how close the learnt one comes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table as RichTable

from gibbous import plots
from gibbous.check import Report, check_on, close_figures, mean_and_error
from gibbous.compilation import CompileClock
from gibbous.demo_likelihood import LIKELIHOOD, LIKELIHOOD_CONFIG, moons_section, sizes_section
from gibbous.errors import ConfigError
from gibbous.fit import fit
from gibbous.method import AbstractMethod
from gibbous.methods import CMPE, FMPE, METHODS, NPE, NRE
from gibbous.nets import DeepSet
from gibbous.posteriors.posterior import Posterior
from gibbous.progress import progress_bar
from gibbous.report import Section, Table, write_page
from gibbous.results import keep_figure, predict
from gibbous.simulation.run import simulate, simulate_at
from gibbous.simulation.simulations import Simulations
from gibbous.tasks import Task, double_moon
from gibbous.training import FitConfig

_EXAMPLES = {  # three datasets to look at
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


_PLANS = {
    # One line a method: what is trained, how, and on how many fresh datasets it is checked.
    "NPE": Plan(NPE(DeepSet()), 200, {"steps": 10_000, "batch_size": 64}, 2_000, 1_000),
    "NLE": Plan(LIKELIHOOD, 1, {"steps": 40_000, **LIKELIHOOD_CONFIG}, 20, 256),
    "FMPE": Plan(FMPE(DeepSet()), 200, {"steps": 10_000, "batch_size": 64}, 2_000, 1_000),
    "CMPE": Plan(CMPE(DeepSet()), 200, {"steps": 10_000, "batch_size": 64}, 2_000, 1_000),
    "NRE": Plan(NRE(DeepSet(), contrasts=63), 200, {"steps": 5_000, "batch_size": 64}, 500, 500),
}
_MOON_STEPS = 10_000


@dataclass(frozen=True)
class DemoConfig:
    """What the demo does.

    Args:
        method: name of a method, in any case.
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
        if self.method.upper() not in METHODS:
            raise ConfigError(f"no method {self.method!r}; there are {', '.join(METHODS)}")
        if not 2 <= self.n_exact <= self.n_datasets or self.n_datasets < 10:
            raise ConfigError(
                f"expected at least 10 datasets, and from 2 to all of them with an exact "
                f"posterior, got datasets={self.n_datasets}, exact={self.exact}"
            )

    @property
    def plan(self) -> "Plan":
        """What is done for the method."""
        return _PLANS[self.method.upper()]

    @property
    def n_datasets(self) -> int:
        """Number of fresh datasets for the calibration."""
        return self.plan.datasets if self.datasets is None else self.datasets

    @property
    def n_exact(self) -> int:
        """Number of them with an exact posterior."""
        return min(100, self.n_datasets) if self.exact is None else self.exact


class _Stopwatch:
    """Seconds by the name of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.compiling: dict[str, float] = {}
        self.clock = CompileClock()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        began, compiling = time.perf_counter(), self.clock.seconds
        yield
        self.seconds[step] = time.perf_counter() - began
        self.compiling[step] = self.clock.seconds - compiling


def run_demo(config: DemoConfig, folder: Path) -> Group:
    """Run the demo; results go to `folder`; returns the closing tables for the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    task, watch = double_moon(), _Stopwatch()
    with watch("train"):
        posterior = _train(config)
        posterior.save(folder / "posterior.gibbous", overwrite=True)
    with watch("three posteriors"):
        sections = _examples(config, task, posterior, folder)
    if posterior.approximation.iid:
        with watch("datasets of other sizes"):
            sections.append(sizes_section(posterior, folder, config.seed))
        with watch("which moon"):
            sections.append(moons_section((config.steps or _MOON_STEPS), config.seed))
    with watch(f"check on {config.n_datasets:,} datasets"):
        n = config.n_datasets
        fresh = simulate(task.prior, task.simulator, n, seed=config.seed + 1, progress=False)
        report = check_on(posterior, fresh, draws=config.plan.draws, seed=config.seed + 1)
    with watch(f"exact posterior of {config.n_exact} datasets"):
        exact = _exact_log_prob(task, fresh, config.n_exact)
    sharpness = _sharpness(report, exact)
    with watch("figures and page"):
        sections = [
            Section("How sharp", _sharp_text(config), (), sharpness),
            *sections,
            *report.sections(),
        ]
        write_page(
            folder / "index.html",
            "The double-moon problem",
            sections,
            subtitle="A posterior learnt from simulations alone, beside the exact one",
        )
        close_figures(sections)
    times = _times(watch, posterior)
    return Group(
        _rich(times, "Time"),
        _rich(sharpness, "Mean log density of the true parameters, in nats"),
        _rich(report.table(), "Coverage of central intervals"),
        f"\ncalibrated: {'yes' if report.calibrated else 'NO'}   results in {folder}/index.html",
    )


def _train(config: DemoConfig) -> Posterior:
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


def _examples(config: DemoConfig, task: Task, posterior: Posterior, folder: Path) -> list[Section]:
    """Data, learnt and exact posterior, and predictive data, for three datasets."""
    sims = simulate_at(_EXAMPLES, task.simulator, seed=config.seed, progress=False)
    realisations = plots.datasets(sims.theta, sims.x)
    figures = [("Three datasets of 200 points.", keep_figure(realisations, folder / "data.png"))]
    for i in range(len(sims)):
        x, truth = sims.x[i], {name: v[i] for name, v in sims.theta.items()}
        draws = posterior.sample(x, 2 * config.plan.draws, seed=config.seed)
        assert task.exact is not None
        reference = task.exact(x).sample(4_000, seed=config.seed)
        corner = plots.corner(draws, truth=truth, reference=reference, legend=("learnt", "exact"))
        figures.append((
            f"Dataset {i + 1}: the learnt posterior (filled: 68 and 95%), the exact one (lines), "
            "and the true parameters.",
            keep_figure(corner, folder / f"posterior-{i + 1}.png"),
        ))  # fmt: skip
        overlay = plots.predictive(x, predict(draws, task.simulator, seed=config.seed)[:20])
        figures.append((
            f"Dataset {i + 1}: data simulated from the learnt posterior behind the observed.",
            keep_figure(overlay, folder / f"predictive-{i + 1}.png"),
        ))  # fmt: skip
    return [Section("Three posteriors", "", figures)]


def _exact_log_prob(task: Task, sims: Simulations, n: int) -> np.ndarray:
    """Exact log density of the truth for the first n datasets, [n]."""
    assert task.exact is not None
    values = []
    with progress_bar("exact posteriors", n, unit="datasets") as advance:
        for i in range(n):  # each is an adaptive computation of its own, in NumPy
            theta = {name: v[i : i + 1] for name, v in sims.theta.items()}
            values.append(float(task.exact(sims.x[i]).log_prob(theta)[0]))
            advance(i + 1)
    return np.array(values)


def _sharpness(report: Report, exact: np.ndarray) -> Table:
    n = len(exact)
    assert report.prior_log_prob is not None  # the demo infers all parameters
    rows = [["prior", report.prior_log_prob], [f"exact, first {n}", exact]]
    if report.log_prob is not None:
        rows[1:1] = [["learnt", report.log_prob], [f"learnt, first {n}", report.log_prob[:n]]]
        rows.append([f"exact - learnt, first {n}", exact - report.log_prob[:n]])
    table = [
        [name, *(f"{v:.2f}" for v in mean_and_error(values)), str(len(values))]
        for name, values in rows
    ]
    return Table(["posterior", "nats", "standard error", "datasets"], table)


def _times(watch: _Stopwatch, posterior: Posterior) -> Table:
    rows = [
        [step, f"{seconds:.1f}", f"{watch.compiling[step]:.1f}"]
        for step, seconds in watch.seconds.items()
    ]
    total = [sum(watch.seconds.values()), sum(watch.compiling.values())]
    rows.append(["all", *(f"{t:.1f}" for t in total)])
    h = posterior.history
    rows.append([f"{h.steps[-1]:,} steps, {h.steps_per_second:,.0f} a second", "", ""])
    rows.append([f"{watch.clock.count} compilations, {total[1] / total[0]:.0%} of time", "", ""])
    return Table(["step", "seconds", "of them compiling"], rows)


def _sharp_text(config: DemoConfig) -> str:
    data = (
        "fresh simulations at every step"
        if config.simulations is None
        else f"{config.simulations:,} simulations"
    )
    return (
        f"Trained on {data}. The mean log density of the true parameters over fresh datasets: no "
        "posterior can do better on average than the exact one."
    )


def _rich(table: Table, title: str) -> RichTable:
    rich = RichTable(*table.head, title=title, title_justify="left")
    for row in table.rows:
        rich.add_row(*row)
    return rich
