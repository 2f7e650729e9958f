"""Loss curve: how training went, and which step was kept."""

from typing import TYPE_CHECKING

import numpy as np

from gibbous.history import History
from gibbous.plots.style import CHANCE, POSTERIOR, REFERENCE, number, one_axes, styled

if TYPE_CHECKING:
    import matplotlib.axes

_WARM_UP = 0.05  # the fraction of entries whose plunge may leave the view at the top


@styled
def loss_curve(
    history: History, ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """Training and validation loss against step, with a mark at the step that was kept.

    The first losses may lie above the view, which is chosen for the rest of the curve.
    """
    ax = one_axes(ax)
    steps = np.asarray(history.steps)
    ax.plot(steps, history.loss, color=POSTERIOR, lw=1.0, alpha=0.65, label="training")
    ax.plot(steps, history.val_loss, color=REFERENCE, label="validation")
    if history.best_step in history.steps:
        best = history.best_val_loss
        ax.axvline(history.best_step, color=CHANCE, lw=0.8, ls=":")
        ax.plot(
            [history.best_step],
            [best],
            "o",
            color=REFERENCE,
            mec="white",
            ms=6,
            label=f"kept: step {history.best_step:,}, {number(best)}",
        )
    low, high = _view(history)
    if low < high:
        ax.set_ylim(low, high)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel("loss")
    ax.legend(loc="upper right")
    return ax


def _view(history: History) -> tuple[float, float]:
    first = int(_WARM_UP * len(history.steps))
    both = np.asarray([history.loss, history.val_loss], np.float64)
    late = both[:, first:][np.isfinite(both[:, first:])]
    if not late.size:
        return 0.0, 0.0
    pad = 0.06 * (late.max() - late.min())
    return late.min() - pad, late.max() + pad
