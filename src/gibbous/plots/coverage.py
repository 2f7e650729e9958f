"""Coverage of k-sigma intervals: the whole range on linear axes, and the tails on a log axis.

With nominal probability p_k, m datasets and c of them covered, c / m scatters about p_k with the
standard error sqrt(p_k (1 - p_k) / m). In the tails that normal approximation fails (2,000 datasets
hold 5.4 beyond 3 sigma), so there the bands are binomial quantiles and the error bars are the exact
68.3% intervals of Clopper & Pearson (1934) for the fraction not covered.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy import special, stats

from gibbous.diagnostics import Coverage, SizeBin
from gibbous.errors import ConfigError
from gibbous.plots.style import (
    CHANCE,
    TRUTH,
    checked_labels,
    legend,
    number,
    one_axes,
    series,
    styled,
)

if TYPE_CHECKING:
    import matplotlib.axes

_ONE_SIGMA, _THREE_SIGMA = (float(special.erf(k / np.sqrt(2))) for k in (1, 3))
_TITLES = {"central": "central intervals", "normal": "mean ± k sd intervals"}


@styled
def coverage(
    cov: Coverage,
    labels: Sequence[str],
    *,
    kind: str = "central",
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Fraction of datasets covered against the nominal probability.

    Args:
        cov: from `gibbous.diagnostics.coverage`, for d scalars.
        labels: d of them.
        kind: "central" for quantile intervals, "normal" for mean ± k sd.
        ax: where to draw.

    Raises:
        ConfigError: for another `kind`.
        ShapeError: unless there is one label for each scalar.
    """
    fractions = _fractions(cov, kind)
    labels = checked_labels(labels, fractions.shape[1])
    ax = one_axes(ax, (4.6, 4.4), len(labels) + 2)
    for width, alpha in ((3, 0.18), (1, 0.3)):
        low, high = cov.nominal - width * cov.error, cov.nominal + width * cov.error
        band = f"±{width} standard error{'s' if width > 1 else ''}"
        ax.fill_between(cov.nominal, low, high, color=CHANCE, alpha=alpha, lw=0, label=band)
    ax.plot([0, 1], [0, 1], color=TRUTH, lw=0.8, ls=(0, (4, 3)))
    for i, label in enumerate(labels):
        ax.plot(cov.nominal, fractions[:, i], label=label, **series(i))
    ax.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    ax.set_xlabel("nominal probability of the interval")
    ax.set_ylabel("fraction of datasets covered")
    ax.set_title(f"{_TITLES[kind]}, {cov.m:,} datasets")
    legend(ax, loc="best")
    return ax


