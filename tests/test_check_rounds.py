"""check_rounds: an honest course passes, and a dishonest one is told so."""

import sys
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

import gibbous as gb
from gibbous.errors import ConfigError
from tests.test_check import PRIOR, Exact, fitted, replace, simulator  # noqa: F401  (a fixture)

MODULE = sys.modules[gb.check_rounds.__module__]


@dataclass
class Course:
    """What `fit_rounds` returns, as far as it is asked for."""

    posterior: Any


def check(monkeypatch, fitted, n=300, **faults):  # noqa: F811
    """With courses that end at the closed form, made wrong by a fault."""
    seen = []

    def fit_rounds(method, prior, simulator, x, **options):
        seen.append((x, options))
        return Course(replace(fitted, approximation=Exact(**faults)))

    monkeypatch.setattr(MODULE, "fit_rounds", fit_rounds)
    report = gb.check_rounds(
        gb.NLE(), PRIOR, simulator, n=n, rounds=3, per_round=50, draws=200, seed=0, progress=False
    )
    return report, seen


def test_courses_that_end_at_the_truth_pass(monkeypatch, fitted):  # noqa: F811
    report, seen = check(monkeypatch, fitted)
    assert report.calibrated
    assert report.coverage.m == len(seen) == 300
    assert len({tuple(x) for x, _ in seen}) == 300
    keys = [tuple(np.asarray(jax.random.key_data(o["seed"]))) for _, o in seen]
    assert len(set(keys)) == 300  # every course has randomness of its own
    assert all((o["rounds"], o["per_round"]) == (3, 50) for _, o in seen)
    # Minus the entropy, with an error of 1/sqrt(300).
    assert abs(report.log_prob.mean() + 1 + np.log(np.pi)) < 4 * 0.058


@pytest.mark.parametrize("fault", [{"factor": 0.6}, {"shift": 0.4}])
def test_courses_that_end_elsewhere_do_not(monkeypatch, fitted, fault):  # noqa: F811
    report, _ = check(monkeypatch, fitted, **fault)
    assert not report.calibrated


@pytest.mark.slow
def test_it_runs_rounds():
    """As a user would: ten courses of two rounds, that share their programs."""
    method = gb.Truncated(gb.NPE(estimator=gb.MDN(components=1, width=16, depth=1), members=1))
    config = gb.RoundsConfig(fit=gb.FitConfig(steps=200), same=None)
    report = gb.check_rounds(
        method, PRIOR, simulator, n=10, rounds=2, per_round=300, draws=200, config=config, seed=0
    )
    assert report.coverage.m == 10
    # Near the entropy: a course that forgot its observation gives that of the prior, -2.8 - 0.5.
    assert report.log_prob.mean() > -2.14 - 0.7


def test_bad_input(tmp_path):
    few = {"rounds": 2, "per_round": 50, "seed": 0}
    with pytest.raises(ConfigError, match="at least 10"):
        gb.check_rounds(gb.NLE(), PRIOR, simulator, n=3, **few)
    config = gb.RoundsConfig(folder=tmp_path / "run")
    with pytest.raises(ConfigError, match="a folder holds the rounds of one"):
        gb.check_rounds(gb.NLE(), PRIOR, simulator, n=10, config=config, **few)
