"""Rounds beside reference posteriors: accuracy by round, and what each round takes.

    python -m benchmarks rounds --task two_moons slcp --budget 1000 10000 --references FOLDER
    python -m benchmarks rounds --task two_moons --method NLE --peer sbi --references FOLDER
    python -m benchmarks rounds --task double_moon --rounds 5 --budget 20000

One line an observation: C2ST and MMD of 10,000 draws to the reference draws after the last round,
C2ST by round (of 2,048 draws before the last, if they are of chains), seconds and compilations.
The double moon, whose observations are fresh, adds the log density of the true parameters by
round, beside that of the exact posterior. With `--peer sbi` there is another line, of its TSNPE
(TNPE) or SNLE (NLE) on the same problem: C2ST and MMD after the last round.
"""

import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import gibbous as gb
from benchmarks.environments import interpreter
from benchmarks.priors import describe
from benchmarks.references import columns, references
from benchmarks.run import WORKERS
from gibbous.compilation import CompileClock
from gibbous.simulation.run import simulate_at

# The lowest sequential C2ST at 1,000 and 10,000 simulations in 10 rounds, over all methods
# (Lueckmann et al. 2021, arXiv 2101.04653).
PUBLISHED: dict[str, dict[int, float]] = {
    task: dict(zip((1_000, 10_000), figures, strict=True))
    for task, figures in {
        "two_moons": (0.607, 0.518),
        "slcp": (0.921, 0.713),
        "gaussian_linear": (0.628, 0.536),
        "bernoulli_glm": (0.634, 0.553),
        "sir": (0.575, 0.507),
    }.items()
}
METHODS = {
    "TNPE": gb.Truncated(gb.NPE()),
    "TNLE": gb.Truncated(gb.NLE()),
    "TNRE": gb.Truncated(gb.NRE()),
    "ANPE": gb.Atomic(gb.NPE()),
    "NLE": gb.NLE(),
    "NRE": gb.NRE(),
}
DRAWS, MANY = 10_000, 2_000  # MMD is of fewer: its matrices are of their square


@dataclass(frozen=True)
class Case:
    """One observation of a task, and how it is approached."""

    task: str
    method: str
    budget: int
    rounds: int
    observation: int
    seed: int = 0

    @property
    def of_sets(self) -> bool:
        """Datasets are sets of points."""
        return self.task == "double_moon"

    def build(self) -> gb.method.AbstractMethod:
        """The method, with an embedding where data are sets."""
        method = METHODS[self.method]
        if not self.of_sets:
            return method
        return replace(method, method=replace(method.method, embedding=gb.DeepSet()))


@functools.cache
def _task(name: str) -> gb.tasks.Task:
    """Made once, so that its observations share programs."""
    return gb.tasks.TASKS[name]()


def measure(case: Case, folder: Path | None, peers: Sequence[str] = ()) -> Iterator[dict]:
    """Run the rounds, and score them; one after the other with those of peers."""
    task = _task(case.task)
    truth, x, reference = problem(case, task, folder)
    for who in ["gibbous", *peers]:
        about = {
            "who": who, "task": case.task, "method": case.method, "budget": case.budget,
            "rounds": case.rounds, "observation": case.observation, "seed": case.seed,
        }  # fmt: skip
        result, draws = (ours if who == "gibbous" else sbi)(case, task, x, truth)
        # Of rounds before the last there may be fewer: those of chains take a while.
        scores = [float(gb.diagnostics.c2st(reference[: len(d)], d, seed=1)) for d in draws]
        mmd = float(gb.diagnostics.mmd(reference[:MANY], draws[-1][:MANY]))
        yield about | {"c2st": scores, "compared": [len(d) for d in draws], "mmd": mmd} | result


