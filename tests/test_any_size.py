"""Sets of any size and missing entries, end to end, against closed forms.

    theta ~ N(0, 1),  x_i = theta + s e_i:  theta | x ~ N(k m / (k + s^2), s^2 / (k + s^2)),

with m the mean of the k values that were observed.
"""

import warnings
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous.compilation import CompileClock
from gibbous.errors import (
    ConfigError,
    ObservationError,
    ObservationWarning,
    ShapeError,
    TrainingError,
)
from gibbous.results import write_results

S, MOST = 1.0, 64
PRIOR = gb.Prior(theta=dist.Normal(0.0, 1.0))
CONFIG = gb.FitConfig(steps=1_500, progress=False)
ESTIMATOR = gb.MDN(components=1, width=32)  # exact for normals
SMALL = gb.DeepSet(size=8, width=16, degree=1)


def normal(key, theta, n=MOST):
    return theta["theta"] + S * jax.random.normal(key, (n, 1))


@gb.simulator
def any_size(key, theta):
    key_n, key_x = jax.random.split(key)
    n = jnp.floor(jnp.exp(jax.random.uniform(key_n) * jnp.log(MOST + 1.0)))
    return normal(key_x, theta), jnp.arange(MOST) < n


def errors(posterior, sets, draws=2_000):
    """Mean squared error of the posterior's mean, in variances of the closed form, and the mean
    log ratio of its sd to the closed form's, for datasets with NaN where nothing was observed."""
    values = [x[np.isfinite(x)] for x in sets]
    k = np.array([len(v) for v in values])
    mean = np.array([v.sum() for v in values]) / (k + S**2)
    sd = S / np.sqrt(k + S**2)
    drawn = posterior.sample(sets, draws, seed=3)["theta"]
    return np.mean(((drawn.mean(1) - mean) / sd) ** 2), np.mean(np.log(drawn.std(1) / sd))


# 2,000 draws: an sd is known to 1/sqrt(4,000) = 1.6% and its mean over 200 datasets to 0.1%; the
# squared error of a mean is 1/2,000. What is left is training.
def right(posterior, sets):
    squared, log_sd = errors(posterior, sets)
    return squared < 0.05 and abs(log_sd) < 0.1


# --- sets of any size -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def amortised():
    sims = gb.simulate(PRIOR, any_size, 10_000, seed=0, progress=False)
    method = gb.NPE(SMALL, estimator=ESTIMATOR, members=1)
    return gb.fit(method, PRIOR, sims, config=CONFIG, seed=0)


def sets_of(n, count=200, seed=7):
    theta = PRIOR.sample(seed, count)["theta"]
    rng = np.random.default_rng(seed)
    return list(np.asarray(theta)[:, None, None] + S * rng.normal(size=(count, n, 1)))


@pytest.mark.parametrize("n", [1, 3, 12, 64])
def test_the_posterior_is_that_of_the_closed_form_at_every_size(amortised, n):
    assert right(amortised, sets_of(n))


def test_a_network_that_counts_padding_or_knows_no_size_is_not(amortised):
    """The same check on the same posterior with a broken embedding."""

    class Blind(eqx.Module):
        net: eqx.Module
        fault: str = eqx.field(static=True)

        def __call__(self, x, mask):
            if self.fault == "counts padding":
                return self.net(x, jnp.ones(len(x)))
            first = jnp.arange(len(x)) < 3  # points after the third are not seen
            return self.net(x, mask * first)

    for fault, n in (("counts padding", 17), ("sees three points", 12)):  # 17 are padded to 20
        approximation = amortised.approximation
        broken = replace(approximation, embedding=Blind(approximation.embedding, fault))
        assert not right(replace(amortised, approximation=broken), sets_of(n))


def test_sets_of_different_sizes_in_one_call(amortised):
    sets = [sets_of(n, 1, seed=n)[0] for n in (5, 64, 1, 30)]
    together = amortised.sample(sets, 500, seed=1)["theta"]
    assert together.shape == (4, 500)
    alone = amortised.sample(sets[3], 500, seed=1)["theta"]
    # Other random numbers: the means differ by the errors of both.
    assert abs(alone.mean() - together[3].mean()) < 4 * alone.std() * np.sqrt(2 / 500)
    # Padding by NaN is no data, and a batch is paired row by row.
    padded = np.full((4, 80, 1), np.nan)
    for row, x in zip(padded, sets, strict=True):
        row[3 : 3 + len(x)] = x
    theta = {"theta": together[:, 0]}
    paired = amortised.log_prob(theta, sets)
    np.testing.assert_allclose(amortised.log_prob(theta, padded), paired, atol=1e-5)
    one = amortised.log_prob({"theta": together[3, :1]}, sets[3])
    np.testing.assert_allclose(one, paired[3:], atol=2e-3)


