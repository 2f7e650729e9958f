"""Data on a lattice: found, and spread over their cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gibbous as gb
from gibbous.errors import ShapeError
from gibbous.simulation.discrete import blur, blurred, spacing

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "h"),
    [
        (RNG.poisson(3.0, 500), 1.0),
        (RNG.poisson(3.0, 500) * 0.25 - 7.0, 0.25),
        (RNG.integers(0, 2, 500), 1.0),
        (1e5 + 10 * RNG.integers(0, 9, 500), 10.0),
        (RNG.normal(size=500).round(2)[RNG.integers(0, 500, 1_500)], 0.01),
        (np.zeros(500), 1.0),
        (RNG.normal(size=500), 0.0),
        (np.maximum(RNG.integers(-50_000, 100_000, 100), 0), 1.0),  # hardly two alike but zeros
        (RNG.random(20_000), 0.0),  # of the lattice of float32 itself
        (1e30 * RNG.normal(size=500), 0.0),
    ],
    ids=[
        "counts",
        "multiples",
        "bits",
        "tens",
        "rounded",
        "never any",
        "normal",
        "many",
        "fine",
        "huge",
    ],
)
def test_spacing(values, h):
    columns = np.column_stack([values, RNG.normal(size=len(values))]).astype(np.float32)
    np.testing.assert_allclose(spacing(columns), [h, 0.0], rtol=1e-2)


@pytest.mark.parametrize(
    "values",
    [np.full(500, 0.3), np.maximum(RNG.normal(size=500), 0.0), RNG.choice([0.0, 1.0, 3.7], 500)],
    ids=["constant", "piled up", "no lattice"],
)
def test_what_is_on_no_lattice_is_refused(values):
    with pytest.raises(ShapeError, match=r"x\[\.\.\., 0\] equal .* on no lattice"):
        spacing(values[:, None].astype(np.float32))


def test_blurred_data_fill_their_cells():
    x = np.column_stack([RNG.poisson(3.0, 4_000) * 2.0, RNG.normal(size=4_000)])
    sims = gb.Simulations({"a": np.zeros(4_000)}, x)
    h = spacing(sims.x)
    stored = blurred(jax.random.key(0), sims, h).x
    fresh = np.asarray(blur(jax.random.key(0), jnp.asarray(sims.x), h))
    for y in (stored, fresh):
        np.testing.assert_array_equal(y[:, 1], sims.x[:, 1])
        moved = (y[:, 0] - sims.x[:, 0]) / 2
        assert np.abs(moved).max() <= 0.5 + 1e-6
        # A uniform's mean is 0 with an error of (12 x 4,000)^-.5 = .0046, its variance 1/12 with
        # one of (1/180 / 4,000)^.5 = .0012.
        assert abs(moved.mean()) < 4 * 0.0046
        assert abs(moved.var() - 1 / 12) < 4 * 0.0012


def test_points_that_do_not_count_stay_padding():
    sims = gb.Simulations({"a": np.zeros(2)}, [np.ones((3, 1)), np.zeros((1, 1))])
    y = blurred(jax.random.key(0), sims, np.ones(1, np.float32))
    assert np.isnan(y.x[1, 1:]).all()
    assert np.isfinite(y.x[0]).all()
