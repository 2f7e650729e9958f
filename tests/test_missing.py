"""What of a dataset is observed: the distributions, and what they refuse."""

from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import gibbous as gb
from gibbous.errors import ConfigError, ShapeError
from gibbous.missing import AbstractMissing, Forgotten, hide
from gibbous.recipe import describe, restore
from gibbous.simulation.sources import Batch, observe, observed_part

X = jax.random.normal(jax.random.key(0), (5_000, 40, 2))


def test_entries_are_missing_with_a_probability_drawn_for_each_dataset():
    hidden = np.asarray(hide(jax.random.key(1), gb.Missing(0.2, 0.6), X))
    there = np.isfinite(hidden)
    np.testing.assert_array_equal(hidden[there], np.asarray(X)[there])
    share = 1 - there.mean(axis=(1, 2))
    # A share s of 80 entries: uniform between the bounds, var .4^2/12, and binomial noise
    # E s(1-s)/80 = (.24 - .4^2/12)/80; the mean of 5,000 is within 4 sd / sqrt(5,000).
    variance = 0.4**2 / 12 + (0.24 - 0.4**2 / 12) / 80
    assert abs(share.mean() - 0.4) < 4 * np.sqrt(variance / 5_000)
    # The variance of a variance near the uniform's is at most sigma^4 / 5,000 (kurtosis 1.8).
    assert abs(share.var() / variance - 1) < 4 / np.sqrt(5_000)


def test_a_pattern_is_read_off_an_observation():
    x = np.array([[0.1, np.nan], [np.nan, np.nan], [2.0, 3.0]])
    missing = gb.MissingAs(x)
    hidden = hide(jax.random.key(0), missing, X[:7, :3])
    np.testing.assert_array_equal(np.isnan(hidden), np.broadcast_to(np.isnan(x), (7, 3, 2)))
    with pytest.raises(ShapeError, match=r"shape \(3, 2\); datasets have \(40, 2\)"):
        hide(jax.random.key(0), missing, X)
    with pytest.raises(ConfigError, match="some entry present"):
        gb.MissingAs(np.full(3, np.nan))


@pytest.mark.parametrize("missing", [gb.Missing(0.1, 0.3), gb.MissingAs([1.0, np.nan]),
                                     gb.Subsets(7)])  # fmt: skip
def test_they_travel_as_json(missing):
    from gibbous.missing import MISSING

    assert restore(describe(missing), MISSING, "a file") == missing


@pytest.mark.parametrize(("least", "most"), [(-0.1, 0.5), (0.5, 0.4), (0.0, 1.0)])
def test_probabilities_out_of_range(least, most):
    with pytest.raises(ConfigError, match="0 <= least <= most < 1"):
        gb.Missing(least, most)


@pytest.mark.parametrize("least", [0, -1, -0.5, float("nan")])
def test_no_points_are_no_subset(least):
    with pytest.raises(ConfigError, match="positive"):
        gb.Subsets(least)


@pytest.mark.parametrize(("least", "low"), [(5, 5), (0.25, 10), (100, 40), (0.001, 1)])
def test_sizes_are_log_uniform(least, low):
    u = (np.arange(100_000) + 0.5) / 100_000
    size = np.asarray(gb.Subsets(least).size(jnp.asarray(u), 40))
    assert (size.min(), size.max()) == (low, 40)
    for n in range(low, 41):  # P(size = n) is an interval of the logarithm
        share = log((n + 1) / n) / log(41 / low)
        assert abs(np.mean(size == n) - share) < 1e-4
    assert gb.Subsets(least).size(0.5, 0) == 0


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "ragged"])
def test_subsets_are_points_of_their_set_equally_often(padded):
    n = 12
    x = jnp.broadcast_to(jnp.arange(n, dtype=jnp.float32)[:, None], (6_000, n, 1))
    mask = jnp.broadcast_to(jnp.arange(n) < 9, (6_000, n)).astype(jnp.float32) if padded else None
    out = observe(jax.random.key(1), Batch(jnp.zeros((6_000, 1)), x, mask), gb.Subsets(3))
    size, most = np.asarray(out.mask.sum(axis=1)), 9 if padded else n
    assert (size.min(), size.max()) == (3, most)
    kept = [np.asarray(row[: int(k), 0]) for row, k in zip(out.x, size, strict=True)]
    assert all(len(set(row)) == len(row) for row in kept)
    count = np.bincount(np.concatenate(kept).astype(int), minlength=n)
    assert (count[most:] == 0).all()
    # Without replacement each count varies by less than a multinomial's: chi-square is an upper
    # bound. Keeping the first points instead would fail at once.
    assert stats.chisquare(count[:most]).pvalue > 1e-3
    if not padded:  # sizes of slots ascend, and differ by at most one slot from call to call
        assert (np.diff(size) >= 0).all()


def test_what_is_missing_of_stored_simulations():
    x = np.asarray(X[:50])
    sims = gb.Simulations({"a": np.arange(50.0)}, x)
    part = observed_part(jax.random.key(0), sims, gb.Subsets(10))
    assert (part.sizes.min(), part.sizes.max()) == (10, 40)
    for row, points in zip(part.sets(), x, strict=True):
        assert {tuple(p) for p in row} <= {tuple(p) for p in points}
    assert observed_part(jax.random.key(0), sims, None) is sims
    entries = observed_part(jax.random.key(0), sims, gb.Missing(0.5, 0.5))
    assert 0.4 < np.isnan(entries.x).mean() < 0.6
    assert part.valid.all()
    nearly = observed_part(
        jax.random.key(0), gb.Simulations(sims.theta, x[:, 0]), gb.Missing(0.5, 0.6)
    )
    assert 25 < len(nearly) < 50  # a third of pairs are missing altogether
    assert np.isfinite(nearly.x).any(axis=1).all()


class _First(AbstractMissing):
    """All but the first entry."""

    def present(self, key, shape):
        return jnp.arange(shape[0]) == 0


def test_a_distribution_of_the_users_own():
    hidden = hide(jax.random.key(0), _First(), X[:3, :, 0])
    assert np.isfinite(hidden).sum(axis=1).tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="a class of your own"):
        Forgotten().present(jax.random.key(0), (3,))
