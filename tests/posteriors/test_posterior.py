"""The posterior as the user holds it: shapes, units, batches, bad input."""

import warnings

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
    ParameterError,
    SeedError,
    ShapeError,
)

PRIOR = gb.Prior(share=dist.Uniform(0.0, 1.0), scale=dist.HalfNormal(1.0))


@gb.simulator
def simulator(key, theta):
    mean = jnp.stack([theta["share"], jnp.log(theta["scale"])])
    return mean + 0.3 * jax.random.normal(key, (2,))


@pytest.fixture(scope="module")
def sims():
    return gb.simulate(PRIOR, simulator, 4_000, seed=0)


@pytest.fixture(scope="module")
def posterior(sims):
    method = gb.NPE(embedding=gb.Identity(), estimator=gb.MDN(components=4, width=32))
    config = gb.FitConfig(steps=1_500, progress=False)
    return gb.fit(method, PRIOR, sims, config=config, seed=0)


X = np.array([0.4, -0.5], np.float32)


def test_draws_have_the_parameters_shapes_and_lie_inside_the_prior(posterior, sims):
    draws = posterior.sample(sims.x[:50], 3_000, seed=0)
    assert draws["share"].shape == (50, 3_000)
    assert (draws["share"] > 0).all()
    assert (draws["share"] < 1).all()
    assert (draws["scale"] > 0).all()
    assert posterior.sample(X, 7, seed=0)["share"].shape == (7,)


def test_the_first_row_of_a_batch_is_the_single_observation(posterior, sims):
    single = posterior.sample(sims.x[0], 500, seed=3)
    batch = posterior.sample(sims.x[:4], 500, seed=3)
    # Programs of another shape round differently in the last bit of float32.
    np.testing.assert_allclose(single["scale"], batch["scale"][0], rtol=1e-5)


def test_log_prob_pairs_a_batch_row_by_row_as_a_loop_would(posterior, sims):
    theta = {name: value[:8] for name, value in sims.theta.items()}
    paired = posterior.log_prob(theta, sims.x[:8])
    one_by_one = [
        float(posterior.log_prob({k: v[i] for k, v in theta.items()}, sims.x[i])) for i in range(8)
    ]
    np.testing.assert_allclose(paired, one_by_one, rtol=2e-4, atol=2e-4)


def test_theta_may_be_an_array_in_the_order_of_names(posterior, sims):
    as_dict = posterior.log_prob({n: v[:5] for n, v in sims.theta.items()}, X)
    columns = np.stack([sims.theta["share"][:5], sims.theta["scale"][:5]], axis=1)
    np.testing.assert_array_equal(as_dict, posterior.log_prob(columns, X))


def test_one_theta_meets_every_observation_of_a_batch(posterior, sims):
    log_prob = posterior.log_prob({"share": 0.5, "scale": 1.0}, sims.x[:6])
    assert log_prob.shape == (6,)


def test_the_density_integrates_to_one_in_the_users_parameters(posterior):
    share = (np.arange(200) + 0.5) / 200
    scale = np.geomspace(1e-3, 30, 400)
    grid = np.stack(np.meshgrid(share, scale, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(np.asarray(posterior.log_prob(grid, X))).reshape(200, 400)
    total = np.trapezoid(density.sum(axis=0) / 200, scale)
    # The midpoint and trapezoid rules on this smooth density are good to 1e-3; a forgotten
    # Jacobian of the logit or the log would be off by a factor.
    assert abs(total - 1) < 0.01
    unconstrained = _without_jacobian(posterior, grid).reshape(200, 400)
    wrong = np.trapezoid(np.exp(unconstrained).sum(axis=0) / 200, scale)
    assert abs(wrong - 1) > 0.1


def _without_jacobian(posterior, grid):
    theta, _ = PRIOR.parse(grid)
    _, log_det = posterior.latent.decode(posterior.latent.encode(theta))
    return np.asarray(posterior.log_prob(grid, X) + log_det)


def test_draws_agree_with_the_density(posterior):
    draws = posterior.sample(X, 20_000, seed=1)
    share = (np.arange(50) + 0.5) / 50
    scale = np.geomspace(1e-3, 30, 800)
    grid = np.stack(np.meshgrid(share, scale, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(np.asarray(posterior.log_prob(grid, X))).reshape(50, 800)
    expected = np.trapezoid(density, scale, axis=1) / 50
    counts, _ = np.histogram(draws["share"], bins=50, range=(0, 1))
    # Chi-square with 49 degrees of freedom: mean 49, sd 9.9; and 1% of quadrature error.
    chi2 = np.sum((counts - 20_000 * expected) ** 2 / (20_000 * expected))
    assert chi2 < 49 + 5 * 9.9
    mirrored = np.sum((counts - 20_000 * expected[::-1]) ** 2 / (20_000 * expected[::-1]))
    assert mirrored > 49 + 5 * 9.9


def test_outside_the_prior_the_density_is_zero(posterior):
    theta = {"share": np.array([-0.1, 1.2, 0.5]), "scale": np.array([1.0, 1.0, -1.0])}
    assert np.isneginf(posterior.log_prob(theta, X)).all()


def test_few_programs_serve_many_shapes(posterior, sims):
    posterior.sample(sims.x[:64], 1_000, seed=0)
    clock = CompileClock()
    for m, n in ((60, 1_000), (33, 900), (40, 800), (64, 1_000)):
        posterior.sample(sims.x[:m], n, seed=0)
    # Draws and observations are padded to the same block; only slicing compiles anew.
    assert clock.count <= 4, clock.count


def test_nuisances_are_marginalised_by_being_left_out(sims):
    config = gb.FitConfig(steps=300, progress=False)
    method = gb.NPE(embedding=gb.Identity(), estimator=gb.MDN(width=16))
    posterior = gb.fit(method, PRIOR, sims, parameters=("share",), config=config, seed=0)
    assert posterior.sample(X, 10, seed=0).names == ("share",)
    assert posterior.log_prob({"share": 0.3}, X).shape == ()
    with pytest.raises(ParameterError, match="unknown"):
        posterior.log_prob({"share": 0.3, "scale": 1.0}, X)


def test_an_observation_of_the_wrong_shape_is_refused(posterior):
    with pytest.raises(ShapeError, match=r"shape \[2\] or a batch \[m, 2\], got shape \(3,\)"):
        posterior.sample(np.zeros(3), 10, seed=0)
    with pytest.raises(ShapeError, match="paired row by row"):
        posterior.log_prob(np.zeros((3, 2)) + 0.5, np.zeros((2, 2)))


def test_nan_in_the_observation_is_refused(posterior):
    with pytest.raises(ObservationError, match="1 NaN"):
        posterior.sample(np.array([np.nan, 0.0]), 10, seed=0)


def test_an_observation_far_from_all_simulations_gets_a_warning(posterior, sims):
    with pytest.warns(ObservationWarning, match="outside"):
        posterior.sample(np.array([40.0, 0.0]), 10, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.sample(sims.x[0], 10, seed=0)


def test_bad_arguments_are_refused(posterior, unchecked):
    with pytest.raises(SeedError, match="seed=0"):
        posterior.sample(X, 10, seed="zero")
    with pytest.raises(ConfigError, match="at least one draw"):
        posterior.sample(X, 0, seed=0)
    with pytest.raises(ParameterError, match="lacking"):
        posterior.log_prob({"share": 0.5}, X)
