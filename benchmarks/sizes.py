"""Sets of any size: one amortised fit beside one for each size, and beside the exact posterior.

    taskset -c 0 python -m benchmarks sizes --problem double_moon
    taskset -c 0 python -m benchmarks sizes --problem gaussian --peer sbi

double_moon: stored sets of 1,000 points, of which `gb.Subsets(5)` leaves 5 to 1,000. For each of
four sizes another fit is made to the same sets cut to that size, and both are asked for the log
density of the truth of the same fresh sets; coverage of the amortised fit is told in four bins.

gaussian: mean ~ N(0, 2^2), log scale ~ N(0, .7^2), sets of 1 to 100 points, log uniform, of which 0
to 70% are missing. log p - log q at the truth, p the exact posterior: its mean over fresh sets is
the Kullback-Leibler divergence from q to p. With --peer, the same for sbi's NPE on the same sets,
padded by NaN, behind its permutation-invariant embedding.
"""

import json
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy.special import logsumexp
from scipy.stats import norm

import gibbous as gb
from benchmarks.environments import interpreter
from gibbous.check import check_on, mean_and_error
from gibbous.missing import AbstractMissing
from gibbous.plots.style import series, styled
from gibbous.simulation.sources import observed_part

MOONS = (5, 1_000)
EDGES = (5, 19, 71, 267, 1_001)  # four bins of the double moon's sizes, alike in the logarithm
MEAN_SD, LOG_SCALE_SD, MOST = 2.0, 0.7, 100
OBSERVED = (1, 2, 5, 15, 40, 101)  # edges of bins of the number of points that are left
MISSING = gb.Missing(0.0, 0.7)
CONFIG = gb.FitConfig(progress=False)


# --- double moon ----------------------------------------------------------------------------------


def double_moon(args) -> dict:
    """One line: log densities by size, of the amortised fit and of those for a size alone."""
    task = gb.tasks.double_moon(MOONS[1])
    sims = gb.simulate(task.prior, task.simulator, args.budget, seed=args.seed, progress=False)
    fresh = gb.simulate(task.prior, task.simulator, args.sets, seed=args.seed + 1, progress=False)
    method = gb.NPE(gb.DeepSet())
    began = time.perf_counter()
    posterior = gb.fit(
        method, task.prior, sims, missing=gb.Subsets(MOONS[0]), config=CONFIG, seed=args.seed
    )
    line = {
        "budget": args.budget, "train": time.perf_counter() - began,
        "compiling": posterior.history.compile_seconds,
        "compilations": posterior.history.compilations, "alone": [],
    }  # fmt: skip
    for low, high in pairwise(EDGES):
        n = round((low * (high - 1)) ** 0.5)
        began = time.perf_counter()
        alone = gb.fit(method, task.prior, cut(sims, n), config=CONFIG, seed=args.seed)
        seconds = time.perf_counter() - began
        some = cut(fresh, n)
        value = [p.log_prob(some.theta, some.x) for p in (posterior, alone)]
        line["alone"].append({
            "n": n, "train": seconds, "amortised": mean_and_error(value[0]),
            "log_prob": mean_and_error(value[1]),
            "difference": mean_and_error(value[0] - value[1]),
        })  # fmt: skip
        print(json.dumps(line["alone"][-1]), flush=True)
    part = observed_part(jax.random.key(args.seed), fresh, posterior.missing)
    report = check_on(posterior, part, draws=1_000, seed=1, progress=False)
    print("\n".join(report.findings()))
    line |= {"parameters": list(report.labels), "calibrated": report.calibrated}
    line["bins"] = [
        {
            "low": b.low, "high": b.high, "sets": b.coverage.m,
            "coverage": [b.coverage.at(k)[1].tolist() for k in (1.0, 2.0)],
            "error": [b.coverage.at(k)[3] for k in (1.0, 2.0)],
        }
        for b in report.by_size
    ]  # fmt: skip
    return line


def cut(sims: gb.Simulations, n: int) -> gb.Simulations:
    """The first n points of every set."""
    return gb.Simulations(sims.theta, sims.x[:, :n])


# --- Gaussian -------------------------------------------------------------------------------------


PRIOR = gb.Prior(mean=dist.Normal(0.0, MEAN_SD), log_scale=dist.Normal(0.0, LOG_SCALE_SD))


@gb.simulator
def gaussian_set(key, theta):
    """1 to 100 points, log uniform."""
    key_n, key_x = jax.random.split(key)
    n = jnp.floor(jnp.exp(jax.random.uniform(key_n) * jnp.log(MOST + 1.0)))
    x = theta["mean"] + jnp.exp(theta["log_scale"]) * jax.random.normal(key_x, (MOST, 1))
    return x, jnp.arange(MOST) < n


