"""NLE: what it asks of the data, how it picks points, and that its posteriors travel."""

from importlib import import_module

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import beta

import gibbous as gb
from gibbous.errors import ConfigError, ParameterError, ShapeError
from gibbous.estimators.ensemble import _Ensemble
from gibbous.latent import Latent
from gibbous.method import Ctx, Spec
from gibbous.simulation.sources import Batch, pairs, some_points

PRIOR = gb.Prior(a=dist.Normal(0.0, 1.0), k=dist.Bernoulli(0.3))
CONFIG = gb.FitConfig(steps=20, checks=2, progress=False)
SMALL = {"estimator": gb.MDN(components=1, width=8, depth=1), "members": 1}
RNG = np.random.default_rng(0)


@gb.simulator
def points(key, theta):
    return theta["a"] + theta["k"] + jax.random.normal(key, (6, 1))


@pytest.fixture(scope="module")
def sims():
    return gb.simulate(PRIOR, points, 300, seed=0)


@pytest.fixture(scope="module")
def posterior(sims):
    return gb.fit(gb.NLE(iid=True, **SMALL), PRIOR, sims, config=CONFIG, seed=0)


def _fit(x, **options):
    theta = {"a": RNG.normal(size=len(x)), "k": RNG.integers(0, 2, len(x))}
    sims = gb.Simulations(theta, np.asarray(x, np.float32))
    return gb.fit(gb.NLE(**SMALL, **options), PRIOR, sims, config=CONFIG, seed=0)


# --- what it takes --------------------------------------------------------------------------------


def test_iid_takes_no_vectors():
    with pytest.raises(ShapeError, match=r"sets of points \[n, d\], got shape \(3,\)"):
        _fit(RNG.normal(size=(100, 3)), iid=True)


def test_without_iid_it_takes_no_sets():
    with pytest.raises(ShapeError, match=r"vectors, got shape \(4, 2\).*NLE\(iid=True\).*gb\.NRE"):
        _fit(RNG.normal(size=(100, 4, 2)))


@pytest.mark.parametrize(
    "x",
    [
        np.column_stack([RNG.normal(size=200), np.full(200, 0.5)]),
        np.column_stack([RNG.normal(size=200), np.maximum(RNG.normal(size=200), -1.0)]),
    ],
    ids=["constant", "piled up"],
)
def test_data_without_a_density_are_refused(x):
    with pytest.raises(ShapeError, match=r"x\[\.\.\., 1\] equal .*gb\.NRE takes them"):
        _fit(x)


COIN = gb.Prior(p=dist.Uniform(0.0, 1.0))


@gb.simulator
def tosses(key, theta):
    return jax.random.binomial(key, 10, theta["p"], shape=(1,))


def _worst_of_counts(data) -> float:
    """How far the posteriors of 0, 3, 5, 10 of ten tosses are from Beta(1 + x, 11 - x): the largest
    error of a mean in exact sd, or of an sd over the exact one."""
    method = gb.NLE(gb.MDN(components=4, width=32), members=1, sampler=gb.SMC(moves=4))
    config = gb.FitConfig(steps=1_500, progress=False)
    posterior = gb.fit(method, COIN, data, config=config, seed=0)
    errors = []
    for x in (0.0, 3.0, 5.0, 10.0):
        draws = posterior.sample(np.array([x]), 4_000, seed=1)["p"]
        exact = beta(1 + x, 11 - x)
        errors += [(draws.mean() - exact.mean()) / exact.std(), draws.std() / exact.std() - 1]
    return float(np.abs(errors).max())


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True], ids=["stored", "fresh"])
def test_counts_have_their_exact_posterior(fresh):
    data = tosses if fresh else gb.simulate(COIN, tosses, 2_000, seed=0)
    # 4,000 draws: .016. Of 2,000 simulations 180 or so gave the same x, which places the mean of
    # their p within 180^-.5 = .075 sd; the largest of eight such errors is .075 x 2.5 = .19.
    assert _worst_of_counts(data) < 0.25


