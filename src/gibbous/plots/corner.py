"""Corner plot: every scalar's marginal on the diagonal, every pair's 68% and 95% regions below it.

Densities and regions are those of `plots/density.py`, on a grid chosen for each distribution, so
that a reference a hundred times narrower than the draws is still drawn as what it is. Marginals are
scaled to the same height for the same reason: compare their widths, not their areas.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Float, Real

from gibbous.errors import GibbousWarning, ParameterError, ShapeError
from gibbous.plots.density import central_range, density_1d, density_2d, hdr_levels
from gibbous.plots.style import POSTERIOR, REFERENCE, TRUTH, checked_labels, many_axes, styled
from gibbous.plots.ticks import tidy_axis
from gibbous.posteriors.draws import Draws

if TYPE_CHECKING:
    import matplotlib.axes

_REGIONS = (0.95, 0.68)
_PAD = 0.04
_TRUTH_REACH = 0.6  # how far, in widths of the panel, its limits stretch to show the truth

Values = Mapping[str, Real[ArrayLike, "_ ..."]]


@styled
def corner(
    draws: Draws | Values,
    *,
    truth: Mapping[str, Real[ArrayLike, "..."]] | Real[ArrayLike, " d"] | None = None,
    reference: Draws | Values | None = None,
    labels: Sequence[str] | None = None,
    axes: Any = None,
    legend: tuple[str, str] = ("posterior", "reference"),
) -> np.ndarray:
    """Corner plot of the draws for one observation.

    The limits hold the central 99.8% of the draws and of the reference; a truth far outside them
    is marked by an arrow at the edge.

    Args:
        draws: `Draws`, or arrays [n, *shape] by name; d scalars in all.
        truth: values by name (names that are not in the draws are ignored), or an array [d].
        reference: other draws of the same parameters, say of the exact posterior; outlined.
        labels: one for each scalar, instead of the names.
        axes: d x d axes to draw on.
        legend: what to call the draws and the reference.

    Returns:
        Array of axes [d, d]; those above the diagonal are blank.

    Raises:
        ShapeError: for a batch of observations, or if truth, labels or axes do not fit d scalars.
        ParameterError: if reference or truth lack a parameter of the draws.
    """
    drawn = _as_draws(draws)
    values = _finite(drawn)
    d = values.shape[1]
    names = list(drawn.labels) if labels is None else checked_labels(labels, d)
    other = None if reference is None else _reference(reference, drawn)
    point = None if truth is None else _truth(truth, drawn, d)
    grid = _grid(axes, d)
    limits = [
        _limits(values[:, i], None if other is None else other[:, i], point, i) for i in range(d)
    ]
    for i in range(d):
        for j in range(d):
            ax = grid[i, j]
            if j > i:
                ax.axis("off")
                continue
            if i == j:
                _marginal(ax, values[:, i], other if other is None else other[:, i])
            else:
                _pair(ax, values[:, [j, i]], other if other is None else other[:, [j, i]])
            _mark(ax, point, limits, i, j)
            _finish(ax, names, limits, i, j)
    _legend(grid, legend, other is not None, point is not None)
    if axes is None:
        grid[0, 0].figure.align_labels(grid.ravel())
    return grid


def _marginal(
    ax: "matplotlib.axes.Axes",
    values: Float[np.ndarray, " n"],
    other: Float[np.ndarray, " k"] | None,
) -> None:
    x, f = density_1d(values)
    ax.fill_between(x, f, color=POSTERIOR, alpha=0.35, lw=0)
    ax.plot(x, f, color=POSTERIOR, lw=1.2)
    if other is not None:
        x, f = density_1d(other)
        x, f = np.pad(x, 1, mode="edge"), np.pad(f, 1)
        ax.plot(x, f, color=REFERENCE, lw=1.2, zorder=3)
    ax.set_ylim(0, 1.08)


def _pair(
    ax: "matplotlib.axes.Axes",
    values: Float[np.ndarray, "n 2"],
    other: Float[np.ndarray, "k 2"] | None,
) -> None:
    density = density_2d(*values.T)
    levels = hdr_levels(density.at_draws, _REGIONS)
    top = float(density.f.max())
    if 0 < levels[0] < levels[1] < top:
        edges = [*levels, top]
        for low, high, alpha in zip(edges, edges[1:], (0.3, 0.65), strict=False):
            ax.contourf(
                density.x, density.y, density.f, [low, high], colors=[POSTERIOR], alpha=alpha
            )
    else:  # a handful of draws, or all alike
        ax.plot(*values.T, ".", ms=3, color=POSTERIOR)
    if other is None:
        return
    density = density_2d(*other.T)
    levels = hdr_levels(density.at_draws, _REGIONS)
    if 0 < levels[0] < levels[1]:
        ax.contour(
            density.x, density.y, density.f, levels,
            colors=[REFERENCE], linewidths=[0.9, 1.2], zorder=3,
        )  # fmt: skip
    else:
        ax.plot(*other.T, ".", ms=3, color=REFERENCE)


def _mark(
    ax: "matplotlib.axes.Axes",
    point: Float[np.ndarray, " d"] | None,
    limits: list[tuple[float, float]],
    i: int,
    j: int,
) -> None:
    if point is None:
        return
    line = {"color": TRUTH, "lw": 0.9, "ls": (0, (4, 2))}
    ax.axvline(point[j], **line)
    if i != j:
        ax.axhline(point[i], **line)
        return
    low, high = limits[i]
    if not low <= point[i] <= high:
        left = point[i] < low
        ax.plot(
            [0.03 if left else 0.97], [0.5], "<" if left else ">",
            color=TRUTH, ms=6, transform=ax.transAxes,
        )  # fmt: skip


def _finish(
    ax: "matplotlib.axes.Axes",
    names: list[str],
    limits: list[tuple[float, float]],
    i: int,
    j: int,
) -> None:
    d = len(names)
    room = _letters(d)
    ax.set_xlim(*limits[j])
    tidy_axis(ax.xaxis, names[j], *limits[j], room)
    ax.tick_params("x", labelbottom=i == d - 1)
    if d > 1:
        for text in ax.get_xticklabels():
            text.set(rotation=45, ha="right", rotation_mode="anchor")
    if i < d - 1:
        ax.set_xlabel("")
    if i == j:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        return
    ax.set_ylim(*limits[i])
    tidy_axis(ax.yaxis, names[i], *limits[i], room)
    ax.tick_params("y", labelleft=j == 0)
    ax.spines[["top", "right"]].set_visible(True)
    if j > 0:
        ax.set_ylabel("")


def _legend(
    grid: np.ndarray, legend: tuple[str, str], has_reference: bool, has_truth: bool
) -> None:
    if not (has_reference or has_truth):
        return
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(facecolor=POSTERIOR, alpha=0.6, label=legend[0])]
    if has_reference:
        handles.append(Line2D([], [], color=REFERENCE, label=legend[1]))
    if has_truth:
        handles.append(Line2D([], [], color=TRUTH, lw=0.9, ls=(0, (4, 2)), label="truth"))
    place = "center" if len(grid) == 2 else "upper right"
    grid[0, -1].legend(handles=handles, loc=place)


def _limits(
    values: Float[np.ndarray, " n"],
    other: Float[np.ndarray, " k"] | None,
    point: Float[np.ndarray, " d"] | None,
    i: int,
) -> tuple[float, float]:
    ranges = [central_range(v) for v in (values, other) if v is not None]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    reach = _TRUTH_REACH * (high - low)
    if point is not None and low - reach <= point[i] <= high + reach:
        low, high = min(low, float(point[i])), max(high, float(point[i]))
    pad = _PAD * (high - low)
    return low - pad, high + pad


# --- what arrives ---------------------------------------------------------------------------------


def _as_draws(draws: Draws | Values) -> Draws:
    if not isinstance(draws, Draws):
        return Draws({name: np.asarray(v) for name, v in draws.items()})
    if draws.n_batch:
        raise ShapeError("a corner plot shows one observation: pass draws.observation(i)")
    return draws


def _finite(draws: Draws) -> Float[np.ndarray, "n d"]:
    lengths = {name: np.shape(v)[:1] for name, v in draws.values.items()}
    if len(set(lengths.values())) != 1 or () in lengths.values():
        raise ShapeError(f"expected each parameter with the same number of draws, got {lengths}")
    values = draws.array.astype(np.float64)
    keep = np.asarray(np.isfinite(values)).all(axis=1).reshape(-1)
    if keep.sum() < 2:
        raise ShapeError(f"expected at least two finite draws, got {keep.sum()} of {len(keep)}")
    if not keep.all():
        lost = f"{(~keep).sum():,} of {len(keep):,}"
        warnings.warn(f"{lost} draws are not finite and not drawn", GibbousWarning, stacklevel=5)
    return values[keep]


def _reference(reference: Draws | Values, draws: Draws) -> Float[np.ndarray, "k d"]:
    other = _as_draws(reference)
    matched = Draws({name: other[name] for name in draws.names})  # raises for a missing name
    if matched.labels != draws.labels:
        raise ShapeError(f"the reference holds {matched.labels}, the draws {draws.labels}")
    return _finite(matched)


def _truth(truth: Any, draws: Draws, d: int) -> Float[np.ndarray, " d"]:
    if isinstance(truth, Mapping):
        missing = [name for name in draws.names if name not in truth]
        if missing:
            raise ParameterError(f"the truth lacks {missing}; it holds {list(truth)}")
        truth = np.concatenate([np.ravel(np.asarray(truth[name])) for name in draws.names])
    point = np.asarray(truth, np.float64)
    if point.shape != (d,):
        raise ShapeError(f"expected a truth of {d} values {draws.labels}, got shape {point.shape}")
    return point


def _grid(axes: Any, d: int) -> np.ndarray:
    if axes is not None and np.shape(axes) != (d, d):
        raise ShapeError(f"expected {d} x {d} axes, got shape {np.shape(axes)}")
    return many_axes(axes, d * d, d, (_panel(d), _panel(d))).reshape(d, d)


def _panel(d: int) -> float:
    """Inches of a panel."""
    return 3.2 if d == 1 else max(1.5, min(2.3, 9.0 / d))


def _letters(d: int) -> int:
    """How many letters of a label fit along a panel."""
    return int(_panel(d) / 0.085)
