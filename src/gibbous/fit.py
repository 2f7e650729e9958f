"""fit: a method, a prior and data in; a posterior out."""

import hashlib
from typing import NamedTuple

import jax
import numpy as np

from gibbous._types import Key, Seed, as_key
from gibbous.artefact import recipe
from gibbous.errors import ConfigError, ParameterError, ShapeError
from gibbous.fit_config import FitConfig
from gibbous.latent import Latent
from gibbous.method import FEW, AbstractMethod, Pace, Spec
from gibbous.missing import AbstractMissing, Subsets
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Prior
from gibbous.scaling import Standardizer
from gibbous.sets import Groups
from gibbous.simulation.discrete import blurred, spacing
from gibbous.simulation.run import simulate
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator
from gibbous.simulation.sources import (
    AbstractSource,
    Batch,
    Fresh,
    Resident,
    Stored,
    columns,
    fit_x_scaler,
    groups,
    observe,
    several_rounds,
    store,
    to_batch,
)
from gibbous.training import train

_PILOT = 4_096  # rows that networks begin from; fresh ones also fit the scalers
_FRESH = 1_024  # fresh simulations to validate on
_LEAST = 10  # stored simulations to train on
_MAX_VALIDATION = 4_096  # stored simulations to validate on
_THINNED = Subsets(0.25)  # of stored sets, which are then harder to overfit (docs/recipe.md)


def fit(
    method: AbstractMethod,
    prior: Prior,
    data: Simulations | Simulator,
    *,
    parameters: tuple[str, ...] | None = None,
    missing: AbstractMissing | Subsets | None = None,
    config: FitConfig = FitConfig(),  # noqa: B008  (frozen)
    seed: Seed,
) -> Posterior:
    """Learn the posterior.

    Stored sets of points are thinned in training, by a method that takes sets of any size: the
    posterior then serves sets of a quarter as many points as well.

    Args:
        method: `gb.NPE(...)`, `gb.NLE(...)` or `gb.NRE(...)`.
        prior: of all parameters that the simulator takes.
        data: simulations, or a JAX simulator, which is then run afresh at every step.
        parameters: those to infer; the others are nuisances, marginalised by being left out.
        missing: what observations may lack, drawn anew for each dataset whenever it is used:
            `gb.Missing` and `gb.MissingAs` entries, which are then NaN in observations, or
            `gb.Subsets` of the points of sets.
        config: how to train.
        seed: an int or a JAX key.

    Raises:
        ParameterError: if `parameters`, or those of the simulations, are not the prior's, or not
            of a kind that the method can infer.
        ShapeError: if the datasets are not of a shape, or piled up, where the method cannot be.
        ConfigError: if the simulator is not a JAX one, or there are too few simulations.
        SimulationError: if all simulations failed.
        TrainingError: if the loss goes to NaN, or the checkpoint belongs to another run.
        TrainingInterrupted: on Ctrl-C.
    """
    if not isinstance(method, AbstractMethod):
        raise ConfigError(f"expected a method such as gb.NPE(), got {method!r}")
    if isinstance(data, Simulations) and data.round.any() and not method.any_proposal:
        raise ConfigError(
            "some of these simulations are of rounds that did not draw from the prior, which "
            f"gb.{type(method).__name__}() would take them for: leave out those with a round above "
            "0, or use gb.NLE, gb.NRE or gb.Atomic(gb.NPE())"
        )
    key_data, key_train = jax.random.split(as_key(seed))
    if isinstance(data, Simulations):
        ready = from_simulations(method, prior, data, parameters, missing, config, key_data)
    else:
        ready = _from_simulator(method, prior, data, parameters, missing, config, key_data)
    return learn(method, ready, key_train)


class Ready(NamedTuple):
    """Data made ready for the training loop; sizes: least and most points of sets; lattice: as
    in `Spec`."""

    latent: Latent
    x_scaler: Standardizer
    event_shape: tuple[int, ...]
    sizes: tuple[int, int] | None
    missing: AbstractMissing | Subsets | None
    lattice: bool
    source: AbstractSource
    validation: Stored
    pilot: Batch
    config: FitConfig
    n_train: int | None
    fingerprint: str


