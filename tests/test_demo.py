"""The main job at small size: it ends, it says how it did, and says the same again."""

import io
import re

import pytest
from rich.console import Console

from gibbous.demo import run_demo
from gibbous.demo_plan import DemoConfig
from gibbous.errors import ConfigError

SMALL = DemoConfig(steps=300, datasets=100, exact=10, seed=0)


def text(group) -> str:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(group)
    return console.export_text()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, text(run_demo(SMALL, folder))


def rows(told: str) -> list[str]:
    """The numbers that the seed decides: sharpness and coverage."""
    return [line for line in told[told.index("Mean log density") :].splitlines() if "│" in line]


def nats(told: str, name: str) -> float:
    found = re.search(rf"│ {re.escape(name)} +│ +(-?[\d.]+)", told)
    assert found, told
    return float(found[1])


@pytest.mark.slow
def test_it_comes_closer_to_the_exact_posterior_than_the_prior_does(first):
    _, told = first
    # Of 100 datasets each mean has an error of about 0.15; the prior's expectation is -2.2.
    assert abs(nats(told, "prior") + 2.2) < 0.5
    # A mean-pooled DeepSet gives 3 after minutes; 300 steps of this one give more than 5.
    assert nats(told, "learnt") > 5
    assert nats(told, "learnt") < nats(told, "exact, first 10")


@pytest.mark.slow
def test_it_leaves_a_page_pictures_and_the_posterior(first):
    folder, _ = first
    names = {"index.html", "posterior.gibbous", "data.png"}
    names |= {f"{kind}-{i}.png" for kind in ("posterior", "predictive") for i in (1, 2, 3)}
    assert names == {f.name for f in folder.iterdir()}
    page = (folder / "index.html").read_text()
    assert page.count("<figure") >= 10
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(first, tmp_path):
    assert rows(text(run_demo(SMALL, tmp_path))) == rows(first[1])


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="no method 'magic'"):
        DemoConfig(method="magic")
    with pytest.raises(ConfigError, match="at least 10 datasets"):
        DemoConfig(datasets=5)
