"""Observations of a task, with draws from their true posteriors where those can be had."""

from pathlib import Path

import numpy as np

import gibbous as gb


def references(
    task: gb.tasks.Task, numbers: list[int], n: int, folder: Path | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Observations [m, k], and reference draws [m, n, d] or None.

    From TASK.npz in `folder` if it is there (its keys: observation [5, k] and reference_posterior
    [5, 10_000, d]); otherwise observations are fresh, and references in closed form where known.

    Args:
        task: the problem.
        numbers: which observations, counted from one.
        n: reference draws for each.
        folder: of the files, or None.

    Raises:
        SystemExit: if the file has fewer observations or draws.
    """
    file = folder / f"{task.name}.npz" if folder else None
    if file is not None and file.exists():
        data = np.load(file)
        x, draws = data["observation"], data["reference_posterior"]
        if not (min(numbers) >= 1 and max(numbers) <= len(x) and n <= draws.shape[1]):
            raise SystemExit(f"{file} has {len(x)} observations and {draws.shape[1]} draws of each")
        rows = np.array(numbers) - 1
        return x[rows], draws[rows, :n]
    x = gb.simulate(task.prior, task.simulator, max(numbers), seed=77, progress=False).x
    x = np.asarray(x)[np.array(numbers) - 1]
    if task.exact is None:
        return x, None
    exact = [task.exact(row).sample(n, seed=i) for i, row in zip(numbers, x, strict=True)]
    return x, np.stack([columns(draws, task.prior.names) for draws in exact])


def columns(theta: dict, names: tuple[str, ...]) -> np.ndarray:
    """Named parameters side by side: [n, d]."""
    parts = [np.asarray(theta[name]) for name in names]
    return np.concatenate([v.reshape(len(v), -1) for v in parts], axis=1)
