"""NLE beside sbi's on the same simulations of two_moons: seconds to train and draw, ESS per second.

    python -m benchmarks.beside_sbi --python PEER_ENVIRONMENT/bin/python --references FOLDER

The peer's environment has sbi 0.27 and torch 2.13.0. Both run with default settings, one after the
other, `--repeats` times. Ours is in a process of its own too, so that it compiles anew.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def ours(data: Path, out: Path, n: int) -> None:
    """Train, sample twice (the second time nothing is compiled), and write draws and seconds."""
    began = time.perf_counter()
    import gibbous as gb

    imported = time.perf_counter() - began
    d = np.load(data)
    task = gb.tasks.two_moons()
    sims = gb.Simulations({"theta": d["theta"]}, d["x"])
    began = time.perf_counter()
    config = gb.FitConfig(progress=False)
    posterior = gb.fit(gb.NLE(), task.prior, sims, config=config, seed=0)
    train, seconds = time.perf_counter() - began, []
    for seed in (0, 1):
        began = time.perf_counter()
        draws = posterior.sample(d["observation"], n, seed=seed)
        seconds.append(time.perf_counter() - began)
    ordered = draws["theta"].reshape(-1, draws.chains, 2).swapaxes(0, 1).reshape(-1, 2)
    np.savez(
        out, draws=ordered, chains=draws.chains, imported=imported, train=train,
        sample=seconds[0], again=seconds[1], compile=posterior.history.compile_seconds,
    )  # fmt: skip


def summary(name: str, file: Path, reference: np.ndarray) -> dict:
    """Seconds, effective sample sizes and C2ST."""
    from arviz_stats.base import array_stats

    from benchmarks.c2st import c2st

    r = np.load(file)
    chains = r["draws"].reshape(int(r["chains"]), -1, r["draws"].shape[1]).astype(float)
    ess = float(np.min(array_stats.ess(chains, chain_axis=0, draw_axis=1)))
    keys = ("imported", "train", "compile", "sample", "again")
    line = {"who": name, **{k: round(float(r[k]), 2) for k in keys if k in r.files}}
    last = float(r["again"] if "again" in r.files else r["sample"])
    line |= {"ess": round(ess), "ess/s": round(ess / last, 1)}
    return line | {"c2st": round(float(c2st(reference, r["draws"])), 3)}


def main() -> None:
    """Print one JSON line a run."""
    parser = argparse.ArgumentParser(description="NLE beside sbi's")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ours", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        ours(*args.ours, args.draws)
        return
    import gibbous as gb

    task = gb.tasks.two_moons()
    peer = Path(__file__).resolve().parent / "peers" / "sbi_nle.py"
    known = np.load(args.references / "two_moons.npz")
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.npz", Path(folder) / "out.npz"
        for i in range(args.repeats):
            sims = gb.simulate(task.prior, task.simulator, args.simulations, seed=i, progress=False)
            np.savez(
                data, theta=sims.theta["theta"], x=sims.x, low=-np.ones(2), high=np.ones(2),
                observation=known["observation"][i],
            )  # fmt: skip
            here = [sys.executable, "-m", "benchmarks.beside_sbi", "--draws", str(args.draws)]
            commands = {  # and where they run: sbi leaves a folder of logs behind
                "gibbous": ([*here, "--ours", data, out], Path.cwd()),
                "sbi": ([args.python.absolute(), peer, data, out, str(args.draws)], folder),
            }
            for name, (command, where) in commands.items():
                subprocess.run(command, check=True, capture_output=True, cwd=where)
                print(json.dumps(summary(name, out, known["reference_posterior"][i])), flush=True)


if __name__ == "__main__":
    main()
