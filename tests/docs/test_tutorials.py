"""Every tutorial runs from top to bottom, at small size."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
SMALL = {"N": "64", "STEPS": "5", "SKIES": "10"}  # constants that pages begin with


def code(page: str) -> str:
    """The python blocks of a page, with small constants."""
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    return re.sub(
        r"^([A-Z]+) = [\d_]+", lambda m: f"{m[1]} = {SMALL[m[1]]}", "\n".join(blocks), flags=re.M
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = code(path.read_text())
    assert all(f"\n{name} = {value}" in f"\n{program}" for name, value in SMALL.items())
    try:
        exec(compile(program, str(path), "exec"), {"__name__": "tutorial"})
    finally:
        import matplotlib.pyplot as plt

        plt.close("all")


def test_blocks_are_put_together_and_made_small():
    page = (
        "Text.\n```python\nN = 10_000  # rows\n```\n```bash\nmake\n```\n```python\nprint(N)\n```\n"
    )
    assert code(page) == "N = 64  # rows\n\nprint(N)\n"
