"""Observations as the user gives them -> arrays that the compiled blocks take, or a clear error."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from gibbous.errors import ObservationError, ObservationWarning, ShapeError
from gibbous.scaling import Standardizer
from gibbous.sets import bucket, pad

FAR = 0.25  # an observation this far outside the training range, in units of it, gets a warning


class Observations(NamedTuple):
    """x: [m, *event_shape], sets padded to a bucket, points that count first; mask: [m, n] for
    sets; batched: m was given; counts: how many points count, [m], 1 but for sets.
    """

    x: np.ndarray
    mask: np.ndarray | None
    batched: bool
    counts: np.ndarray

    @property
    def points(self) -> int:
        """Of the largest set."""
        return int(self.counts.max())

    def rows(self, index: np.ndarray | int, cut: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """x and mask of some; if they are to be `cut`, no more than four times as long as their
        largest: worth another compilation where all points are looked at over and over."""
        if self.mask is None:
            return self.x[index], None
        n, most = self.mask.shape[1], max(1, int(np.max(self.counts[index])))
        while cut and n >= 4 * most:
            n = -(-n // 4)
        return self.x[index][..., :n, :], self.mask[index][..., :n]


def parse(
    x: Any,
    event_shape: tuple[int | None, ...],
    scaler: Standardizer,
    sizes: tuple[int, int] | None = None,
    entries: bool = False,
) -> Observations:
    """Check observations against the shape of one dataset, None in it standing for any length.

    Args:
        x: one or a batch; of sets also a list. A point of a set that lacks an entry is left out.
        event_shape: of one.
        scaler: that was fitted to the simulations.
        sizes: least and most points of the sets that were trained on.
        entries: any of them may be missing (NaN).

    Raises:
        ShapeError: if x is neither one observation nor a batch of them.
        ObservationError: if x is not finite where it has to be, is a set beyond the largest bucket
            that was trained on, or holds nothing, unless such sets were trained on.

    Warns:
        ObservationWarning: if one lies far outside of what was simulated, or sets are smaller or
            larger than those trained on.
    """
    empty = sizes is not None and sizes[0] == 0
    x, sets = _array(x, event_shape), None in event_shape
    batched = x.ndim == len(event_shape) + 1
    x = x if batched else x[None]
    if x.size == 0 and not (empty and len(x)):
        raise ObservationError(_EMPTY)
    bad = np.isinf(x) if sets or entries else ~np.isfinite(x)
    if bad.any():
        raise ObservationError(
            f"the observation holds {int(bad.sum())} NaN or infinite of {x.size} values; this "
            "posterior was trained on complete datasets: remove or impute them, or fit with "
            "missing=gb.Missing()"
        )
    within = tuple(range(2 if sets else 1, x.ndim))
    counts = (np.any if entries else np.all)(np.isfinite(x), axis=within).reshape(len(x), -1)
    if not (empty or counts.any(axis=1).all()):
        raise ObservationError(_EMPTY)
    excess = scaler.excess(x)
    if excess > FAR and not batched:
        warnings.warn(
            f"the observation lies {excess:.1f} times the whole training range outside of it; "
            "networks extrapolate badly, so do not trust this posterior. Compare the "
            "observation with simulations from the prior.",
            ObservationWarning,
            stacklevel=5,
        )
    if not sets:
        return Observations(x, None, batched, np.ones(len(x), int))
    n = counts.sum(axis=1)
    if sizes is not None:
        _check_sizes(n, (1, sizes[1]) if entries else sizes)
    first = np.argsort(~counts, axis=1, kind="stable")
    x = np.take_along_axis(x, first[..., None], axis=1)[:, : n.max()]
    more = bucket(max(1, int(n.max()))) - x.shape[1]
    x = np.pad(x, ((0, 0), (0, more), (0, 0)))
    mask = np.arange(x.shape[1]) < n[:, None]
    return Observations(np.where(mask[..., None], x, 0), mask.astype(np.float32), batched, n)


_EMPTY = (
    "the observation is empty, or all of it is missing; without data the posterior is the prior: "
    "posterior.prior.sample(seed, n)"
)


def _array(x: Any, event_shape: tuple[int | None, ...]) -> np.ndarray:
    """One array, sets of different sizes padded by NaN."""
    if None in event_shape and isinstance(x, list | tuple) and len({np.shape(v) for v in x}) > 1:
        x, _ = pad(x)
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
    return x


def _check_sizes(n: np.ndarray, sizes: tuple[int, int]) -> None:
    low, high = sizes
    trained = f"this posterior was trained on sets of {low} to {high} points"
    if n.max() > bucket(high):
        raise ObservationError(
            f"a set has {n.max()} points: {trained}, and knows of no larger ones"
        )
    outside = (n < low) | (n > high)
    if outside.any():
        some = f"{int(outside.sum())} of {len(n)} sets have another size, one of them "
        warnings.warn(
            f"{some if len(n) > 1 else 'the set has '}{n[outside][0]} points: {trained}, and "
            "networks extrapolate badly",
            ObservationWarning,
            stacklevel=6,
        )