@styled
def coverage_tails(
    cov: Coverage,
    labels: Sequence[str],
    *,
    kind: str = "central",
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Fraction of datasets NOT covered by k sigma, on a log scale, with error bars at 1, 2, 3.

    Where no dataset was left uncovered, an arrow hangs from the upper limit on the fraction.

    Args:
        cov: from `gibbous.diagnostics.coverage`, for d scalars.
        labels: d of them.
        kind: "central" for quantile intervals, "normal" for mean ± k sd.
        ax: where to draw.

    Raises:
        ConfigError: for another `kind`.
        ShapeError: unless there is one label for each scalar.
    """
    missed = 1 - _fractions(cov, kind)
    labels = checked_labels(labels, missed.shape[1])
    ax = one_axes(ax, (5.6, 4.0), len(labels) + 2)
    nominal, floor = special.erfc(cov.k / np.sqrt(2)), 0.3 / cov.m
    for level, alpha, name in ((_THREE_SIGMA, 0.18, "99.7%"), (_ONE_SIGMA, 0.3, "68.3%")):
        low, high = (stats.binom.ppf(q, cov.m, nominal) for q in _both_sides(level))
        low, high = np.maximum(low / cov.m, floor), np.maximum(high / cov.m, floor)
        band = f"{name} of calibrated fits"
        ax.fill_between(cov.k, low, high, color=CHANCE, alpha=alpha, lw=0, label=band)
    ax.plot(cov.k, nominal, color=TRUTH, lw=0.8, ls=(0, (4, 3)))
    for i, label in enumerate(labels):
        seen = np.where(missed[:, i] > 0.5 / cov.m, missed[:, i], np.nan)
        ax.plot(cov.k, seen, alpha=0.55, lw=1.1, **series(i))
        shift = min(0.06, 0.35 / len(labels)) * (i - (len(labels) - 1) / 2)
        _points(ax, cov, missed[:, i], shift, label, series(i)["color"])
    ax.set(yscale="log", ylim=(floor, 1), xlim=(0, max(3.5, float(cov.k.max()))))
    ticks = np.arange(1, int(np.ceil(ax.get_xlim()[1])) + 1)
    ax.set_xticks(
        ticks,
        [
            f"{k}\N{GREEK SMALL LETTER SIGMA}\n{100 * special.erfc(k / np.sqrt(2)):.2g}%"
            for k in ticks
        ],
    )
    ax.yaxis.set_major_formatter(lambda value, _: f"{number(100 * value)}%")
    ax.set_xlabel("half-width of the interval, and nominal fraction outside it")
    ax.set_ylabel("datasets not covered")
    ax.set_title(f"{_TITLES[kind]}, {cov.m:,} datasets")
    legend(ax, loc="best")
    return ax


@styled
def coverage_by_size(
    bins: Sequence[SizeBin],
    labels: Sequence[str],
    *,
    k: float = 1.0,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Fraction of datasets covered by the central k sigma interval, against their size.

    Args:
        bins: of a `gibbous.check`, for d scalars.
        labels: d of them.
        k: sigmas.
        ax: where to draw.

    Raises:
        ShapeError: unless there is one label for each scalar.
    """
    labels = checked_labels(labels, bins[0].coverage.central.shape[1])
    ax = one_axes(ax, (5.6, 3.8), len(labels) + 1)
    edges = [bins[0].low, *((a.high + b.low) / 2 for a, b in pairwise(bins)), bins[-1].high + 1]
    nominal, _, _, _ = bins[0].coverage.at(k)
    error = np.array([b.coverage.at(k)[3] for b in bins])
    for width, alpha, label in (
        (3, 0.18, "±3 standard errors"),
        (1, 0.3, "±1 standard error"),
    ):
        ax.stairs(
            nominal + width * error, edges, baseline=nominal - width * error, color=CHANCE,
            alpha=alpha, lw=0, fill=True, label=label,
        )  # fmt: skip
    ax.axhline(nominal, color=TRUTH, lw=0.8, ls=(0, (4, 3)))
    middle = [np.sqrt(low * high) for low, high in pairwise(edges)]
    for i, label in enumerate(labels):
        ax.plot(
            middle, [b.coverage.at(k)[1][i] for b in bins], marker="o", label=label, **series(i)
        )
    ax.set(xscale="log", xlim=(edges[0], edges[-1]))
    ax.set_xlabel("points of a dataset")
    ax.set_ylabel(f"datasets covered by {number(k)}\N{GREEK SMALL LETTER SIGMA}")
    ax.set_title("central intervals by size")
    legend(ax, loc="best")
    return ax


def fraction_interval(
    count: Int[np.ndarray, " K"], m: int, level: float = _ONE_SIGMA
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Clopper-Pearson interval, from `low` to `high`, for a fraction seen as `count` out of m."""
    count = np.asarray(count)
    low_q, high_q = _both_sides(level)
    low = stats.beta.ppf(low_q, np.maximum(count, 1), m - count + 1)
    high = stats.beta.ppf(high_q, count + 1, np.maximum(m - count, 1))
    return np.where(count == 0, 0.0, low), np.where(count == m, 1.0, high)


def _points(
    ax: "matplotlib.axes.Axes",
    cov: Coverage,
    missed: Float[np.ndarray, " K"],
    shift: float,
    label: str,
    color: str,
) -> None:
    at = np.isclose(cov.k % 1, 0) | np.isclose(cov.k % 1, 1)
    at &= (cov.k > 0.5) & (cov.k < 3.5)
    k, fraction = cov.k[at] + shift, missed[at]
    low, high = fraction_interval(np.rint(fraction * cov.m).astype(int), cov.m)
    some = fraction > 0.5 / cov.m
    bars = np.maximum([fraction - low, high - fraction], 0)[:, some]
    ax.errorbar(
        k[some], fraction[some], bars, fmt="o", ms=4.5, capsize=2.5, color=color, label=label
    )
    ax.errorbar(
        k[~some], high[~some], 0.6 * high[~some], uplims=True, fmt="_", ms=7, capsize=2.5,
        color=color,
    )  # fmt: skip


def _both_sides(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _fractions(cov: Coverage, kind: str) -> Float[np.ndarray, "K d"]:
    if kind not in _TITLES:
        raise ConfigError(f"expected kind to be one of {list(_TITLES)}, got {kind!r}")
    return cov.central if kind == "central" else cov.normal
