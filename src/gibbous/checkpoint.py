"""What a fit leaves on disk while it runs, so that a kill costs seconds and not the run.

A checkpoint holds the state of training, the history so far, and a fingerprint of everything that
decides the result; a run goes on only from a checkpoint with its own fingerprint.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gibbous import tensors
from gibbous._types import Key
from gibbous.compilation import CompileClock
from gibbous.errors import TrainingError


class Log(NamedTuple):
    """The history so far; it travels in the checkpoint."""

    steps: Sequence[int] = ()
    loss: Sequence[float] = ()
    val_loss: Sequence[float] = ()
    seconds: float = 0.0
    compile_seconds: float = 0.0
    compilations: int = 0
    busy: float = 0.0  # seconds spent in steps, compilation apart

    def add(self, step: int, loss: float, val_loss: float, busy: float) -> "Log":
        """One more check."""
        return self._replace(
            steps=[*self.steps, step],
            loss=[*self.loss, loss],
            val_loss=[*self.val_loss, val_loss],
            busy=self.busy + busy,
        )


class Clock(NamedTuple):
    """Adds the time of this process to what a log held when the process began."""

    began: float
    compiles: CompileClock

    def stop(self, log: Log, before: Log) -> Log:
        """The log with all times up to now."""
        return log._replace(
            seconds=before.seconds + time.perf_counter() - self.began,
            compile_seconds=before.compile_seconds + self.compiles.seconds,
            compilations=before.compilations + self.compiles.count,
        )


def fingerprint(*parts: Any, key: Key) -> str:
    """A digest of what decides a run: values by their text, arrays by their shapes."""
    text = "".join(str(part) for part in parts) + str(np.asarray(jax.random.key_data(key)))
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: Path, state: Any, log: Log, mark: str) -> None:
    """Write a checkpoint, in one step."""
    header = {"kind": "checkpoint", "fingerprint": mark, "log": log._asdict()}
    tensors.write(path, tensors.flatten(state), header)


def resume(path: Path, like: Any, mark: str) -> tuple[Any, Log]:
    """Read a checkpoint into a state like `like`.

    Raises:
        TrainingError: if it belongs to another run.
        ArtefactError: if it is damaged.
    """
    arrays, header = tensors.read(path, "checkpoint")
    if header["fingerprint"] != mark:
        raise TrainingError(
            f"the checkpoint {path} belongs to another run (other data, method, seed or "
            "FitConfig); remove it, or choose another file"
        )
    return tensors.restore(like, arrays), Log(**header["log"])
