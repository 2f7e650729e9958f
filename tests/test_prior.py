"""The prior and the road to R^d: densities against SciPy, bijections against their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from gibbous.errors import ParameterError, PriorError, ShapeError
from gibbous.latent import Latent
from gibbous.prior import Prior

N = 2_000
FEW = 256  # as many as a prior draws to check itself: nothing to compile again


@pytest.fixture(scope="module")
def prior():
    """Scalars, a vector, a conditional scale, a conditional support."""
    return Prior(
        fraction=dist.Beta(2.0, 3.0),
        scale=dist.LogNormal(0.5, 0.3),
        noise=lambda scale: dist.HalfNormal(scale),
        slopes=dist.Normal(jnp.array([0.0, 1.0, 2.0]), 0.5),
        top=lambda fraction: dist.Uniform(fraction, 2.0),
    )


@pytest.fixture(scope="module")
def theta(prior):
    return prior.sample(0, N)


@pytest.fixture(scope="module")
def latent(prior, theta):
    return Latent.fit(prior, theta)


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


# --- the bijection --------------------------------------------------------------------------------


def test_z_is_standardised(latent, theta):
    z = np.asarray(latent.encode(theta))
    assert z.shape == (N, latent.dim) == (N, 7)
    assert latent.labels == latent.prior.labels()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-4)


def test_decode_undoes_encode(latent, theta):
    back, _ = latent.decode(latent.encode(theta))
    assert list(back) == list(latent.names)
    for name, value in theta.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-4, atol=1e-5)


def test_log_det_is_that_of_the_jacobian(latent, theta):
    z = latent.encode({n: v[:20] for n, v in theta.items()})

    def flat(z):
        theta, _ = latent.decode(z[None])
        return jnp.concatenate([jnp.ravel(v) for v in theta.values()])

    _, got = latent.decode(z)
    want = np.linalg.slogdet(np.asarray(jax.jit(jax.vmap(jax.jacfwd(flat)))(z), np.float64))[1]
    np.testing.assert_allclose(got, want, atol=1e-3)
    assert not np.allclose(want, 0, atol=0.5)  # forgetting it would show
    # as would forgetting the standardiser's share
    share = np.asarray(jnp.sum(latent.scaler.log_det(latent.scaler.inverse(z)), axis=-1))
    assert np.abs(share).min() > 0.5


def _mass(prior, half_width, n=4_001):
    """Integral of p(theta(z)) |d theta / d z| over z, and the same without the Jacobian."""
    latent = Latent.fit(prior, prior.sample(0, FEW))
    axis = jnp.linspace(-half_width, half_width, n)
    z = jnp.stack(jnp.meshgrid(*[axis] * latent.dim, indexing="ij"), -1).reshape(-1, latent.dim)
    theta, log_det = latent.decode(z)
    cell = (2 * half_width / (n - 1)) ** latent.dim
    density = prior.log_prob(theta).astype(float)
    return np.exp(np.asarray(density + log_det, np.float64)).sum() * cell, float(
        np.exp(np.asarray(density, np.float64)).sum() * cell
    )


@pytest.mark.parametrize(
    ("factor", "half_width"),
    [
        # half-widths reach quantiles below 1e-3: exponential tails of logit and log space
        (dist.HalfNormal(3.0), 15.0),
        (dist.Uniform(-2.0, 5.0), 15.0),
        (dist.Cauchy(0.0, 2.0), 15.0),
        (dist.HalfCauchy(1.0), 12.0),
    ],
    ids=lambda f: type(f).__name__ if isinstance(f, dist.Distribution) else "",
)
def test_change_of_variables_keeps_the_mass(factor, half_width):
    mass, without = _mass(Prior(a=factor), half_width)
    # quadrature of a smooth density with step < 0.02 sd is exact to float32; the tail left out and
    # the float32 error of exp(log p) are below 1e-3
    assert mass == pytest.approx(1, abs=2e-3)
    assert abs(without - 1) > 0.05


def test_change_of_variables_with_a_support_that_moves():
    prior = Prior(low=dist.Uniform(0.0, 1.0), high=lambda low: dist.Uniform(low, 2.0))
    mass, without = _mass(prior, 10.0, n=301)
    assert mass == pytest.approx(1, abs=2e-3)
    assert abs(without - 1) > 0.05


def test_a_simplex_loses_a_dimension():
    prior = Prior(w=dist.Dirichlet(jnp.array([2.0, 3.0, 4.0])))
    assert prior.dim == 3
    theta = prior.sample(0, FEW)
    latent = Latent.fit(prior, theta)
    assert latent.dim == 2
    back, log_det = latent.decode(latent.encode(theta))
    np.testing.assert_allclose(back["w"], theta["w"], atol=1e-5)
    # the density is with respect to the first two weights
    axis = jnp.linspace(-9, 9, 301)
    z = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    theta, log_det = latent.decode(z)
    mass = np.exp(np.asarray(prior.log_prob(theta) + log_det)).sum() * (18 / 300) ** 2
    assert mass == pytest.approx(1, abs=2e-3)
    assert np.asarray(latent.inside(theta)).all()


# --- bounds and tails -----------------------------------------------------------------------------


def test_no_z_leaves_the_support():
    # Bounds that float32 rounds this way and that: low + (high - low) may exceed high.
    rng = np.random.default_rng(0)
    low = rng.uniform(-10, 10, 64).astype(np.float32)
    high = low + rng.lognormal(0, 2, 64).astype(np.float32)
    prior = Prior(
        box=dist.Uniform(low, high),
        unit=dist.Uniform(0.0, 1.0),
        half=dist.HalfNormal(2.0),
        trunc=dist.TruncatedNormal(0.0, 1.0, low=0.1, high=0.7),
        above=lambda unit: dist.Uniform(unit, 1.7),
    )
    latent = Latent.fit(prior, prior.sample(0, FEW))
    z = 5 * jax.random.normal(jax.random.key(1), (100_000, latent.dim))
    z = z.at[0].set(1e3).at[1].set(-1e3).at[2].set(1e30).at[3].set(-1e30)
    theta, log_det = latent.decode(z)
    t = {n: np.asarray(v) for n, v in theta.items()}
    assert all(np.isfinite(v).all() for v in t.values())
    assert np.isfinite(log_det).all()
    assert (t["box"] >= low).all()
    assert (t["box"] <= high).all()
    assert ((t["unit"] >= 0) & (t["unit"] <= 1)).all()
    assert (t["half"] >= 0).all()
    assert ((t["trunc"] >= np.float32(0.1)) & (t["trunc"] <= np.float32(0.7))).all()
    assert (t["above"] >= t["unit"]).all()
    assert np.asarray(latent.inside(theta)).all()


def test_a_theta_on_its_bound_has_a_finite_z():
    prior = Prior(a=dist.Uniform(-1.0, 3.0), b=dist.HalfNormal(1.0), c=dist.Uniform(0.0, 1.0))
    latent = Latent.fit(prior, prior.sample(0, FEW))
    theta = {
        "a": np.float32([-1, 3, 1]), "b": np.float32([0, 0, 1e30]), "c": np.float32([0, 1, 0.5]),
    }  # fmt: skip
    z = latent.encode(theta)
    assert np.isfinite(z).all()
    back, log_det = latent.decode(z)
    np.testing.assert_allclose(back["a"], theta["a"], atol=1e-6)
    np.testing.assert_allclose(back["b"][:2], 0, atol=1e-6)
    np.testing.assert_allclose(back["c"], theta["c"], atol=1e-6)
    assert np.isfinite(log_det).all()


def test_inside_is_the_support():
    prior = Prior(a=dist.Uniform(0.0, 1.0), b=lambda a: dist.Uniform(a, 2.0))
    latent = Latent.fit(prior, prior.sample(0, FEW))
    theta = {"a": np.float32([0.5, 0.5, 1.5, -0.1]), "b": np.float32([1.0, 0.4, 1.8, 1.0])}
    assert np.asarray(latent.inside(theta)).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "factor",
    [dist.Cauchy(0.0, 1.0), dist.HalfCauchy(1.0), dist.Uniform(1000.0, 1000.001)],
    ids=["Cauchy", "HalfCauchy", "narrow"],
)
def test_heavy_tails_and_narrow_supports_stay_finite(factor):
    prior = Prior(a=factor)
    theta = prior.sample(0, 100_000)
    latent = Latent.fit(prior, theta)
    z = np.asarray(latent.encode(theta))
    assert np.isfinite(z).all()
    assert np.abs(z).max() < 60  # Cauchy: asinh(1e6) = 14.5; the narrow box: |u| <= 80, sd 2
    back, log_det = latent.decode(jnp.asarray(z))
    assert np.isfinite(back["a"]).all()
    assert np.isfinite(log_det).all()
    # float32 has 17 values between 1000 and 1000.001: good to one spacing, 6.1e-5
    atol = 7e-5 if np.min(theta["a"]) > 999 else 1e-4
    np.testing.assert_allclose(back["a"], theta["a"], rtol=1e-4, atol=atol)
    assert np.isfinite(prior.log_prob(back)).all()


# --- subsets --------------------------------------------------------------------------------------


def test_a_subset_keeps_the_order_of_the_prior(prior, theta, latent):
    some = Latent.fit(prior, theta, ("slopes", "fraction"))
    assert some.names == ("fraction", "slopes")
    assert some.labels == ("fraction", "slopes[0]", "slopes[1]", "slopes[2]")
    np.testing.assert_allclose(some.encode(theta), latent.encode(theta)[:, [0, 3, 4, 5]], rtol=1e-5)
    assert Latent.fit(prior, theta, ("noise",)).names == ("noise",)  # `scale` moves no bound of it


def test_what_a_subset_must_hold(prior, theta):
    with pytest.raises(
        ParameterError, match=r"cannot infer \['mass'\]; the prior has \['fraction'"
    ):
        Latent.fit(prior, theta, ("mass", "noise"))
    with pytest.raises(ParameterError, match="no parameter at all"):
        Latent.fit(prior, theta, ())
    with pytest.raises(
        ParameterError, match=r"support of 'top' depends on \['fraction'\].*\('fraction', 'top'\)"
    ):
        Latent.fit(prior, theta, ("top",))
    assert Latent.fit(prior, theta, ("top", "fraction")).dim == 2


def test_discrete_parameters_can_only_be_nuisances():
    prior = Prior(heads=dist.Bernoulli(0.3), size=lambda heads: dist.LogNormal(heads, 1.0))
    theta = prior.sample(0, FEW)
    with pytest.raises(ParameterError, match=r"'heads' is discrete \(Bernoulli.*marginalise"):
        Latent.fit(prior, theta)
    latent = Latent.fit(prior, theta, ("size",))
    back, _ = latent.decode(latent.encode(theta))
    np.testing.assert_allclose(back["size"], theta["size"], rtol=1e-4)
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
