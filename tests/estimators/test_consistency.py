"""Consistency models: what holds for any weights, and the score that validation goes by."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous.errors import ConfigError
from gibbous.estimators import Consistency
from gibbous.estimators.base import Moment
from gibbous.estimators.consistency import _LAST, _WIDEN, log_score, taught_by

RNG = np.random.default_rng(0)
BB = jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32)
AA = BB + 0.2 * jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32)


@pytest.fixture(scope="module")
def untrained():
    # In the coordinates of N(0, I), so that u is a.
    model = eqx.filter_jit(Consistency(width=8, depth=1, levels=10.0).build)(
        jax.random.key(0), AA, BB
    )
    return eqx.tree_at(lambda m: m.locate, model, jax.tree.map(jnp.zeros_like, model.locate))


@pytest.fixture(scope="module")
def model(untrained):
    weight = jax.random.normal(jax.random.key(1), untrained.network.last.weight.shape)
    return eqx.tree_at(lambda m: m.network.last.weight, untrained, weight)


def test_without_noise_nothing_moves(model):
    u = jnp.array([0.4, -1.3])
    np.testing.assert_allclose(model.end(u, jnp.array(0.0), BB[0]), u, atol=1e-6)
    assert np.abs(model.end(u, jnp.array(0.7), BB[0]) - u).max() > 0.1


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_network_of_zeros_leaves_normal_draws_wider_as_said(untrained, steps):
    draws = np.asarray(
        eqx.filter_jit(lambda m, b: m.sample(jax.random.key(1), b, 20_000))(
            untrained.with_steps(steps), BB[0]
        )
    )
    k2, variance = (1 - 1 / 10) ** (-2 * _WIDEN), 0.0
    for n in np.geomspace(1, _LAST / steps, steps):  # f(u, n) = u / rho is exact for N(0, I)
        variance = ((1 - n) ** 2 * variance + n**2 * k2) / (n**2 + (1 - n) ** 2)
    # Means have an error of 1/sqrt(20,000) = 0.007, sds of 0.005.
    assert np.abs(draws.mean(axis=0)).max() < 0.03
    assert np.abs(draws.std(axis=0) - variance**0.5).max() < 0.02


@pytest.mark.parametrize("w", [1.0, 0.5, 0.1, 0.03])
@pytest.mark.parametrize("levels", [2, 3, 4, 16])
def test_the_widening_is_what_the_levels_take_from_normals_of_any_width(levels, w):
    # The best student of N(0, w^2) given its teacher, E f(u_m, m) given u_n, level by level.
    n = [1.0]
    while n[-1] > 1e-4 * w:
        n.append(float(taught_by(jnp.array(n[-1]), jnp.array(float(levels)))))
    gain = 1.0
    for low, high in zip(n[:0:-1], n[-2::-1], strict=True):
        covariance = (1 - high) * (1 - low) * w**2 + high * low
        gain *= covariance / ((1 - high) ** 2 * w**2 + high**2)
    widened = gain * (1 - 1 / levels) ** -_WIDEN
    assert widened == pytest.approx(w, rel=0.025)
    if levels < 16:
        assert gain != pytest.approx(w, rel=0.025)


def _loss(model, progress: float) -> np.ndarray:
    u = jax.random.normal(jax.random.key(2), (2_000, 2))

    @eqx.filter_jit
    def each(model):
        def one(row, key):
            return model.loss(row, BB[0], Moment(key, jnp.array(progress), True))

        return jax.vmap(one)(u, jax.random.split(jax.random.key(3), len(u)))

    return np.asarray(each(model)) - np.asarray(0.5 * jnp.sum(u**2, axis=1))  # the normal's own


def test_the_loss_begins_with_a_teacher_near_the_data(untrained):
    # With N = 1 the teacher is at m = 3 n^2 / 4; here f(u_n, n) = u_n / rho.
    rng = np.random.default_rng(1)
    u, eps = rng.normal(size=(2, 200_000, 2))
    n = 1 / (1 + np.exp(0.8 - 1.6 * rng.normal(size=(200_000, 1))))
    student, teacher = (
        ((1 - k) * u + k * eps) / np.sqrt(k**2 + (1 - k) ** 2) for k in (n, 0.75 * n**2)
    )
    want = np.linalg.norm(student - teacher, axis=1) / n[:, 0]
    got = _loss(untrained, 0.0)
    error = got.std() / np.sqrt(len(got)) + want.std() / np.sqrt(len(want))
    assert abs(got.mean() - want.mean()) < 4 * error + 1e-3  # c = 0.0008 is left out


def test_later_teachers_are_nearer(untrained, model):
    # N is 10 at the end: teacher and student are a tenth as far apart, if f is smooth.
    assert _loss(untrained, 1.0).mean() < 0.25 * _loss(untrained, 0.0).mean()
    assert _loss(model, 1.0).mean() > _loss(untrained, 1.0).mean()


def test_the_score_is_least_at_the_truth():
    rng = np.random.default_rng(1)
    truth = jnp.asarray(rng.normal(size=(4_000, 1)), jnp.float32)
    draws = jnp.asarray(rng.normal(size=(4_000, 16, 1)), jnp.float32)
    change = {
        "none": draws, "narrow": 0.7 * draws, "wide": 1.4 * draws, "shifted": draws + 0.5,
        "one value": 0 * draws,
    }  # fmt: skip
    scores = {k: np.asarray(jax.vmap(log_score)(v, truth)) for k, v in change.items()}
    for name in ("narrow", "wide", "shifted", "one value"):
        worse = scores[name] - scores["none"]
        assert worse.mean() > 3 * worse.std() / np.sqrt(4_000), name


def test_units_do_not_move_the_choice():
    rng = np.random.default_rng(2)
    a, draws = jnp.asarray(rng.normal(size=2)), jnp.asarray(rng.normal(size=(8, 2)))
    change = log_score(100 * draws, 100 * a) - log_score(draws, a)
    assert float(change) == pytest.approx(0.5 * np.log(100), rel=1e-4)


def test_there_is_no_density(model):
    with pytest.raises(ConfigError, match="no density"):
        model.log_prob(AA[0], BB[0])


@pytest.mark.parametrize("options", [{"levels": 1.0}, {"steps": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="levels"):
        Consistency(**options)


@pytest.mark.parametrize("steps", [None, 0])
def test_steps_out_of_range_are_refused(model, steps):
    with pytest.raises(ConfigError, match="at least one step"):
        model.with_steps(steps)
