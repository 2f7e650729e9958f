"""Running simulators: the same rows whatever the workers, and failures that are told."""

import io
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from gibbous import Prior, simulate, simulator
from gibbous.errors import (
    ConfigError,
    SeedError,
    ShapeError,
    SimulationError,
    SimulationWarning,
)
from gibbous.simulation import run


@pytest.fixture(scope="module")
def prior():
    return Prior(a=dist.Normal(0.0, 1.0), v=dist.Uniform(jnp.zeros(2), 1.0))


@simulator
def in_jax(key, theta):
    return theta["a"] + theta["v"].sum() + 0.1 * jax.random.normal(key, (3,))


@simulator(backend="numpy")
def in_numpy(rng, theta):
    return theta["a"] + theta["v"].sum() + 0.1 * rng.normal(size=3)


@pytest.fixture(scope="module")
def from_numpy(prior):
    return simulate(prior, in_numpy, 150, seed=0, workers=1)


@pytest.mark.parametrize("one", [in_jax, in_numpy], ids=["jax", "numpy"])
def test_a_run_that_was_cut_short_goes_on_with_the_same_rows(prior, one):
    theta = {k: np.asarray(v) for k, v in prior.sample(0, 200).items()}
    whole = run.simulate_at(theta, one, seed=1, workers=1, progress=False)
    seen = []
    rest = run.simulate_at(
        {k: v[130:] for k, v in theta.items()}, one, seed=1, workers=1, progress=False,
        start=130, done=lambda parts: seen.append(sum(len(p) for p in parts)),
    )  # fmt: skip
    np.testing.assert_array_equal(rest.x, whole.x[130:])
    assert seen == sorted(seen)
    assert seen[-1] == 70
    again = run.simulate_at(
        {k: v[130:] for k, v in theta.items()}, one, seed=1, workers=1, progress=False
    )
    assert not np.array_equal(again.x, rest.x)  # where rows are counted from matters


@pytest.mark.parametrize("one", [in_jax, in_numpy], ids=["jax", "numpy"])
def test_rows_are_draws_of_the_model(prior, one):
    sims = simulate(prior, one, 300, seed=0)
    assert sims.x.shape == (300, 3)
    assert sims.x.dtype == np.float32
    assert sims.theta["v"].shape == (300, 2)
    assert sims.n_failed == 0
    residual = sims.x - (sims.theta["a"] + sims.theta["v"].sum(1))[:, None]
    # 900 normals of sd 0.1: the mean has sd 0.0033, the sd has sd 0.0024
    assert abs(residual.mean()) < 4 * 0.0033
    assert residual.std() == pytest.approx(0.1, abs=4 * 0.0024)
    # no row borrows another's noise, and none its neighbour's parameters
    assert len(np.unique(residual.round(6), axis=0)) == 300
    assert np.corrcoef(residual[:-1, 0], residual[1:, 0])[0, 1] == pytest.approx(
        0, abs=4 / 300**0.5
    )
    np.testing.assert_array_equal(sims.theta["a"], simulate(prior, one, 300, seed=0).theta["a"])
    assert not np.array_equal(sims.x, simulate(prior, one, 300, seed=1).x)


