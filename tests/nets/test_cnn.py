"""CNN: shifts of a periodic image do not matter, its statistics are what they are called."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import ndimage

import gibbous as gb
from gibbous.errors import ConfigError, ShapeError
from gibbous.nets.cnn import histogram, starlet

X = jax.random.normal(jax.random.key(0), (64, 16, 24, 2)) * jnp.array([1.0, 5.0]) + 3.0


def build(**options):
    return gb.CNN(**options).build(jax.random.key(1), X)


@pytest.mark.parametrize("options", [{"layers": 2}, {"layers": 0}, {"layers": 1, "bins": 0}])
def test_an_image_becomes_a_vector(options):
    net = build(**options)
    e = jax.vmap(lambda x: net(x, None))(X)
    learnt, statistics = 32, 5 * 2 * options.get("bins", 16)  # maps, channels, bins
    assert e.shape == (64, learnt + statistics)
    assert np.isfinite(e).all()
    assert np.ptp(e, axis=0).max() > 0.1
    # What is fed on is standardised over the images that it was built on.
    np.testing.assert_allclose(e[:, learnt:].mean(axis=0), 0, atol=1e-3)


def test_shifts_of_a_periodic_image_do_not_matter():
    net = build(layers=2, periodic=True)
    shifted = jnp.roll(X[0], (4, 8), axis=(0, 1))  # by the strides of two layers
    np.testing.assert_allclose(net(shifted, None), net(X[0], None), atol=1e-3)
    odd = jnp.roll(X[0], (3, 5), axis=(0, 1))
    np.testing.assert_allclose(net(odd, None)[32:], net(X[0], None)[32:], atol=1e-3)
    assert not np.allclose(net(X[1], None), net(X[0], None), atol=0.1)
    # An image with edges has another look after a shift.
    edges = build(layers=2, periodic=False)
    assert not np.allclose(edges(shifted, None), edges(X[0], None), atol=1e-2)


@pytest.mark.parametrize(("mode", "theirs"), [("wrap", "wrap"), ("edge", "nearest")])
def test_the_bands_of_the_starlet_transform(mode, theirs):
    maps = np.asarray(starlet(X[0], 2, mode))
    np.testing.assert_array_equal(maps[0], X[0])
    np.testing.assert_allclose(maps[1:].sum(axis=0), X[0], atol=1e-5)
    spline = np.array([1, 4, 6, 4, 1]) / 16
    smooth = np.asarray(X[0], np.float64)
    for taps in (spline, np.array([1, 0, 4, 0, 6, 0, 4, 0, 1]) / 16):
        for axis in (0, 1):
            smooth = ndimage.convolve1d(smooth, taps, axis=axis, mode=theirs)
    np.testing.assert_allclose(maps[3], smooth, atol=1e-5)


def test_histograms_are_those_of_numpy():
    ends = np.array([-1.0, 0.0, 0.5, 2.0])
    m = np.asarray(X[0, ..., 0] - 3.0)
    want, _ = np.histogram(m, [-np.inf, *ends, np.inf])
    np.testing.assert_array_equal(histogram(jnp.asarray(m), jnp.asarray(ends)), want)
    # Whole numbers: an end counts with what is below it.
    np.testing.assert_array_equal(histogram(jnp.array([[0.0, 1.0]]), jnp.array([0.0])), [1, 1])


@pytest.mark.parametrize("x", [0.0, 1e4, jnp.inf], ids=["zeros", "constant", "huge"])
def test_odd_images_give_finite_values_and_gradients(x):
    net = build()
    x = jnp.full((16, 24, 2), x) if np.isfinite(x) else 1e6 * X[0]
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(net(x, None) ** 2))(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_what_is_no_image_is_refused(unchecked):
    with pytest.raises(ShapeError, match=r"images \[h, w, channels\]"):
        gb.CNN().build(jax.random.key(0), X[..., 0])
    with pytest.raises(ShapeError, match="multiples of 4, of at least 16"):
        gb.CNN().build(jax.random.key(0), X[:, :8, :8])
    with pytest.raises(ShapeError, match="mask"):
        build()(X[0], jnp.ones(16))
    with pytest.raises(ConfigError, match="layers or bins"):
        gb.CNN(layers=0, bins=0)
    with pytest.raises(ConfigError, match="silu"):
        build(activation="nothing")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"layers": 1, "bins": 0}, {"layers": 0}])
def test_it_learns_how_far_a_field_is_correlated(options, tmp_path):
    # Pixels have variance one whatever theta is: the correlation of neighbours is what there is to
    # learn, 2 t / (1 + t^2) / 2 of each pair, known to about 1 / sqrt(256) from 256 pixels.
    prior = gb.Prior(t=dist.Uniform(0.0, 1.0))

    @gb.simulator
    def field(key, theta):
        white, t = jax.random.normal(key, (16, 16, 1)), theta["t"]
        return (white + t * jnp.roll(white, 1, axis=0)) / jnp.sqrt(1 + t**2)

    sims = gb.simulate(prior, field, 2_500, seed=0, progress=False)
    method = gb.NPE(embedding=gb.CNN(scales=2, periodic=True, **options), members=1)
    config = gb.FitConfig(steps=600, progress=False)
    train, test = sims.rows(np.arange(2_000)), sims.rows(np.arange(2_000, 2_500))
    posterior = gb.fit(method, prior, train, config=config, seed=0)
    mean = posterior.sample(test.x, 200, seed=0)["t"].mean(axis=1)
    # The slope of the correlation is (1 - t^2) / (1 + t^2)^2, 0.4 on average, so that sd(t) is
    # some 0.06 / 0.4 = 0.15 at best, of the prior's 0.29: a correlation of 0.85 at best.
    assert np.corrcoef(mean, test.theta["t"])[0, 1] > 0.6
    posterior.save(tmp_path / "p.gibbous")
    again = gb.load(tmp_path / "p.gibbous").sample(test.x[0], 10, seed=0)
    np.testing.assert_array_equal(again["t"], posterior.sample(test.x[0], 10, seed=0)["t"])
