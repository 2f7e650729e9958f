"""Any number of draws, densities and observations, by blocks of few shapes.

Work is cut into blocks of equal shape (`blocks.py`), so that memory stays bounded and few programs
are compiled. Jobs go in the order of the sizes of their datasets, so that a block pads little.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from gibbous._types import Key, Theta
from gibbous.errors import ObservationError, ShapeError
from gibbous.posteriors.blocks import Core, evaluate_block, evidence_units, sample_block
from gibbous.posteriors.convergence import Diagnostics
from gibbous.posteriors.observations import Observations
from gibbous.progress import progress_bar
from gibbous.samplers import Trace, side_by_side

_BLOCK = 2**14  # draws, or densities, computed at a time
_POINTS = 256  # of an iid dataset, evaluated side by side: see mcmc.py


def sample_direct(
    core: Core, key: Key, observed: Observations, n: int, progress: bool
) -> tuple[dict[str, np.ndarray], int, None]:
    """Independent draws: one job is `size` of them for one observation."""
    size = min(_power_of_two(n), _BLOCK)
    per_x = -(-n // size)
    jobs = len(observed.x) * per_x
    theta, _ = _run(core, key, observed, size, np.arange(jobs) // per_x, progress)
    shape = (len(observed.x), per_x * size)
    return {k: v.reshape(*shape, *v.shape[3:])[:, :n] for k, v in theta.items()}, 1, None


def sample_chains(
    core: Core, key: Key, observed: Observations, n: int, progress: bool
) -> tuple[dict[str, np.ndarray], int, Diagnostics]:
    """Draws of chains: one job is all of them for one observation.

    Raises:
        ObservationError: if an observation has no likelihood anywhere.
    """
    theta, trace = _run(core, key, observed, n, np.arange(len(observed.x)), progress)
    if not np.all(trace.started):
        raise ObservationError(
            f"the likelihood of observation {int(np.argmin(trace.started))} is zero or not "
            "finite at every draw of the prior that was tried: compare it with simulations, "
            "for values that are wrong by orders of magnitude"
        )
    first = next(iter(theta.values()))
    m, chains, length = first.shape[:3]
    side = np.concatenate([v.reshape(m, chains, length, -1) for v in theta.values()], axis=-1)
    constant = evidence_units(core, observed.x, observed.mask)
    found = Diagnostics.of(
        side,
        np.asarray(trace.divergences),
        np.asarray(trace.finished),
        np.asarray(trace.log_evidence + constant),
    )
    # One draw of each chain after the other, so that any first n hold as many of each.
    flat = {
        k: v.swapaxes(1, 2).reshape(m, chains * length, *v.shape[3:])[:, :n]
        for k, v in theta.items()
    }
    return flat, chains, found


def evaluate(
    core: Core, theta: Theta | Any, observed: Observations, what: str
) -> Float[np.ndarray, "*batch"]:
    """What `evaluate_block` gives, for parameters as the user has them.

    Raises:
        ShapeError: if a batch of theta is not as long as a batch of observations.
    """
    prior, names = core.latent.prior, core.latent.names
    values, batch = prior.parse(theta, names)
    m = len(observed.x)
    if observed.batched and batch not in ((), (m,)):
        raise ShapeError(
            f"a batch of theta {batch} cannot be paired row by row with a batch of {m} observations"
        )
    if observed.batched:
        batch = (m,)
    flat = {
        k: np.broadcast_to(v, batch + prior.shapes[k]).reshape(-1, *prior.shapes[k])
        for k, v in values.items()
    }
    n = int(np.prod(batch))
    points = min(observed.points, _POINTS)
    size = min(_power_of_two(n), max(1, _BLOCK // _power_of_two(points)))
    counts = observed.counts if observed.batched else np.zeros(n)
    order, out = np.argsort(counts, kind="stable"), []
    for start in range(0, n, size):
        row = order[np.minimum(np.arange(start, start + size), n - 1)]
        rows = {k: v[row] for k, v in flat.items()}
        y, mask = observed.rows(row if observed.batched else 0, cut=core.approximation.iid)
        out.append(np.asarray(evaluate_block(core, rows, y, mask, observed.batched, what)))
    value = np.concatenate([np.zeros(0, np.float32), *out])[:n]
    return value[np.argsort(order)].reshape(batch)


def _run(
    core: Core, key: Key, observed: Observations, size: int, row: np.ndarray, progress: bool
) -> tuple[dict[str, np.ndarray], Trace]:
    """Jobs side by side, as many as fit: parameters [jobs, chains, draws, *shape], and traces.

    row: the observation that each job is for.
    """
    approximation, points = core.approximation, min(observed.points, _POINTS)
    if approximation.direct:  # which looks at the points once for all draws
        fit = max(1, _BLOCK // max(size, points))
    else:
        fit = max(1, side_by_side() // (approximation.width(size) * points))
    width = min(_power_of_two(len(row)), _power_of_two(fit + 1) // 2)
    order, parts = np.argsort(observed.counts[row], kind="stable"), []
    with progress_bar("sampling", len(row), unit="blocks", show=progress) as advance:
        for start in range(0, len(row), width):
            job = order[np.minimum(np.arange(start, start + width), len(row) - 1)]
            x, mask = observed.rows(row[job], cut=approximation.iid)
            parts.append(jax.tree.map(np.asarray, sample_block(core, key, job, x, mask, size)))
            advance(min(start + width, len(row)))
    back = np.argsort(order)
    theta, trace = jax.tree.map(lambda *v: np.concatenate(v)[: len(row)][back], *parts)
    return {name: theta[name] for name in core.latent.names}, trace  # jit gives a dict back sorted


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
