"""All methods on the double moon, side by side, and beside the exact posterior."""

import time
from pathlib import Path

import numpy as np
from rich.console import Group

from gibbous import plots
from gibbous.check import Report, check_on, close_figures, mean_and_error
from gibbous.demo_plan import EXAMPLES, DemoConfig, Stopwatch, exact_log_prob, rich, train
from gibbous.posteriors.posterior import Posterior
from gibbous.report import Section, Table, write_page
from gibbous.results import keep_figure
from gibbous.simulation.run import simulate, simulate_at
from gibbous.simulation.simulations import Simulations
from gibbous.tasks import Task, double_moon

_DRAWS = 1_000


def run_comparison(config: DemoConfig, folder: Path) -> Group:
    """Train and check every method; results go to `folder`; returns the tables for the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    task, plans = double_moon(), config.each()
    examples = simulate_at(EXAMPLES, task.simulator, seed=config.seed, progress=False)
    largest = max(one.n_datasets for one in plans.values())
    fresh = simulate(task.prior, task.simulator, largest, seed=config.seed + 1, progress=False)
    exact = exact_log_prob(task, fresh, max(one.n_exact for one in plans.values()))
    draws: dict[str, list[np.ndarray]] = {}
    reports: dict[str, Report] = {}
    cost = []
    for name, one in plans.items():
        watch = Stopwatch()
        with watch("train"):
            posterior = train(one)
        posterior.save(folder / f"{name.lower()}.gibbous", overwrite=True)
        draws[name], drawing = _draw(posterior, examples, config.seed)
        some = fresh.rows(np.arange(one.n_datasets))
        reports[name] = check_on(posterior, some, draws=one.plan.draws, seed=config.seed + 1)
        seconds = [watch.seconds["train"], watch.compiling["train"], *drawing[:2]]
        cost.append([name, *(f"{s:.3g}" for s in seconds)])
    head = ["method", "seconds to train", "of them compiling", f"for the first {_DRAWS:,} draws"]
    times = Table([*head, "for the next"], cost)
    sharp, covered = _sharpness(reports, exact), _coverage(reports)
    coverages = []
    for name, report in reports.items():
        axes = plots.coverage(report.coverage, report.labels)
        figure = keep_figure(axes, folder / f"coverage-{name.lower()}.png")
        coverages.append((f"{name}: {report.coverage.m:,} datasets.", figure))
    sections = [
        Section("How sharp", "Mean log density of the true parameters, in nats.", (), sharp),
        Section("How honest", "Share of truths in the central interval of 1 sigma.", (), covered),
        Section("How fast", "One observation of 200 points at a time.", (), times),
        Section("Three posteriors", "", _figures(task, examples, draws, config.seed, folder)),
        Section("Coverage", "", coverages),
    ]  # fmt: skip
    write_page(
        folder / "index.html",
        "The double-moon problem by all methods",
        sections,
        subtitle="Posteriors learnt from simulations alone, beside the exact one",
    )
    close_figures(sections)
    tables = {"Sharpness, in nats": sharp, "Coverage at 1 sigma": covered, "Time": times}
    told = [rich(table, title) for title, table in tables.items()]
    return Group(*told, f"\nresults in {folder}/index.html")


def _draw(
    posterior: Posterior, examples: Simulations, seed: int
) -> tuple[list[np.ndarray], list[float]]:
    """Draws of each example, and the seconds they took; the first time programs are compiled."""
    draws, seconds = [], []
    for x in examples.x:
        began = time.perf_counter()
        draws.append(posterior.sample(x, _DRAWS, seed=seed).array)
        seconds.append(time.perf_counter() - began)
    return draws, seconds


def _sharpness(reports: dict[str, Report], exact: np.ndarray) -> Table:
    rows = []
    for name, report in reports.items():
        if report.log_prob is None:
            rows.append([name, "no density", "", "", str(report.coverage.m)])
            continue
        n = min(len(exact), len(report.log_prob))
        gap = exact[:n] - report.log_prob[:n]
        cells = [_with_error(v) for v in (report.log_prob, exact[:n], gap)]
        rows.append([name, *cells, str(report.coverage.m)])
    return Table(["method", "learnt", "exact", "exact - learnt, paired", "datasets"], rows)


def _with_error(values: np.ndarray) -> str:
    mean, error = mean_and_error(values)
    return f"{mean:.2f} ± {error:.2f}"


def _coverage(reports: dict[str, Report]) -> Table:
    first = next(iter(reports.values()))
    rows = []
    for name, report in reports.items():
        nominal, found, _, error = report.coverage.at(1.0)
        cells = [f"{share:.3f}" for share in found]
        verdict = "yes" if report.calibrated else "no"
        rows.append([name, *cells, f"{nominal:.3f} ± {error:.3f}", verdict])
    return Table(["method", *first.labels, "nominal", "calibrated"], rows)


def _figures(
    task: Task, examples: Simulations, draws: dict[str, list[np.ndarray]], seed: int, folder: Path
) -> list:
    figures, names = [], list(task.prior.names)
    assert task.exact is not None
    for i, x in enumerate(examples.x):
        exact = task.exact(x).sample(4_000, seed=seed)
        axes = plots.marginals(
            {name: each[i] for name, each in draws.items()},
            names,
            reference=np.stack([exact[name] for name in names], axis=1),
            truth=np.array([examples.theta[name][i] for name in names]),
        )
        caption = f"Dataset {i + 1}: the learnt posteriors (lines), the exact one, the truth."
        figures.append((caption, keep_figure(axes, folder / f"posteriors-{i + 1}.png")))
    return figures
