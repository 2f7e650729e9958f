"""This library, with the default settings of a method."""

import warnings

import numpy as np
from job import Contender, run


class Gibbous(Contender):
    """`gb.METHODS[name]()`, fitted by `gb.fit`."""

    packages = ("gibbous", "jax")

    def __init__(self) -> None:
        import gibbous as gb

        self.gb = gb

    def train(self, job: dict, theta: np.ndarray, x: np.ndarray) -> None:
        """Fit."""
        gb, prior = self.gb, self.gb.tasks.TASKS[job["task"]]().prior
        sims = gb.Simulations({k: np.asarray(v) for k, v in prior.split(theta).items()}, x)
        method, config = gb.METHODS[job["method"]](), gb.FitConfig(progress=False)
        self.posterior = gb.fit(method, prior, sims, config=config, seed=job["seed"])
        self.compile_seconds = self.posterior.history.compile_seconds

    def draw(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws; those of chains, which come in turns, put one chain after the other."""
        draws = self.posterior.sample(x, n, seed=seed)
        self.chains = draws.chains
        values = draws.array
        return np.concatenate([values[i :: self.chains] for i in range(self.chains)])

    def draw_many(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """All observations in one call."""
        return self.posterior.sample(x, n, seed=seed).array

    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray | None:
        """Densities of NPE and FMPE: a likelihood or a ratio is not normalised."""
        approximation = self.posterior.approximation
        if not (approximation.direct and approximation.tractable):
            return None
        return self.posterior.log_prob(theta, x)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Gibbous)
