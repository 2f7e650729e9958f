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


def test_too_few_datasets_are_refused(fitted):
    with pytest.raises(ConfigError, match="at least 10"):
        gb.check(fitted, simulator, n=5, seed=0)
