"""The source counts of a sky: NPE and NRE on images, their coverage, time and memory.

    taskset -c 0 python -m benchmarks skies

Both are trained on the same stored skies, with the embedding of `examples/source_counts.py`, and
infer the four parameters of S^2 dN/dS, the background marginalised. A line a method: coverage of
the central intervals at 1, 2, 3 sigma over fresh skies, and the mean log density of the truth. The
figure shows the curve that some of the fresh skies give.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

import gibbous as gb
from gibbous.check import Report, check_on, mean_and_error
from gibbous.plots.style import POSTERIOR, REFERENCE, styled
from gibbous.tasks.source_counts import SHAPE, curve

METHODS = {"NPE": gb.NPE, "NRE": gb.NRE}
FLUX = np.geomspace(1.01e-11, 1e-8, 60)  # of the figure, in cm^-2 s^-1
SIGMAS = (1.0, 2.0, 3.0)
DRAWS, SHOWN = 1_000, 3


def measure(
    name: str, sims: gb.Simulations, fresh: gb.Simulations, args
) -> tuple[dict, np.ndarray]:
    """Train and check one method: its line, and draws [SHOWN, DRAWS, 4] for the first skies."""
    method = METHODS[name](embedding=gb.CNN(layers=args.layers, periodic=True))
    config = gb.FitConfig(steps=args.steps, progress=False)
    prior = gb.tasks.source_counts().prior
    began = time.perf_counter()
    posterior = gb.fit(method, prior, sims, parameters=SHAPE, config=config, seed=args.seed)
    trained = time.perf_counter()
    shown = posterior.sample(fresh.x[:SHOWN], DRAWS, seed=1).array
    first = time.perf_counter()
    posterior.sample(fresh.x[0], DRAWS, seed=2)  # compiles
    begin = time.perf_counter()
    posterior.sample(fresh.x[0], DRAWS, seed=3)
    single = time.perf_counter() - begin
    begin = time.perf_counter()
    report = check_on(posterior, fresh, draws=DRAWS, seed=4, progress=False)
    line = {
        "method": name, "budget": len(sims), "steps": posterior.history.steps[-1],
        "layers": args.layers, "seed": args.seed, "train": trained - began,
        "compiling": posterior.history.compile_seconds, "first_draws": first - trained,
        "draws": single, "check": time.perf_counter() - begin, "memory": peak(),
    }  # fmt: skip
    return line | scores(report), shown


def scores(report: Report) -> dict:
    """Coverage [sigma][parameter] with its standard errors, and the log density of the truth."""
    found = [report.coverage.at(k) for k in SIGMAS]
    return {
        "parameters": list(report.labels), "skies": report.coverage.m,
        "nominal": [nominal for nominal, *_ in found],
        "coverage": [central.tolist() for _, central, *_ in found],
        "error": [error for *_, error in found],
        "log_prob": mean_and_error(report.log_prob), "calibrated": report.calibrated,
    }  # fmt: skip


def run(args) -> list[dict]:
    """All methods, one after the other, and the figure."""
    task = gb.tasks.source_counts()
    began = time.perf_counter()
    sims = gb.simulate(task.prior, task.simulator, args.budget, seed=args.seed, progress=False)
    simulating = time.perf_counter() - began
    fresh = gb.simulate(task.prior, task.simulator, args.skies, seed=args.seed + 1, progress=False)
    lines, shown = [], {}
    for name in args.method:
        line, shown[name] = measure(name, sims, fresh, args)
        lines.append({"simulating": simulating} | line)
        print(summary(lines[-1]), flush=True)
    if args.figure:
        draw(fresh, shown, args.figure)
    return lines


def summary(line: dict) -> str:
    """Some lines for people."""
    rows = [
        f"  {k:.0f} sigma, {p:.4f} +- {e:.4f}: " + ", ".join(f"{v:.3f}" for v in c)
        for k, p, e, c in zip(SIGMAS, line["nominal"], line["error"], line["coverage"], strict=True)
    ]
    value, error = line["log_prob"]
    head = (
        f"{line['method']}, {line['budget']:,} skies, {line['steps']:,} steps: train "
        f"{line['train']:.0f} s, {DRAWS:,} draws in {line['draws']:.2f} s (first "
        f"{line['first_draws']:.1f} s), log density {value:.2f} +- {error:.2f}, calibrated "
        f"{line['calibrated']}, {line['memory']:,.0f} MB; coverage of {line['parameters']}"
    )
    return "\n".join([head, *rows])


def peak() -> float:
    """Megabytes that this process has held at most."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@styled
def draw(fresh: gb.Simulations, shown: dict[str, np.ndarray], path: Path) -> None:
    """Maps above, and below the curve of each: bands of the first method, lines of the others."""
    import matplotlib.pyplot as plt

    colours = dict(zip(shown, (POSTERIOR, REFERENCE), strict=False))
    figure, axes = plt.subplots(2, SHOWN, figsize=(3.3 * SHOWN, 6.0), layout="constrained")
    for i, (above, below) in enumerate(axes.T):
        above.imshow(np.arcsinh(fresh.x[i, ..., 0]), cmap="magma", origin="lower")
        above.set(xticks=[], yticks=[], title=f"counts, {fresh.x[i].sum():,.0f} in all")
        truth = curve({name: fresh.theta[name][i] for name in SHAPE}, FLUX)
        for name, draws in shown.items():
            curves = curve(dict(zip(SHAPE, draws[i].T, strict=True)), FLUX)
            if colours[name] == POSTERIOR:
                gb.plots.bands(FLUX, curves, below, truth=truth, labels=("S", "S² dN/dS"))
                continue
            for end, label in zip(
                np.quantile(curves, [0.025, 0.975], axis=0), (name, None), strict=True
            ):
                label = label and f"95% by {label}"
                below.plot(FLUX, end, color=colours[name], lw=1.0, ls=":", label=label)
        below.set(xscale="log", yscale="log", ylim=(truth.max() / 300, truth.max() * 10))
        below.set(xlabel="S in cm⁻² s⁻¹", ylabel="S² dN/dS in cm⁻² s⁻¹ sr⁻¹" if i == 0 else "")
        if legend := below.get_legend():
            legend.remove()
    found = axes[1, 0].get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=len(found[1]))
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
