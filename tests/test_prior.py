"""The prior densities and draws against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from gibbous.compilation import CompileClock
from gibbous.errors import ParameterError, PriorError, ShapeError
from gibbous.prior import Prior

N = 2_000
FEW = 256  # as many as a prior draws to check itself: nothing to compile again


def _reference(theta):
    """log p(theta) by SciPy, in float64."""
    t = {n: np.asarray(v, np.float64) for n, v in theta.items()}
    return (
        stats.beta(2, 3).logpdf(t["fraction"])
        + stats.lognorm(0.3, scale=np.exp(0.5)).logpdf(t["scale"])
        + stats.halfnorm(scale=t["scale"]).logpdf(t["noise"])
        + stats.norm([0, 1, 2], 0.5).logpdf(t["slopes"]).sum(-1)
        + stats.uniform(t["fraction"], 2 - t["fraction"]).logpdf(t["top"])
    )


# --- names and shapes -----------------------------------------------------------------------------


def test_names_shapes_labels(prior):
    assert prior.names == ("fraction", "scale", "noise", "slopes", "top")
    assert prior.shapes == {"fraction": (), "scale": (), "noise": (), "slopes": (3,), "top": ()}
    assert prior.dim == 7
    labels = ("fraction", "scale", "noise", "slopes[0]", "slopes[1]", "slopes[2]", "top")
    assert prior.labels() == labels
    assert prior.labels(["slopes"]) == labels[3:6]
    assert prior.parents["noise"] == ("scale",)
    text = repr(prior)
    assert "fraction=Beta" in text
    assert "noise=lambda scale" in text


def test_matrix_parameters_have_two_indices():
    prior = Prior(m=dist.Normal(jnp.zeros((2, 2)), 1.0))
    assert prior.labels() == ("m[0][0]", "m[0][1]", "m[1][0]", "m[1][1]")
    assert prior.sample(0, 5)["m"].shape == (5, 2, 2)


def test_samples_have_the_right_law(prior, theta):
    assert tuple(theta) == prior.names  # in their order, not sorted
    assert {n: v.shape[1:] for n, v in theta.items()} == prior.shapes
    # Kolmogorov-Smirnov; p > 1e-3 for six fixed columns
    columns = {
        "fraction": stats.beta(2, 3).cdf(theta["fraction"]),
        "scale": stats.lognorm(0.3, scale=np.exp(0.5)).cdf(theta["scale"]),
        "noise": stats.halfnorm.cdf(theta["noise"] / theta["scale"]),
        "slope": stats.norm(2, 0.5).cdf(theta["slopes"][:, 2]),
        "top": (theta["top"] - theta["fraction"]) / (2 - theta["fraction"]),
    }
    for name, u in columns.items():
        assert stats.kstest(np.asarray(u), "uniform").pvalue > 1e-3, name
    # the scale of `noise` is not a constant
    assert stats.kstest(np.asarray(stats.halfnorm.cdf(theta["noise"])), "uniform").pvalue < 1e-6


def test_same_seed_same_draws(prior, theta):
    again, other = prior.sample(jax.random.key(0), N), prior.sample(1, N)
    for name in prior.names:
        np.testing.assert_array_equal(again[name], theta[name])
        assert not np.array_equal(other[name], theta[name])
    single = prior.sample(3)
    assert {n: v.shape for n, v in single.items()} == prior.shapes


# --- the density ----------------------------------------------------------------------------------


def test_log_prob_is_scipys(prior, theta):
    got = np.asarray(prior.log_prob(theta))
    # float32: eight terms of order one to ten, each good to 1e-6 of itself; Beta's via log-gamma
    np.testing.assert_allclose(got, _reference(theta), atol=2e-4)
    swapped = _reference({**theta, "scale": theta["noise"], "noise": theta["scale"]})
    assert not np.allclose(got, swapped, atol=0.1)


def test_log_prob_takes_arrays_and_any_batch_shape(prior, theta):
    want = np.asarray(prior.log_prob(theta))
    columns = [np.asarray(v).reshape(N, -1) for v in theta.values()]
    flat = np.concatenate(columns, axis=1)
    np.testing.assert_array_equal(prior.log_prob(flat), want)
    np.testing.assert_array_equal(prior.log_prob(flat.reshape(2, -1, 7)), want.reshape(2, -1))
    one = prior.log_prob(flat[0])
    assert one.shape == ()
    np.testing.assert_allclose(one, want[0], rtol=1e-5)
    # a scalar broadcasts against a batch
    mixed = prior.log_prob({**{n: v[0] for n, v in theta.items()}, "noise": theta["noise"][:9]})
    assert mixed.shape == (9,)


def test_outside_of_the_support_is_minus_infinity(prior, theta):
    first = {n: np.asarray(v[0]) for n, v in theta.items()}
    for name, value in {"fraction": 1.2, "scale": -1.0, "noise": -0.1, "top": 2.1}.items():
        assert prior.log_prob({**first, name: value}) == -np.inf
    # the bound that depends on another parameter
    low = first["fraction"]
    assert prior.log_prob({**first, "top": low - 0.01}) == -np.inf
    assert np.isfinite(prior.log_prob({**first, "top": low + 0.01}))


def test_the_density_takes_discrete_parameters():
    prior = Prior(heads=dist.Bernoulli(0.3), size=lambda heads: dist.LogNormal(heads, 1.0))
    theta = prior.sample(0, 256)
    heads = np.asarray(theta["heads"])
    want = stats.bernoulli(0.3).logpmf(heads) + stats.norm(heads, 1).logpdf(np.log(theta["size"]))
    np.testing.assert_allclose(prior.log_prob(theta), want - np.log(theta["size"]), atol=1e-4)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({}, "at least one parameter"),
        (
            {"a": 3.0},
            r"expected 'a' to be a numpyro distribution or a callable.* 3\.0 of type float",
        ),
        ({"a": dist.Normal}, "expected 'a' to be a numpyro distribution"),
        ({"a": stats.norm(0, 1)}, "expected 'a' to be a numpyro distribution"),
        ({"a": lambda b: dist.Normal(b, 1)}, r"'a' depends on \['b'\].*defined before it: \[\]"),
        (
            {"a": lambda b: dist.Normal(b, 1), "b": dist.Normal(0, 1)},
            r"'a' depends on \['b'\], which no earlier",
        ),
        ({"a": dist.ImproperUniform(dist.constraints.real, (), ())}, "not a normalisable prior"),
        (
            {"a": dist.Uniform(0.0, np.inf, validate_args=False)},
            "draws of 'a' are not finite.*infinite bound",
        ),
        (
            {"a": dist.Normal(0.0, -1.0, validate_args=False)},
            "log density.*not finite.*negative scale",
        ),
        ({"a": dist.Uniform(1.0, 0.0, validate_args=False)}, "not finite.*low >= high"),
        ({"a": dist.Normal(np.nan, 1.0, validate_args=False)}, "draws of 'a' are not finite"),
        ({"a": dist.Normal(0.0, 1.0), "b": lambda a: 2 * a}, "cannot be sampled"),
        ({"a": dist.Normal(0.0, 1.0), "b": lambda a: 1 / 0}, "cannot be sampled: division by zero"),
    ],
)
def test_priors_that_cannot_be(parameters, match, unchecked):
    with pytest.raises(PriorError, match=match):
        Prior(**parameters)


def test_names_and_shapes_that_do_not_fit(prior, theta):
    first = {n: v[0] for n, v in theta.items()}
    with pytest.raises(ParameterError, match=r"expected the parameters .*unknown \['mass'\]"):
        prior.log_prob({**first, "mass": 1.0})
    with pytest.raises(ParameterError, match=r"lacking \['noise', 'top'\]"):
        prior.log_prob({n: v for n, v in first.items() if n not in ("noise", "top")})
    with pytest.raises(
        ShapeError, match=r"expected 'slopes' with trailing shape \(3,\), got .*\(2,\)"
    ):
        prior.log_prob({**first, "slopes": np.zeros(2)})
    with pytest.raises(ShapeError, match="disagree on their batch shapes"):
        prior.log_prob({**first, "noise": np.ones(3), "scale": np.ones(4)})
    with pytest.raises(
        ShapeError, match=r"expected an array with last axis 7 .*got shape \(5, 6\)"
    ):
        prior.log_prob(np.zeros((5, 6)))


def test_sampling_is_compiled_as_a_whole():
    prior = Prior(a=dist.Normal(0.0, 1.0), b=lambda a: dist.Normal(a, 1.0), c=dist.Gamma(2.0, 1.0))
    clock = CompileClock()
    prior.sample(0, 37)
    assert clock.count <= 4  # 2; operation by operation it takes 11


def _simple(high=2.0):
    return Prior(a=dist.Uniform(0.0, high), b=dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)))


def test_the_same_prior_defined_twice_finds_its_programs():
    assert _simple() == _simple()
    assert hash(_simple()) == hash(_simple())
    assert _simple() != _simple(2.0001)
    assert _simple() != Prior(b=dist.Uniform(0.0, 2.0))
    first = _simple().sample(0, 41)
    second, clock = _simple(), CompileClock()
    np.testing.assert_array_equal(second.sample(0, 41)["b"], first["b"])
    assert clock.count == 0
    assert _simple(3.0).sample(0, 41)["a"].max() > first["a"].max()  # and no other prior's


def test_a_callable_is_equal_to_itself_alone():
    def noise(a):
        return dist.HalfNormal(a)

    a = dist.LogNormal(0.0, 1.0)
    assert Prior(a=a, b=noise) == Prior(a=a, b=noise)
    assert Prior(a=a, b=noise) != Prior(a=a, b=lambda a: dist.HalfNormal(a))


def test_what_is_missing_is_drawn_given_the_rest(prior):
    n = 4_000
    given = {"scale": np.full(n, 3.0, np.float32), "fraction": np.full(n, 0.25, np.float32)}
    whole = prior.complete(0, given)
    assert tuple(whole) == prior.names
    np.testing.assert_array_equal(whole["scale"], given["scale"])
    # noise ~ HalfNormal(3): mean 3 sqrt(2 / pi) = 2.39, sd 1.81, error of the mean 0.029
    assert abs(np.mean(whole["noise"]) - 2.394) < 3 * 0.029
    assert np.min(whole["top"]) >= 0.25
    assert np.abs(np.corrcoef(np.asarray(whole["slopes"]).T)[0, 1]) < 4 / n**0.5
