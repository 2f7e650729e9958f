"""The training loop: learns, counts, stops early, and survives Ctrl-C and kill -9."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous import training
from gibbous.compilation import CompileClock
from gibbous.errors import ConfigError, ParameterError, TrainingError
from gibbous.estimators.ensemble import apart, together
from gibbous.fit import from_simulations, learn
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Pace, Spec
from gibbous.simulation.sources import Batch

PRIOR = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))
METHOD = gb.NPE(embedding=gb.Identity(), estimator=gb.MDN(components=1, width=16, depth=1))


@gb.simulator
def gaussian(key, theta):
    return theta["theta"] + jax.random.normal(key, (2,))


@pytest.fixture(scope="module")
def sims():
    return gb.simulate(PRIOR, gaussian, 2_000, seed=0)


def config(**changes) -> gb.FitConfig:
    return gb.FitConfig(**{"steps": 400, "batch_size": 64, "progress": False} | changes)


def weights(posterior: gb.Posterior) -> list[np.ndarray]:
    return [
        np.asarray(a) for a in jax.tree.leaves(eqx.filter(posterior.approximation, eqx.is_array))
    ]


def same(a: gb.Posterior, b: gb.Posterior) -> bool:
    return all(np.array_equal(u, v) for u, v in zip(weights(a), weights(b), strict=True))


def test_the_loss_reaches_the_entropy_of_the_posterior(sims):
    posterior = gb.fit(METHOD, PRIOR, sims, config=config(steps=1_500), seed=0)
    # The posterior is N(x/2, I/2); the loss is in standardised z, whose sd is close to 1.
    scale = np.log(np.asarray(posterior.latent.scaler.scale)).sum()
    entropy = 1 + math.log(2 * math.pi * 0.5) - scale
    # 200 validation rows: -log q has sd 1 (half a chi-square with 2 degrees of freedom), so its
    # mean has standard error 0.07; and a regret of 0.03 for 1,800 rows to learn from.
    assert abs(posterior.history.best_val_loss - entropy) < 3 * 0.07 + 0.03
    assert posterior.history.stopped in ("finished", "early")
    assert posterior.history.n_train == 1_800
    assert posterior.history.n_validation == 200


def test_the_weights_that_are_kept_are_those_of_the_best_check(sims):
    history = gb.fit(METHOD, PRIOR, sims, config=config(), seed=0).history
    assert history.best_val_loss == min(history.val_loss)
    assert history.best_step in history.steps


def test_weights_that_training_cannot_improve_are_kept_as_they_began(sims):
    # The density begins at the regression, which is the answer; large steps only lead away.
    greedy = config(learning_rate=0.03, warmup=0.0, patience=5, validation=0.5)
    history = gb.fit(METHOD, PRIOR, sims, config=greedy, seed=0).history
    assert history.best_step == 0
    assert history.steps[0] == 0
    assert history.loss[0] == history.val_loss[0] < min(history.val_loss[1:])
    assert history.stopped == "early"


def test_fresh_simulations_are_trained_on_to_the_end_and_the_last_weights_kept():
    # As above, the first are the best; but a choice among looks at few rows would be chance.
    greedy = config(learning_rate=0.03, warmup=0.0, patience=5)
    history = gb.fit(METHOD, PRIOR, gaussian, config=greedy, seed=0).history
    assert history.stopped == "finished"
    assert history.best_step == history.steps[-1] == 400
    assert history.best_val_loss == history.val_loss[-1] > min(history.val_loss)


def test_it_takes_as_many_steps_as_were_asked_for(sims):
    history = gb.fit(METHOD, PRIOR, sims, config=config(steps=103, patience=None), seed=0).history
    assert history.steps == (*range(0, 103, 3), 103)


def test_early_stopping_stops_when_the_validation_loss_rises():
    rng = np.random.default_rng(0)
    noise = gb.Simulations({"theta": rng.normal(size=(60, 2))}, rng.normal(size=(60, 2)))
    greedy = config(steps=4_000, patience=5, checks=100, learning_rate=1e-2)
    history = gb.fit(replace(METHOD, members=1), PRIOR, noise, config=greedy, seed=0).history
    assert history.stopped == "early"
    assert history.steps[-1] < 4_000
    assert history.best_step == history.steps[-1] - 5 * 40


def test_each_member_keeps_the_weights_that_are_best_for_itself(sims, monkeypatch):
    chunk, looks, states = training._chunk, [], []

    def spy(*args):
        state, loss, val_loss = chunk(*args)
        looks.append(np.asarray(val_loss))
        states.append(state)
        return state, loss, val_loss

    monkeypatch.setattr(training, "_chunk", spy)
    greedy = config(patience=2, checks=40, learning_rate=1e-2)
    few = sims.rows(np.arange(100))
    history = gb.fit(METHOD, PRIOR, few, config=greedy, seed=0).history
    looks = np.array(looks)
    assert looks.shape == (len(history.steps), 4)
    best, last = looks.argmin(axis=0), states[-1]
    assert len(set(best)) > 1
    np.testing.assert_array_equal(last.best_step, np.array(history.steps)[best])
    np.testing.assert_array_equal(last.best_loss, looks.min(axis=0))
    for member, look in enumerate(best):
        np.testing.assert_array_equal(last.best[member], states[look].ema[member])
    assert history.best_val_loss == pytest.approx(looks.min(axis=0).mean())
    np.testing.assert_allclose(history.val_loss, looks.mean(axis=1), rtol=1e-6)
    # It goes on until all of them are stale.
    assert history.stopped == "early"
    assert len(looks) - 1 == best.max() + 2


@pytest.mark.parametrize(("embedding", "members"), [(gb.Identity(), 3), (gb.MLP(), None)])
def test_members_behind_one_network_are_fitted_together(embedding, members):
    spec = Spec(Batch(jnp.zeros((50, 2)), jnp.ones((50, 3))), False, Latent.fit(PRIOR, PRIOR.probe))
    method = gb.NPE(embedding=embedding, estimator=METHOD.estimator, members=3)
    model = method.init(jax.random.key(0), spec)
    alone, found = apart(model)
    assert found == members
    assert eqx.tree_equal(together(alone), model)


def test_a_second_fit_of_the_same_shape_compiles_nothing(sims):
    gb.fit(METHOD, PRIOR, sims, config=config(), seed=0)
    clock = CompileClock()
    history = gb.fit(METHOD, PRIOR, sims, config=config(), seed=1).history
    assert clock.count == 0
    assert history.compilations == 0


@pytest.mark.parametrize("members", [1, 3])
def test_a_first_fit_compiles_the_networks_once_and_the_chunk_once(sims, monkeypatch, members):
    chunk, counts = training._chunk, []

    def counted(*args):
        clock = CompileClock()
        out = chunk(*args)
        counts.append(clock.count)
        return out

    monkeypatch.setattr(training, "_chunk", counted)
    estimator = gb.MDN(components=1, width=17, depth=1)
    method = gb.NPE(embedding=gb.Identity(), estimator=estimator, members=members)
    history = gb.fit(method, PRIOR, sims, config=config(), seed=0).history
    # The networks, the optimiser's zeros, the chunk, and a handful of one-line programs.
    assert history.compilations < 16, history.compilations
    assert counts[0] > 0
    assert not any(counts[1:])


def test_the_seed_decides_everything(sims):
    first, again, other = (
        gb.fit(METHOD, PRIOR, sims, config=config(), seed=seed) for seed in (0, 0, 1)
    )
    assert same(first, again)
    assert not same(first, other)


def test_fresh_simulations_learn_the_same_posterior():
    posterior = gb.fit(METHOD, PRIOR, gaussian, config=config(steps=2_000), seed=0)
    draws = posterior.sample(np.array([1.0, -1.0]), 4_000, seed=1)["theta"]
    # Mean x/2 with a Monte-Carlo error of 0.7/sqrt(4000) = 0.011, and what 2,000 steps leave.
    np.testing.assert_allclose(draws.mean(axis=0), [0.5, -0.5], atol=0.06)
    np.testing.assert_allclose(draws.std(axis=0), math.sqrt(0.5), rtol=0.06)
    assert posterior.history.n_train is None


def test_members_share_fresh_simulations():
    calls = []

    @gb.simulator
    def counted(key, theta):
        jax.debug.callback(lambda _: calls.append(1), theta["theta"])  # once a row
        return gaussian.function(key, theta)

    def made(members):
        calls.clear()
        method = replace(METHOD, members=members)
        history = gb.fit(method, PRIOR, counted, config=config(steps=5, checks=5), seed=0).history
        jax.effects_barrier()
        assert history.steps[-1] == 5
        return len(calls)

    one = made(1)
    assert one > 5 * 64
    assert made(2) == one


def test_ctrl_c_keeps_a_checkpoint_that_says_how_to_go_on(sims, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"
    whole = gb.fit(METHOD, PRIOR, sims, config=config(), seed=0)
    chunk, calls = training._chunk, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 9:  # the first takes no step
            raise KeyboardInterrupt
        return chunk(*args)

    monkeypatch.setattr(training, "_chunk", interrupted)
    with pytest.raises(gb.TrainingInterrupted, match=r"step 56 of 400.*goes on from .*run\.check"):
        gb.fit(METHOD, PRIOR, sims, config=config(checkpoint=checkpoint), seed=0)
    assert checkpoint.exists()
    monkeypatch.undo()
    resumed = gb.fit(METHOD, PRIOR, sims, config=config(checkpoint=checkpoint), seed=0)
    assert same(whole, resumed)
    assert resumed.history.loss == whole.history.loss
    assert not checkpoint.exists()


def test_without_a_checkpoint_ctrl_c_says_that_nothing_was_saved(sims, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_chunk", interrupted)
    with pytest.raises(gb.TrainingInterrupted, match="nothing was saved"):
        gb.fit(METHOD, PRIOR, sims, config=config(), seed=0)


_KILLED = """
    import sys, jax, jax.numpy as jnp, numpyro.distributions as dist
    import gibbous as gb

    prior = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))

    @gb.simulator
    def gaussian(key, theta):
        return theta["theta"] + jax.random.normal(key, (2,))

    sims = gb.simulate(prior, gaussian, 2_000, seed=0, progress=False)
    method = gb.NPE(embedding=gb.Identity(), estimator=gb.MDN(components=1, width=16, depth=1))
    config = gb.FitConfig(steps=60_000, batch_size=64, checks=600, patience=None,
                          checkpoint=sys.argv[1], checkpoint_seconds=0.0, progress=False)
    gb.fit(method, prior, sims, config=config, seed=0).save(sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result_as_an_unbroken_one(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(_KILLED))

    def start(name: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, script, tmp_path / "checkpoint", tmp_path / name])

    process = start("resumed.gibbous")
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint").exists():
        assert time.monotonic() < deadline, "no checkpoint was written"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "resumed.gibbous").exists()
    for name in ("resumed.gibbous", "whole.gibbous"):
        assert start(name).wait() == 0
    resumed, whole = (gb.load(tmp_path / f"{name}.gibbous") for name in ("resumed", "whole"))
    assert same(resumed, whole)
    assert resumed.history.loss == whole.history.loss


