"""Sequential rounds: propose, simulate, fit, again, each round nearer to one observation.

    theta ~ pi                                          round 0
    theta ~ pi 1[A_1] ... 1[A_r]                        round r of gb.Truncated(method)
    theta ~ q_{r-1}(theta | x_o)                        round r of gb.NLE, gb.NRE and gb.Atomic

(`methods/truncated.py`, `methods/atomic.py`; Papamakarios et al. 2019, arXiv 1805.07226). Every
round is fitted anew, with scalers of its own, to all rows of all rounds that its proposal allows;
each row says which round it came from. Shapes are those of the last round from the first one on, so
that rounds share their programs.

Rounds end early when one changes nothing: when a classifier cannot tell the posteriors of two
rounds apart (`RoundsConfig.same`), twice in succession.
"""

import functools
import hashlib
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool

from gibbous import plots
from gibbous._types import Key, Seed, stream
from gibbous.diagnostics import c2st
from gibbous.errors import (
    ConfigError,
    ObservationError,
    ObservationWarning,
    ShapeError,
    SimulationError,
    SimulationWarning,
)
from gibbous.fit import from_simulations, learn
from gibbous.fit_config import FitConfig
from gibbous.folder import Folder
from gibbous.latent import Latent
from gibbous.method import AbstractMethod
from gibbous.methods.truncated import Truncated
from gibbous.posteriors import observations
from gibbous.posteriors.draws import Draws
from gibbous.posteriors.posterior import Posterior
from gibbous.posteriors.region import Region
from gibbous.prior import Prior
from gibbous.progress import progress_bar
from gibbous.recipe import describe
from gibbous.simulation.run import Rows, simulate_at, stack
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator, simulator_of

_DRAWS = 2**11  # of the posterior of a round, to tell it from others and to place its region
_MANY = 2**14  # the same where draws cost nothing
_COMPARED = 1_000  # of them are given to the classifier
_TRIES = 8  # at draws inside of all regions
_SAVE_SECONDS = 10.0  # least time between two writes of unfinished simulations


@dataclass(frozen=True)
class RoundsConfig:
    """How rounds are run.

    Args:
        fit: how each of them is trained.
        folder: keep everything in it while it is made; if a run like this one is there already, it
            goes on from where it was stopped.
        same: stop when the accuracy of a classifier between 1,000 draws of this round's posterior
            and of the last one's is below this, twice in succession; None never stops. Of equal
            posteriors it is 0.5, give or take 0.011.
        workers: processes for a Python simulator, as for `gb.simulate`.
        progress: show a bar.

    Raises:
        ConfigError: on a value outside its range.
    """

    fit: FitConfig = FitConfig()  # noqa: RUF009  (frozen)
    folder: str | Path | None = None
    same: float | None = 0.53
    workers: int | None = None
    progress: bool = True

    def __post_init__(self):
        if self.same is not None and not 0.5 < self.same < 1:
            raise ConfigError(f"expected `same` between 0.5 and 1, or None, got {self.same}")
        if self.fit.checkpoint is not None:
            raise ConfigError("rounds keep their own checkpoints: RoundsConfig(folder=...)")


@dataclass(frozen=True)
class Rounds:
    """What `gb.fit_rounds` returns.

    Attributes:
        posteriors: of each round, meant for the observation and for no other.
        draws: of each of them, given the observation.
        simulations: of all rounds; `simulations.round` says which row came from which.
        changes: accuracy between draws of each round's posterior and of that before, from round 1.
        stopped: "finished", "same" when rounds changed nothing, "failed" when no simulation of a
            round succeeded.
    """

    posteriors: tuple[Posterior, ...]
    draws: tuple[Draws, ...]
    simulations: Simulations
    changes: tuple[float, ...]
    stopped: str

    @property
    def posterior(self) -> Posterior:
        """That of the last round."""
        return self.posteriors[-1]

    def plot(self, *, truth: Any = None, reference: Any = None) -> np.ndarray:
        """The marginal of every scalar, round over round (five at most); returns the axes.

        Args:
            truth: true parameters by name, marked by lines.
            reference: draws of the true posterior [k, dim], shown filled.

        Raises:
            ParameterError: if `truth` has other parameters.
        """
        which = np.unique(np.linspace(0, len(self.draws) - 1, min(len(self.draws), 5)).round())
        by_round = {f"round {r:.0f}": self.draws[int(r)].array for r in which}
        latent = self.posterior.latent
        if truth is not None:
            values, _ = latent.prior.parse(truth, latent.names)
            truth = np.concatenate([np.ravel(v) for v in values.values()])
        return plots.marginals(by_round, latent.labels, truth=truth, reference=reference)


