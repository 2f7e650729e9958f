"""Pictures of the results: C2ST against the number of simulations, and against seconds."""

from pathlib import Path

from benchmarks.results import OURS, PUBLISHED, Spread, c2st
from gibbous.plots.style import CHANCE, columns_for, many_axes, series, styled

METHODS = ["NPE", "NLE", "NRE", "FMPE", "CMPE"]  # in the order of colours and columns
MARKERS = {OURS: "o", "sbi": "s", "bayesflow": "^", "sbijax": "D"}


@styled
def draw(lines: list[dict], folder: Path) -> list[str]:
    """Write the pictures into `folder`; returns their names, none where nothing was scored."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    lines = [line for line in lines if c2st(line) is not None]
    tasks = sorted({line["task"] for line in lines})
    if not tasks:
        return []
    folder.mkdir(exist_ok=True)
    names = []
    for name, panel, label, ticks in (
        ("budget.png", _budget, "simulations", (1,)),
        ("seconds.png", _seconds, "seconds to train and draw; larger: more simulations", (1, 2, 5)),
    ):
        axes = many_axes(None, len(tasks), columns_for(len(tasks)), (2.9, 2.4))
        for ax, task in zip(axes, tasks, strict=True):
            panel(ax, task, [line for line in lines if line["task"] == task])
            ax.set(title=task, xscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=ticks))
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.axhline(0.5, color=CHANCE, linewidth=0.8)
            ax.set_ylim(0.48, None)
        # Tasks are compared, and a panel whose points lie close together still has ticks.
        ends = [end for ax in axes for end in ax.get_xlim()]
        for ax in axes:
            ax.set_xlim(min(ends) / 1.5, max(ends) * 1.5)
        for ax in axes[:: columns_for(len(tasks))]:
            ax.set_ylabel("C2ST")
        figure = axes[0].figure
        figure.supxlabel(label, fontsize="medium")
        found = {k: v for ax in axes for v, k in zip(*ax.get_legend_handles_labels(), strict=True)}
        labels = sorted(found, key=_rank)
        figure.legend([found[k] for k in labels], labels, loc="outside right center")
        figure.savefig(folder / name)
        plt.close(figure)
        names.append(name)
    return names


def _rank(label: str) -> tuple[int, str]:
    method = label.split(",")[0]
    return (METHODS.index(method) if method in METHODS else len(METHODS), label)


def _budget(ax, task: str, lines: list[dict]) -> None:
    """One line a method of ours, with the range over repeats; the published figures dashed."""
    ours = [line for line in lines if line["who"] == OURS]
    for method in sorted({line["method"] for line in ours}, key=METHODS.index):
        of_method = [line for line in ours if line["method"] == method]
        budgets = sorted({line["budget"] for line in of_method})
        spreads = [Spread([v for v in of_method if v["budget"] == b], c2st) for b in budgets]
        low, high = [s.low for s in spreads], [s.high for s in spreads]
        color = series(METHODS.index(method))["color"]
        ax.plot(budgets, [s.median for s in spreads], "o-", color=color, markersize=4, label=method)
        ax.fill_between(budgets, low, high, color=color, alpha=0.15, linewidth=0)
    if task in PUBLISHED:
        budgets = sorted(PUBLISHED[task])
        figures = [PUBLISHED[task][b] for b in budgets]
        ax.plot(budgets, figures, "k--", linewidth=1, label="lowest published")


def _seconds(ax, task: str, lines: list[dict]) -> None:
    """One point a contender, method, budget and seed: larger ones have seen more simulations."""
    budgets = sorted({line["budget"] for line in lines})
    for line in lines:
        method, who = line["method"], line["who"]
        ax.scatter(
            line["train"] + line["first_draws"], c2st(line), marker=MARKERS.get(who, "x"),
            s=16 + 16 * budgets.index(line["budget"]), alpha=0.8,
            color=series(METHODS.index(method))["color"], label=f"{method}, {who}",
        )  # fmt: skip
