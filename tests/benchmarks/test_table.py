import json

import pytest

from benchmarks import results, table


def line(who="gibbous", method="NPE", budget=1_000, seed=0, c2st=0.6, run="a", date="1", **more):
    return {
        "who": who, "task": "two_moons", "method": method, "budget": budget, "seed": seed,
        "run": run, "date": f"2026-01-01T{date}", "machine": {"cpu": "cpu", "cores": 1},
        "versions": {who: "1"}, "c2st": {"sklearn": [c2st, c2st]}, "log_prob": 1.0, "import": 1.0,
        "train": 10.0, "compile": 5.0, "first_draws": 2.0, "draws": 0.5, "first_many": 1.0,
        "many_draws": 0.1, "memory": 100.0,
    } | more  # fmt: skip


def failed(**more):
    values = line(**more)
    kept = ("who", "task", "method", "budget", "seed", "run", "date", "machine")
    return {k: values[k] for k in kept} | {"error": "exit code 1: it broke"}


def test_newest_line_wins_and_a_failure_does_not():
    lines = [line(c2st=0.9), line(c2st=0.7, date="2"), failed(date="3"), line(seed=1, c2st=0.8)]
    assert [results.c2st(v) for v in results.newest(lines)] == [0.7, 0.8]


def test_spread_is_the_median_with_the_ends():
    spread = results.Spread([{"v": v} for v in (3.0, 1.0, None, 2.0)], lambda x: x["v"])
    assert spread.text(1) == "2.0 [1.0..3.0]"
    assert results.Spread([{"v": 2.0}], lambda x: x["v"]).text(1) == "2.0"
    assert results.Spread([], lambda x: x["v"]).text(1) == results.DASH


def test_page_says_which_classifier_it_was():
    assert "by the classifier of scikit-learn;" in table.page([line()], [])
    ours = {"c2st": {"jax": [0.6, 0.6]}}
    assert "by the classifier of JAX (" in table.page([line() | ours], [])
    both = {"c2st": {"sklearn": [0.6, 0.6], "jax": [0.5, 0.6]}}
    page = table.page([line() | both], [])
    assert "by the classifier of JAX (" in page
    assert "two_moons, NPE, 1,000: 0.600 / 0.550." in page


def test_bold_only_under_the_published_figure():
    known = results.PUBLISHED["two_moons"]
    lines = [line(c2st=known[1_000] - 0.01), line(c2st=known[10_000], budget=10_000)]
    page = table.page(lines, [])
    assert "**NPE 0.690**" in page
    assert "NPE 0.595" in page
    assert "**NPE 0.595**" not in page
    assert "- two_moons, 10,000: 0.595 (0.595)" in page


def test_ours_beside_a_peer_are_of_the_same_run():
    lines = [line(c2st=0.6), line("sbi", c2st=0.7), line(c2st=0.9, run="b", date="2")]
    about = ("two_moons", "NPE", 1_000)
    assert [results.c2st(v) for v in results.beside(lines, "sbi", about)] == [0.6]


def test_a_second_run_has_a_row_of_its_own():
    again = {"import": 1.0, "train": 3.0, "compile": 0.5, "first_draws": 0.25, "first_many": 0.5}
    page = table.page([line(again=again), line("sbi", compile=None)], [])
    assert "| two_moons, NPE, 1,000 | gibbous, second run | 1.00 | 3.00 | 0.50 | 2.50 |" in page
    assert "sbi, second run" not in page


def test_page_with_failures_chains_and_gaps():
    lines = [
        line(method="NLE", log_prob=None, ess=500.0),
        line("sbi", "NLE", log_prob=None, compile=None, first_many=None, many_draws=None, ess=100.0,
             train=5.0),
        failed(who="sbi"),
    ]  # fmt: skip
    page = table.page(lines, ["budget.png"])
    assert "| 1000 |" in page  # ours: 500 effective draws in half a second
    assert "- two_moons, NLE, 1,000: train (x0.50)" in page
    assert "figures/budget.png" in page


def test_lines_are_read_in_order_of_date(tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text("\n".join(json.dumps(v) for v in (line(date="2"), line(date="1"))) + "\n")
    assert [v["date"][-1] for v in results.read(file)] == ["1", "2"]


def test_no_results_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="python -m benchmarks run"):
        table.write(tmp_path / "none.jsonl", tmp_path / "RESULTS.md")
