"""Data sources: a function batch(key, step) -> Batch, and nothing else.

Two of them: simulations that are held in memory, and fresh simulations at every step. Training is
the same for both, and compiles the source into its steps.

Where sets differ in size, each row of a batch has a largest size of its own that is known before,
so that rows can be cut into `Groups` (`sets.py`).
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gibbous._types import Key, Theta
from gibbous.compilation import jit
from gibbous.latent import Latent
from gibbous.missing import AbstractMissing, Subsets, hide
from gibbous.scaling import Standardizer
from gibbous.sets import Groups
from gibbous.simulation.discrete import blur
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator

_POINTS = 2**22  # of sets, series and images that scalers are fitted to


class Batch(NamedTuple):
    """Rows for one step.

    z: [B, dim], unconstrained and standardised parameters, or, where the network is to learn x
    given them, what it sees of them (`Latent.given`); x: [B, *event_shape], standardised datasets;
    mask: [B, n] for padded sets, 1 where a point counts, or None where all do; round: [B], that
    each row came from, or None where all are draws of the prior; groups: of sets, points that count
    being first.
    """

    z: Array
    x: Array
    mask: Array | None = None
    round: Array | None = None
    groups: Groups = Groups()

    def embedded(self, net: Callable[[Array, Array | None], Array]) -> Float[Array, "B e"]:
        """The vector of each dataset."""
        if self.mask is None:
            return jax.vmap(lambda x: net(x, None))(self.x)
        parts, start = [], 0
        for end, n in self.groups.ends or ((len(self.x), self.x.shape[1]),):
            parts.append(jax.vmap(net)(self.x[start:end, :n], self.mask[start:end, :n]))
            start = end
        return jnp.concatenate(parts)


class AbstractSource(eqx.Module):
    """Where batches come from."""

    @abstractmethod
    def batch(self, key: Key, step: Array) -> Batch:
        """The batch for one step; a pure function that is traced into the training loop."""


class Stored(NamedTuple):
    """Rows held in memory, of which the first `n` count: what follows them only keeps the shape
    that programs were compiled for."""

    rows: Batch
    n: Int[Array, ""]


class Resident(AbstractSource):
    """Rows held in memory.

    The rows, being independent, are cut into `batch_size` strata in their order, and one is drawn
    from each: a batch without repeats that costs no permutation of the whole set.

    `missing` is drawn for each row of each batch. Where sets differ in size, the rows are in order
    of it, as `store` makes them. `order` says in what order the rows are taken, if in another.
    """

    stored: Stored
    batch_size: int = eqx.field(static=True)
    missing: AbstractMissing | Subsets | None = None
    groups: Groups = Groups()
    order: Int[Array, " rows"] | None = None

    def batch(self, key: Key, step: Array) -> Batch:
        """One row from each stratum; a random rotation lets every row be drawn equally often."""
        n = self.stored.n
        key_row, key_turn, key_missing = (*jax.random.split(key), jax.random.fold_in(key, 2))
        if self.stored.rows.mask is None:
            width = n // self.batch_size
            within = jax.random.randint(key_row, (self.batch_size,), 0, width)
            turn = jax.random.randint(key_turn, (), 0, n)
            index = (jnp.arange(self.batch_size) * width + within + turn) % n
        else:  # strata of fractional width, so that slots keep to their sizes
            place = jnp.arange(self.batch_size) + jax.random.uniform(key_row, (self.batch_size,))
            index = jnp.minimum((place * (n / self.batch_size)).astype(int), n - 1)
        if self.order is not None:
            index = self.order[index]
        batch = jax.tree.map(lambda a: a[index], self.stored.rows)
        return observe(key_missing, batch._replace(groups=self.groups), self.missing)


def turned(source: AbstractSource, validation: Stored, share: Array) -> tuple[Any, Stored]:
    """The same rows, others of them held out: those held out and those trained on are a ring, which
    is turned by a share of it. Not of fresh simulations, nor of sets in order of their sizes, nor
    where those held out lack entries, and those trained on only when they are drawn."""
    if not isinstance(source, Resident) or source.missing is not None:
        return source, validation
    if source.stored.rows.mask is not None:
        return source, validation
    n, v, room = source.stored.n, validation.n, len(validation.rows.z)
    parts = validation.rows, source.stored.rows
    rows = jax.tree.map(lambda held, trained: jnp.concatenate([held, trained]), *parts)

    def place(i: Array) -> Array:
        i = (i + (share * (n + v)).astype(int)) % (n + v)
        return jnp.where(i < v, i, room + i - v)

    held = place(jnp.arange(room))
    order = place(v + jnp.arange(len(source.stored.rows.z)))
    mine = replace(source, stored=Stored(rows, n), order=order)
    return mine, Stored(jax.tree.map(lambda a: a[held], rows), v)


class Fresh(AbstractSource):
    """New simulations at every step: nothing is stored, nothing can be overfitted.

    `spacing` is that of data on a lattice, where they have to be continuous (`discrete.py`).
    """

    simulator: Simulator = eqx.field(static=True)
    latent: Latent
    x_scaler: Standardizer
    batch_size: int = eqx.field(static=True)
    given: bool = eqx.field(static=True)
    missing: AbstractMissing | Subsets | None = None
    groups: Groups = Groups()
    spacing: Float[Array | np.ndarray, " features"] | None = None

    def batch(self, key: Key, step: Array) -> Batch:
        """Simulate `batch_size` rows; one that failed is replaced by another of the batch."""
        key_theta, key_x = jax.random.split(key)
        theta = self.latent.prior.sample(key_theta, self.batch_size)
        keys = jax.random.split(key_x, self.batch_size)
        x, mask = jax.vmap(self.simulator.dataset)(keys, theta)
        if self.spacing is not None:
            x = blur(jax.random.fold_in(key, 3), x, self.spacing)
        z = _encode(self.latent, theta, self.given)
        finite = jnp.isfinite(x) if mask is None else jnp.isfinite(x) | (mask == 0)[..., None]
        good = finite.reshape(self.batch_size, -1).all(axis=1)
        row = jnp.where(good, jnp.arange(self.batch_size), jnp.argmax(good))
        batch = _padded(Batch(z, self.x_scaler.forward(x), mask, groups=self.groups))
        batch = jax.tree.map(lambda a: a[row], batch)
        return observe(jax.random.fold_in(key, 2), batch, self.missing)


def observe(key: Key, batch: Batch, missing: AbstractMissing | Subsets | None) -> Batch:
    """What is observed of each dataset."""
    if missing is None:
        return batch
    if isinstance(missing, AbstractMissing):
        return batch._replace(x=hide(key, missing, batch.x))
    key_size, key_order = jax.random.split(key)
    rows, n = batch.x.shape[:2]
    u = jax.random.uniform(key_size, (rows,))
    if batch.mask is None:  # as many sizes as slots, in ascending order
        u, counts = (jnp.arange(rows) + u) / rows, jnp.ones((rows, n))
    else:
        counts = batch.mask
    size = missing.size(u, jnp.sum(counts, axis=1))
    order = jnp.argsort(jax.random.uniform(key_order, (rows, n)) - counts, axis=1)
    x = jnp.take_along_axis(batch.x, order[..., None], axis=1)
    return batch._replace(x=x, mask=(jnp.arange(n) < size[:, None]).astype(jnp.float32))


def observed_part(
    key: Key, sims: Simulations, missing: AbstractMissing | Subsets | None
) -> Simulations:
    """These simulations, as if that were missing of each; without those that lack everything."""
    if missing is None:
        return sims
    mask = None if sims.mask is None else jnp.asarray(sims.mask, jnp.float32)
    batch = observe(key, Batch(jnp.zeros((len(sims), 0)), jnp.asarray(sims.x), mask), missing)
    x = np.asarray(batch.x)
    if isinstance(missing, AbstractMissing):
        some = np.isfinite(x).reshape(len(x), -1).any(axis=1)
        part = Simulations(sims.theta, x, round=sims.round, sizes=sims.sizes)
        return part.rows(np.flatnonzero(some))
    counts = np.asarray(batch.mask) > 0  # pyright: ignore[reportOptionalOperand]
    x = np.where(counts[..., None], x, np.nan)
    return Simulations(sims.theta, x, round=sims.round, sizes=counts.sum(axis=1))


def groups(sims: Simulations, missing: AbstractMissing | Subsets | None, batch_size: int) -> Groups:
    """Those of batches of these rows, in order of their sizes; none but for sets."""
    slot = np.arange(1, batch_size + 1) / batch_size  # the end of each, as a share of all rows
    if sims.sizes is not None:
        last = np.ceil(slot * len(sims)).astype(int).clip(max=len(sims)) - 1
        return Groups.of(np.maximum(np.sort(sims.sizes)[last], 1))
    if isinstance(missing, Subsets):
        return Groups.of(np.asarray(missing.size(slot, sims.x.shape[1])).astype(int))
    return Groups()


def fit_x_scaler(sims: Simulations) -> Standardizer:
    """Standardise each element of vectors, but each feature (last axis) of sets, series, images.

    The points of a set are exchangeable, so they must share a scale.
    """
    return Standardizer.fit(columns(sims), rounds=several_rounds(sims))


def several_rounds(sims: Simulations) -> bool:
    """Whether rows of more than one round are among them."""
    return bool(np.ptp(sims.round))


def columns(sims: Simulations) -> Float[np.ndarray, "rows features"]:
    """Vectors, or what counts of sets, series and images, of as many as suffice to know a scale."""
    if sims.x.ndim == 2:
        return sims.x
    inner = int(np.prod(sims.x.shape[1:-1]))
    some = sims.rows(np.arange(min(len(sims), 1 + _POINTS // max(1, inner))))
    return some.x[... if some.mask is None else some.mask].reshape(-1, some.x.shape[-1])


def to_batch(sims: Simulations, latent: Latent, x_scaler: Standardizer, given: bool) -> Batch:
    """All rows of `sims` as one batch.

    `given` says whether the network is to learn x given theta, as `Latent.given` explains.
    """
    mask = None if sims.mask is None else sims.mask.astype(np.float32)
    batch = _batch(dict(sims.theta), sims.x, mask, latent, x_scaler, given)
    return batch._replace(round=jnp.asarray(sims.round))


def store(
    sims: Simulations, latent: Latent, x_scaler: Standardizer, given: bool, room: int | None
) -> Stored:
    """The rows of `sims` for `Resident` or for validation, sets in order of their sizes, repeated
    until there are `room` of them (None: as they are), so that sets of any size up to that share
    their programs."""
    n = len(sims)
    if sims.sizes is not None:
        sims = sims.rows(np.argsort(sims.sizes, kind="stable"))
    padded = sims if room is None else sims.rows(np.arange(room) % n)
    return Stored(to_batch(padded, latent, x_scaler, given), jnp.array(n))


@jit
def _batch(
    theta: Theta, x: Any, mask: Any, latent: Latent, x_scaler: Standardizer, given: bool
) -> Batch:
    y = x_scaler.forward(jnp.asarray(x))
    return _padded(Batch(_encode(latent, theta, given), y, mask))


def _padded(batch: Batch) -> Batch:
    """Zero in the place of points that do not count."""
    if batch.mask is None:
        return batch
    return batch._replace(x=jnp.where(batch.mask[..., None] > 0, batch.x, 0.0))


def _encode(latent: Latent, theta: Theta, given: bool) -> Array:
    z = latent.encode(theta)
    return latent.given(z) if given else z


def some_points(key: Key, batch: Batch, n: int) -> Batch:
    """n points drawn from each set of a batch, without repeats while it has as many; all if none
    has more."""
    rows, most = batch.x.shape[:2]
    if batch.mask is None and most <= n:
        return batch
    counts = jnp.ones((rows, most)) if batch.mask is None else batch.mask
    order = jnp.argsort(jax.random.uniform(key, (rows, most)) - counts, axis=1)
    return _take(batch, order, n)


def pairs(batch: Batch) -> tuple[Array, Array]:
    """Each point of each set with the z of its set: z [B n, dim], x [B n, d]; sets of fewer points
    than others have theirs repeated."""
    if batch.mask is not None:
        batch = _take(batch, jnp.argsort(-batch.mask, axis=1), batch.x.shape[1])
    n = batch.x.shape[1]
    return jnp.repeat(batch.z, n, axis=0), batch.x.reshape(-1, batch.x.shape[2])


def _take(batch: Batch, order: Array, n: int) -> Batch:
    """n points of each set in this order, of which those that count are first, over and over."""
    size = order.shape[1] if batch.mask is None else jnp.sum(batch.mask, axis=1, keepdims=True)
    place = (jnp.arange(n) % jnp.maximum(size, 1)).astype(int)
    index = jnp.take_along_axis(order, jnp.broadcast_to(place, (len(order), n)), axis=1)
    return batch._replace(x=jnp.take_along_axis(batch.x, index[..., None], axis=1), mask=None)
