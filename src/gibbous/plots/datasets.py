"""Datasets in small multiples: what a simulator makes of several draws of its parameters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Float, Real

from gibbous.errors import ShapeError
from gibbous.plots.style import POSTERIOR, columns_for, many_axes, number, styled

if TYPE_CHECKING:
    import matplotlib.axes

_TITLE_WIDTH = 27  # letters on a line of a panel's title
_MARKERS_UP_TO = 40


@styled
def datasets(
    theta: Mapping[str, Real[ArrayLike, "m ..."]],
    x: Real[ArrayLike, "m *event"],
    axes: Any = None,
    *,
    share: bool = True,
) -> np.ndarray:
    """One panel for each dataset, under the parameters it was simulated from.

    Args:
        theta: arrays [m, *shape] by name.
        x: sets of points [m, n, 2], drawn as scatter; or [m, n, 1] or [m, k], drawn against index.
        axes: m axes to draw on.
        share: give all panels of a new figure the same limits.

    Returns:
        Array of m axes.

    Raises:
        ShapeError: if x has another shape, or a parameter another m.
    """
    x = np.asarray(x, np.float64)
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[..., 0]
    if x.ndim != 2 and not (x.ndim == 3 and x.shape[2] == 2):
        raise ShapeError(f"expected x [m, n, 2], [m, n, 1] or [m, k], got shape {x.shape}")
    values = {name: np.asarray(v) for name, v in theta.items()}
    for name, v in values.items():
        if v.ndim == 0 or len(v) != len(x):
            raise ShapeError(f"expected {name!r} with {len(x)} rows, as x has, got {v.shape}")
    columns = columns_for(len(x))
    axes = many_axes(axes, len(x), columns, (2.3, 2.3), sharex=share, sharey=share)
    for i, ax in enumerate(axes):
        _draw(ax, x[i])
        ax.set_title(_title({name: v[i] for name, v in values.items()}), fontsize=8.5)
        if i >= len(x) - columns:
            ax.set_xlabel("first coordinate" if x.ndim == 3 else "index")
        if i % columns == 0:
            ax.set_ylabel("second coordinate" if x.ndim == 3 else "data")
    return axes


def _draw(ax: "matplotlib.axes.Axes", x: Float[np.ndarray, "*event"]) -> None:
    if x.ndim == 2:
        ax.scatter(*x.T, s=6, color=POSTERIOR, alpha=0.7, lw=0, rasterized=len(x) > 1_000)
    else:
        marker = "o" if len(x) <= _MARKERS_UP_TO else None
        ax.plot(x, color=POSTERIOR, lw=1.0, marker=marker, ms=3)


def _title(theta: Mapping[str, Real[ArrayLike, "..."]]) -> str:
    lines = [""]
    for name, value in theta.items():
        part = f"{name} = {number(value)}"
        if lines[-1] and len(lines[-1]) + len(part) + 2 > _TITLE_WIDTH:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] += (", " if lines[-1] else "") + part
    return "\n".join(lines)
