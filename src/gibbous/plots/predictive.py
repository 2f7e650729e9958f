"""Posterior predictive: data simulated from posterior draws, with the observation on top."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Float, Real

from gibbous.errors import ShapeError
from gibbous.plots.style import POSTERIOR, TRUTH, one_axes, styled

if TYPE_CHECKING:
    import matplotlib.axes

_LEVELS = ((0.9, 0.22), (0.5, 0.4))  # probability of the band, and its opacity
_BAND = "of simulations"
_FEW = 8  # a vector shorter than this is drawn as bars, entry by entry
_MOST_POINTS = 20_000


@styled
def predictive(
    x_obs: Real[ArrayLike, "k *event"],
    x_sim: Real[ArrayLike, "S _ *event"],
    ax: "matplotlib.axes.Axes | None" = None,
    *,
    t: Real[ArrayLike, " k"] | None = None,
    labels: Sequence[str] | None = None,
) -> "matplotlib.axes.Axes":
    """Simulated data over the observed data.

    Args:
        x_obs: a vector [k] (or [k, 1]), or a set of points [n, 2].
        x_sim: S datasets from posterior draws, [S, k] (or [S, k, 1]) or [S, n, 2]; the sets may
            differ from the observation in n, and be padded by NaN.
        ax: where to draw.
        t: abscissa of a vector, [k]; its index by default.
        labels: labels of the two axes.

    Raises:
        ShapeError: on any other shapes.
    """
    obs, sim = np.asarray(x_obs, np.float64), np.asarray(x_sim, np.float64)
    if obs.ndim == 2 and obs.shape[1] == 1 and sim.shape[-1:] == (1,):
        obs, sim = obs[:, 0], sim[..., 0]
    vector = obs.ndim == 1 and sim.ndim == 2 and sim.shape[1] == len(obs)
    points = obs.ndim == 2 and obs.shape[1] == 2 and sim.ndim == 3 and sim.shape[2] == 2
    if not (vector or points):
        raise ShapeError(
            "expected x_obs [k] with x_sim [S, k], or x_obs [n, 2] with x_sim [S, n, 2]; "
            f"got {np.shape(x_obs)} and {np.shape(x_sim)}"
        )
    if points and t is not None:
        raise ShapeError("`t` is the abscissa of a vector; a set of points has none")
    ax = one_axes(ax)
    if points:
        _points(ax, obs, sim)
    else:
        _bands(ax, obs, sim, t)
    default = ("first coordinate", "second coordinate") if points else ("index", "data")
    names = default if labels is None else labels
    if len(names) != 2:
        raise ShapeError(f"expected two labels, one for each axis, got {list(names)}")
    ax.set_xlabel("t" if labels is None and t is not None else names[0])
    ax.set_ylabel(names[1])
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    order = sorted(handles, key=lambda name: not name.endswith(_BAND))  # stable: bands first
    ax.legend([handles[name] for name in order], order, loc="best")
    return ax


def _bands(
    ax: "matplotlib.axes.Axes",
    obs: Float[np.ndarray, " k"],
    sim: Float[np.ndarray, "S k"],
    t: Real[ArrayLike, " k"] | None,
) -> None:
    where = np.arange(len(obs)) if t is None else np.asarray(t)
    if where.shape != obs.shape:
        raise ShapeError(f"expected t of shape {obs.shape}, got {where.shape}")
    bars = t is None and len(obs) < _FEW
    for level, alpha in _LEVELS:
        low, high = np.quantile(sim, [(1 - level) / 2, (1 + level) / 2], axis=0)
        name = f"{level:.0%} {_BAND}"
        if bars:
            ax.bar(where, high - low, 0.5, low, color=POSTERIOR, alpha=alpha, lw=0, label=name)
        else:
            ax.fill_between(where, low, high, color=POSTERIOR, alpha=alpha, lw=0, label=name)
    median = np.median(sim, axis=0)
    if bars:
        ax.hlines(median, where - 0.25, where + 0.25, color=POSTERIOR, label="their median")
        ax.set_xticks(where)
        ax.use_sticky_edges = False  # else the lowest bar sits on the frame
        ax.autoscale_view()
    else:
        ax.plot(where, median, color=POSTERIOR, label="their median")
    size = 4 if len(obs) <= 60 else 2
    ax.plot(where, obs, "o", color=TRUTH, ms=size, mec="white", mew=0.4, label="observed")


def _points(
    ax: "matplotlib.axes.Axes", obs: Float[np.ndarray, "n 2"], sim: Float[np.ndarray, "S p 2"]
) -> None:
    flat = sim.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(axis=1)]  # sets may be padded
    flat = flat[:: -(-len(flat) // _MOST_POINTS)]
    alpha = float(np.clip(1_500 / len(flat), 0.06, 0.5))
    ax.scatter(*flat.T, s=5, color=POSTERIOR, alpha=alpha, lw=0, rasterized=True)
    ax.scatter([], [], s=14, color=POSTERIOR, alpha=0.6, lw=0, label="simulated")
    ax.scatter(*obs.T, s=9, color=TRUTH, lw=0.3, edgecolor="white", label="observed")
