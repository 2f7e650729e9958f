"""Data sources: every row equally often, no repeats, and failed rows replaced."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from gibbous import Missing, Prior, Simulations, Subsets, simulate, simulator
from gibbous.latent import Latent
from gibbous.scaling import Standardizer
from gibbous.simulation.sources import (
    Batch,
    Fresh,
    Resident,
    Stored,
    fit_x_scaler,
    groups,
    pairs,
    some_points,
    store,
    to_batch,
    turned,
)

ROWS, BATCH, STEPS = 23, 5, 20_000  # 5 does not divide 23


@pytest.fixture(scope="module")
def resident():
    z = jnp.arange(ROWS, dtype=jnp.float32)[:, None]
    return Resident(Stored(Batch(z, 10 * z), jnp.array(ROWS)), BATCH)


@pytest.fixture(scope="module")
def drawn(resident):
    """Which rows came in each of many batches: [STEPS, BATCH]."""
    keys = jax.random.split(jax.random.key(0), STEPS)
    batches = eqx.filter_jit(lambda s: jax.vmap(lambda k: s.batch(k, jnp.int32(0)))(keys))(resident)
    np.testing.assert_array_equal(batches.x, 10 * batches.z)  # pairs stay together
    return np.asarray(batches.z[..., 0]).astype(int)


def _p_value(drawn, rows=ROWS):
    """Chi-square of how often each row came. One row a step, so that the counts are multinomial."""
    rng = np.random.default_rng(0)
    one = drawn[np.arange(len(drawn)), rng.integers(0, drawn.shape[1], len(drawn))]
    return stats.chisquare(np.bincount(one, minlength=rows)).pvalue


def test_every_row_is_equally_likely(drawn):
    assert _p_value(drawn) > 1e-3
    # also in each place of the batch
    assert stats.chisquare(np.bincount(drawn[:, 0], minlength=ROWS)).pvalue > 1e-3
    # Strata without the random rotation would never give the last three rows.
    rng = np.random.default_rng(0)
    still = np.arange(BATCH) * (ROWS // BATCH) + rng.integers(0, ROWS // BATCH, (STEPS, BATCH))
    assert _p_value(still) < 1e-10


def test_no_repeats_in_a_batch(drawn):
    assert all(len(set(rows)) == BATCH for rows in drawn)


def test_pairs_of_rows_meet(drawn):
    met = np.zeros((ROWS, ROWS), bool)
    for rows in drawn:
        met[np.ix_(rows, rows)] = True
    assert met.all()


def test_resident_is_deterministic(resident):
    key = jax.random.key(4)
    first, second = resident.batch(key, jnp.int32(0)), resident.batch(key, jnp.int32(0))
    np.testing.assert_array_equal(first.z, second.z)
    assert first.x.shape == (BATCH, 1)
    assert first.mask is None
    other = resident.batch(jax.random.key(5), jnp.int32(0))
    assert not np.array_equal(first.z, other.z)


def test_a_batch_of_all_rows(resident):
    batch = Resident(resident.stored, ROWS).batch(jax.random.key(0), jnp.int32(0))
    assert sorted(batch.z[:, 0].tolist()) == list(range(ROWS))


# --- fresh simulations ----------------------------------------------------------------------------


@simulator
def picky(key, theta):
    """The parameters themselves, so that pairs can be told; half of the rows fail."""
    x = jnp.stack([theta["a"], theta["b"]])
    return jnp.where(theta["a"] > 0, x, jnp.array([jnp.nan, 0.0]))


@pytest.fixture(scope="module")
def fresh():
    prior = Prior(a=dist.Normal(0.0, 3.0), b=dist.LogNormal(0.0, 1.0))
    theta = prior.sample(0, 5_000)
    latent = Latent.fit(prior, theta)
    x_scaler = Standardizer.fit(np.stack([theta["a"], theta["b"]], 1))
    return Fresh(picky, latent, x_scaler, 4_000, given=False)


@pytest.fixture(scope="module")
def fresh_batch(fresh):
    return eqx.filter_jit(lambda s, k: s.batch(k, jnp.int32(0)))(fresh, jax.random.key(1))


def test_failed_rows_are_replaced(fresh, fresh_batch):
    assert fresh_batch.z.shape == fresh_batch.x.shape == (4_000, 2)
    assert np.isfinite(fresh_batch.x).all()
    assert np.isfinite(fresh_batch.z).all()
    x = np.asarray(fresh.x_scaler.inverse(fresh_batch.x))
    assert (x[:, 0] > 0).all()
    # about half are repeats of another row: 4000 / 2 +- 4 sqrt(1000)
    assert len(np.unique(x[:, 1])) == pytest.approx(2_000, abs=130)


def test_pairs_match_the_latent(fresh, fresh_batch):
    x = fresh.x_scaler.inverse(fresh_batch.x)
    z = fresh.latent.encode({"a": x[:, 0], "b": x[:, 1]})
    np.testing.assert_allclose(z, fresh_batch.z, atol=1e-4)


def test_fresh_z_is_standardised(fresh):
    whole = simulator(lambda key, theta: jnp.stack([theta["a"], theta["b"]]))
    source = Fresh(whole, fresh.latent, fresh.x_scaler, 4_000, given=False)
    z = np.asarray(source.batch(jax.random.key(2), jnp.int32(0)).z)
    # 4,000 draws against the 5,000 that the scaler saw: 4 sqrt(1/4000 + 1/5000) = 0.085
    np.testing.assert_allclose(z.mean(0), 0, atol=0.085)
    np.testing.assert_allclose(z.std(0), 1, atol=0.085 / 2**0.5)
    again = np.asarray(source.batch(jax.random.key(2), jnp.int32(9)).z)
    np.testing.assert_array_equal(z, again)
    assert not np.array_equal(z, source.batch(jax.random.key(3), jnp.int32(0)).z)


# --- sets of different sizes ----------------------------------------------------------------------

SETS = Prior(a=dist.Normal(0.0, 1.0))


@simulator
def points(key, theta):
    """All points of a set are its parameter; 1 to 40 of them, log uniform."""
    n = jnp.floor(jnp.exp(jax.random.uniform(key) * jnp.log(41.0)))
    return jnp.broadcast_to(theta["a"], (40, 1)), jnp.arange(40) < n


@pytest.fixture(scope="module")
def ragged():
    sims = simulate(SETS, points, 999, seed=0, progress=False)
    return sims, Latent.fit(SETS, sims.theta), fit_x_scaler(sims)


def net(x, mask):
    """What tells whether a point was cut, or padding counted."""
    counts = jnp.ones(len(x)) if mask is None else mask
    return jnp.stack([jnp.sum(counts), jnp.sum(counts * x[:, 0]), jnp.sum(x[:, 0])])


@pytest.mark.parametrize("missing", [None, Subsets(0.25), Subsets(5)])
def test_groups_lose_no_point(ragged, missing):
    sims, latent, x_scaler = ragged
    stored = store(sims, latent, x_scaler, False, None)
    source = Resident(stored, 64, missing, groups(sims, missing, 64))
    assert len(source.groups.ends) > 1
    for k in range(20):
        batch = source.batch(jax.random.key(k), jnp.int32(0))
        e = batch.embedded(net)
        np.testing.assert_allclose(e, jax.vmap(net)(batch.x, batch.mask), rtol=1e-5)
        np.testing.assert_allclose(e[:, 1], e[:, 0] * batch.x[:, 0, 0], rtol=1e-4)  # all are equal
        if missing is None:
            np.testing.assert_allclose(e[:, 2], e[:, 1], rtol=1e-5)  # padding is zero


def test_subsets_of_sets_of_one_size_come_in_groups():
    sims = Simulations({"a": np.zeros(300)}, np.ones((300, 40, 1)))
    cut = groups(sims, Subsets(1), 32)
    batch = Resident(
        Stored(Batch(jnp.zeros((300, 1)), jnp.asarray(sims.x)), jnp.array(300)), 32, Subsets(1), cut
    ).batch(jax.random.key(0), jnp.int32(0))
    assert len(cut.ends) > 1
    want = jax.vmap(net)(batch.x, batch.mask)[:, :2]
    np.testing.assert_array_equal(batch.embedded(net)[:, :2], want)
    assert groups(Simulations({"a": np.zeros(9)}, np.ones((9, 4))), None, 3).ends == ()


def test_ragged_rows_are_equally_likely(ragged):
    sims, latent, x_scaler = ragged
    sims = sims.rows(np.arange(ROWS))
    source = Resident(
        store(sims, latent, x_scaler, False, None), BATCH, None, groups(sims, None, 5)
    )
    keys = jax.random.split(jax.random.key(0), 4_000)
    batches = jax.jit(jax.vmap(lambda k: source.batch(k, jnp.int32(0))))(keys)
    z = np.asarray(latent.encode(sims.theta))[:, 0]
    row = np.argmin(np.abs(np.asarray(batches.z) - z), axis=2)
    assert _p_value(row) > 1e-3


def test_fresh_sets_of_any_size(ragged):
    _, latent, x_scaler = ragged
    source = Fresh(points, latent, x_scaler, 2_000, False)
    batch = source.batch(jax.random.key(0), jnp.int32(0))
    n = np.asarray(batch.mask.sum(axis=1))
    assert (n.min(), n.max()) == (1, 40)
    a = np.asarray(x_scaler.inverse(batch.x))[:, 0, 0]
    np.testing.assert_allclose(latent.encode({"a": a}), batch.z, atol=1e-4)
    assert np.all(np.asarray(batch.x)[np.asarray(batch.mask) == 0] == 0)


def test_points_drawn_from_sets_are_among_those_that_count():
    x = jnp.broadcast_to(jnp.arange(8.0)[:, None], (500, 8, 1))
    mask = jnp.zeros((500, 8)).at[:, 2:5].set(1.0)
    batch = Batch(jnp.arange(500.0)[:, None], x, mask)
    for n, different in ((2, 2), (3, 3), (6, 3)):
        some = some_points(jax.random.key(0), batch, n)
        assert some.mask is None
        assert set(np.unique(some.x)) == {2, 3, 4}
        assert all(len(set(row[:, 0])) == different for row in np.asarray(some.x))
    z, point = pairs(batch)
    assert (z.shape, point.shape) == ((4_000, 1), (4_000, 1))
    assert set(np.unique(point)) == {2, 3, 4}
    np.testing.assert_array_equal(z[:, 0], np.repeat(np.arange(500), 8))


# --- scaling of datasets --------------------------------------------------------------------------


def test_vectors_are_scaled_element_by_element_and_sets_by_feature():
    rng = np.random.default_rng(0)
    theta = {"a": np.zeros(400)}
    vectors = rng.normal(size=(400, 3)) * [1, 10, 100]
    scaler = fit_x_scaler(Simulations(theta, vectors))
    assert scaler.loc.shape == (3,)
    np.testing.assert_allclose(scaler.scale, vectors.std(0), rtol=1e-5)
    sets = rng.normal(size=(400, 7, 2)) * [1, 10]
    scaler = fit_x_scaler(Simulations(theta, sets))
    assert scaler.loc.shape == (2,)
    np.testing.assert_allclose(scaler.scale, sets.reshape(-1, 2).std(0), rtol=1e-5)
    some = [x[: 1 + i % 7] for i, x in enumerate(sets)]  # padding is no data
    scaler = fit_x_scaler(Simulations(theta, some))
    np.testing.assert_allclose(scaler.scale, np.concatenate(some).std(0), rtol=1e-5)


def test_all_rows_as_one_batch(fresh):
    theta = fresh.latent.prior.sample(5, 5)
    x = np.stack([theta["a"], theta["b"]], 1)
    sims = Simulations({n: np.asarray(v) for n, v in theta.items()}, x)
    batch = to_batch(sims, fresh.latent, fresh.x_scaler, given=False)
    np.testing.assert_array_equal(batch.z, fresh.latent.encode(theta))
    np.testing.assert_array_equal(batch.x, fresh.x_scaler.forward(jnp.asarray(x)))
    assert batch.mask is None


@pytest.mark.parametrize("given", [False, True])
def test_stored_and_fresh_rows_give_the_network_the_same(given):
    prior = Prior(a=dist.Normal(0.0, 3.0), b=dist.Uniform(-1.0, 3.0))
    theta = prior.sample(0, 500)
    x = np.stack([theta["a"], theta["b"]], 1)
    latent, x_scaler = Latent.fit(prior, theta), Standardizer.fit(x)
    whole = simulator(lambda key, theta: jnp.stack([theta["a"], theta["b"]]))
    fresh = Fresh(whole, latent, x_scaler, 200, given).batch(jax.random.key(1), jnp.int32(0))
    x = np.asarray(x_scaler.inverse(fresh.x))
    stored = to_batch(Simulations({"a": x[:, 0], "b": x[:, 1]}, x), latent, x_scaler, given)
    np.testing.assert_allclose(fresh.z, stored.z, atol=1e-3)
    b = np.asarray(theta["b"], np.float64)
    between = (x[:, 1] - b.mean()) / b.std()
    assert np.allclose(stored.z[:, 1], between, atol=1e-3) == given


def test_x_and_theta_are_not_bent_where_rounds_end():
    rng = np.random.default_rng(0)
    rounds = np.repeat([0, 1, 1, 1, 1], 200)
    near = 0.01 ** (rounds > 0)[:, None]
    theta = {"a": (rng.normal(size=(1_000, 1)) * near)[:, 0]}
    for x in (rng.normal(size=(1_000, 2)) * near, rng.normal(size=(1_000, 3, 2)) * near[:, None]):
        assert (fit_x_scaler(Simulations(theta, x, round=rounds)).bend == 30).all()
        assert (fit_x_scaler(Simulations(theta, x)).bend == 1).all()
    prior = Prior(a=dist.Normal(0.0, 1.0))
    assert Latent.fit(prior, theta, rounds=True).scaler.bend == 30
    assert Latent.fit(prior, theta).scaler.bend == 1


def test_each_member_holds_out_rows_of_its_own():
    def stored(first, n, room):  # rows that are numbered, and repeated to fill the room
        number = jnp.asarray(first + np.arange(room) % n, jnp.float32)
        return Stored(Batch(number[:, None], number[:, None]), jnp.array(n))

    source, validation = Resident(stored(10, 27, 40), 9), stored(0, 10, 12)
    held, trained = [], []
    for share in np.arange(3) / 3:
        mine, rows = turned(source, validation, jnp.float32(share))
        held.append(set(np.asarray(rows.rows.z[:10, 0]).astype(int)))
        keys = jax.random.split(jax.random.key(0), 200)
        batches = jax.vmap(lambda key, mine=mine: mine.batch(key, jnp.int32(0)).z)(keys)
        trained.append(set(np.asarray(batches).ravel().astype(int)))
        assert rows.n == 10
    assert held[0] == set(range(10))  # as it was without
    for out, rest in zip(held, trained, strict=True):
        assert len(out) == 10
        assert rest == set(range(37)) - out
    assert len(held[0] | held[1] | held[2]) == 30
    hiding = Resident(source.stored, 9, missing=Missing(0.0, 0.5))
    assert turned(hiding, validation, jnp.float32(0.5)) == (hiding, validation)