def test_a_checkpoint_of_another_run_is_refused(sims, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"
    chunk, calls = training._chunk, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return chunk(*args)

    monkeypatch.setattr(training, "_chunk", interrupted)
    with pytest.raises(gb.TrainingInterrupted):
        gb.fit(METHOD, PRIOR, sims, config=config(checkpoint=checkpoint), seed=0)
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="belongs to another run"):
        gb.fit(METHOD, PRIOR, sims, config=config(checkpoint=checkpoint), seed=1)


class _Broken(AbstractMethod):
    """A method whose loss is NaN."""

    learns_posterior: ClassVar[bool] = True
    learns_data: ClassVar[bool] = False
    any_proposal: ClassVar[bool] = False
    takes_sets: ClassVar[bool] = False

    def pace(self, dim, n_train):
        return Pace()

    def init(self, key, spec):
        return jnp.ones(())

    def loss(self, model, batch: Batch, ctx):
        return jnp.full(len(batch.z), jnp.nan) * model

    def posterior(self, model, prior):
        raise NotImplementedError


def test_a_loss_of_nan_is_an_error(sims):
    with pytest.raises(TrainingError, match="learning_rate"):
        gb.fit(_Broken(), PRIOR, sims, config=config(), seed=0)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"learning_rate": -1.0}, {"ema": 1.0}, {"validation": 0.0}, {"patience": 0}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        gb.FitConfig(**wrong)


