"""Methods with default settings against reference posteriors: C2ST, and the time that it took.

    python -m benchmarks.reference two_moons --simulations 1000 10000 --references FOLDER
    python -m benchmarks.reference slcp --method NLE --references FOLDER

Posteriors are compared with the sbibm reference draws of observations 1 to 5, those of
linear_gaussian without a folder with its closed form on five draws of the prior predictive. The
C2ST is slow where parameters are many: `--observations` takes fewer of them.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np

import gibbous as gb
from benchmarks.c2st import c2st

FILES = {"linear_gaussian": "gaussian_linear"}  # sbibm's name


def references(task: str, folder: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of an observation and 10,000 reference draws [10_000, d]."""
    if folder is not None:
        data = np.load(folder / f"{FILES.get(task, task)}.npz")
        return list(zip(data["observation"], data["reference_posterior"], strict=True))
    problem = gb.tasks.TASKS[task]()
    if problem.exact is None:
        raise SystemExit(f"{task} needs --references, the folder with {task}.npz")
    x = gb.simulate(problem.prior, problem.simulator, 5, seed=77, progress=False).x
    return [(row, problem.exact(row).sample(10_000, seed=i)["theta"]) for i, row in enumerate(x)]


def run(task: str, n: int, seed: int, pairs: list, steps: int | None, method) -> dict:
    """Fit once; score every observation."""
    problem = gb.tasks.TASKS[task]()
    sims = gb.simulate(problem.prior, problem.simulator, n, seed=seed, progress=False)
    began = time.perf_counter()
    posterior = gb.fit(method, problem.prior, sims, config=gb.FitConfig(progress=False), seed=seed)
    posterior = posterior if steps is None else posterior.with_steps(steps)
    seconds = time.perf_counter() - began
    scores, means, sds, times = [], [], [], []
    for x, reference in pairs:
        began = time.perf_counter()
        draws = posterior.sample(x, len(reference), seed=seed + 1).array
        times.append(time.perf_counter() - began)
        scores.append(c2st(reference, draws))
        sd = reference.std(axis=0)
        means.append(np.abs(draws.mean(axis=0) - reference.mean(axis=0)) / sd)
        sds.append(np.abs(np.cov(draws.T) - np.cov(reference.T)) / np.outer(sd, sd))
    fresh = gb.simulate(problem.prior, problem.simulator, 5_000, seed=seed + 9, progress=False)
    a = posterior.approximation
    normalised = a.direct and a.tractable
    log_prob = float(np.mean(posterior.log_prob(fresh.theta, fresh.x))) if normalised else None
    history = posterior.history
    return {
        "task": task,
        "method": type(method).__name__,
        "simulations": n,
        "seed": seed,
        "c2st": round(float(np.mean(scores)), 4),
        "each": [round(s, 3) for s in scores],
        "mean error / sd": round(float(np.mean(means)), 4),
        "largest": round(float(np.max(means)), 4),
        "covariance error / sd sd": round(float(np.mean(sds)), 4),
        "largest covariance": round(float(np.max(sds)), 4),
        "log_prob": log_prob,
        "seconds to draw": [round(t, 1) for t in times],
        "seconds": round(seconds, 1),
        "compiling": round(history.compile_seconds, 1),
        "steps": history.steps[-1],
        "best step": history.best_step,
        "steps/s": round(history.steps_per_second),
    }


def main() -> None:
    """Print one JSON line a fit."""
    parser = argparse.ArgumentParser(description="Methods against references")
    parser.add_argument("task", choices=sorted(gb.tasks.TASKS))
    parser.add_argument("--method", choices=list(gb.METHODS), default="NPE")
    parser.add_argument("--observations", type=int, default=5)
    parser.add_argument("--simulations", type=int, nargs="+", default=[10_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--references", type=Path)
    parser.add_argument("--steps", type=int, help="of a draw, for FMPE and CMPE")
    parser.add_argument("--estimator", choices=list(gb.ESTIMATORS), default=None)
    args = parser.parse_args()
    options = {} if args.estimator is None else {"estimator": gb.ESTIMATORS[args.estimator]()}
    method = gb.METHODS[args.method](**options)
    pairs = references(args.task, args.references)[: args.observations]
    print(json.dumps({"jax": jax.__version__, "estimator": args.estimator or "default"}))
    for n in args.simulations:
        for seed in args.seeds:
            print(json.dumps(run(args.task, n, seed, pairs, args.steps, method)), flush=True)


if __name__ == "__main__":
    main()
