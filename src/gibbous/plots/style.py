"""The look of every figure: one palette, one set of matplotlib options, one way to get axes.

The colours are those of Okabe & Ito (2008), told apart with any colour vision; series beyond the
palette go on with another dash. Roles keep their colour in all figures: what a fit claims is blue,
what it is compared with is vermilion, the truth is black, what chance allows is grey.

matplotlib is imported inside functions only, so that `import gibbous` stays light.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np
from jaxtyping import ArrayLike, Real

from gibbous.errors import ShapeError

if TYPE_CHECKING:
    import matplotlib.axes

P = ParamSpec("P")
R = TypeVar("R")

POSTERIOR = "#0072B2"
REFERENCE = "#D55E00"
TRUTH = "#111111"
CHANCE = "#7F7F7F"

LONGEST_INSIDE = 8  # entries of a legend that still fits inside the axes

_SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")

_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.formatter.useoffset": False,
    "axes.labelcolor": "#222222",
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.size": 9.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.5,
    "xtick.color": "#444444",
    "xtick.labelsize": 8.5,
    "ytick.color": "#444444",
    "ytick.labelsize": 8.5,
}


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a plotting function draw in the house style, whatever the user's own options are."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(cast(Any, _RC)):
            return function(*args, **kwargs)

    return inner


def one_axes(
    ax: "matplotlib.axes.Axes | None", size: tuple[float, float] = (5.6, 3.8), entries: int = 0
) -> "matplotlib.axes.Axes":
    """The axes given, or those of a new figure of `size` inches.

    Args:
        ax: axes or None.
        size: width and height; a legend of many `entries` is given room beside the axes.
        entries: of the legend.
    """
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    width = size[0] + (1.8 if entries > LONGEST_INSIDE else 0.0)
    return plt.subplots(figsize=(width, size[1]), layout="constrained")[1]


def many_axes(
    axes: Any, count: int, columns: int, panel: tuple[float, float], **options: Any
) -> np.ndarray:
    """`count` axes in a row-major array [count]: from `axes`, or from a new figure.

    Args:
        axes: an array or sequence of axes, or None.
        count: how many are needed.
        columns: of the new figure. panel: inches of one panel.
        **options: for `plt.subplots`.

    Raises:
        ShapeError: if `axes` are fewer than `count`.
    """
    if axes is not None:
        flat = np.ravel(np.asarray(axes, dtype=object))
        if len(flat) < count:
            raise ShapeError(f"expected at least {count} axes, got {len(flat)}")
        return flat[:count]
    import matplotlib.pyplot as plt

    rows = -(-count // columns)
    size = (max(panel[0] * columns, 3.0), panel[1] * rows)
    _, grid = plt.subplots(
        rows, columns, figsize=size, layout="constrained", squeeze=False, **options
    )
    flat = grid.ravel()
    for spare in flat[count:]:
        spare.set_visible(False)
    for above in flat[max(count - columns, 0) : (rows - 1) * columns]:
        above.tick_params(labelbottom=True)  # nothing below it carries the labels of a shared axis
    return flat[:count]


def columns_for(count: int) -> int:
    """How many columns small multiples look best in."""
    return count if count <= 3 else 3 if count in (5, 6, 9) else 4


def series(i: int) -> dict[str, Any]:
    """Colour and dash of the i-th series."""
    return {
        "color": _SERIES[i % len(_SERIES)],
        "linestyle": _DASHES[(i // len(_SERIES)) % len(_DASHES)],
    }


def legend(ax: "matplotlib.axes.Axes", **options: Any) -> None:
    """A legend inside the axes, or beside them if it is long."""
    if len(ax.get_legend_handles_labels()[1]) > LONGEST_INSIDE:
        options = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    ax.legend(**options)


def checked_labels(labels: Sequence[str], count: int) -> list[str]:
    """The labels as a list.

    Raises:
        ShapeError: if there is not one for each of `count` scalars.
    """
    labels = [labels] if isinstance(labels, str) else list(labels)
    if len(labels) != count:
        raise ShapeError(f"expected {count} labels, one for each scalar, got {labels}")
    return labels


def number(value: Real[ArrayLike, "..."]) -> str:
    """A value in three digits: "0.32", "−3.1", "(0.1, 2)"."""
    if np.ndim(value) == 0:
        return f"{float(np.asarray(value)):.3g}".replace("-", "\N{MINUS SIGN}")
    return "(" + ", ".join(number(v) for v in np.ravel(np.asarray(value))) + ")"
