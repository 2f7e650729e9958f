"""check_rounds: the evidence for or against a course of rounds, by running it again and again.

Rounds give a posterior for one observation, of which no fresh data can be asked. What can be tested
is the procedure: for theta*_i ~ p(theta), x_i ~ p(x | theta*_i) it is run for x_i as it was for the
observation, and the ranks of theta*_i among the draws of the last round are uniform if that gives
the exact posterior (Talts et al. 2018, arXiv 1804.06788; for sequential methods Hermans et al.
2022, arXiv 2110.06581). Each of n datasets costs all simulations and fits of a course: this is for
cheap simulators. Courses share their programs.
"""

from dataclasses import replace

import jax
import numpy as np

from gibbous._types import Seed, stream
from gibbous.check import Report, report_of, truth_of
from gibbous.errors import ConfigError
from gibbous.method import AbstractMethod
from gibbous.prior import Prior
from gibbous.progress import progress_bar
from gibbous.rounds import RoundsConfig, fit_rounds
from gibbous.simulation.run import simulate
from gibbous.simulation.simulator import Simulator


def check_rounds(
    method: AbstractMethod,
    prior: Prior,
    simulator: Simulator,
    *,
    n: int = 50,
    rounds: int,
    per_round: int,
    parameters: tuple[str, ...] | None = None,
    draws: int = 1_000,
    config: RoundsConfig = RoundsConfig(),  # noqa: B008  (frozen)
    seed: Seed,
    progress: bool = True,
) -> Report:
    """Test rounds on fresh datasets, each of which gets rounds of its own.

    Args:
        method, prior, simulator, rounds, per_round, parameters: as for `gb.fit_rounds`.
        n: number of fresh datasets.
        draws: from the posterior of each.
        config: as for `gb.fit_rounds`, without a folder.
        seed: an int or a JAX key.
        progress: show a bar over the datasets.

    Raises:
        ConfigError: if there are fewer than 10 datasets or draws, on a folder, and where
            `gb.fit_rounds` raises it.
        SimulationError: if every simulation fails.
    """
    if n < 10 or draws < 10:
        raise ConfigError(f"expected at least 10 datasets and 10 draws, got {n=}, {draws=}")
    if config.folder is not None:
        raise ConfigError("a folder holds the rounds of one observation: leave it out here")
    key = stream(seed, "check_rounds")
    sims = simulate(prior, simulator, n, seed=key, progress=False).usable()
    config = replace(config, progress=False, fit=replace(config.fit, progress=False))
    posterior, arrays, values = None, [], []
    with progress_bar("checking rounds", len(sims), unit="datasets", show=progress) as advance:
        for i, x in enumerate(sims.sets()):
            keys = jax.random.split(jax.random.fold_in(key, i))
            posterior = fit_rounds(
                method, prior, simulator, x, rounds=rounds, per_round=per_round,
                parameters=parameters, config=config, seed=keys[0],
            ).posterior  # fmt: skip
            drawn = posterior.sample(x, draws, seed=keys[1])
            arrays.append(drawn.array)
            if posterior.approximation.tractable:
                truth = {k: v[i] for k, v in truth_of(posterior, sims).items()}
                evidence = None if drawn.diagnostics is None else drawn.diagnostics.log_evidence
                values.append(float(posterior.log_prob(truth, x, log_evidence=evidence)))
            advance(i + 1)
    assert posterior is not None  # n is positive
    return report_of(posterior, sims, np.stack(arrays), np.array(values) if values else None)
