"""The choices behind the defaults: held-out log density of estimators and of embeddings.

    python -m benchmarks.choices estimators --simulations 1000 10000
    python -m benchmarks.choices embeddings --steps 3000

`estimators` fits two_moons with each estimator and 1 or 4 members; `embeddings` fits the double
moon on fresh simulations with each pooling. Prints one JSON line a fit: mean log density of the
true parameters over fresh datasets (nats), its standard error, and seconds.
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np

import gibbous as gb

POOLS = [("mean", 0), ("mean+std", 0), ("mean+max", 0), ("mean+std+max+min", 0), ("attention", 0),
         ("mean+std", 2), ("mean+std", 4)]  # fmt: skip


def estimators(simulations: list[int]) -> Iterator[tuple[str, gb.NPE, gb.tasks.Task, int | None]]:
    """Names, methods and numbers of simulations for two_moons."""
    recipes = {
        "AutoregressiveSpline": gb.AutoregressiveSpline(),
        "CouplingSpline": gb.CouplingSpline(),
        "RealNVP": gb.RealNVP(),
        "MDN": gb.MDN(),
    }
    for n in simulations:
        for name, recipe in recipes.items():
            for members in (1, 4):
                method = gb.NPE(estimator=recipe, members=members)
                yield f"{name} x {members}, {n}", method, gb.tasks.two_moons(), n
        method = gb.NPE(embedding=gb.MLP(), members=1)
        yield f"AutoregressiveSpline x 1 behind gb.MLP(), {n}", method, gb.tasks.two_moons(), n


def embeddings() -> Iterator[tuple[str, gb.NPE, gb.tasks.Task, int | None]]:
    """Names and methods for the double moon on fresh simulations."""
    for pool, degree in POOLS:
        method = gb.NPE(embedding=gb.DeepSet(pool=pool, degree=degree))
        yield f"{pool}, degree {degree}", method, gb.tasks.double_moon(), None


def main() -> None:
    """Print one JSON line a fit."""
    parser = argparse.ArgumentParser(description="Estimators and embeddings side by side")
    parser.add_argument("what", choices=["estimators", "embeddings"])
    parser.add_argument("--simulations", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "estimators":
        cases, config = estimators(args.simulations), gb.FitConfig(progress=False)
    else:
        config = gb.FitConfig(steps=args.steps, batch_size=64, progress=False)
        cases = embeddings()
    for name, method, task, n in cases:
        data = task.simulator
        if n is not None:
            data = gb.simulate(task.prior, task.simulator, n, seed=args.seed, progress=False)
        posterior = gb.fit(method, task.prior, data, config=config, seed=args.seed)
        fresh = gb.simulate(task.prior, task.simulator, 2_000, seed=99, progress=False)
        log_prob = np.asarray(posterior.log_prob(fresh.theta, fresh.x))
        history = posterior.history
        line = {
            "case": name,
            "log_prob": round(float(log_prob.mean()), 3),
            "error": round(float(log_prob.std() / np.sqrt(len(log_prob))), 3),
            "seconds": round(history.seconds - history.compile_seconds, 1),
            "compiling": round(history.compile_seconds, 1),
            "steps/s": round(history.steps_per_second),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
