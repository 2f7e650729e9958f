"""How to train: what a user may set, and what is filled in by the method and the simulations."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gibbous.errors import ConfigError
from gibbous.method import Pace


@dataclass(frozen=True)
class FitConfig:
    """How to train. The defaults are chosen by measurement: see `docs/recipe.md`.

    Args:
        steps: at most this many; None lets the method and the number of simulations decide.
        batch_size: rows a step; None lets the number of simulations decide.
        learning_rate: peak of the schedule; None lets the method decide.
        warmup: share of the steps in which the rate climbs to its peak; a squared cosine takes it
            to zero; None lets the method decide.
        weight_decay: of AdamW; None lets the method decide.
        clip: largest norm of the gradient.
        b2: decay of the squared gradients in AdamW.
        ema: decay of the average over weights, with which everything is evaluated.
        validation: share of the stored simulations held out (at most 4,096 rows); fresh
            simulations are validated on 1,024 rows.
        checks: how often in a fit the validation loss is looked at.
        patience: stop after this many checks without a better validation loss; None never stops.
            Of fresh simulations, which nothing overfits, all steps are trained, and the last
            weights kept.
        checkpoint: file to keep the state in while training; if it is there, training goes on
            from it, and when training is done it is removed.
        checkpoint_seconds: least time between two writes of it.
        progress: show a bar.

    Raises:
        ConfigError: on a value outside its range.
    """

    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    clip: float = 5.0
    b2: float = 0.999
    ema: float = 0.99
    validation: float = 0.1
    checks: int = 50
    patience: int | None = 15
    checkpoint: str | Path | None = None
    checkpoint_seconds: float = 10.0
    progress: bool = True

    def __post_init__(self):
        positive = {
            name: getattr(self, name)
            for name in ("steps", "batch_size", "learning_rate", "clip", "checks", "patience")
        }
        wrong = {k: v for k, v in positive.items() if v is not None and not v > 0}
        shares = {name: getattr(self, name) for name in ("warmup", "ema", "b2", "validation")}
        wrong |= {k: v for k, v in shares.items() if v is not None and not 0 <= v < 1}
        if self.validation == 0:
            wrong["validation"] = 0
        if self.weight_decay is not None and self.weight_decay < 0:
            wrong["weight_decay"] = self.weight_decay
        if wrong:
            raise ConfigError(
                f"FitConfig: {wrong} out of range; warmup, ema and b2 lie in [0, 1), validation in "
                "(0, 1), weight_decay is at least 0, all others are positive"
            )

    def resolve(self, n_train: int | None, pace: Pace) -> "FitConfig":
        """Fill in what was left open, for `n_train` stored rows, or fresh ones (None)."""
        if n_train is None:
            steps, batch_size = self.steps or 20_000, self.batch_size or 128
        else:
            by_size = 64 if n_train < 5_000 else 128 if n_train < 50_000 else 256
            batch_size = min(self.batch_size or by_size, n_train)
            by_passes = int(np.clip(pace.passes * n_train // batch_size, pace.least, 20_000))
            steps = self.steps or by_passes
        left_open = {
            name: getattr(pace, name)
            for name in ("learning_rate", "warmup", "weight_decay")
            if getattr(self, name) is None
        }
        return replace(self, steps=steps, batch_size=batch_size, **left_open)