def fit_rounds(
    method: AbstractMethod,
    prior: Prior,
    simulator: Simulator,
    x_obs: Any,
    *,
    rounds: int,
    per_round: int,
    parameters: tuple[str, ...] | None = None,
    config: RoundsConfig = RoundsConfig(),
    seed: Seed,
) -> Rounds:
    """Learn the posterior of one observation, simulating where it is.

    Args:
        method: `gb.NLE()`, `gb.NRE()`, `gb.Atomic(gb.NPE())`, or `gb.Truncated(...)` of any method.
        prior: of all parameters that the simulator takes.
        simulator: marked by `gb.simulator`.
        x_obs: the observation, [*event_shape].
        rounds: number of rounds at most.
        per_round: simulations in each.
        parameters: those to infer; the others are nuisances, drawn from the prior given these.
        config: how to run and train.
        seed: an int or a JAX key.

    Raises:
        ConfigError: on numbers that are not positive, on a method that takes its proposal for the
            prior, and where `gb.fit` raises it.
        ParameterError: if `parameters` are not the prior's, or depend on those left out.
        ObservationError: if x_obs holds NaN or inf.
        ShapeError: if x_obs is not of the shape that the simulator gives.
        SimulationError: if all simulations of round 0 fail, or none lie in the region of a round.
        OutputExistsError: if the folder holds another run.

    Warns:
        SimulationWarning: if simulations fail; if all of a later round do, the rounds before it are
            returned.
        ObservationWarning: if x_obs lies outside of all that was simulated in the last round.
    """
    simulator, x_obs = simulator_of(simulator), np.asarray(x_obs, np.float32)
    _check(method, prior, x_obs, rounds, per_round, parameters)
    plan = _Plan(method, prior, simulator, x_obs, rounds, per_round, parameters, config)
    key = stream(seed, "fit_rounds")
    folder = Folder.open(config.folder, plan.mark(key))
    course, stopped = _Course(), "finished"
    with (
        progress_bar("rounds", rounds, unit="rounds", show=config.progress) as advance,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", category=ObservationWarning)  # the last round tells
        for r in range(rounds):
            keys = jax.random.split(jax.random.fold_in(key, r), 4)
            advance(r, "simulating")
            try:
                course = _simulate(plan, folder, course, keys[0], keys[1])
            except SimulationError as error:
                if r == 0:
                    raise
                stopped = "failed"
                told = f"round {r} ends here, those before it are returned: {error}"
                warnings.warn(told, SimulationWarning, stacklevel=2)
                break
            advance(r, f"training on {course.used.sum():,} simulations")
            posterior = _fit(plan, folder, course, keys[2])
            advance(r, "sampling")
            course = _look(plan, course, posterior, keys[3])
            advance(r + 1, f"C2ST to the round before {course.changes[-1]:.2f}" if r else "")
            if config.same and len(course.changes) > 1 and max(course.changes[-2:]) < config.same:
                stopped = "same"
                break
    _warn_if_far(course.posteriors[-1], x_obs)
    assert course.sims is not None
    return Rounds(course.posteriors, course.draws, course.sims, course.changes, stopped)


class _Plan(NamedTuple):
    """What does not change from round to round."""

    method: AbstractMethod
    prior: Prior
    simulator: Simulator
    x_obs: np.ndarray
    rounds: int
    per_round: int
    parameters: tuple[str, ...] | None
    config: RoundsConfig

    def mark(self, key: Key) -> str:
        """A digest of what decides the result, the number of rounds apart: there may be more."""
        fit = replace(self.config.fit, progress=True)
        parts = describe(self.method), self.prior.describe(), self.per_round, self.parameters, fit
        text = f"{parts}{np.asarray(jax.random.key_data(key))}{self.x_obs.shape}"
        return hashlib.sha256(text.encode() + self.x_obs.tobytes()).hexdigest()


class _Course(NamedTuple):
    """What the rounds so far have made.

    used: which rows may be trained on; regions: of truncated rounds, one a posterior; draws: of the
    posteriors given the observation.
    """

    sims: Simulations | None = None
    used: Bool[np.ndarray, " N"] = np.zeros(0, bool)
    posteriors: tuple[Posterior, ...] = ()
    regions: tuple[Region, ...] = ()
    draws: tuple[Draws, ...] = ()
    changes: tuple[float, ...] = ()


def _propose(plan: _Plan, course: _Course, key: Key) -> dict[str, Array]:
    """Parameters for the next round."""
    n, prior = plan.per_round, plan.prior
    if not course.draws:
        return prior.sample(key, n)
    key_theta, key_nuisance = jax.random.split(key)
    if course.regions:
        theta = _truncated(course.regions, key_theta, n)
    else:
        theta = {name: v[:n] for name, v in course.draws[-1].values.items()}
    return prior.complete(key_nuisance, theta)


def _truncated(regions: tuple[Region, ...], key: Key, n: int) -> dict[str, np.ndarray]:
    """Draws of the prior inside of all regions; the last lies inside the others but for rims."""
    kept = []
    for k in jax.random.split(key, _TRIES):
        theta = regions[-1].sample(k, n)
        inside = np.all([region.inside(theta) for region in regions], axis=0)
        kept.append({name: v[inside] for name, v in theta.items()})
        if sum(len(next(iter(rows.values()))) for rows in kept) >= n:
            break
    whole = {name: np.concatenate([rows[name] for rows in kept])[:n] for name in kept[0]}
    if len(next(iter(whole.values()))) == 0:
        raise SimulationError(
            f"none of {_TRIES * n} draws lies in the regions of all rounds: the posteriors of the "
            "last two contradict each other. More simulations a round may help"
        )
    return whole


def _simulate(plan: _Plan, folder: Folder, course: _Course, key_theta: Key, key_x: Key) -> _Course:
    """The next round's simulations, joined to the others; what is on disk is not made again."""
    r = len(course.posteriors)
    theta = {k: np.asarray(v) for k, v in _propose(plan, course, key_theta).items()}
    n, sims = len(next(iter(theta.values()))), folder.rows(r)
    made = 0 if sims is None else len(sims)

    def join(x: Any, first_error: str | None) -> Simulations:
        rows = {k: v[made : made + len(x)] for k, v in theta.items()}
        new = Simulations(rows, x, first_error, np.full(len(x), r))
        parts = [s for s in (course.sims, sims, new) if s is not None]
        return functools.reduce(Simulations.append, parts)

    if made < n:
        saved = time.perf_counter()

        def done(parts: list[Rows]) -> None:
            nonlocal saved
            if time.perf_counter() - saved > _SAVE_SECONDS:
                folder.keep(join(*stack(parts, None)))
                saved = time.perf_counter()

        left = {k: v[made:] for k, v in theta.items()}
        new = simulate_at(
            left, plan.simulator, seed=key_x, workers=plan.config.workers, progress=False,
            start=made, done=done if folder.path else None,
        )  # fmt: skip
        whole = join(new.x, new.first_error)
        folder.keep(whole)
    else:
        whole = join(np.zeros((0, *sims.event_shape)), None)  # pyright: ignore[reportOptionalMemberAccess]
    event, have = whole.event_shape, plan.x_obs.shape
    if (len(event), event[-1]) != (len(have), have[-1]):  # sets may be of another length
        raise ShapeError(
            f"expected an observation of shape {list(whole.event_shape)}, as the simulator gives, "
            f"got {list(plan.x_obs.shape)}"
        )
    return course._replace(sims=whole, used=np.append(course.used, np.ones(n, bool)))


def _fit(plan: _Plan, folder: Folder, course: _Course, key: Key) -> Posterior:
    """A posterior from all rows that may be used, with room for those of all rounds."""
    r = len(course.posteriors)
    known = folder.posterior(r, plan.prior, plan.method)
    if known is not None:
        return known
    assert course.sims is not None
    config = replace(plan.config.fit, progress=False, checkpoint=folder.checkpoint)
    key_data, key_train = jax.random.split(key)
    ready = from_simulations(
        plan.method, plan.prior, course.sims.rows(course.used), plan.parameters, None, config,
        key_data, room=plan.rounds * plan.per_round,
    )  # fmt: skip
    posterior = learn(plan.method, ready, key_train)
    if r:  # what was simulated from it on is near one observation
        posterior = replace(posterior, recipe={**posterior.recipe, "round": r})
    folder.keep_posterior(r, posterior)
    return posterior


def _look(plan: _Plan, course: _Course, posterior: Posterior, key: Key) -> _Course:
    """Draw given the observation, place the region, compare with the round before."""
    assert course.sims is not None
    key_draws, key_compare = jax.random.split(key)
    least = _MANY if posterior.approximation.direct else _DRAWS
    draws = posterior.sample(plan.x_obs, max(plan.per_round, least), seed=key_draws)
    changes, used, regions = course.changes, course.used, course.regions
    if course.draws:
        pair = [np.asarray(d.array[:_COMPARED]) for d in (course.draws[-1], draws)]
        changes = (*changes, float(c2st(*pair, seed=key_compare)))
    last = len(course.posteriors) + 1 == plan.rounds  # nobody proposes from there
    if isinstance(plan.method, Truncated) and not last:
        region = Region.of(posterior, plan.x_obs, draws, plan.method.epsilon)
        inferred = {name: course.sims.theta[name] for name in posterior.names}
        used, regions = used & region.inside(inferred), (*regions, region)
    posteriors, all_draws = (*course.posteriors, posterior), (*course.draws, draws)
    return _Course(course.sims, used, posteriors, regions, all_draws, changes)


# --- checks ---------------------------------------------------------------------------------------


def _check(
    method: AbstractMethod,
    prior: Prior,
    x_obs: np.ndarray,
    rounds: int,
    per_round: int,
    parameters: tuple[str, ...] | None,
) -> None:
    if not isinstance(method, AbstractMethod):
        raise ConfigError(f"expected a method such as gb.NLE(), got {method!r}")
    if rounds < 1 or per_round < 1:
        raise ConfigError(
            f"expected at least one round and one simulation in it, got {rounds=}, {per_round=}"
        )
    if rounds > 1 and not (method.any_proposal or isinstance(method, Truncated)):
        name = type(method).__name__
        raise ConfigError(
            f"gb.{name}() takes what it is trained on for the prior: use gb.Truncated(gb.{name}())"
            + (", or gb.Atomic(gb.NPE())" if name == "NPE" else "")
        )
    if x_obs.size == 0 or not np.isfinite(x_obs).all():
        raise ObservationError(
            f"the observation is empty, or holds NaN or infinite values (shape {x_obs.shape})"
        )
    # The prior's density of what is inferred is needed, to propose and to correct.
    discrete = method.any_proposal and not method.learns_posterior
    Latent.fit(prior, prior.probe, parameters, discrete=discrete, density=True)


def _warn_if_far(posterior: Posterior, x_obs: np.ndarray) -> None:
    excess = posterior.x_scaler.excess(x_obs)
    if excess > observations.FAR:
        warnings.warn(
            f"after the last round the observation lies {excess:.1f} times the range of all that "
            "the posterior was trained on outside of it: no parameters gave such data, so do not "
            "trust this posterior. The simulator or the prior lacks something",
            ObservationWarning,
            stacklevel=3,
        )
