"""The command line: parse, call, exit code.

Exit codes: 0 done; 2 a mistake of the user's, told in one message; 130 interrupted.
"""

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

import gibbous as gb
from gibbous.demo import run_demo
from gibbous.demo_compare import run_comparison
from gibbous.demo_plan import DemoConfig
from gibbous.errors import ConfigError, GibbousError, GibbousWarning, OutputExistsError
from gibbous.problem import load_problem
from gibbous.results import write_results

app = typer.Typer(
    help="Simulation-based inference: a simulator and a prior go in, a posterior comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)

ProblemArg = Annotated[
    Path, typer.Argument(help="Python file that defines `prior`, `simulator`, maybe `observed`.")
]
PosteriorArg = Annotated[Path, typer.Argument(help="File that `gibbous fit` wrote.")]
ObservedOption = Annotated[
    Path | None, typer.Option(help="The measurement (.npy or text), if not the problem's.")
]
ParametersOption = Annotated[
    str | None, typer.Option(help="Comma-separated names to infer; the rest is marginalised.")
]
SeedOption = Annotated[int, typer.Option(help="Same seed, same machine, same result.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def _friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Mistakes of the user's are told in one message; programming errors keep their traceback."""

    @wraps(command)
    def wrapped(*args, **kwargs) -> None:
        gb.keep_compilations()
        warnings.showwarning = _show_warning
        try:
            command(*args, **kwargs)
        except GibbousError as error:
            err.print(f"[bold red]error:[/] {_plain(error)}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt as interrupt:
            err.print(f"[bold]{_plain(interrupt) or 'interrupted'}[/]")
            raise typer.Exit(130) from None

    return wrapped


def _plain(error: object) -> str:
    return str(error).replace("[", r"\[")


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, GibbousWarning):
        err.print(f"[yellow]warning:[/] {_plain(message)}")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


@app.command()
@_friendly
def demo(
    method: Annotated[str, typer.Option(help=f"One of {', '.join(gb.METHODS)}, or all.")] = "npe",
    simulations: Annotated[
        int | None,
        typer.Option(help="Train on that many fixed datasets instead of fresh ones every step."),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path(
        "gibbous-demo"
    ),
    seed: SeedOption = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    datasets: Annotated[
        int | None,
        typer.Option(help="Fresh datasets for the calibration (default 2,000 to 20, by method)."),
    ] = None,
    exact: Annotated[
        int | None, typer.Option(help="Of those, how many get an exact posterior (default 100).")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Solve the double-moon problem end to end, and show how good the answer is."""
    _new(folder, overwrite)
    config = DemoConfig(method, simulations, steps, datasets, exact, seed)
    run = run_comparison if config.method.upper() == "ALL" else run_demo
    out.print(run(config, folder))


@app.command()
@_friendly
def simulate(
    problem: ProblemArg,
    n: Annotated[int, typer.Option("-n", help="Number of simulations.")] = 10_000,
    file: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("sims.gibbous"),
    seed: SeedOption = 0,
    workers: Annotated[int | None, typer.Option(help="Processes, for Python simulators.")] = None,
) -> None:
    """Simulate from the prior and keep the rows in a file."""
    _new(file, overwrite=False)
    p = load_problem(problem)
    sims = gb.simulate(p.prior, p.simulator, n, seed=seed, workers=workers)
    sims.save(file)
    out.print(f"{len(sims):,} simulations ({sims.n_failed} failed) in {file}")


@app.command()
@_friendly
def fit(
    problem: ProblemArg,
    n: Annotated[
        int | None,
        typer.Option("-n", "--simulations", help="Simulate that many first (default 10,000)."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Simulations that `gibbous simulate` wrote.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Simulate afresh at every step (JAX simulators).")
    ] = False,
    file: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("posterior.gibbous"),
    parameters: ParametersOption = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn the posterior of a problem. After Ctrl-C, the same command goes on."""
    if sum((n is not None, data is not None, fresh)) > 1:
        raise ConfigError("choose one of --simulations, --data and --fresh")
    _new(file, overwrite)
    p = load_problem(problem)
    if fresh:
        source = p.simulator
    elif data is not None:
        source = gb.Simulations.load(data)
    else:
        source = gb.simulate(p.prior, p.simulator, n or 10_000, seed=seed)
    config = gb.FitConfig(steps=steps, checkpoint=file.with_name(file.name + ".checkpoint"))
    posterior = gb.fit(
        p.method or gb.NPE(), p.prior, source, parameters=_names(parameters), missing=p.missing,
        config=config, seed=seed,
    )  # fmt: skip
    posterior.save(file, overwrite=overwrite)
    h = posterior.history
    out.print(
        f"{posterior!r} in {file}\n{h.steps[-1]:,} steps in {h.seconds:.1f} s "
        f"({h.compile_seconds:.1f} s of them compiling), validation loss {h.best_val_loss:.3f}"
    )


@app.command()
@_friendly
def rounds(
    problem: ProblemArg,
    n: Annotated[int, typer.Option("-n", help="Number of simulations, all rounds together.")],
    number: Annotated[int, typer.Option("--rounds", help="Number of rounds.")] = 5,
    observed: ObservedOption = None,
    file: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("posterior.gibbous"),
    parameters: ParametersOption = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn the posterior of the measurement alone, simulating where it is.

    By gb.NLE(), unless the problem has a `method` that is fit for it, such as
    gb.Truncated(gb.NPE()). What is made is kept in a folder beside the file: after Ctrl-C, the same
    command goes on.
    """
    _new(file, overwrite)
    if not 0 < number <= n:
        raise ConfigError(f"expected at least one simulation a round, got {n} for {number} rounds")
    p = load_problem(problem)
    folder = file.with_name(file.name + ".rounds")
    run = gb.fit_rounds(
        p.method or gb.NLE(), p.prior, p.simulator, p.observation(observed), rounds=number,
        per_round=n // number, parameters=_names(parameters),
        config=gb.RoundsConfig(folder=folder), seed=seed,
    )  # fmt: skip
    run.posterior.save(file, overwrite=overwrite)
    run.plot()[0].figure.savefig(folder / "rounds.png")
    changes = ", ".join(f"{c:.2f}" for c in run.changes)
    out.print(
        f"{run.posterior!r} in {file}, for this measurement and no other\n{len(run.posteriors)} "
        f"rounds, {len(run.simulations):,} simulations, ended: {run.stopped}\nC2ST of each "
        f"round's posterior to the one before (0.5: the same): {changes or 'one round only'}\n"
        f"simulations, posteriors and rounds.png in {folder}"
    )


@app.command()
@_friendly
def sample(
    problem: ProblemArg,
    posterior: PosteriorArg = Path("posterior.gibbous"),
    n: Annotated[int, typer.Option("-n", help="Number of draws.")] = 4_000,
    observed: ObservedOption = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for draws and figures.")] = Path(
        "draws"
    ),
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw from the posterior of the measurement: a table, the draws, and figures."""
    _new(folder, overwrite)
    p = load_problem(problem)
    x = p.observation(observed)
    fitted = gb.load(posterior, prior=p.prior, method=p.method)
    draws = fitted.sample(x, n, seed=seed)
    files = write_results(folder, fitted, draws, x, p.simulator, seed=seed)
    out.print(draws.summary().to_string(float_format=lambda v: f"{v:.4g}"))
    out.print(f"{', '.join(f.name for f in files)} in {folder}")


@app.command()
@_friendly
def check(
    problem: ProblemArg,
    posterior: PosteriorArg = Path("posterior.gibbous"),
    n: Annotated[int, typer.Option("-n", help="Number of fresh datasets.")] = 2_000,
    file: Annotated[Path, typer.Option("--out", help="Page to write.")] = Path("report.html"),
    seed: SeedOption = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Test a posterior on fresh simulations: calibration, coverage, sharpness."""
    _new(file, overwrite)
    p = load_problem(problem)
    fitted = gb.load(posterior, prior=p.prior, method=p.method)
    report = gb.check(fitted, p.simulator, n=n, seed=seed)
    report.save(file, overwrite=overwrite)
    for sentence in report.findings():
        out.print(sentence)
    out.print(f"page in {file}")


def _names(parameters: str | None) -> tuple[str, ...] | None:
    return None if parameters is None else tuple(parameters.split(","))


def _new(path: Path, overwrite: bool) -> None:
    """Ask before long work, not after it."""
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; choose another --out, or pass --overwrite")


def main() -> None:
    """Entry point of the `gibbous` command."""
    np.set_printoptions(precision=4)
    app()
