"""Every tutorial runs from top to bottom, at small size."""

import re
from pathlib import Path

import pytest

import gibbous as gb

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
SMALL = {"N": "64", "STEPS": "5", "SKIES": "10", "CHECKS": "40"}  # what constants become
CONSTANT = re.compile(r"^([A-Z][A-Z_]*) = [^#\n]*[^#\s]", re.M)


def blocks(page: str) -> str:
    """The python blocks of a page, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))


def code(page: str) -> str:
    """The same with small constants; a page has to have N and STEPS, and none without a small
    value."""
    program = blocks(page)
    names = {m[1] for m in CONSTANT.finditer(program)}
    assert {"N", "STEPS"} <= names <= set(SMALL), f"constants are {sorted(names)}"
    return CONSTANT.sub(lambda m: f"{m[1]} = {SMALL[m[1]]}", program)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, made = code(path.read_text()), {"__name__": "tutorial"}
    try:
        exec(compile(program, str(path), "exec"), made)
    finally:
        import matplotlib.pyplot as plt

        plt.close("all")
    posteriors = [v for v in made.values() if isinstance(v, gb.Posterior)]
    assert posteriors
    assert all(0 < p.history.steps[-1] <= int(SMALL["STEPS"]) for p in posteriors)


PAGE = """Text.
```python
N = 10_000  # rows
STEPS = 500
```
```bash
make
```
```python
n = N
```
"""


def test_blocks_are_put_together_and_made_small():
    assert code(PAGE) == "N = 64  # rows\nSTEPS = 5\n\nn = N\n"


@pytest.mark.parametrize(
    "wrong",
    [PAGE.replace("STEPS", "steps"), PAGE.replace("n =", "OTHER =")],
    ids=["no STEPS", "OTHER"],
)
def test_a_constant_that_is_lacking_or_has_no_small_value_is_told(wrong):
    with pytest.raises(AssertionError, match="constants are"):
        code(wrong)
