"""The command line: what it prints, what it writes, how it fails."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import gibbous as gb
from gibbous.problem import load_problem

PROBLEM = """
    import jax, jax.numpy as jnp, numpyro.distributions as dist
    import gibbous as gb

    prior = gb.Prior(mean=dist.Normal(0.0, 1.0), spread=dist.HalfNormal(1.0))
    observed = jnp.array([0.3, 0.1, -0.2, 0.4])
    method = gb.NPE(estimator=gb.MDN(components=2, width=16, depth=1), members=1)

    @gb.simulator
    def simulator(key, theta):
        return theta["mean"] + theta["spread"] * jax.random.normal(key, (4,))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "problem.py").write_text(textwrap.dedent(PROBLEM))
    return folder


def gibbous(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "gibbous", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def fails(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    told = " ".join(result.stderr.split())
    for word in words:
        assert word in told, told


@pytest.fixture(scope="module")
def fitted(folder):
    result = gibbous(folder, "fit", "problem.py", "-n", "1000", "--steps", "300")
    assert result.returncode == 0, result.stderr
    return result


def test_fit_says_what_it_did(folder, fitted):
    assert (folder / "posterior.gibbous").exists()
    assert not (folder / "posterior.gibbous.checkpoint").exists()
    said = re.search(r"(\d+) steps in .* compiling", fitted.stdout)
    assert said  # of the 300 that were asked for it may take fewer
    assert 0 < int(said[1]) <= 300


def test_sample_prints_a_table_and_writes_draws_and_figures(folder, fitted):
    result = gibbous(folder, "sample", "problem.py", "posterior.gibbous", "-n", "500")
    assert result.returncode == 0, result.stderr
    assert "mean" in result.stdout
    draws = np.load(folder / "draws" / "draws.npz")
    assert draws["spread"].shape == (500,)
    assert (draws["spread"] > 0).all()
    names = {"draws.npz", "summary.csv", "corner.png", "predictive.png"}
    assert names == {f.name for f in (folder / "draws").iterdir()}
    fails(gibbous(folder, "sample", "problem.py", "posterior.gibbous"), "exists", "--overwrite")


def test_check_writes_a_page(folder, fitted):
    result = gibbous(folder, "check", "problem.py", "posterior.gibbous", "-n", "200")
    assert result.returncode == 0, result.stderr
    assert "rank ECDF" in result.stdout
    assert "<svg" in (folder / "report.html").read_text()


def test_simulate_then_fit_on_the_file(folder):
    assert gibbous(folder, "simulate", "problem.py", "-n", "300").returncode == 0
    result = gibbous(
        folder, "fit", "problem.py", "--data", "sims.gibbous", "--steps", "50",
        "--out", "other.gibbous", "--parameters", "mean",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Posterior of ['mean']" in result.stdout


@pytest.mark.slow
def test_rounds_then_sample(folder):
    text = (folder / "problem.py").read_text()
    (folder / "truncated.py").write_text(
        text.replace("method = ", "method = gb.Truncated(").replace("members=1)", "members=1))")
    )
    command = "rounds", "truncated.py", "-n", "1000", "--rounds", "2", "--out", "near.gibbous"
    result = gibbous(folder, *command)
    assert result.returncode == 0, result.stderr
    assert "2 rounds, 1,000 simulations, ended: finished" in result.stdout
    assert (folder / "near.gibbous.rounds" / "rounds.png").exists()
    result = gibbous(folder, "sample", "truncated.py", "near.gibbous", "-n", "200", "--out", "near")
    assert result.returncode == 0, result.stderr
    fails(gibbous(folder, *command), "near.gibbous exists")
    none = "rounds", "truncated.py", "-n", "3", "--out", "new"
    fails(gibbous(folder, *none), "at least one simulation a round")
    plain = "rounds", "problem.py", "-n", "1000", "--out", "new"
    fails(gibbous(folder, *plain), "use gb.Truncated(gb.NPE())")


@pytest.mark.slow
def test_rounds_of_a_problem_without_a_method_learn_the_likelihood(folder):
    text = re.sub(r"(?m)^method = .*$", "", (folder / "problem.py").read_text())
    (folder / "plain.py").write_text(text.replace("(4,)", "(2,)").replace("0.1, -0.2, ", ""))
    command = "rounds", "plain.py", "-n", "200", "--rounds", "2", "--out", "plain.gibbous"
    result = gibbous(folder, *command)
    assert result.returncode == 0, result.stderr
    assert gb.load(folder / "plain.gibbous").recipe["method"]["type"] == "NLE"
    command = "sample", "plain.py", "plain.gibbous", "-n", "100", "--out", "plain"
    assert gibbous(folder, *command).returncode == 0


@pytest.mark.parametrize("command", ["demo", "simulate", "fit", "rounds", "sample", "check"])
def test_help_on_each_command(folder, command):
    result = gibbous(folder, command, "--help")
    assert result.returncode == 0
    assert "--seed" in result.stdout


def test_mistakes_are_told_in_one_message(folder, fitted):
    fails(gibbous(folder, "fit", "absent.py", "--out", "new"), "no problem file absent.py")
    (folder / "broken.py").write_text("import gibbous as gb\nprior = gb.Prior(a=1)\n")
    fails(
        gibbous(folder, "fit", "broken.py", "--out", "new"),
        "expected 'a' to be a numpyro distribution",
    )
    (folder / "raises.py").write_text("x = 1\ny = x / 0\n")
    fails(gibbous(folder, "fit", "raises.py", "--out", "new"), "line 2", "ZeroDivisionError")
    (folder / "empty.py").write_text("x = 1\n")
    fails(gibbous(folder, "fit", "empty.py", "--out", "new"), "must define `prior`")
    fails(gibbous(folder, "fit", "problem.py"), "posterior.gibbous exists", "--overwrite")
    fails(
        gibbous(folder, "check", "problem.py", "absent.gibbous", "--out", "new"),
        "no file absent.gibbous",
    )
    fails(gibbous(folder, "demo", "--method", "nope", "--out", "d"), "no method 'nope'", "NPE")


def test_an_interrupted_fit_says_how_to_go_on(folder):
    """Ctrl-C in the middle of training: exit code 130, and the same command finishes the run."""
    import signal
    import time

    # Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
    run = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('gibbous', run_name='__main__')"
    )
    command = [sys.executable, "-c", run, "fit", "problem.py", "-n", "1000",
               "--steps", "1000000", "--out", "long.gibbous"]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    checkpoint = folder / "long.gibbous.checkpoint"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "goes on from" in " ".join(told.split())
    assert "Traceback" not in told
    assert checkpoint.exists()


def test_a_problem_may_say_what_is_missing(folder):
    text = (folder / "problem.py").read_text()
    assert load_problem(folder / "problem.py").missing is None
    (folder / "gaps.py").write_text(text + "\nmissing = gb.Missing(0.1, 0.2)\n")
    assert load_problem(folder / "gaps.py").missing == gb.Missing(0.1, 0.2)
