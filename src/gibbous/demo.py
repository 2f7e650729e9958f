"""The double-moon problem, end to end: train, look at three posteriors, calibrate, compare.

A point of a dataset lies on one of two half circles; 200 points tell which fraction lies on which,
the noise around them, and the stretch of the vertical. The exact posterior is known
(`gibbous.tasks.double_moon`), so the demo can say how close the learnt one comes.
"""

from pathlib import Path

import numpy as np
from rich.console import Group

from gibbous import plots
from gibbous.check import Report, check_on, close_figures, mean_and_error
from gibbous.demo_likelihood import moons_section, sizes_section
from gibbous.demo_plan import EXAMPLES, DemoConfig, Stopwatch, exact_log_prob, rich, train
from gibbous.posteriors.posterior import Posterior
from gibbous.report import Section, Table, write_page
from gibbous.results import keep_figure, predict
from gibbous.simulation.run import simulate, simulate_at
from gibbous.tasks import Task, double_moon

_MOON_STEPS = 10_000


def run_demo(config: DemoConfig, folder: Path) -> Group:
    """Run the demo; results go to `folder`; returns the closing tables for the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    task, watch = double_moon(), Stopwatch()
    with watch("train"):
        posterior = train(config)
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
        exact = exact_log_prob(task, fresh, config.n_exact)
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
        rich(times, "Time"),
        rich(sharpness, "Mean log density of the true parameters, in nats"),
        rich(report.table(), "Coverage of central intervals"),
        f"\ncalibrated: {'yes' if report.calibrated else 'NO'}   results in {folder}/index.html",
    )


def _examples(config: DemoConfig, task: Task, posterior: Posterior, folder: Path) -> list[Section]:
    """Data, learnt and exact posterior, and predictive data, for three datasets."""
    sims = simulate_at(EXAMPLES, task.simulator, seed=config.seed, progress=False)
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


def _times(watch: Stopwatch, posterior: Posterior) -> Table:
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