@pytest.mark.slow
def test_counts_left_on_their_lattice_fail_the_same(monkeypatch):
    monkeypatch.setattr(import_module("gibbous.fit"), "blurred", lambda key, sims, h: sims)
    data = gb.simulate(COIN, tosses, 2_000, seed=0)
    assert _worst_of_counts(data) > 0.4


def test_a_density_of_a_parent_is_needed():
    prior = gb.Prior(a=dist.Normal(0.0, 1.0), b=lambda a: dist.Normal(a, 1.0))
    sims = gb.Simulations(
        {"a": RNG.normal(size=100), "b": RNG.normal(size=100)}, RNG.normal(size=(100, 2))
    )
    with pytest.raises(ParameterError, match=r"density of 'b' depends on \['a'\]"):
        gb.fit(gb.NLE(**SMALL), prior, sims, parameters=("b",), config=CONFIG, seed=0)


# --- points ---------------------------------------------------------------------------------------


def test_points_are_drawn_without_repeats():
    x = jnp.arange(50.0 * 20).reshape(50, 20, 1)
    batch = Batch(jnp.arange(50.0)[:, None], x)
    some = some_points(jax.random.key(0), batch, 8)
    got = np.asarray(some.x[..., 0])
    assert got.shape == (50, 8)
    assert (got // 20 == np.arange(50)[:, None]).all()  # of their own set
    assert all(len(set(row)) == 8 for row in got)
    # Each of 20 places 50 x 8 / 20 = 20 times, with an error of sqrt(20 x 0.6) = 3.5.
    counts = np.bincount((got % 20).astype(int).ravel(), minlength=20)
    assert np.abs(counts - 20).max() < 4.5 * 3.5
    assert some_points(jax.random.key(0), batch, 20) is batch


def test_pairs_repeat_z_for_each_point_of_its_set():
    batch = Batch(jnp.array([[1.0], [2.0]]), jnp.arange(6.0).reshape(2, 3, 1))
    z, x = pairs(batch)
    np.testing.assert_array_equal(z[:, 0], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(x[:, 0], np.arange(6))


def test_the_loss_of_a_set_is_the_mean_over_its_points():
    x = jnp.asarray(RNG.normal(size=(5, 4, 1)), jnp.float32)
    batch = Batch(jnp.asarray(RNG.normal(size=(5, 2)), jnp.float32), x)
    method = gb.NLE(iid=True, points=4, **SMALL)
    model = method.init(jax.random.key(0), Spec(batch, True, None))
    ctx = Ctx(jax.random.key(1), jnp.zeros((), int), 10, model, True)
    got = jax.jit(lambda b: method.loss(model, b, ctx))(batch)
    each = jax.jit(jax.vmap(jax.vmap(model.log_prob, (0, None))))(batch.x, batch.z)
    np.testing.assert_allclose(got, -each.mean(axis=1), rtol=1e-5)


# --- the posterior --------------------------------------------------------------------------------

X = RNG.normal(size=(9, 1)).astype(np.float32)  # of another length than the simulations
THETA = {"a": np.array([0.0, 1.0]), "k": np.array([1, 0])}


def test_a_likelihood_of_points_adds_up(posterior):
    assert posterior.event_shape == (None, 1)
    each = [posterior.log_likelihood(THETA, X[i : i + 1]) for i in range(9)]
    np.testing.assert_allclose(posterior.log_likelihood(THETA, X), sum(each), rtol=1e-4)
    want = posterior.log_likelihood(THETA, X) + PRIOR.log_prob(THETA)
    np.testing.assert_allclose(posterior.log_prob(THETA, X), want, rtol=1e-4)
    with pytest.raises(ConfigError, match=r"only gb\.NRE"):
        posterior.log_ratio(THETA, X)


@pytest.mark.slow
def test_it_travels_with_its_sampler_and_its_prior(posterior, tmp_path):
    new = gb.Prior(a=dist.Normal(0.3, 0.5), k=dist.Bernoulli(0.6))
    changed = posterior.with_prior(new).with_sampler(gb.NestedSlice(live=100, runs=2))
    changed.save(tmp_path / "changed.gibbous")
    back = gb.load(tmp_path / "changed.gibbous")
    assert back.approximation.sampler == changed.approximation.sampler
    np.testing.assert_array_equal(back.log_prob(THETA, X), changed.log_prob(THETA, X))
    one, other = (p.sample(X, 1_000, seed=0) for p in (changed, back))
    for name in ("a", "k"):
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_allclose(back.prior.log_prob(THETA), new.log_prob(THETA), rtol=1e-5)
    # and on to a third prior, of which the second knows nothing
    third = gb.Prior(a=dist.Normal(-0.5, 0.5), k=dist.Bernoulli(0.1))
    np.testing.assert_allclose(
        back.with_prior(third).log_prob(THETA, X),
        posterior.with_prior(third).log_prob(THETA, X),
        rtol=1e-5,
    )


def test_it_travels_as_it_is(posterior, tmp_path):
    posterior.save(tmp_path / "plain.gibbous")
    back = gb.load(tmp_path / "plain.gibbous")
    assert isinstance(back.approximation.sampler, gb.SMC)
    assert back.event_shape == (None, 1)
    np.testing.assert_array_equal(back.log_prob(THETA, X), posterior.log_prob(THETA, X))


def test_its_own_networks_are_held_back_and_learn_few_simulations_at_a_high_rate():
    rates = [gb.NLE().pace(2, n).learning_rate for n in (100, 2_500, 5_000, 20_000)]
    np.testing.assert_allclose(rates, [3e-2, 2e-2, 5_000**-0.5, 1e-2])
    cases = [(1, 900), (5, 900), (10, 900), (10, 50_000), (20, 50_000)]
    decays = [gb.NLE().pace(dim, n).weight_decay for dim, n in cases]
    np.testing.assert_allclose(decays, [1e-4, 3.125 / 300, 1 / 3, 0.3, 1.0])
    for other in (gb.NLE(iid=True), gb.NLE(estimator=gb.RealNVP())):
        assert other.pace(2, 100).learning_rate == 5e-3
        assert other.pace(2, 5_000).learning_rate == 1e-2


@pytest.mark.parametrize(
    ("iid", "numbers", "more", "kind"),
    [
        (False, 3, {}, "_MDN"),
        (True, 3, {}, "_Mixture"),
        (False, 4, {"few": True}, "_MDN"),
        (False, 4, {"lattice": True}, "_MDN"),
        (False, 4, {}, "Flow"),
        (True, 4, {}, "Flow"),
    ],
)
def test_the_estimator_follows_the_data(iid, numbers, more, kind):
    x = np.random.default_rng(0).normal(size=(64, 5, numbers) if iid else (64, numbers))
    pilot = Batch(jnp.zeros((64, 2)), jnp.asarray(x, jnp.float32), None)
    prior = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))
    spec = Spec(pilot, few=False, latent=Latent.fit(prior, prior.sample(0, 64)))._replace(**more)
    model = eqx.filter_eval_shape(gb.NLE(iid=iid).init, jax.random.key(0), spec)
    assert isinstance(model, _Ensemble) == (numbers > 3)
    assert type(model.members if numbers > 3 else model).__name__ == kind


@pytest.mark.parametrize(("counts", "kind"), [(True, "_MDN"), (False, "Flow")])
def test_what_was_on_a_lattice_is_known_and_kept(counts, kind, tmp_path):
    rng = np.random.default_rng(0)
    theta = rng.uniform(size=5_600).astype(np.float32)
    x = rng.poisson(20 * theta[:, None], (5_600, 4)).astype(np.float32)
    x += 0 if counts else rng.normal(size=x.shape).astype(np.float32)
    prior = gb.Prior(rate=dist.Uniform(0.0, 1.0))
    config = gb.FitConfig(steps=5, progress=False)
    posterior = gb.fit(gb.NLE(), prior, gb.Simulations({"rate": theta}, x), config=config, seed=0)
    assert type(posterior.approximation.likelihood.density.members).__name__ == kind
    posterior.save(tmp_path / "it.gibbous")
    back = gb.load(tmp_path / "it.gibbous").log_likelihood({"rate": theta[:5]}, x[0])
    np.testing.assert_array_equal(back, posterior.log_likelihood({"rate": theta[:5]}, x[0]))
