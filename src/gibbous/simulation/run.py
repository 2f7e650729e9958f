"""Run a simulator on draws from the prior: in jitted chunks (JAX) or a pool of processes (Python).

Row i takes its randomness from the seed and i alone, so neither the size of a chunk nor the number
of workers changes the result.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import joblib
import numpy as np

from gibbous._types import Key, Seed, as_key
from gibbous.compilation import jit
from gibbous.errors import ConfigError, ShapeError, SimulationError, SimulationWarning
from gibbous.prior import Prior
from gibbous.progress import progress_bar
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator, simulator_of

# Datasets of some rows; None where the simulator raised.
Rows: TypeAlias = np.ndarray | list[np.ndarray | None]

_CHUNK_BYTES = 2**27  # of output at a time
_FIRST = 64  # rows tried before a simulator that always fails is given up
_POOL_START_SECONDS = 3.0


def simulate(
    prior: Prior,
    simulator: Simulator,
    n: int,
    *,
    seed: Seed,
    workers: int | None = None,
    progress: bool = True,
) -> Simulations:
    """Draw `n` parameters from the prior and simulate a dataset for each.

    Rows that raise, or hold NaN or inf, are kept as NaN, counted and reported in a warning.

    Args:
        prior: where the parameters come from.
        simulator: marked by `gb.simulator`.
        n: number of rows.
        seed: an int or a JAX key.
        workers: processes for a Python simulator. Default: one a core, or none where the whole work
            takes less time than to start them. Without effect on JAX simulators.
        progress: show a bar.

    Raises:
        SimulationError: if every row fails.
        ConfigError: if n or workers is not positive.
        ShapeError: if a JAX simulator returns neither an array nor a set and its mask.
    """
    if n < 1 or (workers is not None and workers < 1):
        raise ConfigError(f"expected at least one row and one worker, got {n=}, {workers=}")
    key_theta, key_x = jax.random.split(as_key(seed))
    return simulate_at(
        prior.sample(key_theta, n), simulator, seed=key_x, workers=workers, progress=progress
    )


def simulate_at(
    theta: Mapping[str, Any],
    simulator: Simulator,
    *,
    seed: Seed,
    workers: int | None = None,
    progress: bool = True,
    start: int = 0,
    done: Callable[[list[Rows]], None] | None = None,
) -> Simulations:
    """Simulate a dataset for each row of `theta`, a dict of arrays [N, *shape]; else `simulate`.

    Row i takes its randomness from the seed and `start` + i, so that a run that was cut short can
    go on; `done` is given all rows so far whenever a chunk of them is finished.
    """
    simulator, key = simulator_of(simulator), as_key(seed)
    n = len(next(iter(theta.values())))
    if simulator.backend == "jax":
        chunks = _jax_chunks(simulator, key, theta, n, start)
    else:
        chunks = _python_chunks(simulator, key, theta, n, start, workers)
    parts: list[Rows] = []
    first_error: str | None = None
    finished = failed = 0
    with progress_bar("simulating", n, unit="datasets", show=progress) as advance:
        for rows, error in chunks:
            parts.append(rows)
            first_error = first_error or error
            finished += len(rows)
            failed += sum(x is None or not np.isfinite(x).all() for x in rows)
            if failed == finished and (finished >= _FIRST or finished == n):
                raise SimulationError(
                    f"each of the first {finished} simulations failed; the first said: "
                    f"{first_error or 'it returned NaN or inf'}"
                )
            if done is not None and failed < finished:
                done(parts)
            advance(finished, f"{failed} failed" if failed else "")
    x, first_error = stack(parts, first_error)
    sims = Simulations({k: np.asarray(v) for k, v in theta.items()}, x, first_error)
    if sims.n_failed:
        warnings.warn(
            f"{sims.n_failed} of {n} simulations failed and are left out of training; the first "
            f"said: {first_error or 'it returned NaN or inf'}",
            SimulationWarning,
            stacklevel=3,
        )
    return sims


def check_jax(simulator: Simulator, theta: Mapping[str, Any]) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one dataset of a JAX simulator, from one row of `theta`, unsimulated.

    Raises:
        ShapeError: if it returns neither an array with at least one axis, nor a set and its mask.
        SimulationError: if it cannot be traced.
    """
    try:
        out = jax.eval_shape(simulator.function, jax.random.key(0), dict(theta))
    except Exception as error:
        raise SimulationError(
            f"the simulator cannot be traced by JAX: {type(error).__name__}: {error}\n"
            'Plain NumPy code is for @gb.simulator(backend="numpy").'
        ) from error
    if isinstance(out, tuple):
        shapes = [getattr(part, "shape", None) for part in out]
        if len(shapes) != 2 or None in shapes or [len(s) for s in shapes] != [2, 1]:  # pyright: ignore[reportArgumentType]
            raise ShapeError(f"expected a set [n, d] and its mask [n], got a tuple of {shapes}")
        if shapes[0][0] != shapes[1][0]:  # pyright: ignore[reportOptionalSubscript]
            raise ShapeError(f"expected a mask [n] as long as its set [n, d], got {shapes}")
        return out[0]
    if not hasattr(out, "shape") or len(out.shape) == 0:
        raise ShapeError(
            f"expected the simulator to return one array with at least one axis, got {out}"
        )
    return out


