"""The comparison page at small size: a method with a density, one without."""

import io

import pytest
from rich.console import Console

import gibbous as gb
from gibbous import demo_plan
from gibbous.demo_compare import run_comparison
from gibbous.demo_plan import PLANS, DemoConfig, Plan
from gibbous.errors import ConfigError

pytestmark = pytest.mark.slow
SMALL = {"steps": 100, "batch_size": 64}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    embedding = gb.DeepSet(width=16)
    plans = {
        "NPE": Plan(gb.NPE(embedding, gb.MDN(width=16)), 200, SMALL, 60, 100),
        "CMPE": Plan(gb.CMPE(embedding, gb.Consistency(width=16, depth=1)), 200, SMALL, 40, 100),
    }
    monkeypatch.setattr(demo_plan, "PLANS", plans)


def test_every_method_has_a_plan():
    assert set(PLANS) == set(gb.METHODS)


def test_the_page_shows_the_methods_beside_each_other(tmp_path):
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(run_comparison(DemoConfig(method="all", exact=5), tmp_path))
    told = console.export_text()
    rows = [line.split("│")[1:-1] for line in told.splitlines() if line.startswith("│")]
    by_name = {name: [r for r in rows if r[0].strip() == name] for name in ("NPE", "CMPE")}
    assert all(len(found) == 3 for found in by_name.values()), told
    assert by_name["CMPE"][0][1].strip() == "no density"
    learnt, exact, gap = (float(cell.split("±")[0]) for cell in by_name["NPE"][0][1:4])
    assert -5 < learnt < exact  # after 100 steps; the prior has -2.2
    assert gap > 0
    assert by_name["NPE"][0][4].strip() == "60"
    names = {"index.html", "npe.gibbous", "cmpe.gibbous", "coverage-npe.png", "coverage-cmpe.png"}
    assert names | {f"posteriors-{i}.png" for i in (1, 2, 3)} == {
        f.name for f in tmp_path.iterdir()
    }
    assert (tmp_path / "index.html").read_text().count("<figure") == 5


def test_options_that_do_not_fit_one_of_them_are_refused():
    with pytest.raises(ConfigError, match="at least 10 datasets"):
        DemoConfig(method="all", datasets=5)
