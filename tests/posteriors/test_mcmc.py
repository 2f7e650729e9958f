"""Likelihood times prior against conjugate closed forms, with a likelihood that is known exactly.

The sampler is a grid: exact, and quick to compile, so that what is tested is all the rest.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import gibbous as gb
from gibbous.compilation import CompileClock
from gibbous.errors import (
    ArtefactError,
    ConfigError,
    ObservationError,
    PriorError,
    SamplingWarning,
    ShapeError,
)
from gibbous.latent import Latent
from gibbous.posteriors.base import AbstractPosterior
from gibbous.posteriors.mcmc import AbstractLikelihood, MCMCPosterior
from gibbous.samplers import AbstractSampler, Trace
from gibbous.scaling import Standardizer

# a ~ N(1, 2^2), x_i ~ N(a + 2 k, 1.5^2)
MEAN, SD, NOISE, STEP = 1.0, 2.0, 1.5, 2.0
PRIOR = gb.Prior(a=dist.Normal(MEAN, SD))
BOTH = gb.Prior(a=dist.Normal(MEAN, SD), k=dist.Bernoulli(0.3))
ONLY = gb.Prior(k=dist.Bernoulli(0.3))
X_LOC, X_SCALE = 0.7, 2.5  # of the standardised data, so that units matter
N = 4_000
RNG = np.random.default_rng(0)
X = RNG.normal(3.0, NOISE, size=(1_000, 1)).astype(np.float32)


class Known(AbstractLikelihood):
    """N(x_i; a + 2 k, 1.5^2) in the standardised units of both."""

    loc: jax.Array
    scale: jax.Array
    fault: jax.Array
    continuous: bool = eqx.field(static=True)
    iid: bool = eqx.field(static=True)
    normal: bool = eqx.field(static=True)

    @property
    def normalised(self):
        return self.normal

    def summarise(self, x, mask):
        return x

    def log_prob(self, z, e):
        a = self.loc + self.scale * z[0] if self.continuous else 0.0
        k = z[-1] if len(z) > 1 else 0.0
        mean = (a + STEP * k - X_LOC) / X_SCALE
        return jnp.sum(dist.Normal(mean, NOISE / X_SCALE).log_prob(e)) + self.fault


class Grid(AbstractSampler):
    """Draws of one coordinate by the inverse of its distribution function; two chains."""

    apart: float = 0.0

    def width(self, n):
        return 16

    def sample(self, key, target, n):
        axis = jnp.linspace(-8.0, 8.0, 4_096)
        start, stop = (0, *target.stages)[-2:]

        def log_joint(z):
            return target.log_prior(z) + sum(target.log_likelihoods(z, start, stop))

        log_p = jax.lax.map(log_joint, axis[:, None], batch_size=256)
        log_z = jax.nn.logsumexp(log_p) + jnp.log(axis[1] - axis[0])
        key_cell, key_in = jax.random.split(key)
        shape = (2, -(-n // 2))
        z = axis[jax.random.categorical(key_cell, log_p, shape=shape)]
        z += (axis[1] - axis[0]) * (jax.random.uniform(key_in, shape) - 0.5)
        z += self.apart * jnp.array([[0.0], [1.0]])
        return Trace(z[..., None], log_z)


def make(prior=PRIOR, *, iid=True, normalised=True, sampler=None):
    latent = Latent.fit(prior, prior.sample(0, 256), discrete=True, density=True)
    scaler = latent.scaler if latent.continuous else Standardizer.empty((1,))
    known = Known(
        loc=scaler.loc[0], scale=scaler.scale[0], fault=jnp.zeros(()),
        continuous=bool(latent.continuous), iid=iid, normal=normalised,
    )  # fmt: skip
    one = jnp.ones(1)
    x_scaler = Standardizer(X_LOC * one, X_SCALE * one, 0 * one, -20 * one, 20 * one)
    approximation = MCMCPosterior(known, latent, sampler or Grid())
    return gb.Posterior(approximation, latent, x_scaler, (None, 1) if iid else (1,), None)


def closed_form(x, mean=MEAN, sd=SD):
    """Mean and sd of a given all of x."""
    precision = 1 / sd**2 + len(x) / NOISE**2
    return (mean / sd**2 + x.sum() / NOISE**2) / precision, precision**-0.5


def log_evidence(x, mean=MEAN):
    """log p(x), the points being exchangeable: one of their sum, the others of their spread."""
    n = len(x)
    within = stats.norm(x.mean(), NOISE).logpdf(x).sum()
    both = np.sqrt(SD**2 + NOISE**2 / n)
    return (
        within
        + stats.norm(mean, both).logpdf(x.mean())
        - stats.norm(0, NOISE / np.sqrt(n)).logpdf(0)
    )


@pytest.fixture(scope="module")
def posterior():
    return make()


@pytest.fixture(scope="module")
def discrete():
    return make(BOTH)


def agrees(draws, mean, sd):
    """4.5 errors of 4,000 independent draws: 0.071 sd for a mean, 5% of an sd."""
    z = (np.asarray(draws, np.float64) - mean) / sd
    return abs(z.mean()) < 4.5 / np.sqrt(N) and abs(z.std() - 1) < 4.5 / np.sqrt(2 * N)


# --- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 300, 1_000])  # 300 and 1,000: more than one block of 256
def test_draws_of_any_number_of_points_are_those_of_the_closed_form(posterior, n):
    x = X[:n]
    draws = posterior.sample(x, N, seed=0)
    assert draws["a"].shape == (N,)
    assert agrees(draws["a"], *closed_form(x))
    # Float32 sums of 1,000 terms of size 2: 2,000 x 6e-8 x about 10.
    assert draws.diagnostics.log_evidence == pytest.approx(log_evidence(x), abs=5e-3)
    padded = np.concatenate([x, np.zeros((20, 1))])  # what padding would do if it counted
    assert not agrees(draws["a"], *closed_form(padded))


def test_the_default_sampler_draws_the_same(posterior):
    x = X[:3]
    draws = posterior.with_sampler(gb.SMC()).sample(x, N, seed=0)
    mean, sd = closed_form(x)
    # Particles count for at least a quarter of their number: errors twice as large.
    assert abs(draws["a"].mean() - mean) < 4.5 * sd / np.sqrt(N / 4)
    assert abs(draws["a"].std() / sd - 1) < 4.5 / np.sqrt(2 * N / 4)
    assert draws.chains == 4
    assert draws.diagnostics.log_evidence == pytest.approx(log_evidence(x), abs=0.15)


def test_the_likelihood_sees_a_bounded_parameter_between_its_bounds():
    x = X[:3]
    logits = make(gb.Prior(a=dist.Uniform(0.0, 4.0)))  # its likelihood takes z as it is

    seen = logits.latent.seen  # standardises a / 4
    where = replace(logits.approximation.likelihood, loc=4 * seen.loc[0], scale=4 * seen.scale[0])
    right = replace(logits, approximation=replace(logits.approximation, likelihood=where))

    def truncated(low, high):
        mean, sd = x.mean(), NOISE / 3**0.5
        d = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
        return d.mean(), d.std()

    assert agrees(right.sample(x, N, seed=0)["a"], *truncated(0.0, 4.0))
    assert not agrees(logits.sample(x, N, seed=0)["a"], *truncated(0.0, 4.0))
    # Under another prior these are still the bounds of the one that was trained on.
    narrow = right.with_prior(gb.Prior(a=dist.Uniform(1.0, 3.0)))
    assert agrees(narrow.sample(x, N, seed=0)["a"], *truncated(1.0, 3.0))


def test_a_batch_of_sets(posterior):
    x = np.stack([X[:7], X[7:14], X[14:21]])
    draws = posterior.sample(x, N, seed=0)
    assert draws["a"].shape == (3, N)
    assert draws.diagnostics.rhat.shape == (3, 1)
    for i in range(3):
        assert agrees(draws["a"][i], *closed_form(x[i]))
        assert agrees(draws.observation(i)["a"], *closed_form(x[i]))
    assert not agrees(draws["a"][0], *closed_form(x[1]))
    single = posterior.sample(x[0], N, seed=0)
    np.testing.assert_allclose(single["a"], draws["a"][0], rtol=1e-4, atol=1e-4)


def test_data_that_are_one_vector():
    posterior = make(iid=False)
    draws = posterior.sample(X[:5], N, seed=0)  # a batch of five, not a set of five
    assert draws["a"].shape == (5, N)
    for i in range(5):
        assert agrees(draws["a"][i], *closed_form(X[i : i + 1]))


def test_one_program_serves_a_whole_bucket(posterior):
    posterior.sample(X[:300], N, seed=0)
    clock = CompileClock()
    posterior.sample(X[:310], N, seed=1)
    assert clock.count == 0
    posterior.sample(X[:2], N, seed=1)
    assert clock.count > 0  # and the clock does run


# --- densities ------------------------------------------------------------------------------------

GRID = np.linspace(-8, 12, 501)


@pytest.mark.parametrize("n", [1, 1_000])
def test_log_prob_is_log_prior_and_log_likelihood_in_the_users_units(posterior, n):
    x, a = X[:n], GRID[::50]
    likelihood = stats.norm(a[:, None], NOISE).logpdf(x[:, 0]).sum(axis=1)
    got = posterior.log_likelihood({"a": a}, x)
    # Float32: sums of up to 1e4 are good to 1e-6 of themselves.
    np.testing.assert_allclose(got, likelihood, rtol=2e-5, atol=1e-3)
    want = likelihood + stats.norm(MEAN, SD).logpdf(a)
    np.testing.assert_allclose(posterior.log_prob({"a": a}, x), want, rtol=2e-5, atol=1e-3)
    # In standardised units of x it would differ by log 2.5 for each point.
    assert abs(n * np.log(X_SCALE)) > 0.9


def test_with_the_evidence_it_integrates_to_one(posterior):
    x = X[:7]
    found = posterior.sample(x, N, seed=0).diagnostics.log_evidence
    log_p = posterior.log_prob({"a": GRID}, x, log_evidence=found)
    # Steps of 0.04 are a fourteenth of an sd: the trapezoid rule is exact; float32 is not.
    assert np.trapezoid(np.exp(log_p), GRID) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(
        log_p[200:260], stats.norm(*closed_form(x)).logpdf(GRID[200:260]), atol=5e-3
    )
    assert abs(found) > 1  # leaving it out would show


def test_batches_are_paired_row_by_row(posterior):
    x, a = np.stack([X[:7], X[7:14]]), np.array([2.0, 3.5])
    got = posterior.log_prob({"a": a}, x)
    want = [float(posterior.log_prob({"a": a[i]}, x[i])) for i in (0, 1)]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    evidence = np.array([-1.0, -2.0])
    np.testing.assert_allclose(
        posterior.log_prob({"a": a}, x, log_evidence=evidence), got - evidence, rtol=1e-6
    )
    with pytest.raises(ShapeError, match="paired row by row"):
        posterior.log_prob({"a": np.zeros(3)}, x)


def test_a_ratio_has_no_units_of_x():
    ratio = make(normalised=False)
    x = X[:7]
    want = stats.norm(2.0, NOISE).logpdf(x).sum() + 7 * np.log(X_SCALE)
    assert ratio.log_ratio({"a": 2.0}, x) == pytest.approx(want, abs=1e-3)
    found = ratio.sample(x, N, seed=0).diagnostics.log_evidence
    assert found == pytest.approx(log_evidence(x) + 7 * np.log(X_SCALE), abs=5e-3)
    with pytest.raises(ConfigError, match=r"no likelihood was learnt: only gb\.NLE"):
        ratio.log_likelihood({"a": 2.0}, x)


def test_a_likelihood_is_no_ratio(posterior):
    with pytest.raises(ConfigError, match=r"no likelihood ratio was learnt: only gb\.NRE"):
        posterior.log_ratio({"a": 2.0}, X[:7])


# --- another prior, another kind ------------------------------------------------------------------


def test_another_prior_gives_its_closed_form(posterior):
    x = X[:7]
    other = posterior.with_prior(gb.Prior(a=dist.Normal(0.5, 0.7)))
    draws = other.sample(x, N, seed=0)["a"]
    assert agrees(draws, *closed_form(x, 0.5, 0.7))
    assert not agrees(draws, *closed_form(x))
    want = stats.norm(2.0, NOISE).logpdf(x).sum() + stats.norm(0.5, 0.7).logpdf(2.0)
    assert other.log_prob({"a": 2.0}, x) == pytest.approx(want, abs=1e-3)
    # and a third is judged by what was simulated, not by the second
    third = other.with_prior(gb.Prior(a=dist.Normal(2.0, 0.5)))
    assert agrees(third.sample(x, N, seed=0)["a"], *closed_form(x, 2.0, 0.5))


def test_a_prior_outside_of_the_simulations_is_refused(posterior):
    with pytest.raises(PriorError, match="nothing was simulated"):
        posterior.with_prior(gb.Prior(a=dist.Normal(60.0, 1.0)))


def test_a_new_prior_that_does_not_travel_with_a_file_is_refused_when_saving(posterior, tmp_path):
    made_of_callables = gb.Prior(a=lambda: dist.Normal(0.5, 0.7))
    with pytest.raises(ArtefactError, match="call with_prior on what"):
        posterior.with_prior(made_of_callables).save(tmp_path / "p.gibbous")


class Direct(AbstractPosterior):
    """Draws of zero."""

    @property
    def tractable(self):
        return True

    @property
    def direct(self):
        return True

    @property
    def iid(self):
        return True

    def width(self, n):
        return n

    def sample(self, key, x, mask, n):
        return Trace(jnp.zeros((1, n, 1)), jnp.zeros(()))

    def log_prob(self, z, x, mask):
        return jnp.zeros(())


def test_what_a_posterior_that_was_learnt_as_a_whole_cannot_do(posterior):
    direct = replace(posterior, approximation=Direct())
    with pytest.raises(ConfigError, match="a sampler is for posteriors made of a likelihood"):
        direct.with_sampler(gb.NUTS())
    with pytest.raises(ConfigError, match="another prior is for posteriors made of a likelihood"):
        direct.with_prior(PRIOR)
    with pytest.raises(ConfigError, match="normalised already"):
        direct.log_prob({"a": 0.0}, X[:7], log_evidence=1.0)
    for name in ("log_likelihood", "log_ratio"):
        with pytest.raises(ConfigError, match="was learnt"):
            getattr(direct, name)({"a": 0.0}, X[:7])
    assert direct.sample(X[:7], 10, seed=0).diagnostics is None


# --- discrete parameters --------------------------------------------------------------------------


def test_a_discrete_parameter_is_summed_over(discrete):
    x = X[:7]
    draws = discrete.sample(x, N, seed=0)
    joint = np.log([0.7, 0.3]) + [log_evidence(x, MEAN + STEP * k) for k in (0, 1)]
    p = np.exp(joint - np.logaddexp(*joint))
    # A binomial error of sqrt(p (1 - p) / 4,000), at most 0.008.
    assert abs(draws["k"].mean() - p[1]) < 4.5 * np.sqrt(p[0] * p[1] / N)
    assert 0.05 < p[1] < 0.95
    assert abs(p[1] - 0.3) > 0.05  # the prior would be told apart
    assert draws.diagnostics.log_evidence == pytest.approx(np.logaddexp(*joint), abs=5e-3)
    for k in (0, 1):
        mean, sd = closed_form(x - STEP * k)
        a = draws["a"][draws["k"] == k]
        assert abs(a.mean() - mean) < 4.5 * sd / np.sqrt(len(a))
    # The gap between the two is two: k belongs to its own a.
    shuffled = draws["a"][np.roll(draws["k"], 1) == 1].mean()
    assert abs(shuffled - closed_form(x - STEP)[0]) > 0.3


def test_the_density_of_a_discrete_and_a_continuous_parameter(discrete):
    x, theta = X[:7], {"a": np.array([1.5, 1.5]), "k": np.array([0, 1])}
    want = [
        stats.norm(1.5 + STEP * k, NOISE).logpdf(x).sum()
        + stats.norm(MEAN, SD).logpdf(1.5)
        + np.log([0.7, 0.3][k])
        for k in (0, 1)
    ]
    np.testing.assert_allclose(discrete.log_prob(theta, x), want, atol=1e-3)
    assert discrete.log_prob({"a": 1.5, "k": 2}, x) == -np.inf


def test_discrete_parameters_alone():
    x = (X[:3] - 2.0).astype(np.float32)
    draws = make(ONLY).sample(x, N, seed=0)
    joint = [np.log([0.7, 0.3][k]) + stats.norm(STEP * k, NOISE).logpdf(x).sum() for k in (0, 1)]
    p = np.exp(joint[1] - np.logaddexp(*joint))
    assert 0.05 < p < 0.95
    assert abs(draws["k"].mean() - p) < 4.5 * np.sqrt(p * (1 - p) / N)
    assert draws.diagnostics.log_evidence == pytest.approx(np.logaddexp(*joint), abs=1e-3)


def test_width_counts_the_combinations(posterior, discrete):
    assert posterior.approximation.width(10) == 16
    assert discrete.approximation.width(10) == 32


# --- what can go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [np.nan, -np.inf])
def test_a_likelihood_of_zero_everywhere_is_an_error(posterior, fault):
    broken = eqx.tree_at(lambda a: a.likelihood.fault, posterior.approximation, jnp.array(fault))
    with pytest.raises(ObservationError, match="observation 0 is zero or not finite"):
        replace(posterior, approximation=broken).sample(X[:7], N, seed=0)


def test_chains_that_disagree_bring_a_warning(posterior):
    apart = posterior.with_sampler(Grid(apart=3.0))
    with pytest.warns(SamplingWarning, match=r"chains disagree for 1 of 1.*R-hat of a is"):
        draws = apart.sample(X[:7], N, seed=0)
    assert draws.diagnostics.rhat[0] > 1.5
    chains = draws.to_arviz()["posterior"]["a"].values
    assert chains.shape == (2, N // 2)
    scale = float(posterior.latent.scaler.scale[0])
    assert chains[1].mean() - chains[0].mean() == pytest.approx(3 * scale, rel=0.05)
