"""What all workers share: the job they are given, one way to time it, and their answer.

A worker runs in the environment of its library as `python WORKER.py JOB_FOLDER`, and needs nothing
but NumPy besides. The folder holds job.json (task, method, seed, n_draws, prior) and data.npz:
theta [N, d], x [N, k], observations [m, k], held_theta [M, d] and held_x [M, k]. The answer is
out.npz (draws [m, n_draws, d]) and out.json. Seconds are wall time:

    import                       of the library, with JAX or PyTorch
    train                        the whole call, `compile` seconds of it (null: it never compiles)
    first_draws, draws           n_draws for one observation, first and again (median of three)
    first_many, many_draws       1,000 draws for each of 100 observations, first and again
"""

import json
import resource
import statistics
import sys
import time
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path

import numpy as np

QUICK, SLOW, LONG = 5.0, 30.0, 60.0  # seconds: a call is timed thrice, once less, not at all
MANY, PER_OBSERVATION = 100, 1_000
# What JAX calls the seconds that it spends on compilation.
STAGES = tuple(
    f"/jax/core/compile/{name}_duration"
    for name in ("jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile")
)


class Contender(ABC):
    """A library with default settings. Importing it is what `__init__` does."""

    packages: tuple[str, ...]
    chains = 1  # that the draws come from, one after the other; 1 if they are independent
    batched = True  # whether many observations take one call
    compile_seconds: float | None = None

    @abstractmethod
    def train(self, job: dict, theta: np.ndarray, x: np.ndarray) -> None:
        """Fit the method that the job names."""

    @abstractmethod
    def draw(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws [n, d] for one observation [k]."""

    @abstractmethod
    def draw_many(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws [m, n, d] for observations [m, k]."""

    @abstractmethod
    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray | None:
        """Normalised log densities [M] of rows paired; None if the method has no such thing."""


def run(library: type[Contender]) -> None:
    """Do the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    data = dict(np.load(folder / "data.npz"))
    n, seed, observations = job["n_draws"], job["seed"], data["observations"]
    imported, contender = _timed(library)
    trained, _ = _timed(contender.train, job, data["theta"], data["x"])
    first, _ = _timed(contender.draw, observations[0], n, seed)
    again, draws = _repeated(contender.draw, observations[0], n, seed + 1)
    rest = [contender.draw(x, n, seed + 2 + i) for i, x in enumerate(observations[1:])]
    np.savez(folder / "out.npz", draws=np.stack([draws, *rest]).astype(np.float32))
    log_prob = contender.log_prob(data["held_theta"], data["held_x"])
    first_many = many = None
    # Draws of one observation tell what those of many would take, warm-up and all if in a loop.
    expected = again * MANY * (PER_OBSERVATION / n if contender.batched else 1)
    if expected <= LONG:
        args = data["held_x"][:MANY], PER_OBSERVATION, seed
        first_many, _ = _timed(contender.draw_many, *args)
        many, _ = _repeated(contender.draw_many, *args) if first_many < SLOW else (first_many, None)
    answer = {
        "import": imported, "train": trained, "compile": contender.compile_seconds,
        "first_draws": first, "draws": again, "first_many": first_many, "many_draws": many,
        "log_prob": None if log_prob is None else float(np.mean(log_prob)),
        "chains": contender.chains, "memory": _peak_memory(),
        "versions": {p: version(p) for p in contender.packages},
    }  # fmt: skip
    (folder / "out.json").write_text(json.dumps(answer))


def _timed(function, *args) -> tuple[float, object]:
    began = time.perf_counter()
    value = function(*args)
    return time.perf_counter() - began, value


def _repeated(function, *args) -> tuple[float, object]:
    seconds, value = _timed(function, *args)
    more = [_timed(function, *args)[0] for _ in range(2 if seconds < QUICK else 0)]
    return statistics.median([seconds, *more]), value


def _peak_memory() -> float:
    """Megabytes. On Linux ru_maxrss would count the process that started this one as well."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(v for v in status.read_text().splitlines() if v.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