def learn(method: AbstractMethod, ready: Ready, key: Key) -> Posterior:
    """Train, and put the posterior together."""
    n_train = ready.n_train
    missing = isinstance(ready.missing, AbstractMissing)
    few = n_train is not None and n_train < FEW
    spec = Spec(ready.pilot, few, ready.latent, missing, ready.lattice)
    model, history = train(
        method,
        spec,
        ready.source,
        ready.validation,
        ready.config,
        key,
        n_train,
        f"{ready.fingerprint} {ready.missing}",
    )
    approximation, shape = method.posterior(model, ready.latent), ready.event_shape
    return Posterior(
        approximation=approximation,
        latent=ready.latent,
        x_scaler=ready.x_scaler,
        event_shape=(None, *shape[1:]) if approximation.iid or ready.sizes else shape,
        sizes=ready.sizes,
        missing=ready.missing,
        history=history,
        recipe=recipe(method, ready.latent, spec, history, ready.sizes, ready.missing),
    )


def from_simulations(
    method: AbstractMethod,
    prior: Prior,
    sims: Simulations,
    parameters: tuple[str, ...] | None,
    missing: AbstractMissing | Subsets | None,
    config: FitConfig,
    key: Key,
    room: int | None = None,
) -> Ready:
    """Split, standardise and encode simulations; with `room` for so many, so that programs serve
    any number up to that."""
    _check_names(prior, sims, parameters)
    sims = sims.usable()
    held_out = _held_out(len(sims), config.validation)
    if len(sims) - held_out < _LEAST:
        raise ConfigError(
            f"{len(sims) - held_out} simulations to train on are too few; 1,000 are a start"
        )
    # By NumPy: a shuffle by JAX is compiled anew for every length.
    order = np.random.default_rng(np.asarray(jax.random.key_data(key))).permutation(len(sims))
    keys = jax.random.split(key)
    train_rows, validation_rows = sims.rows(order[held_out:]), sims.rows(order[:held_out])
    given = not method.learns_posterior
    latent = Latent.fit(
        prior, train_rows.theta, parameters,
        discrete=given, density=given, rounds=several_rounds(train_rows),
    )  # fmt: skip
    config = config.resolve(len(train_rows), method.pace(latent.dim, len(train_rows)))
    _check_missing(method, missing, sims)
    lattice = False
    if method.learns_data:
        key_train, key_held = jax.random.split(jax.random.fold_in(key, 2))
        h = spacing(columns(train_rows))
        lattice = bool(h.all())
        train_rows = blurred(key_train, train_rows, h)
        validation_rows = blurred(key_held, validation_rows, h)
    x_scaler = fit_x_scaler(train_rows)
    thinned = missing
    if missing is None and method.takes_sets and sims.x.ndim == 3:
        thinned = _THINNED
    assert config.batch_size is not None  # resolved
    stored = store(train_rows, latent, x_scaler, given, room)
    pilot = to_batch(
        train_rows.rows(np.arange(min(len(stored.rows.z), _PILOT)) % len(train_rows)),
        latent,
        x_scaler,
        given,
    )
    # Sizes that other rows do not share would not share its programs.
    whole = room is not None and sims.sizes is not None
    cut = Groups() if whole else groups(train_rows, thinned, config.batch_size)
    validation = store(
        validation_rows, latent, x_scaler, given, room and _held_out(room, config.validation)
    )
    return Ready(
        latent=latent,
        x_scaler=x_scaler,
        event_shape=sims.event_shape,
        sizes=_sizes(method, thinned, sims),
        missing=missing,
        lattice=lattice,
        source=Resident(stored, config.batch_size, thinned, cut),
        pilot=observe(keys[1], pilot, missing),
        validation=validation._replace(rows=observe(keys[0], validation.rows, missing)),
        config=config,
        n_train=len(train_rows),
        fingerprint=_digest(sims),
    )


def _check_names(prior: Prior, sims: Simulations, parameters: tuple[str, ...] | None) -> None:
    """Whether the parameters are the prior's, and these simulations hold them."""
    wanted = (parameters,) if isinstance(parameters, str) else parameters or prior.names
    if unknown := sorted(set(wanted) - set(prior.names)):
        raise ParameterError(f"the prior has the parameters {list(prior.names)}, not {unknown}")
    lacking = sorted(set(wanted) - set(sims.theta))
    if lacking:
        raise ParameterError(
            f"these simulations hold {list(sims.theta)} and lack {lacking}; simulate from this "
            "prior, or name with parameters= what they hold"
        )


