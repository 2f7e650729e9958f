"""The page of rounds: what is bold, what counts twice, and where truths are known."""

from benchmarks import rounds_page
from benchmarks.sequential import PUBLISHED


def line(observation=1, last=0.55, who="gibbous", date="1", **more):
    return {
        "who": who, "task": "two_moons", "method": "NLE", "budget": 1_000, "rounds": 2, "seed": 0,
        "observation": observation, "date": f"2026-01-01T{date}",
        "run": "a", "commit": "abc", "machine": {"cpu": "cpu", "cores": 1}, "c2st": [0.9, last],
        "mmd": 0.01, "seconds": 60.0, "training": [1.0, 2.0],
    } | more  # fmt: skip


def test_the_mean_over_observations_is_bold_under_the_published_figure():
    known = PUBLISHED["two_moons"][1_000]
    page = rounds_page.page([line(1, known - 0.02), line(2, known + 0.01)])
    assert f"**{known - 0.005:.3f} [{known - 0.02:.3f}..{known + 0.01:.3f}]**" in page
    page = rounds_page.page([line(1, known)])
    assert f"| {known:.3f} | 0.010 |" in page
    assert "**0" not in page


def test_a_peer_is_set_under_ours_of_the_same_run():
    lines = [line(), line(who="sbi", last=0.7), line(last=0.6, run="b", date="2")]
    page = rounds_page.page(lines)
    assert "| 0.607 | NLE | 1 | **0.600** |" in page  # the newest, whoever was beside it
    ours = page.index("| two_moons | 1,000 | NLE | 1 | gibbous | 0.550 |")
    assert ours < page.index("| two_moons | 1,000 | NLE | 1 | sbi | 0.700 |")
    assert "Beside" not in rounds_page.page(lines[:1])


def test_the_newest_line_wins():
    lines = [line(last=0.8), line(last=0.6, date="2"), line(2)]
    assert [v["c2st"][-1] for v in rounds_page.newest(lines)] == [0.6, 0.55]


def test_true_parameters_are_set_beside_the_exact_posterior():
    known = {"task": "double_moon", "log_prob": [9.0, 11.0], "exact_log_prob": 12.0}
    page = rounds_page.page([line(1, **known), line(2, **known | {"log_prob": [8.0, 10.0]})])
    assert "10.50 in the mean after the last one, the exact posterior 12.00" in page
    assert "| 1 | 9.00 11.00 | 0.900 0.550 | 12.00 |" in page


def test_a_page_and_a_figure(tmp_path):
    source = tmp_path / "rounds.jsonl"
    rounds_page.write(source, tmp_path)
    assert not (tmp_path / "ROUNDS.md").exists()
    source.write_text("\n".join(str(line(o)).replace("'", '"') for o in (1, 2)))
    rounds_page.write(source, tmp_path)
    assert (tmp_path / "ROUNDS.md").exists()
    assert (tmp_path / "figures" / "rounds.png").stat().st_size > 5_000