# --- JAX ------------------------------------------------------------------------------------------


def _jax_chunks(
    simulator: Simulator, key: Key, theta: Mapping[str, Any], n: int, first: int
) -> Iterator[tuple[Rows, str | None]]:
    out = check_jax(simulator, {k: v[0] for k, v in theta.items()})
    bytes_each = max(1, int(np.prod(out.shape)) * 4)
    # Powers of two: few shapes, so few compilations.
    size = 1 << max(0, min(_CHUNK_BYTES // bytes_each, 1024, n) - 1).bit_length()
    for start in range(0, n, size):
        index = jnp.arange(start, start + size)
        rows = {k: jnp.asarray(v)[jnp.minimum(index, n - 1)] for k, v in theta.items()}
        x, mask = jax.tree.map(np.asarray, run_jax(simulator, key, first + index, rows))
        x = x[: n - start]
        yield (
            x if mask is None else [s[: int(m.sum())] for s, m in zip(x, mask, strict=False)],
            None,
        )


@jit
def run_jax(
    simulator: Simulator, key: Key, index: Any, theta: dict[str, Any]
) -> tuple[jax.Array, jax.Array | None]:
    """Datasets for a batch of theta, and their masks; row i uses the key folded with index[i]."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
    return jax.vmap(simulator.dataset)(keys, theta)


# --- Python ---------------------------------------------------------------------------------------


def _python_chunks(
    simulator: Simulator,
    key: Key,
    theta: Mapping[str, Any],
    n: int,
    first_row: int,
    workers: int | None,
) -> Iterator[tuple[Rows, str | None]]:
    entropy = [int(i) for i in np.asarray(jax.random.key_data(key))]
    rows = {k: np.asarray(v) for k, v in theta.items()}

    def job(start: int, stop: int) -> tuple[Any, ...]:
        return (
            simulator.function,
            entropy,
            first_row + start,
            {k: v[start:stop] for k, v in rows.items()},
        )

    began = time.perf_counter()
    first = min(_FIRST, n) if workers is None or workers == 1 else 0
    if first:
        yield _run_rows(*job(0, first))
    left = (time.perf_counter() - began) * (n - first) / max(first, 1)
    if workers is None:  # work that is done sooner than a pool has started stays here
        workers = 1 if left < _POOL_START_SECONDS and first else joblib.cpu_count()
    size = max(1, min(_FIRST, n // 100))  # about a hundred updates of the bar
    starts = range(first, n, size)
    # joblib's workers take closures and functions of __main__, and need no `if __name__` guard.
    pool = joblib.Parallel(n_jobs=workers, return_as="generator")
    results: Any = pool(joblib.delayed(_run_rows)(*job(start, start + size)) for start in starts)
    yield from results


def _run_rows(
    function: Callable[[Any, Any], Any], entropy: list[int], start: int, theta: dict[str, Any]
) -> tuple[Rows, str | None]:
    outputs: list[np.ndarray | None] = []
    first_error = None
    for i in range(len(next(iter(theta.values())))):
        rng = np.random.default_rng([*entropy, start + i])
        try:
            x = np.asarray(function(rng, {k: v[i] for k, v in theta.items()}), np.float32)
            if x.ndim == 0:
                raise ShapeError("a dataset needs at least one axis, got a scalar")
            outputs.append(x)
        except Exception as error:
            outputs.append(None)
            first_error = first_error or f"row {start + i}: {type(error).__name__}: {error}"
    return outputs, first_error


def stack(
    parts: list[Rows], first_error: str | None
) -> tuple[np.ndarray | list[np.ndarray], str | None]:
    """All rows in one array, or a list of sets where their sizes differ; a row that raised, or
    differs from the first in more than the number of points, is NaN."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts), first_error  # pyright: ignore[reportCallIssue,reportArgumentType]
    rows = [x for part in parts for x in part]
    shape = next(x.shape for x in rows if x is not None)
    free = len(shape) == 2  # the number of points
    failed = np.full(shape, np.nan, np.float32)
    whole = []
    for i, row in enumerate(rows):
        fits = row is not None and row.shape[free:] == shape[free:] and row.ndim == len(shape)
        whole.append(row if fits else failed)
        if row is not None and not fits and first_error is None:
            first_error = f"row {i} has shape {row.shape}, the first had {shape}"
    same = all(row.shape == shape for row in whole)
    return (np.stack(whole) if same else whole), first_error
