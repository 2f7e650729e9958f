"""check: an honest posterior passes, a dishonest one is told so."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous.errors import ConfigError, OutputExistsError
from gibbous.posteriors.base import AbstractPosterior
from gibbous.samplers.base import Trace

PRIOR = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))


@gb.simulator
def simulator(key, theta):
    return theta["theta"] + jax.random.normal(key, (2,))


class Exact(AbstractPosterior):
    """The closed form N(x/2, I/2) in z, widened by a factor and moved: 1 and 0 are the truth."""

    factor: float = 1.0
    shift: float = 0.0

    @property
    def tractable(self):
        return True

    @property
    def direct(self):
        return True

    @property
    def iid(self):
        return False

    def width(self, n):
        return n

    def _normal(self, x):
        return dist.Normal(x / 2 + self.shift, self.factor * jnp.sqrt(0.5))

    def sample(self, key, x, mask, n):
        return Trace(self._normal(x).sample(key, (n,))[None], jnp.zeros(()))

    def log_prob(self, z, x, mask):
        return self._normal(x).log_prob(z).sum()


@pytest.fixture(scope="module")
def fitted():
    """A fit whose network is then replaced; its scalers are set to do nothing."""
    sims = gb.simulate(PRIOR, simulator, 200, seed=0)
    method = gb.NPE(estimator=gb.MDN(components=1, width=8, depth=1), members=1)
    config = gb.FitConfig(steps=20, checks=2, progress=False)
    posterior = gb.fit(method, PRIOR, sims, config=config, seed=0)
    scaler = posterior.x_scaler
    plain = replace_scaler(scaler)
    latent = replace(posterior.latent, scaler=replace_scaler(posterior.latent.scaler))
    return replace(posterior, x_scaler=plain, latent=latent)


def replace_scaler(scaler):
    zero = jnp.zeros(2)
    return type(scaler)(zero, zero + 1, zero, scaler.low, scaler.high)


def check(fitted, **faults):
    posterior = replace(fitted, approximation=Exact(**faults))
    return gb.check(posterior, simulator, n=1_000, draws=500, seed=1, progress=False)


@pytest.fixture(scope="module")
def honest(fitted):
    return check(fitted)


def test_the_exact_posterior_passes(honest):
    assert honest.calibrated
    assert honest.labels == ("theta[0]", "theta[1]")
    assert all("as it should be" in s for s in honest.findings()[:2])
    # Minus the entropy, -(1 + log pi); 1,000 datasets whose log density has sd 1: error 0.03.
    assert abs(honest.log_prob.mean() + 1 + np.log(np.pi)) < 3 * 0.032
    assert honest.log_prob.mean() > honest.prior_log_prob.mean()


@pytest.mark.parametrize("fault", [{"factor": 0.7}, {"factor": 1.4}, {"shift": 0.2}])
def test_dishonest_posteriors_are_told_so(fitted, honest, fault):
    report = check(fitted, **fault)
    assert not report.calibrated
    assert any("OUTSIDE" in s for s in report.findings())
    assert report.log_prob.mean() < honest.log_prob.mean()


def test_the_page_holds_findings_and_figures(honest, tmp_path):
    honest.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "rank ECDF inside its 99% band" in page
    assert page.count("<figure") == 6
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        honest.save(tmp_path / "report.html")


# --- by size --------------------------------------------------------------------------------------


class OfSets(Exact):
    """N(sum x / (n + 1), 1/(n + 1)) for n points of a mean of prior N(0, 1) with unit noise, which
    is too narrow from 30 points on."""

    def _mean_sd(self, x, mask):
        n = jnp.sum(mask)
        wrong = jnp.where(n >= 30, self.factor, 1.0)
        return jnp.sum(mask[:, None] * x, axis=0) / (n + 1), wrong * (n + 1) ** -0.5

    def sample(self, key, x, mask, n):
        mean, sd = self._mean_sd(x, mask)
        return Trace((mean + sd * jax.random.normal(key, (n, 2)))[None], jnp.zeros(()))

    def log_prob(self, z, x, mask):
        return dist.Normal(*self._mean_sd(x, mask)).log_prob(z).sum()


@gb.simulator
def any_size(key, theta):
    a, b = jax.random.split(key)
    n = jnp.exp(jax.random.uniform(a) * jnp.log(101.0))
    return theta["theta"] + jax.random.normal(b, (100, 2)), jnp.arange(100) < jnp.floor(n)


def by_size(fitted, factor):
    posterior = replace(fitted, approximation=OfSets(factor), event_shape=(None, 2), sizes=(1, 100))
    return gb.check(posterior, any_size, n=1_000, draws=200, seed=2, progress=False)


def test_coverage_is_told_by_size(fitted):
    report = by_size(fitted, 1.0)
    assert report.calibrated
    assert sum(b.coverage.m for b in report.by_size) == 1_000
    assert len(report.by_size) == 4
    assert (report.by_size[0].low, report.by_size[-1].high) == (1, 100)
    for b in report.by_size:
        assert b.low <= b.high
        # Minus the entropy, for two normals of variance 1/(n + 1), between those of the edges.
        low, high = (np.log(n + 1) - np.log(2 * np.pi) - 1 for n in (b.low, b.high))
        assert (
            low - 4 / np.sqrt(b.coverage.m) < b.log_prob.mean() < high + 4 / np.sqrt(b.coverage.m)
        )
    sentence = next(s for s in report.findings() if "100 points" in s)
    assert "as it should be; log density" in sentence
    assert any("for small datasets" in c for c, _ in report.sections()[0].figures)


def test_what_is_wrong_for_large_sets_only_is_seen_in_their_bin(fitted):
    report = by_size(fitted, 0.6)
    assert not report.calibrated
    wrong = ["TOO FAR (" in s or "TOO FAR;" in s for s in report.findings() if " points:" in s]
    assert wrong[:2] == [False, False]
    assert wrong[-1]


def test_bins_hold_as_many_and_never_cut_one_size():
    from gibbous.diagnostics import size_bins

    rows = size_bins(np.repeat([1, 2, 3], [700, 200, 100]))
    assert [r.sum() for r in rows] == [700, 300]
    rows = size_bins(np.arange(1_000))
    assert [r.sum() for r in rows] == [250] * 4
    assert len(size_bins(np.full(10, 5))) == 1


def test_too_few_datasets_are_refused(fitted):
    with pytest.raises(ConfigError, match="at least 10"):
        gb.check(fitted, simulator, n=5, seed=0)
