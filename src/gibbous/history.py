"""What happened during a fit: loss curves, speed, and why it stopped."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class History:
    """A record of one fit; everything in it is plain JSON.

    Attributes:
        steps: step numbers at which the losses below were taken; the first is 0.
        loss: training loss, averaged since the entry before; at step 0, when no row has been
            trained on, it is that of the validation rows.
        val_loss: loss of the averaged weights on the validation rows; of an ensemble that is fitted
            member by member the mean.
        best_step: the step whose weights were kept; of such members the median.
        best_val_loss: validation loss of the weights that were kept.
        seconds: wall time of the whole fit, all resumed parts together.
        compile_seconds: how much of that went into tracing and compiling.
        compilations: how many programs were compiled.
        steps_per_second: of the training loop, compilation apart.
        stopped: "finished", or "early" when the validation loss no longer fell.
        n_train, n_validation: rows used for each; n_train is None for fresh simulations.
        batch_size: rows a step.
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_step: int
    best_val_loss: float
    seconds: float
    compile_seconds: float
    compilations: int
    steps_per_second: float
    stopped: str
    n_train: int | None
    n_validation: int
    batch_size: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "History":
        """Undo `to_json`."""
        known: dict[str, Any] = {f.name: values[f.name] for f in fields(cls)}
        known |= {name: tuple(v) for name, v in known.items() if isinstance(v, list)}
        return cls(**known)
