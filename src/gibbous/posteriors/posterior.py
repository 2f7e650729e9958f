"""The posterior as the user holds it: named parameters, their units, any number of observations.

    z ~ q(z | x),   theta = T(S^-1(z)),   log p(theta | x) = log q(z | x) - log |det d theta/d z|.

The mathematics is written for one observation in `AbstractPosterior`; here it is vectorised, once.
Work is cut into blocks of equal shape, so that memory stays bounded and few programs are compiled.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous import tensors
from gibbous._types import Key, Seed, Theta, as_key
from gibbous.errors import (
    ConfigError,
    ObservationError,
    ObservationWarning,
    OutputExistsError,
    ShapeError,
)
from gibbous.posteriors.base import AbstractPosterior
from gibbous.posteriors.draws import Draws
from gibbous.prior import Latent, Prior
from gibbous.progress import progress_bar
from gibbous.scaling import Standardizer

_BLOCK = 2**14  # draws, or densities, computed at a time
_FAR = 0.25  # an observation this far outside the training range, in units of it, gets a warning


@dataclass(frozen=True, repr=False)
class Posterior:
    """What `gb.fit` returns.

    Args:
        approximation: q(z | x), unbatched.
        latent: the map between theta and z.
        x_scaler: the standardiser of datasets.
        event_shape: shape of one dataset.
        history: how the training went.
        recipe: what `save` writes besides the arrays, as plain JSON values.
    """

    approximation: AbstractPosterior
    latent: Latent
    x_scaler: Standardizer
    event_shape: tuple[int, ...]
    history: Any
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Posterior of {list(self.names)} given x of shape {list(self.event_shape)}"

    @property
    def names(self) -> tuple[str, ...]:
        """The inferred parameters."""
        return self.latent.names

    @property
    def prior(self) -> Prior:
        """The prior of all parameters, nuisances included."""
        return self.latent.prior

    def sample(self, x: Any, n: int = 1_000, *, seed: Seed, progress: bool = False) -> Draws:
        """Draw from the posterior.

        Args:
            x: one observation [*event_shape], or a batch of them [m, *event_shape].
            n: draws for each observation.
            seed: an int or a JAX key.
            progress: show a bar (for batches that take long).

        Returns:
            Draws with arrays [n, *shape], or [m, n, *shape] for a batch.

        Raises:
            ShapeError: if x has neither shape.
            ObservationError: if x holds NaN or inf.
            ConfigError: if n is not positive.
        """
        if n < 1:
            raise ConfigError(f"expected at least one draw, got {n=}")
        key = as_key(seed)
        x, batched = self._observations(x)
        values = self._sample(key, x, n, progress)
        theta = {name: v if batched else v[0] for name, v in values.items()}
        return Draws(theta, int(batched))

    def log_prob(self, theta: Theta | Any, x: Any) -> Float[np.ndarray, "*batch"]:
        """Log density in the user's parameters; -inf outside the prior's support.

        Args:
            theta: a dict of arrays [*batch, *shape] of the inferred parameters, or one array
                [*batch, dim] with columns in the order of `names`.
            x: one observation, or a batch as long as that of theta, paired row by row.

        Raises:
            ShapeError: on shapes that do not fit, or batches of different lengths.
            ParameterError: on an unknown or a missing name.
            ObservationError: if x holds NaN or inf.
        """
        values, batch = self.prior.parse(theta, self.names)
        x, batched = self._observations(x)
        if batched and batch not in ((), (len(x),)):
            raise ShapeError(
                f"a batch of theta {batch} cannot be paired row by row with a batch of "
                f"{len(x)} observations"
            )
        if batched:
            batch = (len(x),)
        shapes = self.prior.shapes
        flat = {
            k: np.broadcast_to(v, batch + shapes[k]).reshape(-1, *shapes[k])
            for k, v in values.items()
        }
        return self._log_prob(flat, x, batched).reshape(batch)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write to one file: arrays as safetensors, the rest as JSON; `gb.load` reads it.

        Raises:
            OutputExistsError: if the file is there already and `overwrite` is not set.
        """
        if Path(path).exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; choose another name or pass overwrite=True")
        arrays = tensors.flatten((self.approximation, self.latent.scaler, self.x_scaler))
        tensors.write(path, arrays, {"kind": "posterior", **self.recipe})

    # --- vectorised, once -------------------------------------------------------------------------

    def _sample(self, key: Key, x: np.ndarray, n: int, progress: bool) -> dict[str, np.ndarray]:
        # One job is `size` draws for one observation; `width` jobs run side by side.
        size = min(_power_of_two(n), _BLOCK)
        per_x = -(-n // size)
        jobs = len(x) * per_x
        width = min(_power_of_two(jobs), max(1, _BLOCK // size))
        out: list[dict[str, np.ndarray]] = []
        with progress_bar("sampling", jobs, unit="blocks", show=progress) as advance:
            for start in range(0, jobs, width):
                job = np.minimum(np.arange(start, start + width), jobs - 1)
                theta = _sample_block(self._core, key, job, x[job // per_x], size)
                out.append({k: np.asarray(v) for k, v in theta.items()})
                advance(min(start + width, jobs))
        return {
            name: np.concatenate([part[name] for part in out])[: jobs * size].reshape(
                len(x), per_x * size, *self.prior.shapes[name]
            )[:, :n]
            for name in self.names
        }

    def _log_prob(self, theta: dict[str, np.ndarray], x: np.ndarray, paired: bool) -> np.ndarray:
        n = len(next(iter(theta.values())))
        size = min(_power_of_two(n), _BLOCK)
        out = []
        for start in range(0, n, size):
            row = np.minimum(np.arange(start, start + size), n - 1)
            rows = {k: v[row] for k, v in theta.items()}
            out.append(_log_prob_block(self._core, rows, x[row] if paired else x[0], paired))
        return np.concatenate(out)[:n]

    @property
    def _core(self) -> "_Core":
        return _Core(self.approximation, self.latent, self.x_scaler)

    def _observations(self, x: Any) -> tuple[np.ndarray, bool]:
        """Check observations; return them as [m, *event_shape], and whether m was given."""
        x = np.asarray(x, np.float32)
        batched = x.ndim == len(self.event_shape) + 1
        if x.shape[batched:] != self.event_shape:
            raise ShapeError(
                f"expected one observation of shape {self.event_shape} or a batch "
                f"[m, {', '.join(map(str, self.event_shape))}], got shape {x.shape}"
            )
        bad = int((~np.isfinite(x)).sum())
        if bad:
            raise ObservationError(
                f"the observation holds {bad} NaN or infinite of {x.size} values; this posterior "
                "was trained on complete datasets: remove or impute them"
            )
        excess = self.x_scaler.excess(x)
        if excess > _FAR and not batched:
            warnings.warn(
                f"the observation lies {excess:.1f} times the whole training range outside of it; "
                "networks extrapolate badly, so do not trust this posterior. Compare the "
                "observation with simulations from the prior.",
                ObservationWarning,
                stacklevel=3,
            )
        return (x if batched else x[None]), batched


class _Core(NamedTuple):
    """What the compiled blocks need."""

    approximation: AbstractPosterior
    latent: Latent
    x_scaler: Standardizer


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


@eqx.filter_jit
def _sample_block(
    core: _Core, key: Key, job: np.ndarray | Array, x: np.ndarray | Array, size: int
) -> dict[str, Array]:
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(job))
    z = jax.vmap(lambda k, row: core.approximation.sample(k, row, None, size))(
        keys, core.x_scaler.forward(jnp.asarray(x))
    )
    theta, _ = core.latent.decode(z.reshape(len(job) * size, -1))
    return theta


@eqx.filter_jit
def _log_prob_block(
    core: _Core, theta: dict[str, Any], x: np.ndarray | Array, paired: bool
) -> Array:
    z = core.latent.encode(theta)
    x = core.x_scaler.forward(jnp.asarray(x))
    density = jax.vmap(
        lambda z, x: core.approximation.log_prob(z, x, None), (0, 0 if paired else None)
    )(z, x)
    _, log_det = core.latent.decode(z)
    return jnp.where(core.latent.inside(theta), density - log_det, -jnp.inf)