def test_the_same_rows_in_chunks_of_any_size(prior, monkeypatch):
    whole = simulate(prior, in_jax, 100, seed=0)
    monkeypatch.setattr(run, "_CHUNK_BYTES", 16 * 12)  # 16 rows of three float32
    parts = simulate(prior, in_jax, 100, seed=0)
    # float32: another width may fuse the sum in another order
    np.testing.assert_allclose(parts.x, whole.x, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(parts.theta["a"], whole.theta["a"])


def test_the_same_rows_with_any_number_of_workers(prior, from_numpy, monkeypatch):
    def rows(**options):
        return simulate(prior, in_numpy, 150, seed=0, **options).x

    np.testing.assert_array_equal(rows(workers=2), from_numpy.x)
    np.testing.assert_array_equal(rows(), from_numpy.x)
    # A batch of another size in the workers, and work that seems long enough for a pool.
    monkeypatch.setattr(run, "_FIRST", 7)
    monkeypatch.setattr(run, "_POOL_START_SECONDS", 0.0)
    np.testing.assert_array_equal(rows(), from_numpy.x)


def test_a_key_is_a_seed(prior, from_numpy):
    same = simulate(prior, in_numpy, 150, seed=jax.random.key(0), workers=1)
    np.testing.assert_array_equal(same.x, from_numpy.x)


# --- rows that fail -------------------------------------------------------------------------------


@simulator(backend="numpy")
def fragile(rng, theta):
    a = theta["a"]
    if a < -1:
        raise FloatingPointError(f"stiff at {a:.1f}")
    if a > 1.5:
        return np.array([np.nan, 0.0])
    if a > 1.0:
        return np.array([np.inf, 0.0])
    if a > 0.8:
        return np.zeros(3)
    return np.array([a, 1.0])


def test_rows_that_fail_are_counted_told_and_left_out(prior):
    with pytest.warns(SimulationWarning) as told:
        sims = simulate(prior, fragile, 200, seed=0, workers=1)
    a = sims.theta["a"]
    bad = (a < -1) | (a > 0.8)
    assert {
        bool(((a > lo) & (a < hi)).any()) for lo, hi in [(-9, -1), (0.8, 1), (1, 1.5), (1.5, 9)]
    } == {True}  # every kind of failure is among them
    np.testing.assert_array_equal(sims.valid, ~bad)
    assert sims.n_failed == bad.sum()
    assert len(sims) == 200
    assert np.isnan(sims.x[(a < -1) | ((a > 0.8) & (a < 1))]).all()
    np.testing.assert_allclose(sims.usable().x[:, 0], a[~bad])
    first = int(np.argmax(a < -1))
    message = str(told[0].message)
    assert f"{bad.sum()} of 200 simulations failed" in message
    assert f"row {first}: FloatingPointError: stiff at {a[first]:.1f}" in message


def test_nan_and_inf_from_jax(prior):
    @simulator
    def half(key, theta):
        return jnp.where(theta["a"] > 1, jnp.nan, jnp.where(theta["a"] < -1, jnp.inf, theta["v"]))

    with pytest.warns(SimulationWarning, match="the first said: it returned NaN or inf"):
        sims = simulate(prior, half, 100, seed=0)
    np.testing.assert_array_equal(sims.valid, np.abs(sims.theta["a"]) <= 1)


def test_shapes_that_change_are_told(prior):
    @simulator(backend="numpy")
    def growing(rng, theta):
        return np.zeros(2 if theta["a"] < 1 else 3)

    with pytest.warns(SimulationWarning, match=r"row \d+ has shape \(3,\), the first had \(2,\)"):
        simulate(prior, growing, 50, seed=0, workers=1)


def test_a_scalar_is_no_dataset(prior):
    @simulator(backend="numpy")
    def number(rng, theta):
        return 1.0

    with pytest.raises(SimulationError, match="at least one axis, got a scalar"):
        simulate(prior, number, 10, seed=0)

    @simulator
    def jax_number(key, theta):
        return theta["a"]

    with pytest.raises(ShapeError, match="one array with at least one axis"):
        simulate(prior, jax_number, 10, seed=0)

    @simulator
    def pair(key, theta):
        return theta["v"], theta["v"]

    with pytest.raises(ShapeError, match=r"a set \[n, d\] and its mask"):
        simulate(prior, pair, 10, seed=0)


@pytest.mark.parametrize("workers", [None, 1])
def test_always_failing_is_an_error_soon_and_tells_why(prior, workers):
    calls = []

    @simulator(backend="numpy")
    def broken(rng, theta):
        calls.append(1)
        raise KeyError("mass")

    began = time.perf_counter()
    with pytest.raises(SimulationError, match=r"each of the first 64 .* row 0: KeyError: 'mass'"):
        simulate(prior, broken, 1_000_000, seed=0, workers=workers)
    assert len(calls) == 64
    assert time.perf_counter() - began < 30


def test_always_nan_is_an_error(prior):
    @simulator
    def nothing(key, theta):
        return theta["v"] * jnp.nan

    with pytest.raises(SimulationError, match="it returned NaN or inf"):
        simulate(prior, nothing, 10, seed=0)


def test_numpy_code_marked_as_jax(prior):
    @simulator
    def mistaken(key, theta):
        return np.random.default_rng(0).normal(float(theta["a"]), size=2)

    with pytest.raises(SimulationError, match=r'cannot be traced.*(?s:.*)backend="numpy"'):
        simulate(prior, mistaken, 10, seed=0)


def test_options_that_are_refused(prior):
    for options in ({"n": 0}, {"n": -5}, {"n": 5, "workers": 0}):
        with pytest.raises(ConfigError, match="at least one row and one worker"):
            simulate(prior, in_numpy, seed=0, **options)
    with pytest.raises(SeedError):
        simulate(prior, in_numpy, 5, seed=True)


# --- the bar --------------------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "progress", "seen"),
    [(_Terminal, True, True), (_Terminal, False, False), (io.StringIO, True, False)],
    ids=["terminal", "terminal, switched off", "file"],
)
def test_the_bar_is_for_terminals(prior, monkeypatch, stream, progress, seen):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream())
    simulate(prior, in_numpy, 150, seed=0, workers=1, progress=progress)
    written = sys.stderr.getvalue()
    assert ("simulating" in written) == seen
    assert ("150/150" in written) == seen
    assert seen or written == ""


