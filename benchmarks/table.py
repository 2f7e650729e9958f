"""RESULTS.md from the lines of results: ours beside the published figures, then beside peers.

Everything is a median over repeats, with the smallest and the largest in brackets.
"""

import math
from pathlib import Path

from benchmarks import figures, results
from benchmarks.results import DASH, OURS, PUBLISHED, Spread

KEYS = ["task, method, simulations", "who"]
QUALITY = [  # heading, figure, digits
    ("C2ST", lambda line: results.c2st(line, "sklearn"), 3),
    ("C2ST, JAX", lambda line: results.c2st(line, "jax"), 3),
    ("log density", lambda line: line["log_prob"], 2),
    ("ESS/s", results.per_second, 0),
    ("memory, MB", lambda line: line["memory"], 0),
]
PART = "of it compiling"  # is no time of its own to compare
TIMES = [  # heading, seconds
    ("import", lambda line: line["import"]),
    ("train", lambda line: line["train"]),
    (PART, lambda line: line["compile"]),
    ("train less compiling", results.running),
    ("first draws", lambda line: line["first_draws"]),
    ("draws", lambda line: line["draws"]),
    ("first 100 x 1,000", lambda line: line["first_many"]),
    ("100 x 1,000", lambda line: line["many_draws"]),
    ("whole", results.whole),
]
BESIDE = """## Beside other libraries

The same simulations, taking turns in the same minutes, each with its default settings in a process
and an environment of its own. C2ST: mean over observations, by the classifiers of scikit-learn and
of JAX. Log density: mean over 2,000 fresh pairs, in nats. Times: seconds on the wall, with their
ratio to ours; `draws` are 10,000 for one observation, `100 x 1,000` is 1,000 for each of 100; the
first of either compiles; `whole` is import, training and first draws. A second run, in another
process, finds the programs that the first has left on disk (`gb.keep_compilations()`). A dash:
there is none, or it was too slow to wait for.
"""


def write(source: Path, out: Path) -> None:
    """Write the page, and its figures beside it.

    Raises:
        SystemExit: if there is nothing to show.
    """
    lines = results.read(source) if source.exists() else []
    good = results.newest(lines)
    if not good:
        raise SystemExit(f"no results in {source}: python -m benchmarks run --help")
    pictures = figures.draw(good, out.parent / "figures")
    out.write_text(page(lines, pictures))


def page(lines: list[dict], pictures: list[str]) -> str:
    """The page as Markdown; `pictures` are names of files in `figures`."""
    good = results.newest(lines)
    shown = [f"![{name.split('.')[0]}](figures/{name})\n" for name in pictures]
    return "\n".join([*head(good), *published(good), *shown, *peers(lines)])


def head(good: list[dict]) -> list[str]:
    """When, where and with what."""
    days = sorted(line["date"][:10] for line in good)
    machines = {
        f"{line['machine']['cpu']}, cores used: {line['machine']['cores']}" for line in good
    }
    versions = {f"{k} {v}" for line in good for k, v in line["versions"].items()}
    return [
        "# Results\n",
        f"Made by `python -m benchmarks table` from {len(good)} results ({days[0]} to {days[-1]}), "
        f"on {'; '.join(sorted(machines))}; {', '.join(sorted(versions))}. Default settings "
        "throughout. Figures are medians over repeats [smallest..largest].\n",
    ]


def published(good: list[dict]) -> list[str]:
    """C2ST by task and budget, with a note on what is not under the published figure."""
    ours = [line for line in good if line["who"] == OURS and results.c2st(line) is not None]
    if not ours:
        return []
    methods = sorted({line["method"] for line in ours}, key=figures.METHODS.index)
    rows, missed = [], []
    for task, budget in sorted({(line["task"], line["budget"]) for line in ours}):
        known = PUBLISHED.get(task, {}).get(budget)
        here = [line for line in ours if (line["task"], line["budget"]) == (task, budget)]
        spreads = {m: Spread([v for v in here if v["method"] == m], results.c2st) for m in methods}
        reached = {m: s for m, s in spreads.items() if not math.isnan(s.median)}
        best = min(reached, key=lambda m: reached[m].median)
        under = known is not None and reached[best].median < known
        if known is not None and not under:
            missed.append(f"- {task}, {budget:,}: {reached[best].median:.3f} ({known:.3f})")
        rows.append(
            [task, f"{budget:,}", DASH if known is None else f"{known:.3f}"]
            + [bold(f"{best} {reached[best].median:.3f}", under)]
            + [bold(s.text(3), known is not None and s.median < known) for s in spreads.values()]
        )
    return [
        "## C2ST to reference posteriors\n",
        f"Mean over observations, by the classifier of {_classifiers(ours)}; 0.5 is best. "
        "Published: the lowest single-round figure over all methods of Lueckmann et al. 2021 "
        "(arXiv 2101.04653), by scikit-learn's. **Bold**: under it.\n",
        *table(["task", "simulations", "published", "best of ours", *methods], rows),
        f"Not under the published figure:{'' if missed else ' none.'}\n",
        *([*missed, ""] if missed else []),
        *_by_both(ours),
    ]


