"""The one training loop, for every method and every source of data.

    w <- AdamW(w, clip(grad mean_i loss_i(w)), lr(step)),      ema <- d ema + (1 - d) w,

lr by `schedule.py` (AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101). An ensemble whose members
share no network is as many fits side by side: each holds out rows of its own, has batches of its
own, and keeps the weights that are best for itself, so that the members err less alike.

Steps run in chunks, each one jitted loop; between chunks, and before the first, the host looks at
the validation loss of the averaged weights, keeps the best (of fresh simulations, which nothing
overfits, the last), saves a checkpoint and moves the progress bar. All that a chunk needs is in
`State`, so a run that was killed goes on to the same result.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from gibbous import checkpoint
from gibbous._types import Key
from gibbous.compilation import CompileClock, jit
from gibbous.errors import TrainingError, TrainingInterrupted
from gibbous.estimators.ensemble import apart, together
from gibbous.fit_config import FitConfig
from gibbous.history import History
from gibbous.method import AbstractMethod, Ctx, Model, Spec
from gibbous.progress import progress_bar
from gibbous.schedule import Schedule
from gibbous.simulation.sources import AbstractSource, Batch, Fresh, Stored, turned


class State(NamedTuple):
    """Everything that a chunk of training changes.

    Weights are the trainable leaves of a model, end to end: a few long operations for the optimiser
    to compile and to run, where a tree of arrays asks for some on every leaf. Of an ensemble
    everything but the step has an axis of members.
    """

    weights: Float[Array, "*members weights"]
    ema: Float[Array, "*members weights"]
    best: Float[Array, "*members weights"]
    optimiser: Any
    best_loss: Float[Array, "*members"]
    best_step: Int[Array, "*members"]
    stale: Int[Array, "*members"]  # checks since the best
    step: Int[Array, ""]


class _Static(NamedTuple):
    """What is compiled into a chunk."""

    method: AbstractMethod
    members: int | None  # of a model that is an ensemble
    trained: Any  # the shapes of the leaves of the model, or of one member, that are trained
    config: FitConfig  # as far as it is compiled

    def model(self, weights: Float[Array | np.ndarray, "*members weights"], frozen: Any) -> Model:
        """The model with these weights, or the members with theirs."""
        leaves, tree = jax.tree.flatten(self.trained)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        # Under jit by jnp.split, whose gradient is one concatenation.
        cut = np.split if isinstance(weights, np.ndarray) else jnp.split
        parts = [
            jnp.asarray(part.reshape(*weights.shape[:-1], *leaf.shape), leaf.dtype)
            for part, leaf in zip(cut(weights, ends, axis=-1), leaves, strict=True)
        ]
        return eqx.combine(jax.tree.unflatten(tree, parts), frozen)


def train(
    method: AbstractMethod,
    spec: Spec,
    source: AbstractSource,
    validation: Stored,
    config: FitConfig,
    key: Key,
    n_train: int | None,
    fingerprint: str = "",
) -> tuple[Model, History]:
    """Train a model; return it with the best weights, and the history.

    Args:
        method: gives the model and its loss.
        spec: shapes for `method.init`.
        source: gives the batches.
        validation: rows that are never trained on.
        config: a resolved FitConfig.
        key: the randomness of everything.
        n_train: rows stored to train on; None for fresh ones.
        fingerprint: names the data, so that a checkpoint of other data is refused.

    Raises:
        TrainingError: if the loss is NaN, or the checkpoint belongs to another run.
        TrainingInterrupted: on Ctrl-C; the checkpoint, if one was asked for, is saved first.
    """
    clock = checkpoint.Clock(time.perf_counter(), CompileClock())
    key_init, key_run = jax.random.split(key)
    schedule = Schedule.of(config.steps, config.warmup, config.learning_rate, config.weight_decay)
    static, frozen, state = _begin(method, spec, config, schedule, key_init)
    shapes = [(v.shape, v.dtype) for v in jax.tree.leaves(spec.pilot)]
    mark = checkpoint.fingerprint(method, shapes, _decisive(config), fingerprint, key=key)
    path = None if config.checkpoint is None else Path(config.checkpoint)
    log = checkpoint.Log()
    if path is not None and path.exists():
        state, log = checkpoint.resume(path, state, mark)
    before = log

    def save(state: State, log: checkpoint.Log) -> None:
        if path is not None:
            checkpoint.save(path, state, clock.stop(log, before), mark)

    def chunk(state: State, steps: int) -> tuple[State, Array, Array]:
        data = source, validation
        return _chunk(state, frozen, jnp.array(steps), schedule, static, *data, key_run)

    state, log = _loop(chunk, state, log, config, save)
    if path is not None:
        path.unlink(missing_ok=True)
    log = clock.stop(log, before)
    history = _history(log, state, config, n_train, int(validation.n))
    model = static.model(np.asarray(state.best), frozen)  # NumPy cuts without compiling
    return together(model), history


def _begin(
    method: AbstractMethod, spec: Spec, config: FitConfig, schedule: Schedule, key: Key
) -> tuple[_Static, Any, State]:
    # Built under jit: eager building takes seconds, and equal recipes give equal static leaves, so
    # that a second fit of the same shape compiles nothing.
    weights, trained, frozen, members = _build(method, key, spec)
    # What a chunk is given as a number must not recompile it.
    open_ = dict.fromkeys(("steps", "learning_rate", "warmup", "weight_decay"))
    static = _Static(method, members, trained, replace(_decisive(config), **open_))
    init = _optimiser(static.config, schedule).init
    each = weights.shape[:-1]
    state = State(
        weights, weights, weights, jax.vmap(init)(weights) if members else init(weights),
        # Not of a weak type, for which the chunk would be compiled a second time.
        jnp.full(each, jnp.inf, jnp.float32),
        jnp.zeros(each, int), jnp.zeros(each, int), jnp.array(0),
    )  # fmt: skip
    return static, frozen, state


def _decisive(config: FitConfig) -> FitConfig:
    """What of it has a part in the result."""
    return replace(config, checkpoint=None, progress=True, checkpoint_seconds=1.0)


def _loop(
    chunk: Callable[[State, int], tuple[State, Array, Array]],
    state: State,
    log: checkpoint.Log,
    config: FitConfig,
    save: Callable[[State, checkpoint.Log], None],
) -> tuple[State, checkpoint.Log]:
    """Chunks until the steps are done or the validation loss is stale."""
    assert config.steps is not None  # resolved
    compiles, total = CompileClock(), config.steps
    length = -(-total // config.checks)
    saved = -np.inf  # the first check writes a checkpoint, whatever its hour
    try:
        with progress_bar("training", total, unit="steps", show=config.progress) as advance:
            advance(int(state.step))
            while int(state.step) < total and not _stale(state, config):
                # None before the first look: a model may begin where training cannot improve it.
                steps = min(length, total - int(state.step)) if log.steps else 0
                started, compiled = time.perf_counter(), compiles.seconds
                state, loss, val_loss = chunk(state, steps)
                loss, val_loss = float(np.mean(loss)), float(np.mean(val_loss))
                busy = time.perf_counter() - started - (compiles.seconds - compiled)
                log = log.add(int(state.step), loss, val_loss, busy)
                if steps:
                    _check(state, loss, val_loss)
                speed = steps / max(busy, 1e-9)
                advance(
                    int(state.step),
                    f"loss {loss:.3f}  val {val_loss:.3f}  {speed:,.0f} steps/s",
                )
                if time.perf_counter() - saved > config.checkpoint_seconds:
                    save(state, log)
                    saved = time.perf_counter()
    except KeyboardInterrupt:
        save(state, log)
        raise TrainingInterrupted(_interrupted(config, int(state.step), total)) from None
    return state, log


def _history(
    log: checkpoint.Log, state: State, config: FitConfig, n_train: int | None, n_validation: int
) -> History:
    assert config.batch_size is not None  # resolved
    assert config.steps is not None
    return History(
        steps=tuple(log.steps),
        loss=tuple(log.loss),
        val_loss=tuple(log.val_loss),
        best_step=int(np.sort(state.best_step, axis=None)[(state.best_step.size - 1) // 2]),
        best_val_loss=float(np.mean(state.best_loss)),
        seconds=log.seconds,
        compile_seconds=log.compile_seconds,
        compilations=log.compilations,
        steps_per_second=log.steps[-1] / max(log.busy, 1e-9),
        stopped="finished" if int(state.step) >= config.steps else "early",
        n_train=n_train,
        n_validation=n_validation,
        batch_size=config.batch_size,
    )


def partition(model: Model) -> tuple[Any, Any]:
    """Split a model into what is trained and what is not."""
    return eqx.partition(
        model, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )


# Run once, so the less the compiler polishes it the better: 11 s become 3 s.
@functools.partial(jit, xla_backend_optimization_level=0)
def _build(method: AbstractMethod, key: Key, spec: Spec) -> tuple[Array, Any, Any, int | None]:
    """Weights, the shapes of the leaves that they are, the leaves that are not trained, and the
    number of members."""
    model, members = apart(method.init(key, spec))
    tree, frozen = partition(model)
    if members is None:
        return ravel_pytree(tree)[0], jax.eval_shape(lambda: tree), frozen, None
    weights = jax.vmap(lambda one: ravel_pytree(one)[0])(tree)
    return weights, jax.eval_shape(lambda: jax.tree.map(lambda v: v[0], tree)), frozen, members


def _optimiser(config: FitConfig, schedule: Schedule) -> optax.GradientTransformation:
    adam = optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.scale_by_adam(b2=config.b2),
        # A number that is traced, which optax types as one that is known.
        optax.add_decayed_weights(cast(float, schedule.weight_decay)),
        optax.scale_by_learning_rate(schedule.rate),
    )
    return optax.apply_if_finite(adam, max_consecutive_errors=100)  # one wild batch does no harm


@jit
def _chunk(
    state: State,
    frozen: Any,
    steps: Array,
    schedule: Schedule,
    static: _Static,
    source: AbstractSource,
    validation: Stored,
    key: Key,
) -> tuple[State, Array, Array]:
    """So many steps, then one look at the validation loss of the averaged weights."""
    run = functools.partial(_advance, steps=steps, schedule=schedule, static=static)
    if static.members is None:
        return run(state, frozen, key, key, source, validation)

    def one(state: State, frozen: Any, key: Key, key_rows: Key, share: Array) -> Any:
        return run(state, frozen, key, key_rows, *turned(source, validation, share))

    keys = jax.random.split(key, static.members)
    fresh = isinstance(source, Fresh)  # nothing is overfitted, and to simulate may cost more
    rows = (key, None) if fresh else (keys, 0)
    shares = jnp.arange(static.members) / static.members
    axes: Any = State._make([0] * 7 + [None])  # the step is the same for all
    vectorised = eqx.filter_vmap(
        one, in_axes=(axes, eqx.if_array(0), 0, rows[1], 0), out_axes=(axes, 0, 0)
    )
    return vectorised(state, frozen, keys, rows[0], shares)


def _advance(
    state: State,
    frozen: Any,
    key: Key,
    key_rows: Key,
    source: AbstractSource,
    validation: Stored,
    *,
    steps: Array,
    schedule: Schedule,
    static: _Static,
) -> tuple[State, Array, Array]:
    """`_chunk` of a model, or of one member."""
    method, optimiser = static.method, _optimiser(static.config, schedule)

    def losses(weights: Array, ema: Array, batch: Batch, key: Key, step: Array, training: bool):
        ctx = Ctx(key, step, schedule.total_steps, static.model(ema, frozen), training)
        return method.loss(static.model(weights, frozen), batch, ctx)

    def mean_loss(weights: Array, ema: Array, batch: Batch, key: Key, step: Array) -> Array:
        return jnp.mean(losses(weights, ema, batch, key, step, True))

    def one_step(_: Array, carry: tuple) -> tuple:
        weights, ema, opt_state, step, total = carry
        key_batch, _ = jax.random.split(jax.random.fold_in(key_rows, step))
        _, key_loss = jax.random.split(jax.random.fold_in(key, step))
        batch = source.batch(key_batch, step)
        loss, grad = jax.value_and_grad(mean_loss)(weights, ema, batch, key_loss, step)
        updates, opt_state = optimiser.update(grad, opt_state, weights)
        weights = optax.apply_updates(weights, updates)
        decay = jnp.minimum(static.config.ema, (1 + step) / (10 + step))
        ema = optax.incremental_update(weights, ema, 1 - decay)
        return weights, ema, opt_state, step + 1, total + loss

    carry = (state.weights, state.ema, state.optimiser, state.step, jnp.zeros(()))
    weights, ema, opt_state, step, total = jax.lax.fori_loop(0, steps, one_step, carry)
    # The same key at every check: differences are then due to the weights.
    each = losses(ema, ema, validation.rows, key, step, False)
    counts = jnp.arange(len(each)) < validation.n
    val_loss = jnp.sum(jnp.where(counts, each, 0.0)) / validation.n
    # Nothing overfits fresh simulations, and errors are least at the end of the schedule: to choose
    # a step by the loss of so few rows would be chance.
    last = isinstance(source, Fresh)
    better = jnp.isfinite(val_loss) if last else val_loss < state.best_loss
    best = jnp.where(better, ema, state.best)
    return (
        State(
            weights, ema, best, opt_state,
            jnp.where(better, val_loss, state.best_loss),
            jnp.where(better, step, state.best_step),
            jnp.where(better, 0, state.stale + 1),
            step,
        ),
        jnp.where(steps > 0, total / steps, val_loss),
        val_loss,
    )  # fmt: skip


def _stale(state: State, config: FitConfig) -> bool:
    return config.patience is not None and int(np.min(state.stale)) >= config.patience


def _check(state: State, loss: float, val_loss: float) -> None:
    if not (np.isfinite(loss) or np.isfinite(val_loss)):
        raise TrainingError(
            f"the loss is {loss} and the validation loss {val_loss} at step {int(state.step)}: "
            "lower FitConfig.learning_rate, and look at the simulations for extreme values"
        )


def _interrupted(config: FitConfig, step: int, total: int) -> str:
    at = f"training was interrupted at step {step:,} of {total:,}"
    if config.checkpoint is None:
        return f"{at}; nothing was saved. FitConfig(checkpoint=...) makes a run resumable."
    return f"{at}; it goes on from {config.checkpoint} when the same command or call is run again."