# --- sets of any size -----------------------------------------------------------------------------


@simulator
def some_in_jax(key, theta):
    """As many points as a parameter says, scattered over the array."""
    x = theta["a"] + jnp.arange(9.0)[:, None]
    order = jax.random.permutation(key, 9)
    return x[order], order < jnp.floor(9 * theta["v"][0])


@simulator(backend="numpy")
def some_in_numpy(rng, theta):
    return theta["a"] + np.arange(np.floor(9 * theta["v"][0]), dtype=np.float32)[:, None]


@pytest.mark.parametrize("one", [some_in_jax, some_in_numpy], ids=["jax", "numpy"])
def test_simulators_may_return_any_number_of_points(prior, one):
    sims = simulate(prior, one, 150, seed=0, workers=1, progress=False)
    n = np.floor(9 * sims.theta["v"][:, 0]).astype(int)
    assert n.min() == 0
    np.testing.assert_array_equal(sims.sizes, n)
    assert sims.x.shape == (150, n.max(), 1)
    assert sims.n_failed == 0
    for points, a, count in zip(sims.sets(), sims.theta["a"], n, strict=True):
        np.testing.assert_allclose(np.sort(points[:, 0]), a + np.arange(count), rtol=1e-5)


@pytest.mark.parametrize(
    "out",
    [
        (jnp.zeros((4, 2)), jnp.ones(5)),
        (jnp.zeros(4), jnp.ones(4)),
        (jnp.zeros((4, 2)), jnp.ones((4, 2))),
        (jnp.zeros((4, 2)), jnp.ones(4), jnp.ones(4)),
        (jnp.zeros((4, 2)), 4),
    ],
)
def test_what_is_no_set_with_its_mask_is_refused(prior, out):
    with pytest.raises(ShapeError, match=r"mask \[n\]"):
        simulate(prior, simulator(lambda key, theta: out), 10, seed=0, progress=False)


def test_a_set_of_other_points_is_a_failed_row(prior):
    @simulator(backend="numpy")
    def odd(rng, theta):
        return np.ones((3, 2 if theta["a"] < 1 else 1))

    with pytest.warns(SimulationWarning, match=r"has shape \(3, 1\), the first had \(3, 2\)"):
        sims = simulate(prior, odd, 50, seed=1, workers=1, progress=False)
    assert 0 < sims.n_failed < 50
