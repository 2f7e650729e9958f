"""The road to R^d and back: bijections against their derivatives, discrete values as columns."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from gibbous.errors import GibbousWarning, ParameterError, PriorError
from gibbous.latent import Latent
from gibbous.prior import Prior

N = 2_000
FEW = 256  # as many as a prior draws to check itself: nothing to compile again


@pytest.fixture(scope="module")
def latent(prior, theta):
    return Latent.fit(prior, theta)


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


# --- what a network sees that theta is given to ---------------------------------------------------


def test_two_bounds_are_seen_as_they_are_and_all_else_as_z():
    prior = Prior(
        free=dist.Normal(0.0, 1.0),
        sides=dist.Uniform(jnp.array([-1.0, 10.0]), jnp.array([1.0, 30.0])),
        flag=dist.Bernoulli(0.5),
        share=lambda free: dist.Uniform(free, free + 2),
        scale=dist.HalfNormal(1.0),
    )
    theta = prior.sample(0, N)
    latent = Latent.fit(prior, theta, discrete=True)
    z, seen = np.asarray(latent.encode(theta)), np.asarray(latent.given(latent.encode(theta)))
    free, sides, share = (np.asarray(theta[n], np.float64) for n in ("free", "sides", "share"))
    want = np.column_stack([sides, share - free])
    want = (want - want.mean(axis=0)) / want.std(axis=0)
    # float32: a uniform one that is within 1e-6 of a bound has a logit that is rough.
    np.testing.assert_allclose(seen[:, 1:4], want, atol=1e-4)
    np.testing.assert_array_equal(seen[:, [0, 4, 5, 6]], z[:, [0, 4, 5, 6]])
    assert seen.shape == z.shape == (N, 7)
    assert np.abs(z[:, 1:4] - want).max() > 0.5  # the logit would show


def test_what_is_seen_of_a_small_region_fills_the_scale():
    prior = Prior(a=dist.Uniform(0.0, 1.0))
    theta = {"a": 0.3 + 1e-3 * np.random.default_rng(0).uniform(size=N)}
    latent = Latent.fit(prior, theta)
    seen = np.asarray(latent.given(latent.encode(theta)))
    assert np.abs([seen.mean(), seen.std() - 1]).max() < 1e-2  # float32 of p, in units of 3e-4


def test_what_is_seen_is_finite_however_far_the_sampler_goes(latent):
    far = jnp.array([[-1e30], [1e30]]) * jnp.ones(latent.dim)
    assert np.isfinite(latent.given(far)).all()


# --- discrete parameters --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed():
    return Prior(
        heads=dist.Bernoulli(0.3),
        size=lambda heads: dist.LogNormal(heads, 1.0),
        kind=dist.Categorical(jnp.array([0.2, 0.5, 0.3])),
        count=dist.DiscreteUniform(-1, 2),
        switches=dist.Bernoulli(jnp.array([0.4, 0.7])),
    )


@pytest.fixture(scope="module")
def mixed_theta(mixed):
    return mixed.sample(0, FEW)


@pytest.fixture(scope="module")
def mixed_latent(mixed, mixed_theta):
    return Latent.fit(mixed, mixed_theta, discrete=True, density=True)


def test_discrete_parameters_are_one_hot_columns_behind_the_others(
    mixed_latent, mixed_theta, mixed
):
    assert mixed_latent.continuous == ("size",)
    assert mixed_latent.discrete == ("heads", "kind", "count", "switches")
    assert mixed_latent.n_continuous == 1
    assert mixed_latent.dim == 1 + 2 + 3 + 4 + 4
    z = np.asarray(mixed_latent.encode(mixed_theta))
    t = {n: np.asarray(v) for n, v in mixed_theta.items()}
    np.testing.assert_array_equal(z[:, 1:3], np.eye(2)[t["heads"]])
    np.testing.assert_array_equal(z[:, 3:6], np.eye(3)[t["kind"]])
    np.testing.assert_array_equal(z[:, 6:10], np.eye(4)[t["count"] + 1])
    np.testing.assert_array_equal(z[:, 10:], np.eye(4)[t["switches"] @ [2, 1]])
    assert mixed_latent.labels == ("heads", "size", "kind", "count", "switches[0]", "switches[1]")


def test_discrete_parameters_come_back_as_they_were(mixed_latent, mixed_theta):
    back, _ = mixed_latent.decode(mixed_latent.encode(mixed_theta))
    assert list(back) == list(mixed_latent.names)
    for name, value in mixed_theta.items():
        if name == "size":
            np.testing.assert_allclose(back[name], value, rtol=1e-4)
        else:
            np.testing.assert_array_equal(back[name], value)
    assert np.asarray(mixed_latent.inside(back)).all()


def test_combinations_are_all_of_them_once(mixed_latent, latent):
    rows = mixed_latent.combinations
    assert rows.shape == (2 * 3 * 4 * 4, 13)
    assert len(np.unique(rows, axis=0)) == len(rows)
    for block in (rows[:, :2], rows[:, 2:5], rows[:, 5:9], rows[:, 9:]):
        assert (block.sum(axis=1) == 1).all()
    assert latent.combinations.shape == (1, 0)  # without discrete parameters, an empty one


def test_the_prior_in_z_is_the_product_of_its_factors(mixed_latent, mixed_theta):
    t = {n: np.asarray(v, np.float64) for n, v in mixed_theta.items()}
    z = mixed_latent.encode(mixed_theta)
    u = np.log(t["size"])
    want = (
        stats.bernoulli(0.3).logpmf(t["heads"])
        + stats.norm(t["heads"], 1).logpdf(u)  # of u = log size, whose Jacobian is 1
        + np.log(np.array([0.2, 0.5, 0.3])[t["kind"].astype(int)])
        + np.log(1 / 4)
        + stats.bernoulli([0.4, 0.7]).logpmf(t["switches"]).sum(axis=1)
    )
    scale = np.log(float(mixed_latent.scaler.scale[0]))  # du / dz
    assert mixed_latent.scaler.bend[0] == 0
    got = np.asarray(mixed_latent.log_prior(z))
    np.testing.assert_allclose(got, want + scale, atol=1e-4)
    assert abs(scale) > 0.01  # forgetting it would show
    assert not np.allclose(got, want + scale - stats.norm(0, 1).logpdf(u), atol=0.1)


def test_the_prior_in_z_sums_and_integrates_to_one(mixed):
    latent = Latent.fit(mixed, mixed.sample(0, FEW), ("heads", "size"), discrete=True)
    grid = np.linspace(-8, 8, 801)
    mass = [
        np.exp(latent.log_prior(jnp.asarray([[v, *k] for v in grid], jnp.float32))).sum() * 0.02
        for k in latent.combinations
    ]
    np.testing.assert_allclose(mass, [0.7, 0.3], atol=1e-3)


def test_draws_of_the_prior_are_encoded(mixed_latent):
    z = np.asarray(mixed_latent.draw_prior(jax.random.key(3), FEW))
    want = mixed_latent.encode(mixed_latent.prior.sample(jax.random.key(3), FEW))
    np.testing.assert_array_equal(z, want)


def test_discrete_parameters_are_refused_where_densities_are_learnt(mixed, mixed_theta):
    with pytest.raises(
        ParameterError, match=r"'heads' is discrete \(Bernoulli.*gb\.NLE or gb\.NRE.*marginalise"
    ):
        Latent.fit(mixed, mixed_theta)
    some = Latent.fit(mixed, mixed_theta, ("size",))
    assert some.dim == 1
    back, _ = some.decode(some.encode(mixed_theta))
    np.testing.assert_allclose(back["size"], mixed_theta["size"], rtol=1e-4)


def test_what_cannot_be_enumerated_is_refused():
    prior = Prior(n=dist.Poisson(3.0), a=dist.Normal(0.0, 1.0))
    with pytest.raises(ParameterError, match=r"'n' is discrete \(Poisson\).*truncate"):
        Latent.fit(prior, prior.sample(0, FEW), discrete=True)
    prior = Prior(n=dist.DiscreteUniform(0, 16), m=dist.DiscreteUniform(0, 15))
    with pytest.raises(ParameterError, match=r"\['n', 'm'\] take 272 combinations.*256"):
        Latent.fit(prior, prior.sample(0, FEW), discrete=True)
    assert len(Latent.fit(prior, prior.sample(0, FEW), ("n",), discrete=True).combinations) == 17
    prior = Prior(bits=dist.Bernoulli(0.5 * jnp.ones(9)))
    with pytest.raises(ParameterError, match="take 512 combinations"):
        Latent.fit(prior, prior.sample(0, FEW), discrete=True)


def test_values_that_depend_on_a_parent_are_refused():
    prior = Prior(
        top=dist.Bernoulli(0.5),
        n=lambda top: dist.DiscreteUniform(0, jnp.asarray(1 + top)),
    )
    with pytest.raises(ParameterError, match="'n' is discrete"):
        Latent.fit(prior, prior.sample(0, FEW), discrete=True)


def test_a_density_needs_the_parents(prior, theta):
    with pytest.raises(
        ParameterError, match=r"density of 'noise' depends on \['scale'\].*\('scale', 'noise'\)"
    ):
        Latent.fit(prior, theta, ("noise",), density=True)
    assert Latent.fit(prior, theta, ("scale", "noise"), density=True).dim == 2


# --- another prior --------------------------------------------------------------------------------

BASE = Prior(a=dist.Normal(0.0, 2.0), b=dist.Uniform(0.0, 1.0), k=dist.Categorical(jnp.ones(3) / 3))


@pytest.fixture(scope="module")
def base():
    return Latent.fit(BASE, BASE.sample(0, N), discrete=True, density=True)


def _changed(**parameters):
    return Prior(**(BASE.factors | parameters))


def test_a_narrower_prior_is_taken(base):
    narrow = _changed(a=dist.Normal(1.0, 0.5), b=dist.Uniform(0.2, 0.6))
    latent = base.under(narrow)  # and no warning: those are errors here
    assert latent.prior is narrow
    assert latent.names == base.names
    theta = {"a": np.float32([1.2]), "b": np.float32([0.3]), "k": np.int32([2])}
    z = latent.encode(theta)
    back, log_det = latent.decode(z)
    np.testing.assert_allclose(back["b"], 0.3, rtol=1e-5)
    want = stats.norm(1, 0.5).logpdf(1.2) - np.log(0.4) - np.log(3)
    np.testing.assert_allclose(latent.log_prior(z) - log_det, want, atol=1e-4)


@pytest.mark.parametrize(
    ("prior", "match"),
    [
        (Prior(a=BASE.factors["a"], k=BASE.factors["k"]), r"lacks \['b'\]"),
        (_changed(a=dist.Normal(jnp.zeros(2), 1.0)), r"differs in \['a'\]"),
        (_changed(k=dist.Categorical(jnp.ones(2) / 2)), r"differs in \['k'\]"),
        (_changed(k=dist.Normal(0.0, 0.1)), r"differs in \['k'\]"),
        (_changed(b=dist.Bernoulli(0.5)), r"differs in \['b'\]"),
        (_changed(b=dist.Uniform(0.0, 2.0)), "lies outside the support"),
        (_changed(a=dist.Normal(50.0, 1.0)), "100% of the new prior lies where nothing"),
    ],
    ids=["name", "shape", "values", "continuous", "discrete", "support", "region"],
)
def test_a_prior_of_other_parameters_or_regions_is_refused(base, prior, match):
    with pytest.raises(PriorError, match=match):
        base.under(prior)


def test_a_prior_that_reaches_a_little_outside_gets_a_warning(base):
    # 2,000 draws of N(0, 2^2) reach to about 2 x 3.3 = 6.6; of N(0, 3.2^2) 4% lie beyond.
    with pytest.warns(GibbousWarning, match=r"[2-8]\.\d% of the new prior lies outside the range"):
        base.under(_changed(a=dist.Normal(0.0, 3.2)))