def ours(
    case: Case, task: gb.tasks.Task, x: np.ndarray, truth: dict | None
) -> tuple[dict, list[np.ndarray]]:
    """What the rounds took, and draws [n, d] of each."""
    clock, began = CompileClock(), time.perf_counter()
    run = gb.fit_rounds(
        case.build(),
        task.prior,
        task.simulator,
        x,
        rounds=case.rounds,
        per_round=case.budget // case.rounds,
        config=gb.RoundsConfig(same=None, progress=False),
        seed=case.seed,
    )
    result = {
        "seconds": time.perf_counter() - began,
        "compiling": clock.seconds,
        "compilations": clock.count,
        "trained_on": [p.history.n_train for p in run.posteriors],
        "training": [p.history.seconds - p.history.compile_seconds for p in run.posteriors],
    }
    if truth is not None:
        result["log_prob"] = [float(p.log_prob(truth, x)) for p in run.posteriors]
        result["exact_log_prob"] = float(task.exact(x).log_prob(truth))
    draws = [d.array[:DRAWS] for d in run.draws[:-1]]
    return result, [*draws, run.posterior.sample(x, DRAWS, seed=1).array]


def sbi(
    case: Case, task: gb.tasks.Task, x: np.ndarray, _: dict | None
) -> tuple[dict, list[np.ndarray]]:
    """The same of sbi, whose draws are of the last round; its simulations are made here.

    Raises:
        RuntimeError: if it fails, with its last words.
    """
    python, script = interpreter("sbi").absolute(), WORKERS / "sbi_rounds.py"
    per_round = case.budget // case.rounds
    job = {
        "method": case.method, "seed": case.seed, "rounds": case.rounds, "per_round": per_round,
        "n_draws": DRAWS, "prior": describe(task.prior),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name, (Path(name) / "words").open("w+") as words:
        folder, pipe = Path(name), subprocess.PIPE
        (folder / "job.json").write_text(json.dumps(job))
        np.save(folder / "observation.npy", x)
        command = [python, script, folder]
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=words, text=True, cwd=folder
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            for r, _line in enumerate(worker.stdout):
                theta = task.prior.split(np.load(folder / "theta.npy"))
                made = simulate_at(
                    {k: np.asarray(v) for k, v in theta.items()}, task.simulator,
                    seed=case.seed + r, progress=False,
                )  # fmt: skip
                np.save(folder / "x.npy", made.x)
                worker.stdin.write("x\n")
                worker.stdin.flush()
        if worker.returncode:
            words.seek(0)
            raise RuntimeError(f"sbi failed: {words.read().strip().splitlines()[-1:]}")
        return json.loads((folder / "out.json").read_text()), [np.load(folder / "draws.npy")]


def problem(case: Case, task: gb.tasks.Task, folder: Path | None):
    """True parameters if they are known, an observation, and draws of its posterior [DRAWS, d]."""
    if not case.of_sets:
        x, reference = references(task, [case.observation], DRAWS, folder)
        return None, x[0], reference[0]
    fresh = gb.simulate(task.prior, task.simulator, case.observation, seed=78, progress=False)
    truth = {name: v[-1:] for name, v in fresh.theta.items()}
    exact = task.exact(fresh.x[-1]).sample(DRAWS, seed=case.observation)
    return {k: v[0] for k, v in truth.items()}, fresh.x[-1], columns(exact, task.prior.names)


def cases(args) -> Iterator[Case]:
    """All that the command line asks for; if it names no method, that for vectors or for sets."""
    for task in args.task:
        for budget in args.budget:
            for method in args.method or ["TNPE" if task == "double_moon" else "NLE"]:
                for observation in args.observations:
                    yield Case(task, method, budget, args.rounds, observation, args.seed)


def summary(line: dict) -> str:
    """One line for people."""
    text = (
        f"{line['task']} {line['method']} {line['budget']} observation {line['observation']}, "
        f"{line['who']}: C2ST {' '.join(f'{v:.3f}' for v in line['c2st'])}, MMD {line['mmd']:.4f}, "
        f"{line['seconds']:.0f} s"
    )
    if "compiling" in line:
        text += f", {line['compiling']:.0f} of them compiling"
    if "log_prob" in line:
        by_round = " ".join(f"{v:.2f}" for v in line["log_prob"])
        text += f", log density {by_round} (exact {line['exact_log_prob']:.2f})"
    return text
