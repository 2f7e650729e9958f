"""ROUNDS.md from the lines of rounds: C2ST after the last one, beside the published figures.

Everything is a mean over observations, or a median of seconds, with the smallest and the largest.
"""

import statistics
from collections.abc import Iterable
from pathlib import Path

from benchmarks.results import DASH, OURS, Spread, read
from benchmarks.sequential import PUBLISHED
from benchmarks.table import bold, table
from gibbous.plots.style import CHANCE, columns_for, many_axes, series, styled

HEADINGS = [
    "task", "simulations", "published", "method", "observations", "C2ST", "MMD", "seconds",
    "of it compiling", "programs", "training: first, last round", "commit",
]  # fmt: skip
HEAD = """# Rounds

Made by `python -m benchmarks table` from {n} lines of `rounds.jsonl` ({first} to {last}), a line an
observation, on one core of {machines}, beside other work. C2ST and MMD to the reference draws
after the last round: mean over observations [smallest..largest]. Published: the lowest sequential
C2ST over all methods of Lueckmann et al. 2021 (arXiv 2101.04653) in 10 rounds; **bold**: under it.
Seconds of all rounds, compilation counted, and of training alone in the first and in the last one:
medians. Observations of one run share programs: the first compiles them.
"""
BESIDE = """## Beside sbi

sbi 0.27 with its default settings: SNLE, and TSNPE as in its guide, on the same observation in the
same minutes.
"""


def write(source: Path, folder: Path) -> None:
    """Write the page and its figure into `folder`, if there is something to show."""
    lines = read(source) if source.exists() else []
    if lines:
        draw(lines, folder / "figures" / "rounds.png")
        (folder / "ROUNDS.md").write_text(page(lines))


def newest(lines: Iterable[dict]) -> list[dict]:
    """The last line of each contender on each observation."""
    keys = ("who", "task", "method", "budget", "rounds", "observation", "seed")
    return list({tuple(line[k] for k in keys): line for line in lines}.values())


def page(lines: list[dict]) -> str:
    """The page as Markdown."""
    days = sorted(line["date"][:10] for line in lines)
    machines = " and ".join(sorted({line["machine"]["cpu"] for line in lines}))
    head = HEAD.format(n=len(lines), first=days[0], last=days[-1], machines=machines)
    ours = newest(line for line in lines if line["who"] == OURS)
    keys = sorted({key(line) for line in ours})
    rows = [row(k, [line for line in ours if key(line) == k]) for k in keys]
    figure = "![rounds](figures/rounds.png)\n"
    return "\n".join([head, *table(HEADINGS, rows), figure, *beside(lines), *truths(ours)])


def key(line: dict) -> tuple[str, int, str]:
    """Task, budget and method."""
    return line["task"], line["budget"], line["method"]


def row(about: tuple[str, int, str], lines: list[dict]) -> list[str]:
    """All observations of one task, budget and method."""
    task, budget, method = about
    known = PUBLISHED.get(task, {}).get(budget)
    c2st = [line["c2st"][-1] for line in lines]
    return [
        task, f"{budget:,}", DASH if known is None else f"{known:.3f}", method, str(len(lines)),
        bold(mean(c2st), known is not None and statistics.mean(c2st) < known),
        mean([line["mmd"] for line in lines]), *seconds(lines),
        ", ".join(sorted({line["commit"] or DASH for line in lines})),
    ]  # fmt: skip


def seconds(lines: list[dict]) -> list[str]:
    """What the rounds took, and training in the first and in the last of them."""
    first, last = (Spread(lines, lambda v, i=i: v["training"][i]).median for i in (0, -1))
    whole = ("seconds", "compiling", "compilations")
    spreads = (Spread(lines, lambda v, k=k: v.get(k)) for k in whole)
    return [*(s.text(0) for s in spreads), f"{first:.1f}, {last:.1f}"]


def beside(lines: list[dict]) -> list[str]:
    """Each line of a peer under ours of the same run."""
    rows = []
    for line in newest(v for v in lines if v["who"] != OURS):
        shared = ("run", "task", "method", "budget", "observation")
        pair = [v for v in lines if v["who"] == OURS and all(v[k] == line[k] for k in shared)]
        for v in [*pair[-1:], line]:
            about = v["task"], f"{v['budget']:,}", v["method"], str(v["observation"]), v["who"]
            rows.append([*about, f"{v['c2st'][-1]:.3f}", f"{v['mmd']:.4f}", *seconds([v])])
    about = ["task", "simulations", "method", "observation", "who", "C2ST"]
    return [BESIDE, *table([*about, *HEADINGS[6:-1]], rows)] if rows else []


def truths(lines: list[dict]) -> list[str]:
    """Log density of the true parameters by round, where they are known."""
    known = sorted((v for v in lines if "log_prob" in v), key=lambda line: line["observation"])
    if not known:
        return []
    rows = []
    for line in known:
        by_round = (
            " ".join(f"{v:.{n}f}" for v in line[k]) for k, n in (("log_prob", 2), ("c2st", 3))
        )
        rows.append([str(line["observation"]), *by_round, f"{line['exact_log_prob']:.2f}"])
    last = statistics.mean(line["log_prob"][-1] for line in known)
    exact = statistics.mean(line["exact_log_prob"] for line in known)
    return [
        "## The double moon\n",
        "One set of 200 points an observation. Log density of the true parameters, in nats, by "
        f"round: {last:.2f} in the mean after the last one, the exact posterior {exact:.2f}.\n",
        *table(["observation", "log density by round", "C2ST by round", "exact log density"], rows),
    ]


def mean(values: list[float]) -> str:
    """Like `0.523 [0.510..0.540]`."""
    text = f"{statistics.mean(values):.3f}"
    return text if len(values) == 1 else f"{text} [{min(values):.3f}..{max(values):.3f}]"


@styled
def draw(lines: list[dict], path: Path) -> None:
    """C2ST by round: a panel for each task and budget, a colour for each method of ours."""
    import matplotlib.pyplot as plt

    ours = newest(line for line in lines if line["who"] == OURS)
    methods = sorted({line["method"] for line in ours})
    panels = sorted({(line["task"], line["budget"]) for line in ours})
    axes = many_axes(None, len(panels), columns_for(len(panels)), (2.9, 2.4))
    for ax, (task, budget) in zip(axes, panels, strict=True):
        for line in ours:
            if (line["task"], line["budget"]) == (task, budget):
                color = series(methods.index(line["method"]))["color"]
                ax.plot(
                    range(1, len(line["c2st"]) + 1), line["c2st"], "-", color=color, alpha=0.7,
                    linewidth=1, label=line["method"],
                )  # fmt: skip
        known = PUBLISHED.get(task, {}).get(budget)
        if known is not None:
            ax.axhline(known, color="k", linestyle="--", linewidth=1, label="lowest published")
        ax.axhline(0.5, color=CHANCE, linewidth=0.8)
        ax.set(title=f"{task}, {budget:,}", ylim=(0.48, 1.0))
    for ax in axes[:: columns_for(len(panels))]:
        ax.set_ylabel("C2ST")
    figure = axes[0].figure
    figure.supxlabel("round", fontsize="medium")
    found = {k: v for ax in axes for v, k in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(found.values()), list(found), loc="outside right center")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