@pytest.mark.slow
def test_sizes_compile_few_programs(amortised):
    """All sizes in one batch need one program; one by one, at most four an octave."""
    most = 16
    sets = [sets_of(n, 1, seed=n)[0] for n in range(1, most + 1)]
    amortised.sample(sets, 10, seed=0)
    clock = CompileClock()
    rng = np.random.default_rng(0)
    amortised.sample([sets[i] for i in rng.permutation(most)], 10, seed=1)
    assert clock.count == 0
    for x in sets:
        amortised.sample(x, 10, seed=0)
    assert 0 < clock.count <= 4 * 4
    before = clock.count
    for x in sets:
        amortised.sample(x, 10, seed=1)
    assert clock.count == before


def test_a_size_outside_of_those_trained_is_told(amortised):
    assert amortised.sizes == (1, MOST)
    with pytest.raises(ObservationError, match=r"a set has 65 points.*1 to 64 points"):
        amortised.sample(np.zeros((65, 1)), 10, seed=0)
    method = gb.NPE(SMALL, estimator=ESTIMATOR, members=1)
    config = gb.FitConfig(steps=20, checks=2, progress=False)
    theta = {"theta": np.arange(300.0)}
    sims = gb.Simulations(theta, np.ones((300, 20, 1)) * theta["theta"][:, None, None])
    fixed = gb.fit(method, PRIOR, sims, missing=gb.Subsets(10), config=config, seed=0)
    assert fixed.sizes == (10, 20)
    with pytest.warns(ObservationWarning, match="the set has 9 points.*10 to 20 points"):
        fixed.sample(np.ones((9, 1)), 10, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed.sample(np.ones((10, 1)), 10, seed=0)


def test_check_tells_coverage_by_size_and_draws_what_is_missing(amortised):
    report = gb.check(amortised, any_size, n=600, draws=100, seed=5, progress=False)
    assert report.calibrated
    assert report.by_size[0].low == 1
    assert report.by_size[-1].high == MOST
    means = [b.log_prob.mean() for b in report.by_size]
    assert means == sorted(means)  # more points, sharper


def test_what_the_command_line_leaves_of_sets(amortised, tmp_path):
    x = sets_of(9, 1)[0]
    draws = amortised.sample(x, 200, seed=0)
    files = write_results(tmp_path, amortised, draws, x, any_size, seed=0)
    # Of points on a line there is no predictive picture.
    assert [f.name for f in files] == ["draws.npz", "summary.csv", "corner.png"]


def test_a_posterior_of_sets_of_any_size_travels(amortised, tmp_path):
    amortised.save(tmp_path / "p")
    back = gb.load(tmp_path / "p")
    x = sets_of(9, 3)
    np.testing.assert_array_equal(
        back.sample(x, 9, seed=0).array, amortised.sample(x, 9, seed=0).array
    )
    assert (back.sizes, back.event_shape) == ((1, MOST), (None, 1))
    assert back.missing is None


OTHERS = {
    "NLE": gb.NLE(iid=True, estimator=ESTIMATOR, members=1),
    "NRE": gb.NRE(SMALL, classifier=gb.Classifier(width=32, depth=2), contrasts=16, members=1),
    "FMPE": gb.FMPE(SMALL, estimator=gb.FlowMatching(width=32, depth=2), members=1),
    "CMPE": gb.CMPE(SMALL, estimator=gb.Consistency(width=32, depth=2), members=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_method_takes_sets_of_any_size(name):
    sims = gb.simulate(PRIOR, any_size, 6_000, seed=0, progress=False)
    posterior = gb.fit(OTHERS[name], PRIOR, sims, config=CONFIG, seed=0)
    sets = [x for n in (1, 3, 12, 60) for x in sets_of(n, 12)]
    squared, log_sd = errors(posterior, sets, draws=1_000)
    # Half of the network's work is to know n: without it, sds are wrong by a factor of two and more
    # for some, and the means by as much. Sums of learnt terms over 60 points err most.
    assert squared < 0.5
    assert abs(log_sd) < 0.25


def test_sets_of_different_sizes_are_for_methods_that_take_them():
    sims = gb.simulate(PRIOR, any_size, 300, seed=0, progress=False)
    own = gb.MLP(size=4)
    with pytest.raises(ShapeError, match=r"sets of different sizes, which gb.MLP cannot take"):
        gb.fit(gb.NPE(own, estimator=ESTIMATOR), PRIOR, sims, config=CONFIG, seed=0)


# --- missing entries ------------------------------------------------------------------------------

ENTRIES = 5


@gb.simulator
def vector(key, theta):
    return normal(key, theta, ENTRIES)[:, 0]


@pytest.fixture(scope="module")
def vectors():
    return gb.simulate(PRIOR, vector, 10_000, seed=0, progress=False)


def fit(sims, missing, embedding=None, seed=0):
    method = gb.NPE(embedding, estimator=ESTIMATOR, members=1)
    return gb.fit(method, PRIOR, sims, missing=missing, config=CONFIG, seed=seed)


@pytest.fixture(scope="module")
def patchy(vectors):
    return fit(vectors, gb.Missing(0.0, 0.7))


def lacking(k, count=200):
    """Datasets of which k entries are present."""
    x = np.array(sets_of(ENTRIES, count))[..., 0]
    rng = np.random.default_rng(k)
    for row in x:
        row[rng.permutation(ENTRIES)[k:]] = np.nan
    return x


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_posterior_widens_as_data_go_missing(patchy, k):
    assert right(patchy, lacking(k))


def test_a_network_that_takes_what_is_missing_for_the_mean_is_wrong(vectors):
    class Imputes(eqx.Module):
        def __call__(self, x, mask):
            return jnp.where(jnp.isnan(x), 0.0, x)

    imputing = fit(vectors, gb.Missing(0.0, 0.7), Imputes())
    assert not right(imputing, lacking(1))


def test_missing_as_the_observation(vectors):
    x_obs = np.array([0.3, np.nan, np.nan, 1.0, np.nan], np.float32)
    posterior = fit(vectors, gb.MissingAs(x_obs))
    sets = np.where(np.isnan(x_obs), np.nan, np.array(sets_of(ENTRIES))[..., 0])
    assert right(posterior, sets)


def test_what_is_missing_is_drawn_for_the_check_and_travels(patchy, tmp_path):
    assert gb.check(patchy, vector, n=600, draws=100, seed=1, progress=False).calibrated
    patchy.save(tmp_path / "p")
    back = gb.load(tmp_path / "p")
    assert back.missing == gb.Missing(0.0, 0.7)
    x = lacking(2, 3)
    np.testing.assert_array_equal(
        back.sample(x, 9, seed=0).array, patchy.sample(x, 9, seed=0).array
    )


def test_a_checkpoint_of_other_missing_entries_is_refused(vectors, tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    config = gb.FitConfig(steps=20, checks=2, progress=False, checkpoint=path)
    method = gb.NPE(gb.MLP(width=8), estimator=gb.MDN(components=1, width=8), members=1)

    def fit(missing):
        return gb.fit(method, PRIOR, vectors, missing=missing, config=config, seed=0)

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "unlink", lambda *_, **__: None)  # as if killed at the end
        fit(gb.Missing(0.0, 0.5))
    assert path.exists()
    with pytest.raises(TrainingError, match="another run"):
        fit(gb.Missing(0.0, 0.6))
    fit(gb.Missing(0.0, 0.5))


def test_observations_with_nothing_in_them(patchy, amortised):
    with pytest.raises(ObservationError, match="all of it is missing"):
        patchy.sample(np.full(ENTRIES, np.nan), 10, seed=0)
    with pytest.raises(ObservationError, match="all of it is missing"):
        amortised.sample([np.zeros((3, 1)), np.full((2, 1), np.nan)], 10, seed=0)


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_missing(vectors):
    with pytest.raises(ShapeError, match=r"sets of points \[n, d\]"):
        fit(vectors, gb.Subsets(3))
    with pytest.raises(ShapeError, match="read off an observation of shape"):
        fit(vectors, gb.MissingAs([1.0, np.nan]))
    with pytest.raises(ConfigError, match=r"expected gb\.Missing"):
        fit(vectors, 0.5)
    for method in (gb.NLE(), gb.NRE(iid=True)):
        with pytest.raises(ConfigError, match="a likelihood needs its data complete"):
            gb.fit(method, PRIOR, vectors, missing=gb.Missing(), config=CONFIG, seed=0)
    complete = fit(vectors.rows(np.arange(300)), None)
    with pytest.raises(ObservationError, match=r"fit with missing=gb\.Missing"):
        complete.sample(lacking(2, 1)[0], 10, seed=0)
