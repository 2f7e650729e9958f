from types import SimpleNamespace

import numpy as np
import numpyro.distributions as dist
import pytest

import gibbous as gb
from benchmarks import priors


def described(**factors):
    """Of what `describe` reads of a prior; a real one would compile."""
    shapes = {name: f.batch_shape + f.event_shape for name, f in factors.items()}
    return priors.describe(SimpleNamespace(names=tuple(factors), factors=factors, shapes=shapes))


def test_parameters_stand_side_by_side():
    box = described(a=dist.Uniform(-1.0, 2.0), b=dist.Uniform(np.zeros(2), 3.0))
    assert box == {"kind": "box", "low": [-1.0, 0.0, 0.0], "high": [2.0, 3.0, 3.0]}


def test_normal_has_variances():
    normal = described(a=dist.Normal(np.zeros(2), 0.5))
    assert normal == {"kind": "normal", "mean": [0.0, 0.0], "cov": [[0.25, 0.0], [0.0, 0.25]]}


def test_covariance_is_kept():
    cov = [[2.0, 0.5], [0.5, 1.0]]
    normal = described(a=dist.MultivariateNormal(np.zeros(2), covariance_matrix=np.array(cov)))
    assert normal["kind"] == "normal"
    np.testing.assert_allclose(normal["cov"], cov, atol=1e-6)  # by its factor, in float32


@pytest.mark.parametrize("factors", [{"a": 0, "b": 1}, {"a": 2}])
def test_other_priors_are_refused(factors):
    kinds = [dist.Normal(0.0, 1.0), dist.Uniform(0.0, 1.0), dist.Gamma(2.0, 1.0)]
    with pytest.raises(SystemExit, match="one family"):
        described(**{name: kinds[i] for name, i in factors.items()})


def test_prior_of_a_task():
    about = priors.describe(gb.tasks.sir().prior)
    assert about["kind"] == "lognormal"
    np.testing.assert_allclose(np.exp(about["mu"]), [0.4, 0.125], rtol=1e-6)
    np.testing.assert_allclose(about["sigma"], [0.5, 0.2])