def test_a_method_sets_its_pace_on_stored_simulations_unless_told_otherwise():
    pace = Pace(140, 4_000, learning_rate=1e-3, weight_decay=0.1)
    got = gb.FitConfig().resolve(9_000, pace)
    assert got.batch_size == 128
    assert got.steps == 140 * 9_000 // 128
    assert (got.learning_rate, got.weight_decay) == (1e-3, 0.1)
    assert gb.FitConfig().resolve(900, pace).steps == 4_000
    told = gb.FitConfig(steps=10, learning_rate=1e-2, weight_decay=0.0).resolve(9_000, pace)
    assert (told.steps, told.learning_rate, told.weight_decay) == (10, 1e-2, 0.0)
    fresh = gb.FitConfig().resolve(None, Pace())
    assert (fresh.learning_rate, fresh.weight_decay) == (5e-3, 1e-4)


def test_npe_warms_up_slowly_on_vectors_as_they_are_only():
    assert gb.NPE().pace(2, 1_000).warmup == 0.3
    assert gb.NPE(gb.DeepSet()).pace(2, 1_000).warmup == 0.05


def test_embeddings_of_sets_are_learnt_at_a_lower_rate():
    sets, others = gb.DeepSet(), gb.MLP()
    for method in (gb.NPE, gb.FMPE):
        assert method(sets).pace(2, 1_000).learning_rate == 2e-3
        assert method(others).pace(2, 1_000).learning_rate == 5e-3


