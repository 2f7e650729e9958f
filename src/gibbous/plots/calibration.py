"""Simulation-based calibration: rank histograms, and the ECDF of the ranks with its band.

A rank among n draws takes the values 0, ..., n. A bin that holds w of these n + 1 values is
expected to count m w / (n + 1) of m datasets, and the count is Binomial(m, w / (n + 1)) if the fit
is calibrated. Bins are cut between whole ranks; their w differ by one at most.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Int
from scipy import stats

from gibbous.diagnostics import EcdfBand
from gibbous.errors import ShapeError
from gibbous.plots.style import (
    CHANCE,
    LONGEST_INSIDE,
    TRUTH,
    checked_labels,
    columns_for,
    legend,
    many_axes,
    one_axes,
    series,
    styled,
)

if TYPE_CHECKING:
    import matplotlib.axes

_BIN_LEVEL = 0.99
_MOST_BINS, _FEWEST_BINS, _DATASETS_A_BIN = 20, 5, 25


@styled
def rank_histograms(
    ranks: Int[ArrayLike, "m d"], n_draws: int, labels: Sequence[str], axes: Any = None
) -> np.ndarray:
    """Histograms of the ranks of the truth, with the band that holds 99% of the counts of a bin.

    Args:
        ranks: [m, d], whole numbers from 0 to `n_draws`.
        n_draws: number of draws among which the truth was ranked.
        labels: d of them.
        axes: d axes to draw on.

    Returns:
        Array of d axes.

    Raises:
        ShapeError: unless ranks are [m, d] with d labels, and inside 0, ..., n_draws.
    """
    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or not len(ranks):
        raise ShapeError(f"expected ranks [m, d], got shape {ranks.shape}")
    if ranks.min() < 0 or ranks.max() > n_draws:
        raise ShapeError(
            f"expected ranks among {n_draws} draws to lie in 0, ..., {n_draws}; "
            f"got {ranks.min()} to {ranks.max()}"
        )
    m, d = ranks.shape
    labels = checked_labels(labels, d)
    edges = bin_edges(m, n_draws)
    share = np.diff(edges) / (n_draws + 1)
    low, high = (stats.binom.ppf(q, m, share) for q in ((1 - _BIN_LEVEL) / 2, (1 + _BIN_LEVEL) / 2))
    columns = columns_for(d)
    axes = many_axes(axes, d, columns, (2.7, 2.3), sharey=True)
    for i, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        counts = np.histogram(ranks[:, i], edges - 0.5)[0]
        ax.stairs(counts, edges, fill=True, color=series(0)["color"], alpha=0.75)
        ax.fill_between(
            edges, *(np.append(v, v[-1]) for v in (low, high)),
            step="post", color=CHANCE, alpha=0.4, lw=0,
        )  # fmt: skip
        ax.stairs(m * share, edges, baseline=None, color=TRUTH, lw=0.8, ls="--")
        ax.set(xlim=(edges[0], edges[-1]), title=label)
        ax.set_ylim(0, max(ax.get_ylim()[1], 1.15 * max(counts.max(), high.max())))
        ax.set_xticks([0, (n_draws + 1) // 2, n_draws])
        ax.set_xlabel(f"rank among {n_draws:,} draws")
        if i % columns == 0:
            ax.set_ylabel("datasets in a bin")
    return axes


@styled
def ecdf_difference(
    band: EcdfBand, labels: Sequence[str], ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """ECDF of the ranks minus the diagonal, over the band that holds a whole calibrated curve.

    Args:
        band: from `gibbous.diagnostics.ecdf_band`, for d scalars.
        labels: d of them; those whose curve leaves the band say so in the legend.
        ax: where to draw.

    Raises:
        ShapeError: unless there is one label for each scalar.
    """
    labels = checked_labels(labels, band.difference.shape[1])
    ax = one_axes(ax, entries=len(labels) + 1)
    name = f"{band.level:.0%} simultaneous band"
    ax.fill_between(band.z, band.low, band.high, color=CHANCE, alpha=0.3, lw=0, label=name)
    ax.axhline(0, color=TRUTH, lw=0.8, ls=(0, (4, 3)))
    for i, (label, inside) in enumerate(zip(labels, list(band.inside), strict=True)):
        shown = label if inside else f"{label} (leaves the band)"
        ax.plot(band.z, band.difference[:, i], label=shown, **series(i))
    ax.set_xlim(0, 1)
    ax.set_xlabel("rank of the truth, as a fraction of the draws")
    ax.set_ylabel("ECDF minus uniform")
    low, high = ax.get_ylim()
    if len(labels) < LONGEST_INSIDE:  # room for the legend
        ax.set_ylim(low, high + 0.1 * (1 + len(labels) // 2) * (high - low))
    legend(ax, loc="upper center", ncols=2)
    return ax


def bin_edges(m: int, n_draws: int) -> Int[np.ndarray, " edges"]:
    """Edges of the bins of a rank histogram: whole numbers from 0 to n_draws + 1.

    There are as many bins as leave 25 datasets in each, but 5 to 20, and at most n_draws + 1.
    """
    bins = int(np.clip(m // _DATASETS_A_BIN, _FEWEST_BINS, _MOST_BINS))
    bins = min(bins, n_draws + 1)
    return np.rint(np.linspace(0, n_draws + 1, bins + 1)).astype(int)
