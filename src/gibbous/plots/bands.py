"""Posterior of a curve: quantiles, at each abscissa, of what posterior draws say it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Float, Real

from gibbous.errors import ShapeError
from gibbous.plots.style import POSTERIOR, TRUTH, one_axes, styled

if TYPE_CHECKING:
    import matplotlib.axes

_LEVELS = ((0.95, 0.22), (0.68, 0.4))  # probability of the band, and its opacity


@styled
def bands(
    t: Float[ArrayLike, " k"],
    curves: Real[ArrayLike, "S k"],
    ax: "matplotlib.axes.Axes | None" = None,
    *,
    truth: Real[ArrayLike, " k"] | None = None,
    labels: Sequence[str] = ("t", "curve"),
) -> "matplotlib.axes.Axes":
    """Bands of 68% and 95% and the median of curves, one from each posterior draw.

    Args:
        t: abscissa.
        curves: S curves at these places.
        ax: where to draw; its scales may be set to logarithmic afterwards.
        truth: the true curve, if it is known.
        labels: of the two axes.

    Raises:
        ShapeError: on other shapes, or labels that are not two.
    """
    where, many = np.asarray(t, np.float64), np.asarray(curves, np.float64)
    if where.ndim != 1 or many.ndim != 2 or many.shape[1:] != where.shape:
        raise ShapeError(f"expected t [k] and curves [S, k], got {where.shape} and {many.shape}")
    if truth is not None and np.shape(truth) != where.shape:
        raise ShapeError(f"expected a true curve of shape {where.shape}, got {np.shape(truth)}")
    if len(labels) != 2:
        raise ShapeError(f"expected two labels, one for each axis, got {list(labels)}")
    ax = one_axes(ax)
    for level, alpha in _LEVELS:
        low, high = np.quantile(many, [(1 - level) / 2, (1 + level) / 2], axis=0)
        label = f"{level:.0%} of the posterior"
        ax.fill_between(where, low, high, color=POSTERIOR, alpha=alpha, lw=0, label=label)
    ax.plot(where, np.median(many, axis=0), color=POSTERIOR, label="median")
    if truth is not None:
        ax.plot(where, np.asarray(truth), color=TRUTH, ls="--", label="truth")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(loc="best")
    return ax
