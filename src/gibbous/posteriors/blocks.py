"""The compiled programs of a posterior: a block of draws, a block of densities.

The mathematics is unbatched in `AbstractPosterior`; here it is vectorised over observations and
rows, and taken from z to the user's parameters and back.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gibbous._types import Key
from gibbous.compilation import jit
from gibbous.latent import Latent
from gibbous.posteriors.base import AbstractPosterior
from gibbous.posteriors.direct import DirectPosterior
from gibbous.posteriors.mcmc import MCMCPosterior
from gibbous.samplers import Trace
from gibbous.scaling import Standardizer


class Core(NamedTuple):
    """What the compiled blocks need."""

    approximation: AbstractPosterior
    latent: Latent
    x_scaler: Standardizer


# The samplers repeat the network many times over: polished less, they compile a quarter faster and
# run as fast (measured on the double moon).
@functools.partial(jit, xla_backend_optimization_level=1)
def sample_block(
    core: Core,
    key: Key,
    job: np.ndarray | Array,
    x: np.ndarray | Array,
    mask: np.ndarray | Array | None,
    size: int,
) -> tuple[dict[str, Array], Trace]:
    """Parameters [jobs, chains, draws, *shape], and the traces without their z."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(job))
    x = core.x_scaler.forward(jnp.asarray(x))
    trace = jax.vmap(
        lambda k, row, m: core.approximation.sample(k, row, m, size),
        in_axes=(0, 0, None if mask is None else 0),
    )(keys, x, mask)
    shape = trace.z.shape[:3]
    theta, _ = core.latent.decode(trace.z.reshape(-1, trace.z.shape[-1]))
    theta = {name: v.reshape(*shape, *v.shape[1:]) for name, v in theta.items()}
    return theta, trace._replace(z=jnp.zeros((len(job), 0)))


@jit
def evaluate_block(
    core: Core,
    theta: dict[str, Any],
    x: np.ndarray | Array,
    mask: np.ndarray | Array | None,
    paired: bool,
    what: str,
) -> Array:
    """Log densities in the user's units: of the "posterior" or the "likelihood"; or an "error"."""
    z = core.latent.encode(theta)
    y = core.x_scaler.forward(jnp.asarray(x))
    mask = None if mask is None else jnp.asarray(mask)
    axes = (0, 0 if paired else None, 0 if paired and mask is not None else None)
    if what == "error":
        assert isinstance(core.approximation, DirectPosterior)
        return jax.vmap(core.approximation.log_prob_error, axes)(z, y, mask)
    if what == "likelihood":
        assert isinstance(core.approximation, MCMCPosterior)
        density = jax.vmap(core.approximation.log_likelihood, axes)(z, y, mask)
    else:
        density = jax.vmap(core.approximation.log_prob, axes)(z, y, mask)
        density -= core.latent.decode(z)[1]
    units = _units(core, jnp.asarray(x), mask, paired)
    return jnp.where(core.latent.inside(theta), density + units, -jnp.inf)


@jit
def evidence_units(core: Core, x: np.ndarray | Array, mask: np.ndarray | Array | None) -> Array:
    """What takes the evidence of each dataset to the user's units."""
    return _units(core, jnp.asarray(x), mask, True)


def _units(core: Core, x: Array, mask: Any, batched: bool) -> Array:
    """log |d x_standardised / d x|, which takes a density of x to the user's units."""
    a = core.approximation
    if not isinstance(a, MCMCPosterior) or not a.likelihood.normalised:
        return jnp.zeros(())
    each = core.x_scaler.log_det(x)
    if mask is not None:
        each = jnp.where(jnp.asarray(mask)[..., None] > 0, each, 0.0)
    return jnp.sum(each, axis=tuple(range(int(batched), x.ndim)))