def _by_both(lines: list[dict]) -> list[str]:
    """Cells that both classifiers have scored."""
    both = [line for line in lines if {"sklearn", "jax"} <= set(line["c2st"])]
    found = [
        f"{line['task']}, {line['method']}, {line['budget']:,}: "
        f"{results.c2st(line, 'sklearn'):.3f} / {results.c2st(line, 'jax'):.3f}"
        for line in both
    ]
    return (
        [f"By scikit-learn's classifier / by that of JAX: {'; '.join(found)}.\n"] if found else []
    )


def _classifiers(lines: list[dict]) -> str:
    """Those by which `results.c2st` has the lines scored."""
    names = {"sklearn": "scikit-learn", "jax": "JAX (docs/recipe.md sets the two side by side)"}
    return " or ".join(
        sorted({names["jax" if "jax" in line["c2st"] else "sklearn"] for line in lines})
    )


def peers(lines: list[dict]) -> list[str]:
    """A section for each peer; our lines in it are of the runs that it took part in."""
    good = results.newest(lines)
    names = sorted({line["who"] for line in good} - {OURS})
    return [BESIDE, *(part for who in names for part in peer(lines, who))] if names else []


def peer(lines: list[dict], who: str) -> list[str]:
    """Two rows for each cell, ours and theirs; then where ours took longer."""
    theirs = [line for line in results.newest(lines) if line["who"] == who]
    cells = {results.cell(line) for line in theirs}
    quality, times, slower = [], [], []
    for about in sorted(cells, key=lambda c: (c[0], figures.METHODS.index(c[1]), c[2])):
        name = f"{about[0]}, {about[1]}, {about[2]:,}"
        sides = {
            OURS: results.beside(lines, who, about),
            who: [line for line in theirs if results.cell(line) == about],
        }
        for side, rows in sides.items():
            quality.append([name, side, *(Spread(rows, f).text(n) for _, f, n in QUALITY)])
        spreads = {side: [Spread(rows, f) for _, f in TIMES] for side, rows in sides.items()}
        ratios = [
            math.nan if heading == PART else b.median / a.median
            for a, b, (heading, _) in zip(*spreads.values(), TIMES, strict=True)
        ]
        times.append([name, OURS, *(s.text(2) for s in spreads[OURS])])
        pairs = zip(spreads[who], ratios, strict=True)
        times.append([name, who, *(s.text(2) + _ratio(r) for s, r in pairs)])
        for side, rows in sides.items():
            again = [_second(line) for line in rows if "again" in line]
            if again:
                values = (Spread(again, f).text(2) for _, f in TIMES)
                times.append([name, f"{side}, second run", *values])
        late = [h + _ratio(r) for (h, _), r in zip(TIMES, ratios, strict=True) if r < 1]
        slower += [f"- {name}: {', '.join(late)}"] if late else []
    return [
        f"### {who}\n",
        *table([*KEYS, *(c[0] for c in QUALITY)], quality),
        *table([*KEYS, *(c[0] for c in TIMES)], times),
        f"Where {who} is faster:{'' if slower else ' nowhere.'}\n",
        *slower,
        "",
    ]


def _second(line: dict) -> dict:
    """The same line with what a second run took, which finds the programs of the first."""
    return line | dict.fromkeys(("draws", "many_draws")) | line["again"]


def _ratio(value: float) -> str:
    if math.isnan(value):
        return ""
    return f" (x{value:.{2 if value < 1 else 1 if value < 10 else 0}f})"


def bold(text: str, yes: bool) -> str:
    """In bold, if so."""
    return f"**{text}**" if yes else text


def table(heading: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table, and an empty one."""
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]
