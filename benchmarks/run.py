"""Contenders side by side: the same simulations, each in a process of its own, taking turns.

A job is one contender on one problem, method, budget and seed; its line in the file of results
holds everything that is known about it. `table.py` reads them.
"""

import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import gibbous as gb
from benchmarks.c2st import c2st
from benchmarks.environments import PEERS, interpreter
from benchmarks.priors import describe
from benchmarks.references import columns, references

CLASSIFIERS = {  # of references and draws [m, n, d] each
    "sklearn": lambda a, b: np.array([c2st(*pair) for pair in zip(a, b, strict=True)]),
    "jax": lambda a, b: gb.diagnostics.c2st(a, b, seed=1),
}
HELD_OUT, HELD_OUT_SEED = 2_000, 1_000_003  # the latter is added to the seed of the simulations
TOO_LONG = 7_200  # seconds for one job: a sampler that rejects may never end
KEEP = {  # as gb.keep_compilations has it
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
WORKERS = Path(__file__).resolve().parent / "workers"


@dataclass(frozen=True)
class Plan:
    """What to run: every combination of it. `seeds` are the repeats; `again`: once more, with the
    programs that JAX compiled kept from a run before."""

    tasks: list[str]
    methods: list[str]
    budgets: list[int]
    peers: list[str]
    observations: list[int]
    seeds: list[int]
    n_draws: int
    c2st: list[str]
    references: Path | None
    again: bool = False

    def jobs(self) -> list[tuple[str, int, str, int, str]]:
        """Task, budget, method, seed and contender, in the order in which they run."""
        return [
            (task, budget, method, seed, who)
            for task in self.tasks
            for budget in self.budgets
            for method in self.methods
            for seed in self.seeds
            for who in ["gibbous", *self.peers]
            if who == "gibbous" or method in PEERS[who].methods
        ]


def run(plan: Plan, out: Path, finished) -> bool:
    """Run all jobs, each adding a line to `out`; tell `finished(line)`. True if none failed."""
    interpreters = {who: interpreter(who) for who in ["gibbous", *plan.peers]}
    common = stamp()
    failed, known = False, (None, None)
    for task, budget, method, seed, who in plan.jobs():
        if known[0] != (task, budget, seed):
            known = (task, budget, seed), data(plan, gb.tasks.TASKS[task](), budget, seed)
        arrays, reference = known[1]
        job = {"task": task, "method": method, "budget": budget, "seed": seed, "who": who}
        line = {**common, "date": _now(), **job, "observations": plan.observations}
        try:
            answer, draws = work(job, arrays, plan.n_draws, interpreters[who])
            line |= answer | score(answer, draws, reference, plan.c2st)
            if plan.again and answer["compile"] is not None:
                line["again"] = second(job, arrays, plan.n_draws, interpreters[who])
        except RuntimeError as error:
            line["error"], failed = str(error), True
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        finished(line)
    return not failed


def data(plan: Plan, task: gb.tasks.Task, budget: int, seed: int) -> tuple[dict, np.ndarray | None]:
    """What a worker gets, and the reference draws."""
    x, reference = references(task, plan.observations, plan.n_draws, plan.references)
    arrays = {"observations": x}
    for prefix, n, start in (("", budget, seed), ("held_", HELD_OUT, seed + HELD_OUT_SEED)):
        sims = gb.simulate(task.prior, task.simulator, n, seed=start, progress=False)
        theta, x = columns(dict(sims.theta), task.prior.names), np.asarray(sims.x)
        finite = np.isfinite(x).all(axis=1)  # not every library leaves out what failed
        arrays |= {f"{prefix}theta": theta[finite], f"{prefix}x": x[finite]}
    return arrays, reference


def second(job: dict, arrays: dict, n_draws: int, python: Path) -> dict:
    """What takes time in a run that finds the programs of one before it."""
    with tempfile.TemporaryDirectory() as kept:
        work(job, arrays, n_draws, python, kept)
        answer, _ = work(job, arrays, n_draws, python, kept)
    return {k: answer[k] for k in ("import", "train", "compile", "first_draws", "first_many")}


def work(
    job: dict, arrays: dict, n_draws: int, python: Path, kept: str | None = None
) -> tuple[dict, np.ndarray]:
    """The answer of one worker, and its draws [m, n_draws, d]. In the folder `kept` JAX keeps the
    programs that it compiles.

    Raises:
        RuntimeError: if it fails, with its last words.
    """
    prior = describe(gb.tasks.TASKS[job["task"]]().prior)
    # Ours and theirs compile anew: nobody finds what an earlier run has left in a cache.
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if kept is not None:
        env |= KEEP | {"JAX_COMPILATION_CACHE_DIR": kept}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps({**job, "n_draws": n_draws, "prior": prior}))
        np.savez(folder / "data.npz", **arrays)
        script = WORKERS / f"{job['who']}_worker.py"
        command = [python, script, folder]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=folder, env=env, timeout=TOO_LONG
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"stopped after {TOO_LONG} seconds") from error
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["no word"]
            raise RuntimeError(f"exit code {done.returncode}: {words[-1]}")
        answer = json.loads((folder / "out.json").read_text())
        draws = np.load(folder / "out.npz")["draws"]
    if not np.isfinite(draws).all():
        raise RuntimeError(f"{np.mean(~np.isfinite(draws)):.1%} of the draws are not finite")
    return answer, draws


def score(
    answer: dict, draws: np.ndarray, reference: np.ndarray | None, which: list[str]
) -> dict[str, object]:
    """C2ST by observation, the seconds it took, and the smallest ESS where draws are of chains."""
    out: dict[str, object] = {"c2st": {}}
    if answer["chains"] > 1:
        out["ess"] = effective_size(draws[0], answer["chains"])
    if reference is None:
        return out
    scores, seconds = {}, {}
    for name in which:
        began = time.perf_counter()
        scores[name] = CLASSIFIERS[name](reference, draws).tolist()
        seconds[name] = time.perf_counter() - began
    return out | {"c2st": scores, "c2st_seconds": seconds}


def effective_size(draws: np.ndarray, chains: int) -> float:
    """Of draws [n, d], one chain after the other: the smallest over parameters."""
    from arviz_stats.base import array_stats

    length = len(draws) // chains
    values = draws[: chains * length].reshape(chains, length, -1).astype(float)
    return float(np.min(array_stats.ess(values, chain_axis=0, draw_axis=1)))


def stamp() -> dict:
    """When, where and of which version."""
    return {"date": _now(), "run": _now(), "machine": machine(), "commit": commit()}


def machine() -> dict:
    """Processor and the cores that may be used."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return {"cpu": names[0] if names else platform.processor(), "cores": len(usable)}


def commit() -> str | None:
    """Of this library, with "-dirty" if its code was changed since; None where that is not known.

    What a run writes, its results and figures, is no such change.
    """

    def git(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=WORKERS)

    try:
        head, changed = git("describe", "--always"), git("diff", "--quiet", "HEAD", "--", ":/*.py")
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("-dirty" if changed.returncode else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
