"""Data sources: a function batch(key, step) -> Batch, and nothing else.

Two of them: simulations that are held in memory, and fresh simulations at every step. Training is
the same for both, and compiles the source into its steps.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from gibbous._types import Key, Theta
from gibbous.errors import ShapeError
from gibbous.latent import Latent
from gibbous.scaling import Standardizer
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator

_LOOK = 20_000  # rows looked at for discrete data
_COMMON = 0.05  # share of them that may be of one value


class Batch(NamedTuple):
    """Rows for one step.

    z: [B, dim], unconstrained and standardised parameters, or, where the network is to learn x
    given them, what it sees of them (`Latent.given`); x: [B, *event_shape], standardised datasets;
    mask: [B, n] for padded sets, 1 where a point counts, or None where all do; round: [B], that
    each row came from, or None where all are draws of the prior.
    """

    z: Array
    x: Array
    mask: Array | None = None
    round: Array | None = None


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
    """

    stored: Stored
    batch_size: int = eqx.field(static=True)

    def batch(self, key: Key, step: Array) -> Batch:
        """One row from each stratum; a random rotation lets every row be drawn equally often."""
        n = self.stored.n
        width = n // self.batch_size
        key_row, key_turn = jax.random.split(key)
        within = jax.random.randint(key_row, (self.batch_size,), 0, width)
        turn = jax.random.randint(key_turn, (), 0, n)
        index = (jnp.arange(self.batch_size) * width + within + turn) % n
        return jax.tree.map(lambda a: a[index], self.stored.rows)


class Fresh(AbstractSource):
    """New simulations at every step: nothing is stored, nothing can be overfitted."""

    simulator: Simulator = eqx.field(static=True)
    latent: Latent
    x_scaler: Standardizer
    batch_size: int = eqx.field(static=True)
    given: bool = eqx.field(static=True)

    def batch(self, key: Key, step: Array) -> Batch:
        """Simulate `batch_size` rows; one that failed is replaced by another of the batch."""
        key_theta, key_x = jax.random.split(key)
        theta = self.latent.prior.sample(key_theta, self.batch_size)
        keys = jax.random.split(key_x, self.batch_size)
        x = jax.vmap(self.simulator.function)(keys, theta).astype(jnp.float32)
        z = _encode(self.latent, theta, self.given)
        good = jnp.isfinite(x).reshape(self.batch_size, -1).all(axis=1)
        row = jnp.where(good, jnp.arange(self.batch_size), jnp.argmax(good))
        return Batch(z[row], self.x_scaler.forward(x[row]))


def fit_x_scaler(x: np.ndarray) -> Standardizer:
    """Standardise each element of vectors, but each feature (last axis) of sets, series, images.

    The points of a set are exchangeable, so they must share a scale.
    """
    return Standardizer.fit(x if x.ndim == 2 else x.reshape(-1, x.shape[-1]))


def check_continuous(x: np.ndarray) -> None:
    """Whether data may have a density.

    Raises:
        ShapeError: if one value makes up more than 5% of some feature.
    """
    columns = x.reshape(-1, x.shape[-1])[:_LOOK]
    for i, column in enumerate(columns.T):
        value, count = np.unique(column, return_counts=True)
        share, most = count.max() / len(column), value[count.argmax()]
        if share > _COMMON and count.max() > 1:
            raise ShapeError(
                f"{share:.0%} of the simulated x[..., {i}] equal {most:g}: data that are discrete, "
                "constant or piled up have no density, which gb.NLE learns. gb.NRE takes them; or "
                "leave the feature out, or add uniform noise as wide as the spacing of its values"
            )


def to_batch(sims: Simulations, latent: Latent, x_scaler: Standardizer, given: bool) -> Batch:
    """All rows of `sims` as one batch.

    `given` says whether the network is to learn x given theta, as `Latent.given` explains.
    """
    batch = _batch(dict(sims.theta), sims.x, latent, x_scaler, given)
    return batch._replace(round=jnp.asarray(sims.round))


def store(
    sims: Simulations, latent: Latent, x_scaler: Standardizer, given: bool, room: int | None
) -> Stored:
    """The rows of `sims` for `Resident` or for validation, repeated until there are `room` of them
    (None: as they are), so that sets of any size up to that share their programs."""
    n = len(sims)
    padded = sims if room is None else sims.rows(np.arange(room) % n)
    return Stored(to_batch(padded, latent, x_scaler, given), jnp.array(n))


@eqx.filter_jit
def _batch(
    theta: Theta, x: np.ndarray | Array, latent: Latent, x_scaler: Standardizer, given: bool
) -> Batch:
    return Batch(_encode(latent, theta, given), x_scaler.forward(jnp.asarray(x)))


def _encode(latent: Latent, theta: Theta, given: bool) -> Array:
    z = latent.encode(theta)
    return latent.given(z) if given else z


def some_points(key: Key, batch: Batch, n: int) -> Batch:
    """n points drawn from each set of a batch, without repeats; all if it has no more."""
    if batch.x.shape[1] <= n:
        return batch
    keys = jax.random.split(key, len(batch.x))
    choose = jax.vmap(lambda k: jax.random.choice(k, batch.x.shape[1], (n,), replace=False))
    return batch._replace(x=jnp.take_along_axis(batch.x, choose(keys)[:, :, None], axis=1))


def pairs(batch: Batch) -> tuple[Array, Array]:
    """Each point of each set with the z of its set: z [B n, dim], x [B n, d]."""
    n = batch.x.shape[1]
    return jnp.repeat(batch.z, n, axis=0), batch.x.reshape(-1, batch.x.shape[2])
