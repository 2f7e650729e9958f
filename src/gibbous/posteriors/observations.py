"""Observations as the user gives them -> arrays that the compiled blocks take, or a clear error."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from gibbous.errors import ObservationError, ObservationWarning, ShapeError
from gibbous.scaling import Standardizer

FAR = 0.25  # an observation this far outside the training range, in units of it, gets a warning


class Observations(NamedTuple):
    """x: [m, *event_shape], sets padded to a bucket; mask: [m, n] for sets; batched: m was given.

    points: how many of n count.
    """

    x: np.ndarray
    mask: np.ndarray | None
    batched: bool
    points: int


def parse(x: Any, event_shape: tuple[int | None, ...], scaler: Standardizer) -> Observations:
    """Check observations against the shape of one dataset, None in it standing for any length.

    Raises:
        ShapeError: if x is neither one observation nor a batch of them.
        ObservationError: if x holds NaN or inf, or is an empty set.
    """
    x = np.asarray(x, np.float32)
    batched = x.ndim == len(event_shape) + 1
    fits = x.ndim - batched == len(event_shape) and all(
        want in (None, have) for have, want in zip(x.shape[batched:], event_shape, strict=True)
    )
    if not fits:
        shape = ", ".join("n" if s is None else str(s) for s in event_shape)
        raise ShapeError(
            f"expected one observation of shape [{shape}] or a batch [m, {shape}], "
            f"got shape {x.shape}"
        )
    if x.size == 0:
        raise ObservationError(
            f"the observation is empty (shape {x.shape}); without data the posterior is the prior: "
            "posterior.prior.sample(seed, n)"
        )
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise ObservationError(
            f"the observation holds {bad} NaN or infinite of {x.size} values; this posterior "
            "was trained on complete datasets: remove or impute them"
        )
    excess = scaler.excess(x)
    if excess > FAR and not batched:
        warnings.warn(
            f"the observation lies {excess:.1f} times the whole training range outside of it; "
            "networks extrapolate badly, so do not trust this posterior. Compare the "
            "observation with simulations from the prior.",
            ObservationWarning,
            stacklevel=4,
        )
    x = x if batched else x[None]
    if None not in event_shape:
        return Observations(x, None, batched, 1)
    n = x.shape[1]
    more = bucket(n) - n
    mask = np.pad(np.ones((len(x), n), np.float32), ((0, 0), (0, more)))
    return Observations(np.pad(x, ((0, 0), (0, more), (0, 0))), mask, batched, n)


def bucket(n: int) -> int:
    """n rounded up to one of four sizes in each octave: few programs, at most a quarter wasted."""
    step = max(1, 2 ** (n.bit_length() - 3))
    return -(-n // step) * step
