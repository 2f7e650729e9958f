"""Seconds for 1,000 draws by NPE, FMPE and CMPE, beside sbi's FMPE: two_moons, 10,000 simulations.

    python -m benchmarks.draw_times --peer sbi --references FOLDER

Everything is trained with default settings on the same simulations; then all draw in turn,
`--repeats` times, the peer from a process of its own that waits while the others draw. Our first
draws, which compile, are told apart. Without --peer, ours alone.
"""

import argparse
import json
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import gibbous as gb
from benchmarks.c2st import c2st
from benchmarks.environments import interpreter

OURS = {  # method, and steps where they are not the default's
    "NPE": ("NPE", ()),
    "FMPE, 16 steps": ("FMPE", (16,)),
    "FMPE, adaptive": ("FMPE", (None,)),
    "CMPE, 2 steps": ("CMPE", (2,)),
    "CMPE, 4 steps": ("CMPE", (4,)),
    "CMPE, 10 steps": ("CMPE", (10,)),
}


class Peer:
    """sbi's FMPE in a process of its own."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.training = self._answer("trained")

    def draw(self, n: int, seed: int) -> float:
        """Seconds that n draws took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{n} {seed}\n")
        self.process.stdin.flush()
        return self._answer("drawn")

    def _answer(self, what: str) -> float:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # sbi prints its own progress as well
            if line.strip().split()[:1] == [what]:
                return float(line.split()[-1])
        raise SystemExit(
            "the peer's process ended; run workers/sbi_fmpe_waiting.py by hand to see why"
        )


@contextmanager
def peer(python: Path, sims: gb.Simulations, x: np.ndarray):
    """A trained peer, and the file that its last draws will be in."""
    script = Path(__file__).resolve().parent / "workers" / "sbi_fmpe_waiting.py"
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.npz", Path(folder) / "out.npz"
        theta = sims.theta["theta"]
        np.savez(data, theta=theta, x=sims.x, low=-np.ones(2), high=np.ones(2), observation=x)
        process = subprocess.Popen(
            [python.absolute(), script, data, out], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Peer(process), out
        finally:
            process.kill()


def main() -> None:
    """Print one JSON line for each way to draw."""
    parser = argparse.ArgumentParser(description="Seconds for 1,000 draws")
    parser.add_argument("--peer", choices=["sbi"])
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()
    task = gb.tasks.two_moons()
    known = np.load(args.references / "two_moons.npz")
    x, reference = known["observation"][0], known["reference_posterior"][0]
    sims = gb.simulate(task.prior, task.simulator, args.simulations, seed=0, progress=False)
    config = gb.FitConfig(progress=False)
    fitted = {
        name: gb.fit(gb.METHODS[name](), task.prior, sims, config=config, seed=0)
        for name in ("NPE", "FMPE", "CMPE")
    }
    posteriors, lines = {}, {}
    for name, (method, steps) in OURS.items():
        posterior = posteriors[name] = fitted[method]
        for k in steps:
            posteriors[name] = posterior.with_steps(k)
        history = posterior.history
        lines[name] = {
            "train": round(history.seconds, 1), "compiling": round(history.compile_seconds, 1)
        }  # fmt: skip
        began = time.perf_counter()
        posteriors[name].sample(x, args.draws, seed=0)
        lines[name]["first draws"] = round(time.perf_counter() - began, 2)

    def draw(name: str, seed: int) -> float:
        began = time.perf_counter()
        posteriors[name].sample(x, args.draws, seed=seed)
        return time.perf_counter() - began

    def report(seconds: dict[str, list[float]]) -> None:
        for name, values in seconds.items():
            low, median, high = np.percentile(values, [25, 50, 75])
            lines[name] |= {
                "ms": round(1e3 * median, 2), "quartiles": [round(1e3 * v, 2) for v in (low, high)]
            }  # fmt: skip
            if name in posteriors:
                draws = posteriors[name].sample(x, len(reference), seed=1)
                lines[name]["c2st"] = round(c2st(reference, draws.array), 3)
            print(json.dumps({"who": name, **lines[name]}), flush=True)

    if args.peer is None:
        report({n: [draw(n, i) for i in range(args.repeats)] for n in posteriors})
        return
    with peer(interpreter(args.peer), sims, x) as (sbi, out):
        lines["sbi FMPE"] = {"train": round(sbi.training, 1)}
        seconds: dict[str, list[float]] = {name: [] for name in (*posteriors, "sbi FMPE")}
        for i in range(args.repeats):
            for name in posteriors:
                seconds[name].append(draw(name, i))
            seconds["sbi FMPE"].append(sbi.draw(args.draws, i))
        sbi.draw(len(reference), 1)
        assert sbi.process.stdin is not None
        sbi.process.stdin.close()
        sbi.process.wait(timeout=60)
        lines["sbi FMPE"]["c2st"] = round(c2st(reference, np.load(out)["draws"]), 3)
        report(seconds)


if __name__ == "__main__":
    main()