def test_fmpe_is_short_and_fast_on_vectors_as_they_are_only():
    short, long = gb.FMPE().pace(2, 1_000), gb.FMPE(gb.DeepSet()).pace(2, 1_000)
    assert (short.least, short.learning_rate) == (2_000, 1e-2)
    assert (long.least, long.learning_rate) == (4_000, 2e-3)


def test_npe_is_held_back_where_parameters_are_many_and_simulations_few():
    decay = {(d, n): gb.NPE().pace(d, n).weight_decay for d in (2, 10) for n in (1_000, 100_000)}
    assert decay[2, 1_000] == pytest.approx(0.04)
    assert decay[10, 1_000] == pytest.approx(1.0)
    assert decay[10, 100_000] == pytest.approx(0.01)
    assert gb.NPE().pace(300, 100).weight_decay == 1.0


def test_rows_that_fill_up_a_shape_count_for_nothing(sims):
    rows = sims.rows(np.arange(500))
    ready = [
        from_simulations(METHOD, PRIOR, rows, None, None, config(), jax.random.key(0), room)
        for room in (None, 900)
    ]
    plain, padded = ready
    assert len(padded.source.stored.rows.z) == 900
    assert plain.source.stored.n == padded.source.stored.n == 450
    for key in jax.random.split(jax.random.key(1), 20):
        a, b = (r.source.batch(key, jnp.array(0)) for r in ready)
        np.testing.assert_array_equal(a.z, b.z)
        np.testing.assert_array_equal(a.x, b.x)
    # The same weights have the same validation loss.
    first = [
        training.train(METHOD, Spec(plain.pilot, True, r.latent), r.source, r.validation, r.config,
                       jax.random.key(2), 450)[1].val_loss[0]
        for r in ready
    ]  # fmt: skip
    assert len(padded.validation.rows.z) == 90
    assert first[0] == pytest.approx(first[1], rel=1e-6)


def test_fits_with_room_for_as_many_share_their_programs(sims):
    def fit(n, steps):
        rows, config_ = sims.rows(np.arange(n)), config(steps=steps, checks=10)
        ready = from_simulations(METHOD, PRIOR, rows, None, None, config_, jax.random.key(0), 2_000)
        return learn(METHOD, ready, jax.random.key(1))

    fit(700, 100)
    clock = CompileClock()
    again = fit(1_500, 200)  # other rows, another schedule, another weight decay
    assert clock.count == 0
    assert again.history.n_train == 1_350
    assert again.history.steps[-1] == 200


def test_too_few_simulations_are_refused():
    few = gb.Simulations({"theta": np.zeros((5, 2))}, np.zeros((5, 2)))
    with pytest.raises(ConfigError, match="too few"):
        gb.fit(METHOD, PRIOR, few, seed=0)


def test_data_of_the_wrong_kind_are_refused(unchecked):
    with pytest.raises(ConfigError, match=r"gb\.Simulations or a gb\.simulator"):
        gb.fit(METHOD, PRIOR, "sims", seed=0)  # type: ignore[arg-type]

    @gb.simulator(backend="numpy")
    def slow(rng, theta):
        return rng.normal(size=2)

    with pytest.raises(ConfigError, match="simulate first"):
        gb.fit(METHOD, PRIOR, slow, seed=0)


def test_history_travels_as_json(sims):
    history = gb.fit(METHOD, PRIOR, sims, config=config(), seed=0).history
    assert gb.History.from_json(history.to_json()) == history
    assert isinstance(history.steps, tuple)
    assert history.seconds >= history.compile_seconds


def test_simulations_without_a_parameter_are_refused(sims):
    other = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0), phase=dist.Normal(0.0, 1.0))
    with pytest.raises(ParameterError, match=r"lack \['phase'\]"):
        gb.fit(METHOD, other, sims, config=config(), seed=0)
    with pytest.raises(ParameterError, match=r"'theta', 'phase'\], not \['grains'\]"):
        gb.fit(METHOD, other, sims, parameters=("grains",), config=config(), seed=0)
    few = config(steps=20, checks=2)
    assert gb.fit(METHOD, other, sims, parameters=("theta",), config=few, seed=0).names == (
        "theta",
    )
