"""The folder of a run in rounds: everything that was made, as soon as it is made.

    run                       what the run is, as a digest: no other goes on from here
    simulations.safetensors   of all rounds so far, the last of them perhaps in part
    round-000.gibbous, ...    the posterior of each round
    training.checkpoint       while one is being trained

A run that was stopped anywhere finds here what need not be made again.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gibbous.artefact import load_posterior
from gibbous.errors import OutputExistsError
from gibbous.method import AbstractMethod
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Prior
from gibbous.simulation.simulations import Simulations


class Folder(NamedTuple):
    """A folder, or nothing at all where `path` is None; `stored` is what it held when opened."""

    path: Path | None
    stored: Simulations | None

    @classmethod
    def open(cls, path: str | Path | None, mark: str) -> "Folder":
        """A new folder, or that of the run with this mark.

        Raises:
            OutputExistsError: if it holds anything else.
        """
        if path is None:
            return cls(None, None)
        path = Path(path)
        label, stored = path / "run", path / "simulations.safetensors"
        if path.exists() and any(path.iterdir()) and not label.exists():
            raise OutputExistsError(f"{path} holds something else; choose another folder")
        if label.exists() and label.read_text() != mark:
            raise OutputExistsError(
                f"{path} holds other rounds (another method, prior, observation, per_round, seed "
                "or FitConfig); choose another folder, or remove it"
            )
        path.mkdir(parents=True, exist_ok=True)
        label.write_text(mark)
        return cls(path, Simulations.load(stored) if stored.exists() else None)

    @property
    def checkpoint(self) -> Path | None:
        """Where training keeps its state."""
        return None if self.path is None else self.path / "training.checkpoint"

    def rows(self, r: int) -> Simulations | None:
        """What was simulated of round r before the folder was opened."""
        if self.stored is None or not np.any(self.stored.round == r):
            return None
        return self.stored.rows(self.stored.round == r)

    def keep(self, sims: Simulations) -> None:
        """Write all simulations, unless there are more of them already."""
        if self.path is not None and (self.stored is None or len(sims) > len(self.stored)):
            sims.save(self.path / "simulations.safetensors", overwrite=True)

    def posterior(self, r: int, prior: Prior, method: AbstractMethod) -> Posterior | None:
        """That of round r, if it is there."""
        if self.path is None or not self._posterior(r).exists():
            return None
        return load_posterior(self._posterior(r), {}, prior=prior, method=method)

    def keep_posterior(self, r: int, posterior: Posterior) -> None:
        """Write that of round r."""
        if self.path is not None:
            posterior.save(self._posterior(r), overwrite=True)

    def _posterior(self, r: int) -> Path:
        assert self.path is not None
        return self.path / f"round-{r:03d}.gibbous"