def exact_log_prob(theta: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """log p(mean, log scale | x) for each row of x [m, n], NaN where nothing was observed.

    Given the scale s, the mean is normal and x ~ N(0, s^2 I + v 1 1^T); what is left is an integral
    over log s, by the trapezoidal rule.
    """
    there = np.isfinite(x)
    k = there.sum(axis=1)[:, None]
    mean = np.where(there, x, 0).sum(axis=1, keepdims=True) / k
    squares = np.where(there, (x - mean) ** 2, 0).sum(axis=1, keepdims=True)
    v = MEAN_SD**2

    def log_joint(log_s: np.ndarray) -> np.ndarray:  # log p(log s, x), up to a constant
        s2 = np.exp(2 * log_s)
        of_mean = -0.5 * np.log(s2 + k * v) - 0.5 * k * mean**2 / (s2 + k * v)
        of_rest = -(k - 1) * log_s - squares / (2 * s2)
        return norm.logpdf(log_s, scale=LOG_SCALE_SD) + of_mean + of_rest

    grid = np.linspace(-6, 6, 4_001)[None]
    log_z = logsumexp(log_joint(grid), axis=1) + np.log(grid[0, 1] - grid[0, 0])
    m, log_s = (np.asarray(theta[name], np.float64)[:, None] for name in ("mean", "log_scale"))
    s2 = np.exp(2 * log_s)
    given = norm.logpdf(m, k * mean / (k + s2 / v), np.sqrt(s2 / (k + s2 / v)))
    return (log_joint(log_s) + given)[:, 0] - log_z


def gaussian(args) -> dict:
    """One line: the divergence by the number of observed points, of ours and of the peer."""
    sims = gb.simulate(PRIOR, gaussian_set, args.budget, seed=args.seed, progress=False)
    fresh = gb.simulate(PRIOR, gaussian_set, args.sets, seed=args.seed + 1, progress=False)
    fresh = observed_part(jax.random.key(args.seed), fresh, MISSING)
    exact = exact_log_prob(dict(fresh.theta), fresh.x[..., 0])
    left = np.isfinite(fresh.x[..., 0]).sum(axis=1)
    line = {"budget": args.budget, "sets": len(fresh), "contenders": []}
    for who in ["DeepSet", "SetTransformer", *args.peer]:
        found, value = (sbi if who == "sbi" else ours)(who, args, sims, fresh)
        gap = exact - value
        bins = [(left >= low) & (left < high) for low, high in pairwise(OBSERVED)]
        found["divergence"] = [mean_and_error(gap[b]) for b in bins]
        line["contenders"].append({"who": who} | found)
        print(json.dumps(line["contenders"][-1]), flush=True)
    return line


def ours(who: str, args, sims: gb.Simulations, fresh: gb.Simulations) -> tuple[dict, np.ndarray]:
    """NPE behind one of our embeddings: what is missing is drawn anew at every step."""
    began = time.perf_counter()
    method = gb.NPE(gb.EMBEDDINGS[who]())
    missing: AbstractMissing = MISSING
    posterior = gb.fit(method, PRIOR, sims, missing=missing, config=CONFIG, seed=args.seed)
    history = posterior.history
    found = {
        "train": time.perf_counter() - began, "compiling": history.compile_seconds,
        "compilations": history.compilations,
    }  # fmt: skip
    return found, posterior.log_prob(fresh.theta, fresh.x)


def sbi(_: str, args, sims: gb.Simulations, fresh: gb.Simulations) -> tuple[dict, np.ndarray]:
    """sbi's NPE, of which points are missing once and for all, as its data are fixed."""
    part = observed_part(jax.random.key(args.seed + 2), sims, MISSING)
    script = Path(__file__).resolve().parent / "workers" / "sbi_sets.py"
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.npz", Path(folder) / "out.npz"
        np.savez(
            data, theta=columns(part), x=part.x, held_theta=columns(fresh), held_x=fresh.x,
            sd=[MEAN_SD, LOG_SCALE_SD],
        )  # fmt: skip
        python = interpreter("sbi").absolute()
        subprocess.run([python, script, data, out], cwd=folder, check=True, capture_output=True)
        result = np.load(out)
        return {"train": float(result["seconds"])}, result["log_prob"]


def columns(sims: gb.Simulations) -> np.ndarray:
    """Parameters side by side."""
    return np.stack([sims.theta[name] for name in PRIOR.names], axis=1)


PROBLEMS = {"double_moon": double_moon, "gaussian": gaussian}


# --- the figure -----------------------------------------------------------------------------------


@styled
def draw(lines: list[dict], path: Path) -> None:
    """The last line of each problem: log density by size, and divergence by observed points."""
    import matplotlib.pyplot as plt

    last = {line["problem"]: line for line in lines}
    size = (4.6 * len(last), 3.6)
    figure, axes = plt.subplots(1, len(last), figsize=size, squeeze=False, layout="constrained")
    for ax, (problem, line) in zip(axes[0], last.items(), strict=True):
        if problem == "double_moon":
            x = [found["n"] for found in line["alone"]]
            curves = {
                "one fit to all sizes": [found["amortised"] for found in line["alone"]],
                "a fit to each size": [found["log_prob"] for found in line["alone"]],
            }
            ax.set(xlabel="points of a set", ylabel="log density of the truth, nats")
        else:
            x = [np.sqrt(low * (high - 1)) for low, high in pairwise(OBSERVED)]
            curves = {found["who"]: found["divergence"] for found in line["contenders"]}
            ax.set(xlabel="points observed", ylabel="divergence from the exact posterior, nats")
            ax.axhline(0, color="0.6", lw=0.8)
        for i, (label, found) in enumerate(curves.items()):
            mean, error = np.transpose(found)
            ax.errorbar(x, mean, error, label=label, marker="o", capsize=2, **series(i))
        ax.set(xscale="log", title=problem.replace("_", " "))
        ax.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
