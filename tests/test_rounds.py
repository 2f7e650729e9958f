"""Sequential rounds on a linear Gaussian: right with the correction, wrong without, resumable.

    theta ~ N(0, I_2),  x | theta ~ N(theta, s^2 I_2):  theta | x ~ N(x / (1 + s^2), V),
    V = s^2 / (1 + s^2).

With s = 1 a correction that is forgotten shows: a proposal that is taken for the prior counts the
likelihood twice, and the variance comes out as 1/3 for 1/2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous import rounds as module
from gibbous.compilation import CompileClock
from gibbous.errors import (
    ConfigError,
    ObservationError,
    ObservationWarning,
    OutputExistsError,
    ParameterError,
    ShapeError,
    SimulationError,
    SimulationWarning,
)
from gibbous.fit import from_simulations, learn
from gibbous.simulation.run import simulate_at
from tests.contract.test_methods import OPTIONS, slow

PRIOR = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))
X = np.array([1.5, -1.0], np.float32)
MEAN, SD = X / 2, np.sqrt(1 / 2)
QUIET = gb.RoundsConfig(fit=gb.FitConfig(steps=1_000, warmup=0.3), same=None, progress=False)
ROUNDS, PER_ROUND = 2, 1_500


@gb.simulator
def simulator(key, theta):
    return theta["theta"] + jax.random.normal(key, (2,))


def base(name: str):
    few = {"contrasts": 16} if name == "NRE" else {}
    return gb.METHODS[name](**{**OPTIONS[name], **few})


METHODS = {
    "NLE": base("NLE"),
    "NRE": base("NRE"),
    "Atomic": gb.Atomic(base("NPE"), atoms=8),
    # a region this small would show any mass that truncation lost
    **{f"Truncated {name}": gb.Truncated(base(name), epsilon=1e-3) for name in gb.METHODS},
}


def deviation(posterior: gb.Posterior) -> float:
    """Largest error of a mean, in sds, and of a log sd."""
    draws = posterior.sample(X, 4_000, seed=1)["theta"]
    mean = np.abs(draws.mean(axis=0) - MEAN).max() / SD
    return float(max(mean, np.abs(np.log(draws.std(axis=0) / SD)).max()))


# Draws err by 1/sqrt(1,200) = 0.03 sd; some 3,000 training rows, of which means and sds are learnt
# from those near x, by a few times that. Without a correction log sd is off by log sqrt(3/2) = 0.2,
# and the mean by 1/3 of |x| / 2 = 0.35 sd.
TOLERANCE = 0.17


SLOW = {f"Truncated {name}" for name in ("FMPE", "CMPE", "NRE")} | {"NRE"}


@pytest.fixture(scope="module", params=slow(METHODS, SLOW))
def run(request) -> gb.Rounds:
    return gb.fit_rounds(
        METHODS[request.param], PRIOR, simulator, X,
        rounds=ROUNDS, per_round=PER_ROUND, config=QUIET, seed=0,
    )  # fmt: skip


def test_rounds_end_at_the_closed_form(run):
    assert deviation(run.posterior) < TOLERANCE
    assert len(run.posteriors) == ROUNDS
    assert len(run.changes) == ROUNDS - 1
    assert run.stopped == "finished"


def test_the_picture_has_a_line_for_each_round(run):
    axes = run.plot(truth={"theta": MEAN}, reference=run.draws[-1].array)
    assert len(axes) == 2
    for i, ax in enumerate(axes):
        assert len(ax.lines) == ROUNDS + 1
        assert ax.lines[-1].get_xdata()[0] == pytest.approx(MEAN[i])
    assert [t.get_text() for t in axes[0].get_legend().get_texts()][-ROUNDS:] == [
        f"round {r}" for r in range(ROUNDS)
    ]
    plt.close(axes[0].figure)


def test_every_row_knows_its_round(run):
    sims = run.simulations
    assert np.bincount(sims.round).tolist() == [PER_ROUND] * ROUNDS
    # Rounds come nearer: the spread of parameters falls below that of the prior, 1.
    spread = [sims.theta["theta"][sims.round == r].std(axis=0).max() for r in range(ROUNDS)]
    assert spread[0] == pytest.approx(1.0, abs=0.06)  # 3 errors of 1/sqrt(2 * 1,500)
    truncated = run.posterior.recipe["method"]["type"] == "Truncated"
    assert spread[-1] < (0.99 if truncated else 0.85)


def test_without_its_correction_a_method_fails_the_same_check():
    rng = np.random.default_rng(0)
    theta = {"theta": MEAN + SD * rng.normal(size=(3_000, 2)).astype(np.float32)}
    sims = simulate_at(theta, simulator, seed=0, progress=False)
    late = gb.Simulations(sims.theta, sims.x, round=np.ones(3_000))
    config = gb.FitConfig(steps=1_000, warmup=0.3, progress=False)
    key_data, key_train = jax.random.split(jax.random.key(0))
    method = base("NPE")
    ready = from_simulations(method, PRIOR, late, None, None, config, key_data)
    assert deviation(learn(method, ready, key_train)) > TOLERANCE
    # and the verb for users refuses to do it
    with pytest.raises(ConfigError, match="rounds that did not draw from the prior"):
        gb.fit(method, PRIOR, late, seed=0)


def test_rounds_of_one_shape_share_their_programs(monkeypatch):
    counts, look = [], module._look

    def counted(*args):
        out = look(*args)
        counts.append(clock.count)
        return out

    monkeypatch.setattr(module, "_look", counted)
    for name in ("NLE", "Truncated NPE"):
        clock = CompileClock()
        counts.clear()
        gb.fit_rounds(
            METHODS[name], PRIOR, simulator, X, rounds=4, per_round=300, config=QUIET, seed=1
        )
        each = np.diff([0, *counts])
        # Round 1 is the first to propose, and to compare; from then on all is there.
        assert each[0] > 0
        assert each[2:].tolist() == [0, 0], f"{name}: {each}"


def test_rounds_that_change_nothing_end(monkeypatch):
    config = gb.RoundsConfig(fit=QUIET.fit, same=0.999, progress=False)
    run = gb.fit_rounds(
        METHODS["NLE"], PRIOR, simulator, X, rounds=9, per_round=300, config=config, seed=0
    )
    assert run.stopped == "same"
    assert len(run.posteriors) == 3  # two comparisons
    assert max(run.changes) < 0.999


# --- killed, and going on -------------------------------------------------------------------------


class _Stop(Exception):
    """A kill."""


def _stop(*_):
    raise _Stop


def _counting(budget: list[int], seen: list):
    @gb.simulator(backend="numpy")
    def one(rng, theta):
        if budget[0] == 0:
            raise KeyboardInterrupt
        budget[0] -= 1
        seen.append(tuple(theta["theta"]))
        return theta["theta"] + rng.normal(size=2)

    return one


@pytest.mark.filterwarnings("ignore::gibbous.errors.SamplingWarning")  # of a tiny network
@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0.0)
    fit = gb.FitConfig(steps=60, progress=False)
    method = gb.Truncated(gb.NLE(gb.MDN(components=1, width=8), members=1), epsilon=0.01)

    def go(folder, simulator):
        config = gb.RoundsConfig(fit=fit, folder=folder, workers=1, progress=False, same=None)
        return gb.fit_rounds(
            method, PRIOR, simulator, X, rounds=3, per_round=200, config=config, seed=0
        )

    whole_seen: list = []
    whole = go(tmp_path / "whole", _counting([10_000], whole_seen))
    # killed while round 1 is simulated, when a hundred of its rows are on disk; then in training
    seen: list = []
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", _counting([330], seen))
    with monkeypatch.context() as patch:
        patch.setattr(module, "learn", _stop)
        with pytest.raises(_Stop):
            go(tmp_path / "parts", _counting([10_000], seen))
    kept = gb.Simulations.load(tmp_path / "parts" / "simulations.safetensors")
    assert np.bincount(kept.round).tolist() == [200, 200]
    run = go(tmp_path / "parts", _counting([10_000], seen))
    # 66 of 330 rows were in a chunk that was not finished: only they were made again.
    assert len(seen) <= len(whole_seen) + 70
    np.testing.assert_array_equal(run.simulations.x, whole.simulations.x)
    np.testing.assert_array_equal(run.simulations.round, whole.simulations.round)
    assert run.changes == whole.changes
    draws = [r.posterior.sample(X, 50, seed=0)["theta"] for r in (run, whole)]
    np.testing.assert_array_equal(*draws)
    config = gb.RoundsConfig(fit=fit, folder=tmp_path / "parts", progress=False)
    kwargs = {"rounds": 3, "per_round": 200, "config": config, "seed": 0}
    with pytest.raises(OutputExistsError, match="other rounds"):
        gb.fit_rounds(method, PRIOR, simulator, X + 1, **kwargs)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    config = gb.RoundsConfig(folder=tmp_path, progress=False)
    with pytest.raises(OutputExistsError, match="something else"):
        gb.fit_rounds(gb.NLE(), PRIOR, simulator, X, rounds=1, per_round=50, config=config, seed=0)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"rounds": 0}, ConfigError, "at least one round"),
        ({"per_round": 0}, ConfigError, "at least one round"),
        ({"method": gb.NPE()}, ConfigError, r"gb\.Truncated\(gb\.NPE\(\)\), or gb\.Atomic"),
        ({"method": gb.FMPE()}, ConfigError, r"gb\.Truncated\(gb\.FMPE\(\)\)"),
        ({"x_obs": np.array([1.0, np.nan])}, ObservationError, "NaN"),
        ({"x_obs": np.zeros(3)}, ShapeError, r"shape \[2\]"),
        ({"parameters": ("phase",)}, ParameterError, "phase"),
    ],
)
def test_bad_input(changed, error, match):
    kwargs = {"method": gb.NLE(), "x_obs": X, "rounds": 2, "per_round": 50, "seed": 0, **changed}
    with pytest.raises(error, match=match):
        gb.fit_rounds(prior=PRIOR, simulator=simulator, config=QUIET, **kwargs)


def test_regions_that_contradict_each_other_are_told(unchecked):
    class Interval(NamedTuple):
        """A region of one parameter, as `Region` answers for it."""

        low: float

        def sample(self, key, n):
            return {"a": self.low + np.asarray(jax.random.uniform(key, (n,)))}

        def inside(self, theta):
            return (theta["a"] >= self.low) & (theta["a"] <= self.low + 1)

    key, near = jax.random.key(0), (Interval(0.0), Interval(0.5))
    drawn = module._truncated(near, key, 100)  # half of the draws lie in both
    assert len(drawn["a"]) == 100
    assert all(region.inside(drawn).all() for region in near)
    with pytest.raises(SimulationError, match="contradict each other"):
        module._truncated((Interval(0.0), Interval(5.0)), key, 100)


def test_discrete_parameters_are_not_truncated():
    prior = gb.Prior(k=dist.Categorical(probs=jnp.ones(3) / 3))
    with pytest.raises(ParameterError, match="discrete"):
        gb.fit_rounds(
            gb.Truncated(gb.NRE()), prior, simulator, X,
            rounds=2, per_round=50, config=QUIET, seed=0,
        )  # fmt: skip


def test_bad_options():
    with pytest.raises(ConfigError, match="same"):
        gb.RoundsConfig(same=0.4)
    with pytest.raises(ConfigError, match="folder"):
        gb.RoundsConfig(fit=gb.FitConfig(checkpoint="run.checkpoint"))
    with pytest.raises(ConfigError, match="epsilon"):
        gb.Truncated(gb.NPE(), epsilon=0.0)
    with pytest.raises(ConfigError, match="two atoms"):
        gb.Atomic(gb.NPE(), atoms=1)


def test_atomic_is_for_npe(unchecked):
    with pytest.raises(ConfigError, match="Truncated takes any"):
        gb.Atomic(gb.FMPE())  # type: ignore[arg-type]


def test_a_simulator_that_fails_where_the_posterior_is(monkeypatch):
    @gb.simulator
    def fragile(key, theta):
        far = jnp.sum((theta["theta"] - MEAN) ** 2) > 0.01**2  # nearly all of the prior is
        return jnp.where(far, theta["theta"], jnp.nan) + 0.1 * jax.random.normal(key, (2,))

    small = gb.RoundsConfig(fit=gb.FitConfig(steps=200), same=None, progress=False)
    method = gb.Truncated(base("NPE"), epsilon=0.1)
    x, propose = MEAN, module._propose

    def inside(plan, course, key):
        theta = propose(plan, course, key)
        return {"theta": 0 * theta["theta"] + MEAN} if course.draws else theta

    monkeypatch.setattr(module, "_propose", inside)
    with pytest.warns(SimulationWarning, match=r"round 1 ends here.*each of the first"):
        run = gb.fit_rounds(
            method, PRIOR, fragile, x, rounds=3, per_round=300, config=small, seed=0
        )
    assert run.stopped == "failed"
    assert len(run.posteriors) == 1
    assert len(run.simulations) == 300

    @gb.simulator
    def never(key, theta):
        return jnp.nan * theta["theta"]

    with pytest.raises(SimulationError, match="each of the first"):
        gb.fit_rounds(method, PRIOR, never, x, rounds=3, per_round=300, config=small, seed=0)


def test_an_observation_that_no_round_reaches():
    small = gb.RoundsConfig(fit=gb.FitConfig(steps=200), same=None, progress=False)
    with pytest.warns(ObservationWarning, match="no parameters gave such data"):
        gb.fit_rounds(
            METHODS["Truncated NPE"], PRIOR, simulator, X + 100,
            rounds=2, per_round=300, config=small, seed=0,
        )  # fmt: skip


def test_nuisances_are_drawn_from_the_prior_given_the_rest():
    prior = gb.Prior(
        theta=dist.Normal(jnp.zeros(2), 1.0), shift=lambda theta: dist.Normal(10 * theta[0], 1.0)
    )

    @gb.simulator
    def shifted(key, theta):
        return theta["theta"] + theta["shift"] - 10 * theta["theta"][0] + 0 * key_noise(key)

    def key_noise(key):
        return jax.random.normal(key, (2,))

    small = gb.RoundsConfig(fit=gb.FitConfig(steps=200), same=None, progress=False)
    run = gb.fit_rounds(
        METHODS["Truncated NPE"], prior, shifted, X,
        rounds=2, per_round=2_000, parameters=("theta",), config=small, seed=0,
    )  # fmt: skip
    assert run.posterior.names == ("theta",)
    late = run.simulations.rows(run.simulations.round == 1)
    rest = late.theta["shift"] - 10 * late.theta["theta"][:, 0]
    assert abs(rest.mean()) < 3 / np.sqrt(2_000)
    assert abs(rest.std() - 1) < 3 / np.sqrt(2 * 2_000)
    # a parameter whose prior hangs on one left out cannot be proposed
    with pytest.raises(ParameterError, match="depends on"):
        gb.fit_rounds(
            METHODS["Truncated NPE"], prior, shifted, X,
            rounds=2, per_round=100, parameters=("shift",), config=small, seed=0,
        )  # fmt: skip


def test_artefacts_of_wrapped_methods_travel(run, tmp_path):
    if not run.posterior.approximation.direct:
        return  # likelihoods travel in tests/contract, and their draws take long to compile
    run.posterior.save(tmp_path / "p.gibbous")
    loaded = gb.load(tmp_path / "p.gibbous")
    np.testing.assert_array_equal(
        run.posterior.sample(X, 100, seed=0)["theta"], loaded.sample(X, 100, seed=0)["theta"]
    )
    for posterior in (run.posterior, loaded):  # of one observation: fresh data would tell nothing
        with pytest.raises(ConfigError, match="of round 1, meant for one observation"):
            gb.check(posterior, simulator, seed=0)
    assert "round" not in run.posteriors[0].recipe