def _digest(sims: Simulations) -> str:
    digest = hashlib.sha256(sims.x.tobytes())
    for name in sorted(sims.theta):
        digest.update(np.ascontiguousarray(sims.theta[name]).tobytes())
    return digest.hexdigest()


def _check_missing(
    method: AbstractMethod, missing: AbstractMissing | Subsets | None, sims: Simulations
) -> None:
    """Whether the method can do without what is missing.

    Raises:
        ConfigError: if it cannot, or `missing` is nothing of the kind.
        ShapeError: if datasets are no sets, or of another shape than what was read off.
    """
    if missing is None:
        return
    if not isinstance(missing, AbstractMissing | Subsets):
        raise ConfigError(f"expected gb.Missing, gb.MissingAs or gb.Subsets, got {missing!r}")
    if isinstance(missing, Subsets):
        if sims.x.ndim != 3:
            raise ShapeError(f"gb.Subsets are of sets of points [n, d], got {sims.event_shape}")
        return
    if method.learns_data or getattr(method, "iid", False):
        raise ConfigError(
            "a likelihood needs its data complete, as far as gb.NLE goes, and of iid points those "
            "that lack an entry are left out as they are; gb.NPE and gb.NRE learn what is missing"
        )
    missing.present(jax.random.key(0), sims.event_shape)


def _sizes(
    method: AbstractMethod, missing: AbstractMissing | Subsets | None, sims: Simulations
) -> tuple[int, int] | None:
    """Least and most points of the sets that a method is trained on; None if they have to be as
    many as were simulated."""
    if sims.x.ndim != 3 or not (method.takes_sets or sims.sizes is not None):
        return None
    sizes = np.array([sims.x.shape[1]]) if sims.sizes is None else sims.sizes
    least = missing.size(0.0, sizes.min()) if isinstance(missing, Subsets) else sizes.min()
    return int(least), int(sizes.max())


def _held_out(n: int, share: float) -> int:
    return min(max(1, round(share * n)), _MAX_VALIDATION)


def _from_simulator(
    method: AbstractMethod,
    prior: Prior,
    simulator: Simulator,
    parameters: tuple[str, ...] | None,
    missing: AbstractMissing | Subsets | None,
    config: FitConfig,
    key: Key,
) -> Ready:
    if not isinstance(simulator, Simulator):
        raise ConfigError(
            f"expected data that are gb.Simulations or a gb.simulator, got {simulator!r}"
        )
    if simulator.backend != "jax":
        raise ConfigError(
            "only a JAX simulator can run afresh at every training step; simulate first: "
            "gb.fit(method, prior, gb.simulate(prior, simulator, 10_000, seed=0), seed=0)"
        )
    config = config.resolve(None, Pace(learning_rate=method.embedding_rate))
    key_scale, key_validation = jax.random.split(key)
    pilot = simulate(prior, simulator, _PILOT, seed=key_scale, progress=False).usable()
    held_out = simulate(prior, simulator, _FRESH, seed=key_validation, progress=False).usable()
    given = not method.learns_posterior
    latent = Latent.fit(prior, pilot.theta, parameters, discrete=given, density=given)
    _check_missing(method, missing, pilot)
    h = spacing(columns(pilot)) if method.learns_data else None
    if h is not None:
        pilot, held_out = blurred(key_scale, pilot, h), blurred(key_validation, held_out, h)
    x_scaler = fit_x_scaler(pilot)
    assert config.batch_size is not None  # resolved
    validation = store(held_out, latent, x_scaler, given, None)
    return Ready(
        latent=latent,
        x_scaler=x_scaler,
        event_shape=pilot.event_shape,
        sizes=_sizes(method, missing, pilot),
        missing=missing,
        lattice=h is not None and bool(h.all()),
        source=Fresh(
            simulator,
            latent,
            x_scaler,
            config.batch_size,
            given,
            missing,
            # The simulator's own sizes come in no order, so that any slot may be the largest.
            Groups() if pilot.sizes is not None else groups(pilot, missing, config.batch_size),
            h if h is not None and h.any() else None,
        ),
        pilot=observe(key_validation, to_batch(pilot, latent, x_scaler, given), missing),
        validation=validation._replace(rows=observe(key_scale, validation.rows, missing)),
        config=config,
        n_train=None,
        fingerprint=hashlib.sha256(held_out.x.tobytes()).hexdigest(),
    )
