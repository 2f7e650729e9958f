"""Lines of results, and what is read off them: the newest of each, medians with their spread."""

import json
import math
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

OURS = "gibbous"
DASH = "-"
Cell = tuple[str, str, int]  # task, method, budget

# The lowest single-round C2ST by task and budget, over all methods (Lueckmann et al. 2021,
# "Benchmarking simulation-based inference", arXiv 2101.04653).
PUBLISHED = {
    task: dict(zip((1_000, 10_000, 100_000), figures, strict=True))
    for task, figures in {
        "gaussian_linear": (0.636, 0.552, 0.506),
        "gaussian_linear_uniform": (0.696, 0.548, 0.506),
        "gaussian_mixture": (0.716, 0.615, 0.548),
        "two_moons": (0.700, 0.595, 0.542),
        "slcp": (0.946, 0.771, 0.699),
        "bernoulli_glm": (0.740, 0.605, 0.545),
        "sir": (0.761, 0.680, 0.585),
    }.items()
}


def read(path: Path) -> list[dict]:
    """All lines of the file, oldest first."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return sorted(lines, key=lambda line: line["date"])


def cell(line: dict) -> Cell:
    """What a line is about, whoever it is from."""
    return line["task"], line["method"], line["budget"]


def newest(lines: Iterable[dict]) -> list[dict]:
    """The last line for each contender, cell and seed; failures neither count nor replace."""
    last = {(line["who"], *cell(line), line["seed"]): line for line in lines if "error" not in line}
    return list(last.values())


def beside(lines: list[dict], who: str, about: Cell) -> list[dict]:
    """Our lines from the runs in which `who` took part, so that both saw the same minutes."""
    of_cell = [line for line in lines if cell(line) == about]
    runs = {line["run"] for line in newest(of_cell) if line["who"] == who}
    return newest(line for line in of_cell if line["who"] == OURS and line["run"] in runs)


class Spread:
    """Median, smallest and largest of a figure over repeats; nan where nobody has it."""

    def __init__(self, lines: Iterable[dict], figure: Callable[[dict], float | None]) -> None:
        values = [v for v in map(figure, lines) if v is not None]
        self.median = statistics.median(values) if values else math.nan
        self.low, self.high = (min(values), max(values)) if values else (math.nan, math.nan)

    def text(self, digits: int) -> str:
        """Like `2.1` or `2.1 [1.9..2.4]`; a dash for nan."""
        if math.isnan(self.median):
            return DASH
        middle, low, high = (f"{v:.{digits}f}" for v in (self.median, self.low, self.high))
        return middle if low == high else f"{middle} [{low}..{high}]"


def c2st(line: dict, which: str = "") -> float | None:
    """Mean over observations, by our classifier, or by scikit-learn's where ours was not run."""
    known = line["c2st"]
    scores = known.get(which) if which else known.get("jax", known.get("sklearn"))
    return statistics.mean(scores) if scores else None


def whole(line: dict) -> float:
    """Seconds from nothing to the first draws."""
    return line["import"] + line["train"] + line["first_draws"]


def running(line: dict) -> float:
    """Seconds of training, compilation apart."""
    return line["train"] - (line["compile"] or 0.0)


def per_second(line: dict) -> float | None:
    """Effective draws a second, of chains that were drawn the second time."""
    return line["ess"] / line["draws"] if "ess" in line else None
