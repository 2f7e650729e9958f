"""NRE: its losses are minimal at the true ratio, its contrasts come from other sets."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous.errors import ConfigError, ShapeError
from gibbous.method import Ctx, Spec
from gibbous.methods.nre import _LOSSES
from gibbous.simulation.sources import Batch

# z and x have three values each, with this joint law: every expectation is a sum.
JOINT = np.array([[0.20, 0.05, 0.05], [0.10, 0.15, 0.05], [0.02, 0.08, 0.30]])
OF_Z, OF_X = JOINT.sum(axis=1), JOINT.sum(axis=0)
TRUTH = np.log(JOINT / np.outer(OF_Z, OF_X))
K = 2


def _expected(kind, gamma=1.0):
    """E loss as a function of the table f [z, x]: over (z_0, x) together and z_1, z_2 apart."""
    rows = list(itertools.product(range(3), repeat=K + 2))
    z, x = np.array([r[:-1] for r in rows]), np.array([r[-1] for r in rows])
    weights = JOINT[z[:, 0], x] * np.prod(OF_Z[z[:, 1:]], axis=1)
    assert weights.sum() == pytest.approx(1)

    def loss(f):
        return jnp.asarray(weights, jnp.float32) @ _LOSSES[kind](f[z, x[:, None]], gamma)

    return jax.jit(loss), jax.jit(jax.grad(loss))


CASES = [("A", 1.0), ("B", 1.0), ("C", 1.0), ("C", 0.3), ("C", 5.0)]


@pytest.mark.parametrize(("kind", "gamma"), CASES)
def test_the_loss_is_minimal_at_the_true_ratio(kind, gamma):
    loss, gradient = _expected(kind, gamma)
    truth = jnp.asarray(TRUTH, jnp.float32)
    np.testing.assert_allclose(gradient(truth), 0, atol=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = TRUTH + 0.5 * rng.normal(size=(3, 3))
        assert loss(jnp.asarray(other, jnp.float32)) > loss(truth) + 1e-4
    # The gradient is not zero everywhere: not at the posterior's log density, nor at half of f.
    for wrong in (np.log(JOINT / OF_X), TRUTH / 2):
        assert np.abs(gradient(jnp.asarray(wrong, jnp.float32))).max() > 1e-3


@pytest.mark.parametrize(("kind", "gamma"), CASES)
def test_only_b_leaves_a_function_of_x_open(kind, gamma):
    loss, _ = _expected(kind, gamma)
    shifted = TRUTH + np.array([0.7, -0.5, 1.0])
    rise = float(loss(jnp.asarray(shifted, jnp.float32)) - loss(jnp.asarray(TRUTH, jnp.float32)))
    assert abs(rise) < 1e-5 if kind == "B" else rise > 1e-3


def test_the_true_ratio_is_balanced():
    sigmoid = 1 / (1 + np.exp(-TRUTH))
    together, apart = (JOINT * sigmoid).sum(), (np.outer(OF_Z, OF_X) * sigmoid).sum()
    assert together + apart == pytest.approx(1, abs=1e-12)
    sigmoid = 1 / (1 + np.exp(-TRUTH - 0.5))
    assert abs((JOINT * sigmoid).sum() + (np.outer(OF_Z, OF_X) * sigmoid).sum() - 1) > 0.1


# --- batches --------------------------------------------------------------------------------------

RNG = np.random.default_rng(1)
ROWS = 5
VECTORS = Batch(*(jnp.asarray(RNG.normal(size=(ROWS, 2)), jnp.float32) for _ in range(2)))
SETS = VECTORS._replace(x=jnp.asarray(RNG.normal(size=(ROWS, 3, 2)), jnp.float32))
CLASSIFIER = gb.Classifier(width=8, depth=1)


def _loss(method, batch):
    model = method.init(jax.random.key(0), Spec(batch, True, None))
    ctx = Ctx(jax.random.key(1), jnp.zeros((), int), 10, model, True)
    return model, np.asarray(jax.jit(lambda b: method.loss(model, b, ctx))(batch))


def _logits(model, batch, k):
    """f [rows, points, k + 1, members], the contrasts being the z of the k rows after."""
    x = batch.x if batch.x.ndim == 3 else batch.x[:, None]
    index = (np.arange(ROWS)[:, None] + np.arange(k + 1)) % ROWS

    def logits(z, x):
        return model.logits(z, model.embedding(x, None))

    of_points = jax.vmap(jax.vmap(logits, (0, None)), (None, 0))  # z by x
    return np.asarray(jax.jit(jax.vmap(of_points))(batch.z[index], x))


@pytest.mark.parametrize("batch", [VECTORS, SETS], ids=["vectors", "points"])
@pytest.mark.parametrize(("kind", "k"), [("A", 1), ("C", 3)])
def test_contrasts_are_the_parameters_of_other_rows(batch, kind, k):
    iid = batch.x.ndim == 3
    method = gb.NRE(
        classifier=CLASSIFIER, loss_kind=kind, contrasts=3, members=2, iid=iid, points=3
    )
    model, got = _loss(method, batch)
    f = _logits(model, batch, k)
    each = np.asarray(_LOSSES[kind](jnp.asarray(f.transpose(0, 1, 3, 2).reshape(-1, k + 1)), 1.0))
    np.testing.assert_allclose(got, each.reshape(ROWS, -1).mean(axis=1), rtol=1e-5)
    assert got.shape == (ROWS,)
    # A point's own z is no contrast: f would cancel in B, and each is different here.
    assert np.ptp(f[..., 0], axis=2).min() > 1e-4


def test_the_balanced_term_is_added_for_each_member():
    options = {"classifier": CLASSIFIER, "loss_kind": "A", "members": 2}
    model, plain = _loss(gb.NRE(**options), VECTORS)
    _, balanced = _loss(gb.NRE(**options, balance=100.0), VECTORS)
    p = 1 / (1 + np.exp(-_logits(model, VECTORS, 1)[:, 0].astype(np.float64)))  # [rows, 2, members]
    term = (p[:, 0].mean(axis=0) + p[:, 1].mean(axis=0) - 1) ** 2
    np.testing.assert_allclose(balanced - plain, 100 * term.mean(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("few", "size"), [(True, 2), (False, 1)])
def test_few_simulations_take_two_members(few, size):
    spec = Spec(VECTORS, few, None)
    model = gb.NRE(classifier=CLASSIFIER).init(jax.random.key(0), spec)
    assert len(model.ratios.last) == size


def test_many_simulations_are_passed_over_fewer_times_and_hold_nothing_back():
    few, many = gb.NRE().pace(4, 3_000), gb.NRE().pace(4, 300_000)
    assert (few.passes, many.passes) == (35, 24)
    assert few.weight_decay == pytest.approx(0.016)
    assert many.weight_decay == pytest.approx(1.6e-4)
    assert gb.NRE(embedding=gb.DeepSet()).pace(4, 3_000).weight_decay == 1e-4


def test_more_contrasts_than_rows_are_as_many_as_there_are():
    options = {"classifier": CLASSIFIER, "members": 1}
    _, many = _loss(gb.NRE(contrasts=50, **options), VECTORS)
    _, four = _loss(gb.NRE(contrasts=4, **options), VECTORS)
    np.testing.assert_array_equal(many, four)


# --- options and data -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"loss_kind": "D"}, "'A', 'B' or 'C'.*got 'D'"),
        ({"contrasts": 0}, "contrasts of at least 1"),
        ({"gamma": 0.0}, "positive gamma"),
        ({"balance": -1.0}, "balance of at least 0, got -1"),
        ({"iid": True, "embedding": gb.DeepSet()}, "leave the embedding out"),
    ],
)
def test_options_out_of_range_are_refused(options, match, unchecked):
    with pytest.raises(ConfigError, match=match):
        gb.NRE(**options)


def test_iid_takes_no_vectors():
    with pytest.raises(ShapeError, match=r"sets of points \[n, d\], got shape \(2,\)"):
        gb.NRE(iid=True).init(jax.random.key(0), Spec(VECTORS, True, None))


# --- the posterior --------------------------------------------------------------------------------

PRIOR = gb.Prior(rate=dist.Uniform(0.5, 4.0))


@gb.simulator
def counts(key, theta):
    return jax.random.poisson(key, theta["rate"], (2,)).astype(jnp.float32)


def test_it_takes_counts_and_travels(tmp_path):
    sims = gb.simulate(PRIOR, counts, 300, seed=0)
    config = gb.FitConfig(steps=20, checks=2, progress=False)
    method = gb.NRE(classifier=CLASSIFIER, members=2, sampler=gb.NUTS(warmup=50))
    posterior = gb.fit(method, PRIOR, sims, config=config, seed=0)
    posterior.save(tmp_path / "plain.gibbous")
    back = gb.load(tmp_path / "plain.gibbous")
    assert back.approximation.sampler == gb.NUTS(warmup=50)
    x, rate = np.array([2.0, 3.0]), np.array([1.0, 2.0, 4.5])
    np.testing.assert_array_equal(
        back.log_ratio(rate[:, None], x), posterior.log_ratio(rate[:, None], x)
    )
    log_prob = posterior.log_prob({"rate": rate}, x)
    want = posterior.log_ratio({"rate": rate}, x) - np.log(3.5)
    np.testing.assert_allclose(log_prob[:2], want[:2], atol=1e-5)
    assert log_prob[2] == -np.inf
    changed = posterior.with_sampler(gb.SMC(particles=64)).with_prior(
        gb.Prior(rate=dist.Uniform(1.0, 3.0))
    )
    changed.save(tmp_path / "changed.gibbous")
    back = gb.load(tmp_path / "changed.gibbous")
    assert back.approximation.sampler == gb.SMC(particles=64)
    np.testing.assert_array_equal(
        back.log_prob({"rate": rate}, x), changed.log_prob({"rate": rate}, x)
    )
    assert np.isfinite(back.log_prob({"rate": rate[1]}, x))
    assert back.log_prob({"rate": 0.7}, x) == -np.inf
